/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/service.h"
#include <setjmp.h>
#include <cmocka.h>

static void read_all(struct services *out, const char *text, struct problems *p) {
	struct sources files = { .mem = p->mem, .sealed = true };
	source_put(&files, S("/etc/services"), S("# x\nfoo 7/udp\nfoo 1234/tcp bar # baz\n"), false);
	services_read(out, slice_of(text), S("master.cf"), &files, p);
}

static void test_good(void **state) {
	(void)state;
	static const struct { const char *line, *host; uint16_t port; enum service_role role; int maxproc; } cases[] = {
		{ "smtp inet n - y - - smtpd", "", 25, SERVICE_SMTPD, -1 },
		{ "submission inet n - y - 20 smtpd", "", 587, SERVICE_SMTPD, 20 },
		{ "smtps inet n - y 3? 0 smtpd", "", 465, SERVICE_SMTPD, 0 },
		{ "submissions inet n - y - - smtpd", "", 465, SERVICE_SMTPD, -1 },
		{ "imap inet n - y - - imapd", "", 143, SERVICE_IMAPD, -1 },
		{ "imaps\tinet  n - y - - imapd", "", 993, SERVICE_IMAPD, -1 },
		{ "10025 inet n - y - - smtpd", "", 10025, SERVICE_SMTPD, -1 },
		{ "127.0.0.1:10025 inet n - y - - smtpd", "127.0.0.1", 10025, SERVICE_SMTPD, -1 },
		{ "[127.0.0.1]:smtp inet n - y - - smtpd", "127.0.0.1", 25, SERVICE_SMTPD, -1 },
		{ "[::1]:imap inet n - y - - imapd", "::1", 143, SERVICE_IMAPD, -1 },
		{ ":2525 inet n - y - - smtpd", "", 2525, SERVICE_SMTPD, -1 },
		{ "localhost:bar inet n - y - - smtpd", "localhost", 1234, SERVICE_SMTPD, -1 },
		{ "smtp unix - - y - - smtp", "", 0, SERVICE_CLIENT, -1 },
		{ "smtpd pass - - y - - smtpd", "", 0, SERVICE_SMTPD, -1 },
		{ "smtp inet n - y - 1 postscreen", "", 25, SERVICE_SMTPD, 1 },
		{ "qmgr fifo n - n 300 1 qmgr", "", 0, SERVICE_INTERNAL, 1 },
		{ "postlog unix-dgram n - n - 1 postlogd", "", 0, SERVICE_INTERNAL, 1 },
		{ "pop3 inet n - n - 1 pop3d", "", 110, SERVICE_POP3D, 1 },
		{ "filter unix - n n - 10 pipe flags=Rq user=filter argv=/f -o x=y", "", 0, SERVICE_PROGRAM, 10 },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		AUTO_ARENA struct arena mem = { 0 };
		struct problems p = { .mem = &mem };
		struct services s;
		read_all(&s, cases[i].line, &p);
		if (p.count > 0) fail_msg("%s: %s", cases[i].line, p.at[0].text.at);
		assert_int_equal(s.count, 1);
		assert_true(slice_eq(s.at[0].host, slice_of(cases[i].host)));
		assert_int_equal(s.at[0].port, cases[i].port);
		assert_int_equal(s.at[0].role, cases[i].role);
		assert_int_equal(s.at[0].maxproc, cases[i].maxproc);
	}
}

static void test_options(void **state) {
	(void)state;
	AUTO_ARENA struct arena mem = { 0 };
	struct problems p = { .mem = &mem };
	struct services s;
	read_all(&s,
	         "# head\nsmtp inet n - y - - smtpd -o a=b\n  # inner comment\n\n  -o { c = d e } -of=g -o h= -v\n"
	         "x unix - n n - - pipe\n flags=F argv=/bin/x -o y=z { two words } {}\n",
	         &p);
	assert_int_equal(p.count, 0);
	assert_int_equal(s.count, 2);
	static const char *const want[][2] = { { "a", "b" }, { "c", "d e" }, { "f", "g" }, { "h", "" } };
	assert_int_equal(s.at[0].overrides_count, LEN(want));
	for (size_t i = 0; i < LEN(want); i++) {
		assert_true(slice_eq(s.at[0].overrides[i].name, slice_of(want[i][0])));
		assert_true(slice_eq(s.at[0].overrides[i].value, slice_of(want[i][1])));
	}
	assert_int_equal(s.at[0].args_count, 1);
	assert_true(slice_eq(s.at[0].args[0], S("-v")));
	assert_int_equal(s.at[0].where.line, 2);
	assert_int_equal(s.at[1].overrides_count, 0);
	assert_int_equal(s.at[1].args_count, 5);
	assert_true(slice_eq(s.at[1].args[4], S("two words")));
	assert_int_equal(s.at[1].where.line, 6);
}

