/* SPDX-License-Identifier: Apache-2.0 */
/* What a logged-in stranger sends as DEFLATE: unpacked in small pieces, relaxed in between, it never takes more than it
 * was given room for, and the pauses do not change what comes out. */
#include "net/zip.h"


static int unpack_all(struct slice in, size_t piece, bool relaxing, struct buf *out) {
	struct zip *z = zip_new();
	char room[512];
	int r = 0;
	while (r == 0 && in.len != 0) {
		struct slice part = slice_head(in, piece);
		size_t got = 1, len = part.len;
		while (r == 0 && (part.len != 0 || got != 0)) {
			r = zip_unpack(z, &part, room, sizeof room, &got);
			if (r == 0) buf_add(out, slice_from(room, got));
			if (out->full) r = -1;
		}
		in = slice_skip(in, len);
		if (relaxing) zip_relax(z);
	}
	zip_free(&z);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	struct slice in = slice_from(data, size);
	AUTO_BUF struct buf whole = BUF(1 << 20), pieces = BUF(1 << 20);
	int one = unpack_all(in, size + 1, false, &whole), many = unpack_all(in, 7, true, &pieces);
	if (whole.full || pieces.full) return 0;
	must((one == 0) == (many == 0));
	if (one == 0) {
		must(slice_eq(buf_slice(&whole), buf_slice(&pieces)));
		return 0;
	}
	/* what a call found out before it came to the broken bytes is not given, and calls end elsewhere */
	struct slice a = buf_slice(&whole), b = buf_slice(&pieces);
	must(slice_starts(a, b) || slice_starts(b, a));
	return 0;
}
