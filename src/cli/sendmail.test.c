/* SPDX-License-Identifier: Apache-2.0 */
/* What sendmail makes of what programs write, and what it finds without the settings. */
#include "cli/instance.h"
#include "cli/sendmail.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/test.h"

static int file_of(struct slice text) {
	int fd = memfd_create("test", MFD_CLOEXEC);
	assert_int_equal(write(fd, text.at != NULL ? text.at : "", text.len), text.len);
	lseek(fd, 0, SEEK_SET);
	return fd;
}

static void check(const char *in, size_t len, bool dot_is_text, const char *want) {
	struct reading r = { 0 };
	int fd = file_of(slice_from(in, len));
	assert_int_equal(reading_take(&r, fd, dot_is_text, 0), 0);
	reading_header(&r, false);
	assert_string_equal(buf_text(&r.text), want);
	reading_done(&r);
	close(fd);
}
#define CHECK(in, dot, want) check(in, sizeof(in) - 1, dot, want)

static void test_text(void **state) {
	(void)state;
	CHECK("", false, "");
	CHECK("A: b\n\nc", false, "A: b\r\n\r\nc\r\n");
	CHECK("A: b\r\n\r\nc\r\n", false, "A: b\r\n\r\nc\r\n");
	CHECK("text\n", false, "\r\ntext\r\n");
	CHECK("A: b\ntext\n", false, "A: b\r\n\r\ntext\r\n");
	CHECK("A: b\n c\n\td\ntext\n", false, "A: b\r\n c\r\n\td\r\n\r\ntext\r\n");
	CHECK(" not a field\n", false, "\r\n not a field\r\n");
	CHECK("From x Mon\n>From y\nA: b\n", false, "A: b\r\n");
	CHECK("A: b\n\nFrom x\n", false, "A: b\r\n\r\nFrom x\r\n");
	CHECK("a b: c\n", false, "\r\na b: c\r\n");
	CHECK("A : c\n", false, "A : c\r\n");
	CHECK("\n.\nnot this\n", false, "\r\n");
	CHECK("\n.\r\nnot this\n", false, "\r\n");
	CHECK("\n.\nthis too\n", true, "\r\n.\r\nthis too\r\n");
	CHECK("\n..\n", false, "\r\n..\r\n");
	CHECK("\na\rb\0c\r\r\n", false, "\r\na bc \r\n");
}

static void check_recipients(const char *text, const char *want) {
	struct reading r = { 0 };
	AUTO_BUF struct buf got = BUF(KIB(4));
	int fd = file_of(slice_of(text));
	assert_int_equal(reading_take(&r, fd, true, 0), 0);
	reading_header(&r, true);
	for (size_t i = 0; i < r.to_count; i++) buf_addf(&got, "%s%.*s", i != 0 ? " " : "", SLICE_ARG(r.to[i]));
	assert_string_equal(buf_text(&got), want);
	reading_done(&r);
	close(fd);
}

static void test_recipients(void **state) {
	(void)state;
	check_recipients("To: a@x\nCc: B <b@x>, c\nBCC:d@x\nSubject: e@x\n\nTo: f@x\n", "a@x b@x c d@x");
	check_recipients("To: a@x,\n b@x\n", "a@x b@x");
	check_recipients("To: a@x\nResent-To: b@x\nCc: c@x\nResent-Bcc: d@x\n", "b@x d@x");
	check_recipients("To: group: a@x, b@x;, \"odd one\"@x\n", "a@x b@x \"odd one\"@x");
	check_recipients("Subject: none\n", "");
	check_recipients("To: undisclosed-recipients:;\n", "");
}

static void test_limit(void **state) {
	(void)state;
	struct reading r = { 0 };
	int fd = file_of(S("A: b\n\n1234567890\n"));
	assert_int_equal(reading_take(&r, fd, true, 10), 0);
	assert_true(r.too_big);
	reading_done(&r);
	close(fd);
}

static void test_fields(void **state) {
	(void)state;
	struct reading r = { 0 };
	int fd = file_of(S("Subject: x\n\nbody\n"));
	reading_take(&r, fd, true, 0);
	reading_header(&r, false);
	assert_false(r.has_from);
	reading_add_field(&r, S("From: a@x"));
	reading_add_field(&r, S("X: y"));
	assert_string_equal(buf_text(&r.text), "Subject: x\r\nFrom: a@x\r\nX: y\r\n\r\nbody\r\n");
	reading_done(&r);
	close(fd);
}

/* The short way to data_directory: what it says is right, and where it is not sure it says so. */
static void test_instance(void **state) {
	(void)state;
	static const struct { const char *main, *data; } cases[] = {
		{ "", "/var/lib/hato" },
		{ "data_directory = /a/b\n", "/a/b" },
		{ "data_directory=/a\n# data_directory = /c\nx = y\n", "/a" },
		{ "data_directory = /a\ndata_directory = /b\n", "/b" },
		{ "x = y\n data_directory = /a\n", "/var/lib/hato" },
		{ "data_directory_x = /a\n", "/var/lib/hato" },
		{ "data_directory = $x/a\n", NULL },
		{ "data_directory = /a\n b\n", NULL },
		{ "data_directory =\n /a\n", NULL },
		{ "data_directory = a\n", NULL },
	};
	char dir[] = "/tmp/hato-instance-XXXXXX";
	assert_non_null(mkdtemp(dir));
	AUTO_BUF struct buf path = BUF(PATH_MAX);
	buf_addf(&path, "%s/main.cf", dir);
	for (size_t i = 0; i < LEN(cases); i++) {
		AUTO_BUF struct buf data = BUF(PATH_MAX);
		FILE *f = fopen(buf_text(&path), "w");
		fputs(cases[i].main, f);
		fclose(f);
		assert_int_equal(instance_data(dir, &data), cases[i].data != NULL);
		if (cases[i].data != NULL) assert_string_equal(buf_text(&data), cases[i].data);
	}
	unlink(buf_text(&path));
	rmdir(dir);
	AUTO_BUF struct buf none = BUF(PATH_MAX);
	assert_false(instance_data(dir, &none));
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),   cmocka_unit_test(test_recipients), cmocka_unit_test(test_limit),
		cmocka_unit_test(test_fields), cmocka_unit_test(test_instance),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
