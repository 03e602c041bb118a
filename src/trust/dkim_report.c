/* SPDX-License-Identifier: Apache-2.0 */
/* Whoever writes such a record may have us send mail to his own domain, and to no other: ra= is a local part. */
#include "trust/dkim_report.h"
#include "base/encode.h"
#include "trust/canon.h"

enum { LOCAL_MAX = 64, TEXT_MAX = 200 /* a reply line has 512 */ };

static const char letters[] = {
	[DKIM_FAULT_BODY] = 'v', [DKIM_FAULT_SIGNATURE] = 'v', [DKIM_FAULT_EXPIRED] = 'x',
	[DKIM_FAULT_SYNTAX] = 's', [DKIM_FAULT_DNS] = 'd', [DKIM_FAULT_POLICY] = 'p',
	[DKIM_FAULT_REVOKED] = 'o', [DKIM_FAULT_OTHER] = 'o',
};

/* dkim-quoted-printable (RFC 6376 §2.11): blanks between mean nothing. False: broken, too long, or not printable. */
static bool unquote(struct slice value, size_t most, struct arena *mem, struct slice *out) {
	char *text = arena_get(mem, most + 1);
	size_t n = 0;
	for (size_t i = 0; i < value.len; i++) {
		int c = value.at[i];
		if (ascii_space((char)c)) continue;
		if (c == '=') {
			int high = i + 2 < value.len ? ascii_hex(value.at[i + 1]) : -1,
			    low = high >= 0 ? ascii_hex(value.at[i + 2]) : -1;
			if (low < 0) return false;
			c = high << 4 | low;
			i += 2;
		}
		if (c < ' ' || c > '~' || n == most) return false;
		text[n++] = (char)c;
	}
	*out = slice_from(text, n);
	return true;
}

bool dkim_report_parse(struct slice text, struct arena *mem, struct dkim_report_record *out) {
	struct tag tags[TAGS_MAX];
	struct dkim_report_record r = { .percent = 100, .wanted = S("all") };
	int count = tags_parse(text, tags);
	uint64_t percent;
	if (count < 0) return false;
	const struct tag *ra = tag_find(tags, count, S("ra")), *rp = tag_find(tags, count, S("rp")),
			 *rr = tag_find(tags, count, S("rr")), *rs = tag_find(tags, count, S("rs"));
	if (ra != NULL && (!unquote(ra->value, LOCAL_MAX, mem, &r.local) || r.local.len == 0)) return false;
	if (slice_find(r.local, '@') < r.local.len || slice_find(r.local, ' ') < r.local.len) return false;
	if (ra != NULL && rp != NULL) {
		if (!slice_number(rp->value, 100, &percent)) return false;
		r.percent = (unsigned)percent;
	}
	if (ra != NULL && rr != NULL) r.wanted = rr->value;
	if (rs != NULL && !unquote(rs->value, TEXT_MAX, mem, &r.text)) r.text = SLICE_NONE;
	*out = r;
	return r.local.len != 0 || r.text.len != 0;
}

bool dkim_report_due(const struct dkim_report_record *r, enum dkim_fault fault) {
	return dkim_report_wants(r, fault) && random_below(100) < (uint64_t)r->percent;
}

bool dkim_report_wants(const struct dkim_report_record *r, enum dkim_fault fault) {
	if (fault <= DKIM_FAULT_NONE || fault > DKIM_FAULT_OTHER) return false;
	for (struct slice rest = r->wanted; rest.at != NULL;) {
		struct slice word = slice_trim(slice_cut(&rest, ':'));
		if (slice_same(word, S("all")) || slice_same(word, slice_from(&letters[fault], 1))) return true;
	}
	return false;
}

int dkim_report_look(struct dns *dns, struct slice domain, int64_t deadline, struct arena *mem,
		     struct dkim_report_record *out) {
	struct slice *texts;
	size_t count;
	if (!slice_is_ascii(domain) && !dns_to_ascii(domain, mem, &domain)) return DNS_NODATA;
	int r = dns_txt(dns, arena_fmt(mem, "_report._domainkey.%.*s", SLICE_ARG(domain)), deadline, mem, &texts,
			&count, NULL);
	if (r == DNS_NXDOMAIN) return DNS_NODATA;
	if (r != DNS_OK) return r;
	return count == 1 && dkim_report_parse(texts[0], mem, out) ? DNS_OK : DNS_NODATA;
}
