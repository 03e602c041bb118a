/* SPDX-License-Identifier: Apache-2.0 */
/* Exceptions are made one by one, each by a proof of its own: an address, a name that leads back, a domain that SPF or
 * DKIM has shown. What anybody can write (a List-Id) never lets mail through by itself. */
#include "flow/proving.h"
#include "mime/header.h"
#include "trust/form.h"

/* What RFC 5322 §3.6 misses; empty: nothing. */
static struct slice wrong_header(const struct proving_facts *f, const struct evidence_verdict *v, struct arena *mem) {
	struct slice wrong = form_wrong(f->header, mem);
	if (wrong.len != 0) return wrong;
	return v->dmarc.from.len == 0 ? S("no domain in the From header field") : SLICE_NONE;
}

/* Exceptions. */

static bool in_domains(const struct domains *d, struct slice name) {
	return d != NULL && name.len != 0 && domains_match(d, name);
}

static bool recipient_in(const struct proving_params *p, struct slice address) {
	struct slice domain = slice_skip(address, slice_find_last(address, '@') + 1);
	for (size_t i = 0; i < p->exempt_recipients_count; i++) {
		struct slice one = p->exempt_recipients[i];
		if (slice_same(one, slice_find(one, '@') < one.len ? address : domain)) return true;
	}
	return false;
}

static bool all_recipients_exempt(const struct proving_params *p, const struct proving_facts *f) {
	for (size_t i = 0; i < f->recipients_count; i++)
		if (!recipient_in(p, f->recipients[i].address)) return false;
	return f->recipients_count != 0;
}

/* Is one of these domains proved by SPF or DKIM? Gives it. */
static struct slice proved_in(const struct domains *d, const struct evidence_verdict *v) {
	if (d == NULL || d->count == 0) return SLICE_NONE;
	if (v->spf.result == TRUST_PASS && in_domains(d, v->spf.domain)) return v->spf.domain;
	for (size_t i = 0; i < v->dkim_count; i++)
		if (v->dkim[i].result == TRUST_PASS && in_domains(d, v->dkim[i].domain)) return v->dkim[i].domain;
	return SLICE_NONE;
}

/* One of our lists, whose own domain is proved: by the signature or SPF of the list's domain or one above it. */
static struct slice list_of(const struct proving_params *p, const struct proving_facts *f,
			    const struct evidence_verdict *v, struct arena *mem) {
	struct field field;
	if (p->lists == NULL || p->lists->count == 0 || !header_find(f->header, S("List-Id"), &field))
		return SLICE_NONE;
	struct slice value = header_unfold(field.value, mem);
	struct slice id = slice_skip(value, slice_find_last(value, '<') + 1);
	id = slice_trim(slice_head(id, slice_find(id, '>')));
	if (!in_domains(p->lists, id)) return SLICE_NONE;
	struct domains above = { .parents = true };
	struct domain_pattern proved = { 0 };
	above.at = &proved;
	above.count = 1;
	for (size_t i = 0; i <= v->dkim_count; i++) {
		bool spf = i == v->dkim_count;
		if ((spf ? v->spf.result : v->dkim[i].result) != TRUST_PASS) continue;
		proved.name = arena_lower(mem, spf ? v->spf.domain : v->dkim[i].domain);
		if (slice_find(proved.name, '.') < proved.name.len && domains_match(&above, id)) return id;
	}
	return SLICE_NONE;
}

/* Why a failure has no consequence here; false: it has. */
static bool excepted(const struct proving_params *p, const struct proving_facts *f, const struct evidence_verdict *v,
		     struct arena *mem, struct slice *override, struct slice *why) {
	struct slice found;
	*override = S("local_policy");
	*why = SLICE_NONE;
	if (p->dmarc_exempt != NULL && networks_match_sockaddr(p->dmarc_exempt, &f->client->any))
		*why = S("dmarc_exempt_networks");
	else if (in_domains(p->exempt_hosts, f->name))
		*why = arena_fmt(mem, "dmarc_exempt_hosts: %.*s", SLICE_ARG(f->name));
	else if (in_domains(p->exempt_senders, v->dmarc.from)) *why = S("dmarc_exempt_senders");
	else if (all_recipients_exempt(p, f)) *why = S("dmarc_exempt_recipients");
	else if (v->sealer_trusted) {
		const struct arc_hop *last = &v->arc.hops[v->arc.hops_count - 1]; /* RFC 8617 §7.2.2 */
		*why = arena_fmt(mem, "arc=pass as[%zu].d=%.*s as[%zu].s=%.*s remote-ip[1]=%.*s", v->arc.hops_count,
				 SLICE_ARG(last->domain), v->arc.hops_count, SLICE_ARG(last->selector),
				 SLICE_ARG(v->record.client));
	} else if (in_domains(p->forwarders, f->name) || (found = proved_in(p->forwarders, v)).len != 0) {
		*override = S("trusted_forwarder");
		*why = in_domains(p->forwarders, f->name) ? f->name : found;
	} else if ((found = list_of(p, f, v, mem)).len != 0) {
		*override = S("mailing_list");
		*why = found;
	}
	return why->len != 0;
}

/* Replies. */

