/* SPDX-License-Identifier: Apache-2.0 */
/* Input: a record, and behind an "@" the words of the sender for its macros. What was accepted must expand, and not too
 * far. */
#include "trust/spf_private.h"
#include "trust/spf_publish.h"

static struct slice nobody(void *ctx UNUSED) {
	return S("unknown");
}

static void expand(struct slice spec, enum spf_text what, const struct spf_macros *m) {
	AUTO_BUF struct buf out = BUF(KIB(64));
	if (!spf_macro_valid(spec, what)) return;
	spf_macro_expand(spec, m, &out);
	must(out.len <= KIB(64));
}

/* What is made of two records is one, and whole where it was made of good ones. */
static void join(struct slice one, struct slice two, const struct addr *own, struct arena *mem) {
	struct slice texts[] = { one, two }, records[2], reason;
	struct spf_record record;
	struct spf_wish w = { .addresses = own, .count = 1, .mx = true, .all = S("-all") };
	struct slice made = spf_record_wanted(records, spf_records_among(texts, 2, records), &w, mem);
	if (made.at != NULL) must(spf_record_parse(made, mem, &record, &reason) && record.count != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	AUTO_ARENA struct arena mem = {0};
	AUTO_BUF struct buf field = BUF(KIB(16));
	struct addr client;
	struct slice rest = slice_from(data, size), text = slice_cut(&rest, '@'), reason;
	struct spf_record record;
	must(addr_parse(size % 2 == 0 ? S("192.0.2.1") : S("2001:db8::1"), &client));
	struct spf_macros m = { &client, rest, text, rest, text, S("receiver.example"), nobody, NULL };
	for (int what = SPF_TEXT_DOMAIN; what <= SPF_TEXT_EXPLANATION; what++) expand(text, (enum spf_text)what, &m);
	struct spf_question q = { .client = &client, .helo = text, .sender = rest };
	struct spf_verdict v = {
		.result = TRUST_PERMERROR, .identity = S("mailfrom"), .reason = text, .mechanism = rest
	};
	spf_received_add(&field, &(struct spf_params){0}, &q, &v);
	for (size_t i = 0; i + 2 < field.len; i++) must(field.at[i] != '\n' || field.at[i + 1] == '\t'); /* one field */
	join(text, rest, &client, &mem);
	if (!spf_record_is(text) || !spf_record_parse(text, &mem, &record, &reason)) return 0;
	for (size_t i = 0; i < record.count; i++) {
		must(record.terms[i].bits4 <= 32 && record.terms[i].bits6 <= 128);
		if (record.terms[i].domain.len != 0) must(spf_macro_valid(record.terms[i].domain, SPF_TEXT_DOMAIN));
	}
	return 0;
}
