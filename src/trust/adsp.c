/* SPDX-License-Identifier: Apache-2.0 */
/* Kept for those whose how-to still publishes such a record and who want to see what it says. */
#include "trust/adsp.h"
#include "trust/canon.h"

static const char *const words[] = {
	[ADSP_NONE] = "none",           [ADSP_PASS] = "pass",           [ADSP_UNKNOWN] = "unknown",
	[ADSP_FAIL] = "fail",           [ADSP_DISCARD] = "discard",     [ADSP_NXDOMAIN] = "nxdomain",
	[ADSP_TEMPERROR] = "temperror", [ADSP_PERMERROR] = "permerror",
};

const char *adsp_word(enum adsp_result r) {
	return words[r];
}

/* "dkim" must be the first tag (§4.2.1); what follows is of no interest. False: not a record. */
static bool practice(struct slice text, enum adsp_result *out) {
	struct slice name, value;
	if (!tag_next(&text, &name, &value) || !slice_eq(name, S("dkim"))) return false;
	*out = slice_eq(value, S("all")) ? ADSP_FAIL : slice_eq(value, S("discardable")) ? ADSP_DISCARD : ADSP_UNKNOWN;
	return true;
}

enum adsp_result adsp_check(struct dns *dns, struct slice author, bool signed_by_author, int64_t deadline,
			    struct arena *mem) {
	struct slice *texts, *data;
	size_t count, records = 0;
	enum adsp_result found = ADSP_NONE;
	if (signed_by_author) return ADSP_PASS;
	int r = dns_query(dns, author, DNS_MX, deadline, mem, &data, &count, NULL);
	if (r == DNS_NXDOMAIN) return ADSP_NXDOMAIN; /* §4.3 */
	if (r == DNS_LATER) return ADSP_TEMPERROR;
	r = dns_txt(dns, arena_fmt(mem, "_adsp._domainkey.%.*s", SLICE_ARG(author)), deadline, mem, &texts, &count,
		    NULL);
	if (r == DNS_LATER) return ADSP_TEMPERROR;
	for (size_t i = 0; r == DNS_OK && i < count; i++) records += practice(texts[i], &found);
	return records > 1 ? ADSP_PERMERROR : found;
}
