/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/encode.h"
#include "mime/summary.h"
#include "mime/test.h"

static struct summary_scan *scanned(struct slice text, size_t step, struct summary *out) {
	struct summary_scan *scan = summary_scan_new();
	for (; text.len != 0; text = slice_skip(text, step)) summary_scan_feed(scan, slice_head(text, step));
	summary_scan_finish(scan, out);
	return scan;
}

/* Fed whole and in small pieces, packed and read back: always the same. Leaves the packed form in *packed. */
static void scan_all_ways(const char *what, struct slice text, struct buf *packed) {
	static const size_t steps[] = { SIZE_MAX, 1, 2, 3, 7, 64, 1000 };
	for (size_t i = 0; i < LEN(steps); i++) {
		AUTO_BUF struct buf again = BUF(MIB(16)), twice = BUF(MIB(16));
		AUTO_ARENA struct arena mem = { 0 };
		struct summary s, read;
		struct summary_scan *scan = scanned(text, steps[i], &s);
		summary_pack(&again, &s);
		if (i == 0) buf_add(packed, buf_slice(&again));
		else if (!slice_eq(buf_slice(packed), buf_slice(&again))) fail_msg("%s differs in pieces of %zu", what,
			steps[i]);
		struct unwire w = UNWIRE(buf_slice(&again), &mem);
		summary_unpack(&w, &read);
		if (w.bad || w.rest.len != 0) fail_msg("%s does not unpack", what);
		summary_pack(&twice, &read);
		assert_true(slice_eq(buf_slice(&again), buf_slice(&twice)));
		assert_true(utf8_valid(read.preview));
		summary_scan_free(&scan);
	}
}

