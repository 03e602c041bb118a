/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/table/fuzzing.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	fuzz_table("texthash:/input", slice_from(data, size), 0);
	fuzz_table("hash:/input", slice_from(data, size), 0);
	fuzz_table("hash:/input", slice_from(data, size), TABLE_ALIASES);
	return 0;
}
