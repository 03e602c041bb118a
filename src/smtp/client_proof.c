/* SPDX-License-Identifier: Apache-2.0 */
/* What the other server's certificate must show (postconf(5), smtp_tls_security_level; RFC 7672). DANE is decided for each host:
 * signed TLSA records make TLS necessary, a signed answer that there are none leaves it as it was, and no answer at all keeps
 * the mail here, since an attacker could have kept the answer from us. */
#include "base/fail.h"
#include "smtp/client_private.h"

static bool dane(const struct smtp_client *c) {
	return c->params.proof == SMTP_PROOF_DANE || c->params.proof == SMTP_PROOF_DANE_ONLY;
}

enum smtp_client_result smtp_client_find_tlsa(struct smtp_client *c, struct arena *mem, struct smtp_outcome *why) {
	struct dns_facts facts = { 0 };
	if (!dane(c) || c->params.dns == NULL || c->host.path.len != 0) return SMTP_CLIENT_OK;
	struct slice name = arena_fmt(mem, "_%u._tcp.%.*s", addr_port(&c->host.addr), SLICE_ARG(c->host.name));
	int r = dns_tlsa(c->params.dns, name, deadline_in(SECONDS(60)), &c->mem, &c->tlsa, &c->tlsa_count, &facts);
	if (r == DNS_LATER) {
		smtp_outcome_of(c, mem, why, SMTP_LATER, "4.7.5", "TLSA lookup error for %.*s:%u: %s",
				SLICE_ARG(c->host.name), addr_port(&c->host.addr), fail_text());
		return SMTP_CLIENT_OVER;
	}
	if (r != DNS_OK || !facts.secure) c->tlsa_count = 0;
	if (c->tlsa_count != 0) {
		c->params.tls = SMTP_TLS_ENCRYPT;
	} else if (c->params.proof == SMTP_PROOF_DANE_ONLY) {
		smtp_outcome_of(c, mem, why, SMTP_LATER, "4.7.5", "no TLSA records found for %.*s:%u",
				SLICE_ARG(c->host.name), addr_port(&c->host.addr));
		return SMTP_CLIENT_OVER;
	}
	return SMTP_CLIENT_OK;
}

static int demand_names(struct smtp_client *c, struct tls *t) {
	tls_verify(t, TLS_VERIFY_NAME);
	for (size_t i = 0; i < c->params.proofs_count; i++) {
		struct slice name = c->params.proofs[i].len != 0 ? c->params.proofs[i] : c->host.name;
		if (tls_expect_name(t, arena_text(&c->mem, name)) < 0) return -1;
	}
	return 0;
}

int smtp_client_demand(struct smtp_client *c, struct tls *t) {
	const struct smtp_client_params *p = &c->params;
	int r = 0;
	switch (p->proof) {
	case SMTP_PROOF_NAMES: return demand_names(c, t);
	case SMTP_PROOF_DIGEST:
		for (size_t i = 0; i < p->proofs_count && r >= 0; i++) r = tls_expect_digest(t, p->digest, p->proofs[i]);
		return r;
	default:
		for (size_t i = 0; i < c->tlsa_count && r >= 0; i++)
			r = tls_expect_tlsa(t, c->tlsa[i].usage, c->tlsa[i].selector, c->tlsa[i].matching, c->tlsa[i].data);
		return r;
	}
}
