/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/arena.h"
#include "base/buf.h"
/* The Sender Rewriting Scheme, in the form of PostSRSd (1.x and 2.x) and libsrs2: SRS0=HHHH=TT=domain=local@ours, and
 * what a further forwarder makes of that: SRS1=HHHH=domain==HHHH=TT=domain=local@ours. Bounces come back through the
 * same addresses. */
struct srs_params {
	struct slice domain;           /* ours, behind the @ */
	const struct slice *secrets;   /* the first signs, all verify; at least one */
	size_t secrets_count;
	char separator;                /* behind SRS0: '=', '+' or '-'; 0: '='. All are understood */
	unsigned hash_length, hash_min;/* characters, up to 28; 0: 4. Shorter ones than hash_min are forged */
	unsigned max_age_days;         /* PostSRSd: 21; 0: for ever */
	const struct slice *excluded;  /* domains that are not rewritten; ".example.org": all below it, not itself */
	size_t excluded_count;
	int64_t now_s;                 /* 0: the clock */
};
enum srs_answer {
	SRS_DONE,
	SRS_UNCHANGED, /* ours, excluded, empty; back: no SRS address, another domain's, or the key of a PostSRSd's
			* database (SRS0=hash=time=1=key), which tables may know */
	SRS_FORGED,
	SRS_EXPIRED,
	SRS_TOO_LONG,  /* would be no address any more (254 bytes) */
};
/* *out is set with SRS_DONE only. Case of local parts and domains is kept; it does not count for the hash. */
enum srs_answer srs_forward(const struct srs_params *p, struct slice sender, struct arena *mem, struct slice *out);
enum srs_answer srs_reverse(const struct srs_params *p, struct slice address, struct arena *mem, struct slice *out);
bool srs_is(struct slice address); /* looks like one, of whomever */