static void test_faults(void **state) {
	(void)state;
	static const struct { const char *text, *problem; size_t left;
	} cases[] = {
		{ "smtp inet n",
		  "error: master.cf, line 1: bad field count: 3 instead of service, type, private, unprivileged, "
		  "chroot, wakeup, maxproc, command",
		  0 },
		{ "smtp bla n - n - - smtpd",
		  "error: master.cf, line 1: field \"type\": bad value: \"bla\" (expected inet, unix, fifo, pass or "
		  "unix-dgram)",
		  0 },
		{ "smtp inet q - n - - smtpd",
		  "error: master.cf, line 1: field \"private\": bad value: \"q\" (expected y, n or -)", 0 },
		{ "smtp inet n yes n - - smtpd",
		  "error: master.cf, line 1: field \"unprivileged\": bad value: \"yes\" (expected y, n or -)", 0 },
		{ "smtp inet n - x - - smtpd",
		  "error: master.cf, line 1: field \"chroot\": bad value: \"x\" (expected y, n or -)", 0 },
		{ "smtp inet n - n x - smtpd",
		  "error: master.cf, line 1: field \"wakeup\": bad value: \"x\" (expected seconds, with or without ?, "
		  "or -)",
		  0 },
		{ "smtp inet n - n - -1 smtpd",
		  "error: master.cf, line 1: field \"maxproc\": bad value: \"-1\" (expected a number or -)", 0 },
		{ "nosuch inet n - n - - smtpd",
		  "error: master.cf, line 1: bad hostname or network address: nosuch (expected port, host:port or "
		  "[address]:port)",
		  1 },
		{ "[::1:25 inet n - n - - smtpd",
		  "error: master.cf, line 1: bad hostname or network address: [::1:25 (expected port, host:port or "
		  "[address]:port)",
		  1 },
		{ "99999 inet n - n - - smtpd",
		  "error: master.cf, line 1: bad hostname or network address: 99999 (expected port, host:port or "
		  "[address]:port)",
		  1 },
		{ "smtp inet n - n - - smtpq",
		  "warning: master.cf, line 1: unknown command \"smtpq\" (did you mean \"smtpd\"?): the service "
		  "smtp/inet is left out",
		  1 },
		{ "smtp inet n - n - - frobnicate",
		  "warning: master.cf, line 1: unknown command \"frobnicate\": the service smtp/inet is left out", 1 },
		{ "smtp inet n - n - - smtpd -o a", "error: master.cf, line 1: missing '=' after attribute name: \"a\"",
		  1 },
		{ "smtp inet n - n - - smtpd -o =b", "error: master.cf, line 1: missing attribute name: \"=b\"", 1 },
		{ "smtp inet n - n - - smtpd -o", "error: master.cf, line 1: missing attribute name: \"\"", 1 },
		{ "smtp inet n - n - - smtpd { a b", "error: master.cf, line 1: missing '}' in \"{ a b\"", 1 },
		{ "  smtp inet n - n - - smtpd\n",
		  "warning: master.cf, line 1: logical line must not start with whitespace: \"  smtp inet n - n - - "
		  "smtpd\"",
		  0 },
		{ "smtp inet n - n - - smtpd\nsmtp unix n - n - - smtp\nsmtp inet n - n - 5 smtpd",
		  "warning: master.cf, line 3: duplicate master.cf entry for service \"smtp\" (inet) -- using the last "
		  "entry",
		  2 },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		AUTO_ARENA struct arena mem = { 0 };
		AUTO_BUF struct buf line = BUF(1000);
		struct problems p = { .mem = &mem };
		struct services s;
		read_all(&s, cases[i].text, &p);
		if (p.count != 1) fail_msg("%s: %zu problems", cases[i].text, p.count);
		problem_line(&line, &p.at[0]);
		assert_string_equal(buf_text(&line), cases[i].problem);
		assert_int_equal(s.count, cases[i].left);
	}
}

static void test_many(void **state) {
	(void)state;
	AUTO_ARENA struct arena mem = { 0 };
	AUTO_BUF struct buf text = BUF(MIB(1));
	struct problems p = { .mem = &mem };
	struct services s;
	for (int i = 1; i < 1000; i++) buf_addf(&text, "%d inet n - n - - smtpd\n", i);
	read_all(&s, buf_text(&text), &p);
	assert_int_equal(s.count, SERVICES_LIMIT);
	assert_int_equal(p.count, 1);
	for (size_t i = 0; i < s.count; i++) assert_int_equal(s.at[i].index, i);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_many),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
