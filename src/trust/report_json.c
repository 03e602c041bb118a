/* SPDX-License-Identifier: Apache-2.0 */
/* TLS reports (RFC 8460 §4.4). The size of the text and the number of its values are bounded before the library sees
 * it: a value of three bytes takes a hundred in memory. */
#include "trust/report.h"
#include "base/encode.h"
#include "mime/date.h"

#include <jansson.h>

static struct slice text_of(struct arena *mem, const json_t *object, const char *key) {
	const json_t *v = json_object_get(object, key);
	if (!json_is_string(v)) return S("");
	return arena_slice(
		mem, slice_head(slice_trim(slice_from(json_string_value(v), json_string_length(v))), REPORT_TEXT_MAX));
}

static uint64_t number_of(const json_t *object, const char *key) {
	const json_t *v = json_object_get(object, key);
	uint64_t n = 0;
	if (json_is_integer(v)) return (uint64_t)MAX_OF(json_integer_value(v), 0);
	if (json_is_string(v)) slice_number(slice_of(json_string_value(v)), INT64_MAX, &n); /* seen in the wild */
	return n;
}

/* A list, or one item where a list belongs. */
static size_t list_length(const json_t *v) {
	return json_is_array(v) ? json_array_size(v) : v != NULL && !json_is_null(v) ? 1 : 0;
}
static const json_t *list_item(const json_t *v, size_t i) {
	return json_is_array(v) ? json_array_get(v, i) : v;
}

static struct report_text *texts_of(struct arena *mem, const json_t *list, size_t *count) {
	size_t n = MIN_OF(list_length(list), (size_t)REPORT_LIST_MAX);
	struct report_text *texts = arena_array(mem, n, sizeof *texts);
	for (size_t i = *count = 0; i < n; i++) {
		const json_t *v = list_item(list, i);
		if (!json_is_string(v)) continue;
		struct slice text = slice_from(json_string_value(v), json_string_length(v));
		texts[(*count)++].text = arena_slice(mem, slice_head(text, REPORT_TEXT_MAX));
	}
	return texts;
}

/* "2016-04-01T23:59:59Z", "…+09:00"; 0: none */
static int64_t time_of(struct slice text) {
	int year, month, day, hour, minute, second, used = 0, zone_h = 0, zone_m = 0;
	char room[40], sign = 'Z';
	if (text.len >= sizeof room || text.len < 19) return 0;
	memcpy(room, text.at, text.len);
	room[text.len] = '\0';
	if (sscanf(room, "%4d-%2d-%2d%*1[Tt ]%2d:%2d:%2d%n", &year, &month, &day, &hour, &minute, &second, &used) != 6)
		return 0;
	if (year < 1970 || year > 9999 || month < 1 || month > 12 || day < 1 || day > 31 || hour > 24 || minute > 59 ||
	    second > 60)
		return 0;
	const char *rest = room + used;
	if (*rest == '.') rest += 1 + strspn(rest + 1, "0123456789");
	if ((*rest == '+' || *rest == '-') && sscanf(rest, "%c%2d:%2d", &sign, &zone_h, &zone_m) != 3) return 0;
	int64_t zone = (zone_h * 60 + zone_m) * 60;
	return days_of(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - (sign == '-' ? -zone : zone);
}

static void read_failure(struct arena *mem, const json_t *from, struct report_tls_failure *f) {
	*f = (struct report_tls_failure){
		.type = text_of(mem, from, "result-type"),
		.sending_ip = text_of(mem, from, "sending-mta-ip"),
		.receiving_ip = text_of(mem, from, "receiving-ip"),
		.receiving_host = text_of(mem, from, "receiving-mx-hostname"),
		.receiving_helo = text_of(mem, from, "receiving-mx-helo"),
		.info = text_of(mem, from, "additional-information"),
		.code = text_of(mem, from, "failure-reason-code"),
		.count = number_of(from, "failed-session-count"),
	};
}

static void read_policy(struct arena *mem, const json_t *from, struct report_tls_policy *p) {
	const json_t *policy = json_object_get(from, "policy"), *summary = json_object_get(from, "summary");
	const json_t *details = json_object_get(from, "failure-details");
	*p = (struct report_tls_policy){
		.type = text_of(mem, policy, "policy-type"),
		.domain = text_of(mem, policy, "policy-domain"),
		.successes = number_of(summary, "total-successful-session-count"),
		.failures = number_of(summary, "total-failure-session-count"),
	};
	const json_t *hosts = json_object_get(policy, "mx-host");
	p->strings = texts_of(mem, json_object_get(policy, "policy-string"), &p->strings_count);
	p->hosts = texts_of(mem, hosts != NULL ? hosts : json_object_get(policy, "mx-host-pattern"), &p->hosts_count);
	size_t n = MIN_OF(list_length(details), (size_t)REPORT_RECORDS_MAX);
	p->details = arena_array(mem, n, sizeof *p->details);
	for (size_t i = 0; i < n; i++)
		if (json_is_object(list_item(details, i)))
			read_failure(mem, list_item(details, i), &p->details[p->details_count++]);
}

static bool too_many_values(struct slice text) {
	size_t values = 0;
	for (size_t i = 0; i < text.len; i++) values += text.at[i] == '[' || text.at[i] == '{' || text.at[i] == ',';
	return values > REPORT_JSON_VALUES;
}

static bool read_report(const json_t *from, struct arena *mem, struct report_tls *out, struct slice *reason) {
	const json_t *range = json_object_get(from, "date-range"), *policies = json_object_get(from, "policies");
	if (!json_is_object(from) || policies == NULL || list_length(policies) == 0)
		return *reason = S("the JSON is no TLS report: it has no policies"), false;
	struct report_tls t = {
		.org = text_of(mem, from, "organization-name"),
		.contact = text_of(mem, from, "contact-info"),
		.id = text_of(mem, from, "report-id"),
		.begin = text_of(mem, range, "start-datetime"),
		.end = text_of(mem, range, "end-datetime"),
	};
	t.begin_s = time_of(t.begin);
	t.end_s = time_of(t.end);
	size_t n = list_length(policies);
	if (n > 1000) return *reason = S("more policies than any report has"), false;
	t.policies = arena_array(mem, n, sizeof *t.policies);
	for (size_t i = 0; i < n; i++)
		if (json_is_object(list_item(policies, i)))
			read_policy(mem, list_item(policies, i), &t.policies[t.policies_count++]);
	*out = t;
	return true;
}

bool report_read_json(struct slice text, struct arena *mem, struct report_tls *out, struct slice *reason) {
	AUTO_BUF struct buf clean = BUF((size_t)REPORT_JSON_MAX * 3);
	json_error_t error;
	if (slice_starts(text, S("\xef\xbb\xbf"))) text = slice_skip(text, 3);
	if (text.len > REPORT_JSON_MAX) return *reason = S("the JSON is larger than any report"), false;
	if (too_many_values(text)) return *reason = S("the JSON has more values than any report"), false;
	if (!utf8_valid(text) && utf8_add_clean(&clean, text)) text = buf_slice(&clean);
	json_t *root = json_loadb(text.at, text.len, JSON_ALLOW_NUL, &error);
	if (root == NULL) {
		*reason = arena_fmt(mem, "the JSON is broken: %s (line %d)", error.text, error.line);
		return false;
	}
	bool good = read_report(root, mem, out, reason);
	json_decref(root);
	return good;
}
