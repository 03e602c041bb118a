/* SPDX-License-Identifier: Apache-2.0 */
/* First whose policy it is, then whether anything proved belongs to the same organisation. DNS is asked only as far as
 * the answer depends on it: a signature of the author's own domain needs no walk, and of foreign domains only those
 * below the author's organisation can be of it. */
#include "trust/dmarc.h"
#include "base/encode.h"
#include "mime/address.h"
#include "mime/header.h"
#include "trust/dmarc_tree.h"

/* ---- the author ---- */

struct authors {
	struct slice *at;
	size_t max, count, seen; /* seen: mailboxes */
	bool broken, grouped, many;
};

static void author_add(struct authors *a, struct address who, struct arena *mem) {
	struct slice domain;
	if (who.kind != ADDRESS_MAILBOX) {
		a->grouped = true;
		return;
	}
	a->seen++;
	if (!domain_ascii(who.domain, mem, &domain) || !domain_valid(domain, false)) {
		a->broken = true;
		return;
	}
	for (size_t i = 0; i < a->count; i++)
		if (slice_eq(a->at[i], domain)) return;
	if (a->count == a->max) a->many = true;
	else a->at[a->count++] = domain;
}

static void authors_read(struct slice header, struct arena *mem, struct authors *a) {
	struct fields f = { .block = header };
	struct field from;
	while (header_find_from(&f, S("From"), &from)) {
		struct address_list list = address_list_parse(header_unfold(from.value, mem), mem);
		for (size_t i = 0; i < list.count && !a->many; i++) author_add(a, list.at[i], mem);
	}
	if (a->seen == 0 && !a->grouped) a->broken = true;
}

size_t dmarc_authors(struct slice header, struct arena *mem, struct slice *out, size_t max, bool *broken) {
	struct authors a = { .at = out, .max = max };
	authors_read(header, mem, &a);
	*broken = a.broken;
	return a.count;
}

/* ---- the policy ---- */

static void verdict_later(struct dmarc_verdict *v, const struct dmarc_found *f, struct arena *mem) {
	v->result = TRUST_TEMPERROR;
	v->reason = arena_fmt(mem, "the policy of %.*s cannot be looked up now: %.*s", SLICE_ARG(f->domain),
			      SLICE_ARG(f->reason));
}

static bool nonexistent(struct dmarc_seeker *s, struct slice domain) {
	struct slice *data;
	size_t n;
	return dns_query(s->p->dns, domain, DNS_A, s->deadline, s->mem, &data, &n, NULL) == DNS_NXDOMAIN;
}

static void take_record(struct dmarc_seeker *s, const struct dmarc_found *f, struct dmarc_verdict *v) {
	const struct dmarc_record *r = &f->record;
	v->record = *r;
	v->domain = f->domain;
	v->policy = r->p;
	v->sub = !slice_eq(f->domain, v->from);
	if (!v->sub) return;
	if (r->sp != DMARC_POLICY_ABSENT) v->policy = r->sp;
	if (r->np == DMARC_POLICY_ABSENT || r->np == v->policy) return;
	v->nonexistent = nonexistent(s, v->from);
	if (v->nonexistent) v->policy = r->np;
}

static bool under(struct slice domain, struct slice above) {
	return slice_eq(domain, above) ||
	       (domain.len > above.len && slice_ends(domain, above) && domain.at[domain.len - above.len - 1] == '.');
}

/* Nobody above has a record that counts; one that cannot be used is worth a word. */
static const struct dmarc_found *broken_above(const struct dmarc_seeker *s, struct slice domain) {
	for (const struct dmarc_found *f = s->known; f != NULL; f = f->next)
		if (f->answer == DMARC_BROKEN && under(domain, f->domain)) return f;
	return NULL;
}

/* Policy discovery (§4.10.1): the author's domain, its organisation, its public suffix. False: the verdict is final. */
static bool find_policy(struct dmarc_seeker *s, struct dmarc_verdict *v) {
	const struct dmarc_found *f = dmarc_seek(s, v->from), *psd = NULL;
	v->organisation = v->from;
	if (f->answer == DMARC_ABSENT) {
		const struct dmarc_found *late = dmarc_seek_organisation(s, v->from, &v->organisation, &psd);
		if (late != NULL) {
			verdict_later(v, late, s->mem);
			return false;
		}
		struct slice why = f->reason;
		f = dmarc_seek(s, v->organisation);
		if (f->answer == DMARC_ABSENT && psd != NULL) f = psd;
		if (f->answer == DMARC_ABSENT && why.len == 0) why = f->reason;
		const struct dmarc_found *broken = f->answer == DMARC_ABSENT ? broken_above(s, v->from) : NULL;
		if (broken != NULL) f = broken;
		if (f->answer == DMARC_ABSENT)
			v->reason = why.len != 0
					    ? why
					    : arena_fmt(s->mem, "%.*s publishes no DMARC policy", SLICE_ARG(v->from));
	}
	if (f->answer == DMARC_LATER) verdict_later(v, f, s->mem);
	if (f->answer == DMARC_BROKEN) {
		v->result = TRUST_PERMERROR;
		v->domain = f->domain;
		v->reason = arena_fmt(s->mem, "the DMARC record of %.*s cannot be used: %.*s", SLICE_ARG(f->domain),
				      SLICE_ARG(f->reason));
	}
	if (f->answer == DMARC_FOUND) take_record(s, f, v);
	return f->answer == DMARC_FOUND;
}

