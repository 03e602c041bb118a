/* SPDX-License-Identifier: Apache-2.0 */
/* The first half of verifying (RFC 6376 §6.1.1): what a field says, and whether that can be true at all, before a key
 * is asked for. What is not written as it must be is "neutral", what is written well but forbidden is "permerror". */
#include "base/clock.h"
#include "base/encode.h"
#include "trust/dkim_private.h"

static const char *const algorithm_names[] = {
	[DKIM_RSA_SHA256] = "rsa-sha256", [DKIM_ED25519_SHA256] = "ed25519-sha256", [DKIM_RSA_SHA1] = "rsa-sha1",
	[DKIM_ALGORITHM_UNKNOWN] = "unknown",
};

const char *dkim_algorithm_name(enum dkim_algorithm a) {
	return algorithm_names[a];
}

static enum dkim_algorithm algorithm_of(struct slice text) {
	int i = slice_among(text, algorithm_names, DKIM_ALGORITHM_UNKNOWN);
	return i < 0 ? DKIM_ALGORITHM_UNKNOWN : (enum dkim_algorithm)i;
}

struct reader {
	struct tag tags[TAGS_MAX];
	int count;
	enum signature_kind kind;
	struct arena *mem;
	struct signature *out;
	struct slice *reason;
};

static enum trust_result bad(struct reader *r, enum trust_result result, struct slice reason) {
	*r->reason = reason;
	return result;
}

static struct slice tag_of(const struct reader *r, const char *name) {
	const struct tag *t = tag_find(r->tags, r->count, slice_of(name));
	return t != NULL ? t->value : SLICE_NONE;
}

/* Labels of letters, digits, hyphens and underlines, or UTF-8 (RFC 8616): it goes to DNS and into our own fields. */
static bool domain_good(struct slice d) {
	if (d.len == 0 || d.len > 253) return false;
	for (size_t i = 0, label = 0; i < d.len; i++) {
		char c = d.at[i];
		if (c == '.' ? label == 0 || i + 1 == d.len
			     : !ascii_alpha(c) && !ascii_digit(c) && c != '-' && c != '_' && c >= 0)
			return false;
		label = c == '.' ? 0 : label + 1;
		if (label > 63) return false;
	}
	return true;
}

static bool number_read(struct slice text, int64_t most, int64_t *out) {
	uint64_t n;
	if (text.len == 0) return false;
	for (size_t i = 0; i < text.len; i++)
		if (!ascii_digit(text.at[i])) return false;
	*out = slice_number(text, (uint64_t)most, &n) ? (int64_t)n : most;
	return true;
}

/* c=: "relaxed/simple"; one word is the header's. */
static bool canon_word(struct slice word, enum canon *out) {
	*out = slice_same(word, S("relaxed")) ? CANON_RELAXED : CANON_SIMPLE;
	return *out == CANON_RELAXED || slice_same(word, S("simple"));
}

static bool canon_read(struct slice text, struct signature *out) {
	struct slice header = slice_cut(&text, '/');
	return canon_word(slice_trim(header), &out->header) &&
	       (text.at == NULL || canon_word(slice_trim(text), &out->body));
}

static bool list_has(struct slice list, struct slice word) {
	while (list.at != NULL)
		if (slice_same(slice_trim(slice_cut(&list, ':')), word)) return true;
	return false;
}

/* Names of fields, with colons between them. That one is missing between two colons is harmless, and common. */
static bool names_good(struct slice names) {
	while (names.at != NULL) {
		struct slice name = slice_trim(slice_cut(&names, ':'));
		for (size_t i = 0; i < name.len; i++)
			if (ascii_control(name.at[i]) || name.at[i] == ' ') return false;
	}
	return true;
}

/* Where b= stands in the field: all between its equals sign and the semicolon or the field's end. */
static void find_b(struct signature *out, struct slice value, struct slice field_value) {
	const char *from = value.at, *to = value.at + value.len, *end = field_value.at + field_value.len;
	while (from > field_value.at && from[-1] != '=') from--;
	while (to < end && *to != ';') to++;
	out->b_text = slice_from(from, (size_t)(to - from));
}

static struct slice start_of(struct slice b, size_t most, struct arena *mem) {
	char *text = arena_get(mem, most + 1);
	size_t n = 0;
	for (size_t i = 0; i < b.len && n < most; i++)
		if (!ascii_space(b.at[i])) text[n++] = b.at[i];
	return slice_from(text, n);
}

