/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/table/fuzzing.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	struct slice text = slice_from(data, size);
	fuzz_table("cidr:/input", text, 0);
	fuzz_table("pcre:/input", text, 0);
	/* regcomp(3) knows no limits: repetitions of repetitions take all memory, which only an operator can ask for */
	if (size < 200 && slice_find(text, '{') == text.len && slice_find(text, '+') == text.len &&
	    slice_find(text, '*') == text.len)
		fuzz_table("regexp:/input", text, 0);
	return 0;
}
