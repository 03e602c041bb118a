/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies whole, in pieces of every size, and pushed across block borders by a prefix of every length. */
#include "base/buf.h"
#include "smtp/body.h"
#include <setjmp.h>
#include <cmocka.h>

struct result {
	struct buf text;
	struct body body;
	size_t used;
};

static void collect(void *ctx, struct slice bytes) {
	struct buf *out = ctx;
	assert_true(buf_add(out, bytes));
}

static struct result play(struct slice in, bool dots, size_t piece, uint64_t size_limit, size_t line_limit) {
	struct result r = { .text = BUF(MIB(64)), .body = body_new(dots, size_limit, line_limit) };
	while (r.used < in.len && r.body.state != BODY_ENDED) {
		struct slice part = slice_head(slice_skip(in, r.used), piece);
		/* a copy of its own, so that a sanitizer sees reading beyond it */
		char *own = slice_text(part);
		r.used += body_take(&r.body, slice_from(own, part.len), collect, &r.text);
		free(own);
	}
	if (!dots) body_finish(&r.body, collect, &r.text);
	return r;
}

#define NUL "\0"
static const struct {
	struct slice in, out;
	enum body_fault fault;
	bool ended;
	size_t rest; /* bytes not taken */
} cases[] = {
	{ S(".\r\n"), S(""), BODY_FINE, true, 0 },
	{ S("a\r\n.\r\n"), S("a\r\n"), BODY_FINE, true, 0 },
	{ S("a\r\n.\r\nQUIT\r\n"), S("a\r\n"), BODY_FINE, true, 6 },
	{ S("a\r\n..\r\n.\r\n"), S("a\r\n.\r\n"), BODY_FINE, true, 0 },
	{ S("a\r\n...b\r\n.\r\n"), S("a\r\n..b\r\n"), BODY_FINE, true, 0 },
	{ S("..\r\n.\r\n"), S(".\r\n"), BODY_FINE, true, 0 },
	{ S("a\r\n.b\r\n.\r\n"), S("a\r\nb\r\n"), BODY_FINE, true, 0 },
	{ S("a.\r\n.\r\n"), S("a.\r\n"), BODY_FINE, true, 0 },
	{ S("\r\n\r\n.\r\n"), S("\r\n\r\n"), BODY_FINE, true, 0 },
	{ S("a\r\n"), S("a\r\n"), BODY_FINE, false, 0 },
	{ S("a\r\n."), S("a\r\n"), BODY_FINE, false, 0 },
	{ S("a\r\n.\r"), S("a\r\n"), BODY_FINE, false, 0 },
	{ S("\xe9\xa1\r\n.\r\n"), S("\xe9\xa1\r\n"), BODY_FINE, true, 0 },
	/* smuggling: none of these ends the data, all of them are at fault, the true end is found */
	{ S("a\n.\nMAIL FROM:<x>\r\n.\r\n"), S("-"), BODY_BARE_LF, true, 0 },
	{ S("a\n.\r\nMAIL FROM:<x>\r\n.\r\n"), S("-"), BODY_BARE_LF, true, 0 },
	{ S("a\r\n.\nMAIL FROM:<x>\r\n.\r\n"), S("-"), BODY_BARE_LF, true, 0 },
	{ S("a\r\n.\rMAIL FROM:<x>\r\n.\r\n"), S("-"), BODY_BARE_CR, true, 0 },
	{ S("a\r.\rMAIL FROM:<x>\r\n.\r\n"), S("-"), BODY_BARE_CR, true, 0 },
	{ S("a\r.\r\nMAIL FROM:<x>\r\n.\r\n"), S("-"), BODY_BARE_CR, true, 0 },
	{ S("a\r\n.\r\rMAIL FROM:<x>\r\n.\r\n"), S("-"), BODY_BARE_CR, true, 0 },
	{ S("a\r\n.\r\r\nMAIL FROM:<x>\r\n.\r\n"), S("-"), BODY_BARE_CR, true, 0 },
	{ S("a\n\n.\r\nMAIL FROM:<x>\r\n.\r\n"), S("-"), BODY_BARE_LF, true, 0 },
	{ S("a\n\r.\r\nMAIL FROM:<x>\r\n.\r\n"), S("-"), BODY_BARE_LF, true, 0 },
	{ S("\n.\r\n\r\n.\r\n"), S("-"), BODY_BARE_LF, true, 0 },
	{ S("a\r\n" NUL ".\r\nMAIL FROM:<x>\r\n.\r\n"), S("-"), BODY_NUL, true, 0 },
	{ S("a\r\n." NUL "\r\nMAIL FROM:<x>\r\n.\r\n"), S("-"), BODY_NUL, true, 0 },
	{ S("a\r" NUL "\n.\r\nx\r\n.\r\n"), S("-"), BODY_BARE_CR, true, 0 },
	{ S("a\r\r\n.\r\n"), S("-"), BODY_BARE_CR, true, 0 },
	{ S("a\x85.\x85\r\n.\r\n"), S("a\x85.\x85\r\n"), BODY_FINE, true, 0 }, /* NEL is no line end */
};

static void check_case(size_t i, const char *prefix, size_t piece) {
	AUTO_BUF struct buf in = BUF(KIB(64)), want = BUF(KIB(64));
	buf_add(&in, slice_of(prefix));
	buf_add(&in, cases[i].in);
	buf_add(&want, slice_of(prefix));
	buf_add(&want, cases[i].out);
	struct result r = play(buf_slice(&in), true, piece, 0, 0);
	if (r.body.fault != cases[i].fault || (r.body.state == BODY_ENDED) != cases[i].ended ||
	    r.used != in.len - cases[i].rest ||
	    (cases[i].fault == BODY_FINE && !slice_eq(buf_slice(&r.text), buf_slice(&want))))
		fail_msg("case %zu, prefix %zu, piece %zu: fault %d state %d used %zu text '%s'", i, strlen(prefix),
			 piece, (int)r.body.fault, (int)r.body.state, r.used, buf_text(&r.text));
	assert_int_equal(r.body.taken, r.used);
	buf_done(&r.text);
}

