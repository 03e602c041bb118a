/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever comes, in whatever pieces: without a rule that fits, what goes in comes out; converted, it is the same for
 * all pieces. */
#include "filter/checks.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put(void *ctx, struct slice bytes) { buf_add(ctx, bytes); }
static void act(void *ctx, const struct checks_hit *hit) { (void)ctx, (void)hit; }

static void take(struct slice text, size_t step, bool convert, struct buf *out) {
	const struct checks_params params = {
		.header_limit = 100, .line_limit = 40, .body_limit = 200, .convert = convert
	};
	static const struct checks_ops ops = { put, act };
	struct checks *c = checks_new(&params, &ops, out);
	for (; text.len != 0; text = slice_skip(text, step)) checks_feed(c, slice_head(text, step));
	checks_end(c);
	checks_free(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	if (size == 0) return 0;
	AUTO_BUF struct buf whole = BUF(1 << 20), pieces = BUF(1 << 20);
	struct slice text = slice_from(data + 1, size - 1);
	size_t step = (size_t)data[0] % 32 + 1;
	take(text, MAX_OF(text.len, (size_t)1), false, &whole);
	take(text, step, false, &pieces);
	must(slice_eq(buf_slice(&whole), text) && slice_eq(buf_slice(&pieces), text));
	buf_clear(&whole);
	buf_clear(&pieces);
	take(text, MAX_OF(text.len, (size_t)1), true, &whole);
	take(text, step, true, &pieces);
	must(slice_eq(buf_slice(&whole), buf_slice(&pieces)));
	return 0;
}
