/* SPDX-License-Identifier: Apache-2.0 */
#include "trust/spf_publish.h"
#include "base/test.h"

static void records(void **state UNUSED) {
	static const struct {
		const char *published[3], *term, *want;
	} cases[] = {
		{ { NULL }, "", "v=spf1 ip4:192.0.2.1 ip6:2001:db8::1 mx -all" },
		{ { NULL }, "include:x.test", "v=spf1 ip4:192.0.2.1 ip6:2001:db8::1 include:x.test mx -all" },
		{ { "v=spf1 include:_spf.google.com ~all" },
		  "",
		  "v=spf1 ip4:192.0.2.1 ip6:2001:db8::1 include:_spf.google.com ~all" },
		{ { "v=spf1 IP4:192.0.2.1 mx -all" }, "", "v=spf1 ip4:192.0.2.1 ip6:2001:db8::1 mx -all" },
		{ { "v=spf1 +ip4:192.0.2.1 -all" }, "", "v=spf1 ip4:192.0.2.1 ip6:2001:db8::1 -all" },
		{ { "v=spf1 redirect=_spf.x.test" }, "", "v=spf1 ip4:192.0.2.1 ip6:2001:db8::1 redirect=_spf.x.test" },
		{ { "v=spf1 mx", "v=spf1 redirect=_spf.x.test" },
		  "",
		  "v=spf1 ip4:192.0.2.1 ip6:2001:db8::1 mx include:_spf.x.test ~all" },
		{ { "v=spf1 mx a -all", "v=spf1 mx include:y.test ?all", "v=spf1" },
		  "",
		  "v=spf1 ip4:192.0.2.1 ip6:2001:db8::1 mx a include:y.test ?all" },
		{ { "v=spf1 ipv4:1.2.3.4 mx exp=e.test +all" },
		  "",
		  "v=spf1 ip4:192.0.2.1 ip6:2001:db8::1 mx exp=e.test ~all" },
		{ { "v=spf1" }, "", "v=spf1 ip4:192.0.2.1 ip6:2001:db8::1 ~all" },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		AUTO_ARENA struct arena mem = { 0 };
		struct addr own[2];
		struct slice published[3];
		size_t count = 0;
		for (; count < LEN(published) && cases[i].published[count] != NULL; count++)
			published[count] = slice_of(cases[i].published[count]);
		assert_true(addr_parse(S("192.0.2.1"), &own[0]) && addr_parse(S("2001:db8::1"), &own[1]));
		struct spf_wish w = { own, 2, slice_of(cases[i].term), true, S("-all") };
		struct slice got = spf_record_wanted(published, count, &w, &mem);
		assert_string_equal(got.at, cases[i].want);
	}
}

static void which_are_records(void **state UNUSED) {
	struct slice texts[] = { S("v=spf1 -all"), S("google-site-verification=x"), S("v=spf10 -all"), S("V=SPF1") },
		     out[LEN(texts)];
	assert_int_equal(spf_records_among(texts, LEN(texts), out), 2);
	assert_true(slice_eq(out[1], S("V=SPF1")));
	assert_true(spf_record_lets_all(S("v=spf1 mx +ALL")) && spf_record_lets_all(S("v=spf1 all")));
	assert_false(spf_record_lets_all(S("v=spf1 ?all")) || spf_record_lets_all(S("v=spf1 include:all")));
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(records), cmocka_unit_test(which_are_records) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
