/* SPDX-License-Identifier: Apache-2.0 */
#include "base/encode.h"
#include "mime/header.h"
#include "mime/test.h"

static const char block[] = "Received: one\r\n\tfolded\r\nSubject : Hi\nno field here\r\n goes with "
			    "it\r\nreceived:two\r\nFrom me Mon: x\r\nEmpty:\r\nLast: end\r\n\r\nBody: no\r\n";

static void fields(void **state) {
	(void)state;
	static const char *const wanted[] = {
		"Received", " one\r\n\tfolded", "Subject", " Hi", "received", "two", "Empty", "", "Last", " end"
	};
	struct fields f = { .block = slice_of(block) };
	struct field field;
	size_t n = 0;
	for (; fields_next(&f, &field); n++) {
		same_text(field.name, wanted[2 * n]);
		same_text(field.value, wanted[2 * n + 1]);
		assert_true(block[field.start] == field.name.at[0] && block[field.end - 1] == '\n');
	}
	assert_int_equal(n, 5);
	assert_int_equal(f.at, strstr(block, "\r\n\r\n") + 2 - block);
	assert_int_equal(header_length(slice_of(block)), strstr(block, "Body") - block);
	assert_true(header_find(slice_of(block), S("SUBJECT"), &field));
	assert_false(header_find(slice_of(block), S("Body"), &field));
	AUTO_ARENA struct arena mem = { 0 };
	same_text(header_unfold(S(" one\r\n\tfolded \n  twice\r\n"), &mem), "one folded   twice");
}

static const struct {
	const char *text, *wanted;
} texts[] = {
	{ "plain", "plain" },
	{ " folded\r\n text ", "folded text" },
	{ "=?ISO-8859-1?Q?a?=", "a" },
	{ "=?ISO-8859-1?Q?a?= b", "a b" },
	{ "=?ISO-8859-1?Q?a?=  =?ISO-8859-1?Q?b?=", "ab" },
	{ "=?ISO-8859-1?Q?a?=\r\n    =?ISO-8859-1?Q?b?=", "ab" },
	{ "=?ISO-8859-1?Q?a_b?=", "a b" },
	{ "=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=", "a b" },
	{ "=?ISO-8859-1?Q?Patrik_F=E4ltstr=F6m?= <x>", "Patrik F\xc3\xa4ltstr\xc3\xb6m <x>" },
	{ "=?iso-2022-jp?B?GyRCRnxLXBsoQg==?=", "\xe6\x97\xa5\xe6\x9c\xac" },
	{ "=?utf-8?B?5pel?= =?utf-8?B?5pys?=", "\xe6\x97\xa5\xe6\x9c\xac" },
	{ "=?utf-8?B?5pc=?= =?UTF-8?B?peacrA==?=", "\xe6\x97\xa5\xe6\x9c\xac" }, /* a character cut in two */
	{ "=?utf-8?Q?=3D=3Fnot_a_word?=", "=?not a word" },
	{ "=?utf-8*en?q?a?=", "a" },
	{ "=?utf-8?q?a b?=", "a b" },
	{ "x=?utf-8?q?a?=y", "xay" },
	{ "=?utf-8?q?=C3?=", "\xef\xbf\xbd" },
	{ "=?no-such-charset?q?a=E9?=", "a\xc3\xa9" },
	{ "=?utf-8?x?a?=", "=?utf-8?x?a?=" },
	{ "=?utf-8?q?a", "=?utf-8?q?a" },
	{ "=??q?a?=", "=??q?a?=" },
	{ "=?utf-8?q?=0D=0ABcc:_x?=", "  Bcc: x" },
	{ "=?utf-8?q?trailing_?=", "trailing " },
	{ "=?utf-8?q?" "?=", "" },
	{ "caf\xe9", "caf\xc3\xa9" },
	{ "caf\xc3\xa9", "caf\xc3\xa9" },
	{ "\x1b$BF|K\\\x1b(B", "\xe6\x97\xa5\xe6\x9c\xac" },
	{ "=?gb2312?B?xOO6ww==?= =?ks_c_5601-1987?B?sKE=?= =?x-sjis?B?k/o=?=",
	  "\xe4\xbd\xa0\xe5\xa5\xbd\xea\xb0\x80\xe6\x97\xa5" },
};

static void words(void **state) {
	(void)state;
	for (size_t i = 0; i < LEN(texts); i++) {
		AUTO_ARENA struct arena mem = { 0 };
		struct slice got = header_text(slice_of(texts[i].text), &mem);
		same_text(got, texts[i].wanted);
		assert_true(utf8_valid(got));
	}
}