static enum dmarc_policy milder(enum dmarc_policy p) {
	return p == DMARC_POLICY_REJECT ? DMARC_POLICY_QUARANTINE : DMARC_POLICY_NONE;
}

/* ---- alignment ---- */

enum alignment { FOREIGN, ALIGNED, ALIGNED_LATER };

static enum alignment align(struct dmarc_seeker *s, struct slice author, struct slice *organisation, struct slice other,
			    bool strict) {
	struct slice domain, its;
	const struct dmarc_found *psd;
	if (!domain_ascii(other, s->mem, &domain)) return FOREIGN;
	if (slice_eq(domain, author)) return ALIGNED;
	if (strict) return FOREIGN;
	if (organisation->len == 0 && dmarc_seek_organisation(s, author, organisation, &psd) != NULL)
		return ALIGNED_LATER;
	if (!under(domain, *organisation)) return FOREIGN;
	if (dmarc_seek_organisation(s, domain, &its, &psd) != NULL) return ALIGNED_LATER;
	return slice_eq(its, *organisation) ? ALIGNED : FOREIGN;
}

bool dmarc_aligned(const struct dmarc_params *p, struct slice author, struct slice other, bool strict, int64_t deadline,
		   struct arena *mem) {
	struct dmarc_seeker s = { .p = p, .deadline = deadline, .mem = mem };
	struct slice organisation = SLICE_NONE, domain;
	return domain_ascii(author, mem, &domain) && align(&s, domain, &organisation, other, strict) == ALIGNED;
}

/* ---- the verdict ---- */

struct proof {
	const struct spf_verdict *spf;
	const struct dkim_verdict *dkim;
	size_t dkim_count;
};

/* What passed, or might have if DNS had answered, and is the author's. False: nothing can be said now. */
static bool weigh(struct dmarc_seeker *s, const struct proof *proof, struct dmarc_verdict *v) {
	bool later = false;
	struct slice organisation = SLICE_NONE;
	for (size_t i = 0; i < proof->dkim_count; i++) {
		const struct dkim_verdict *d = &proof->dkim[i];
		if (d->result != TRUST_PASS && d->result != TRUST_TEMPERROR) continue;
		enum alignment a = align(s, v->from, &organisation, d->domain, v->record.adkim_strict);
		if (a == ALIGNED && d->result == TRUST_PASS) v->dkim_aligned = true;
		else if (a != FOREIGN) later = true;
	}
	if (proof->spf != NULL && (proof->spf->result == TRUST_PASS || proof->spf->result == TRUST_TEMPERROR)) {
		enum alignment a = align(s, v->from, &organisation, proof->spf->domain, v->record.aspf_strict);
		if (a == ALIGNED && proof->spf->result == TRUST_PASS) v->spf_aligned = true;
		else if (a != FOREIGN) later = true;
	}
	if (organisation.len != 0) v->organisation = organisation;
	return v->dkim_aligned || v->spf_aligned || !later;
}

static const char *what_proved(const struct proof *proof) {
	bool dkim = false, spf = proof->spf != NULL && proof->spf->result == TRUST_PASS;
	for (size_t i = 0; i < proof->dkim_count; i++) dkim = dkim || proof->dkim[i].result == TRUST_PASS;
	return dkim && spf ? "SPF and DKIM passed for other domains only"
	       : dkim      ? "DKIM passed for another domain, SPF did not"
	       : spf       ? "SPF passed for another domain, DKIM did not"
			   : "neither SPF nor DKIM passed";
}

static void sentence(struct dmarc_seeker *s, struct dmarc_verdict *v) {
	const struct dmarc_record *r = &v->record;
	v->disposition = v->policy;
	unsigned roll = s->p->roll != 0 ? s->p->roll : (unsigned)random_below(100) + 1;
	v->sampled_out = !r->testing && v->policy > DMARC_POLICY_NONE && roll > r->percent;
	if (r->testing || v->sampled_out) v->disposition = milder(v->policy);
}

