/* SPDX-License-Identifier: Apache-2.0 */
#include "flow/header.h"
#include "base/fail.h"

#include "base/test.h"

static const struct domains no_domains = { 0 };
static const struct rewrite_params complete = { .origin = S("example.com"),
						.domain = S("example.org"),
						.percent_hack = true,
						.swap_bangpath = true,
						.destinations = { .list = &no_domains } };

static void values(void **state) {
	(void)state;
	static const struct { const char *in, *out; } cases[] = {
		{ " ann", " ann@example.com" },
		{ " Ann <ann>, bob@host,\r\n\tc@d.e", " Ann <ann@example.com>, bob@host.example.org,\r\n\tc@d.e" },
		{ " \"Doe, J\" <j> (c, d@e)", " \"Doe, J\" <j@example.com> (c, d@e)" },
		{ " friends: a, b@c.d;", " friends: a@example.com, b@c.d;" },
		{ " undisclosed-recipients:;", " undisclosed-recipients:;" },
		{ " <>", " <>" },
		{ " John Smith", " John Smith" },
		{ " \"a b\"@c", " \"a b\"@c.example.org" },
		{ " a (x) b", " a (x) b" },
		{ " a . b", " a.b@example.com" },
		{ " a @ b . org, <a .b>", " a @ b . org, <a.b@example.com>" },
		{ " \"a . b\"", " \"a . b\"@example.com" },
		{ " <a", " <a@example.com" },
		{ " \"a", " \"a" },
		{ " u%h@example.com", NULL },
		{ "", "" },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		AUTO_ARENA struct arena mem = { 0 };
		struct slice out;
		assert_int_equal(header_rewrite_value(&complete, REWRITE_HEADER_RECIPIENT, 100, slice_of(cases[i].in),
						      &mem, &out),
				 HEADER_DONE);
		if (cases[i].out == NULL) continue;
		if (!slice_eq(out, slice_of(cases[i].out))) print_error("%s: %.*s\n", cases[i].in, SLICE_ARG(out));
		assert_true(slice_eq(out, slice_of(cases[i].out)));
	}
}

/* header_address_token_limit */
static void token_limit(void **state) {
	(void)state;
	AUTO_ARENA struct arena mem = { 0 };
	struct slice out;
	assert_int_equal(header_rewrite_value(&complete, REWRITE_HEADER_SENDER, 2, S("a, b, c"), &mem, &out),
			 HEADER_DONE);
	assert_true(slice_eq(out, S("a@example.com, b@example.com, c")));
}

static struct slice take(const struct header_params *p, const struct header_facts *f, const char *text,
			 struct buf *out) {
	buf_clear(out);
	assert_int_equal(header_take(p, f, slice_of(text), out), HEADER_DONE);
	return buf_slice(out);
}

static void whole_headers(void **state) {
	(void)state;
	AUTO_BUF struct buf out = BUF(10000);
	static const struct slice drop[] = { S("Bcc"), S("Return-Path") };
	struct header_params p = { .host = "mx.example.com", .drop = drop, .drop_count = 2, .token_limit = 100,
				   .undisclosed = S("To: undisclosed-recipients:;") };
	struct header_facts f = { .queue_id = "ID", .sender = S("s@t"), .arrived_us = 86400000000 };
	assert_true(slice_eq(take(&p, &f, "A: b\r\nbcc: x,\r\n y\r\nFrom: c\r\nReturn-Path : z\r\n", &out),
			     S("A: b\r\nFrom: c\r\n")));
	assert_true(slice_eq(take(&p, &f, "", &out), S("")));
	p.local = &complete;
	f.ours = f.complete = true;
	assert_true(slice_eq(take(&p, &f, "From: c\r\nTo: d\r\nDate: x\r\nMessage-Id: y\r\n", &out),
			     S("From: c@example.com\r\nTo: d@example.com\r\nDate: x\r\nMessage-Id: y\r\n")));
	struct slice made = take(&p, &f, "Subject: x\r\n", &out);
	assert_true(slice_starts(made, S("Subject: x\r\nMessage-ID: <19700102000000.ID@mx.example.com>\r\nDate: ")));
	assert_true(slice_ends(made, S("From: s@t.example.org\r\nTo: undisclosed-recipients:;\r\n")));
	made = take(&p, &f, "Resent-To: x\r\nDate: x\r\nFrom: y\r\n", &out);
	assert_true(slice_search(made, S("\r\nResent-From: s@t.example.org\r\n")) < made.len);
	assert_true(slice_search(made, S("\r\nResent-Date: ")) < made.len);
	assert_true(slice_search(made, S("undisclosed")) == made.len);
}

static void lists(void **state) {
	(void)state;
	AUTO_ARENA struct arena mem = { 0 };
	AUTO_BUF struct buf out = BUF(10000);
	struct header_list l;
	header_list_read(&l, S("A: 1\r\n 2\r\nB: 3\r\na: 4\r\n"), &mem);
	assert_int_equal(l.count, 3);
	assert_true(slice_eq(l.at[0].value, S(" 1\r\n 2")));
	assert_int_equal(header_list_find(&l, S("a"), 2), 2);
	assert_int_equal(header_list_find(&l, S("a"), 3), 3);
	header_list_insert(&l, 0, S("X"), S(" y\nZ: evil\r\n\r\n\nend\n"));
	header_list_insert(&l, 99, S("Bad name: x"), S(" v"));
	header_list_change(&l, 1, S("A"), S(" new"));
	header_list_delete(&l, 3);
	header_list_delete(&l, 30);
	assert_true(header_list_write(&l, &out));
	assert_string_equal(buf_text(&out), "X: y\r\n\tZ: evil\r\n\tend\r\nA: new\r\nB: 3\r\nBadnamex: v\r\n");
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(values), cmocka_unit_test(token_limit),
					    cmocka_unit_test(whole_headers), cmocka_unit_test(lists) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
