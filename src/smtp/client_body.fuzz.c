/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/client_body.h"

/* The first byte says in which steps the rest arrives; the result must be one well-formed text, whatever the steps. */
static void check(struct slice out, size_t limit) {
	must(slice_ends(out, S("\r\n.\r\n")) || slice_eq(out, S(".\r\n")));
	while (out.len > 3) {
		struct slice line = slice_cut(&out, '\n');
		must(slice_ends(line, S("\r")) && line.len <= limit + 2);
		line.len--;
		must(slice_find(line, '\r') == line.len && !slice_eq(line, S(".")));
		must(!slice_starts(line, S(".")) || slice_starts(line, S("..")));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	if (size < 1) return 0;
	size_t step = (size_t)data[0] + 1;
	struct buf out = BUF(3 * size + 64);
	struct smtp_body_coder c = { .line_limit = 100 };
	for (struct slice in = slice_from(data + 1, size - 1); in.len > 0; in = slice_skip(in, step))
		must(smtp_body_code(&c, slice_head(in, step), &out));
	must(smtp_body_end(&c, &out));
	check(buf_slice(&out), 100);
	buf_done(&out);
	return 0;
}
