/* SPDX-License-Identifier: Apache-2.0 */
#include "trust/authres.h"
#include "base/test.h"

/* "id|method=result(comment)[reason] type.name=value …|…" */
static struct slice told(const struct authres *a, struct arena *mem) {
	struct buf out = BUF(KIB(16));
	buf_add(&out, a->id);
	for (size_t i = 0; i < a->methods_count; i++) {
		const struct authres_method *m = &a->methods[i];
		buf_addf(&out, "|%.*s=%.*s", SLICE_ARG(m->method), SLICE_ARG(m->result));
		if (m->comment.len != 0) buf_addf(&out, "(%.*s)", SLICE_ARG(m->comment));
		if (m->reason.len != 0) buf_addf(&out, "[%.*s]", SLICE_ARG(m->reason));
		for (size_t j = 0; j < m->properties_count; j++)
			buf_addf(&out, " %.*s.%.*s=%.*s", SLICE_ARG(m->properties[j].type),
				 SLICE_ARG(m->properties[j].name), SLICE_ARG(m->properties[j].value));
	}
	struct slice text = arena_slice(mem, buf_slice(&out));
	buf_done(&out);
	return text;
}

static const struct { const char *value, *wanted; /* NULL: malformed */
} values[] = {
	/* RFC 8601 appendix B.2 to B.7 */
	{ "example.org 1; none", "example.org" },
	{ "example.com;\r\n          spf=pass smtp.mailfrom=example.net",
	  "example.com|spf=pass smtp.mailfrom=example.net" },
	{ "example.com;\r\n          auth=pass (cram-md5) smtp.auth=sender@example.net;\r\n          spf=pass "
	  "smtp.mailfrom=example.net",
	  "example.com|auth=pass(cram-md5) smtp.auth=sender@example.net|spf=pass smtp.mailfrom=example.net" },
	{ "example.com; iprev=pass\r\n          policy.iprev=192.0.2.200",
	  "example.com|iprev=pass policy.iprev=192.0.2.200" },
	{ "example.com;\r\n      dkim=pass reason=\"good signature\"\r\n        header.i=@mail-router.example.net;\r\n"
	  "      dkim=fail reason=\"bad signature\"\r\n        header.i=@newyork.example.com",
	  "example.com|dkim=pass[good signature] header.i=@mail-router.example.net"
	  "|dkim=fail[bad signature] header.i=@newyork.example.com" },
	{ "foo.example.net (foobar) 1 (baz);\r\n    dkim (Because I like it) / 1 (One yay) = (wait for it) fail\r\n"
	  "      policy (A dot can go here) . (like that) expired\r\n      (this surprised me) = (as I wasn't "
	  "expecting it) 1362471462",
	  "foo.example.net|dkim=fail(A dot can go here) policy.expired=1362471462" },
	/* what else is met */
	{ "mx.test; dmarc=pass (p=NONE sp=(x\\)y) dis=NONE) header.from=a.test",
	  "mx.test|dmarc=pass(p=NONE sp=(x)y) dis=NONE) header.from=a.test" },
	{ "\"mx test\"; spf=none", "mx test|spf=none" },
	{ "mx.test; dkim=pass header.b=ab/+c= header.d=a.test;", "mx.test|dkim=pass header.b=ab/+c= header.d=a.test" },
	{ "mx.test; spf=pass smtp.mailfrom=\"a b\"@c.test", "mx.test|spf=pass smtp.mailfrom=\"a b\"@c.test" },
	{ "mx.test; iprev=fail policy.iprev=\"2001:db8::1\"", "mx.test|iprev=fail policy.iprev=2001:db8::1" },
	{ "mx.test; DKIM=PASS Header.D=A.test", "mx.test|dkim=pass header.d=A.test" },
	{ "", NULL },
	{ ";", NULL },
	{ "mx.test", NULL },
	{ "mx.test;", NULL },
	{ "mx.test 2; none", NULL },
	{ "mx.test; spf", NULL },
	{ "mx.test; spf=", NULL },
	{ "mx.test; spf=pass smtp", NULL },
	{ "mx.test; spf=pass smtp.x", NULL },
	{ "mx.test (; none", NULL },
	{ "mx.test; none; spf=pass", NULL },
	{ "mx.test; spf=pass smtp.a=\"x", NULL },
	{ "mx.test spf=pass", NULL },
};

static void parses(void **state) {
	(void)state;
	for (size_t i = 0; i < LEN(values); i++) {
		AUTO_ARENA struct arena mem = {0};
		struct authres a;
		bool good = authres_parse(slice_of(values[i].value), &mem, &a);
		if (good != (values[i].wanted != NULL)) print_error("at %zu: %s\n", i, values[i].value);
		assert_int_equal(good, values[i].wanted != NULL);
		if (good) assert_string_equal(told(&a, &mem).at, values[i].wanted);
	}
}

static void bounded(void **state) {
	(void)state;
	AUTO_ARENA struct arena mem = {0};
	AUTO_BUF struct buf text = BUF(MIB(2));
	struct authres a;
	buf_add(&text, S("mx.test;"));
	for (int i = 0; i < 200; i++) buf_add(&text, S("spf=pass;"));
	assert_false(authres_parse(buf_slice(&text), &mem, &a));
	buf_clear(&text);
	for (int i = 0; i < 30000; i++) buf_add(&text, S("()"));
	assert_false(authres_parse(buf_slice(&text), &mem, &a));
	assert_true(arena_used(&mem) < MIB(1));
	buf_clear(&text);
	for (int i = 0; i < 100000; i++) buf_add(&text, S("("));
	assert_false(authres_parse(buf_slice(&text), &mem, &a));
}

