/* SPDX-License-Identifier: Apache-2.0 */
#include "flow/id.h"
#include "flow/submitters.h"

#include <pwd.h>

#include "base/test.h"

static void rises(bool long_ids, const char *alphabet, size_t len) {
	char before[QUEUE_ID_ROOM] = "", now[QUEUE_ID_ROOM];
	queue_id_form(long_ids);
	for (int i = 0; i < 10000; i++) {
		queue_id_make(now);
		assert_int_equal(strlen(now), len);
		assert_int_equal(strspn(now, alphabet), len);
		assert_true(strcmp(before, now) < 0);
		memcpy(before, now, sizeof now);
	}
}

static void test_ids(void **state) {
	(void)state;
	rises(false, "0123456789ABCDEF", 16);
	rises(true, "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz", 15);
}

static void test_submitters(void **state) {
	(void)state;
	struct arena mem = { 0 };
	struct slice problem;
	const uid_t nobody = getpwnam("nobody")->pw_uid;
	const struct slice all[] = { S("static:anyone") }, some[] = { S("!nobody"), S("static:anyone") }, root[] = { S("root"), S("no-such-user") };
	const struct submitters *s = submitters_make(all, 1, &mem, &problem);
	assert_true(submitters_allow(s, 0) && submitters_allow(s, nobody) && problem.at == NULL);
	s = submitters_make(some, 2, &mem, &problem);
	assert_true(submitters_allow(s, 0) && !submitters_allow(s, nobody) && submitters_allow(s, 12345));
	s = submitters_make(root, 2, &mem, &problem);
	assert_true(submitters_allow(s, 0) && !submitters_allow(s, nobody) && slice_eq(problem, S("no-such-user")));
	s = submitters_make(NULL, 0, &mem, &problem);
	assert_false(submitters_allow(s, 0));
	assert_true(submitters_allow(NULL, nobody));
	arena_done(&mem);
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_ids), cmocka_unit_test(test_submitters) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