/* value;name=value;… */
static const struct {
	const char *text, *wanted;
} values[] = {
	{ " Text/Plain; charset =us-ascii (Plain text)", "text/plain;charset=us-ascii" },
	{ "text/plain; charset=\"us-ascii\"", "text/plain;charset=us-ascii" },
	{ " message / rfc822", "message/rfc822" },
	{ "multipart/mixed; boundary=\"a\\\"b c\"; x=1", "multipart/mixed;boundary=a\"b c;x=1" },
	{ "multipart/mixed;\r\n\tboundary=\"ab\r\n c\"", "multipart/mixed;boundary=ab c" },
	{ "application/x-stuff; title*0*=us-ascii'en'This%20is%20; title*1*=%2A%2Afun%2A%2A; title*2=\" it's 100%\"",
	  "application/x-stuff;title*=us-ascii'en'This%20is%20%2A%2Afun%2A%2A it's 100%25" },
	{ "message/external-body; URL*1=\"b\"; URL*0=\"a\"; URL*3=\"c\"", "message/external-body;url=ab" },
	{ "attachment; filename=my file.pdf; size=3", "attachment;filename=my file.pdf;size=3" },
	{ "text/html charset=utf-8", "text/html;charset=utf-8" },
	{ "text/html; charset=utf-8 format=flowed", "text/html;charset=utf-8;format=flowed" },
	{ "text/html; charset=\"utf-8\" format=flowed", "text/html;charset=utf-8;format=flowed" },
	{ "text/html;;; ; charset=utf-8;", "text/html;charset=utf-8" },
	{ "text/html; name; charset=utf-8", "text/html;charset=utf-8" },
	{ "text/html; name=\"open", "text/html;name=open" },
	{ "text/html; name=", "text/html;name=" },
	{ "(comment) inline", "inline" },
	{ ";a=b", ";a=b" },
	{ "", "" },
};

static void parameters(void **state) {
	(void)state;
	for (size_t i = 0; i < LEN(values); i++) {
		AUTO_ARENA struct arena mem = { 0 };
		AUTO_BUF struct buf got = BUF(KIB(4));
		struct structured s;
		structured_parse(slice_of(values[i].text), &mem, &s);
		buf_add(&got, s.value);
		for (size_t k = 0; k < s.params_count; k++) buf_addf(&got, ";%.*s=%.*s", SLICE_ARG(s.params[k].name),
			SLICE_ARG(s.params[k].value));
		same_text(buf_slice(&got), values[i].wanted);
	}
	AUTO_ARENA struct arena mem = { 0 };
	struct structured s;
	structured_parse(
		S("a; filename*=utf-8''%e2%82%ac%20rates; name=\"=?utf-8?q?=C3=A9?=\"; raw=\"\xe9\"; bad*=%41%zz%4"),
		&mem, &s);
	same_text(param_text(s.params, s.params_count, S("filename"), &mem), "\xe2\x82\xac rates");
	same_text(param_text(s.params, s.params_count, S("name"), &mem), "\xc3\xa9");
	same_text(param_text(s.params, s.params_count, S("raw"), &mem), "\xc3\xa9");
	same_text(param_text(s.params, s.params_count, S("bad"), &mem), "A%zz%4");
	assert_null(param_text(s.params, s.params_count, S("none"), &mem).at);
}

static void message_ids(void **state) {
	(void)state;
	struct slice rest = S("<a@b> (c) <d@e>\r\n <<f@g>> <> < h@i > <j@k"), id;
	static const char *const wanted[] = { "a@b", "d@e", "f@g", "h@i", "j@k" };
	size_t n = 0;
	for (; msgid_next(&rest, &id); n++) same_text(id, wanted[n]);
	assert_int_equal(n, 5);
	rest = S("your mail of today bare@id x");
	assert_true(msgid_next(&rest, &id));
	same_text(id, "bare@id");
	assert_true(msgid_hash(S("a@b")) == msgid_hash(S("a@\r\n b")) && msgid_hash(S("a@b")) != msgid_hash(S("a@c")));
	assert_true(msgid_hash(S("a@b")) == msgid_hash(S("\"a\"@b")));
	assert_true(msgid_hash(S("a@b")) == 0x2234476d5505e2d0u); /* stored: must never change */
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(fields), cmocka_unit_test(words),
					    cmocka_unit_test(parameters), cmocka_unit_test(message_ids) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
