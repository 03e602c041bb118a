/* SPDX-License-Identifier: Apache-2.0 */
#include "mime/compose.h"
#include "mime/decode.h"
#include "mime/summary.h"
#include "mime/test.h"

static const char long_ascii[] = "A subject that is quite a bit longer than one line of a message header may be, so "
				 "that it must be folded somewhere";
static const char japanese[] =
	"\xe4\xbc\x9d\xe6\x9b\xb8\xe9\xb3\xa9\xe3\x81\xaf\xe3\x82\xb5\xe3\x83\xbc\xe3\x83\x90\xe3\x81\xa7\xe3\x81\x99"
	"\xe3\x80\x82"
	"\xe4\xbc\x9d\xe6\x9b\xb8\xe9\xb3\xa9\xe3\x81\xaf\xe3\x82\xb5\xe3\x83\xbc\xe3\x83\x90\xe3\x81\xa7\xe3\x81\x99";

static void fold_and_encode(void **state) {
	(void)state;
	static const char *const texts[] = { "short", long_ascii, japanese, "mixed \xe9\xb3\xa9 text",
		"looks =?utf-8?q?like?= a word", "", "a  b" };
	for (size_t i = 0; i < LEN(texts); i++) {
		AUTO_ARENA struct arena mem = { 0 };
		AUTO_BUF struct buf out = BUF(KIB(64));
		struct field f;
		compose_text_field(&out, "Subject", slice_of(texts[i]));
		for (struct slice rest = buf_slice(&out); rest.at != NULL;)
			assert_true(slice_cut(&rest, '\n').len <= 79);
		assert_true(slice_is_ascii(buf_slice(&out)) && header_find(buf_slice(&out), S("subject"), &f));
		same_text(header_text(f.value, &mem), i == LEN(texts) - 1 ? "a b" : texts[i]);
	}
	AUTO_BUF struct buf out = BUF(KIB(64));
	compose_text_field(&out, "Subject", S("a\r\nBcc: you"));
	compose_field(&out, "Status", S("5.1.1\r\nX: y"));
	compose_field(&out, "X", S("a\x01" "b"));
	same_text(buf_slice(&out), "Subject: a Bcc: you\r\nStatus: 5.1.1 X: y\r\nX: a b\r\n");
}

static void addresses(void **state) {
	(void)state;
	static const char text[] = "John <j@x.test>, \"Doe, \\\"J\\\"\" <d@x.test>, \"a b\"@x.test, team: "
				   "=?utf-8?q?=C3=A9?= <e@x.test>, f@x.test;, g@x.test";
	AUTO_ARENA struct arena mem = { 0 };
	AUTO_BUF struct buf out = BUF(KIB(64));
	struct address_list l = address_list_parse(slice_of(text), &mem);
	for (size_t i = 0; i < l.count; i++) l.at[i].name = header_text(l.at[i].name, &mem);
	compose_address_field(&out, "To", l.at, l.count);
	same_text(buf_slice(&out), "To: John <j@x.test>, \"Doe, \\\"J\\\"\" <d@x.test>, \"a b\"@x.test, team :\r\n"
		" =?utf-8?B?w6k=?= <e@x.test>, f@x.test ;, g@x.test\r\n");
	buf_clear(&out);
	compose_mailbox_field(&out, "From", S("Mail Delivery System"), (struct mailbox){ S("MAILER-DAEMON"),
		S("mx.example") });
	compose_date_field(&out, (struct date){ 1795321899, 0 });
	same_text(buf_slice(&out),
		"From: Mail Delivery System <MAILER-DAEMON@mx.example>\r\nDate: Sun, 22 Nov 2026 04:31:39 +0000\r\n");
	struct slice id = compose_message_id(&mem, S("mx.example"));
	assert_true(slice_starts(id, S("<")) && slice_ends(id, S("@mx.example>")) &&
		!slice_eq(id, compose_message_id(&mem, S("mx.example"))));
}

static const struct {
	const char *text;
	bool eight_bit;
	const char *wanted;
} texts[] = {
	{ "a\nb\r\nc", false,
	  "Content-Type: text/plain; charset=us-ascii\r\nContent-Transfer-Encoding: 7bit\r\n\r\na\r\nb\r\nc\r\n" },
	{ "\xc3\xa9\n", true,
	  "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xc3\xa9\r\n" },
	{ "\xc3\xa9 = \n.\nFrom", false,
	  "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=C3=A9 "
	  "=3D=20\r\n=2E\r\n=46rom\r\n" },
};

