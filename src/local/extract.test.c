/* SPDX-License-Identifier: Apache-2.0 */
#include "local/extract.h"
#include "base/clock.h"

#include <sys/mman.h>
#include <unistd.h>

#include "base/test.h"

static int64_t run(const char *script, struct slice name, enum local_fate *fate, struct buf *text) {
	AUTO_ARENA struct arena mem = { 0 };
	const char *const argv[] = { "/bin/sh", "-c", script, "sh", NULL };
	struct extract_program p = { .argv = argv,
				     .argc = 4,
				     .who = { .uid = geteuid(), .gid = getegid() },
				     .limit_ms = 1500,
				     .memory_limit = MIB(256),
				     .text_limit = 4096 };
	struct local_outcome out;
	AUTO_FD int fd = memfd_create("file", MFD_CLOEXEC);
	assert_int_equal(write(fd, "the file", 8), 8);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	int64_t before = clock_ms();
	buf_clear(text);
	extract_run(&p, S("application/pdf"), name, fd, &mem, text, &out);
	*fate = out.fate;
	return clock_ms() - before;
}

static void says_what_is_written(void **state) {
	(void)state;
	AUTO_BUF struct buf text = BUF(8192);
	enum local_fate fate;
	run("cat; echo \" $1|$2|$HOME|$PWD\"", S("../a\nb"), &fate, &text);
	assert_string_equal(buf_text(&text), "the file application/pdf|.._a_b|/|/\n");
	assert_int_equal(fate, LOCAL_DELIVERED);
}

static void reaches_nobody(void **state) {
	(void)state;
	AUTO_BUF struct buf text = BUF(8192);
	enum local_fate fate;
	run("exec /usr/bin/python3 -c 'import socket as s\n"
	    "def t(f, *a):\n"
	    "  try: f(*a); print(1, end=\"\")\n"
	    "  except PermissionError: print(0, end=\"\")\n"
	    "t(s.socket, s.AF_INET); t(s.socket, s.AF_INET6, s.SOCK_DGRAM); t(s.socket, s.AF_NETLINK, s.SOCK_RAW)\n"
	    "t(s.socket, s.AF_UNIX, s.SOCK_DGRAM); t(s.socketpair); u = s.socket(s.AF_UNIX); t(u.connect, \"/x\")'",
	    SLICE_NONE, &fate, &text);
	assert_string_equal(buf_text(&text), "000010");
	assert_int_equal(fate, LOCAL_DELIVERED);
}

static void trouble(void **state) {
	(void)state;
	static const struct {
		const char *script;
		enum local_fate fate;
		size_t len;
	} cases[] = {
		{ "exit 3", LOCAL_NEVER, 0 },
		{ "echo half; kill -SEGV $$", LOCAL_NEVER, 0 },
		{ "exec yes", LOCAL_DELIVERED, 4096 },
		{ "sleep 60", LOCAL_NEVER, 0 },
		{ "echo x; exec >/dev/null; sleep 60", LOCAL_NEVER, 0 },
		{ "sleep 60 & echo x; exit 0", LOCAL_NEVER, 0 }, /* holds the pipe: killed at the limit */
		{ "sleep 60 >/dev/null & echo x", LOCAL_DELIVERED, 2 },
		{ "exec /no/such/program", LOCAL_LATER, 0 },
	};
	AUTO_BUF struct buf text = BUF(8192);
	for (size_t i = 0; i < LEN(cases); i++) {
		enum local_fate fate;
		int64_t took = run(cases[i].script, SLICE_NONE, &fate, &text);
		if (fate != cases[i].fate || text.len != cases[i].len || took > 30000)
			fail_msg("%zu: fate %d, %zu bytes, %lld ms", i, (int)fate, text.len, (long long)took);
	}
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(says_what_is_written), cmocka_unit_test(reaches_nobody),
					    cmocka_unit_test(trouble) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