static struct smtp_reply refusal(const struct proving_params *p, const struct evidence_verdict *v, struct arena *mem) {
	AUTO_BUF struct buf text = BUF(KIB(1));
	struct slice rest = p->reject_text;
	size_t at = slice_search(rest, S("%s"));
	buf_add(&text, slice_head(rest, at));
	if (at < rest.len) buf_add(&text, v->dmarc.from);
	buf_add(&text, slice_skip(rest, at + 2));
	return smtp_reply(550, "5.7.1", arena_slice(mem, buf_slice(&text)));
}

static enum proving_act quarantine(const struct proving_params *p, struct evidence_verdict *v, bool softened,
				   struct arena *mem) {
	if (p->quarantine == PROVING_QUARANTINE_NONE) {
		evidence_act(v, DMARC_POLICY_NONE, S("local_policy"),
			     softened ? S("dmarc_reject = no") : S("dmarc_quarantine = none"), mem);
		return PROVING_TAKE;
	}
	evidence_act(v, DMARC_POLICY_QUARANTINE, softened ? S("local_policy") : SLICE_NONE, S("dmarc_reject = no"),
		     mem);
	return p->quarantine == PROVING_QUARANTINE_JUNK ? PROVING_JUNK : PROVING_HOLD;
}

enum proving_act proving_decide(const struct proving_params *p, const struct proving_facts *f,
				struct evidence_verdict *v, struct arena *mem, struct smtp_reply *reply) {
	struct slice override, why;
	if (p->required_headers && (why = wrong_header(f, v, mem)).len != 0) {
		*reply = smtp_reply_fmt(mem, 550, "5.7.1", "RFC 5322 requirement error: %.*s", SLICE_ARG(why));
		return PROVING_REFUSE;
	}
	const struct dmarc_verdict *d = &v->dmarc;
	if (d->result == TRUST_TEMPERROR && p->temperror_defers) {
		*reply = smtp_reply_fmt(mem, 451, "4.7.1",
					"The DMARC policy of %.*s cannot be looked up now, try again later",
					SLICE_ARG(d->from));
		return PROVING_REFUSE;
	}
	if (d->disposition != DMARC_POLICY_REJECT && d->disposition != DMARC_POLICY_QUARANTINE) {
		evidence_act(v, DMARC_POLICY_NONE, SLICE_NONE, SLICE_NONE, mem);
		return PROVING_TAKE;
	}
	if (excepted(p, f, v, mem, &override, &why)) {
		evidence_act(v, DMARC_POLICY_NONE, override, why, mem);
		return PROVING_TAKE;
	}
	if (d->disposition == DMARC_POLICY_REJECT && p->reject) {
		evidence_act(v, DMARC_POLICY_REJECT, SLICE_NONE, SLICE_NONE, mem);
		*reply = refusal(p, v, mem);
		return PROVING_REFUSE;
	}
	return quarantine(p, v, d->disposition == DMARC_POLICY_REJECT, mem);
}

struct slice proving_spf_text(const struct spf_verdict *spf, struct arena *mem) {
	AUTO_BUF struct buf text = BUF(400); /* a reply line has 512 */
	buf_addf(&text, "SPF %s - not authorized. %.*s", trust_word(spf->result), SLICE_ARG(spf->reason));
	if (spf->explanation.len != 0) {
		buf_addf(&text, "; %.*s explains: ", SLICE_ARG(spf->domain));
		for (size_t i = 0; i < spf->explanation.len; i++) {
			char c = spf->explanation.at[i];
			buf_byte(&text, ascii_control(c) || (unsigned char)c > 126 ? '?' : c);
		}
	}
	return arena_slice(mem, buf_slice(&text));
}

bool proving_spf_fails(const struct proving_params *p, const struct spf_verdict *spf, bool no_sender) {
	bool helo = slice_eq(spf->identity, S("helo")),
	     weak = spf->result == TRUST_SOFTFAIL || spf->result == TRUST_NEUTRAL;
	unsigned results = !helo || no_sender || !p->helo_null_only ? helo ? p->helo_fails : p->spf_fails : 0;
	return (results >> spf->result & 1) != 0 || (weak && !helo && in_domains(p->spf_strict, spf->domain));
}

struct smtp_reply proving_spf(const struct proving_params *p, const struct spf_verdict *spf, bool no_sender,
			      struct slice recipient, struct arena *mem) {
	const char *form = "<%.*s>: Recipient address rejected: Message rejected due to: %.*s";
	bool broken = spf->result == TRUST_TEMPERROR;
	enum proving_fail action = broken                                 ? p->spf_temperror
				   : proving_spf_fails(p, spf, no_sender) ? p->spf_fail
									  : PROVING_FAIL_NONE;
	if (action == PROVING_FAIL_NONE) return (struct smtp_reply){ .code = 0 };
	struct slice text = broken ? arena_fmt(mem, "SPF temporary error. %.*s", SLICE_ARG(spf->reason))
				   : proving_spf_text(spf, mem);
	bool later = action == PROVING_FAIL_DEFER;
	return smtp_reply_fmt(mem, later ? 451 : 550,
			      broken  ? "4.7.24"
			      : later ? "4.7.23"
				      : "5.7.23",
			      form, SLICE_ARG(recipient), SLICE_ARG(text));
}
