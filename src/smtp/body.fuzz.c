/* SPDX-License-Identifier: Apache-2.0 */
/* Whole and byte by byte must agree, and what is handed on must keep the promise of body.h. */
#include "base/buf.h"
#include "smtp/body.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void collect(void *ctx, struct slice bytes) {
	must(buf_add(ctx, bytes));
}

static void check_text(struct slice t) {
	for (size_t i = 0; i < t.len; i++) {
		must(t.at[i] != '\0');
		if (t.at[i] == '\n') must(i > 0 && t.at[i - 1] == '\r');
		if (t.at[i] == '\r' && i + 1 < t.len) must(t.at[i + 1] == '\n');
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	if (size < 1) return 0;
	bool dots = data[0] & 1;
	struct slice in = slice_from(data + 1, size - 1);
	struct buf whole = BUF(size + 2), drips = BUF(size + 2);
	struct body a = body_new(dots, 0, 0), b = a;
	size_t used = body_take(&a, in, collect, &whole), n = 0;
	while (n < in.len && b.state != BODY_ENDED)
		n += body_take(&b, slice_head(slice_skip(in, n), 1), collect, &drips);
	must(used == n && a.state == b.state && (a.fault == BODY_FINE) == (b.fault == BODY_FINE));
	if (!dots) {
		body_finish(&a, collect, &whole);
		body_finish(&b, collect, &drips);
	}
	if (a.fault == BODY_FINE) {
		must(slice_eq(buf_slice(&whole), buf_slice(&drips)));
		check_text(buf_slice(&whole));
	}
	buf_done(&whole);
	buf_done(&drips);
	return 0;
}
