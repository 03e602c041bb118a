/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/expand.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int value(void *ctx, struct slice name, struct buf *out) {
	struct expand_ops *ops = ctx;
	if (slice_eq(name, S("a"))) return expand(S("x$b"), ops, out) < 0 ? -1 : EXPAND_KNOWN;
	return slice_eq(name, S("b")) ? EXPAND_KNOWN : EXPAND_UNKNOWN;
}

static void count_name(void *ctx, struct slice name) { *(size_t *)ctx += name.len; }

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	AUTO_BUF struct buf out = BUF(EXPAND_LIMIT);
	unsigned depth = 0;
	struct expand_ops ops = { value, NULL, &depth };
	ops.ctx = &ops;
	size_t names = 0;
	int r = expand(slice_from(data, size), &ops, &out);
	must(r <= 0 && depth == 0);
	expand_names(slice_from(data, size), count_name, &names);
	must(names <= size);
	return 0;
}
