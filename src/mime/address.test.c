/* SPDX-License-Identifier: Apache-2.0 */
#include "mime/address.h"
#include "mime/header.h"
#include "mime/test.h"

#define X64 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define D63 "ddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd"

static const struct {
	const char *text;
	unsigned flags;
	enum address_answer answer;
	const char *canonical, *rest;
} paths[] = {
	{ "<a@b.example>", 0, ADDRESS_OK, "a@b.example", "" },
	{ "<a@b.example> SIZE=100", 0, ADDRESS_OK, "a@b.example", " SIZE=100" },
	{ " a@b.example BODY=8BITMIME", 0, ADDRESS_OK, "a@b.example", " BODY=8BITMIME" },
	{ "a@b.example", ADDRESS_STRICT, ADDRESS_BAD },
	{ "<>", 0, ADDRESS_EMPTY, "", "" },
	{ "<> RET=HDRS", 0, ADDRESS_EMPTY, "", " RET=HDRS" },
	{ "<PostMaster>", 0, ADDRESS_POSTMASTER, "PostMaster", "" },
	{ "<root>", 0, ADDRESS_LOCAL_ONLY, "root", "" },
	{ "<\"a\"@b>", 0, ADDRESS_OK, "a@b", "" },
	{ "<\"a b\"@b>", 0, ADDRESS_OK, "\"a b\"@b", "" },
	{ "<\"a\\\"b\\c\"@b>", 0, ADDRESS_OK, "\"a\\\"bc\"@b", "" },
	{ "<\"a@c\"@b>", 0, ADDRESS_OK, "\"a@c\"@b", "" },
	{ "<\"\">", 0, ADDRESS_BAD },
	{ "<\"\"@b>", 0, ADDRESS_OK, "\"\"@b", "" },
	{ "<a..b@docomo.example>", 0, ADDRESS_OK, "\"a..b\"@docomo.example", "" },
	{ "<a.@docomo.example>", 0, ADDRESS_OK, "\"a.\"@docomo.example", "" },
	{ "<a..b@docomo.example>", ADDRESS_STRICT, ADDRESS_BAD },
	{ "<a.@docomo.example>", ADDRESS_STRICT, ADDRESS_BAD },
	{ "<a.b@docomo.example>", ADDRESS_STRICT, ADDRESS_OK, "a.b@docomo.example", "" },
	{ "<@x.example,@y.example:a@b.example>", 0, ADDRESS_OK, "a@b.example", "" },
	{ "<@x.example:>", 0, ADDRESS_BAD },
	{ "<@x.example>", 0, ADDRESS_BAD },
	{ "<a@b.example.>", 0, ADDRESS_OK, "a@b.example", "" },
	{ "<a@b..example>", 0, ADDRESS_BAD },
	{ "<a@-b.example>", 0, ADDRESS_BAD },
	{ "<a@b_c.example>", 0, ADDRESS_OK, "a@b_c.example", "" },
	{ "<a@192.0.2.1>", 0, ADDRESS_BAD },
	{ "<a@[192.0.2.1]>", 0, ADDRESS_OK, "a@[192.0.2.1]", "" },
	{ "<a@[IPv6:2001:db8::1]>", 0, ADDRESS_OK, "a@[IPv6:2001:db8::1]", "" },
	{ "<a@[2001:db8::1]>", 0, ADDRESS_BAD },
	{ "<a@[192.0.2.256]>", 0, ADDRESS_BAD },
	{ "<a@[192.0.2.1>", 0, ADDRESS_BAD },
	{ "<a@>", 0, ADDRESS_BAD },
	{ "<@>", 0, ADDRESS_BAD },
	{ "<a@b", 0, ADDRESS_BAD },
	{ "<a@b>x", 0, ADDRESS_BAD },
	{ "<a b@c>", 0, ADDRESS_BAD },
	{ "<a@b c>", 0, ADDRESS_BAD },
	{ "<a\x01@b>", 0, ADDRESS_BAD },
	{ "<\"a\nb\"@b>", 0, ADDRESS_BAD },
	{ "", 0, ADDRESS_BAD },
	{ "<" X64 "@b>", 0, ADDRESS_OK, X64 "@b", "" },
	{ "<" X64 "x@b>", 0, ADDRESS_BAD },
	{ "<" X64 "x@b>", ADDRESS_LONG_LOCAL, ADDRESS_OK, X64 "x@b", "" },
	{ "<a@" D63 "." D63 "." D63 ".dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd>", 0, ADDRESS_OK,
	  "a@" D63 "." D63 "." D63 ".dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd", "" },
	{ "<a@" D63 "." D63 "." D63 "." D63 ">", 0, ADDRESS_BAD },
	{ "<a@" D63 "d.example>", 0, ADDRESS_BAD },
	{ "<\xe9\xb3\xa9@b.example>", 0, ADDRESS_BAD },
	{ "<\xe9\xb3\xa9@b.example>", ADDRESS_UTF8, ADDRESS_OK, "\xe9\xb3\xa9@b.example", "" },
	{ "<a@\xe9\xb3\xa9.example>", ADDRESS_UTF8, ADDRESS_OK, "a@\xe9\xb3\xa9.example", "" },
	{ "<a@\xe9\xb3\xa9.example>", 0, ADDRESS_BAD },
	{ "<\xe9\xb3@b.example>", ADDRESS_UTF8, ADDRESS_BAD },
	{ "<a%b!c@d>", 0, ADDRESS_OK, "a%b!c@d", "" },
	{ "<user+tag=x@d.example>", 0, ADDRESS_OK, "user+tag=x@d.example", "" },
};