static struct authres_property props[] = {
	{ S("smtp"), S("mailfrom"), { "\"odd name\"@sender.example.net", 29 } },
	{ S("smtp"), S("helo"), { "", 0 } },
	{ S("policy"), S("iprev"), { "2001:db8::1", 11 } },
	{ S("header"), S("b"), { "ab/cd=", 6 } },
	{ S("header"), S("i"), { "@a-long-domain-name.example.org", 31 } },
	{ S("smtp"), S("mailfrom"), { "a.b+c=d@e.example", 17 } },
	{ S("header"), S("x"), { "line\r\nX-Evil: 1", 15 } },
};

static void writes(void **state) {
	(void)state;
	AUTO_ARENA struct arena mem = {0};
	AUTO_BUF struct buf out = BUF(KIB(16));
	struct authres_method methods[] = {
		{ S("spf"), S("softfail"), S("192.0.2.1 is \"not\" among them"),
		  S("a (b) comment that is long enough to be folded, since it goes on and on"), props, LEN(props) },
		{ S("dmarc"), S("pass"), SLICE_NONE, S("p=none dis=none"), props + 4, 1 },
		{ .method = S("arc"), .result = S("none") },
	};
	struct authres a = { S("mx.test"), methods, LEN(methods) }, b;
	authres_add(&out, &a);
	assert_string_equal(
		buf_text(&out),
		"mx.test;\r\n\tspf=softfail (a \\(b\\) comment that is long enough to be folded, since\r\n\tit goes on "
		"and on) "
		"reason=\"192.0.2.1 is \\\"not\\\" among them\"\r\n\tsmtp.mailfrom=\"\\\"odd "
		"name\\\"@sender.example.net\" smtp.helo=\"\"\r\n"
		"\tpolicy.iprev=\"2001:db8::1\" header.b=\"ab/cd=\"\r\n\theader.i=@a-long-domain-name.example.org\r\n"
		"\tsmtp.mailfrom=a.b+c=d@e.example header.x=\"line??X-Evil: 1\";\r\n"
		"\tdmarc=pass (p=none dis=none) header.i=@a-long-domain-name.example.org;\r\n\tarc=none");
	assert_true(authres_parse(buf_slice(&out), &mem, &b));
	assert_int_equal(b.methods_count, 3);
	assert_int_equal(b.methods[0].properties_count, LEN(props));
	buf_clear(&out);
	authres_add(&out, &(struct authres){ .id = S("mx.test") });
	assert_string_equal(buf_text(&out), "mx.test; none");
}

static const struct { const char *field; bool ours; } fields[] = {
	{ "Authentication-Results: mx.test; none", true },
	{ "authentication-RESULTS :\tMX.Test; none", true },
	{ "Authentication-Results: (a (b) \\) c) mx.test (d) 1; spf=pass", true },
	{ "Authentication-Results:\r\n\t(x)\r\n mx.test\r\n 1;\r\n spf=pass", true },
	{ "Authentication-Results: \"mx.test\"; none", true },
	{ "Authentication-Results: \"m\\x.test\"; none", true },
	{ "Authentication-Results: mx.test.; none", true },
	{ "Authentication-Results: mx.test", true },
	{ "Authentication-Results: mx.test/1; spf=pass", true },
	{ "Authentication-Results: mx.test, spf=pass", true },
	{ "Authentication-Results: mx.test 2; spf=pass", true },
	{ "Authentication-Results: mx.(x)test 1; spf=pass", true },
	{ "Authentication-Results: m x.test; spf=pass", true },
	{ "Authentication-Results: (mx.test; spf=pass", true },
	{ "Authentication-Results: \"mx.test; spf=pass", true },
	{ "Authentication-Results: =mx.test; spf=pass", true },
	{ "Authentication-Results: other.test; spf=pass (mx.test)", false },
	{ "Authentication-Results: sub.mx.test; spf=pass", false },
	{ "Authentication-Results: mx.test1; spf=pass", false },
	{ "Authentication-Results: mx.test.org; spf=pass", false },
	{ "Authentication-Results:", false },
	{ "X-Authentication-Results: mx.test; spf=pass", false },
	{ "Subject: mx.test", false },
};

static void strips(void **state) {
	(void)state;
	for (size_t i = 0; i < LEN(fields); i++) {
		AUTO_ARENA struct arena mem = {0};
		AUTO_BUF struct buf out = BUF(KIB(4));
		struct slice with = arena_fmt(
			&mem,
			"From: a@b\r\n%s\r\nnot a field\r\nTo: c@d\r\n\r\nAuthentication-Results: mx.test; body\r\n",
			fields[i].field);
		size_t n = authres_strip(with, S("mx.test"), &out);
		if (n != fields[i].ours) print_error("at %zu: %s\n", i, fields[i].field);
		assert_int_equal(n, fields[i].ours);
		assert_string_equal(
			buf_text(&out),
			fields[i].ours
				? "From: a@b\r\nnot a field\r\nTo: c@d\r\n\r\nAuthentication-Results: mx.test; body\r\n"
				: with.at);
	}
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(parses), cmocka_unit_test(bounded),
					    cmocka_unit_test(writes), cmocka_unit_test(strips) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
