/* SPDX-License-Identifier: Apache-2.0 */
/* What needs no DNS: the macro examples of RFC 7208 §7.4, records, and the field. Checks as a whole:
 * tests/story/test_spf.py. */
#include "trust/spf_private.h"
#include "base/test.h"

static struct slice confirmed(void *ctx UNUSED) {
	return S("mx.example.org");
}

static void macros(void **state UNUSED) {
	static const struct { const char *address, *text, *want;
	} cases[] = {
		{ "192.0.2.3", "%{s}", "strong-bad@email.example.com" },
		{ "192.0.2.3", "%{o}", "email.example.com" },
		{ "192.0.2.3", "%{d4}", "email.example.com" },
		{ "192.0.2.3", "%{d2}", "example.com" },
		{ "192.0.2.3", "%{d1}", "com" },
		{ "192.0.2.3", "%{dr}", "com.example.email" },
		{ "192.0.2.3", "%{d2r}", "example.email" },
		{ "192.0.2.3", "%{l}", "strong-bad" },
		{ "192.0.2.3", "%{l-}", "strong.bad" },
		{ "192.0.2.3", "%{lr-}", "bad.strong" },
		{ "192.0.2.3", "%{l1r-}", "strong" },
		{ "192.0.2.3", "%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com" },
		{ "192.0.2.3", "%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com" },
		{ "192.0.2.3", "%{d2}.trusted-domains.example.net", "example.com.trusted-domains.example.net" },
		{ "2001:db8::cb01", "%{ir}.%{v}._spf.%{d2}",
		  "1.0.b.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6._spf.example.com" },
		{ "2001:db8::cb01", "%{c}", "2001:db8::cb01" },
		{ "192.0.2.3", "%{p}", "mx.example.org" },
		{ "192.0.2.3", "%{S}%_%%%-%{r}", "strong-bad%40email.example.com %%20unknown" },
		{ "192.0.2.3", "%{h99}", "helo.example.org" },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		AUTO_BUF struct buf out = BUF(KIB(1));
		struct addr client;
		assert_true(addr_parse(slice_of(cases[i].address), &client));
		struct spf_macros m = { &client,
					S("strong-bad"),
					S("email.example.com"),
					S("email.example.com"),
					S("helo.example.org"),
					S("unknown"),
					confirmed,
					NULL };
		assert_true(spf_macro_valid(slice_of(cases[i].text), SPF_TEXT_EXPLANATION));
		assert_true(spf_macro_expand(slice_of(cases[i].text), &m, &out));
		assert_string_equal(buf_text(&out), cases[i].want);
	}
}

static void invalid_macros(void **state UNUSED) {
	static const char *const texts[] = { "%",
					     "%a",
					     "%{",
					     "%{}",
					     "%{q}",
					     "%{d0}",
					     "%{d999999999999}.a",
					     "%{dx}",
					     "%{d2r;}",
					     "%{c}.example.org",
					     "%{t}",
					     "%{r}",
					     "museum",
					     "museum.",
					     "a.b.",
					     "a.-b",
					     "a.b-",
					     "a.1",
					     "",
					     "a b.c",
					     "%{d}com",
					     "\x80.com",
					     "a.b\xc3\xa4" };
	for (size_t i = 0; i < LEN(texts); i++) {
		bool valid = strcmp(texts[i], "a.b.") == 0; /* this one only */
		assert_int_equal(spf_macro_valid(slice_of(texts[i]), SPF_TEXT_DOMAIN), valid);
	}
	assert_true(spf_macro_valid(S("%{d}"), SPF_TEXT_DOMAIN) && spf_macro_valid(S("x%%"), SPF_TEXT_DOMAIN));
}

static bool parses(const char *text) {
	AUTO_ARENA struct arena mem = {0};
	struct spf_record r;
	struct slice reason;
	bool good = spf_record_parse(slice_of(text), &mem, &r, &reason);
	assert_true(good || slice_ends(reason, S("\" is no SPF term")));
	return good;
}

static void records(void **state UNUSED) {
	AUTO_ARENA struct arena mem = {0};
	struct spf_record r;
	struct slice reason;
	assert_true(spf_record_parse(
		S("v=spf1 a:x.example/24//48 -ip6:2001:db8::/32 ?mx/8 ~ptr exp=e.example redirect=%{d} moo=%{c} "),
		&mem, &r, &reason));
	assert_int_equal(r.count, 4);
	assert_true(r.terms[0].bits4 == 24 && r.terms[0].bits6 == 48 && slice_eq(r.terms[0].domain, S("x.example")));
	assert_true(r.terms[1].result == TRUST_FAIL && r.terms[1].bits6 == 32 && r.terms[2].bits4 == 8 &&
		    r.terms[3].result == TRUST_SOFTFAIL);
	assert_true(slice_eq(r.exp, S("e.example")) && slice_eq(r.redirect, S("%{d}")));
	static const char *const bad[] = { "v=spf1 ip4:1.2.3.4/33",
					   "v=spf1 ip4:1.2.3",
					   "v=spf1 ip4",
					   "v=spf1 ip4:",
					   "v=spf1 ip6:::1%eth0",
					   "v=spf1 all:a.b",
					   "v=spf1 a/24/24",
					   "v=spf1 a/024",
					   "v=spf1 +",
					   "v=spf1 --all",
					   "v=spf1 -exp=a.b",
					   "v=spf1 =x",
					   "v=spf1 exp=a.b exp=a.b",
					   "v=spf1 include",
					   "v=spf1 redirect=",
					   "v=spf1 a\t-all",
					   "v=spf1 \x80",
					   "v=spf1 a:a.b/33",
					   "v=spf1 ip4:1.2.3.4//32",
					   "v=spf1 ip4:1.2.3.4/" };
	for (size_t i = 0; i < LEN(bad); i++) assert_false(parses(bad[i]));
	assert_true(parses("v=spf1") && parses("V=SPF1  a/0 A:%{d}/0 all"));
	assert_true(spf_record_is(S("v=SPF1 x")) && !spf_record_is(S("v=spf10")) && !spf_record_is(S("v=spf")));
}

static void field(void **state UNUSED) {
	AUTO_BUF struct buf out = BUF(KIB(4));
	struct addr client;
	assert_true(addr_parse(S("2001:db8::1"), &client));
	struct spf_params p = { .receiver = "mx.example.net" };
	struct spf_question q = { .client = &client, .helo = S("a\"b\r\nX: y"), .sender = S("\"x y\"@example.org") };
	struct spf_verdict v = { .result = TRUST_FAIL,
				 .domain = S("example.org"),
				 .identity = S("mailfrom"),
				 .mechanism = S("-all"),
				 .reason = S("not (you)") };
	spf_received_add(&out, &p, &q, &v);
	assert_string_equal(buf_text(&out),
			    "Received-SPF: fail\r\n\t(mx.example.net: not "
			    "\\(you\\))\r\n\tidentity=mailfrom;\r\n\tclient-ip=\"2001:db8::1\";\r\n"
			    "\thelo=\"a\\\"b??X: y\";\r\n\tenvelope-from=\"\\\"x "
			    "y\\\"@example.org\";\r\n\treceiver=mx.example.net;\r\n\tmechanism=-all\r\n");
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(macros), cmocka_unit_test(invalid_macros),
					    cmocka_unit_test(records), cmocka_unit_test(field) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