static void envelope_paths(void **state) {
	(void)state;
	for (size_t i = 0; i < LEN(paths); i++) {
		AUTO_ARENA struct arena mem = { 0 };
		struct mailbox m = { S("untouched"), S("") };
		struct slice rest = S("untouched");
		enum address_answer r = address_parse_path(slice_of(paths[i].text), paths[i].flags, &mem, &m, &rest);
		if (r != paths[i].answer) fail_msg("%s: answer %d", paths[i].text, r);
		same_text(mailbox_text(&mem, m), paths[i].canonical != NULL ? paths[i].canonical : "untouched");
		same_text(rest, paths[i].rest != NULL ? paths[i].rest : "untouched");
	}
	AUTO_ARENA struct arena mem = { 0 };
	struct mailbox m, n;
	assert_int_equal(address_parse_path(S("<a@b> x"), 0, &mem, &m, NULL), ADDRESS_BAD);
	assert_int_equal(address_parse(S(" \"joe\"@Example.ORG "), 0, &mem, &m), ADDRESS_OK);
	assert_int_equal(address_parse(S("joe@example.org"), 0, &mem, &n), ADDRESS_OK);
	assert_true(mailbox_same(m, n));
	assert_int_equal(address_parse(S("<joe@example.org>"), 0, &mem, &n), ADDRESS_BAD);
}

static void domains(void **state) {
	(void)state;
	AUTO_ARENA struct arena mem = { 0 };
	struct slice ascii = S("untouched");
	assert_true(domain_ascii(S("Mail.EXAMPLE."), &mem, &ascii));
	same_text(ascii, "mail.example");
	assert_true(domain_ascii(S("b\xc3\xbc" "cher.example"), &mem, &ascii));
	same_text(ascii, "xn--bcher-kva.example");
	assert_true(domain_ascii(S("\xe9\xb3\xa9.\xe6\x97\xa5\xe6\x9c\xac"), &mem, &ascii));
	same_text(ascii, "xn--by6a.xn--wgv71a");
	assert_false(domain_ascii(S("a..b"), &mem, &ascii));
	assert_false(domain_ascii(S("\xff.example"), &mem, &ascii));
	assert_false(domain_valid(S(""), true));
	assert_false(domain_valid(S("."), true));
	assert_true(domain_valid(S("localhost"), false));
}

