/* SPDX-License-Identifier: Apache-2.0 */
/* Compressed streams: dialogues with pauses, bombs, and what is kept while nothing happens. */
#include "net/zip.h"
#include "base/fail.h"
#include "net/stream.h"

#include <sys/socket.h>
#include <zlib.h>

#include "base/test.h"

static void unpack(struct zip *z, struct slice packed, struct buf *out) {
	char room[1000];
	size_t got = 1;
	while (packed.len != 0 || got != 0) {
		assert_int_equal(zip_unpack(z, &packed, room, sizeof room, &got), 0);
		buf_add(out, slice_from(room, got));
	}
}

static void pauses(void **state) {
	(void)state;
	struct zip *a = zip_new(), *b = zip_new();
	AUTO_BUF struct buf text = BUF(1 << 20), packed = BUF(1 << 20), got = BUF(1 << 20);
	for (unsigned round = 0; round < 200; round++) {
		buf_clear(&text);
		buf_clear(&packed);
		buf_clear(&got);
		for (unsigned i = 0; i < round * 7 % 150; i++)
			buf_addf(&text, "a%u FETCH %u (FLAGS UID)\r\n", round, i * round);
		struct slice plain = buf_slice(&text);
		while (!zip_pack(a, &plain, &packed, 4096)) {
			unpack(b, buf_slice(&packed), &got);
			buf_clear(&packed);
		}
		unpack(b, buf_slice(&packed), &got);
		assert_true(slice_eq(buf_slice(&got), buf_slice(&text)));
		if (round % 3 == 0) zip_relax(a);
		if (round % 4 == 0) zip_relax(b);
	}
	zip_relax(a);
	zip_relax(b);
	assert_true(zip_memory(a) < 200 && zip_memory(b) < 20000);
	zip_free(&a);
	zip_free(&b);
}

/* A peer whose packer keeps its history over our pauses, as every client's does. */
static void peer_with_history(void **state) {
	(void)state;
	struct zip *z = zip_new();
	z_stream peer = { 0 };
	assert_int_equal(deflateInit2(&peer, 9, Z_DEFLATED, -15, 9, Z_DEFAULT_STRATEGY), Z_OK);
	AUTO_BUF struct buf text = BUF(1 << 20), got = BUF(1 << 20);
	for (unsigned round = 0; round < 100; round++) {
		unsigned char packed[8192];
		buf_clear(&text);
		buf_clear(&got);
		for (unsigned i = 0; i < 20; i++)
			buf_addf(&text, "%u UID FETCH %u:* (FLAGS MODSEQ)\r\n", round, round * i);
		peer.next_in = (unsigned char *)text.at;
		peer.avail_in = (unsigned)text.len;
		peer.next_out = packed;
		peer.avail_out = sizeof packed;
		assert_int_equal(deflate(&peer, round % 5 == 0 ? Z_PARTIAL_FLUSH : Z_SYNC_FLUSH), Z_OK);
		unpack(z, slice_from(packed, sizeof packed - peer.avail_out), &got);
		assert_true(slice_eq(buf_slice(&got), buf_slice(&text)));
		zip_relax(z);
	}
	deflateEnd(&peer);
	zip_free(&z);
}

static void garbage(void **state) {
	(void)state;
	struct zip *z = zip_new();
	struct slice bad = S("a1 NOOP\r\na2 NOOP\r\n");
	char room[100];
	size_t got;
	int r = 0;
	for (int i = 0; i < 20 && r == 0; i++) r = zip_unpack(z, &bad, room, sizeof room, &got);
	assert_true(r < 0);
	zip_free(&z);
}

/* A megabyte of blanks in a thousand bytes does not pass the buffer's limit at any time. */
static void bomb(void **state) {
	(void)state;
	int fds[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	struct stream *s = stream_new(fds[0], 4096, 1 << 16);
	struct zip *z = zip_new();
	AUTO_BUF struct buf text = BUF(1 << 21), packed = BUF(1 << 20);
	while (text.len < 1 << 20) buf_add(&text, S("                                                  "));
	buf_add(&text, S("\r\n"));
	struct slice plain = buf_slice(&text);
	assert_true(zip_pack(z, &plain, &packed, 1 << 20));
	assert_int_equal(write(fds[1], packed.at, packed.len), (ssize_t)packed.len);
	stream_start_zip(s);
	size_t all = 0;
	while (stream_fill(s) == STREAM_OK && stream_peek(s).len != 0) {
		assert_true(stream_peek(s).len <= 4096);
		all += stream_peek(s).len;
		stream_eat(s, stream_peek(s).len);
	}
	assert_int_equal(all, text.len);
	assert_int_equal(stream_bytes_in(s), text.len);
	stream_relax(s);
	assert_false(stream_has_input(s));
	zip_free(&z);
	stream_close(&s);
	close(fds[1]);
}

static void dialogue(void **state) {
	(void)state;
	int fds[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	struct stream *a = stream_new(fds[0], 1 << 16, 1 << 22), *b = stream_new(fds[1], 1 << 16, 1 << 16);
	stream_start_zip(b);
	assert_true(stream_put(b, S("piggyback\r\n")));
	assert_int_equal(stream_flush(b), STREAM_OK);
	assert_int_equal(stream_fill(a), STREAM_OK); /* compressed bytes arrive before we switch */
	stream_start_zip(a);
	struct slice line;
	assert_int_equal(stream_wait_line(a, 100, &line, deadline_in(SECONDS(5))), STREAM_OK);
	assert_true(slice_eq(line, S("piggyback")));
	for (unsigned round = 0; round < 30; round++) {
		for (unsigned i = 0; i < 2000; i++) assert_true(stream_putf(a, "%u %u\r\n", round, i * 7919));
		assert_int_equal(stream_flush(a) < 0, 0);
		for (unsigned i = 0; i < 2000; i++) {
			char want[40];
			int r;
			while ((r = stream_line(b, 100, &line, NULL)) == STREAM_AGAIN) {
				stream_flush(a);
				assert_true(stream_wait_fill(b, deadline_in(SECONDS(5))) == STREAM_OK);
			}
			snprintf(want, sizeof want, "%u %u", round, i * 7919);
			assert_true(r == STREAM_OK && slice_eq(line, slice_of(want)));
		}
		stream_relax(a);
		stream_relax(b);
	}
	stream_close(&a);
	stream_close(&b);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pauses), cmocka_unit_test(peer_with_history), cmocka_unit_test(garbage),
		cmocka_unit_test(bomb),   cmocka_unit_test(dialogue),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
