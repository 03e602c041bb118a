/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "trust/dkim.h"
#include "trust/spf.h"
/* DMARC (RFC 9989, before it RFC 7489): does anything proved belong to the author, and what does the author's domain want
 * done with the rest? */
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
/* False: not a DMARC record (*reason). A record with a broken p and a good rua counts as p=none (§4.7). */
bool dmarc_record_parse(struct slice text, struct arena *mem, struct dmarc_record *out, struct slice *reason);

struct psl; /* the public suffix list */
/* file: NULL: the one libpsl has built in. NULL: fail(). */
struct psl *psl_open(const char *file);
void psl_close(struct psl **p);

struct dmarc_params {
	struct dns *dns;
	const struct psl *psl;        /* set: organisational domains by the list (RFC 7489); NULL: by the DNS tree walk (RFC 9989 §4.10) */
	bool reject_many_from;        /* more than one author's domain is fail */
};
struct dmarc_verdict {
	enum trust_result result;     /* none: no policy; pass, fail, temperror, permerror */
	struct slice from;            /* the author's domain, ASCII lower case; empty: From is missing or broken */
	struct slice domain;          /* where the record stands; empty without */
	struct slice organisation;    /* the organisational domain of `from` */
	enum dmarc_policy policy;     /* what applies to this mail: p, sp or np */
	enum dmarc_policy disposition;/* what is to be done after pct and t=, before local exceptions: NONE when it passed */
	bool spf_aligned, dkim_aligned; /* passed and aligned */
	struct dmarc_record record;   /* of `domain` */
	bool sampled_out;             /* pct= let it off */
	struct slice reason;          /* for people */
};
/* header: the message's. dkim: all verdicts. Never fails. */
void dmarc_check(const struct dmarc_params *p, struct slice header, const struct spf_verdict *spf,
		 const struct dkim_verdict *dkim, size_t dkim_count, int64_t deadline, struct arena *mem,
		 struct dmarc_verdict *out);
/* The policy of a domain as a sender's record says it, for a message that is not there (the forward check). */
void dmarc_look(const struct dmarc_params *p, struct slice from_domain, int64_t deadline, struct arena *mem,
		struct dmarc_verdict *out);
/* Are these two aligned (relaxed: same organisational domain)? */
bool dmarc_aligned(const struct dmarc_params *p, struct slice author, struct slice other, bool strict, int64_t deadline,
		   struct arena *mem);