static void test_cases(void **state) {
	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		for (size_t piece = 1; piece <= cases[i].in.len; piece++) check_case(i, "", piece);
		for (size_t pad = 0; pad < 140;
		     pad++) { /* a first line that moves the case over every place in a block */
			char prefix[160];
			memset(prefix, 'x', pad);
			memcpy(prefix + pad, "\r\n", 3);
			check_case(i, prefix, SIZE_MAX);
			check_case(i, prefix, 1);
			check_case(i, prefix, 67);
		}
	}
}

static void test_bdat(void **state) {
	(void)state;
	static const struct { struct slice in, out; enum body_fault fault; } bdat[] = {
		{ S(""), S(""), BODY_FINE },
		{ S("a\r\n.\r\nb\r\n"), S("a\r\n.\r\nb\r\n"), BODY_FINE },
		{ S("..a"), S("..a\r\n"), BODY_FINE },
		{ S("a\r"), S(""), BODY_BARE_CR },
		{ S("a\nb\r\n"), S(""), BODY_BARE_LF },
		{ S("a" NUL), S(""), BODY_NUL },
	};
	for (size_t i = 0; i < LEN(bdat); i++)
		for (size_t piece = 1; piece < 12; piece++) {
			struct result r = play(bdat[i].in, false, piece, 0, 0);
			assert_int_equal(r.body.fault, bdat[i].fault);
			if (bdat[i].fault == BODY_FINE) assert_true(slice_eq(buf_slice(&r.text), bdat[i].out));
			buf_done(&r.text);
		}
}

static void test_limits(void **state) {
	(void)state;
	struct slice ten = S("12345678\r\n.\r\n");
	for (size_t piece = 1; piece < 15; piece++) {
		struct result fits = play(ten, true, piece, 10, 0), over = play(ten, true, piece, 9, 0);
		assert_int_equal(fits.body.fault, BODY_FINE);
		assert_int_equal(fits.body.size, 10);
		assert_int_equal(over.body.fault, BODY_TOO_BIG);
		assert_int_equal(over.body.state, BODY_ENDED);
		assert_true(over.text.len <= 9);
		buf_done(&fits.text);
		buf_done(&over.text);
	}
	for (size_t len = 60; len < 300; len++)
		for (size_t piece = 1; piece < 400; piece += 37) {
			char line[400];
			memset(line, 'x', len);
			memcpy(line + len, "\r\n.\r\n", 5);
			struct result r = play(slice_from(line, len + 5), true, piece, 0, 200);
			assert_int_equal(r.body.fault, len > 200 ? BODY_LONG_LINE : BODY_FINE);
			assert_int_equal(r.body.state, BODY_ENDED);
			if (len <= 200 && len >= 64) assert_int_equal(r.body.longest, len);
			buf_done(&r.text);
		}
}

/* The two gears agree on noise made of the bytes that matter. */
static void test_noise(void **state) {
	(void)state;
	static const char bytes[] = "\r\n\r\n\r\n..\0xxxxxxxxxxxxxxxxxxxxxxxxxxx\xe3";
	uint64_t seed = 1;
	for (int round = 0; round < 4000; round++) {
		char noise[500];
		for (size_t i = 0; i < sizeof noise;) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			uint64_t pick = seed >> 33;
			if (pick % 4 != 0 && i + 2 <= sizeof noise) {
				memcpy(noise + i, pick % 3 != 0 ? "\r\n" : "xy", 2);
				i += 2;
			} else {
				noise[i++] = bytes[pick % (round % 2 != 0 ? sizeof bytes - 1 : 2 + 2 * 3)];
			}
		}
		struct slice in = slice_from(noise, sizeof noise);
		struct result fast = play(in, true, SIZE_MAX, 0, 0), slow = play(in, true, 1, 0, 0);
		assert_int_equal(fast.used, slow.used);
		assert_int_equal(fast.body.state, slow.body.state);
		assert_true((fast.body.fault == BODY_FINE) == (slow.body.fault == BODY_FINE));
		if (fast.body.fault == BODY_FINE) assert_true(slice_eq(buf_slice(&fast.text), buf_slice(&slow.text)));
		buf_done(&fast.text);
		buf_done(&slow.text);
	}
}

static void count(void *ctx, struct slice bytes) {
	*(uint64_t *)ctx += bytes.len;
}

static double cpu_seconds(void) {
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void test_speed(void **state) {
	(void)state;
	struct buf text = BUF(MIB(16));
	while (text.len < MIB(8))
		buf_addf(&text, "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempo.\r\n");
	uint64_t handed = 0;
	struct body b = body_new(true, 0, 0);
	double from = cpu_seconds();
	for (int i = 0; i < 20; i++)
		for (size_t at = 0; at < text.len; at += 16384)
			body_take(&b, slice_head(slice_skip(buf_slice(&text), at), 16384), count, &handed);
	print_message("body: %.2f GB/s\n", (double)handed / (cpu_seconds() - from) / 1e9);
	assert_int_equal(handed, text.len * 20);
	buf_done(&text);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases), cmocka_unit_test(test_bdat), cmocka_unit_test(test_limits),
		cmocka_unit_test(test_noise), cmocka_unit_test(test_speed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
