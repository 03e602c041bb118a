/* SPDX-License-Identifier: Apache-2.0 */
/* All that needs the header is done when it is complete: signatures are read, their fields hashed, their keys asked
 * for. Then only the hashes of bodies remain, and nothing of the message is kept. */
#include "trust/dkim_private.h"

enum { SIGNATURES_DEFAULT = 10, SIGNATURES_MAX = 100 };

struct seen {
	struct signature signature;
	struct dkim_verdict verdict; /* none while nothing speaks against it */
	struct body *body;
	uint8_t digest[32];          /* of the signed fields */
};

struct dkim_verifier {
	struct dkim_params params;
	struct arena *mem;
	struct dkim_bodies *bodies;
	size_t count;
	struct seen seen[];
};

/* ---- bodies ---- */

struct dkim_bodies *dkim_bodies_new(struct arena *mem) {
	return arena_get(mem, sizeof(struct dkim_bodies));
}

struct body *bodies_want(struct dkim_bodies *b, enum canon canon, int64_t limit, struct arena *mem) {
	for (size_t i = 0; i < b->count; i++)
		if (b->of[i].canon == canon && b->of[i].limit == limit) return &b->of[i];
	if (b->count == BODIES_MAX) return NULL;
	struct body *one = &b->of[b->count++];
	*one = (struct body){ .canon = canon, .limit = limit, .hash = canon_body_new(canon, limit, mem) };
	return one;
}

void dkim_bodies_bytes(struct dkim_bodies *b, struct slice bytes) {
	for (size_t i = 0; i < b->count; i++) canon_body_bytes(b->of[i].hash, bytes);
}

void bodies_end(struct dkim_bodies *b) {
	for (size_t i = 0; i < b->count && !b->ended; i++) {
		canon_body_end(b->of[i].hash, b->of[i].digest);
		b->of[i].size = canon_body_size(b->of[i].hash);
	}
	b->ended = true;
}

bool body_signed(const struct body *b, const struct signature *s, struct arena *mem, struct slice *reason) {
	if (s->limit > b->size) {
		*reason = arena_fmt(mem, "the body is shorter than what was signed: %lld bytes, not %lld (l=)",
				    (long long)b->size, (long long)s->limit);
		return false;
	}
	if (memcmp(b->digest, s->hash.at, sizeof b->digest) == 0) return true;
	*reason = S("the body was changed after signing");
	return false;
}

/* ---- begin ---- */

/* Are all fields of that name signed that are there? */
static bool all_signed(const struct signature *s, struct header_index *x, struct slice wanted) {
	struct slice field;
	header_index_restart(x);
	for (struct slice names = s->names; names.at != NULL;) {
		struct slice name = slice_trim(slice_cut(&names, ':'));
		if (slice_same(name, wanted)) header_index_take(x, name, &field);
	}
	return header_index_left(x, wanted) == 0;
}

static void look(struct dkim_verifier *v, struct seen *one, struct header_index *x, struct buf *text) {
	struct signature *s = &one->signature;
	struct slice reason = SLICE_NONE;
	enum trust_result result = signature_read(SIGNATURE_DKIM, s->field, v->mem, s, &reason);
	enum dkim_fault fault = result != TRUST_PASS ? DKIM_FAULT_SYNTAX : DKIM_FAULT_NONE;
	if (result == TRUST_PASS) result = signature_in_time(s, &v->params, &reason, &fault);
	one->verdict = (struct dkim_verdict){ .result = result == TRUST_PASS ? TRUST_NONE : result,
					      .fault = fault,
					      .report = s->report,
					      .domain = s->domain,
					      .selector = s->selector,
					      .identity = s->identity,
					      .algorithm = s->algorithm,
					      .body_signed = s->limit,
					      .reason = reason };
	if (result != TRUST_PASS) return;
	one->body = bodies_want(v->bodies, s->body, s->limit, v->mem);
	if (one->body == NULL) {
		one->verdict.result = TRUST_POLICY;
		one->verdict.fault = DKIM_FAULT_POLICY;
		one->verdict.reason = S("too many signatures of different parts of the body (l=)");
		return;
	}
	key_hint(&v->params, s, v->mem);
	buf_clear(text);
	signed_fields_add(text, s, x);
	signed_self_add(text, s->header, s->field, s->b_text);
	sha256(buf_slice(text), one->digest);
	one->verdict.from_signed = all_signed(s, x, S("From"));
	for (size_t i = 0; i < v->params.must_sign_count && one->verdict.result == TRUST_NONE; i++) {
		if (all_signed(s, x, v->params.must_sign[i])) continue;
		one->verdict.result = TRUST_POLICY;
		one->verdict.fault = DKIM_FAULT_POLICY;
		one->verdict.reason =
			arena_fmt(v->mem, "the field %.*s is not signed", SLICE_ARG(v->params.must_sign[i]));
	}
}

/* The same field again says nothing new. */
static bool seen_before(const struct dkim_verifier *v, struct slice field) {
	for (size_t i = 0; i < v->count; i++)
		if (slice_eq(v->seen[i].signature.field, field)) return true;
	return false;
}

