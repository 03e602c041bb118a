/* SPDX-License-Identifier: Apache-2.0 */
#include "filter/policy.h"

#include "base/test.h"

#define WRONG(...) (print_error(__VA_ARGS__), _fail(__FILE__, __LINE__))

static void test_replies(void **state) {
	static const struct { const char *in; int used; const char *action; } cases[] = {
		{ "action=DUNNO\n\n", 14, "DUNNO" },
		{ "action=reject 5.7.1 no=way \r\n\r\n", 31, "reject 5.7.1 no=way" },
		{ "x=y\naction=ok\n\nmore", 15, "ok" },
		{ "action=ok\n", 0, NULL },
		{ "acti", 0, NULL },
		{ "", 0, NULL },
		{ "\n", -1, NULL },
		{ "x=y\n\n", -1, NULL },
		{ "nonsense\n\n", -1, NULL },
	};
	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		struct slice action = SLICE_NONE;
		assert_int_equal(policy_parse_reply(slice_of(cases[i].in), &action), cases[i].used);
		if (cases[i].action != NULL) assert_true(slice_eq(action, slice_of(cases[i].action)));
	}
}

static void test_specs(void **state) {
	static const struct { const char *spec; bool good;
	} cases[] = {
		{ "inet:127.0.0.1:10023", true },
		{ "inet:localhost:10023", true },
		{ "inet:[::1]:10023", true },
		{ "inet:10023", true },
		{ "unix:private/policy", true },
		{ "{ inet:127.0.0.1:1, timeout=10s, default_action=DUNNO, policy_context=x, try_limit=1, max_idle=1m }",
		  true },
		{ "{ unix:/run/p, { default_action = 451 4.3.5 later, please } }", true },
		{ "{ inet:127.0.0.1:1, timeout=soon }", false },
		{ "{ inet:127.0.0.1:1, nosuch=1 }", false },
		{ "inet:127.0.0.1", false },
		{ "inet:127.0.0.1:smtp", false },
		{ "tcp:127.0.0.1:1", false },
		{ "unix:", false },
		{ "{ }", false },
	};
	(void)state;
	struct policy_params p = { .timeout = 1000, .default_action = S("DEFER"), .queue_directory = "/tmp" };
	for (size_t i = 0; i < LEN(cases); i++) {
		struct policy_server *server = NULL;
		bool good = policy_open(slice_of(cases[i].spec), &p, &server) == 0;
		if (good != cases[i].good) WRONG("%s", cases[i].spec);
		policy_close(&server);
	}
	struct policy_server *server;
	assert_int_equal(policy_open(S("{ unix:/run/p, { default_action = 451 4.3.5 later, please } }"), &p, &server),
			 0);
	assert_true(slice_eq(policy_default_action(server), S("451 4.3.5 later, please")));
	policy_close(&server);
}

static void test_attributes(void **state) {
	AUTO_BUF struct buf out = BUF(1000);
	(void)state;
	policy_add(&out, "sender", S("a\nrecipient=b@c"));
	assert_string_equal(buf_text(&out), "sender=a?recipient=b@c\n");
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_replies), cmocka_unit_test(test_specs),
		                            cmocka_unit_test(test_attributes) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