static void check_one(struct dmarc_seeker *s, struct slice from, const struct proof *proof, struct dmarc_verdict *v) {
	*v = (struct dmarc_verdict){ .from = from };
	if (!find_policy(s, v)) return;
	v->disposition = DMARC_POLICY_NONE;
	if (!weigh(s, proof, v)) {
		v->result = TRUST_TEMPERROR;
		v->reason = arena_fmt(s->mem, "what could have proved %.*s cannot be checked now", SLICE_ARG(from));
	} else if (v->dkim_aligned || v->spf_aligned) {
		v->result = TRUST_PASS;
	} else {
		v->result = TRUST_FAIL;
		sentence(s, v);
		v->reason = arena_fmt(s->mem, "%s, so nothing proves that it is from %.*s", what_proved(proof),
				      SLICE_ARG(from));
	}
}

/* Which of two verdicts about one message counts. */
static unsigned weight(const struct dmarc_verdict *v) {
	static const unsigned of[] = {
		[TRUST_PASS] = 1, [TRUST_PERMERROR] = 2, [TRUST_TEMPERROR] = 3, [TRUST_FAIL] = 4
	};
	unsigned w = v->result < LEN(of) ? of[v->result] : 0;
	return v->result == TRUST_FAIL ? w + v->disposition : w;
}

static void many_authors(struct slice first, struct arena *mem, bool reject, struct dmarc_verdict *v) {
	*v = (struct dmarc_verdict){ .from = first,
				     .organisation = first,
				     .result = reject ? TRUST_FAIL : TRUST_PERMERROR,
				     .policy = reject ? DMARC_POLICY_REJECT : DMARC_POLICY_ABSENT,
				     .disposition = reject ? DMARC_POLICY_REJECT : DMARC_POLICY_ABSENT,
				     .reason = arena_fmt(mem,
							 reject ? "the authors in From are of more than one domain"
								: "the authors in From are of more than %d domains",
							 DMARC_FROM_MAX) };
}

void dmarc_check(const struct dmarc_params *p, struct slice header, const struct spf_verdict *spf,
		 const struct dkim_verdict *dkim, size_t dkim_count, int64_t deadline, struct arena *mem,
		 struct dmarc_verdict *out) {
	struct slice domains[DMARC_FROM_MAX];
	struct authors a = { .at = domains, .max = LEN(domains) };
	struct dmarc_seeker s = { .p = p, .deadline = deadline, .mem = mem };
	struct proof proof = { spf, dkim, dkim_count };
	authors_read(header, mem, &a);
	*out = (struct dmarc_verdict){ .result = a.broken ? TRUST_PERMERROR : TRUST_NONE,
				       .reason = !a.broken     ? S("From names nobody")
						 : a.seen == 0 ? S("there is no author in From")
							       : S("an author in From has no domain") };
	if (a.many || (a.count > 1 && p->reject_many_from)) {
		many_authors(domains[0], mem, p->reject_many_from, out);
		return;
	}
	for (size_t i = 0; i < a.count; i++) {
		struct dmarc_verdict v;
		check_one(&s, domains[i], &proof, &v);
		if ((i == 0 && !a.broken) || weight(&v) > weight(out)) *out = v;
	}
}

void dmarc_look(const struct dmarc_params *p, struct slice from_domain, int64_t deadline, struct arena *mem,
		struct dmarc_verdict *out) {
	struct dmarc_seeker s = { .p = p, .deadline = deadline, .mem = mem };
	*out = (struct dmarc_verdict){0};
	if (!domain_ascii(from_domain, mem, &out->from)) {
		out->result = TRUST_PERMERROR;
		out->reason = S("this is no domain");
		return;
	}
	if (!find_policy(&s, out)) return;
	out->result = TRUST_FAIL;
	out->disposition = out->record.testing ? milder(out->policy) : out->policy;
}

void dmarc_hint(const struct dmarc_params *p, struct slice header) {
	AUTO_ARENA struct arena mem = {0};
	struct slice domains[DMARC_FROM_MAX], steps[DMARC_WALK_MAX];
	bool broken;
	size_t n = dmarc_authors(header, &mem, domains, 2, &broken); /* who writes for more may wait */
	for (size_t i = 0; i < n; i++) {
		size_t count = dmarc_walk(domains[i], steps);
		for (size_t j = 0; j < count; j++)
			dns_hint(p->dns, arena_fmt(&mem, "_dmarc.%.*s", SLICE_ARG(steps[j])), DNS_TXT);
	}
}