static const struct {
	const char *text, *envelope, *body, *preview, *rev2; /* NULL: not compared */
} mails[] = {
	{ "", "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)",
	  "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 0 0 NIL NIL NIL NIL)", "" },
	{ "Subject: no body", "(NIL \"no body\" NIL NIL NIL NIL NIL NIL NIL NIL)",
	  "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 0 0 NIL NIL NIL NIL)", "" },
	{ "\r\nonly body\r\n", NULL,
	  "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 11 1 NIL NIL NIL NIL)", "only body" },
	{ "Subject:\r\nDate: \r\nMessage-ID:\r\nIn-Reply-To: <x@y>\r\n\r\n",
	  "(\"\" \"\" NIL NIL NIL NIL NIL NIL \"<x@y>\" \"\")", NULL, "" },
	{ "Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\r\nFrom: Terry Gray <gray@cac.example>\r\nSubject: IMAP4rev1 WG "
	  "mtg summary\r\n and minutes\r\n"
	  "To: imap@cac.example, \"J \\\"K\\\"\" <jk@x>\r\ncc: g: a@b;, minutes\r\nReply-To: ,\r\nMessage-ID: "
	  "<B27397@cac.example>\r\n\r\n a\r\n\r\n  b ",
	  "(\"Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\" \"IMAP4rev1 WG mtg summary and minutes\" ((\"Terry Gray\" NIL "
	  "\"gray\" \"cac.example\")) "
	  "((\"Terry Gray\" NIL \"gray\" \"cac.example\")) ((\"Terry Gray\" NIL \"gray\" \"cac.example\")) "
	  "((NIL NIL \"imap\" \"cac.example\")(\"J \\\"K\\\"\" NIL \"jk\" \"x\")) "
	  "((NIL NIL \"g\" NIL)(NIL NIL \"a\" \"b\")(NIL NIL NIL NIL)(NIL NIL \"minutes\" \"MISSING_DOMAIN\")) NIL NIL "
	  "\"<B27397@cac.example>\")",
	  NULL, "a b" },
	{ "Subject: caf\xc3\xa9\r\nFrom: <>\r\n\r\n",
	  "(NIL {5}\r\ncaf\xc3\xa9 ((NIL NIL \"MISSING_MAILBOX\" \"MISSING_DOMAIN\")) ((NIL NIL \"MISSING_MAILBOX\" "
	  "\"MISSING_DOMAIN\")) "
	  "((NIL NIL \"MISSING_MAILBOX\" \"MISSING_DOMAIN\")) NIL NIL NIL NIL NIL)",
	  NULL, "" },
	/* a multipart as it should be, with extension data */
	{ "Content-Type: Multipart/Mixed; boundary=b\r\nContent-Language: en, "
	  "ja\r\n\r\npreamble\r\n--b\r\n\r\none\r\ntwo\r\n--b \r\n"
	  "Content-Type: IMAGE/png; name=\"a b.png\"\r\nContent-Transfer-Encoding: BASE64\r\nContent-ID: "
	  "<i@d>\r\nContent-Description: pic\r\n"
	  "Content-MD5: abc==\r\nContent-Disposition: Attachment; filename=x.png\r\nContent-Location: "
	  "here\r\n\r\nAAAA\r\n\r\n--b--\r\nepilogue\r\n--b\r\n",
	  NULL,
	  "((\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 8 1 NIL NIL NIL NIL)"
	  "(\"image\" \"png\" (\"name\" \"a b.png\") \"<i@d>\" \"pic\" \"base64\" 6 \"abc==\" (\"attachment\" "
	  "(\"filename\" \"x.png\")) NIL \"here\") "
	  "\"mixed\" (\"boundary\" \"b\") NIL (\"en\" \"ja\") NIL)",
	  "one two" },
	/* no closing delimiter; an outer delimiter ends inner parts */
	{ "Content-Type: multipart/mixed; boundary=\"o\"\r\n\r\n--o\r\nContent-Type: multipart/alternative; "
	  "boundary=i\r\n\r\n--i\r\n\r\nA\r\n--i\r\nContent-Type: text/html\r\n\r\n<p>B\r\n--o\r\n\r\nC\r\n",
	  NULL,
	  "(((\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 1 0 NIL NIL NIL NIL)(\"text\" \"html\" "
	  "(\"charset\" \"us-ascii\") NIL NIL \"7bit\" 4 0 NIL NIL NIL NIL)"
	  " \"alternative\" (\"boundary\" \"i\") NIL NIL NIL)(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL "
	  "\"7bit\" 3 1 NIL NIL NIL NIL) \"mixed\" (\"boundary\" \"o\") NIL NIL NIL)",
	  "A" },
	/* delimiters never come: one empty part */
	{ "Content-Type: multipart/mixed; boundary=x\r\n\r\nno parts\r\n", NULL,
	  "((\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 0 0 NIL NIL NIL NIL) \"mixed\" "
	  "(\"boundary\" \"x\") NIL NIL NIL)",
	  "" },
	/* no boundary said: text/plain */
	{ "Content-Type: multipart/mixed\r\n\r\ntext\r\n", NULL,
	  "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 6 1 NIL NIL NIL NIL)", "text" },
	{ "Content-Type: rubbish\r\n\r\ntext\r\n", NULL,
	  "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 6 1 NIL NIL NIL NIL)", "text" },
	/* parts without header, without body, without both; the one without empty line keeps its header */
	{ "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\n--x\r\n\r\n\r\n--x\r\nContent-Type: "
	  "a/b\r\n--x\r\n--x",
	  NULL,
	  "((\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 0 0 NIL NIL NIL NIL)(\"text\" \"plain\" "
	  "(\"charset\" \"us-ascii\") NIL NIL \"7bit\" 0 0 NIL NIL NIL NIL)"
	  "(\"a\" \"b\" NIL NIL NIL \"7bit\" 0 NIL NIL NIL NIL)(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL "
	  "\"7bit\" 0 0 NIL NIL NIL NIL)"
	  "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 0 0 NIL NIL NIL NIL) \"mixed\" "
	  "(\"boundary\" \"x\") NIL NIL NIL)",
	  "" },
	/* digest: parts without type are messages */
	{ "Content-Type: multipart/digest; boundary=d\r\n\r\n--d\r\n\r\nSubject: in\r\nFrom: "
	  "a@b\r\n\r\nhello\r\n--d--\r\n",
	  NULL,
	  "((\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 31 (NIL \"in\" ((NIL NIL \"a\" \"b\")) ((NIL NIL \"a\" "
	  "\"b\")) ((NIL NIL \"a\" \"b\")) NIL NIL NIL NIL NIL) "
	  "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 5 0 NIL NIL NIL NIL) 3 NIL NIL NIL NIL) "
	  "\"digest\" (\"boundary\" \"d\") NIL NIL NIL)",
	  "hello" },
	/* message/global is a leaf to IMAP4rev1; a coded one is one to everybody (see rev2) */
	{ "Content-Type: message/global\r\n\r\nSubject: in\r\n\r\ncaf\xc3\xa9\r\n", NULL,
	  "(\"message\" \"global\" NIL NIL NIL \"7bit\" 22 NIL NIL NIL NIL)", "caf\xc3\xa9",
	  "(\"message\" \"global\" NIL NIL NIL \"7bit\" 22 (NIL \"in\" NIL NIL NIL NIL NIL NIL NIL NIL) (\"text\" "
	  "\"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 7 1 NIL NIL NIL NIL) 3 NIL NIL NIL NIL)" },
	{ "Content-Type: message/global\r\nContent-Transfer-Encoding: Quoted-Printable\r\n\r\nSubject: in\r\n\r\n",
	  NULL, "(\"message\" \"global\" NIL NIL NIL \"quoted-printable\" 15 NIL NIL NIL NIL)", "",
	  "(\"message\" \"global\" NIL NIL NIL \"quoted-printable\" 15 NIL NIL NIL NIL)" },
	/* one boundary starts with the other */
	{ "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: multipart/mixed; "
	  "boundary=bb\r\n\r\n--bb\r\n\r\n1\r\n--bb--\r\n--b\r\n\r\n2\r\n--b--",
	  NULL,
	  "(((\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 1 0 NIL NIL NIL NIL) \"mixed\" "
	  "(\"boundary\" \"bb\") NIL NIL NIL)"
	  "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 1 0 NIL NIL NIL NIL) \"mixed\" "
	  "(\"boundary\" \"b\") NIL NIL NIL)",
	  "1" },
	/* lone LF */
	{ "Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b--\n", NULL,
	  "((\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 3 0 NIL NIL NIL NIL) \"mixed\" "
	  "(\"boundary\" \"b\") NIL NIL NIL)",
	  "one" },
	/* the preview passes over an empty plain part and over attachments */
	{ "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n \r\n--b\r\nContent-Disposition: "
	  "attachment\r\n\r\nnot me\r\n--b\r\nContent-Type: text/html; charset=iso-8859-1\r\n"
	  "Content-Transfer-Encoding: quoted-printable\r\n\r\n<style>x</style>\r\n<p>caf=E9 &amp; "
	  "<b>more</b></p>\r\n--b--",
	  NULL, NULL, "caf\xc3\xa9 & more" },
	{ "Content-Transfer-Encoding: base64\r\nContent-Type: text/plain; "
	  "charset=iso-2022-jp\r\n\r\nGyRCRnxLXBso\r\nQg==\r\n",
	  NULL, "(\"text\" \"plain\" (\"charset\" \"iso-2022-jp\") NIL NIL \"base64\" 20 2 NIL NIL NIL NIL)",
	  "\xe6\x97\xa5\xe6\x9c\xac" },
};