static enum trust_result read_signer(struct reader *r) {
	struct signature *out = r->out;
	struct slice domain = tag_of(r, "d"), selector = tag_of(r, "s"), b = tag_of(r, "b"), a = tag_of(r, "a");
	if (domain.at != NULL && domain_good(domain)) {
		out->domain = arena_lower(r->mem, domain);
		out->identity = arena_fmt(r->mem, "@%.*s", SLICE_ARG(out->domain));
	}
	if (selector.at != NULL && domain_good(selector)) out->selector = selector;
	out->algorithm = algorithm_of(a);
	out->start = start_of(b, 64, r->mem);
	if (a.at == NULL || b.at == NULL || domain.at == NULL || selector.at == NULL)
		return bad(r, TRUST_PERMERROR, S("the signature lacks one of the tags a, b, d, s"));
	if (out->domain.len == 0) return bad(r, TRUST_NEUTRAL, S("d= is no domain"));
	if (out->selector.len == 0) return bad(r, TRUST_NEUTRAL, S("s= is no selector"));
	if (out->algorithm == DKIM_RSA_SHA1)
		return bad(r, TRUST_PERMERROR, S("rsa-sha1 is no longer accepted (RFC 8301)"));
	if (out->algorithm == DKIM_ALGORITHM_UNKNOWN) return bad(r, TRUST_NEUTRAL, S("the algorithm in a= is unknown"));
	if (b.len == 0 || !tag_base64(b, r->mem, &out->signature)) return bad(r, TRUST_NEUTRAL, S("b= is not base64"));
	struct slice query = tag_of(r, "q");
	if (query.at != NULL && !list_has(query, S("dns/txt")))
		return bad(r, TRUST_NEUTRAL, S("q= names no known way to the key"));
	return TRUST_PASS;
}

static enum trust_result read_scope(struct reader *r) {
	struct signature *out = r->out;
	struct slice hash = tag_of(r, "bh"), c = tag_of(r, "c"), l = tag_of(r, "l");
	out->names = tag_of(r, "h");
	if (hash.at == NULL || out->names.at == NULL)
		return bad(r, TRUST_PERMERROR, S("the signature lacks one of the tags bh, h"));
	if (c.at != NULL && !canon_read(c, out)) return bad(r, TRUST_NEUTRAL, S("the canonical form in c= is unknown"));
	if (!names_good(out->names)) return bad(r, TRUST_NEUTRAL, S("h= is no list of field names"));
	if (!tag_base64(hash, r->mem, &out->hash) || out->hash.len != 32)
		return bad(r, TRUST_NEUTRAL, S("bh= is no SHA-256 in base64"));
	if (l.at != NULL && !number_read(l, INT64_MAX - 1, &out->limit))
		return bad(r, TRUST_NEUTRAL, S("l= is no number"));
	if (r->kind == SIGNATURE_DKIM && !list_has(out->names, S("from")))
		return bad(r, TRUST_PERMERROR, S("From is not signed"));
	return TRUST_PASS;
}

static enum trust_result read_times(struct reader *r) {
	const int64_t most = 999999999999; /* §3.5: at least twelve digits; later is never */
	struct signature *out = r->out;
	struct slice t = tag_of(r, "t"), x = tag_of(r, "x");
	if (t.at != NULL && !number_read(t, most, &out->made_s)) return bad(r, TRUST_NEUTRAL, S("t= is no number"));
	if (x.at != NULL && !number_read(x, most, &out->ends_s)) return bad(r, TRUST_NEUTRAL, S("x= is no number"));
	if (out->made_s >= 0 && out->ends_s >= 0 && out->ends_s <= out->made_s)
		return bad(r, TRUST_PERMERROR, S("the signature ends before it begins (x= and t=)"));
	return TRUST_PASS;
}

/* i= of DKIM: who took responsibility, at d= or below it. */
static enum trust_result read_identity(struct reader *r) {
	struct signature *out = r->out;
	struct slice identity = tag_of(r, "i");
	if (identity.at == NULL) return TRUST_PASS;
	size_t at = slice_find_last(identity, '@');
	if (at == identity.len || !domain_good(slice_skip(identity, at + 1)))
		return bad(r, TRUST_NEUTRAL, S("i= is no address"));
	struct slice domain = slice_skip(identity, at + 1);
	out->identity = identity;
	bool below = domain.len > out->domain.len && domain.at[domain.len - out->domain.len - 1] == '.' &&
		     slice_ends_same(domain, out->domain);
	if (!below && !slice_same(domain, out->domain)) return bad(r, TRUST_PERMERROR, S("i= is not within d="));
	return TRUST_PASS;
}

