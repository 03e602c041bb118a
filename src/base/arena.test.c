/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"

#include <setjmp.h>
#include <stdalign.h>
#include <cmocka.h>

static void pieces_are_zeroed_aligned_and_apart(void **state) {
	(void)state;
	AUTO_ARENA struct arena a = { 0 };
	unsigned char *pieces[300];
	for (size_t i = 0; i < LEN(pieces); i++) {
		pieces[i] = arena_get(&a, i * 7 % 500 + 1);
		assert_int_equal((uintptr_t)pieces[i] % alignof(max_align_t), 0);
		for (size_t k = 0; k < i * 7 % 500 + 1; k++) assert_int_equal(pieces[i][k], 0);
		memset(pieces[i], (int)i & 255, i * 7 % 500 + 1);
	}
	for (size_t i = 0; i < LEN(pieces); i++)
		for (size_t k = 0; k < i * 7 % 500 + 1; k++) assert_int_equal(pieces[i][k], i & 255);
}

static void large_pieces(void **state) {
	(void)state;
	AUTO_ARENA struct arena a = { 0 };
	char *first = arena_get(&a, 10), *large = arena_get(&a, MIB(3)), *after = arena_get(&a, 10);
	memset(large, 1, MIB(3));
	assert_int_equal(first[9] + after[0], 0);
	arena_reset(&a); /* an oversized block does not stay */
	assert_true(arena_used(&a) == 0);
	assert_int_equal(((char *)arena_get(&a, 0))[0], 0);
}

static void reset_reuses_and_zeroes(void **state) {
	(void)state;
	AUTO_ARENA struct arena a = { 0 };
	arena_reset(&a);
	char *old = arena_get(&a, 100);
	memset(old, 'x', 100);
	assert_true(arena_used(&a) >= 100);
	arena_reset(&a);
	assert_int_equal(arena_used(&a), 0);
	char *again = arena_get(&a, 100);
	assert_ptr_equal(again, old);
	for (int i = 0; i < 100; i++) assert_int_equal(again[i], 0);
	arena_done(&a);
	assert_non_null(arena_get(&a, 1));
}

static void texts(void **state) {
	(void)state;
	AUTO_ARENA struct arena a = { 0 };
	struct slice s = arena_slice(&a, slice_head(S("abcdef"), 3));
	assert_string_equal(s.at, "abc");
	assert_int_equal(s.len, 3);
	assert_string_equal(arena_text(&a, SLICE_NONE), "");
	assert_string_equal(arena_lower(&a, S("A@B.Example\xc4")).at, "a@b.example\xc4");
	struct slice f = arena_fmt(&a, "%s %03d", "x", 7);
	assert_string_equal(f.at, "x 007");
	assert_int_equal(f.len, 5);
	assert_int_equal(arena_fmt(&a, "%0100000d", 1).len, 100000);
	uint64_t *many = arena_array(&a, 1000, sizeof *many);
	assert_int_equal(many[999], 0);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces_are_zeroed_aligned_and_apart), cmocka_unit_test(large_pieces),
		cmocka_unit_test(reset_reuses_and_zeroes), cmocka_unit_test(texts),
	};
	return cmocka_run_group_tests_name("base-arena", tests, NULL, NULL);
}