static void odd_mails(void **state) {
	(void)state;
	for (size_t i = 0; i < LEN(mails); i++) {
		AUTO_BUF struct buf packed = BUF(MIB(1)), text = BUF(MIB(1));
		AUTO_ARENA struct arena mem = { 0 };
		struct summary s;
		scan_all_ways(mails[i].text, slice_of(mails[i].text), &packed);
		struct unwire w = UNWIRE(buf_slice(&packed), &mem);
		summary_unpack(&w, &s);
		summary_imap_envelope(&text, &s);
		if (mails[i].envelope != NULL) same_text(buf_slice(&text), mails[i].envelope);
		buf_clear(&text);
		summary_imap_bodystructure(&text, &s, true, false);
		if (mails[i].body != NULL) same_text(buf_slice(&text), mails[i].body);
		buf_clear(&text);
		summary_imap_bodystructure(&text, &s, true, true);
		if (mails[i].rev2 != NULL) same_text(buf_slice(&text), mails[i].rev2);
		if (mails[i].preview != NULL) same_text(s.preview, mails[i].preview);
	}
}

static const char nested[] = "From: me\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
			     "--b\r\nX: 1\r\n\r\nfirst\r\n"
			     "--b\r\nX: 2\r\nContent-Type: message/rfc822\r\n\r\n"
			     "Subject: inner\r\nContent-Type: multipart/alternative; boundary=i\r\n\r\n--i\r\nX: "
			     "21\r\n\r\nA\r\n--i\r\nX: 22\r\n\r\nB\r\n--i--\r\n\r\n"
			     "--b\r\nX: 3\r\nContent-Type: message/rfc822\r\n\r\nSubject: plain\r\n\r\nP\r\n"
			     "--b--\r\n";

