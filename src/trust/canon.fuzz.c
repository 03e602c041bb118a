/* SPDX-License-Identifier: Apache-2.0 */
/* The streaming canonical body, cut where the input says, against a naive one that follows RFC 6376 §3.4 line by line.
 * The first bytes of the input choose the form, l= and the cuts. */
#include "trust/canon.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void naive_line(struct buf *out, bool relaxed, struct slice line) {
	if (!relaxed) {
		buf_add(out, line);
		return;
	}
	while (line.len != 0 && ascii_blank(line.at[line.len - 1])) line.len--;
	for (size_t i = 0; i < line.len; i++) {
		if (!ascii_blank(line.at[i])) buf_byte(out, line.at[i]);
		else if (i == 0 || !ascii_blank(line.at[i - 1])) buf_byte(out, ' ');
	}
}

static void naive(struct buf *out, bool relaxed, struct slice body) {
	size_t text = 0; /* where the last line with text ends */
	while (body.len != 0) {
		size_t end = slice_search(body, S("\r\n")), before = out->len;
		naive_line(out, relaxed, slice_head(body, end));
		if (out->len != before) text = out->len;
		buf_add(out, S("\r\n"));
		body = slice_skip(body, end + 2);
	}
	out->len = text;
	if (!relaxed || text != 0) buf_add(out, S("\r\n"));
}

static void compare(struct slice body, bool relaxed, int64_t limit, unsigned seed) {
	AUTO_ARENA struct arena mem = { 0 };
	AUTO_BUF struct buf whole = BUF(2 * body.len + 16);
	uint8_t got[32], want[32];
	struct canon_body *b = canon_body_new(relaxed ? CANON_RELAXED : CANON_SIMPLE, limit, &mem);
	for (struct slice rest = body; rest.len != 0;) {
		seed = seed * 1103515245 + 12345;
		size_t n = 1 + (seed >> 16) % (seed & 0x10000000 ? 200 : 5);
		char *exact = mem_get(MIN_OF(n, rest.len)); /* reading behind it would be seen */
		struct slice piece = slice_head(rest, n);
		memcpy(exact, piece.at, piece.len);
		canon_body_bytes(b, slice_from(exact, piece.len));
		free(exact);
		rest = slice_skip(rest, n);
	}
	canon_body_end(b, got);
	naive(&whole, relaxed, body);
	must(canon_body_size(b) == (int64_t)whole.len);
	sha256(limit < 0 ? buf_slice(&whole) : slice_head(buf_slice(&whole), (size_t)limit), want);
	must(memcmp(got, want, sizeof got) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	if (size < 3) return 0;
	struct slice text = slice_from(data + 3, size - 3);
	compare(text, data[0] & 1, data[0] & 2 ? data[1] : -1, data[2]);
	AUTO_BUF struct buf field = BUF(size + 16);
	AUTO_BUF struct buf again = BUF(size + 16);
	enum canon c = data[0] & 1 ? CANON_RELAXED : CANON_SIMPLE;
	canon_field(&field, c, text);
	must(!field.full && slice_ends(buf_slice(&field), S("\r\n")));
	if (slice_search(buf_slice(&field), S("\r\n")) + 2 != field.len)
		return 0;                          /* lone CRs and LFs made new line ends */
	canon_field(&again, c, buf_slice(&field)); /* what is canonical stays so */
	must(slice_eq(buf_slice(&field), buf_slice(&again)));
	return 0;
}
