/* SPDX-License-Identifier: Apache-2.0 */
/* OpenDKIM's On-… actions. One good signature that counts is enough; else the first that counts says what is wrong, as
 * it does there. A domain that tests its keys (t=y) is not punished. */
#include "conf/setting.h"
#include "flow/proving.h"
#include "base/clock.h"
#include "trust/dkim_report.h"

/* Of the author's domain, one above it, or one that the owner trusts. */
static bool counts(const struct proving_params *p, struct slice author, const struct dkim_verdict *d) {
	const struct domains *signers = p->dkim.signers;
	struct slice domain = d->domain;
	if (signers == NULL || signers->count == 0 || domains_match(signers, domain)) return true;
	return domain.len != 0 && slice_ends_same(author, domain) &&
	       (author.len == domain.len || author.at[author.len - domain.len - 1] == '.');
}

/* The signature that decides; NULL: none counts. */
static const struct dkim_verdict *decisive(const struct proving_params *p, struct slice header,
					   const struct evidence_verdict *v, struct arena *mem) {
	const struct dkim_verdict *first = NULL;
	struct slice author = SLICE_NONE;
	bool broken;
	(void)dmarc_authors(header, mem, &author, 1, &broken);
	for (size_t i = 0; i < v->dkim_count; i++) {
		const struct dkim_verdict *d = &v->dkim[i];
		if (!counts(p, author, d)) continue;
		if (d->result == TRUST_PASS) return d;
		if (first == NULL) first = d;
	}
	return first;
}

struct finding {
	int action;
	const char *setting, *text;
	struct slice why;
};

static struct finding finding_of(const struct proving_params *p, const struct dkim_verdict *d, struct arena *mem) {
	if (d == NULL) return (struct finding){ p->dkim.none, "dkim_on_no_signature", "no DKIM signature", SLICE_NONE };
	struct finding f = { p->dkim.bad, "dkim_on_bad_signature", "bad DKIM signature data", SLICE_NONE };
	if (d->no_key)
		f = (struct finding){ p->dkim.no_key, "dkim_on_key_not_found", "DKIM key not found", SLICE_NONE };
	else if (d->result == TRUST_TEMPERROR)
		f = (struct finding){ p->dkim.dns_error, "dkim_on_dns_error", "DKIM key lookup failed", SLICE_NONE };
	f.why = arena_fmt(mem, " (d=%.*s s=%.*s): %.*s", SLICE_ARG(d->domain), SLICE_ARG(d->selector),
			  SLICE_ARG(d->reason));
	return f;
}

/* What its signer wants senders of such mail to read (RFC 6651 §3.3, step 10); empty: nothing, or DNS is slow. */
static struct slice signers_words(const struct proving_params *p, const struct dkim_verdict *d, struct arena *mem) {
	enum { WAIT_MS = 2000 };
	struct dkim_report_record r;
	if (!p->dkim.reports || d == NULL || !d->report || p->evidence.dns == NULL ||
	    dkim_report_look(p->evidence.dns, d->domain, deadline_in(WAIT_MS), mem, &r) != DNS_OK ||
	    r.text.len == 0 || !dkim_report_due(&r, d->fault))
		return S("");
	return arena_fmt(mem, "; %.*s says: %.*s", SLICE_ARG(d->domain), SLICE_ARG(r.text));
}

enum proving_act proving_dkim(const struct proving_params *p, struct slice header, struct evidence_verdict *v,
			      struct arena *mem, struct smtp_reply *reply, bool *redirect) {
	*redirect = false;
	if (!v->dkim_checked) return PROVING_TAKE;
	const struct dkim_verdict *d = decisive(p, header, v, mem);
	if (d != NULL && (d->result == TRUST_PASS || d->testing)) return PROVING_TAKE;
	struct finding f = finding_of(p, d, mem);
	*redirect = p->dkim.redirect.len != 0 && d != NULL && d->result == TRUST_FAIL;
	switch (f.action) {
	case DKIM_ACTION_TEMPFAIL:
		*reply = smtp_reply_fmt(mem, 451, "4.7.20", "%s%.*s", f.text, SLICE_ARG(f.why)); /* RFC 7372 */
		return PROVING_REFUSE;
	case DKIM_ACTION_REJECT:
		evidence_act(v, DMARC_POLICY_REJECT, S("local_policy"), slice_of(f.setting), mem);
		*reply = smtp_reply_fmt(mem, 550, "5.7.20", "%s%.*s%.*s", f.text, SLICE_ARG(f.why),
					SLICE_ARG(signers_words(p, d, mem)));
		return PROVING_REFUSE;
	case DKIM_ACTION_DISCARD: return PROVING_DISCARD;
	case DKIM_ACTION_QUARANTINE: return PROVING_HOLD;
	default: return PROVING_TAKE;
	}
}
