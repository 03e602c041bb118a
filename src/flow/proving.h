/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "filter/checks.h"
#include "conf/network.h"
#include "flow/ask.h"
#include "smtp/reply.h"
#include "trust/evidence.h"
/* What the door makes of the evidence: SPF and DMARC say what a domain wants, the owner of this server says what is
 * done. Exceptions are told in the record, so that the domain's reports name them (RFC 9990, "override"). */
enum proving_fail { PROVING_FAIL_NONE, PROVING_FAIL_DEFER, PROVING_FAIL_REJECT };
struct proving_params {
	struct evidence_params evidence;
	struct checks_params onward;         /* smtp_header_checks and the like, which forwarded mail goes through */
	const struct networks *exempt;       /* clients of whom nothing is asked: sender_check_exempt_networks */
	enum proving_fail spf_fail, spf_temperror;
	unsigned spf_fails, helo_fails;      /* results that spf_fail is about: a bit 1 << enum trust_result each */
	bool helo_null_only;                 /* of HELO: only without a sender */
	const struct domains *spf_strict;    /* senders of whom softfail and neutral count as fail */
	const struct networks
		*spf_exempt; /* clients that are not refused for SPF, their names, and domains that let them pass */
	const struct domains *spf_exempt_hosts;
	const struct slice *spf_exempt_domains;
	size_t spf_exempt_domains_count;
	bool spf_header;                     /* Received-SPF */
	struct proving_dkim {                /* dkim_on_bad_signature and its likes: enum dkim_action */
		int bad, no_key, dns_error, none;
		const struct domains *signers; /* whose signatures count; NULL or empty: everybody's */
		struct slice redirect;         /* an address; empty: nobody */
		bool reports;                  /* dkim_failure_reports: signers' own words are said, too */
	} dkim;
	bool reject;                         /* dmarc_reject */
	enum proving_quarantine {
		PROVING_QUARANTINE_NONE,
		PROVING_QUARANTINE_JUNK,
		PROVING_QUARANTINE_HOLD
	} quarantine;
	bool temperror_defers;               /* dmarc_temperror_action */
	bool required_headers;               /* what RFC 5322 §3.6 demands: dmarc_required_headers */
	struct slice copy_failures_to;       /* an address; empty: nobody */
	struct slice reject_text;            /* %s: the domain */
	const struct networks *dmarc_exempt; /* dmarc_exempt_networks */
	const struct domains *exempt_hosts, *exempt_senders, *forwarders, *lists;
	const struct slice *exempt_recipients; /* addresses, or domains */
	size_t exempt_recipients_count;
	bool id_with_queue_id;               /* authserv_id_with_queue_id */
	bool dkim_software, dmarc_software;  /* DKIM-Filter, DMARC-Filter */
	bool senders_stay;                   /* forwarded mail may leave with its own sender (not srs = yes) */
	const struct slice *ids;             /* whose Authentication-Results are taken out: ours first */
	size_t ids_count;
};

struct proving_facts {
	const struct addr *client;
	struct slice name;                   /* confirmed; empty: none */
	struct slice header;                 /* as it came */
	const struct accept_recipient *recipients;
	size_t recipients_count;
};
enum proving_act { PROVING_TAKE, PROVING_JUNK, PROVING_HOLD, PROVING_DISCARD, PROVING_REFUSE };
/* What DKIM alone is good for, as the owner wants it (RFC 6376 §6.3 advises nothing). redirect: mail that is taken goes
 * to proving_dkim.redirect. */
enum proving_act proving_dkim(const struct proving_params *p, struct slice header, struct evidence_verdict *v,
			      struct arena *mem, struct smtp_reply *reply, bool *redirect);
/* Changes v's record and results to what is done. PROVING_REFUSE: *reply says how. */
enum proving_act proving_decide(const struct proving_params *p, const struct proving_facts *f,
				struct evidence_verdict *v, struct arena *mem, struct smtp_reply *reply);

/* Is that result one that spf_fail is about? no_sender: MAIL FROM:<>. */
bool proving_spf_fails(const struct proving_params *p, const struct spf_verdict *spf, bool no_sender);
/* SPF before a recipient is accepted. recipient: as it was given. Code 0: go on. */
struct smtp_reply proving_spf(const struct proving_params *p, const struct spf_verdict *spf, bool no_sender,
			      struct slice recipient, struct arena *mem);
/* "SPF fail - not authorized. …" */
struct slice proving_spf_text(const struct spf_verdict *spf, struct arena *mem);
