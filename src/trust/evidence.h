/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/wire.h"
#include "trust/arc.h"
#include "trust/authres.h"
#include "trust/dmarc.h"
/* All that can be found out about who sent a message, in one piece: SPF, DKIM, ARC, DMARC and the client's name, while
 * it streams by. Used by the door (flow/admit) and by `hato check-mail`. */
struct evidence_params {
	struct dns *dns;
	const char *host;              /* ours */
	const char *authserv_id;
	struct spf_params spf;
	struct dkim_params dkim;
	struct dmarc_params dmarc;
	bool use_spf, use_dkim, use_dmarc, use_arc;
	bool use_helo;                 /* SPF of the HELO name as well (RFC 7208 §2.3) */
	bool no_header_b;              /* authserv_header_b */
	bool adsp;                     /* look up and report dkim-adsp (RFC 5617, historic) */
	const struct slice
		*trusted_sealers; /* domains whose sealed dmarc=pass counts instead of a failure of our own */
	size_t trusted_sealers_count;
	int timeout_ms;                /* of all that is waited for at the end, together; 0: 20 s */
};
struct evidence_client {
	struct addr address;
	struct slice helo, sender;
	enum trust_result iprev;       /* RFC 8601 §2.7.3 */
	struct slice name;             /* the client's confirmed name; empty: none */
	struct slice login, mechanism; /* auth=pass; empty: not logged in */
	const struct spf_verdict *spf, *spf_helo; /* when they were asked for before; NULL: not yet */
};
/* What is kept of it: for the log, for core's reports, for people. Field lists make it cross between processes. */
struct evidence_spf { uint32_t result; struct slice domain, identity, reason; };
struct evidence_source { struct slice domain, record; };
struct evidence_dkim {
	uint32_t result;
	uint32_t fault;                /* enum dkim_fault, where the signer wants to hear of it (r=y); else none */
	struct slice domain, selector, algorithm, reason;
	struct slice identity;         /* with fault */
};
struct evidence_dmarc {
	uint32_t result, policy, p, sp, np,
		disposition; /* disposition: enum dmarc_policy as acted upon; policy: what was asked */
	uint32_t percent;
	bool adkim_strict, aspf_strict, testing, spf_aligned, dkim_aligned;
	struct slice from, domain, rua, ruf, fo;
	struct slice reason;           /* for people */
	struct slice override, comment; /* RFC 9990: "local_policy", "trusted_forwarder", "mailing_list", … why
					   disposition is another one; empty: it is not */
};
#define EVIDENCE_SOURCE_FIELDS(F) F(text, domain) F(text, record)
#define EVIDENCE_SPF_FIELDS(F) F(u32, result) F(text, domain) F(text, identity) F(text, reason)
#define EVIDENCE_DKIM_FIELDS(F) \
	F(u32, result) \
	F(u32, fault) F(text, domain) F(text, selector) F(text, algorithm) F(text, reason) F(text, identity)
#define EVIDENCE_DMARC_FIELDS(F) \
	F(u32, result) \
	F(u32, policy) F(u32, p) F(u32, sp) F(u32, np) F(u32, disposition) F(u32, percent) F(bool_, adkim_strict) \
		F(bool_, aspf_strict) F(bool_, testing) F(bool_, spf_aligned) F(bool_, dkim_aligned) F(text, from) \
			F(text, domain) F(text, rua) F(text, ruf) F(text, fo) F(text, reason) F(text, override) \
				F(text, comment)
WIRE_DECLARE(evidence_source) WIRE_DECLARE(evidence_spf) WIRE_DECLARE(evidence_dkim) WIRE_DECLARE(evidence_dmarc)
struct evidence_record {
	bool checked;                  /* false: nothing was looked at (our own users, exempt clients) */
	bool changed; /* afterwards we changed what the author's domain had signed (header_checks, milters) */
	bool spf_here;                 /* SPF of the sender passes for our own addresses, too */
	struct slice client;           /* the address as text */
	uint32_t arc;                  /* enum trust_result */
	struct evidence_spf spf;
	struct evidence_dkim *dkim;
	size_t dkim_count;
	struct evidence_dmarc dmarc;
	struct evidence_source *sources; /* SPF records, where failure reports are asked for */
	size_t sources_count;
};
#define EVIDENCE_RECORD_FIELDS(F) \
	F(bool_, checked) \
	F(bool_, changed) F(bool_, spf_here) F(text, client) F(u32, arc) F(part, spf, evidence_spf) \
		F(list, dkim, evidence_dkim) F(part, dmarc, evidence_dmarc) F(list, sources, evidence_source)
WIRE_DECLARE(evidence_record)

struct evidence_verdict {              /* everything, as found */
	struct spf_verdict spf;        /* of the sender, or of HELO when there is none */
	struct spf_verdict spf_helo;   /* with use_helo and a sender; else its identity is empty */
	bool dkim_checked;
	struct dkim_verdict *dkim;
	size_t dkim_count;
	struct arc_verdict arc;
	struct dmarc_verdict dmarc;
	bool sealer_trusted;           /* a trusted sealer's chain vouches for it */
	struct authres results;        /* for Authentication-Results */
	struct evidence_record record;
};
struct evidence;
/* params and client are borrowed until the end; header is copied where needed. Lives in mem. */
struct evidence *evidence_begin(const struct evidence_params *p, const struct evidence_client *c, struct slice header,
				struct arena *mem);
void evidence_body(struct evidence *e, struct slice bytes);
void evidence_end(struct evidence *e, struct evidence_verdict *out);

/* The door has decided: record and results say so. override: as in evidence_dmarc; empty: DMARC's own disposition
 * stands. */
void evidence_act(struct evidence_verdict *v, enum dmarc_policy done, struct slice override, struct slice comment,
		  struct arena *mem);
/* "spf=pass (example.org) dkim=fail (example.org: the body was changed after signing) dmarc=…", for people; nothing
 * when nothing was checked. */
void evidence_tell(struct buf *out, const struct evidence_record *r);
/* Starts what will be asked for a message from this sender, as soon as it is known. Does not wait. */
void evidence_hint(const struct evidence_params *p, const struct evidence_client *c);