static void text_parts(void **state) {
	(void)state;
	for (size_t i = 0; i < LEN(texts); i++) {
		AUTO_BUF struct buf out = BUF(KIB(64));
		compose_text(&out, "plain", slice_of(texts[i].text), texts[i].eight_bit);
		same_text(buf_slice(&out), texts[i].wanted);
	}
	AUTO_BUF struct buf out = BUF(KIB(64)), line = BUF(KIB(8)), back = BUF(KIB(64));
	while (line.len < 3000) buf_add(&line, S("long line=\xe9 "));
	buf_byte(&line, '\n');
	compose_quoted_printable(&out, buf_slice(&line));
	for (struct slice rest = buf_slice(&out); rest.at != NULL;) assert_true(slice_cut(&rest, '\n').len <= 77);
	struct transfer t = transfer_start(ENCODING_QP);
	transfer_feed(&t, buf_slice(&out), &back);
	transfer_finish(&t, &back);
	buf_eat(&back, 0);
	assert_true(back.len == line.len + 1 &&
		    slice_starts(buf_slice(&back), slice_head(buf_slice(&line), line.len - 1)));
	buf_clear(&out);
	compose_base64(&out, S("hello"));
	same_text(buf_slice(&out), "aGVsbG8=\r\n");
}

/* A bounce, and what our own scanner makes of it. */
static void bounce(void **state) {
	(void)state;
	AUTO_BUF struct buf out = BUF(KIB(64)), body = BUF(KIB(64));
	compose_text_field(&out, "Subject", S("Undelivered Mail Returned to Sender"));
	compose_field(&out, "MIME-Version", S("1.0"));
	struct multipart m = multipart_begin(&out, "multipart/report; report-type=delivery-status");
	multipart_part(&out, &m);
	compose_text(&out, "plain", S("Sorry.\n"), true);
	multipart_part(&out, &m);
	compose_status_part(&out);
	compose_field(&out, "Reporting-MTA", S("dns; mx.example"));
	compose_group(&out);
	compose_field(&out, "Final-Recipient", S("rfc822; a@b.example"));
	compose_field(&out, "Action", S("failed"));
	multipart_part(&out, &m);
	compose_message_part(&out, S("Subject: x\n\nbody\n"));
	multipart_part(&out, &m);
	compose_headers_part(&out, S("Subject: caf\xc3\xa9\r\n\r\nbody\r\n"));
	multipart_end(&out, &m);
	struct summary s;
	struct summary_scan *scan = summary_scan_new();
	summary_scan_feed(scan, buf_slice(&out));
	summary_scan_finish(scan, &s);
	summary_imap_bodystructure(&body, &s, false, false);
	same_text(buf_slice(&body),
		  "((\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 8 1)(\"message\" "
		  "\"delivery-status\" NIL NIL NIL \"7bit\" 88)"
		  "(\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 20 (NIL \"x\" NIL NIL NIL NIL NIL NIL NIL NIL) "
		  "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 6 1) 3)"
		  "(\"text\" \"rfc822-headers\" (\"charset\" \"us-ascii\") NIL NIL \"8bit\" 16 1) \"report\")");
	same_text(s.preview, "Sorry.");
	assert_true((s.flags & SUMMARY_HAS_ATTACHMENT) == 0);
	summary_scan_free(&scan);
}

/* The forms are those of Postfix's own tests (rfc2047_code.c). */
static void name_words(void **state) {
	(void)state;
	static const struct { const char *charset, *name, *words; /* NULL: no charset */
	} cases[] = {
		{ "utf-8", "caf\xc3\xa9", "=?utf-8?Q?caf=C3=A9?=" },
		{ "iso-8859-1", "J\xfcrgen (x) \"y\"", "=?iso-8859-1?Q?J=FCrgen_=28x=29_=22y=22?=" },
		{ "utf-8", "\xe9\xb3\xa9\xe9\xb3\xa9\xe9\xb3\xa9\xe9\xb3\xa9\xe9\xb3\xa9\xe9\xb3\xa9\xe9\xb3\xa9",
		  "=?utf-8?B?6bOp6bOp6bOp6bOp6bOp6bOp6bOp?=" },
		{ "utf-8", "Aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\xc3\xa9 B",
		  "=?utf-8?Q?Aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa?=\r\n "
		  "=?utf-8?Q?a=C3=A9_B?=" },
		{ "", "x", NULL },
		{ "utf 8", "x", NULL },
		{ "utf-8?", "x", NULL },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		AUTO_BUF struct buf out = BUF(KIB(1));
		bool can = compose_name_words(&out, cases[i].charset, slice_of(cases[i].name));
		assert_true(can == (cases[i].words != NULL));
		if (can) same_text(buf_slice(&out), cases[i].words);
	}
	/* Random bytes: no word is longer than 75, and UTF-8 is never cut within a character. */
	for (size_t n = 1; n < 300; n++) {
		AUTO_BUF struct buf name = BUF(KIB(2)), out = BUF(KIB(4));
		for (size_t i = 0; i < n; i++) buf_add(&name, (i * 7 + n) % 3 != 0 ? S("\xe9\xb3\xa9") : S("a"));
		assert_true(compose_name_words(&out, "utf-8", buf_slice(&name)));
		struct slice rest = buf_slice(&out);
		while (rest.len != 0) {
			struct slice word = slice_trim(slice_cut(&rest, '\n'));
			assert_true(word.len <= 75 && slice_ends(word, S("?=")));
		}
	}
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(fold_and_encode), cmocka_unit_test(addresses),
		cmocka_unit_test(text_parts), cmocka_unit_test(bounce), cmocka_unit_test(name_words) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
