/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked of DNS is started as early as it is known, so that it comes in while the message does: the sender's SPF
 * record at MAIL, keys and the author's policy when the header is there. At the end little is left to wait for. */
#include "trust/evidence.h"
#include "base/clock.h"
#include "mime/header.h"
#include "trust/adsp.h"
#include "trust/evidence_results.h"

enum { TIMEOUT_MS = 20000, SOURCE_MAX = 2000 /* of a record is kept */ };
enum { SPF_HINTS_MAX = 10 /* as many look-ups as a check may have */ };

WIRE_STRUCT(evidence_source, EVIDENCE_SOURCE_FIELDS)
WIRE_STRUCT(evidence_spf, EVIDENCE_SPF_FIELDS)
WIRE_STRUCT(evidence_dkim, EVIDENCE_DKIM_FIELDS)
WIRE_STRUCT(evidence_dmarc, EVIDENCE_DMARC_FIELDS)
WIRE_STRUCT(evidence_record, EVIDENCE_RECORD_FIELDS)

struct evidence {
	const struct evidence_params *params;
	const struct evidence_client *client;
	struct slice header;
	struct arena *mem;
	unsigned hints;
	struct dkim_bodies *bodies;
	struct dkim_verifier *dkim;
	struct arc_verifier *arc;
};

static struct slice domain_of(struct slice address) {
	return slice_skip(address, slice_find_last(address, '@') + 1);
}

static struct slice spf_domain(const struct evidence_client *c) {
	struct slice domain = c->sender.len != 0 ? domain_of(c->sender) : c->helo;
	return domain.len != 0 && slice_is_ascii(domain) && domain.at[0] != '[' ? domain : SLICE_NONE;
}

void evidence_hint(const struct evidence_params *p, const struct evidence_client *c) {
	struct slice domain = spf_domain(c);
	if (p->use_spf && domain.len != 0) dns_hint(p->dns, domain, DNS_TXT);
}

/* The records that an SPF record which has come by now leads to: asked for all at once, where the check itself goes
 * from one to the next. */
static void hint_includes(struct evidence *e, struct slice domain, unsigned depth) {
	struct slice *texts, word;
	size_t n;
	if (dns_txt(e->params->dns, domain, clock_ms(), e->mem, &texts, &n, NULL) != DNS_OK) return;
	for (size_t i = 0; i < n; i++) {
		struct slice rest = texts[i];
		if (!slice_starts_same(rest, S("v=spf1 "))) continue;
		while ((word = slice_word(&rest, " ")).len != 0 && e->hints < SPF_HINTS_MAX) {
			size_t name = slice_starts_same(word, S("include:"))    ? 8
				      : slice_starts_same(word, S("redirect=")) ? 9
										: word.len;
			struct slice target = slice_skip(word, name);
			if (target.len == 0 || slice_find(target, '%') < target.len) continue;
			e->hints++;
			dns_hint(e->params->dns, target, DNS_TXT);
			if (depth > 0) hint_includes(e, target, depth - 1);
		}
	}
}

static void hint_spf(struct evidence *e, unsigned depth) {
	struct slice domain = spf_domain(e->client);
	e->hints = 0;
	if (e->params->use_spf && e->client->spf == NULL && domain.len != 0) hint_includes(e, domain, depth);
}

struct evidence *evidence_begin(const struct evidence_params *p, const struct evidence_client *c, struct slice header,
				struct arena *mem) {
	struct evidence *e = arena_get(mem, sizeof *e);
	*e = (struct evidence){ .params = p, .client = c, .mem = mem, .header = arena_slice(mem, header) };
	struct dkim_params dkim = p->dkim;
	dkim.bodies = e->bodies = dkim_bodies_new(mem);
	if (p->use_dkim) e->dkim = dkim_verify_begin(&dkim, e->header, mem);
	if (p->use_arc) e->arc = arc_verify_begin(&dkim, e->header, mem);
	if (p->use_dmarc) dmarc_hint(&p->dmarc, e->header);
	hint_spf(e, 0);
	return e;
}

void evidence_body(struct evidence *e, struct slice bytes) {
	dkim_bodies_bytes(e->bodies, bytes);
}

static void ask_spf(const struct evidence *e, int64_t deadline, struct evidence_verdict *v) {
	const struct evidence_client *c = e->client;
	struct spf_question q = { .client = &c->address, .helo = c->helo, .sender = c->sender };
	struct spf_params p = e->params->spf;
	p.deadline = deadline;
	if (c->spf != NULL) v->spf = *c->spf;
	else spf_check(&p, &q, e->mem, &v->spf);
	if (!e->params->use_helo || c->sender.len == 0) return;
	q.of_helo = true;
	if (c->spf_helo != NULL) v->spf_helo = *c->spf_helo;
	else spf_check(&p, &q, e->mem, &v->spf_helo);
}

static bool is_trusted(const struct evidence_params *p, struct slice domain) {
	for (size_t i = 0; i < p->trusted_sealers_count; i++)
		if (slice_same(p->trusted_sealers[i], domain)) return true;
	return false;
}

static bool said_pass(struct slice results, struct arena *mem) {
	struct authres a;
	if (!authres_parse(results, mem, &a)) return false;
	for (size_t i = 0; i < a.methods_count; i++)
		if (slice_same(a.methods[i].method, S("dmarc")) && slice_same(a.methods[i].result, S("pass")))
			return true;
	return false;
}

/* A sealer is believed as long as everybody behind him is, too: whoever comes later could have written anything. */
static bool sealer_vouches(const struct evidence *e, const struct arc_verdict *arc) {
	if (arc->result != TRUST_PASS) return false;
	for (size_t i = arc->hops_count; i > 0; i--) {
		const struct arc_hop *hop = &arc->hops[i - 1];
		if (!is_trusted(e->params, hop->domain)) return false;
		if (said_pass(hop->results, e->mem)) return true;
	}
	return false;
}

