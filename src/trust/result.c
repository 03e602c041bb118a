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
	for (size_t i = 0; i < LEN(words); i++)
		if (slice_same(word, slice_of(words[i]))) return *out = (enum trust_result)i, true;
	return false;
}
