/* SPDX-License-Identifier: Apache-2.0 */
#include "mime/decode.h"
#include "mime/test.h"

static const struct {
	const char *encoding, *charset;
	bool html;
	const char *in, *wanted;
} cases[] = {
	{ "base64", "utf-8", false, "aGVsbG8=", "hello" },
	{ " Base64 ", "utf-8", false, "aGVs\r\nbG8\r\n", "hello" },
	{ "base64", "", false, "aGVsbG8=IHdvcmxk*!", "hello world" },
	{ "base64", "", false, "aGVsb", "hel" },
	{ "base64", "", false, "====", "" },
	{ "quoted-printable", "utf-8", false, "a=3Db=\r\nc \t\r\nd=  \r\ne", "a=bc\r\nde" },
	{ "quoted-printable", "", false, "a=4", "a=4" },
	{ "quoted-printable", "", false, "a=4x=g= x", "a=4x=g= x" },
	{ "quoted-printable", "", false, "=C3=A9=c3=a9", "\xc3\xa9\xc3\xa9" },
	{ "quoted-printable", "", false, "soft=", "soft" },
	{ "quoted-printable", "", false, "a\rb \n", "a\rb\n" },
	{ "7bit", "iso-8859-1", false, "caf\xe9 \x80", "caf\xc3\xa9 \xe2\x82\xac" },
	{ "8bit", "", false, "caf\xe9 \xe9\xb3\xa9 \xe9\xb3", "caf\xc3\xa9 \xe9\xb3\xa9 \xc3\xa9\xc2\xb3" },
	{ "8bit", "UTF-8", false, "\xe9\xb3\xa9 \xe9\xb3 \xff", "\xe9\xb3\xa9 \xef\xbf\xbd\xef\xbf\xbd \xef\xbf\xbd" },
	{ "7bit", "ISO-2022-JP", false, "\x1b$BF|K\\\x1b(B!", "\xe6\x97\xa5\xe6\x9c\xac!" },
	{ "8bit", "Shift_JIS", false, "\x93\xfa\x96{\x87\x40", "\xe6\x97\xa5\xe6\x9c\xac\xe2\x91\xa0" },
	{ "8bit", "euc-jp", false, "\xc6\xfc\xcb\xdc", "\xe6\x97\xa5\xe6\x9c\xac" },
	{ "8bit", "koi8-r", false, "\xed\xc9\xd2", "\xd0\x9c\xd0\xb8\xd1\x80" },
	{ "8bit", "../../etc/passwd", false, "a\xe9", "a\xc3\xa9" },
	{ "base64", "utf-16le", false, "YQBiAA==", "ab" },
	{ "8bit", "utf-8", true, "<p>a &amp; b&nbsp;c</p><br>d &#233; &#x9ce9; &unknown; &",
	  "\na & b c\n\nd \xc3\xa9 \xe9\xb3\xa9 &unknown; &" },
	{ "8bit", "utf-8", true, "a<script>if (a<b) { \"</p>\" }</script>b<!-- x > -- y -->c<STYLE>p{}</sTyle >d",
	  "abcd" },
	{ "8bit", "utf-8", true, "<a title=\"x>y\" href='z>'>t</a> 1 < 2 <3", "t 1 < 2 <3" },
	{ "8bit", "utf-8", true, "<title>no</title>yes<img alt=it's>!&zwnj;&#847;", "\nyes!" },
	{ "8bit", "utf-8", true, "&amp", "&" },
	{ "quoted-printable", "iso-8859-1", true, "<b>=E9=26eacute;</b>", "\xc3\xa9\xc3\xa9" },
};

static void decode(size_t i, size_t step, struct buf *out) {
	struct text_decoder *d =
		text_decoder_open(slice_of(cases[i].encoding), slice_of(cases[i].charset), cases[i].html);
	struct slice rest = slice_of(cases[i].in);
	for (; rest.len != 0; rest = slice_skip(rest, step)) text_decoder_feed(d, slice_head(rest, step), out);
	text_decoder_finish(&d, out);
}

static void whole_and_in_pieces(void **state) {
	(void)state;
	for (size_t i = 0; i < LEN(cases); i++)
		for (size_t step = 1; step < 60; step += step < 4 ? 1 : 11) {
			AUTO_BUF struct buf out = BUF(KIB(64));
			decode(i, step, &out);
			same_text(buf_slice(&out), cases[i].wanted);
		}
}

static void preload(void **state) {
	(void)state;
	charset_preload();
	charset_preload();
	struct charset *none = NULL;
	struct text_decoder *nothing = NULL;
	AUTO_BUF struct buf out = BUF(10);
	charset_finish(&none, &out);
	text_decoder_finish(&nothing, &out);
	assert_int_equal(out.len, 0);
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(whole_and_in_pieces), cmocka_unit_test(preload) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
