/* SPDX-License-Identifier: Apache-2.0 */
#include "filter/dnsbl.h"
#include "base/fail.h"
#include "base/log.h"
#include "mime/address.h"

enum { NAME_MOST = 253, TEXT_MOST = 500 };

/* One octet of a pattern: "2", "[2]", "[2..11;14]". */
static bool parse_range(struct slice text, uint8_t *from, uint8_t *to) {
	uint64_t a, b;
	size_t dots = slice_search(text, S(".."));
	if (dots == text.len) {
		if (!slice_number(text, 255, &a)) return false;
		*from = *to = (uint8_t)a;
		return true;
	}
	if (!slice_number(slice_head(text, dots), 255, &a) || !slice_number(slice_skip(text, dots + 2), 255, &b) ||
	    a > b)
		return false;
	*from = (uint8_t)a;
	*to = (uint8_t)b;
	return true;
}

static bool add_range(struct dnsbl_pattern *p, size_t *count, struct slice text) {
	if (*count == LEN(p->ranges) || !parse_range(text, &p->ranges[*count].from, &p->ranges[*count].to))
		return false;
	(*count)++;
	return true;
}

/* Cuts one octet off *rest. */
static bool parse_octet(struct dnsbl_pattern *p, size_t *count, struct slice *rest) {
	if (!slice_starts(*rest, S("["))) {
		size_t n = 0;
		while (n < rest->len && ascii_digit(rest->at[n])) n++;
		bool ok = add_range(p, count, slice_head(*rest, n));
		*rest = slice_skip(*rest, n);
		return ok;
	}
	size_t end = slice_find(*rest, ']');
	if (end == rest->len || end == 1) return false;
	struct slice inside = slice_from(rest->at + 1, end - 1);
	*rest = slice_skip(*rest, end + 1);
	while (inside.at != NULL)
		if (!add_range(p, count, slice_cut(&inside, ';'))) return false;
	return true;
}

static bool parse_pattern(struct slice text, struct dnsbl_pattern *out) {
	struct dnsbl_pattern p = { 0 };
	size_t count = 0;
	for (size_t i = 0; i < 4; i++) {
		if (i > 0 && !slice_starts(text, S("."))) return false;
		if (i > 0) text = slice_skip(text, 1);
		p.starts[i] = (uint8_t)count;
		if (!parse_octet(&p, &count, &text)) return false;
	}
	p.starts[4] = (uint8_t)count;
	*out = p;
	return text.len == 0;
}

static bool parse_weight(struct slice text, int *weight) {
	bool minus = slice_starts(text, S("-"));
	uint64_t n;
	if (minus || slice_starts(text, S("+"))) text = slice_skip(text, 1);
	if (!slice_number(text, 100000, &n)) return false;
	*weight = minus ? -(int)n : (int)n;
	return true;
}

bool dnsbl_zone_parse(struct slice spec, bool weighted, struct dnsbl_zone *out) {
	struct dnsbl_zone z = { .spec = spec, .weight = 1 };
	struct slice rest = spec;
	size_t star = weighted ? slice_find_last(rest, '*') : rest.len;
	if (star < rest.len) {
		if (!parse_weight(slice_skip(rest, star + 1), &z.weight)) {
			(void)fail("\"%.*s\": the weight behind * must be a number", SLICE_ARG(spec));
			return false;
		}
		rest = slice_head(rest, star);
	}
	size_t equals = slice_find(rest, '=');
	z.domain = slice_head(rest, equals);
	z.filtered = equals < rest.len;
	if (z.filtered && !parse_pattern(slice_skip(rest, equals + 1), &z.pattern)) {
		(void)fail("\"%.*s\": behind = must be an answer such as 127.0.0.2 or 127.0.0.[2..11;14]",
			   SLICE_ARG(spec));
		return false;
	}
	if (slice_ends(z.domain, S("."))) z.domain.len--;
	if (!domain_valid(z.domain, true)) {
		(void)fail("\"%.*s\": not a domain name", SLICE_ARG(z.domain));
		return false;
	}
	*out = z;
	return true;
}

