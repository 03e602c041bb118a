/* SPDX-License-Identifier: Apache-2.0 */
/* A chain passes when the newest message signature and every seal verify (RFC 8617 §5.2). The seals are hashed in one
 * go: each covers what the one before it covers, and more. */
#include "trust/arc_private.h"
#include <openssl/evp.h>

struct arc_verifier {
	struct dkim_params params;
	struct arena *mem;
	struct arc_chain chain;
	struct dkim_bodies *bodies;
	struct seen {
		uint8_t message[32], seal[32]; /* digests of what is signed */
		struct body *body;             /* NULL: there were too many different ones */
	} *seen;
};

/* ---- begin ---- */

static void add(EVP_MD_CTX *md, const struct buf *text) {
	must(EVP_DigestUpdate(md, text->at, text->len) == 1);
}

/* Sets in ascending order, all relaxed; the seal itself with an empty b= (§5.1.1). A chain that failed before is only
 * sealed by its newest set. */
static void hash_seals(struct arc_verifier *v, struct buf *text) {
	EVP_MD_CTX *all = EVP_MD_CTX_new(), *one = EVP_MD_CTX_new();
	must(all != NULL && one != NULL && EVP_DigestInit_ex(all, EVP_sha256(), NULL) == 1);
	for (size_t i = 0; i < v->chain.count; i++) {
		const struct arc_set *set = &v->chain.sets[i];
		buf_clear(text);
		canon_field(text, CANON_RELAXED, set->results_field);
		canon_field(text, CANON_RELAXED, set->message.field);
		add(all, text);
		must(EVP_MD_CTX_copy_ex(one, all) == 1);
		buf_clear(text);
		signed_self_add(text, CANON_RELAXED, set->seal.field, set->seal.signature.b_text);
		add(one, text);
		must(EVP_DigestFinal_ex(one, v->seen[i].seal, NULL) == 1);
		buf_clear(text);
		canon_field(text, CANON_RELAXED, set->seal.field);
		add(all, text);
	}
	EVP_MD_CTX_free(one);
	EVP_MD_CTX_free(all);
}

static void hash_messages(struct arc_verifier *v, struct slice header, struct buf *text) {
	AUTO_ARENA struct arena scratch = { 0 };
	struct header_index *x = header_index_new(header, &scratch);
	for (size_t i = v->chain.count; i-- > 0;) {
		const struct signature *s = &v->chain.sets[i].message.signature;
		if (v->chain.sets[i].message.read != TRUST_PASS) continue;
		v->seen[i].body = bodies_want(v->bodies, s->body, s->limit, v->mem);
		if (v->seen[i].body == NULL) continue;
		buf_clear(text);
		signed_fields_add(text, s, x);
		signed_self_add(text, s->header, s->field, s->b_text);
		sha256(buf_slice(text), v->seen[i].message);
		key_hint(&v->params, s, v->mem);
	}
}

struct arc_verifier *arc_verify_begin(const struct dkim_params *p, struct slice header, struct arena *mem) {
	struct arc_chain chain;
	if (!arc_chain_read(header, mem, &chain)) return NULL;
	struct arc_verifier *v = arena_get(mem, sizeof *v);
	*v = (struct arc_verifier){ .params = *p, .mem = mem, .chain = chain,
		.bodies = p->bodies != NULL ? p->bodies : dkim_bodies_new(mem) };
	if (chain.wrong.len != 0) return v;
	AUTO_BUF struct buf text = BUF(3 * header.len + KIB(64));
	v->seen = arena_array(mem, chain.count, sizeof *v->seen);
	hash_messages(v, header, &text);
	hash_seals(v, &text);
	for (size_t i = 0; i < chain.count; i++)
		if (chain.sets[i].seal.read == TRUST_PASS) key_hint(p, &chain.sets[i].seal.signature, mem);
	return v;
}

void arc_verify_body(struct arc_verifier *v, struct slice bytes) {
	if (v->params.bodies == NULL) dkim_bodies_bytes(v->bodies, bytes);
}

/* ---- end ---- */

static bool failed(struct arc_verifier *v, struct slice *reason, const char *what, size_t i, struct slice why) {
	*reason = arena_fmt(v->mem, "the %s of i=%zu: %.*s", what, i + 1, SLICE_ARG(why));
	return false;
}

static bool key_says_yes(struct arc_verifier *v, const char *what, size_t i, const struct arc_signed *one,
			 const uint8_t digest[32], int64_t deadline, struct slice *reason) {
	struct dkim_verdict verdict = { .identity = one->signature.identity };
	key_verify(&v->params, &one->signature, digest, deadline, v->mem, &verdict);
	return verdict.result == TRUST_PASS || failed(v, reason, what, i, verdict.reason);
}

static bool message_good(struct arc_verifier *v, size_t i, int64_t deadline, struct slice *reason) {
	static const char what[] = "message signature";
	const struct arc_signed *m = &v->chain.sets[i].message;
	struct slice why = m->reason;
	enum dkim_fault fault;
	if (m->read != TRUST_PASS || signature_in_time(&m->signature, &v->params, &why, &fault) != TRUST_PASS)
		return failed(v, reason, what, i, why);
	if (v->seen[i].body == NULL)
		return failed(v, reason, what, i, S("too many different parts of the body are signed (l=)"));
	if (!body_signed(v->seen[i].body, &m->signature, v->mem, &why)) return failed(v, reason, what, i, why);
	return key_says_yes(v, what, i, m, v->seen[i].message, deadline, reason);
}

static bool seal_good(struct arc_verifier *v, size_t i, int64_t deadline, struct slice *reason) {
	const struct arc_signed *s = &v->chain.sets[i].seal;
	if (s->read != TRUST_PASS) return failed(v, reason, "seal", i, s->reason);
	return key_says_yes(v, "seal", i, s, v->seen[i].seal, deadline, reason);
}

static void tell_hops(const struct arc_verifier *v, struct arc_verdict *out) {
	out->hops_count = v->chain.count;
	out->hops = arena_array(v->mem, out->hops_count, sizeof *out->hops);
	for (size_t i = 0; i < out->hops_count; i++) {
		const struct arc_set *set = &v->chain.sets[i];
		out->hops[i] =
			(struct arc_hop){ set->seal.signature.domain, set->seal.signature.selector, set->results };
	}
}

void arc_verify_end(struct arc_verifier *v, int64_t deadline, struct arc_verdict *out) {
	struct slice ignored;
	*out = (struct arc_verdict){ .result = TRUST_FAIL, .reason = v->chain.wrong };
	tell_hops(v, out);
	if (out->reason.len != 0) return;
	bodies_end(v->bodies);
	size_t newest = v->chain.count - 1;
	if (!message_good(v, newest, deadline, &out->reason)) return;
	for (size_t i = newest + 1; i-- > 0;)
		if (!seal_good(v, i, deadline, &out->reason)) return;
	out->result = TRUST_PASS;
	for (size_t i = newest; i-- > 0 && out->oldest_pass == 0;)
		if (!message_good(v, i, deadline, &ignored)) out->oldest_pass = (unsigned)i + 2;
}
