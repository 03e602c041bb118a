/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/arena.h"
#include "base/buf.h"
/* The Sender Rewriting Scheme, in PostSRSd's form: SRS0=HHHH=TT=domain=local@ours, SRS1=HHHH=domain==HHHH=TT=domain=local@ours.
 * Bounces come back through the same addresses. */
struct srs_params {
	struct slice domain;           /* ours, behind the @ */
	const struct slice *secrets;   /* the first signs, all verify */
	size_t secrets_count;
	char separator;                /* '=', '+' or '-' */
	unsigned hash_length, hash_min;/* 4 and 4 */
	unsigned max_age_days;         /* 21; 0: for ever */
	const struct slice *excluded;  /* domains that are not rewritten; ".example.org": with all below it */
	size_t excluded_count;
	int64_t now_s;                 /* 0: the clock */
};
enum srs_answer { SRS_DONE, SRS_UNCHANGED /* ours, excluded, empty, or no SRS address */, SRS_FORGED, SRS_EXPIRED, SRS_TOO_LONG };
enum srs_answer srs_forward(const struct srs_params *p, struct slice sender, struct arena *mem, struct slice *out);
enum srs_answer srs_reverse(const struct srs_params *p, struct slice address, struct arena *mem, struct slice *out);
bool srs_is(struct slice address); /* looks like one, of whomever */
