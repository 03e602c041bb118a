/* SPDX-License-Identifier: Apache-2.0 */
#include "filter/dnsbl.h"

#include "base/test.h"

static void test_patterns(void **state) {
	static const struct {
		const char *spec;
		bool good, hit_2, hit_14, hit_other; /* 127.0.0.2, 127.0.0.14, 127.0.1.2 */
		int weight;
	} cases[] = {
		{ "zen.test", true, true, true, true, 1 },
		{ "zen.test=127.0.0.2", true, true, false, false, 1 },
		{ "zen.test=127.0.0.[2..11;14]", true, true, true, false, 1 },
		{ "zen.test=127.0.[0..1].2*3", true, true, false, true, 3 },
		{ "zen.test*-2", true, true, true, true, -2 },
		{ "zen.test=127.0.0.[3;4]", true, false, false, false, 1 },
		{ "zen.test=127.0.0", false, 0, 0, 0, 0 },
		{ "zen.test=127.0.0.256", false, 0, 0, 0, 0 },
		{ "zen.test=127.0.0.[4..2]", false, 0, 0, 0, 0 },
		{ "zen.test=127.0.0.[2..", false, 0, 0, 0, 0 },
		{ "zen.test=127.0.0.[]", false, 0, 0, 0, 0 },
		{ "zen.test=127.0.0.2.3", false, 0, 0, 0, 0 },
		{ "zen.test*x", false, 0, 0, 0, 0 },
		{ "zen..test", false, 0, 0, 0, 0 },
		{ "", false, 0, 0, 0, 0 },
	};
	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		struct dnsbl_zone z;
		bool good = dnsbl_zone_parse(slice_of(cases[i].spec), true, &z);
		assert_int_equal(good, cases[i].good);
		if (!good) continue;
		assert_true(slice_eq(z.domain, S("zen.test")));
		assert_int_equal(z.weight, cases[i].weight);
		const uint8_t two[] = { 127, 0, 0, 2 }, fourteen[] = { 127, 0, 0, 14 }, other[] = { 127, 0, 1, 2 };
		assert_int_equal(!z.filtered || dnsbl_pattern_match(&z.pattern, two), cases[i].hit_2);
		assert_int_equal(!z.filtered || dnsbl_pattern_match(&z.pattern, fourteen), cases[i].hit_14);
		assert_int_equal(!z.filtered || dnsbl_pattern_match(&z.pattern, other), cases[i].hit_other);
	}
}

static void test_names(void **state) {
	struct arena mem = { 0 };
	struct dnsbl_zone z;
	struct addr a;
	(void)state;
	assert_true(dnsbl_zone_parse(S("bl.test"), false, &z));
	assert_true(addr_parse(S("192.0.2.7"), &a));
	assert_true(slice_eq(dnsbl_address_name(&z, &a, &mem), S("7.2.0.192.bl.test")));
	assert_true(addr_parse(S("2001:db8::1"), &a));
	assert_true(slice_eq(dnsbl_address_name(&z, &a, &mem),
	                     S("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.bl.test")));
	assert_true(slice_eq(dnsbl_domain_name(&z, S("Someone@Example.Org"), &mem), S("example.org.bl.test")));
	assert_true(slice_eq(dnsbl_domain_name(&z, S("host.example.org"), &mem), S("host.example.org.bl.test")));
	assert_int_equal(dnsbl_domain_name(&z, S("x@[192.0.2.7]"), &mem).len, 0);
	assert_int_equal(dnsbl_domain_name(&z, S("192.0.2.7"), &mem).len, 0);
	assert_int_equal(dnsbl_domain_name(&z, S("x@"), &mem).len, 0);
	arena_done(&mem);
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_patterns), cmocka_unit_test(test_names) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
