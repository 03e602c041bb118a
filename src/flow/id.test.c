/* SPDX-License-Identifier: Apache-2.0 */
#include "flow/verp.h"
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
	struct tables *tables = tables_new(&(struct table_params){ 0 });
	char path[] = "/tmp/hato-submitters-XXXXXX";
	int fd = mkstemp(path);
	must(fd >= 0 && write(fd, "# who\nroot, !nobody\n", 21) == 21 && close(fd) == 0);
	const uid_t nobody = getpwnam("nobody")->pw_uid;
	const struct slice all[] = { S("static:anyone") }, some[] = { S("!nobody"), S("static:anyone") },
			   root[] = { S("root"), S("no-such-user") };
	const struct submitters *s = submitters_make(all, 1, tables, &mem, &problem);
	assert_true(submitters_allow(s, 0) && submitters_allow(s, nobody) && problem.at == NULL);
	s = submitters_make(some, 2, tables, &mem, &problem);
	assert_true(submitters_allow(s, 0) && !submitters_allow(s, nobody) && submitters_allow(s, 12345));
	s = submitters_make(root, 2, tables, &mem, &problem);
	assert_true(submitters_allow(s, 0) && !submitters_allow(s, nobody) && problem.at == NULL);
	const struct slice table[] = { S("!inline:{nobody=x}"), slice_of(path), S("static:anyone") },
			   file[] = { slice_of(path) }, bad[] = { S("nosuch:x"), S("/no/such/file"), S("root") };
	s = submitters_make(table, 3, tables, &mem, &problem);
	assert_true(submitters_allow(s, 0) && !submitters_allow(s, nobody) && submitters_allow(s, 12345) &&
		    problem.at == NULL);
	s = submitters_make(file, 1, tables, &mem, &problem);
	assert_true(submitters_allow(s, 0) && !submitters_allow(s, nobody) && !submitters_allow(s, 12345));
	s = submitters_make(bad, 3, tables, &mem, &problem);
	assert_true(submitters_allow(s, 0) && !submitters_allow(s, nobody) && slice_eq(problem, S("nosuch:x")));
	unlink(path);
	s = submitters_make(NULL, 0, tables, &mem, &problem);
	assert_false(submitters_allow(s, 0));
	assert_true(submitters_allow(NULL, nobody));
	tables_free(&tables);
	arena_done(&mem);
}

static void test_verp(void **state) {
	(void)state;
	struct arena mem = { 0 };
	static const struct { const char *sender, *delimiters, *recipient, *wanted;
	} cases[] = {
		{ "list@o", "+=", "u@d", "list+u=d@o" },
		{ "list@o", "-=", "\"a b\"@d", "\"list-a b=d\"@o" },
		{ "", "+=", "u@d", "" },
		{ "list@o", "", "u@d", "list@o" },
		{ "list", "+=", "u@d", "list" },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		struct slice got = verp_sender(slice_of(cases[i].sender), slice_of(cases[i].delimiters),
					       slice_of(cases[i].recipient), &mem);
		assert_true(slice_eq(got, slice_of(cases[i].wanted)));
	}
	assert_true(slice_eq(verp_delimiters(verp_flags(S("-=")) | 5, &mem), S("-=")));
	assert_int_equal(verp_delimiters(verp_flags(S("")) | 5, &mem).len, 0);
	assert_true(verp_delimiters_valid(S("+="), S("-=+")) && !verp_delimiters_valid(S("+x"), S("-=+")) &&
		    !verp_delimiters_valid(S("+"), S("-=+")));
	arena_done(&mem);
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_ids), cmocka_unit_test(test_submitters),
					    cmocka_unit_test(test_verp) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
