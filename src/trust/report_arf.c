/* SPDX-License-Identifier: Apache-2.0 */
/* Abuse and authentication failure reports: header fields of a part of their own (RFC 5965 §3.1, RFC 6591 §3). */
#include "trust/report.h"
#include "mime/date.h"
#include "mime/header.h"

enum { HEADERS_MAX = 16 * 1024 };

static const struct known {
	const char *name;
	size_t offset;
	bool word;
} known[] = {
#define FIELD(name, field, word) { name, offsetof(struct report_arf, field), word }
	FIELD("Feedback-Type", feedback_type, true),
	FIELD("User-Agent", user_agent, false),
	FIELD("Version", version, false),
	FIELD("Arrival-Date", arrival, false),
	FIELD("Received-Date", arrival, false),
	FIELD("Original-Envelope-Id", envelope_id, false),
	FIELD("Original-Mail-From", mail_from, false),
	FIELD("Original-Rcpt-To", rcpt_to, false),
	FIELD("Reporting-MTA", reporting_mta, false),
	FIELD("Source-IP", source_ip, true),
	FIELD("Source-Port", source_port, false),
	FIELD("Auth-Failure", auth_failure, true),
	FIELD("Delivery-Result", delivery_result, true),
	FIELD("Identity-Alignment", alignment, true),
	FIELD("DKIM-Domain", dkim_domain, true),
	FIELD("DKIM-Identity", dkim_identity, false),
	FIELD("DKIM-Selector", dkim_selector, false),
	FIELD("DKIM-Selector-DNS", dkim_selector_dns, false),
	FIELD("SPF-DNS", spf_dns, false),
#undef FIELD
};

/* The value for people. */
static struct slice value_of(const struct field *f, bool word, struct arena *mem) {
	struct slice text = slice_head(header_text(f->value, mem), REPORT_TEXT_MAX);
	return word ? arena_lower(mem, text) : arena_slice(mem, text);
}

static void add(struct arena *mem, struct report_text **list, size_t *count, struct slice text) {
	if (*count == REPORT_LIST_MAX) return;
	if (*count == 0) *list = arena_array(mem, REPORT_LIST_MAX, sizeof **list);
	(*list)[(*count)++].text = text;
}

static void read_field(const struct field *f, struct arena *mem, struct report_arf *a) {
	if (slice_same(f->name, S("Authentication-Results")))
		return add(mem, &a->results, &a->results_count, value_of(f, false, mem));
	if (slice_same(f->name, S("Reported-Domain")))
		return add(mem, &a->domains, &a->domains_count, value_of(f, true, mem));
	if (slice_same(f->name, S("Reported-URI"))) return add(mem, &a->uris, &a->uris_count, value_of(f, false, mem));
	if (slice_same(f->name, S("Incidents"))) {
		uint64_t n;
		if (slice_number(slice_trim(f->value), UINT32_MAX, &n)) a->incidents = n;
		return;
	}
	for (size_t i = 0; i < LEN(known); i++) {
		if (!slice_same(f->name, slice_of(known[i].name))) continue;
		struct slice *place = (struct slice *)(void *)((char *)a + known[i].offset);
		if (place->len == 0) *place = value_of(f, known[i].word, mem);
		return;
	}
}

static void read_original(struct slice original, struct arena *mem, struct report_arf *a) {
	struct slice header = slice_head(original, header_length(original));
	struct field f;
	if (header_find(header, S("Subject"), &f)) a->subject = value_of(&f, false, mem);
	if (header_find(header, S("From"), &f))
		a->from = arena_slice(mem, slice_head(header_text(f.value, mem), REPORT_TEXT_MAX));
	if (header_find(header, S("Message-ID"), &f)) a->message_id = value_of(&f, false, mem);
	a->headers = arena_slice(mem, slice_head(header, HEADERS_MAX));
}

bool report_read_arf(struct slice fields, struct slice original, struct arena *mem, struct report_arf *out,
		     struct slice *reason) {
	struct report_arf a = { .incidents = 1 };
	struct fields walk = { .block = fields };
	struct field f;
	struct date arrived;
	while (fields_next(&walk, &f)) read_field(&f, mem, &a);
	if (a.feedback_type.len == 0) return *reason = S("the feedback report has no Feedback-Type"), false;
	if (a.arrival.len != 0 && date_parse(a.arrival, &arrived) == DATE_OK) a.arrived_s = arrived.utc;
	read_original(original, mem, &a);
	*out = a;
	return true;
}