/* Of mail that a machine wrote to tell of other mail nobody is told: reports about reports would never end
 * (RFC 6651 §5, RFC 5965 §4). */
static bool is_notice(const struct evidence *e) {
	struct field f;
	if (e->client->sender.len == 0) return true;
	if (header_find(e->header, S("Auto-Submitted"), &f) && !slice_starts_same(slice_trim(f.value), S("no")))
		return true;
	return header_find(e->header, S("Content-Type"), &f) &&
	       slice_starts_same(slice_trim(f.value), S("multipart/report"));
}

static void make_record(const struct evidence *e, struct evidence_verdict *v) {
	char ip[ADDR_TEXT_ROOM];
	struct evidence_record *r = &v->record;
	*r = (struct evidence_record){
		.checked = true,
		.client = arena_slice(e->mem, slice_of(addr_text(&e->client->address, ip))),
		.arc = v->arc.result,
		.spf = { v->spf.result, v->spf.domain, v->spf.identity, v->spf.reason },
		.dkim = arena_array(e->mem, v->dkim_count + 1, sizeof *r->dkim),
		.dkim_count = v->dkim_count,
	};
	for (size_t i = 0; i < v->dkim_count; i++) {
		const struct dkim_verdict *d = &v->dkim[i];
		r->dkim[i] = (struct evidence_dkim){ .result = d->result, .domain = d->domain, .selector = d->selector,
						     .algorithm = slice_of(dkim_algorithm_name(d->algorithm)),
						     .reason = d->reason };
		if (d->result == TRUST_PASS || !d->report || d->domain.len == 0 || is_notice(e)) continue;
		r->dkim[i].fault = d->fault;
		r->dkim[i].identity = d->identity;
	}
	const struct dmarc_verdict *d = &v->dmarc;
	r->dmarc = (struct evidence_dmarc){
		.result = d->result, .policy = d->policy, .p = d->record.p, .sp = d->record.sp, .np = d->record.np,
		.disposition = d->disposition, .percent = d->record.percent, .adkim_strict = d->record.adkim_strict,
		.aspf_strict = d->record.aspf_strict, .testing = d->record.testing, .spf_aligned = d->spf_aligned,
		.dkim_aligned = d->dkim_aligned, .from = d->from, .domain = d->domain, .rua = d->record.rua,
		.fo = d->record.fo, .reason = d->reason,
	};
	if (d->record.psd != 'y') r->dmarc.ruf = d->record.ruf; /* a registry hears of no single mail (RFC 9991 §2) */
	if (r->dmarc.ruf.len != 0 && v->spf.result != TRUST_PASS) {
		r->sources_count = v->spf.sources_count;
		r->sources = arena_array(e->mem, r->sources_count + 1, sizeof *r->sources);
		for (size_t i = 0; i < r->sources_count; i++)
			r->sources[i] = (struct evidence_source){ v->spf.sources[i].domain,
								  slice_head(v->spf.sources[i].record, SOURCE_MAX) };
	}
	if (d->sampled_out) r->dmarc.override = S("sampled_out");
	if (d->result == TRUST_FAIL && d->record.testing && d->policy > DMARC_POLICY_NONE)
		r->dmarc.override = S("policy_test_mode");
}

static struct slice ask_adsp(const struct evidence *e, const struct evidence_verdict *v, int64_t deadline) {
	bool by_author = false;
	for (size_t i = 0; i < v->dkim_count; i++)
		by_author |= v->dkim[i].result == TRUST_PASS && slice_same(v->dkim[i].domain, v->dmarc.from);
	return slice_of(adsp_word(adsp_check(e->params->dns, v->dmarc.from, by_author, deadline, e->mem)));
}

void evidence_end(struct evidence *e, struct evidence_verdict *out) {
	const struct evidence_params *p = e->params;
	struct evidence_verdict v = { .dkim_checked = p->use_dkim, .dmarc.disposition = DMARC_POLICY_NONE };
	int64_t wait = p->timeout_ms > 0 ? p->timeout_ms : TIMEOUT_MS, deadline = deadline_in(wait);
	int64_t keys = deadline - wait / 2,
		senders = deadline - wait / 4; /* a dead server of keys leaves time for the others */
	if (e->dkim != NULL) dkim_verify_end(e->dkim, keys, &v.dkim, &v.dkim_count);
	hint_spf(e, 1); /* has come while the keys were waited for */
	if (e->arc != NULL) arc_verify_end(e->arc, keys, &v.arc);
	if (p->use_spf) ask_spf(e, senders, &v);
	if (p->use_dmarc) dmarc_check(&p->dmarc, e->header, &v.spf, v.dkim, v.dkim_count, deadline, e->mem, &v.dmarc);
	v.sealer_trusted = p->trusted_sealers_count != 0 && sealer_vouches(e, &v.arc);
	make_record(e, &v);
	struct slice adsp = p->adsp && v.dmarc.from.len != 0 ? ask_adsp(e, &v, deadline) : SLICE_NONE;
	evidence_results(p, e->client, &v, adsp, e->mem);
	*out = v;
}

void evidence_act(struct evidence_verdict *v, enum dmarc_policy done, struct slice override, struct slice comment,
		  struct arena *mem) {
	struct evidence_dmarc *d = &v->record.dmarc;
	d->disposition = done;
	if (override.len != 0) {
		d->override = override;
		d->comment = arena_slice(mem, comment);
	}
	evidence_results_dmarc(v, mem);
}
