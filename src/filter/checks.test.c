/* SPDX-License-Identifier: Apache-2.0 */
/* Which lines of a message are looked up where, what becomes of them, whatever the pieces they come in. */
#include "filter/checks.h"
#include "base/fail.h"

#include "base/test.h"

struct seen {
	struct buf text, acts;
};
static void put(void *ctx, struct slice bytes) {
	struct seen *s = ctx;
	buf_add(&s->text, bytes);
}
static void act(void *ctx, const struct checks_hit *hit) {
	struct seen *s = ctx;
	buf_addf(&s->acts, "%s %s <%.*s> %.*s\n", hit->word, hit->in_body ? "body" : "header", SLICE_ARG(hit->subject),
		 SLICE_ARG(hit->text));
}

static struct lookup table(struct tables *tables, const char *name, struct arena *mem) {
	struct lookup l = { 0 };
	struct slice text = slice_of(name);
	if (name[0] != '\0') assert_int_equal(lookup_open(tables, &text, 1, 0, mem, &l), TABLE_FOUND);
	return l;
}

static char *file(const char *text) {
	static char name[64];
	static unsigned number;
	snprintf(name, sizeof name, "/tmp/checks.%ld.%u", (long)getpid(), number++);
	FILE *f = fopen(name, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	return name;
}

/* header, mime, nested, body: texts of regexp tables, "" for none. */
static void run(const char *const rules[4], struct checks_params p, const char *in, const char *out, const char *acts) {
	AUTO_ARENA struct arena mem = { 0 };
	const struct table_params tp = { .queue_directory = "/" };
	struct tables *tables = tables_new(&tp);
	struct lookup *to[] = { &p.header, &p.mime, &p.nested, &p.body };
	char *files[4] = { 0 };
	for (size_t i = 0; i < 4; i++) {
		if (rules[i][0] == '\0') continue;
		files[i] = strdup(file(rules[i]));
		*to[i] = table(tables, arena_fmt(&mem, "regexp:%s", files[i]).at, &mem);
	}
	static const struct checks_ops ops = { put, act };
	for (size_t step = 1; step < 200; step = step * 3 + 1) {
		struct seen seen = { .text = BUF(1 << 20), .acts = BUF(1 << 20) };
		struct checks *c = checks_new(&p, &ops, &seen);
		for (struct slice rest = slice_of(in); rest.len != 0; rest = slice_skip(rest, step))
			checks_feed(c, slice_head(rest, step));
		checks_end(c);
		checks_free(&c);
		assert_string_equal(buf_text(&seen.text), out);
		assert_string_equal(buf_text(&seen.acts), acts);
		buf_done(&seen.text);
		buf_done(&seen.acts);
	}
	tables_free(&tables);
	for (size_t i = 0; i < 4; i++) {
		if (files[i] != NULL) unlink(files[i]);
		free(files[i]);
	}
}

static const struct checks_params usual = {
	.header_limit = 1000, .line_limit = 2048, .body_limit = 51200
};

static void actions_on_header_and_body(void **state) {
	(void)state;
	const char *const rules[4] = {
		"/^X-Gone:/ IGNORE\n/^X-Strip:/ STRIP why\n/^Subject: (.*)/ REPLACE Subject: [$1]\n"
		"/^X-A:/ PREPEND X-Before: yes\n/^X-R:/ REJECT no such mail\n/^X-W:/ WARN hm\n/^X-O:/ OK\n/^X-Bad:/ "
		"EAT it\n"
		"/^X-F:/ FILTER smtp:[127.0.0.1]:10025\n/^X-B:/ BCC nobody\n",
		"", "", "/secret/ REPLACE ******\n/^PS/ DISCARD\n"
	};
	run(rules, usual,
	    "X-Gone: a\r\n b\r\nSubject: one\r\nX-Strip: x\r\nX-A: 1\r\nX-R: y\r\nX-W: z\r\nX-O: o\r\nX-Bad: q\r\nX-F: "
	    "f\r\n"
	    "X-B: b\r\n\r\na secret\r\nX-R: y\r\nPS\r\n",
	    "Subject: [one]\r\nX-Before: yes\r\nX-A: 1\r\nX-R: y\r\nX-W: z\r\nX-O: o\r\nX-Bad: q\r\nX-F: f\r\nX-B: "
	    "b\r\n\r\n******\r\nX-R: y\r\nPS\r\n",
	    "replace header <Subject: one> Subject: [one]\nstrip header <X-Strip: x> why\nprepend header <X-A: 1> "
	    "X-Before: yes\n"
	    "reject header <X-R: y> no such mail\nwarning header <X-W: z> hm\n"
	    "warning header <X-Bad: q> unknown command in header_checks map: EAT it\n"
	    "filter header <X-F: f> smtp:[127.0.0.1]:10025\n"
	    "warning header <X-B: b> bad address of the command in header_checks map: BCC nobody\n"
	    "replace body <a secret> ******\ndiscard body <PS> \n");
}

static void parts_and_attached_messages(void **state) {
	(void)state;
	const char *const rules[4] = { "/^X:/ INFO h\n", "/^X:/ INFO m\n", "/^X:/ INFO n\n", "/^X:/ INFO b\n" };
	const char *text = "X: 1\r\nContent-Type: multipart/mixed;\r\n\tboundary=\"a b\"\r\n\r\nX: 2\r\n--a b\r\nX: "
			   "3\r\n\r\nX: 4\r\n"
			   "--a b  \r\nContent-Type: message/rfc822\r\nX: 5\r\n\r\nX: 6\r\nContent-Type: multipart/x; "
			   "boundary=in\r\n\r\n"
			   "--in\r\nX: 7\r\n--a b\r\nX: 8\r\n\r\n--in\r\nX: 9\r\n--a b--\r\nX: 10\r\n";
	run(rules, usual, text, text,
	    "info header <X: 1> h\ninfo body <X: 2> b\ninfo header <X: 3> m\ninfo body <X: 4> b\n"
	    "info header <X: 5> m\ninfo header <X: 6> n\ninfo header <X: 7> m\ninfo header <X: 8> m\ninfo body <X: 9> "
	    "b\n"
	    "info body <X: 10> b\n");
	const char *bare =
	       "Content-Type: multipart/mixed; boundary=b\r\nSubject: a field longer than that of the boundary\r\n\r\n"
	       "--b\r\nX: 1\r\n\r\nX: 2\r\n";
	run(rules, usual, bare, bare, "info header <X: 1> m\ninfo body <X: 2> b\n");
	struct checks_params flat = usual;
	flat.flat = true;
	run(rules, flat, text, text,
	    "info header <X: 1> h\ninfo body <X: 2> b\ninfo body <X: 3> b\ninfo body <X: 4> b\ninfo body <X: 5> b\n"
	    "info body <X: 6> b\ninfo body <X: 7> b\ninfo body <X: 8> b\ninfo body <X: 9> b\ninfo body <X: 10> b\n");
}

/* Whose lines are a header, as Debian's "postmap -hm" and "postmap -bm" see them. */
static void which_messages_have_a_header(void **state) {
	(void)state;
	static const struct { const char *type; bool nested;
	} cases[] = { { "message/rfc822", true },
		      { "message/global", true },
		      { "message/partial; id=a; number=1; total=2", false },
		      { "message/partial; id=a; number=2; total=2", false },
		      { "message/external-body; access-type=local-file; name=x", false },
		      { "message/delivery-status", false },
		      { "message/news", false } };
	const char *const rules[4] = { "", "/^X:/ INFO m\n", "/^X:/ INFO n\n", "/^X:/ INFO b\n" };
	for (size_t i = 0; i < LEN(cases); i++) {
		AUTO_BUF struct buf text = BUF(1000);
		buf_addf(&text,
			 "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nX: 1\r\nContent-Type: %s\r\n\r\n"
			 "X: 2\r\n\r\nX: 3\r\n--b\r\nX: 4\r\n",
			 cases[i].type);
		run(rules, usual, buf_text(&text), buf_text(&text),
		    cases[i].nested ? "info header <X: 1> m\ninfo header <X: 2> n\ninfo body <X: 3> b\n"
				      "info header <X: 4> m\n"
				    : "info header <X: 1> m\ninfo body <X: 2> b\ninfo body <X: 3> b\n"
				      "info header <X: 4> m\n");
	}
}

static void limits(void **state) {
	(void)state;
	const char *const rules[4] = { "/(.*)/ INFO\n", "", "", "/./ INFO\n" };
	struct checks_params p = usual;
	p.header_limit = 20;
	p.line_limit = 10;
	p.body_limit = 30;
	run(rules, p,
	    "X: 1\r\n 23456789012345\r\n 6\r\nY: 2\r\nZ: "
	    "4567890123456789012345\r\n\r\n0123456789012\r\nabc\r\nd\r\nef\r\ng\r\nno more\r\n",
	    "X: 1\r\n 23456789012345\r\n 6\r\nY: 2\r\nZ: "
	    "4567890123456789012345\r\n\r\n0123456789012\r\nabc\r\nd\r\nef\r\ng\r\nno more\r\n",
	    "info header <X: 1> \ninfo header <Y: 2> \ninfo header <Z: 45678901234567890> \ninfo body <0123456789> \n"
	    "info body <012> \ninfo body <abc> \ninfo body <d> \ninfo body <ef> \ninfo body <g> \n");
}

static void pass_ends_it_and_outgoing_has_fewer(void **state) {
	(void)state;
	const char *const rules[4] = { "/^P:/ PASS fine\n/^X:/ REJECT\n", "", "", "/X/ DISCARD\n" };
	run(rules, usual, "X: 1\r\nP: 1\r\nX: 2\r\n\r\nX\r\n", "X: 1\r\nP: 1\r\nX: 2\r\n\r\nX\r\n",
	    "reject header <X: 1> \npass header <P: 1> fine\n");
	struct checks_params out = usual;
	out.outgoing = true;
	run(rules, out, "X: 1\r\n", "X: 1\r\n",
	    "warning header <X: 1> unsupported command in header_checks map: REJECT\n");
}

/* Each fault is told once; a message that keeps to the rules has none. */
static void strict_about_eight_bits(void **state) {
	(void)state;
	const char *const rules[4] = { "", "", "", "" };
	struct checks_params p = usual;
	p.strict_header = p.strict_body = p.strict_encoding = true;
	const char *fine = "A: b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xc3\xbc\r\n";
	run(rules, p, fine, fine, "");
	const char *bad = "A: \xc3\xbc\r\nB: \xc3\xbc\r\n\r\n\xc3\xbc\r\n\xc3\xbc\r\n";
	run(rules, p, bad, bad, "reject header <A: \xc3\xbc> 5.6.0 improper use of 8-bit data in message header\n"
				"reject body <\xc3\xbc> 5.6.0 improper use of 8-bit data in message body\n");
	const char *encoded =
		"Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: base64\r\n\r\nx\r\n";
	run(rules, p, encoded, encoded,
	    "reject header <Content-Transfer-Encoding> 5.6.0 invalid message/* or multipart/* encoding domain\n");
}

/* Only what declares 8-bit text, each part for itself; look-ups see what is stored. */
static void declared_eight_bits_are_converted(void **state) {
	(void)state;
	const char *const rules[4] = { "/^Content-T.*-E/ INFO\n", "/^Content-T.*-E/ INFO\n", "", "/=C3/ INFO\n" };
	struct checks_params p = usual;
	p.convert = true;
	p.line_limit = 7; /* long lines come in pieces */
	run(rules, p,
	    "Content-Transfer-Encoding: 8BIT (really)\r\nX: \xc3\xbc\r\n\r\na=\xc3\xbc \r\n.\tb\t\r\n\r\n"
	    "000000000011111111112222222222333333333344444444445555555555666666666677\xc3\xbc\r\n",
	    "X: \xc3\xbc\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\na=3D=C3=BC=20\r\n.\tb=09\r\n\r\n"
	    "000000000011111111112222222222333333333344444444445555555555666666666677=C3=\r\n=BC\r\n",
	    "info header <Content-Transfer-Encoding: quoted-printable> \ninfo body <a=3D=C3=BC=20> \n"
	    "info body <000000000011111111112222222222333333333344444444445555555555666666666677=C3=> \n");
	const char *as_is = "A: \xc3\xbc\r\n\r\n\xc3\xbc\r\n";
	/* a piece of a message has no encoding but 7bit (RFC 2046 §5.2.2): what breaks that rule is not made worse */
	run((const char *const[4]){ "", "", "", "" }, p,
	    "Content-Type: message/partial; id=a; number=2\r\nContent-Transfer-Encoding: 8bit\r\n\r\n=\xc3\xbc\r\n",
	    "Content-Type: message/partial; id=a; number=2\r\nContent-Transfer-Encoding: 7bit\r\n\r\n=\xc3\xbc\r\n",
	    "");
	run((const char *const[4]){ "", "", "", "" }, p, as_is, as_is, "");
	run((const char *const[4]){ "", "", "", "" }, p,
	    "Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
	    "--b\r\nContent-Transfer-Encoding: binary\r\n\r\n\xc3=\r\n--b\r\n\r\n\xbc=\r\n--b--\r\n\xbc\r\n",
	    "Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"
	    "--b\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=C3=3D\r\n--b\r\n\r\n\xbc=\r\n--b--\r\n\xbc\r\n",
	    "");
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(actions_on_header_and_body),
		cmocka_unit_test(parts_and_attached_messages),
		cmocka_unit_test(which_messages_have_a_header),
		cmocka_unit_test(limits),
		cmocka_unit_test(declared_eight_bits_are_converted),
		cmocka_unit_test(strict_about_eight_bits),
		cmocka_unit_test(pass_ends_it_and_outgoing_has_fewer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
