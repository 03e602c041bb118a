/* SPDX-License-Identifier: Apache-2.0 */
/* The view against the plainest model there is: an array. */
#include "access/imap/view.h"
#include "base/encode.h"

#include <setjmp.h>
#include <cmocka.h>

enum { UIDS = 400 };
struct model { uint32_t uids[UIDS]; size_t count; };

static void check(const struct view *v, const struct model *m) {
	assert_int_equal(v->count, m->count);
	for (size_t i = 0; i < m->count; i++) {
		assert_int_equal(view_uid(v, (uint32_t)i + 1), m->uids[i]);
		assert_int_equal(view_number(v, m->uids[i]), i + 1);
	}
	for (uint32_t uid = 1, at = 0; uid <= UIDS; uid++) {
		while (at < m->count && m->uids[at] < uid) at++;
		if (at == m->count || m->uids[at] != uid) assert_int_equal(view_number(v, uid), 0);
		assert_int_equal(view_number_from(v, uid), at + 1);
	}
	assert_int_equal(view_last_uid(v), m->count != 0 ? m->uids[m->count - 1] : 0);
}

static void told(void *ctx, uint32_t number) {
	struct model *m = ctx;
	assert_in_range(number, 1, m->count);
	memmove(&m->uids[number - 1], &m->uids[number], (m->count - number) * sizeof(m->uids[0]));
	m->count--;
}

static void test_against_model(void **state) {
	(void)state;
	for (int round = 0; round < 60; round++) {
		struct view v = { .loaded = true };
		struct model m = { .count = 0 };
		uint32_t uid = 1;
		while (uid < UIDS) {
			while (uid < UIDS && random_below(8) != 0) {
				if (random_below(4) != 0) {
					view_append(&v, uid);
					m.uids[m.count++] = uid;
				}
				uid++;
			}
			struct imap_set_builder gone = { 0 };
			for (uint32_t i = 1; i < uid; i++)
				if (random_below((uint64_t)round % 20 + 1) == 0) imap_set_append(&gone, i, i);
			view_remove(&v, &gone.set, 1, told, &m);
			imap_set_builder_done(&gone);
			check(&v, &m);
			uid++;
		}
		view_done(&v);
	}
}

static void test_runs_are_few(void **state) {
	struct view v = { .loaded = true };
	(void)state;
	for (uint32_t uid = 1; uid <= 100000; uid++) view_append(&v, uid);
	assert_int_equal(v.run_count, 1);
	view_done(&v);
}

/* What two sets share, against one bit a number. */
static void test_common(void **state) {
	(void)state;
	for (int round = 0; round < 200; round++) {
		struct imap_set_builder b[2] = { 0 }, both = { 0 };
		bool in[2][200] = { 0 };
		for (int k = 0; k < 2; k++)
			for (uint32_t n = 1; n < 200; n++)
				if ((in[k][n] = random_below(3) != 0)) imap_set_append(&b[k], n, n);
		imap_set_common(&both, &b[0].set, &b[1].set);
		for (uint32_t n = 1; n < 200; n++) assert_int_equal(imap_set_has(&both.set, n), in[0][n] && in[1][n]);
		for (int k = 0; k < 2; k++) imap_set_builder_done(&b[k]);
		imap_set_builder_done(&both);
	}
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_against_model), cmocka_unit_test(test_runs_are_few),
		cmocka_unit_test(test_common) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
