/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/unpacking.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int count(void *ctx, struct slice piece) {
	uint64_t *bytes = ctx;
	*bytes += piece.len;
	return *bytes > MIB(8) ? 5 : 0;
}

/* The first byte says how large the pieces are. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	if (size == 0) return 0;
	struct slice rest = slice_from(data + 1, size - 1);
	enum packing packing = packing_of(rest);
	if (packing == PACKING_NONE || packing == PACKING_OTHER) return 0;
	uint64_t bytes = 0;
	struct unpacking *u = unpacking_new(packing, count, &bytes);
	int r = 0;
	for (; r == 0 && rest.len != 0; rest = slice_skip(rest, (size_t)data[0] + 1))
		r = unpacking_feed(u, slice_head(rest, (size_t)data[0] + 1));
	if (r == 0) r = unpacking_end(u);
	must(r == 0 || r == 1 || r == 5);
	unpacking_free(&u);
	return 0;
}
