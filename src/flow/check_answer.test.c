/* SPDX-License-Identifier: Apache-2.0 */
#include "flow/check_answer.h"
#include "mime/header.h"
#include "base/test.h"

static void often(void **state UNUSED) {
	struct check_memory *m = check_memory_new();
	assert_true(check_memory_may(m, S("a.test"), 2) && check_memory_may(m, S("A.TEST"), 2));
	assert_false(check_memory_may(m, S("a.test"), 2));
	assert_true(check_memory_may(m, S("b.test"), 2));
	char name[32];
	unsigned given = 3;
	for (int i = 0; i < 2 * CHECK_ANSWERS_MAX; i++) {
		snprintf(name, sizeof name, "%d.test", i);
		given += check_memory_may(m, slice_of(name), 2);
	}
	assert_int_equal(given, CHECK_ANSWERS_MAX); /* all together */
	check_memory_free(&m);
	check_memory_free(&m);
}

static const struct { const char *sender, *header; enum trust_result spf, dmarc; bool answered; } cases[] = {
	{ "ann@a.test", "Subject: x\r\n", TRUST_PASS, TRUST_PASS, true },
	{ "ann@a.test", "Auto-Submitted: no\r\n", TRUST_PASS, TRUST_NONE, true },
	{ "", "", TRUST_PASS, TRUST_PASS, false },
	{ "ann@a.test", "", TRUST_SOFTFAIL, TRUST_NONE, false },
	{ "ann@a.test", "", TRUST_PASS, TRUST_FAIL, false },
	{ "ann@b.test", "", TRUST_PASS, TRUST_NONE, false }, /* SPF passed for another name */
	{ "MAILER-DAEMON@a.test", "", TRUST_PASS, TRUST_PASS, false },
	{ "list-bounces@a.test", "", TRUST_PASS, TRUST_PASS, false },
	{ "SRS0=abcd=xx=b.test=ann@a.test", "", TRUST_PASS, TRUST_PASS, false },
	{ "prvs=1234=ann@a.test", "", TRUST_PASS, TRUST_PASS, false },
	{ "ann@a.test", "auto-submitted: auto-generated\r\n", TRUST_PASS, TRUST_PASS, false },
	{ "ann@a.test", "Precedence:  bulk\r\n", TRUST_PASS, TRUST_PASS, false },
	{ "ann@a.test", "List-Unsubscribe: <x>\r\n", TRUST_PASS, TRUST_PASS, false },
};

static void wanted(void **state UNUSED) {
	struct evidence_params p = {0};
	for (size_t i = 0; i < LEN(cases); i++) {
		AUTO_ARENA struct arena mem = {0};
		struct evidence_verdict v = { .spf = { .result = cases[i].spf, .domain = S("a.test") },
					      .dmarc = { .result = cases[i].dmarc } };
		struct slice why = check_unwanted(&p, slice_of(cases[i].sender), slice_of(cases[i].header), &v, &mem);
		if ((why.len == 0) != cases[i].answered) print_error("at %zu: %.*s\n", i, SLICE_ARG(why));
		assert_int_equal(why.len == 0, cases[i].answered);
	}
}

/* Nothing that the message says can become a field or a tag of ours. */
static void composed(void **state UNUSED) {
	AUTO_BUF struct buf out = BUF(MIB(1));
	struct finding f = { "SPF", FINDING_BAD, S("fail"), S("<script>alert(1)</script> & more"), S("do \"this\"") };
	struct check_answer a = { .from = { S("check"), S("home.test") },
				  .to = { S("ann"), S("a.test") },
				  .message_id = S("<1@home.test>"),
				  .host = S("mx.home.test"),
				  .header = S("Subject: a\r\n\tBcc: x@y\r\nMessage-ID: <q@a.test>\r\n"),
				  .findings = &f,
				  .count = 1,
				  .results = S("mx.home.test; spf=fail") };
	struct field found;
	check_answer_compose(&out, &a);
	struct slice text = buf_slice(&out);
	assert_false(header_find(text, S("Bcc"), &found));
	assert_true(header_find(text, S("In-Reply-To"), &found) && slice_eq(slice_trim(found.value), S("<q@a.test>")));
	assert_true(header_find(text, S("Auto-Submitted"), &found));
	assert_true(slice_search(text, S("&lt;script&gt;alert(1)&lt;/script&gt; &amp; more.")) < text.len);
	assert_true(slice_search(text, S("! SPF    fail: <script>")) < text.len);
	assert_true(slice_search(text, S("1 thing can be done better")) < text.len);
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(often), cmocka_unit_test(wanted),
					    cmocka_unit_test(composed) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
