/* SPDX-License-Identifier: Apache-2.0 */
/* The sealer (RFC 8617 §5.1). Tags are in alphabetical order with single blanks between them, as everybody's test suite
 * writes them: with RSA the same message then has the same seal. */
#include "base/clock.h"
#include "base/fail.h"
#include "base/encode.h"
#include "trust/arc_private.h"

struct arc_sealer {
	struct arc_seal_params params;
	struct arena *mem;
	struct arc_chain chain;
	size_t instance;
	const char *cv;
	struct slice names, fields; /* h= and what it names, canonical */
	struct canon_body *body;
};

/* ---- begin ---- */

static bool is_seal(const struct slice name) {
	return slice_same(name, S("ARC-Seal")) || slice_same(name, S("Authentication-Results")); /* §4.1.2 */
}

/* What a message signature signs: as DKIM, and the signatures that are there already. */
static void names_add(struct buf *names, struct header_index *x, const struct dkim_sign_params *p, struct arena *mem) {
	struct dkim_sign_params ours = *p;
	size_t count = p->sign_headers_count, n = 0;
	if (count == 0)
		while (dkim_default_headers[count] != NULL) count++;
	struct slice *list = arena_array(mem, count + 1, sizeof *list);
	for (size_t i = 0; i < count; i++) {
		struct slice name = p->sign_headers_count != 0 ? p->sign_headers[i] : slice_of(dkim_default_headers[i]);
		if (!is_seal(name)) list[n++] = name;
	}
	if (p->sign_headers_count == 0) list[n++] = S("DKIM-Signature");
	ours.sign_headers = list;
	ours.sign_headers_count = n;
	signed_names_add(names, x, &ours);
}

/* The newest seal says that the chain is broken: more sets would not mend it (§5.1). */
static bool is_given_up(const struct arc_chain *c) {
	return c->count != 0 && slice_same(c->sets[c->count - 1].seal.signature.chain, S("fail"));
}

struct arc_sealer *arc_seal_begin(const struct arc_seal_params *p, struct slice header, struct arena *mem) {
	AUTO_ARENA struct arena scratch = { 0 };
	AUTO_BUF struct buf names = BUF(KIB(256));
	AUTO_BUF struct buf fields = BUF(3 * header.len + KIB(64));
	struct arc_chain chain;
	bool there = arc_chain_read(header, mem, &chain);
	if (chain.count == ARC_SETS_MAX || is_given_up(&chain)) return NULL;
	struct arc_sealer *s = arena_get(mem, sizeof *s);
	struct header_index *x = header_index_new(header, &scratch);
	struct signature h = { .header = p->sign.header == DKIM_RELAXED ? CANON_RELAXED : CANON_SIMPLE };
	names_add(&names, x, &p->sign, &scratch);
	h.names = buf_slice(&names);
	signed_fields_add(&fields, &h, x);
	*s = (struct arc_sealer){ .params = *p, .mem = mem, .chain = chain, .instance = chain.count + 1 };
	s->cv = !there ? "none" : p->chain == TRUST_PASS && chain.wrong.len == 0 ? "pass" : "fail";
	s->names = arena_slice(mem, h.names);
	s->fields = arena_slice(mem, buf_slice(&fields));
	s->params.results = arena_slice(mem, p->results);
	s->body = canon_body_new(p->sign.body == DKIM_RELAXED ? CANON_RELAXED : CANON_SIMPLE, -1, mem);
	return s;
}

void arc_seal_body(struct arc_sealer *s, struct slice bytes) {
	canon_body_bytes(s->body, bytes);
}

/* ---- end ---- */

static int64_t now_of(const struct arc_sealer *s) {
	return s->params.sign.now_s != 0 ? s->params.sign.now_s : wall_s();
}

/* Folded at blanks, where it is not yet: it may come on one line that no server would take. */
static void results_add(struct buf *out, const struct arc_sealer *s) {
	enum { LINE = 76 };
	struct slice rest = slice_trim(s->params.results);
	while (slice_ends(rest, S(";"))) rest = slice_trim(slice_head(rest, rest.len - 1));
	size_t start = out->len;
	buf_addf(out, "ARC-Authentication-Results: i=%zu; ", s->instance);
	while (rest.len != 0) {
		size_t blank = slice_find(rest, ' ');
		struct slice word = slice_head(rest, blank);
		size_t line_end = slice_find_last(word, '\n');
		if (line_end < word.len) start = out->len + line_end + 1;
		else if (out->len - start + word.len > LINE && out->at[out->len - 1] == ' ') {
			out->len--;
			buf_add(out, S("\r\n "));
			start = out->len - 1;
		}
		buf_add(out, slice_head(rest, blank + 1));
		rest = slice_skip(rest, blank + 1);
	}
	buf_add(out, S("\r\n"));
}

/* The field in two parts, for b= stands near its beginning. Folded with a blank, not a tab: dkimpy looks for " i=1;".
 */
