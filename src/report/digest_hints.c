/* SPDX-License-Identifier: Apache-2.0 */
/* What somebody who runs a domain should do next, in a sentence each. */
#include "report/digest.h"

enum { SOURCE_HINTS_MAX = 15, HINTS_MAX = 40, ENOUGH = 20 };

static void add(struct digest_domain *d, struct arena *mem, enum digest_weight weight, uint64_t count,
		struct slice text) {
	if (d->hints == NULL) d->hints = arena_array(mem, HINTS_MAX, sizeof *d->hints);
	if (d->hints_count == HINTS_MAX) return;
	d->hints[d->hints_count++] = (struct digest_hint){ weight, text, count };
}

static const char *plural(uint64_t n) {
	return n == 1 ? "" : "s";
}

static struct slice who(const struct digest_source *s, struct arena *mem) {
	return s->host.len != 0 ? arena_fmt(mem, "%.*s (%.*s)", SLICE_ARG(s->host), SLICE_ARG(s->source)) : s->source;
}

static struct slice mechanism(const struct digest_source *s, struct arena *mem) {
	bool six = slice_find(s->source, ':') < s->source.len;
	return arena_fmt(mem, "%s:%.*s", six ? "ip6" : "ip4", SLICE_ARG(s->source));
}

/* One that fails altogether, more often than not. */
static void failing(struct digest_domain *d, const struct digest_source *s, struct arena *mem) {
	uint64_t bad = s->count - s->pass;
	struct slice name = who(s, mem), ip = mechanism(s, mem);
	bool own_signature = slice_same(s->dkim_domain, d->domain) ||
			     (s->dkim_domain.len > d->domain.len && slice_ends_same(s->dkim_domain, d->domain));
	bool foreign_spf = slice_same(s->spf_result, S("pass")) && s->spf_domain.len != 0;
	struct slice text;
	if (own_signature)
		text = arena_fmt(mem,
				 "%.*s: %llu message%s carried a signature of yours (selector %.*s) that did not "
				 "verify (%.*s). If this is your "
				 "server, its key is not the one in DNS; else a forwarder or list has changed the mail "
				 "on its way.",
				 SLICE_ARG(name), (unsigned long long)bad, plural(bad), SLICE_ARG(s->dkim_selector),
				 SLICE_ARG(s->dkim_result));
	else if (foreign_spf)
		text = arena_fmt(mem,
				 "%.*s sends as you with the return address of %.*s, which SPF proves, and that is not "
				 "yours. If it works for "
				 "you, give it a DKIM key of %.*s, or let it use a return address in your domain; if "
				 "not, it is a forger.",
				 SLICE_ARG(name), SLICE_ARG(s->spf_domain), SLICE_ARG(d->domain));
	else
		text = arena_fmt(mem,
				 "%.*s sends as you without DKIM and is not in SPF (%llu message%s). If it is yours, "
				 "give it a key or add %.*s "
				 "to the SPF record of %.*s; if not, it is a forger, and a policy of p=reject keeps "
				 "its mail out.",
				 SLICE_ARG(name), (unsigned long long)bad, plural(bad), SLICE_ARG(ip),
				 SLICE_ARG(d->domain));
	add(d, mem, HINT_PROBLEM, bad, text);
}

static void halfway(struct digest_domain *d, const struct digest_source *s, struct arena *mem) {
	struct slice name = who(s, mem);
	if (s->dkim == 0 && s->spf != 0)
		add(d, mem, HINT_NOTE, s->count,
		    arena_fmt(mem,
			      "%.*s sends as you without DKIM, and passes by SPF alone: give it a key, or its mail "
			      "fails as soon as somebody forwards it.",
			      SLICE_ARG(name)));
	else if (s->spf == 0 && s->dkim != 0 && s->count >= ENOUGH)
		add(d, mem, HINT_NOTE, s->count,
		    arena_fmt(mem,
			      "%.*s passes by DKIM alone. That is enough; if it is a server of yours and no forwarder, "
			      "add %.*s to SPF.",
			      SLICE_ARG(name), SLICE_ARG(mechanism(s, mem))));
}

static void of_sources(struct digest_domain *d, struct arena *mem) {
	size_t told = 0;
	for (size_t i = 0; i < d->sources_count && told < SOURCE_HINTS_MAX; i++) {
		const struct digest_source *s = &d->sources[i];
		uint64_t bad = s->count - s->pass;
		size_t before = d->hints_count;
		if (bad * 2 > s->count) failing(d, s, mem);
		else if (bad == 0) halfway(d, s, mem);
		told += d->hints_count - before;
	}
}