struct dkim_verifier *dkim_verify_begin(const struct dkim_params *p, struct slice header, struct arena *mem) {
	struct fields f = { .block = header };
	struct field field;
	size_t most = p->signatures_max != 0 ? MIN_OF(p->signatures_max, (unsigned)SIGNATURES_MAX) : SIGNATURES_DEFAULT;
	if (!header_find_from(&f, S("DKIM-Signature"), &field)) return NULL;
	AUTO_ARENA struct arena names = { 0 };
	AUTO_BUF struct buf text = BUF(3 * header.len + KIB(64));
	struct header_index *x = header_index_new(header, &names);
	struct dkim_verifier *v = arena_get(mem, sizeof *v + most * sizeof v->seen[0]);
	v->params = *p;
	v->mem = mem;
	v->bodies = p->bodies != NULL ? p->bodies : dkim_bodies_new(mem);
	do {
		struct slice whole = slice_from(header.at + field.start, field.end - field.start);
		if (seen_before(v, whole)) continue;
		struct seen *one = &v->seen[v->count];
		one->signature.field = arena_slice(mem, whole);
		look(v, one, x, &text);
		v->count++;
	} while (v->count < most && header_find_from(&f, S("DKIM-Signature"), &field));
	return v;
}

void dkim_verify_body(struct dkim_verifier *v, struct slice bytes) {
	if (v->params.bodies == NULL) dkim_bodies_bytes(v->bodies, bytes);
}

/* ---- end ---- */

bool dkim_partial_read(struct slice text, struct dkim_partial *out) {
	uint64_t n;
	struct dkim_partial p = { .unit = text.len != 0 ? DKIM_PARTIAL_BYTES : DKIM_PARTIAL_ANY };
	if (slice_ends(text, S("%"))) p.unit = DKIM_PARTIAL_PERCENT, text.len--;
	else if (slice_ends(text, S("+"))) p.unit = DKIM_PARTIAL_ALL_BUT, text.len--;
	if (p.unit != DKIM_PARTIAL_ANY) {
		if (!slice_number(text, p.unit == DKIM_PARTIAL_PERCENT ? 100 : INT32_MAX, &n)) return false;
		p.n = (int64_t)n;
	}
	*out = p;
	return true;
}

/* Is so much of the body signed as the owner demands? */
static bool covers(const struct dkim_partial *p, int64_t covered, int64_t size) {
	switch (p->unit) {
	case DKIM_PARTIAL_BYTES: return covered >= MIN_OF(p->n, size);
	case DKIM_PARTIAL_PERCENT: return covered >= size / 100 * p->n + size % 100 * p->n / 100;
	case DKIM_PARTIAL_ALL_BUT: return covered >= size - p->n;
	default: return true;
	}
}

static void judge(struct dkim_verifier *v, struct seen *one, int64_t deadline) {
	struct dkim_verdict *out = &one->verdict;
	if (out->result != TRUST_NONE) return;
	if (!body_signed(one->body, &one->signature, v->mem, &out->reason)) {
		out->result = TRUST_FAIL;
		out->fault = DKIM_FAULT_BODY;
		out->testing = key_testing(&v->params, &one->signature, deadline, v->mem);
		return;
	}
	out->partial = one->signature.limit >= 0 && one->signature.limit < one->body->size;
	key_verify(&v->params, &one->signature, one->digest, deadline, v->mem, out);
	if (out->result == TRUST_PASS && out->partial)
		out->reason = arena_fmt(v->mem, "only %lld of %lld bytes of the body are signed (l=)",
					(long long)one->signature.limit, (long long)one->body->size);
	if (out->result == TRUST_PASS && out->partial &&
	    !covers(&v->params.partial, one->signature.limit, one->body->size)) {
		out->result = TRUST_POLICY;
		out->fault = DKIM_FAULT_POLICY;
	}
}

static size_t shared_start(struct slice a, struct slice b) {
	size_t n = 0;
	while (n < a.len && n < b.len && a.at[n] == b.at[n]) n++;
	return n;
}

/* RFC 6008 §3: at least 8 characters, and enough to tell signatures apart. */
static struct slice start_of(const struct dkim_verifier *v, size_t which) {
	struct slice all = v->seen[which].signature.start;
	size_t n = 8;
	for (size_t i = 0; i < v->count; i++)
		if (i != which) n = MAX_OF(n, shared_start(all, v->seen[i].signature.start) + 1);
	return slice_head(all, n);
}

void dkim_verify_end(struct dkim_verifier *v, int64_t deadline, struct dkim_verdict **out, size_t *count) {
	struct dkim_verdict *all = arena_array(v->mem, v->count, sizeof *all);
	bodies_end(v->bodies);
	for (size_t i = 0; i < v->count; i++) {
		judge(v, &v->seen[i], deadline);
		v->seen[i].verdict.start = start_of(v, i);
		all[i] = v->seen[i].verdict;
	}
	*out = all;
	*count = v->count;
}