static const struct {
	const char *section,
		*wanted; /* wanted: NULL bad, "-" absent, else the start of the range; length -1: not compared */
	int length;
} sections[] = {
	{ "", "From: me", sizeof nested - 1 }, { "HEADER", "From: me", 55 }, { "TEXT", "--b\r\nX: 1", -1 },
	  { "MIME", NULL },
	{ "1", "first", 5 }, { "1.MIME", "X: 1\r\n\r\n", 8 }, { "1.1", "-" }, { "1.HEADER", "-" }, { "1.TEXT", "-" },
	{ "2", "Subject: inner", -1 }, { "2.MIME", "X: 2", 38 }, { "2.HEADER", "Subject: inner", -1 },
	  { "2.TEXT", "--i\r\nX: 21", -1 },
	{ "2.1", "A", 1 }, { "2.2", "B", 1 }, { "2.2.MIME", "X: 22\r\n\r\n", 9 }, { "2.3", "-" }, { "2.1.HEADER", "-" },
	{ "3", "Subject: plain", -1 }, { "3.1", "P", 1 }, { "3.1.MIME", "Subject: plain\r\n\r\n", 18 },
	  { "3.TEXT", "P", 1 }, { "3.2", "-" }, { "3.1.1", "-" },
	{ "4", "-" }, { "0", NULL }, { "1.", NULL }, { "1.0", NULL }, { ".1", NULL }, { "X", NULL }, { "1.X", NULL },
	  { "HEADER.FIELDS", NULL },
	{ "HEADER.FIELDS (Date)", "From: me", 55 }, { "2.HEADER.FIELDS.NOT (Date From)", "Subject: inner", -1 },
	  { "TEXT (x)", NULL },
	{ "99999999999999999999", NULL }, { "1 ", NULL }, { "text", "--b", -1 }, { "4.X", NULL },
};

static void section_numbers(void **state) {
	(void)state;
	struct summary s;
	struct summary_scan *scan = scanned(slice_of(nested), SIZE_MAX, &s);
	for (size_t i = 0; i < LEN(sections); i++) {
		struct section found = { .start = 77 };
		enum section_answer r = summary_section(&s, slice_of(sections[i].section), &found);
		const char *wanted = sections[i].wanted;
		enum section_answer expected = wanted == NULL ? SECTION_BAD : *wanted == '-' &&
			wanted[1] == '\0' ? SECTION_ABSENT : SECTION_OK;
		if (r != expected) fail_msg("[%s]: answer %d", sections[i].section, r);
		if (r != SECTION_OK) {
			assert_true(found.start == 77);
			continue;
		}
		struct slice range = slice_from(nested + found.start, found.end - found.start);
		if (!slice_starts(range, slice_of(wanted)) || (sections[i].length >= 0 &&
			range.len != (size_t)sections[i].length))
			fail_msg("[%s]: <%.*s>", sections[i].section, SLICE_ARG(range));
	}
	summary_scan_free(&scan);
	scan = scanned(S("Content-Type: text/plain\r\n\r\nbody"), SIZE_MAX, &s);
	struct section found;
	assert_int_equal(summary_section(&s, S("1"), &found), SECTION_OK);
	assert_true(found.start == 28 && found.end == 32);
	assert_int_equal(summary_section(&s, S("1.MIME"), &found), SECTION_OK);
	assert_true(found.start == 0 && found.end == 28);
	assert_int_equal(summary_section(&s, S("2"), &found), SECTION_ABSENT);
	assert_int_equal(summary_section(&s, S("1.1"), &found), SECTION_ABSENT);
	summary_scan_free(&scan);
}

