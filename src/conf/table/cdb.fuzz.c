/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/table/inside.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	AUTO_BUF struct buf pairs = BUF(MIB(16));
	size_t count = 0, lines = 0;
	if (!cdb_read(slice_from(data, size), &pairs, &count)) return 0;
	for (size_t i = 0; i < pairs.len; i++) lines += pairs.at[i] == '\n';
	must(lines == 2 * count);
	return 0;
}
