/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/slice.h"
/* What a check found, in the words of Authentication-Results (RFC 8601 §2.7). */
enum trust_result {
	TRUST_NONE,      /* nothing was there to be checked */
	TRUST_PASS,
	TRUST_FAIL,
	TRUST_SOFTFAIL,  /* SPF's "~" */
	TRUST_NEUTRAL,   /* SPF's "?"; DKIM: there is a signature that means nothing (malformed) */
	TRUST_POLICY,    /* verified, yet not accepted here: weak key, l= short of the body */
	TRUST_TEMPERROR, /* DNS cannot say now */
	TRUST_PERMERROR, /* the record or the field is broken: trying again will not help */
};
const char *trust_word(enum trust_result r);
/* False: no such word. */
bool trust_result_of(struct slice word, enum trust_result *out);
