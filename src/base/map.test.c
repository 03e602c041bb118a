/* SPDX-License-Identifier: Apache-2.0 */
#include "base/map.h"

#include <setjmp.h>
#include <cmocka.h>

static struct slice key_of(char text[static 32], size_t i) {
	return slice_from(text, (size_t)snprintf(text, 32, "key-%zu", i));
}

static bool add_up(void *ctx, struct slice key, void *value) {
	(void)key;
	*(size_t *)ctx += (size_t)(uintptr_t)value;
	return true;
}

static bool only_one(void *ctx, struct slice key, void *value) {
	(void)key, (void)value;
	++*(size_t *)ctx;
	return false;
}

static void put_get_take(void **state) {
	(void)state;
	enum { MANY = 5000 };
	struct map m = { 0 };
	char text[32];
	assert_null(map_get(&m, S("x")));
	assert_null(map_take(&m, S("x")));
	for (size_t i = 1; i <= MANY; i++) assert_null(map_put(&m, key_of(text, i), (void *)(uintptr_t)i));
	assert_int_equal(m.count, MANY);
	for (size_t i = 1; i <= MANY; i++) assert_int_equal((uintptr_t)map_get(&m, key_of(text, i)), i);
	size_t sum = 0;
	map_each(&m, add_up, &sum);
	assert_int_equal(sum, (size_t)MANY * (MANY + 1) / 2);
	size_t visits = 0;
	map_each(&m, only_one, &visits);
	assert_int_equal(visits, 1);
	for (size_t i = 1; i <= MANY; i += 2) assert_int_equal((uintptr_t)map_take(&m, key_of(text, i)), i);
	for (size_t i = 1; i <= MANY; i++)
		assert_int_equal((uintptr_t)map_get(&m, key_of(text, i)), i % 2 == 0 ? i : 0);
	map_done(&m, NULL);
	assert_int_equal(m.count, 0);
}

static void replacing_keeps_one(void **state) {
	(void)state;
	struct map m = { 0 };
	assert_null(map_put(&m, S("a\0b"), mem_text("one")));
	AUTO_FREE char *old = map_put(&m, S("a\0b"), mem_text("two"));
	assert_string_equal(old, "one");
	assert_null(map_get(&m, S("a"))); /* keys are bytes, not C strings */
	assert_null(map_put(&m, SLICE_NONE, mem_text("empty")));
	assert_string_equal(map_get(&m, S("")), "empty");
	assert_int_equal(m.count, 2);
	map_done(&m, free);
}

static void the_hash_is_stable_in_a_process(void **state) {
	(void)state;
	for (size_t len = 0; len < 40; len++) {
		struct slice s = slice_head(S("abcdefghijklmnopqrstuvwxyz0123456789ABCD"), len);
		assert_true(hash_bytes(s) == hash_bytes(s));
		assert_true(hash_bytes(s) !=
				    hash_bytes(slice_head(S("abcdefghijklmnopqrstuvwxyz0123456789ABCD"), len + 1)) ||
			    len == 40);
	}
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(put_get_take),
		cmocka_unit_test(replacing_keeps_one),
		cmocka_unit_test(the_hash_is_stable_in_a_process),
	};
	return cmocka_run_group_tests_name("base-map", tests, NULL, NULL);
}
