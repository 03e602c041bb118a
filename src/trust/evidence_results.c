/* SPDX-License-Identifier: Apache-2.0 */
/* Each finding in the words of RFC 8601, so that mail programs, filters and the next server read ours as they read
 * those of OpenDKIM and OpenDMARC. */
#include "trust/evidence_results.h"

enum { PROPERTIES_MAX = 4 };

struct writer {
	struct authres_method *at;
	size_t count;
	struct arena *mem;
};

static struct authres_method *add(struct writer *w, const char *method, struct slice result) {
	struct authres_method *m = &w->at[w->count++];
	*m = (struct authres_method){ .method = slice_of(method), .result = result };
	m->properties = arena_array(w->mem, PROPERTIES_MAX, sizeof *m->properties);
	return m;
}

static void property(struct authres_method *m, const char *type, const char *name, struct slice value) {
	if (value.len == 0) return;
	m->properties[m->properties_count++] = (struct authres_property){ slice_of(type), slice_of(name), value };
}

static struct slice word(enum trust_result r) {
	return slice_of(trust_word(r));
}

static void add_spf(struct writer *w, const struct evidence_client *c, const struct spf_verdict *spf) {
	bool helo = slice_eq(spf->identity, S("helo"));
	struct authres_method *m = add(w, "spf", word(spf->result));
	if (spf->result == TRUST_TEMPERROR || spf->result == TRUST_PERMERROR) m->reason = spf->reason;
	property(m, "smtp", helo ? "helo" : "mailfrom", helo ? c->helo : c->sender);
}

static void add_dkim(struct writer *w, const struct dkim_verdict *d, bool header_b) {
	struct authres_method *m = add(w, "dkim", word(d->result));
	if (d->result != TRUST_PASS) m->reason = d->reason;
	if (d->testing) m->comment = S("test mode");
	property(m, "header", "d", d->domain);
	property(m, "header", "s", d->selector);
	if (d->algorithm != DKIM_ALGORITHM_UNKNOWN)
		property(m, "header", "a", slice_of(dkim_algorithm_name(d->algorithm)));
	if (header_b) property(m, "header", "b", d->start);
}

static struct slice dmarc_comment(const struct evidence_dmarc *d, struct arena *mem) {
	AUTO_BUF struct buf out = BUF(KIB(1));
	if (d->p == DMARC_POLICY_ABSENT) return SLICE_NONE;
	buf_addf(&out, "p=%s", dmarc_policy_word((enum dmarc_policy)d->p));
	if (d->sp != DMARC_POLICY_ABSENT) buf_addf(&out, " sp=%s", dmarc_policy_word((enum dmarc_policy)d->sp));
	if (d->np != DMARC_POLICY_ABSENT) buf_addf(&out, " np=%s", dmarc_policy_word((enum dmarc_policy)d->np));
	bool acted = d->disposition == DMARC_POLICY_QUARANTINE || d->disposition == DMARC_POLICY_REJECT;
	buf_addf(&out, " dis=%s", acted ? dmarc_policy_word((enum dmarc_policy)d->disposition) : "none");
	if (d->override.len != 0) buf_addf(&out, " override=%.*s", SLICE_ARG(d->override));
	return arena_slice(mem, buf_slice(&out));
}

static void add_dmarc(struct writer *w, const struct evidence_verdict *v) {
	const struct dmarc_verdict *d = &v->dmarc;
	struct authres_method *m = add(w, "dmarc", word(d->result));
	m->comment = dmarc_comment(&v->record.dmarc, w->mem);
	if (d->result == TRUST_TEMPERROR || d->result == TRUST_PERMERROR) m->reason = d->reason;
	property(m, "header", "from", d->from);
}

static void add_arc(struct writer *w, const struct evidence_verdict *v, struct slice ip) {
	const struct arc_verdict *a = &v->arc;
	if (a->result == TRUST_NONE) return;
	struct authres_method *m = add(w, "arc", word(a->result));
	if (a->result != TRUST_PASS) m->reason = a->reason;
	if (a->result == TRUST_PASS) property(m, "header", "oldest-pass", arena_fmt(w->mem, "%u", a->oldest_pass));
	property(m, "smtp", "remote-ip", ip);
}