/* name|route|local|domain of each entry, ; between entries; {name for a group, } for its end */
static const struct {
	const char *text, *wanted;
} lists[] = {
	{ "John Doe <jdoe@machine.example>", "John Doe||jdoe|machine.example;" },
	{ "\"Joe Q. Public\" <john.q.public@example.com>", "Joe Q. Public||john.q.public|example.com;" },
	{ "Mary Smith <mary@x.test>, jdoe@example.org, Who? <one@y.test>",
	  "Mary Smith||mary|x.test;||jdoe|example.org;Who?||one|y.test;" },
	{ "\"Giant; \\\"Big\\\" Box\" <sysservices@example.net>", "Giant; \"Big\" Box||sysservices|example.net;" },
	{ "A Group:Ed Jones <c@a.test>,joe@where.test;", "{A Group;Ed Jones||c|a.test;||joe|where.test;};" },
	{ "Undisclosed recipients:;", "{Undisclosed recipients;};" },
	{ "a:b@c", "{a;||b|c;};" },
	{ "Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>", "Pete||pete|silly.test;" },
	{ "joe@x.test (Joe Doe)", "Joe Doe||joe|x.test;" },
	{ "Mary Smith <@node.test,@other.test:mary@example.net>, , jdoe@test  . example",
	  "Mary Smith|@node.test,@other.test|mary|example.net;||jdoe|test.example;" },
	{ "\"quoted local\"@x.test", "||quoted local|x.test;" },
	{ "john.q . public @ x . test", "||john.q.public|x.test;" },
	{ "John Doe jdoe@x.test", "John Doe||jdoe|x.test;" },
	{ "jdoe@x.test <jdoe@x.test>", "jdoe@x.test||jdoe|x.test;" },
	{ "a@x.test; b@x.test", "||a|x.test;||b|x.test;" },
	{ "<a@x.test> <b@x.test>", "||a|x.test;||b|x.test;" },
	{ "<<a@x.test>>", "||a|x.test;" },
	{ "Someone", "||Someone|;" },
	{ "Some One", "Some One|||;" },
	{ "(only a comment)", "only a comment|||;" },
	{ "=?utf-8?Q?Doe,_John?= <j@x.test>", "=?utf-8?Q?Doe,_John?=||j|x.test;" },
	{ "\"=?utf-8?Q?a?=\" <j@x.test>", "=?utf-8?Q?a?=||j|x.test;" },
	{ "a@[192.0.2.1]", "||a|[192.0.2.1];" },
	{ "Folded\r\n Name\r\n <a@x.test>", "Folded Name||a|x.test;" },
	{ "\"unterminated <a@x.test>", "||unterminated <a@x.test>|;" },
	{ "<a@x.test, b@x.test", "||a|x.test;||b|x.test;" },
	{ ",,;;,", "" },
	{ "", "" },
};

static struct slice written(struct slice text, struct arena *mem) {
	struct address_list l = address_list_parse(text, mem);
	AUTO_BUF struct buf out = BUF(MIB(8));
	for (size_t i = 0; i < l.count; i++) {
		const struct address *a = &l.at[i];
		if (a->kind == ADDRESS_MAILBOX)
			buf_addf(&out, "%.*s|%.*s|%.*s|%.*s;", SLICE_ARG(a->name), SLICE_ARG(a->route),
				 SLICE_ARG(a->local), SLICE_ARG(a->domain));
		else buf_addf(&out, "%c%.*s;", a->kind == ADDRESS_GROUP ? '{' : '}', SLICE_ARG(a->name));
	}
	return arena_slice(mem, buf_slice(&out));
}

static void header_lists(void **state) {
	(void)state;
	for (size_t i = 0; i < LEN(lists); i++) {
		AUTO_ARENA struct arena mem = { 0 };
		same_text(written(slice_of(lists[i].text), &mem), lists[i].wanted);
	}
}

/* 256 KiB of anything nasty must not take noticeable time or memory. */
static void long_lists(void **state) {
	(void)state;
	static const char *const seeds[] = { "(", "\"", "<",  "a,", "()",  "<(",        "=?a?q?", "a:",
					     "@", "[",  "\\", " a", "<@:", "a@b (c), ", "\"a\" " };
	for (size_t i = 0; i < LEN(seeds); i++) {
		AUTO_ARENA struct arena mem = { 0 };
		AUTO_BUF struct buf text = BUF(MIB(1));
		while (text.len < KIB(256)) buf_add(&text, slice_of(seeds[i]));
		struct address_list l = address_list_parse(buf_slice(&text), &mem);
		assert_true(l.count <= ADDRESS_LIST_MAX && arena_used(&mem) < MIB(16));
		header_text(buf_slice(&text), &mem);
		struct structured s;
		structured_parse(buf_slice(&text), &mem, &s);
		assert_true(s.params_count <= PARAMS_MAX);
	}
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(envelope_paths), cmocka_unit_test(domains),
		cmocka_unit_test(header_lists), cmocka_unit_test(long_lists) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
