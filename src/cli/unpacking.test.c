/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/unpacking.h"
#include "base/fail.h"

#include <lz4.h>
#include <zlib.h>
#include <zstd.h>

#include "base/test.h"

static int add(void *out, struct slice piece) {
	return buf_add(out, piece) ? 0 : -1;
}

/* In pieces of step bytes; the result of the first that fails, or of the end. */
static int unpack_by(struct slice packed, size_t step, struct buf *out) {
	struct unpacking *u = unpacking_new(packing_of(packed), add, out);
	int r = 0;
	for (struct slice rest = packed; r == 0 && rest.len != 0; rest = slice_skip(rest, step))
		r = unpacking_feed(u, slice_head(rest, step));
	if (r == 0) r = unpacking_end(u);
	unpacking_free(&u);
	return r;
}

static void put_gzip(struct buf *out, struct slice plain) {
	z_stream z = { .next_in = (Bytef *)(uintptr_t)plain.at, .avail_in = (uInt)plain.len };
	size_t most = plain.len + KIB(1);
	assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_out = (Bytef *)buf_room(out, most);
	z.avail_out = (uInt)most;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	out->len += most - z.avail_out;
	deflateEnd(&z);
}

static void put_zstd(struct buf *out, struct slice plain) {
	size_t most = ZSTD_compressBound(plain.len);
	char *room = buf_room(out, most);
	size_t n = ZSTD_compress(room, most, plain.at, plain.len, 3);
	assert_false(ZSTD_isError(n));
	out->len += n;
}

static void put_number(struct buf *out, size_t n) {
	for (int shift = 24; shift >= 0; shift -= 8) buf_byte(out, (char)(n >> shift));
}

static void put_lz4(struct buf *out, struct slice plain) {
	buf_add(out, S("Dovecot-LZ4\r\x2a\x9b\xc5"));
	put_number(out, KIB(64));
	while (plain.len != 0) {
		AUTO_BUF struct buf chunk = BUF(MIB(1));
		struct slice piece = slice_head(plain, KIB(64));
		char *room = buf_room(&chunk, KIB(128));
		int n = LZ4_compress_default(piece.at, room, (int)piece.len, KIB(128));
		put_number(out, (size_t)n);
		buf_add(out, slice_from(room, (size_t)n));
		plain = slice_skip(plain, piece.len);
	}
}

static void (*const forms[])(struct buf *out, struct slice plain) = { put_gzip, put_zstd, put_lz4 };

static void sample(struct buf *out, size_t lines) {
	for (size_t i = 0; i < lines; i++) buf_addf(out, "Line %zu of %zu: %zx\r\n", i, lines, i * 2654435761u);
}

static void test_round_trip(void **state UNUSED) {
	AUTO_BUF struct buf plain = BUF(MIB(8));
	sample(&plain, 20000);
	for (size_t f = 0; f < LEN(forms); f++) {
		static const size_t steps[] = { 1, 7, 4096, 65536, SIZE_MAX };
		AUTO_BUF struct buf packed = BUF(MIB(8));
		forms[f](&packed, buf_slice(&plain));
		for (size_t i = 0; i < LEN(steps); i++) {
			AUTO_BUF struct buf out = BUF(MIB(8));
			assert_int_equal(unpack_by(buf_slice(&packed), steps[i], &out), 0);
			assert_true(slice_eq(buf_slice(&out), buf_slice(&plain)));
		}
	}
}

static void test_several_in_a_row(void **state UNUSED) {
	for (size_t f = 0; f < 2; f++) {
		AUTO_BUF struct buf packed = BUF(MIB(1)), out = BUF(MIB(1));
		forms[f](&packed, S("one "));
		forms[f](&packed, S("two"));
		assert_int_equal(unpack_by(buf_slice(&packed), 1, &out), 0);
		assert_string_equal(buf_text(&out), "one two");
	}
}

static void test_cut_and_damaged(void **state UNUSED) {
	AUTO_BUF struct buf plain = BUF(MIB(1));
	sample(&plain, 500);
	for (size_t f = 0; f < LEN(forms); f++) {
		AUTO_BUF struct buf packed = BUF(MIB(1));
		forms[f](&packed, buf_slice(&plain));
		size_t head = f == 2 ? 19 : 0; /* LZ4: between chunks nothing says that more comes */
		for (size_t len = 16; len < packed.len; len += 13) {
			AUTO_BUF struct buf out = BUF(MIB(1));
			if (len != head) assert_int_equal(unpack_by(slice_head(buf_slice(&packed), len), 64, &out), 1);
		}
		for (size_t at = 11; at < packed.len; at += 17) {
			AUTO_BUF struct buf out = BUF(MIB(2));
			packed.at[at] ^= 0x55;
			int r = unpack_by(buf_slice(&packed), 64, &out); /* no worse than another text */
			assert_true(r == 0 || r == 1);
			packed.at[at] ^= 0x55;
		}
	}
	AUTO_BUF struct buf out = BUF(MIB(1));
	assert_int_equal(unpack_by(S("Dovecot-LZ4\r\x2a\x9b\xc5\0\0\0\0"), 64, &out), 1);
	assert_int_equal(unpack_by(S("Dovecot-LZ4\r\x2a\x9b\xc5\0\1\0\0\0\0\0\0"), 64, &out), 1);
	assert_int_equal(unpack_by(S("Dovecot-LZ4\r\x2a\x9b\xc5\0\1\0\0\x7f\xff\xff\xff x"), 64, &out), 1);
}

static int swallow(void *ctx, struct slice piece) {
	*(uint64_t *)ctx += piece.len;
	return 0;
}

static void test_bombs(void **state UNUSED) {
	AUTO_BUF struct buf plain = BUF(MIB(200));
	memset(buf_room(&plain, MIB(150)), 'A', MIB(150));
	plain.len = MIB(150);
	for (size_t f = 0; f < LEN(forms); f++) {
		AUTO_BUF struct buf packed = BUF(MIB(200));
		uint64_t bytes = 0;
		forms[f](&packed, buf_slice(&plain));
		struct unpacking *u = unpacking_new(packing_of(buf_slice(&packed)), swallow, &bytes);
		int r = unpacking_feed(u, buf_slice(&packed));
		assert_int_equal(r, 1);
		assert_non_null(strstr(fail_text(), "bomb"));
		assert_true(bytes <= MAX_OF(MIB(65), packed.len * 200 + MIB(1)));
		unpacking_free(&u);
	}
}

static void test_forms(void **state UNUSED) {
	assert_int_equal(packing_of(S("Return-Path: <a@b>")), PACKING_NONE);
	assert_int_equal(packing_of(S("")), PACKING_NONE);
	assert_int_equal(packing_of(S("BZh91AY")), PACKING_OTHER);
	assert_int_equal(packing_of(S("\xfd" "7zXZ")), PACKING_OTHER);
}

int main(void) {
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip), cmocka_unit_test(test_several_in_a_row),
		cmocka_unit_test(test_cut_and_damaged), cmocka_unit_test(test_bombs), cmocka_unit_test(test_forms),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