static void of_policy(struct digest_domain *d, struct arena *mem) {
	uint64_t all = d->pass + d->fail;
	bool open = slice_search(d->policy, S("p=none")) == 0 && d->policy.len != 0;
	if (all == 0) return;
	if (open && all >= ENOUGH && d->fail * 50 <= all)
		add(d, mem, HINT_GOOD, all,
		    arena_fmt(mem,
			      "Of %llu messages %llu.%llu %% passed: the policy of %.*s can become p=quarantine, and "
			      "p=reject "
			      "some weeks later.",
			      (unsigned long long)all, (unsigned long long)(d->pass * 100 / all),
			      (unsigned long long)(d->pass * 1000 / all % 10), SLICE_ARG(d->domain)));
	else if (open)
		add(d, mem, HINT_NOTE, all,
		    arena_fmt(mem, "The policy is p=none: mail that fails is delivered all the same. Set right what is "
				   "yours in "
				   "the list, then ask for p=quarantine."));
	else if (d->fail == 0)
		add(d, mem, HINT_GOOD, all, S("All mail passed. There is nothing to do."));
}

static const struct { const char *type, *what;
} tls_words[] = {
	{ "starttls-not-supported", "does not offer STARTTLS: switch TLS on (smtpd_tls_security_level = may), and see "
				    "whether something between changes the session" },
	{ "certificate-host-mismatch",
	  "shows a certificate for another name: get one that has the name of the MX record" },
	{ "certificate-expired", "shows a certificate that has expired: renew it" },
	{ "certificate-not-trusted",
	  "shows a certificate that senders do not trust: use one of a public authority, with its whole chain" },
	{ "validation-failure", "failed the check of its certificate or policy" },
	{ "tlsa-invalid", "has a TLSA record that its certificate does not match: publish the new key's record before "
			  "the certificate changes" },
	{ "dnssec-invalid", "has DNS records whose DNSSEC signatures do not verify: look at the zone's keys" },
	{ "dane-required", "has no usable TLSA record, which the sender insists on" },
	{ "sts-policy-fetch-error",
	  "has an MTA-STS policy that cannot be fetched: https://mta-sts.DOMAIN/.well-known/mta-sts.txt must answer" },
	{ "sts-policy-invalid", "has an MTA-STS policy that cannot be read: look at its lines" },
	{ "sts-webpki-invalid",
	  "serves its MTA-STS policy under a certificate that is not valid: renew that of mta-sts.DOMAIN" },
};

static void of_tls(struct digest_domain *d, struct arena *mem) {
	for (size_t i = 0; i < d->tls_count && i < SOURCE_HINTS_MAX; i++) {
		const struct digest_tls *t = &d->tls[i];
		const char *what = "could not be reached with TLS";
		for (size_t k = 0; k < LEN(tls_words); k++)
			if (slice_same(t->type, slice_of(tls_words[k].type))) what = tls_words[k].what;
		struct slice host = t->host.len != 0 ? t->host : d->domain;
		add(d, mem, HINT_PROBLEM, t->count,
		    arena_fmt(mem, "TLS: %.*s %s (%llu session%s failed).", SLICE_ARG(host), what,
			      (unsigned long long)t->count, plural(t->count)));
	}
	if (d->tls_reports != 0 && d->tls_bad == 0)
		add(d, mem, HINT_GOOD, d->tls_good, S("TLS: every session others opened with you was encrypted."));
}

static int by_weight(const void *a, const void *b) {
	const struct digest_hint *x = a, *y = b;
	if (x->weight != y->weight) return x->weight < y->weight ? 1 : -1;
	return x->count < y->count ? 1 : x->count > y->count ? -1 : slice_order(x->text, y->text);
}

static void of_proof(struct digest_domain *d, struct arena *mem) {
	if (d->unproved == 0) return;
	add(d, mem, HINT_NOTE, d->unproved,
	    arena_fmt(mem,
		      "%zu of %zu reports came in mail that neither SPF nor DKIM shows to be from who reports: anybody "
		      "may have made them up",
		      d->unproved, d->reports));
}

void digest_hints(struct digest_domain *d, struct arena *mem) {
	of_proof(d, mem);
	of_sources(d, mem);
	of_policy(d, mem);
	of_tls(d, mem);
	if (d->hints_count != 0) qsort(d->hints, d->hints_count, sizeof *d->hints, by_weight);
}
