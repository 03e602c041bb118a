/* SPDX-License-Identifier: Apache-2.0 */
/* The record is text that somebody typed into a web form. What can be understood is understood; only the version must
 * be exact, and a policy that cannot be read must not become a stricter one. */
#include "trust/canon.h"
#include "trust/dmarc.h"

static const char *const policies[] = {
	[DMARC_POLICY_ABSENT] = "",
	[DMARC_POLICY_NONE] = "none",
	[DMARC_POLICY_QUARANTINE] = "quarantine",
	[DMARC_POLICY_REJECT] = "reject",
};

const char *dmarc_policy_word(enum dmarc_policy p) {
	return policies[p];
}

bool dmarc_record_is(struct slice text) {
	struct slice name, value;
	return text.len != 0 && !ascii_space(text.at[0]) && tag_next(&text, &name, &value) &&
	       slice_same(name, S("v")) && slice_eq(value, S("DMARC1"));
}

static bool policy_of(struct slice word, enum dmarc_policy *out) {
	for (size_t i = DMARC_POLICY_NONE; i < LEN(policies); i++)
		if (slice_same(word, slice_of(policies[i]))) return *out = (enum dmarc_policy)i, true;
	return false;
}

/* A scheme, a colon and something behind it (RFC 3986 §3); "!10m" at the end is RFC 7489's size limit. */
static bool has_uri(struct slice list) {
	while (list.at != NULL) {
		struct slice uri = slice_trim(slice_cut(&list, ','));
		size_t colon = slice_find(uri, ':');
		bool good = colon != 0 && colon + 1 < uri.len && ascii_alpha(uri.at[0]);
		for (size_t i = 0; i < colon && good; i++)
			good = ascii_alpha(uri.at[i]) || ascii_digit(uri.at[i]) || memchr("+-.", uri.at[i], 3) != NULL;
		if (good) return true;
	}
	return false;
}

struct tags {
	struct slice p, sp, np, adkim, aspf, pct, t, psd, rua, ruf, fo, ri;
};

static struct tags tags_of(struct slice text) {
	struct tags t = {0};
	const struct { const char *name; struct slice *value;
	} known[] = {
		{ "p", &t.p },       { "sp", &t.sp },   { "np", &t.np }, { "adkim", &t.adkim },
		{ "aspf", &t.aspf }, { "pct", &t.pct }, { "t", &t.t },   { "psd", &t.psd },
		{ "rua", &t.rua },   { "ruf", &t.ruf }, { "fo", &t.fo }, { "ri", &t.ri },
	};
	struct slice name, value;
	while (tag_next(&text, &name, &value))
		for (size_t i = 0; i < LEN(known); i++)
			if (slice_same(name, slice_of(known[i].name)) && known[i].value->at == NULL)
				*known[i].value = value;
	return t;
}

bool dmarc_record_parse(struct slice text, struct arena *mem, struct dmarc_record *out, struct slice *reason) {
	if (!dmarc_record_is(text)) {
		*reason = S("it does not begin with v=DMARC1");
		return false;
	}
	struct tags t = tags_of(text);
	struct dmarc_record r = { .p = DMARC_POLICY_NONE, .percent = 100, .interval_s = 86400, .psd = 'u' };
	bool good = (t.p.at == NULL || policy_of(t.p, &r.p)) && (t.sp.at == NULL || policy_of(t.sp, &r.sp)) &&
		    (t.np.at == NULL || policy_of(t.np, &r.np));
	if (!good && !has_uri(t.rua)) {
		*reason = S("its p, sp or np is none of none, quarantine, reject");
		return false;
	}
	if (!good) {
		r.p = DMARC_POLICY_NONE;
		r.sp = r.np = DMARC_POLICY_ABSENT;
	}
	uint64_t n;
	r.adkim_strict = slice_same(t.adkim, S("s"));
	r.aspf_strict = slice_same(t.aspf, S("s"));
	if (slice_number(t.pct, 100, &n)) r.percent = (unsigned)n;
	if (slice_number(t.ri, UINT32_MAX, &n)) r.interval_s = (unsigned)n;
	r.testing = slice_same(t.t, S("y"));
	if (slice_same(t.psd, S("y")) || slice_same(t.psd, S("n"))) r.psd = ascii_lower(t.psd.at[0]);
	r.rua = arena_slice(mem, t.rua);
	r.ruf = arena_slice(mem, t.ruf);
	r.fo = t.fo.len != 0 ? arena_slice(mem, t.fo) : S("0");
	*out = r;
	return true;
}
