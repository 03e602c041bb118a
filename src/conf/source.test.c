/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fail.h"
#include "conf/source.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <setjmp.h>
#include <cmocka.h>

static const struct {
	const char *text, *lines; /* "number:line|" */
} cases[] = {
	{ "", "" },
	{ "a = b", "1:a = b|" },
	{ "a = b\n c\n\td\n", "1:a = b c\td|" },
	{ "# comment\n\na = b\n#x\n   # y\n\n  c\nd = e\n", "3:a = b  c|8:d = e|" },
	{ "a = b # c\n", "1:a = b # c|" },
	{ "a = b\r\n c\r\n", "1:a = b c|" },
	{ "  a = b\nc = d\n", "1:  a = b|2:c = d|" },
	{ "\n\n\n", "" },
	{ "a =\n\n\n", "1:a =|" },
};

static void test_lines(void **state) {
	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		AUTO_ARENA struct arena mem = { 0 };
		AUTO_BUF struct buf out = BUF(1000);
		struct logical_lines lines = { .rest = slice_of(cases[i].text) };
		unsigned number;
		for (struct slice line; logical_line_next(&lines, &mem, &line, &number);)
			buf_addf(&out, "%u:%.*s|", number, SLICE_ARG(line));
		assert_string_equal(buf_text(&out), cases[i].lines);
	}
}

static void test_files(void **state) {
	(void)state;
	AUTO_ARENA struct arena mem = { 0 };
	struct sources s = { .mem = &mem };
	char dir[] = "/tmp/hato-source-XXXXXX", path[64];
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/f", dir);
	struct slice text = SLICE_NONE;
	assert_int_equal(source_read(&s, slice_of(path), &text), SOURCE_ABSENT);
	int fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_int_equal(write(fd, "hello", 5), 5);
	close(fd);
	/* what was seen stays seen */
	assert_int_equal(source_read(&s, slice_of(path), &text), SOURCE_ABSENT);
	struct sources fresh = { .mem = &mem };
	assert_int_equal(source_read(&fresh, slice_of(path), &text), SOURCE_FOUND);
	assert_true(slice_eq(text, S("hello")));
	unlink(path);
	assert_int_equal(source_read(&fresh, slice_of(path), &text), SOURCE_FOUND);
	assert_int_equal(source_read(&fresh, slice_of(dir), &text), -1);
	assert_non_null(strstr(fail_text(), "not a file"));
	struct sources sealed = { .mem = &mem, .sealed = true };
	assert_int_equal(source_read(&sealed, S("/etc/passwd"), &text), SOURCE_ABSENT);
	rmdir(dir);
}

static void test_problems(void **state) {
	(void)state;
	AUTO_ARENA struct arena mem = { 0 };
	AUTO_BUF struct buf out = BUF(1000);
	struct problems p = { .mem = &mem };
	for (int i = 0; i < 2000; i++)
		problem_add(&p, PROBLEM_ERROR, (struct place){ S("/etc/x"), 7 }, "bad\nthing %d", i);
	assert_int_equal(p.count, 1000);
	assert_int_equal(p.errors, 2000);
	problem_line(&out, &p.at[3]);
	assert_string_equal(buf_text(&out), "error: /etc/x, line 7: bad thing 3");
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_lines), cmocka_unit_test(test_files),
					    cmocka_unit_test(test_problems) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
