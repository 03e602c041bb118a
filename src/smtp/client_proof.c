/* SPDX-License-Identifier: Apache-2.0 */
/* What the other server's certificate must show (postconf(5), smtp_tls_security_level; RFC 7672). DANE is decided for
 * each host: signed TLSA records make TLS necessary, a signed answer that there are none leaves it as it was, and no
 * answer at all keeps the mail here, since an attacker could have kept the answer from us. */
#include "base/fail.h"
#include "smtp/client_private.h"

static bool dane(const struct smtp_client *c) {
	return c->params.proof == SMTP_PROOF_DANE || c->params.proof == SMTP_PROOF_DANE_ONLY;
}

/* "*.example.org" stands for one label (RFC 8461 §4.1). */
static bool matches(struct slice pattern, struct slice name) {
	if (!slice_starts(pattern, S("*."))) return slice_same(pattern, name);
	size_t dot = slice_find(name, '.');
	return dot != 0 && dot < name.len && slice_same(slice_skip(pattern, 1), slice_skip(name, dot));
}

enum smtp_client_result smtp_client_check_host(struct smtp_client *c, struct arena *mem, struct smtp_outcome *why) {
	const struct smtp_client_params *p = &c->params;
	bool allowed = p->mx_patterns_count == 0 || c->host.domain.len == 0;
	for (size_t i = 0; i < p->mx_patterns_count && !allowed; i++)
		allowed = matches(p->mx_patterns[i], c->host.name);
	if (allowed) return SMTP_CLIENT_OK;
	smtp_outcome_of(c, mem, why, SMTP_LATER, "4.7.5", "MX host %.*s does not match the MTA-STS policy of %.*s",
			SLICE_ARG(c->host.name), SLICE_ARG(c->host.domain));
	return SMTP_CLIENT_OVER;
}

/* There is nothing that could be asked of the certificate. */
static enum smtp_client_result without(struct smtp_client *c, struct arena *mem, struct smtp_outcome *why,
				       const char *words) {
	c->tlsa_count = 0;
	if (c->params.proof != SMTP_PROOF_DANE_ONLY) return SMTP_CLIENT_OK;
	smtp_outcome_of(c, mem, why, SMTP_LATER, "4.7.5", "%s for %.*s:%u", words, SLICE_ARG(c->host.name),
			addr_port(&c->host.addr));
	return SMTP_CLIENT_OVER;
}

/* TLSA of one name. DNS_OK: they are proved. */
static int find_under(struct smtp_client *c, struct slice host, struct arena *mem) {
	struct dns_facts facts = { 0 };
	struct slice name = arena_fmt(mem, "_%u._tcp.%.*s", addr_port(&c->host.addr), SLICE_ARG(host));
	c->tlsa_count = 0;
	int r = dns_tlsa(c->params.dns, name, deadline_in(SECONDS(60)), &c->mem, &c->tlsa, &c->tlsa_count, &facts);
	if (r == DNS_OK && (!facts.secure || c->tlsa_count == 0)) r = DNS_NODATA;
	return r;
}

/* RFC 7672 §3.1.3: usages 0 and 1 are not for mail servers. */
static bool usable(const struct smtp_client *c) {
	for (size_t i = 0; i < c->tlsa_count; i++)
		if ((c->tlsa[i].usage == 2 || c->tlsa[i].usage == 3) && c->tlsa[i].selector <= 1 &&
		    c->tlsa[i].matching <= 2)
			return true;
	return false;
}

enum smtp_client_result smtp_client_find_tlsa(struct smtp_client *c, struct arena *mem, struct smtp_outcome *why) {
	const struct smtp_host *h = &c->host;
	bool insecure_mx = h->domain.len != 0 && !h->domain_secure;
	if (!dane(c) || c->params.dns == NULL || h->path.len != 0) return SMTP_CLIENT_OK;
	if (insecure_mx && (c->params.proof == SMTP_PROOF_DANE_ONLY || c->params.insecure_mx == SMTP_INSECURE_MX_MAY))
		return without(c, mem, why, "non DNSSEC destination");
	if (!h->secure && !c->params.insecure_hosts) return without(c, mem, why, "no TLSA records found");
	int r = h->canonical.len != 0 ? find_under(c, h->canonical, mem) : DNS_NODATA;
	if (r == DNS_OK) c->dane_name = h->canonical;
	else if (r != DNS_LATER && r >= 0) r = find_under(c, h->name, mem);
	if (r == DNS_LATER || r < 0) {
		smtp_outcome_of(c, mem, why, SMTP_LATER, "4.7.5", "TLSA lookup error for %.*s:%u: %s",
				SLICE_ARG(h->name), addr_port(&h->addr), fail_text());
		return SMTP_CLIENT_OVER;
	}
	if (r != DNS_OK) return without(c, mem, why, "no TLSA records found");
	if (!usable(c) && c->params.proof == SMTP_PROOF_DANE_ONLY) return without(c, mem, why, "TLSA records unusable");
	if (!usable(c) || (insecure_mx && c->params.insecure_mx == SMTP_INSECURE_MX_ENCRYPT)) c->tlsa_count = 0;
	c->half_proved = insecure_mx;
	c->tlsa_found = true;
	c->params.tls = SMTP_TLS_ENCRYPT;
	return SMTP_CLIENT_OK;
}

/* The host's names and the domain's are what a certificate under a trust anchor may say (RFC 7672 §3.2.2). */
static int demand_tlsa(struct smtp_client *c, struct tls *t) {
	const struct slice names[] = { c->dane_name, c->host.name, c->host.domain };
	int r = 0;
	for (size_t i = 0; i < c->tlsa_count && r >= 0; i++)
		r = tls_expect_tlsa(t, c->tlsa[i].usage, c->tlsa[i].selector, c->tlsa[i].matching, c->tlsa[i].data);
	for (size_t i = 0; i < LEN(names) && c->tlsa_count != 0 && r >= 0; i++)
		if (names[i].len != 0) r = tls_expect_name(t, arena_text(&c->mem, names[i]));
	return r;
}

static int demand_names(struct smtp_client *c, struct tls *t) {
	if (c->params.anchors.len != 0 && tls_expect_anchors(t, c->params.anchors) < 0) return -1;
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
		for (size_t i = 0; i < p->proofs_count && r >= 0; i++)
			r = tls_expect_digest(t, p->digest, p->proofs[i]);
		return r;
	default: return demand_tlsa(c, t);
	}
}
