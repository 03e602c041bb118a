/* SPDX-License-Identifier: Apache-2.0 */
#include "flow/notice.h"

#include "base/test.h"

static void test_classes(void **state) {
	(void)state;
	static const struct {
		const char *reply;
		unsigned class;
	} cases[] = {
		{ "250 2.1.0 Ok", 0 },
		{ "354 End data with <CR><LF>.<CR><LF>", 0 },
		{ "", 0 },
		{ "550", NOTICE_POLICY },
		{ "500 5.5.2 Error: bad syntax", NOTICE_PROTOCOL },
		{ "503 5.5.1 Error: need MAIL command", NOTICE_PROTOCOL },
		{ "501 5.1.3 Bad recipient address syntax", NOTICE_PROTOCOL },
		{ "452 4.5.3 Error: too many recipients", NOTICE_POLICY },
		{ "554 5.7.1 <x@far.test>: Relay access denied", NOTICE_POLICY },
		{ "550 5.1.1 <x@here.test>: Recipient address rejected: User unknown", NOTICE_BOUNCE },
		{ "552 5.3.4 Message size exceeds fixed limit", NOTICE_POLICY },
		{ "452 4.3.1 Insufficient system storage", NOTICE_RESOURCE },
		{ "451 4.3.0 Error: queue file write error", NOTICE_SOFTWARE },
		{ "451 4.3.5 Server configuration error", NOTICE_SOFTWARE },
	};
	for (size_t i = 0; i < LEN(cases); i++)
		assert_int_equal(notice_class_of(slice_of(cases[i].reply)), cases[i].class);
}

static void test_secrets_are_left_out(void **state) {
	(void)state;
	AUTO_BUF struct buf talk = BUF(KIB(4));
	notice_talk(&talk, false, S("AUTH PLAIN AGFubgBzZWNyZXQ="));
	notice_talk(&talk, false, S("auth login"));
	notice_talk(&talk, true, S("535 5.7.8 Error:\tfailed"));
	assert_string_equal(buf_text(&talk), "In:  AUTH PLAIN ...\nIn:  auth login\nOut: 535 5.7.8 Error:?failed\n");
}

static void test_number_is_limited(void **state) {
	(void)state;
	struct notice_memory *m = notice_memory_new();
	unsigned left_out = 7;
	assert_true(notice_memory_may(m, 1, &left_out));
	assert_int_equal(left_out, 0);
	assert_false(notice_memory_may(m, 1, &left_out));
	assert_false(notice_memory_may(m, 1, &left_out));
	assert_true(notice_memory_may(m, 9, &left_out));
	assert_int_equal(left_out, 2);
	notice_memory_free(&m);
	assert_null(m);
}

static void test_message(void **state) {
	(void)state;
	struct notice_params p = { .to = S("postmaster@here.test"),
				   .bounce_to = S("bounces@here.test"),
				   .origin = S("here.test"),
				   .host = S("mail.here.test"),
				   .mail_name = S("Postfix") };
	struct notice n = { .troubles = NOTICE_POLICY,
			    .peer = S("unknown[192.0.2.1]"),
			    .reason = S("lost connection"),
			    .left_out = 3 };
	n.talk = S("Out: 220 mail.here.test ESMTP\nIn:  EHLO a.long.name.in.the.greeting.of.a.client "
		   "and.some.more.words.here to.be.broken\n"
		   "In:  averyveryveryveryveryveryveryveryveryveryveryveryveryveryveryveryveryverylongword\n");
	AUTO_BUF struct buf out = BUF(KIB(16));
	notice_compose(&out, &p, &n, S("ID1"));
	const char *text = buf_text(&out);
	assert_non_null(strstr(text, "From: Mail Delivery System <MAILER-DAEMON@here.test>\r\n"));
	assert_non_null(strstr(text, "To: Postmaster <postmaster@here.test>\r\n"));
	assert_non_null(strstr(text, "Subject: Postfix SMTP server: errors from unknown[192.0.2.1]\r\n"));
	assert_non_null(strstr(
		text, "\r\n\r\nTranscript of session follows.\r\n\r\n Out: 220 mail.here.test ESMTP\r\n In:  EHLO"));
	assert_non_null(strstr(text, " and.some.more.words.here\r\n     to.be.broken\r\n In:  "));
	assert_non_null(strstr(text, "\r\nSession aborted, reason: lost connection\r\n"));
	assert_non_null(strstr(text, "3 notices were left out"));
	n = (struct notice){
		.troubles = NOTICE_BOUNCE, .client = true, .lmtp = true, .peer = S("mx[192.0.2.1]:24"), .cut = true
	};
	buf_clear(&out);
	notice_compose(&out, &p, &n, S("ID2"));
	text = buf_text(&out);
	assert_non_null(strstr(text, "Subject: Postfix LMTP client: errors from mx[192.0.2.1]:24\r\n"));
	assert_non_null(strstr(text, "To: Postmaster <bounces@here.test>\r\n"));
	assert_non_null(strstr(text, "Unexpected response from mx[192.0.2.1]:24.\r\n"));
	assert_non_null(strstr(text, "the rest is left out"));
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_classes),
		cmocka_unit_test(test_secrets_are_left_out),
		cmocka_unit_test(test_number_is_limited),
		cmocka_unit_test(test_message),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