static void hints(void **state) {
	(void)state;
	struct summary s;
	struct summary_scan *scan = scanned(S("Received: a\r\nReceived: b\r\nDelivered-To: x@y\r\nDelivered-To: "
					      "z@y\r\nFrom: a\r\nFrom: b\r\nDate: 22 Nov 2026 04:31:39 +0900\r\n"
					      "Message-ID: <1@x>\r\nReferences: <a@x> <b@x>\r\n <c@x>\r\nIn-Reply-To: "
					      "<d@x>\r\nList-Id: News <news.x>\r\nPrecedence: bulk\r\n"
					      "Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\nX: "
					      "\xff\r\n\r\nlong line\r\nnul \0\r\nlf\n\xe9 the end is the longest"),
					    5, &s);
	assert_int_equal(s.flags, SUMMARY_HAS_DATE | SUMMARY_HAS_MESSAGE_ID | SUMMARY_HAS_FROM | SUMMARY_8BIT_HEADER |
					  SUMMARY_8BIT_BODY | SUMMARY_NUL | SUMMARY_BARE_LF | SUMMARY_MIME |
					  SUMMARY_BULK | SUMMARY_AUTO_SUBMITTED | SUMMARY_LIST | SUMMARY_MANY_FROM);
	assert_true(s.received_count == 2 && s.delivered_to_count == 2 && s.references_count == 3 && s.zone == 540 &&
		s.sent == 1795289499);
	same_text(s.delivered_to[1].text, "z@y");
	same_text(s.list_id, "news.x");
	assert_true(s.references[2].hash == msgid_hash(S("c@x")));
	assert_true(s.longest_line == 32 && s.body_lines == 3);
	summary_scan_free(&scan);
	summary_scan_free(&scan);
	scan = scanned(S("In-Reply-To: <d@x> <e@x>\r\nX-Auto-Response-Suppress: DR, OOF\r\nAuto-Submitted: no\r\n\r\n"),
		SIZE_MAX, &s);
	assert_true(s.references_count == 1 && s.references[0].hash == msgid_hash(S("d@x")) &&
		s.flags == SUMMARY_AUTO_SUBMITTED);
	summary_scan_free(&scan);
}

/* Deep, wide and long: bounded, with a tree that unpacks. */
static void limits(void **state) {
	(void)state;
	AUTO_BUF struct buf text = BUF(MIB(16)), packed = BUF(MIB(16));
	for (int i = 0; i < 200; i++)
		buf_addf(&text, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i);
	scan_all_ways("deep multiparts", buf_slice(&text), &packed);
	buf_clear(&text);
	buf_clear(&packed);
	for (int i = 0; i < 200; i++) buf_addf(&text, "Content-Type: message/rfc822\r\n\r\n");
	scan_all_ways("deep messages", buf_slice(&text), &packed);
	buf_clear(&text);
	buf_clear(&packed);
	buf_addf(&text, "Content-Type: multipart/digest; boundary=b\r\n\r\n");
	for (int i = 0; i < 3000; i++) buf_addf(&text, "--b\r\n\r\n");
	scan_all_ways("many parts", buf_slice(&text), &packed);
	buf_clear(&text);
	buf_clear(&packed);
	while (text.len < KIB(300)) buf_addf(&text, "References: <a@b> <c@d>\r\nDelivered-To: a\r\n");
	scan_all_ways("long header", buf_slice(&text), &packed);
	struct summary s;
	struct summary_scan *scan = scanned(buf_slice(&text), SIZE_MAX, &s);
	assert_true((s.flags & SUMMARY_CUT) != 0 && s.delivered_to_count == 100 && s.header_size == text.len);
	summary_scan_free(&scan);
}