static void add_client(struct writer *w, const struct evidence_client *c, struct slice ip) {
	if (c->iprev != TRUST_NONE) {
		struct authres_method *m = add(w, "iprev", word(c->iprev));
		m->comment = c->name;
		property(m, "policy", "iprev", ip);
	}
	if (c->login.len != 0) {
		struct authres_method *m = add(w, "auth", S("pass"));
		m->comment = c->mechanism;
		property(m, "smtp", "auth", c->login);
	}
}

void evidence_results(const struct evidence_params *p, const struct evidence_client *c, struct evidence_verdict *v,
		      struct slice adsp, struct arena *mem) {
	struct writer w = { .mem = mem, .at = arena_array(mem, v->dkim_count + 8, sizeof *w.at) };
	struct slice ip = v->record.client;
	if (p->use_spf) add_spf(&w, c, &v->spf);
	if (p->use_spf && v->spf_helo.identity.len != 0) add_spf(&w, c, &v->spf_helo);
	for (size_t i = 0; i < v->dkim_count; i++) add_dkim(&w, &v->dkim[i], !p->no_header_b);
	if (p->use_dkim && v->dkim_count == 0) add(&w, "dkim", word(TRUST_NONE));
	if (adsp.len != 0) property(add(&w, "dkim-adsp", adsp), "header", "from", v->dmarc.from);
	if (p->use_dmarc) add_dmarc(&w, v);
	add_arc(&w, v, ip);
	add_client(&w, c, ip);
	v->results = (struct authres){ slice_of(p->authserv_id), w.at, w.count };
}

void evidence_results_dmarc(struct evidence_verdict *v, struct arena *mem) {
	for (size_t i = 0; i < v->results.methods_count; i++)
		if (slice_eq(v->results.methods[i].method, S("dmarc")))
			v->results.methods[i].comment = dmarc_comment(&v->record.dmarc, mem);
}

static void tell(struct buf *out, const char *what, uint32_t r, struct slice domain, struct slice why) {
	bool plain = r == TRUST_PASS || r == TRUST_NONE;
	buf_addf(out, "%s%s=%s", out->len != 0 ? " " : "", what,
		 r <= TRUST_PERMERROR ? trust_word((enum trust_result)r) : "?");
	if (plain) why = SLICE_NONE;
	if (domain.len == 0 && why.len == 0) return;
	buf_addf(out, " (%.*s%s%.*s)", SLICE_ARG(domain), domain.len != 0 && why.len != 0 ? ": " : "", SLICE_ARG(why));
}

void evidence_tell(struct buf *out, const struct evidence_record *r) {
	const struct evidence_dmarc *d = &r->dmarc;
	if (!r->checked) return;
	if (r->spf.identity.len != 0) tell(out, "spf", r->spf.result, r->spf.domain, r->spf.reason);
	for (size_t i = 0; i < r->dkim_count; i++)
		tell(out, "dkim", r->dkim[i].result, r->dkim[i].domain, r->dkim[i].reason);
	if (r->dkim_count == 0) tell(out, "dkim", TRUST_NONE, SLICE_NONE, SLICE_NONE);
	tell(out, "dmarc", d->result, d->from, d->reason);
	if (d->policy != DMARC_POLICY_ABSENT)
		buf_addf(out, " policy=%s", dmarc_policy_word((enum dmarc_policy)d->policy));
	if (d->disposition > DMARC_POLICY_NONE)
		buf_addf(out, " done=%s", dmarc_policy_word((enum dmarc_policy)d->disposition));
	if (d->override.len != 0) buf_addf(out, " override=%.*s", SLICE_ARG(d->override));
	if (d->comment.len != 0) buf_addf(out, " (%.*s)", SLICE_ARG(d->comment));
	if (r->arc != TRUST_NONE) tell(out, "arc", r->arc, SLICE_NONE, SLICE_NONE);
}