static void message_parts(struct buf *head, struct buf *tail, const struct arc_sealer *s, const uint8_t digest[32]) {
	static const char *const forms[] = { [DKIM_SIMPLE] = "simple", [DKIM_RELAXED] = "relaxed" };
	const struct dkim_sign_params *p = &s->params.sign;
	buf_addf(head, "ARC-Message-Signature: a=%s;\r\n b=", dkim_algorithm_name(s->params.key.algorithm));
	buf_add(tail, S(";\r\n bh="));
	base64_add(tail, slice_from(digest, 32));
	buf_addf(tail, "; c=%s/%s;\r\n d=%.*s; h=%.*s;\r\n i=%zu; s=%.*s; t=%lld", forms[p->header], forms[p->body],
		 SLICE_ARG(s->params.key.domain), SLICE_ARG(s->names), s->instance, SLICE_ARG(s->params.key.selector),
		 (long long)now_of(s));
	if (p->lifetime_s > 0) buf_addf(tail, "; x=%lld", (long long)(now_of(s) + p->lifetime_s));
	buf_add(tail, S("\r\n"));
}

static void seal_parts(struct buf *head, struct buf *tail, const struct arc_sealer *s) {
	buf_addf(head, "ARC-Seal: a=%s;\r\n b=", dkim_algorithm_name(s->params.key.algorithm));
	buf_addf(tail, "; cv=%s;\r\n d=%.*s; i=%zu; s=%.*s; t=%lld\r\n", s->cv, SLICE_ARG(s->params.key.domain),
		 s->instance, SLICE_ARG(s->params.key.selector), (long long)now_of(s));
}

/* Signs `before` and the field, which is then added to out. */
static int field_sign(const struct arc_sealer *s, struct buf *before, enum canon c, struct buf *head,
		      const struct buf *tail, struct buf *out) {
	AUTO_BUF struct buf signature = BUF(KIB(4));
	size_t at = head->len;
	buf_add(head, buf_slice(tail));
	struct slice field = buf_slice(head);
	signed_self_add(before, c, field, slice_from(field.at + at, 0));
	if (before->full || head->full) return fail("ARC seal: the header is too long");
	int r = key_sign(&s->params.sign, &s->params.key, buf_slice(before), &signature);
	if (r < 0) return r;
	buf_add(out, slice_head(field, at));
	if (s->params.unfolded) base64_add(out, buf_slice(&signature));
	else folded_base64_add(out, buf_slice(&signature));
	buf_add(out, buf_slice(tail));
	return 0;
}

/* Earlier sets, from the first on; none when the chain is broken (§5.1.2: then only the newest set is sealed). */
static void sets_add(struct buf *out, const struct arc_sealer *s) {
	for (size_t i = 0; i < s->chain.count && strcmp(s->cv, "pass") == 0; i++) {
		const struct arc_set *set = &s->chain.sets[i];
		canon_field(out, CANON_RELAXED, set->results_field);
		canon_field(out, CANON_RELAXED, set->message.field);
		canon_field(out, CANON_RELAXED, set->seal.field);
	}
}

static size_t sets_size(const struct arc_sealer *s) {
	size_t size = 0;
	for (size_t i = 0; i < s->chain.count; i++) {
		const struct arc_set *set = &s->chain.sets[i];
		size += set->results_field.len + set->message.field.len + set->seal.field.len;
	}
	return size;
}

int arc_seal_end(struct arc_sealer *s, struct buf *out) {
	enum { PART = 300 * 1024 };
	size_t most = s->fields.len + sets_size(s) + s->params.results.len + 4 * (size_t)PART;
	AUTO_BUF struct buf text = BUF(most);
	AUTO_BUF struct buf results = BUF(PART);
	AUTO_BUF struct buf head = BUF(2 * PART);
	AUTO_BUF struct buf tail = BUF(PART);
	AUTO_BUF struct buf message = BUF(2 * PART);
	AUTO_BUF struct buf seal = BUF(2 * PART);
	uint8_t digest[32];
	canon_body_end(s->body, digest);
	results_add(&results, s);
	message_parts(&head, &tail, s, digest);
	buf_add(&text, s->fields);
	int r = field_sign(s, &text, s->params.sign.header == DKIM_RELAXED ? CANON_RELAXED : CANON_SIMPLE, &head, &tail,
			   &message);
	if (r < 0) return r;
	buf_clear(&text);
	sets_add(&text, s);
	canon_field(&text, CANON_RELAXED, buf_slice(&results));
	canon_field(&text, CANON_RELAXED, buf_slice(&message));
	buf_clear(&head);
	buf_clear(&tail);
	seal_parts(&head, &tail, s);
	r = field_sign(s, &text, CANON_RELAXED, &head, &tail, &seal);
	if (r < 0) return r;
	if (results.full || message.full || seal.full) return fail("ARC seal: the fields are too long");
	buf_add(&seal, buf_slice(&message));
	return buf_add(&seal, buf_slice(&results)) && buf_add(out, buf_slice(&seal)) ? 0
										     : fail("ARC seal: no room for it");
}
