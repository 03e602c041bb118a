/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/bounce.h"
#include "conf/conf.h"
#include "base/test.h"

static void read_all(const char *text, struct bounce_template all[BOUNCE_KINDS], struct problems *p) {
	bounces_read(all, slice_of(text), S("b.cf"), p);
}

static void test_reading(void **state) {
	(void)state;
	AUTO_ARENA struct arena mem = { 0 };
	struct problems p = { .mem = &mem };
	struct bounce_template all[BOUNCE_KINDS];
	read_all("# c\n\nfailure_template = <<END\r\nCharset: utf-8\r\nfrom: Post <post>\nSubject: Zur\xc3\xbc"
		 "ck\n\nx\nEND\n"
		 "delay_template=<<EOF\nSubject: Late\nPostmaster-Subject:\n\n  one "
		 "$myhostname\n\ntwo\nEOF\nsuccess_template = <<EOF\n\nfine\nEOF\n",
		 all, &p);
	assert_int_equal(p.count, 1); /* a subject beyond ASCII */
	assert_true(slice_eq(all[BOUNCE_FAILURE].subject, S("Undelivered Mail Returned to Sender")));
	assert_true(slice_eq(all[BOUNCE_DELAY].subject, S("Late")) && all[BOUNCE_DELAY].postmaster_subject.len == 0);
	assert_true(slice_eq(all[BOUNCE_DELAY].text, S("  one $myhostname\n\ntwo\n")));
	assert_true(slice_eq(all[BOUNCE_DELAY].from, S("Mail Delivery System <MAILER-DAEMON>")));
	assert_true(slice_eq(all[BOUNCE_SUCCESS].text, S("fine\n")));
}

static void test_faults(void **state) {
	(void)state;
	static const char *const faults[] = { "failure_template = <<EOF\nSubject: x\n",
					      "foo_template = <<EOF\nEOF\n",
					      "failure_template = x\n",
					      "failure_template = <<EOF\nFoo: x\n\na\nEOF\n",
					      "failure_template = <<EOF\nSubject: x\n\n\nEOF\n",
					      "failure_template = <<EOF\n\n\xe9\nEOF\n",
					      "x\n",
					      "delay_template = <<\n" };
	for (size_t i = 0; i < LEN(faults); i++) {
		AUTO_ARENA struct arena mem = { 0 };
		struct problems p = { .mem = &mem };
		struct bounce_template all[BOUNCE_KINDS];
		read_all(faults[i], all, &p);
		assert_int_equal(p.count, 1);
		assert_int_equal(p.at[0].level, PROBLEM_WARNING);
		assert_true(slice_starts(all[BOUNCE_FAILURE].text, S("This is the mail system")));
	}
}

static void test_expanding(void **state) {
	(void)state;
	struct conf_options o = { .dir = "/c" };
	AUTO_CONF struct conf *c = NULL;
	assert_int_equal(conf_build(&o,
				    S("compatibility_level = 3.11\nmyhostname = a.example\ndelay_warning_time = "
				      "4h\nown = mine\nmail_name = $own\n"),
				    SLICE_NONE, &c),
			 CONF_GOOD);
	AUTO_BUF struct buf out = BUF(1000);
	assert_int_equal(
		bounce_expand(conf_main(c),
			      S("$myhostname $delay_warning_time_minutes ${maximal_queue_lifetime_days}d $$ $own"),
			      &out),
		0);
	assert_string_equal(buf_text(&out), "a.example 240 5d $ mine");
	assert_true(slice_eq(conf_bounce(c, BOUNCE_SUCCESS)->subject, S("Successful Mail Delivery Report")));
	assert_int_equal(bounce_expand(conf_main(c), S("${x"), &out), -1);
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_reading), cmocka_unit_test(test_faults),
					    cmocka_unit_test(test_expanding) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
