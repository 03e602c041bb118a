/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fail.h"
#include "conf/value.h"
#include <setjmp.h>
#include <cmocka.h>

#define D 86400000LL

static const struct {
	enum setting_id id;
	const char *text;
	long long number;
	const char *error; /* NULL: none */
} numbers[] = {
	{ SET_smtpd_helo_required, "yes", 1, NULL },
	{ SET_smtpd_helo_required, "No", 0, NULL },
	{ SET_smtpd_helo_required, "YES", 1, NULL },
	{ SET_smtpd_helo_required, "maybe", 0,
	  "bad boolean configuration: smtpd_helo_required = maybe (expected yes or no)" },
	{ SET_smtpd_helo_required, "", 0, "bad boolean configuration: smtpd_helo_required =  (expected yes or no)" },
	{ SET_hopcount_limit, "50", 50, NULL },
	{ SET_hopcount_limit, "0", 0, "invalid hopcount_limit parameter value 0 < 1" },
	{ SET_hopcount_limit, "-1", 0, "bad numerical configuration: hopcount_limit = -1 (expected a whole number)" },
	{ SET_hopcount_limit, "5x", 0, "bad numerical configuration: hopcount_limit = 5x (expected a whole number)" },
	{ SET_hopcount_limit, "99999999999", 0,
	  "bad numerical configuration: hopcount_limit = 99999999999 (expected a whole number)" },
	{ SET_smtpd_tls_loglevel, "5", 0, "invalid smtpd_tls_loglevel parameter value 5 > 4" },
	{ SET_queue_run_delay, "300", 300000, NULL },
	{ SET_queue_run_delay, "5m", 300000, NULL },
	{ SET_maximal_queue_lifetime, "5", 5 * D, NULL },
	{ SET_maximal_queue_lifetime, "1w", 7 * D, NULL },
	{ SET_delay_warning_time, "4", 4 * 3600000LL, NULL },
	{ SET_delay_warning_time, "0h", 0, NULL },
	{ SET_queue_run_delay, "h", 0,
	  "parameter queue_run_delay: bad time value or unit: h (expected a number with s, m, h, d or w; without, s is "
	  "meant)" },
	{ SET_queue_run_delay, "5y", 0,
	  "parameter queue_run_delay: bad time value or unit: 5y (expected a number with s, m, h, d or w; without, s "
	  "is meant)" },
	{ SET_queue_run_delay, "5 m", 0,
	  "parameter queue_run_delay: bad time value or unit: 5 m (expected a number with s, m, h, d or w; without, s "
	  "is meant)" },
	{ SET_queue_run_delay, "9999999w", 0,
	  "parameter queue_run_delay: bad time value or unit: 9999999w (expected a number with s, m, h, d or w; "
	  "without, s is meant)" },
	{ SET_message_size_limit, "10240000", 10240000, NULL },
	{ SET_message_size_limit, "50M", 50LL << 20, NULL },
	{ SET_message_size_limit, "2g", 2LL << 30, NULL },
	{ SET_message_size_limit, "9223372036854775807", INT64_MAX, NULL },
	{ SET_message_size_limit, "9223372036854775807k", 0,
	  "bad numerical configuration: message_size_limit = 9223372036854775807k (expected a number of bytes)" },
	{ SET_message_size_limit, "M", 0,
	  "bad numerical configuration: message_size_limit = M (expected a number of bytes)" },
	{ SET_message_size_limit, "5T", 0,
	  "bad numerical configuration: message_size_limit = 5T (expected a number of bytes)" },
	{ SET_smtpd_tls_security_level, "may", SERVER_TLS_MAY, NULL },
	{ SET_smtpd_tls_security_level, "Encrypt", SERVER_TLS_ENCRYPT, NULL },
	{ SET_smtpd_tls_security_level, "dane", 0,
	  "invalid smtpd_tls_security_level value: dane (expected none, may or encrypt)" },
	{ SET_smtp_tls_security_level, "dane-only", CLIENT_TLS_DANE_ONLY, NULL },
	{ SET_compatibility_level, "3.11.6", 0, NULL },
	{ SET_compatibility_level, "3.x", 0,
	  "malformed compatibility level syntax: \"3.x\" in compatibility_level (expected a release such as 3.11)" },
	{ SET_compatibility_level, "1.2.3.4", 0,
	  "malformed compatibility level syntax: \"1.2.3.4\" in compatibility_level (expected a release such as "
	  "3.11)" },
	{ SET_compatibility_level, "", 0,
	  "malformed compatibility level syntax: \"\" in compatibility_level (expected a release such as 3.11)" },
};

static void test_numbers(void **state) {
	(void)state;
	for (size_t i = 0; i < LEN(numbers); i++) {
		AUTO_ARENA struct arena mem = { 0 };
		struct value v = { 0 };
		int r = value_read(&v, setting_of(numbers[i].id), slice_of(numbers[i].text), &mem);
		if (numbers[i].error != NULL) {
			if (r >= 0) fail_msg("%s: accepted", numbers[i].text);
			assert_string_equal(fail_text(), numbers[i].error);
			continue;
		}
		if (r < 0) fail_msg("%s: %s", numbers[i].text, fail_text());
		if (setting_of(numbers[i].id)->kind != KIND_LEVEL) assert_int_equal(v.number, numbers[i].number);
		char last = numbers[i].text[strlen(numbers[i].text) - 1];
		bool suffix = setting_of(numbers[i].id)->kind == KIND_SIZE && !ascii_digit(last);
		assert_int_equal(r, suffix ? VALUE_EXTENSION : VALUE_GOOD);
	}
}

static void test_lists(void **state) {
	(void)state;
	static const struct { const char *text, *joined;
	} cases[] = {
		{ "", "" },
		{ " , ,\t", "" },
		{ "a", "a" },
		{ "a, b c,d", "a|b|c|d" },
		{ "inet:h:1, { unix:/x y, default_action = accept } z",
		  "inet:h:1|unix:/x y, default_action = accept|z" },
		{ "x{a b}y", "x{a b}y" },
		{ "{a} {{b c}} }", "a|{b c}|}" },
		{ "{a {b}", NULL },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		AUTO_ARENA struct arena mem = { 0 };
		AUTO_BUF struct buf joined = BUF(1000);
		struct value v = { 0 };
		int r = value_read(&v, setting_of(SET_smtpd_milters), slice_of(cases[i].text), &mem);
		if (cases[i].joined == NULL) {
			assert_int_equal(r, -1);
			assert_string_equal(fail_text(), "missing '}' in \"{a {b}\" of smtpd_milters");
			continue;
		}
		assert_int_equal(r, VALUE_GOOD);
		for (size_t k = 0; k < v.list.count; k++)
			buf_addf(&joined, "%s%.*s", k > 0 ? "|" : "", SLICE_ARG(v.list.words[k]));
		assert_string_equal(buf_text(&joined), cases[i].joined);
	}
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_numbers), cmocka_unit_test(test_lists) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
