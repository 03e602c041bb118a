/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fail.h"
#include "base/clock.h"

#include <pthread.h>
#include <setjmp.h>
#include <cmocka.h>
#undef fail /* cmocka's macro; ours is a function */

static void texts(void **state) {
	(void)state;
	assert_string_equal(fail_text(), "");
	assert_int_equal(fail("mail.crt: %s", "no such thing"), -1);
	assert_string_equal(fail_text(), "mail.crt: no such thing");
	assert_int_equal(fail_add("start"), -1);
	assert_string_equal(fail_text(), "start: mail.crt: no such thing");
	fail("again: %s", fail_text()); /* the argument is the kept text itself */
	assert_string_equal(fail_text(), "again: start: mail.crt: no such thing");
	errno = ENOENT;
	assert_int_equal(fail_errno("open %d", 7), -1);
	assert_int_equal(errno, ENOENT);
	assert_string_equal(fail_text(), "open 7: No such file or directory");
}

static void long_texts_are_cut(void **state) {
	(void)state;
	for (int i = 0; i < 50; i++) {
		fail("%0900d", i);
		fail_add("%0900d", i);
		errno = EIO;
		fail_errno("%02000d", i);
		assert_true(strlen(fail_text()) < 1024);
	}
}

static void *other_thread(void *arg) {
	*(bool *)arg = fail_text()[0] == '\0';
	fail("of the other thread");
	return NULL;
}

static void one_text_a_thread(void **state) {
	(void)state;
	fail("mine");
	bool was_empty = false;
	pthread_t t;
	assert_int_equal(pthread_create(&t, NULL, other_thread, &was_empty), 0);
	pthread_join(t, NULL);
	assert_true(was_empty);
	assert_string_equal(fail_text(), "mine");
}

static void deadlines(void **state) {
	(void)state;
	assert_int_equal(deadline_left(NEVER), -1);
	assert_true(deadline_in(NEVER) == NEVER && deadline_in(NEVER - 1) == NEVER);
	assert_int_equal(deadline_left(clock_ms() - 5), 0);
	int left = deadline_left(deadline_in(SECONDS(10)));
	assert_true(left > 9000 && left <= 10000);
	assert_int_equal(deadline_left(deadline_in(MINUTES(60 * 24 * 365))), INT_MAX);
	assert_true(wall_us() / 1000000 - wall_s() <= 1 && clock_us() / 1000 - clock_ms() <= 1);
}

static void scope_ends(void **state) {
	(void)state;
	int raw;
	{
		AUTO_FD int fd = dup(1);
		raw = fd;
		assert_true(fd >= 0);
	}
	assert_int_equal(close(raw), -1);
	AUTO_FREE char *p = mem_text("x");
	char *taken = TAKE(p);
	assert_null(p);
	free(taken);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts), cmocka_unit_test(long_texts_are_cut), cmocka_unit_test(one_text_a_thread),
		cmocka_unit_test(deadlines), cmocka_unit_test(scope_ends),
	};
	return cmocka_run_group_tests_name("base-fail", tests, NULL, NULL);
}
