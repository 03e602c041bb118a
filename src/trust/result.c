/* SPDX-License-Identifier: Apache-2.0 */
/* The words stand in one place, for the header fields we write, read and compare. */
#include "trust/result.h"

static const char *const words[] = {
	[TRUST_NONE] = "none",           [TRUST_PASS] = "pass",           [TRUST_FAIL] = "fail",
	[TRUST_SOFTFAIL] = "softfail",   [TRUST_NEUTRAL] = "neutral",     [TRUST_POLICY] = "policy",
	[TRUST_TEMPERROR] = "temperror", [TRUST_PERMERROR] = "permerror",
};

const char *trust_word(enum trust_result r) {
	return words[r];
}

bool trust_result_of(struct slice word, enum trust_result *out) {
	int i = slice_among(word, words, LEN(words));
	if (i >= 0) *out = (enum trust_result)i;
	return i >= 0;
}
