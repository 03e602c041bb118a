/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "trust/dkim.h"
#include "trust/psl.h"
#include "trust/spf.h"
/* DMARC (RFC 9989, before it RFC 7489): does anything proved belong to the author, and what does the author's domain
 * want done with the rest? */
enum dmarc_policy { DMARC_POLICY_ABSENT, DMARC_POLICY_NONE, DMARC_POLICY_QUARANTINE, DMARC_POLICY_REJECT };
const char *dmarc_policy_word(enum dmarc_policy p); /* "none", … */
struct dmarc_record {
	enum dmarc_policy p, sp, np;     /* sp and np: ABSENT when not said */
	bool adkim_strict, aspf_strict;
	unsigned percent;                /* pct=, 100 (RFC 7489) */
	bool testing;                    /* t=y (RFC 9989) */
	char psd;                        /* 'y', 'n' or 'u' */
	struct slice rua, ruf, fo;       /* as they stand; fo "0" by default */
	unsigned interval_s;             /* ri=, 86400 */
};
/* False: not a DMARC record (*reason; static). A record without p, or with a broken p, sp or np and a good rua, counts
 * as p=none (§4.7, §4.10.1); what is wrong in other tags counts as their default; of tags that come twice the first
 * counts. rua, ruf and fo live in mem. */
bool dmarc_record_parse(struct slice text, struct arena *mem, struct dmarc_record *out, struct slice *reason);
/* Does it begin as one ("v=DMARC1")? TXT records that do not are none of DMARC's business. */
bool dmarc_record_is(struct slice text);


struct dmarc_params {
	struct dns *dns;
	const struct psl *psl; /* set: organisational domains by the list (RFC 7489); NULL: by the DNS tree walk (RFC
				  9989 §4.10) */
	bool reject_many_from;        /* more than one author's domain is fail, and to be rejected */
	unsigned roll;                /* 1 to 100: taken for chance where pct= asks for it; 0: chance */
};
struct dmarc_verdict {
	enum trust_result result;     /* none: no policy; pass, fail, temperror, permerror */
	struct slice from;            /* the author's domain, ASCII lower case; empty: From is missing or broken */
	struct slice domain;          /* where the record stands; empty without */
	struct slice
		organisation; /* the organisational domain of `from`; `from` itself when nobody had to look (§4.10.2) */
	enum dmarc_policy policy;     /* what applies to this mail: p, sp or np */
	enum dmarc_policy disposition; /* what is to be done after pct and t= (each: one step milder), before local
					* exceptions: NONE when it passed; ABSENT without a policy */
	bool sub, nonexistent;        /* the policy is that of a parent's sp (np) */
	bool spf_aligned, dkim_aligned; /* passed and aligned */
	struct dmarc_record record;   /* of `domain` */
	bool sampled_out;             /* pct= let it off */
	struct slice reason;          /* for people */
};
/* header: the message's. spf: of the MAIL FROM identity, may be NULL. dkim: all verdicts. Never fails.
 *
 * Of several authors with different domains, in one field or many, each is checked, and the worst verdict is the one
 * that counts (RFC 7489 §6.6.1): otherwise a second author would be a way around the first one's policy. At most
 * DMARC_FROM_MAX domains; more is permerror. Without an author (or with one whose domain cannot be) it is permerror
 * too, a group without members (RFC 6854) is none.
 *
 * temperror: the policy cannot be found now, or nothing passed and what might have could not be checked now. */
enum { DMARC_FROM_MAX = 8 };
void dmarc_check(const struct dmarc_params *p, struct slice header, const struct spf_verdict *spf,
		 const struct dkim_verdict *dkim, size_t dkim_count, int64_t deadline, struct arena *mem,
		 struct dmarc_verdict *out);
/* Starts the look-ups that dmarc_check will make, without waiting. */
void dmarc_hint(const struct dmarc_params *p, struct slice header);
/* The policy of a domain, for a message that is not there (the forward check): result is none, temperror or permerror
 * as above, and fail where there is a policy: then policy and disposition are those of mail that proves nothing. */
void dmarc_look(const struct dmarc_params *p, struct slice from_domain, int64_t deadline, struct arena *mem,
		struct dmarc_verdict *out);
/* Are these two aligned (relaxed: same organisational domain)? False also when DNS cannot say now. */
bool dmarc_aligned(const struct dmarc_params *p, struct slice author, struct slice other, bool strict, int64_t deadline,
		   struct arena *mem);
/* The domains of all authors (From), ASCII lower case, each once, at most `max`. How many; *broken: there is an author
 * without a usable domain, or none at all. */
size_t dmarc_authors(struct slice header, struct arena *mem, struct slice *out, size_t max, bool *broken);
