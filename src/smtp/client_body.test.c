/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/client_body.h"
#include "base/test.h"

#define FAIL(...) (print_error(__VA_ARGS__), print_error("\n"), assert_true(false))

static const struct {
	struct slice in;
	const char *out;
} cases[] = {
	{ { "", 0 }, ".\r\n" },
	{ { "a\r\n", 3 }, "a\r\n.\r\n" },
	{ { "a\nb", 3 }, "a\r\nb\r\n.\r\n" },
	{ { ".\r\n", 3 }, "..\r\n.\r\n" },
	{ { "a\r\n.\r\nb\r\n", 9 }, "a\r\n..\r\nb\r\n.\r\n" },
	{ { "a\n.\nb\n", 6 }, "a\r\n..\r\nb\r\n.\r\n" },
	{ { "a\r.\rb", 5 }, "a . b\r\n.\r\n" },
	{ { "a\n.\rMAIL FROM:<x>\n", 18 }, "a\r\n.. MAIL FROM:<x>\r\n.\r\n" },
	{ { "a\r\r\nb\r", 6 }, "a \r\nb\r\n.\r\n" },
	{ { "\r", 1 }, "\r\n.\r\n" },
	{ { "\n\n", 2 }, "\r\n\r\n.\r\n" },
	{ { "..a\r\nb.c\r\n", 10 }, "...a\r\nb.c\r\n.\r\n" },
};

/* In pieces of step bytes. */
static void code(struct slice in, size_t step, size_t limit, struct buf *out) {
	struct smtp_body_coder c = { .line_limit = limit };
	for (; in.len > 0; in = slice_skip(in, step)) assert_true(smtp_body_code(&c, slice_head(in, step), out));
	assert_true(smtp_body_end(&c, out));
}

static void test_cases(void **state) {
	(void)state;
	for (size_t i = 0; i < LEN(cases); i++)
		for (size_t step = 1; step <= 20; step++) {
			AUTO_BUF struct buf out = BUF(4096);
			code(cases[i].in, step, 998, &out);
			if (strcmp(buf_text(&out), cases[i].out) != 0)
				FAIL("case %zu in steps of %zu: \"%s\"", i, step, buf_text(&out));
		}
}

static void test_long_lines(void **state) {
	(void)state;
	AUTO_BUF struct buf in = BUF(MIB(1)), out = BUF(MIB(4));
	for (int i = 0; i < 5000; i++) buf_add(&in, S("\xe9\xb3\xa9.")); /* hato */
	code(buf_slice(&in), 16384, 998, &out);
	struct slice rest = buf_slice(&out);
	size_t lines = 0, text = 0;
	while (rest.len > 0) {
		struct slice line = slice_cut(&rest, '\n');
		assert_true(line.len <= 999 && slice_ends(line, S("\r")));
		lines++;
		text += line.len - 1;
		if (rest.len > 0 && lines > 1) assert_true(((unsigned char)line.at[1] & 0xC0) != 0x80);
	}
	assert_true(lines > 20);
	assert_int_equal(text, in.len + lines - 2 + 1); /* a blank for each fold, and the dot */
}

/* Only CRs, only dots: no quadratic behaviour, no more than three times the size. */
static void test_worst(void **state) {
	(void)state;
	for (const char *byte = "\r\n."; *byte != '\0'; byte++) {
		AUTO_BUF struct buf in = BUF(MIB(1)), out = BUF(MIB(4));
		for (size_t i = 0; i < MIB(1); i++) buf_byte(&in, *byte);
		code(buf_slice(&in), MIB(1), 998, &out);
		assert_true(out.len <= 3 * in.len + 8);
	}
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_long_lines),
		cmocka_unit_test(test_worst),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
