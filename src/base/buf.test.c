/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include <setjmp.h>
#include <cmocka.h>

static void grows_and_keeps_its_bytes(void **state) {
	(void)state;
	AUTO_BUF struct buf b = BUF(KIB(64));
	assert_string_equal(buf_text(&b), "");
	for (int i = 0; i < 10000; i++) assert_true(buf_byte(&b, (char)('a' + i % 26)));
	assert_int_equal(b.len, 10000);
	for (int i = 0; i < 10000; i++) assert_int_equal(b.at[i], 'a' + i % 26);
	assert_int_equal(strlen(buf_text(&b)), 10000);
}

static void never_passes_its_limit(void **state) {
	(void)state;
	AUTO_BUF struct buf b = BUF(5);
	assert_true(buf_add(&b, S("12345")));
	assert_string_equal(buf_text(&b), "12345"); /* the NUL has room at the limit too */
	assert_false(buf_byte(&b, '6'));
	assert_true(b.full);
	assert_int_equal(b.len, 5);
	buf_clear(&b);
	assert_true(buf_add(&b, S("abc")));
	assert_false(buf_add(&b, S("def")));
	assert_false(buf_byte(&b, 'd')); /* would fit, but a chain with a hole would be worse */
	assert_string_equal(buf_text(&b), "abc");
	buf_clear(&b);
	assert_false(b.full);
	AUTO_BUF struct buf none = BUF(0);
	assert_true(buf_add(&none, SLICE_NONE));
	assert_false(buf_byte(&none, 'x'));
}

static void formats(void **state) {
	(void)state;
	AUTO_BUF struct buf b = BUF(1000);
	assert_true(buf_addf(&b, "%d-%s", 42, "x"));
	assert_true(buf_addf(&b, "%0600d", 7)); /* longer than the small copy inside */
	assert_int_equal(b.len, 604);
	assert_int_equal(b.at[603], '7');
	assert_false(buf_addf(&b, "%0600d", 7));
	assert_int_equal(b.len, 604);
	AUTO_BUF struct buf exact = BUF(300);
	assert_true(buf_addf(&exact, "%0300d", 7));
	assert_int_equal(exact.len, 300);
}

static void room_and_eat(void **state) {
	(void)state;
	AUTO_BUF struct buf b = BUF(100);
	char *at = buf_room(&b, 6);
	memcpy(at, "abcdef", 6);
	b.len += 6;
	buf_eat(&b, 0);
	buf_eat(&b, 2);
	assert_string_equal(buf_text(&b), "cdef");
	buf_eat(&b, 4);
	assert_string_equal(buf_text(&b), "");
	assert_null(buf_room(&b, 101));
	buf_done(&b);
	assert_int_equal(b.limit, 100);
	assert_true(buf_add(&b, S("again")));
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grows_and_keeps_its_bytes),
		cmocka_unit_test(never_passes_its_limit),
		cmocka_unit_test(formats),
		cmocka_unit_test(room_and_eat),
	};
	return cmocka_run_group_tests_name("base-buf", tests, NULL, NULL);
}
