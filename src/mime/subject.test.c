/* SPDX-License-Identifier: Apache-2.0 */
#include "mime/subject.h"
#include "base/test.h"

static const struct { const char *raw, *base; bool reply; } cases[] = {
	{ "hello", "hello", false },
	{ "Re: hello", "hello", true },
	{ "re:hello", "hello", true },
	{ "RE : hello", "hello", true },
	{ "Re[2]: hello", "hello", true },
	{ "Re [2] : hello", "hello", true },
	{ "Fwd: Re: FW: hello  ", "hello", true },
	{ "[list] hello", "hello", false },
	{ "[list] Re: [other] hello", "hello", true },
	{ "[a][b] [c] Re: hello", "hello", true },
	{ "[a] [b]", "[b]", false },
	{ "[only]", "[only]", false },
	{ "hello (fwd)", "hello", true },
	{ "hello (FWD) (fwd)\t", "hello", true },
	{ "[Fwd: hello]", "hello", true },
	{ "[fwd: [list] Re: hello (fwd)]", "hello", true },
	{ "Re: [Fwd: hello]", "hello", true },
	{ "[fwd:]", "", true },
	{ "Re:", "", true },
	{ "", "", false },
	{ "   ", "", false },
	{ "two   blanks\t here", "two blanks here", false },
	{ "folded\r\n  line", "folded line", false },
	{ "Refer: hello", "Refer: hello", false },
	{ "Re hello", "Re hello", false },
	{ "=?utf-8?q?Re=3A?= =?utf-8?q?_hello?=", "hello", true },
	{ "=?iso-2022-jp?b?GyRCJCIbKEI=?=", "\xe3\x81\x82", false },
	{ "[a[b] hello", "[a[b] hello", false },
};

static void test_base(void **state) {
	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		AUTO_BUF struct buf out = BUF(1000);
		bool reply = false;
		subject_add_base(&out, slice_of(cases[i].raw), &reply);
		if (!slice_eq(buf_slice(&out), slice_of(cases[i].base)) || reply != cases[i].reply)
			fail_msg("%s: \"%s\", %d", cases[i].raw, buf_text(&out), reply);
	}
}

/* Linear also for what is made to hurt. */
static void test_long(void **state) {
	AUTO_BUF struct buf text = BUF(MIB(4));
	bool reply;
	(void)state;
	for (int i = 0; i < 100000; i++) buf_add(&text, S("[a]"));
	assert_int_equal(subject_base(buf_slice(&text), &reply).len, 3);
	buf_clear(&text);
	for (int i = 0; i < 100000; i++) buf_add(&text, S("[fwd:"));
	for (int i = 0; i < 100000; i++) buf_add(&text, S("]"));
	(void)subject_base(buf_slice(&text), &reply);
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_base), cmocka_unit_test(test_long) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
