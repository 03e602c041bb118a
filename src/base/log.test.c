/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "base/buf.h"

#include <fcntl.h>
#include <setjmp.h>
#include <cmocka.h>

static const struct log_target text_form = { .fd = 2, .form = LOG_FORM_TEXT, .name = "hato", .host = "mail" };
static const struct log_target json_form = { .fd = 2, .form = LOG_FORM_JSON, .name = "hato", .host = "mail" };
static const int64_t at = 1763785899123456; /* 2025-11-22 04:31:39.123456 UTC */

#define SAMPLE { FA("from", S("a@b")), FN("size", 1432), F("relay", S("local")), FP("queue active") }

static void text(void **state) {
	(void)state;
	const struct log_field fields[] = SAMPLE;
	AUTO_BUF struct buf out = BUF(KIB(4));
	log_format(&out, &text_form, at, L_INFO, "smtpd", 10234, "4MkL9z2bQxzJ3d", NULL, fields, LEN(fields));
	assert_string_equal(buf_text(&out), "Nov 22 04:31:39 mail hato/smtpd[10234]: 4MkL9z2bQxzJ3d: from=<a@b>, "
					    "size=1432, relay=local (queue active)");
	buf_clear(&out);
	log_format(&out, &text_form, at, L_WARN, "core", 7, NULL, "disk is nearly full", NULL, 0);
	assert_string_equal(buf_text(&out), "Nov 22 04:31:39 mail hato/core[7]: warning: disk is nearly full");
	buf_clear(&out);
	log_format(&out, &text_form, at, L_INFO, "/postfix/submission/smtpd", 7, NULL, "up", NULL, 0); /* a whole tag */
	assert_string_equal(buf_text(&out), "Nov 22 04:31:39 mail postfix/submission/smtpd[7]: up");
	buf_clear(&out);
	log_format(&out, &text_form, at, L_INFO, "=dovecot/imap-login", 7, NULL, "Login: ", NULL, 0); /* another's */
	assert_string_equal(buf_text(&out), "Nov 22 04:31:39 mail dovecot[7]: imap-login: Login: ");
	buf_clear(&out);
	struct log_target syslog = text_form;
	syslog.fd = -1; /* syslogd writes time and host itself */
	log_format(&out, &syslog, at, L_INFO, "core", 7, "", "up", NULL, 0);
	assert_string_equal(buf_text(&out), "hato/core[7]: up");
}

static void json(void **state) {
	(void)state;
	const struct log_field fields[] = SAMPLE;
	AUTO_BUF struct buf out = BUF(KIB(4));
	log_format(&out, &json_form, at, L_INFO, "smtpd", 10234, "4MkL9z2bQxzJ3d", NULL, fields, LEN(fields));
	assert_string_equal(
		buf_text(&out),
		"{\"time\":\"2025-11-22T04:31:39.123456Z\",\"host\":\"mail\",\"service\":\"smtpd\",\"session\":10234,"
		"\"id\":\"4MkL9z2bQxzJ3d\",\"level\":\"info\",\"from\":\"a@b\",\"size\":1432,\"relay\":\"local\","
		"\"remark\":\"queue active\"}");
	buf_clear(&out);
	log_format(&out, &json_form, at, L_INFO, "=dovecot/imap-login", 7, NULL, "x", NULL, 0);
	assert_non_null(strstr(buf_text(&out), "\"service\":\"imap-login\",\"session\":7,"));
	buf_clear(&out);
	struct log_field odd = F("helo", S("a\"\\\n\x01\xff"));
	log_format(&out, &json_form, at, L_ERROR, "smtpd", 1, NULL, "x", &odd, 1);
	assert_non_null(strstr(buf_text(&out), "\"helo\":\"a\\\"\\\\\\u000a\\u0001\xef\xbf\xbd\"}"));
}

static void nobody_writes_a_second_line(void **state) {
	(void)state;
	AUTO_BUF struct buf out = BUF(KIB(4));
	struct log_field evil[] = { F("helo", S("x\nNov 22 04:31:39 mail hato/core[1]: all is well\r\x1b[2J")),
				    FP("a\nb") };
	log_format(&out, &text_form, at, L_INFO, "smtpd", 1, NULL, "c\nd ", evil, LEN(evil));
	for (size_t i = 0; i < out.len; i++) assert_false(ascii_control(out.at[i]));
}

/* What log_line really writes to a descriptor. */
static struct slice written(char *room, size_t size, enum log_form form, void (*act)(void)) {
	int ends[2];
	assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
	fcntl(ends[1], F_SETPIPE_SZ, 1 << 20);
	struct log_target t = form == LOG_FORM_JSON ? json_form : text_form;
	t.fd = ends[1];
	t.least = L_INFO;
	log_open(&t);
	act();
	ssize_t n = read(ends[0], room, size);
	t.fd = STDERR_FILENO;
	log_open(&t);
	close(ends[0]);
	close(ends[1]);
	return slice_from(room, n < 0 ? 0 : (size_t)n);
}

static char long_text[200000];

static void act_long(void) {
	memset(long_text, '"', sizeof long_text - 1);
	note(L_INFO, "smtpd", 1, "ID", NULL, F("a", slice_of(long_text)), F("b", slice_of(long_text)),
	     F("c", slice_of(long_text)));
}

static void act_say_long(void) {
	say(L_INFO, "core", "begin %s", long_text);
}

static void act_hidden(void) {
	note(L_DEBUG, "smtpd", 1, "ID", NULL, F("a", S("b")));
}

static void long_values_are_cut_lines_stay_whole(void **state) {
	(void)state;
	static char room[1 << 20];
	struct slice json_line = written(room, sizeof room, LOG_FORM_JSON, act_long);
	assert_true(slice_ends(json_line, S("\"}\n")));
	assert_true(json_line.len < KIB(64));
	struct slice line = written(room, sizeof room, LOG_FORM_TEXT, act_long);
	assert_int_equal(slice_find(line, '\n'), line.len - 1);
	line = written(room, sizeof room, LOG_FORM_TEXT, act_say_long);
	assert_true(slice_search(line, S("begin \"\"\"")) < line.len && slice_ends(line, S("\n")));
	assert_int_equal(written(room, sizeof room, LOG_FORM_TEXT, act_hidden).len, 0);
}

static void addresses_lose_their_quotes(void **state) {
	(void)state;
	static const struct { const char *in, *out;
	} cases[] = {
		{ "from=<\"a b\"@c>, to=<d@e>", "from=<a b@c>, to=<d@e>" },
		{ "to=<\"a\\\"b\"@c>", "to=<a\"b@c>" },
		{ "x=<\"open", "x=<\"open" },
		{ "x=<\"a\" b>", "x=<\"a\" b>" },
	};
	struct log_target t = { .form = LOG_FORM_TEXT, .bare_addresses = true, .name = "hato", .host = "h" };
	for (size_t i = 0; i < LEN(cases); i++) {
		AUTO_BUF struct buf line = BUF(KIB(4));
		log_format(&line, &t, 0, L_INFO, "smtpd", 1, NULL, cases[i].in, NULL, 0);
		assert_true(slice_ends(buf_slice(&line), slice_of(cases[i].out)));
	}
}

int main(void) {
	setenv("TZ", "UTC", 1);
	tzset();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text), cmocka_unit_test(json), cmocka_unit_test(nobody_writes_a_second_line),
		cmocka_unit_test(long_values_are_cut_lines_stay_whole), cmocka_unit_test(addresses_lose_their_quotes),
	};
	return cmocka_run_group_tests_name("base-log", tests, NULL, NULL);
}