static enum trust_result read_kind(struct reader *r) {
	struct slice v = tag_of(r, "v"), i = tag_of(r, "i");
	if (r->kind == SIGNATURE_DKIM) {
		if (v.at == NULL) return bad(r, TRUST_PERMERROR, S("the signature lacks the tag v"));
		if (!slice_eq(v, S("1"))) return bad(r, TRUST_NEUTRAL, S("the version in v= is unknown"));
		return TRUST_PASS;
	}
	if (!slice_number(i, UINT32_MAX, &r->out->instance)) return bad(r, TRUST_PERMERROR, S("i= is no number"));
	r->out->chain = tag_of(r, "cv");
	if (r->kind == SIGNATURE_ARC_SEAL && (tag_of(r, "h").at != NULL || tag_of(r, "bh").at != NULL))
		return bad(r, TRUST_PERMERROR, S("a seal must not have the tags h and bh"));
	if (r->kind == SIGNATURE_ARC_MESSAGE && list_has(tag_of(r, "h"), S("arc-seal")))
		return bad(r, TRUST_PERMERROR, S("a message signature must not cover seals"));
	return TRUST_PASS;
}

enum trust_result signature_read(enum signature_kind kind, struct slice field, struct arena *mem, struct signature *out,
				 struct slice *reason) {
	struct reader r = { .kind = kind, .mem = mem, .out = out, .reason = reason };
	*out = (struct signature){
		.field = field, .limit = -1, .made_s = -1, .ends_s = -1, .algorithm = DKIM_ALGORITHM_UNKNOWN
	};
	struct slice value = slice_skip(field, slice_find(field, ':') + 1);
	if (slice_ends(value, S("\n"))) value.len--;
	if (slice_ends(value, S("\r"))) value.len--;
	r.count = tags_parse(value, r.tags);
	if (r.count < 0) return bad(&r, TRUST_NEUTRAL, S("the signature is no list of tags"));
	struct slice b = tag_of(&r, "b");
	if (b.at != NULL) find_b(out, b, value);
	out->report = slice_same(tag_of(&r, "r"), S("y"));
	enum trust_result result = read_signer(&r), kindly = read_kind(&r);
	if (kindly != TRUST_PASS) return kindly;
	if (result == TRUST_PASS) result = read_times(&r);
	if (result == TRUST_PASS && kind != SIGNATURE_ARC_SEAL) result = read_scope(&r);
	if (result == TRUST_PASS && kind == SIGNATURE_DKIM) result = read_identity(&r);
	return result;
}

enum trust_result signature_in_time(const struct signature *s, const struct dkim_params *p, struct slice *reason,
				    enum dkim_fault *fault) {
	int64_t now = p->now_s != 0 ? p->now_s : wall_s(), drift = p->clock_drift_s != 0 ? p->clock_drift_s : 300;
	if (s->ends_s >= 0 && now - drift > s->ends_s) {
		*reason = S("the signature has expired");
		*fault = DKIM_FAULT_EXPIRED;
		return TRUST_FAIL;
	}
	if (s->made_s >= 0 && s->made_s > now + drift) {
		*reason = S("the signature was made in the future");
		*fault = DKIM_FAULT_OTHER;
		return TRUST_FAIL;
	}
	return TRUST_PASS;
}

void signed_fields_add(struct buf *out, const struct signature *s, struct header_index *x) {
	struct slice field;
	header_index_restart(x);
	for (struct slice names = s->names; names.at != NULL;)
		if (header_index_take(x, slice_trim(slice_cut(&names, ':')), &field))
			canon_field(out, s->header, field);
}

void signed_self_add(struct buf *out, enum canon c, struct slice field, struct slice b_text) {
	AUTO_BUF struct buf cut = BUF(field.len + 2);
	size_t before = (size_t)(b_text.at - field.at);
	buf_add(&cut, slice_head(field, before));
	buf_add(&cut, slice_skip(field, before + b_text.len));
	canon_field(out, c, buf_slice(&cut));
	if (!out->full) out->len -= 2;
}
