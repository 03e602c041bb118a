/* SPDX-License-Identifier: Apache-2.0 */
/* Of all that was found out about a message, what one failure report tells. */
#include "flow/reporting_private.h"

enum { WAIT_MS = 60000 };

static struct slice keep(struct failure *f, struct slice s) {
	return arena_slice(&f->mem, slice_head(s, 255));
}

bool failure_alike(const struct failure *f, const struct evidence_record *e) {
	const struct report_failure *r = &f->report;
	if (!slice_eq(r->source, e->client) || (r->signature == DKIM_FAULT_NONE) != (e->dmarc.ruf.len != 0))
		return false;
	if (r->signature != DKIM_FAULT_NONE)
		return r->signature == e->dkim[0].fault && slice_same(r->dkim_domain, e->dkim[0].domain) &&
		       slice_eq(r->dkim_selector, e->dkim[0].selector);
	return slice_same(r->domain, e->dmarc.domain) && slice_same(r->from, e->dmarc.from) &&
	       r->spf_failed == !e->dmarc.spf_aligned && r->dkim_failed == !e->dmarc.dkim_aligned;
}

static bool is_below(struct slice domain, struct slice above) {
	return domain.len > above.len && slice_ends_same(domain, above) &&
	       domain.at[domain.len - above.len - 1] == '.';
}

/* The first signature that did not verify; one of the author's own domain, if there is any (RFC 9991 §4 wants that). */
static const struct evidence_dkim *broken(const struct evidence_record *e) {
	const struct evidence_dkim *first = NULL;
	struct slice from = e->dmarc.from;
	for (size_t i = 0; i < e->dkim_count; i++) {
		const struct evidence_dkim *d = &e->dkim[i];
		if (d->result == TRUST_PASS) continue;
		if (slice_same(d->domain, from) || is_below(d->domain, from) || is_below(from, d->domain)) return d;
		if (first == NULL) first = d;
	}
	return first;
}

static void keep_sources(struct failure *f, const struct evidence_record *e) {
	size_t n = MIN_OF(e->sources_count, (size_t)SPF_SOURCES_MAX);
	struct spf_source *list = arena_array(&f->mem, n + 1, sizeof *list);
	for (size_t i = 0; i < n; i++)
		list[i] = (struct spf_source){ keep(f, e->sources[i].domain),
					       arena_slice(&f->mem, e->sources[i].record) };
	f->report.sources = list;
	f->report.sources_count = n;
}

static struct slice delivery_of(const struct evidence_record *e) {
	return e->dmarc.disposition == DMARC_POLICY_REJECT       ? S("reject")
	       : e->dmarc.disposition == DMARC_POLICY_QUARANTINE ? S("policy")
								 : S("delivered");
}

static void make_of_policy(struct failure *f, const struct evidence_record *e) {
	const struct evidence_dkim *dkim = broken(e);
	const struct evidence_dmarc *d = &e->dmarc;
	f->ruf = keep(f, d->ruf);
	f->of_none = d->policy <= DMARC_POLICY_NONE;
	f->report.domain = keep(f, d->domain);
	f->report.spf_failed = !d->spf_aligned;
	f->report.dkim_failed = !d->dkim_aligned;
	f->report.spf = slice_of(trust_word((enum trust_result)e->spf.result));
	f->report.dkim = slice_of(trust_word(dkim != NULL         ? (enum trust_result)dkim->result
					     : e->dkim_count != 0 ? TRUST_PASS
								  : TRUST_NONE));
	keep_sources(f, e);
	if (dkim == NULL) return;
	f->report.dkim_domain = keep(f, dkim->domain);
	f->report.dkim_selector = keep(f, dkim->selector);
}

static void make_of_signature(struct failure *f, const struct evidence_dkim *d) {
	f->report.signature = (enum dkim_fault)d->fault;
	f->report.domain = f->report.dkim_domain = keep(f, d->domain);
	f->report.dkim_selector = keep(f, d->selector);
	f->report.dkim_identity = keep(f, d->identity);
	f->report.dkim = slice_of(trust_word((enum trust_result)d->result));
	f->report.reason = keep(f, d->reason);
}

struct failure *failure_make(const struct evidence_record *e) {
	struct failure *f = mem_get(sizeof *f);
	f->due = deadline_in(WAIT_MS);
	f->report = (struct report_failure){
		.from = keep(f, e->dmarc.from),
		.source = keep(f, e->client),
		.envelope_domain = keep(f, e->spf.domain),
		.delivery = delivery_of(e),
		.incidents = 1,
		.arrived_s = wall_s(),
	};
	if (e->dmarc.ruf.len != 0 || e->dkim_count == 0) make_of_policy(f, e);
	else make_of_signature(f, &e->dkim[0]);
	return f;
}

static bool told_already(const struct evidence_record *about, size_t n, const struct evidence_dkim *d) {
	for (size_t i = 0; i < n; i++)
		if (about[i].dmarc.ruf.len == 0 && slice_same(about[i].dkim[0].domain, d->domain)) return true;
	return false;
}

size_t failures_of(const struct evidence_record *e, unsigned kinds, struct evidence_record out[static FAILURES_MAX]) {
	const struct evidence_dmarc *d = &e->dmarc;
	size_t n = 0;
	if ((kinds & REPORTING_DMARC) != 0 && slice_search(d->ruf, S("mailto:")) < d->ruf.len &&
	    report_failure_wanted(d->fo, d->spf_aligned, d->dkim_aligned, e->spf.result == TRUST_PASS,
				  broken(e) != NULL))
		out[n++] = *e;
	for (size_t i = 0; i < e->dkim_count && (kinds & REPORTING_DKIM) != 0 && n < FAILURES_MAX; i++) {
		if (e->dkim[i].fault == DKIM_FAULT_NONE || e->dkim[i].fault > DKIM_FAULT_OTHER ||
		    told_already(out, n, &e->dkim[i]))
			continue;
		out[n] = *e;
		out[n].dkim = &e->dkim[i];
		out[n].dkim_count = 1;
		out[n].sources_count = 0;
		out[n++].dmarc = (struct evidence_dmarc){ .from = d->from, .disposition = d->disposition };
	}
	return n;
}
