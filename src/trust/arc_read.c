/* SPDX-License-Identifier: Apache-2.0 */
/* Puts the fields of a chain in their places, and finds out whether it is one at all (RFC 8617 §5.2 step 3): nothing is
 * missing, nothing is twice, and what each seal says of the chain before it makes sense. */
#include "trust/arc_private.h"

static void wrong(struct arc_chain *c, struct slice why) {
	if (c->wrong.len == 0) c->wrong = why;
}

/* "i=1; authserv-id; …": i= must come first. */
static bool results_read(struct slice value, uint64_t *instance, struct slice *rest) {
	struct slice first = slice_cut(&value, ';'), name = slice_cut(&first, '=');
	*rest = slice_trim(value);
	return value.at != NULL && slice_same(slice_trim(name), S("i")) &&
	       slice_number(slice_trim(first), ARC_SETS_MAX, instance) && *instance != 0;
}

static struct arc_set *set_at(struct arc_chain *c, uint64_t instance) {
	if (instance == 0 || instance > ARC_SETS_MAX) return NULL;
	c->count = MAX_OF(c->count, (size_t)instance);
	return &c->sets[instance - 1];
}

static void put_results(struct arc_chain *c, struct slice whole, struct slice value) {
	uint64_t instance = 0;
	struct slice rest;
	struct arc_set *set = results_read(value, &instance, &rest) ? set_at(c, instance) : NULL;
	if (set == NULL) {
		wrong(c, S("an ARC-Authentication-Results field has no good i="));
		return;
	}
	if (set->results_field.len != 0) wrong(c, S("two ARC-Authentication-Results fields have the same i="));
	set->results_field = whole;
	set->results = rest;
}

/* Whether a signature makes sense matters only where it counts; its place must be known. */
static void put_signature(struct arc_chain *c, enum signature_kind kind, struct slice whole, struct arena *mem) {
	bool seal = kind == SIGNATURE_ARC_SEAL;
	struct arc_signed one = { .field = whole };
	one.read = signature_read(kind, whole, mem, &one.signature, &one.reason);
	struct arc_set *set = set_at(c, one.signature.instance);
	if (set == NULL) {
		wrong(c, seal ? S("an ARC-Seal field has no good i=")
			      : S("an ARC-Message-Signature field has no good i="));
		return;
	}
	struct arc_signed *place = seal ? &set->seal : &set->message;
	if (place->field.len != 0)
		wrong(c, seal ? S("two ARC-Seal fields have the same i=")
			      : S("two ARC-Message-Signature fields have the same i="));
	*place = one;
}

/* The first seal has nothing before it, all others only what passed. */
static void check_chain(struct arc_chain *c, struct arena *mem) {
	for (size_t i = 0; i < c->count; i++) {
		const struct arc_set *set = &c->sets[i];
		if (set->results_field.len == 0 || set->message.field.len == 0 || set->seal.field.len == 0)
			wrong(c, arena_fmt(mem, "a field of i=%zu is missing", i + 1));
		else if (!slice_same(set->seal.signature.chain, i == 0 ? S("none") : S("pass")))
			wrong(c, arena_fmt(mem, "the seal of i=%zu says cv=%.*s", i + 1,
					   SLICE_ARG(set->seal.signature.chain)));
	}
}

bool arc_chain_read(struct slice header, struct arena *mem, struct arc_chain *out) {
	struct field field;
	size_t seen = 0;
	*out = (struct arc_chain){ 0 };
	for (struct fields f = { .block = header }; fields_next(&f, &field);) {
		if (!slice_starts_same(field.name, S("ARC-"))) continue;
		bool results = slice_same(field.name, S("ARC-Authentication-Results")),
		     seal = slice_same(field.name, S("ARC-Seal"));
		if (!results && !seal && !slice_same(field.name, S("ARC-Message-Signature"))) continue;
		if (seen++ == 0) out->sets = arena_array(mem, ARC_SETS_MAX, sizeof *out->sets);
		if (seen > 3 * ARC_SETS_MAX) {
			wrong(out, S("the chain has more than 50 sets"));
			break;
		}
		struct slice whole = arena_slice(mem, slice_from(header.at + field.start, field.end - field.start));
		if (results) put_results(out, whole, slice_skip(whole, slice_find(whole, ':') + 1));
		else put_signature(out, seal ? SIGNATURE_ARC_SEAL : SIGNATURE_ARC_MESSAGE, whole, mem);
	}
	if (seen != 0) check_chain(out, mem);
	return seen != 0;
}