static void broken_packing(void **state) {
	(void)state;
	AUTO_BUF struct buf packed = BUF(MIB(1));
	struct summary s;
	struct summary_scan *scan = scanned(slice_of(nested), SIZE_MAX, &s);
	summary_pack(&packed, &s);
	summary_scan_free(&scan);
	for (size_t i = 0; i < packed.len; i++)
		for (int bit = 0; bit < 9; bit++) {
			AUTO_ARENA struct arena mem = { 0 };
			AUTO_BUF struct buf text = BUF(MIB(4));
			struct summary read;
			if (bit < 8) packed.at[i] = (char)(packed.at[i] ^ 1 << bit);
			struct unwire w = UNWIRE(slice_head(buf_slice(&packed), bit < 8 ? packed.len : i), &mem);
			summary_unpack(&w, &read);
			if (bit == 8) assert_true(w.bad);
			if (!w.bad) summary_imap_bodystructure(&text, &read, true, true);
			if (bit < 8) packed.at[i] = (char)(packed.at[i] ^ 1 << bit);
		}
}

static void load(int dir, const char *name, struct buf *out) {
	AUTO_FD int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	for (ssize_t n = 1; n > 0;) {
		char *at = buf_room(out, 65536);
		assert_non_null(at);
		n = read(fd, at, 65536);
		if (n > 0) out->len += (size_t)n;
	}
}

/* Every sample, as it is and with CRLF; its structure must be the one that was checked by hand and written down. */
static void check_folder(const char *top, const char *folder, struct slice structures, size_t *count) {
	char path[512];
	snprintf(path, sizeof path, "%s/%s", top, folder);
	DIR *d = opendir(path);
	assert_non_null(d);
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		struct slice name = slice_of(e->d_name);
		if (!slice_ends(name, S(".eml")) && !slice_ends(name, S(".msg"))) continue;
		AUTO_BUF struct buf text = BUF(MIB(4)), crlf = BUF(MIB(8)), packed = BUF(MIB(4)), again = BUF(MIB(4)),
			line = BUF(MIB(4));
		AUTO_ARENA struct arena mem = { 0 };
		struct summary s;
		load(dirfd(d), e->d_name, &text);
		scan_all_ways(e->d_name, buf_slice(&text), &packed);
		for (struct slice rest = buf_slice(&text); rest.at != NULL && rest.len != 0;) {
			struct slice l = slice_cut(&rest, '\n');
			buf_add(&crlf, l);
			if (rest.at != NULL) buf_add(&crlf, slice_ends(l, S("\r")) ? S("\n") : S("\r\n"));
		}
		scan_all_ways(e->d_name, buf_slice(&crlf), &again);
		struct unwire w = UNWIRE(buf_slice(&again), &mem);
		summary_unpack(&w, &s);
		buf_addf(&line, "%s/%s ", folder, e->d_name);
		summary_imap_bodystructure(&line, &s, false, false);
		buf_byte(&line, '\n');
		if (getenv("SHOW_STRUCTURES") != NULL) fprintf(stderr, "%s", buf_text(&line));
		else if (slice_search(structures, buf_slice(&line)) == structures.len) fail_msg("not in structures: %s",
			buf_text(&line));
		++*count;
	}
	closedir(d);
}

static void samples(void **state) {
	(void)state;
	char top[400];
	const char *slash = strrchr(__FILE__, '/');
	snprintf(top, sizeof top, "%.*s/../../tests/data/mime", (int)(slash - __FILE__), __FILE__);
	AUTO_FD int dir = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0) skip(); /* not started from the build folder */
	AUTO_BUF struct buf structures = BUF(MIB(4));
	load(dir, "structures", &structures);
	static const char *const folders[] = { "rfc", "malformed", "thirdparty", "mime4j", "ruby-mail" };
	size_t count = 0;
	for (size_t i = 0; i < LEN(folders); i++) check_folder(top, folders[i], buf_slice(&structures), &count);
	assert_true(count > 60);
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(odd_mails), cmocka_unit_test(section_numbers),
		cmocka_unit_test(hints), cmocka_unit_test(limits),
		cmocka_unit_test(broken_packing), cmocka_unit_test(samples) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