bool dnsbl_pattern_match(const struct dnsbl_pattern *p, const uint8_t octets[4]) {
	for (size_t i = 0; i < 4; i++) {
		bool found = false;
		for (size_t k = p->starts[i]; k < p->starts[i + 1]; k++)
			found = found || (octets[i] >= p->ranges[k].from && octets[i] <= p->ranges[k].to);
		if (!found) return false;
	}
	return true;
}

struct slice dnsbl_address_name(const struct dnsbl_zone *zone, const struct addr *client, struct arena *mem) {
	struct slice reversed = dns_reversed(client, mem); /* ends with a dot */
	return arena_fmt(mem, "%.*s%.*s", SLICE_ARG(reversed), SLICE_ARG(zone->domain));
}

struct slice dnsbl_domain_name(const struct dnsbl_zone *zone, struct slice domain, struct arena *mem) {
	size_t at = slice_find_last(domain, '@');
	if (at < domain.len) domain = slice_skip(domain, at + 1);
	struct slice ascii, last = slice_skip(domain, slice_find_last(domain, '.') == domain.len
	                                                      ? 0
	                                                      : slice_find_last(domain, '.') + 1);
	uint64_t number;
	bool asked = domain.len != 0 && domain.at[0] != '[' && !slice_number(last, UINT64_MAX, &number);
	if (!asked || !dns_to_ascii(domain, mem, &ascii) || ascii.len + 1 + zone->domain.len > NAME_MOST)
		return SLICE_NONE;
	return arena_fmt(mem, "%.*s.%.*s", SLICE_ARG(ascii), SLICE_ARG(zone->domain));
}

static void find_text(const struct dns_view *dns, struct slice name, int64_t deadline, struct arena *mem,
		      struct dnsbl_hit *hit) {
	struct slice *texts;
	size_t n;
	int r = dns_view_txt(dns, name, deadline, mem, &texts, &n);
	if (r == DNS_FILTERED)
		say(L_WARN, "dnsbl", "%.*s: TXT lookup error: DNS reply filter drops all results", SLICE_ARG(name));
	if (r == DNS_OK && n != 0)
		hit->text = slice_head(texts[0], TEXT_MOST);
}

enum dnsbl_result dnsbl_ask(const struct dns_view *dns, const struct dnsbl_zone *zone, struct slice name,
			    int64_t deadline, bool want_text, struct arena *mem, struct dnsbl_hit *hit) {
	struct slice *records;
	size_t n;
	*hit = (struct dnsbl_hit){ S("") };
	if (name.len == 0) return DNSBL_CLEAN;
	int r = dns_view_ipv4(dns, name, deadline, mem, &records, &n);
	if (r == DNS_LATER) {
		say(L_WARN, "dnsbl", "%.*s: RBL lookup error: %s", SLICE_ARG(name), fail_text());
		return DNSBL_LATER;
	}
	if (r == DNS_FILTERED)
		say(L_WARN, "dnsbl", "%.*s: RBL lookup error: DNS reply filter drops all results", SLICE_ARG(name));
	if (r != DNS_OK) return DNSBL_CLEAN;
	bool matched = false;
	for (size_t i = 0; i < n && !matched; i++) {
		const uint8_t *o = (const uint8_t *)records[i].at;
		matched = zone->filtered ? dnsbl_pattern_match(&zone->pattern, o) : true;
		if (!zone->filtered && o[0] == 127 && o[1] == 255 && o[2] == 255) {
			say(L_WARN, "dnsbl",
			    "%.*s: the list answered 127.255.255.%u: it refuses to serve us (use a resolver of your "
			    "own)",
			    SLICE_ARG(name), o[3]);
			return DNSBL_LATER;
		}
	}
	if (!matched) return DNSBL_CLEAN;
	if (want_text) find_text(dns, name, deadline, mem, hit);
	return DNSBL_LISTED;
}
