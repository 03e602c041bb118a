/* SPDX-License-Identifier: Apache-2.0 */
/* Against the examples of RFC 6376 §3.4.5, and against a naive version that sees the whole body at once. */
#include "trust/canon.h"
#include "base/encode.h"
#include "trust/dkim_private.h"
#include "base/test.h"

static void digest_of(enum canon c, int64_t limit, struct slice body, size_t step, uint8_t digest[32]) {
	AUTO_ARENA struct arena mem = { 0 };
	struct canon_body *b = canon_body_new(c, limit, &mem);
	for (size_t at = 0; at < body.len; at += step) {
		/* of its own length, so that the sanitizer sees every byte read behind it */
		char *piece = slice_text(slice_head(slice_skip(body, at), step));
		size_t len = MIN_OF(step, body.len - at);
		char *exact = mem_get(len);
		memcpy(exact, piece, len);
		canon_body_bytes(b, slice_from(exact, len));
		free(exact);
		free(piece);
	}
	canon_body_end(b, digest);
}

static void check_body(enum canon c, int64_t limit, struct slice body, struct slice canonical) {
	uint8_t want[32], got[32];
	sha256(limit < 0 ? canonical : slice_head(canonical, (size_t)limit), want);
	for (size_t step = 1; step <= 100; step += step < 20 ? 1 : 13) {
		digest_of(c, limit, body, step, got);
		assert_memory_equal(want, got, 32);
	}
	digest_of(c, limit, body, MAX_OF(body.len, (size_t)1), got);
	assert_memory_equal(want, got, 32);
}

static void bodies_of_the_rfc(void **state UNUSED) {
	struct slice body = S(" C \r\nD \t E\r\n\r\n\r\n");
	check_body(CANON_RELAXED, -1, body, S(" C\r\nD E\r\n"));
	check_body(CANON_SIMPLE, -1, body, S(" C \r\nD \t E\r\n"));
	check_body(CANON_RELAXED, 3, body, S(" C\r\nD E\r\n"));
	check_body(CANON_SIMPLE, 8, body, S(" C \r\nD \t E\r\n"));
	check_body(CANON_SIMPLE, 0, body, S(""));
}

static void ends_of_bodies(void **state UNUSED) {
	check_body(CANON_SIMPLE, -1, S(""), S("\r\n"));
	check_body(CANON_RELAXED, -1, S(""), S(""));
	check_body(CANON_SIMPLE, -1, S("\r\n\r\n"), S("\r\n"));
	check_body(CANON_RELAXED, -1, S("\r\n\r\n"), S(""));
	check_body(CANON_RELAXED, -1, S(" \t\r\n \r\n"), S(""));
	check_body(CANON_SIMPLE, -1, S(" \r\n\r\n"), S(" \r\n"));
	check_body(CANON_SIMPLE, -1, S("a"), S("a\r\n"));
	check_body(CANON_RELAXED, -1, S("a \t"), S("a\r\n"));
	check_body(CANON_SIMPLE, -1, S("a\r"), S("a\r\r\n")); /* a lone CR is text */
	check_body(CANON_RELAXED, -1, S("a \rb\r\r\n"), S("a \rb\r\r\n"));
	check_body(CANON_RELAXED, -1, S("a\nb \n \r\n"), S("a\nb \n\r\n")); /* and so is a lone LF */
	check_body(CANON_RELAXED, -1, S("\r\n\r\na"), S("\r\n\r\na\r\n"));
}

static void long_bodies(void **state UNUSED) {
	AUTO_BUF struct buf body = BUF(MIB(1));
	AUTO_BUF struct buf relaxed = BUF(MIB(1));
	for (int i = 0; i < 2000; i++) {
		buf_addf(&body, "line %d  with\tblanks and %0*d digits %s\r\n", i, 1 + i % 300, i, i % 3 ? "" : " \t ");
		buf_addf(&relaxed, "line %d with blanks and %0*d digits\r\n", i, 1 + i % 300, i);
	}
	check_body(CANON_SIMPLE, -1, buf_slice(&body), buf_slice(&body));
	check_body(CANON_RELAXED, -1, buf_slice(&body), buf_slice(&relaxed));
	check_body(CANON_RELAXED, 4321, buf_slice(&body), buf_slice(&relaxed));
}

static void sizes(void **state UNUSED) {
	AUTO_ARENA struct arena mem = { 0 };
	uint8_t digest[32];
	struct canon_body *b = canon_body_new(CANON_RELAXED, 5, &mem);
	canon_body_bytes(b, S("one  two\r\n"));
	canon_body_bytes(b, S("three\r\n\r\n"));
	canon_body_end(b, digest);
	assert_int_equal(canon_body_size(b), 9 + 7);
}

static void check_field(enum canon c, const char *field, const char *want) {
	AUTO_BUF struct buf out = BUF(KIB(4));
	canon_field(&out, c, slice_of(field));
	assert_string_equal(buf_text(&out), want);
}

static void header_fields(void **state UNUSED) {
	check_field(CANON_RELAXED, "A: X\r\n", "a:X\r\n");
	check_field(CANON_RELAXED, "B : Y\t\r\n\tZ  \r\n", "b:Y Z\r\n");
	check_field(CANON_SIMPLE, "B : Y\t\r\n\tZ  \r\n", "B : Y\t\r\n\tZ  \r\n");
	check_field(CANON_RELAXED, "SUBJect:\r\n \r\n AbC\r\n", "subject:AbC\r\n");
	check_field(CANON_RELAXED, "Empty:  \r\n", "empty:\r\n");
	check_field(CANON_RELAXED, "No: end", "no:end\r\n");
	check_field(CANON_SIMPLE, "No: end", "No: end\r\n");
	check_field(CANON_RELAXED, "Url: a:b :c\r\n", "url:a:b :c\r\n");
}

static void tag_lists(void **state UNUSED) {
	struct tag tags[TAGS_MAX];
	int n = tags_parse(S(" v=1; a = rsa-sha256 ;\r\n\tb=ab\r\n\t cd;e=;"), tags);
	assert_int_equal(n, 4);
	assert_true(slice_eq(tag_find(tags, n, S("a"))->value, S("rsa-sha256")));
	assert_true(slice_eq(tag_find(tags, n, S("b"))->value, S("ab\r\n\t cd")));
	assert_int_equal(tag_find(tags, n, S("e"))->value.len, 0);
	assert_null(tag_find(tags, n, S("A")));
	assert_int_equal(tags_parse(S("p=a=b"), tags), 1);
	assert_true(slice_eq(tags[0].value, S("a=b")));
	static const char *const wrong[] = { "",     ";",     "v",      "v=1;;a=2", "v=1; v=1", "=1",
					     "1a=2", "a b=1", "a=\001", "a=\377",   "v=1; junk" };
	for (size_t i = 0; i < LEN(wrong); i++)
		assert_true(tags_parse(slice_of(wrong[i]), tags) < 0);
	AUTO_BUF struct buf many = BUF(KIB(4));
	for (int i = 0; i < TAGS_MAX; i++) buf_addf(&many, "t%d=;", i);
	assert_int_equal(tags_parse(buf_slice(&many), tags), TAGS_MAX);
	buf_add(&many, S("more=1"));
	assert_true(tags_parse(buf_slice(&many), tags) < 0);
}

static void base64_with_folds(void **state UNUSED) {
	AUTO_ARENA struct arena mem = { 0 };
	struct slice out;
	assert_true(tag_base64(S("aGVs\r\n\t bG8 ="), &mem, &out));
	assert_true(slice_eq(out, S("hello")));
	assert_false(tag_base64(S("aGVs*G8="), &mem, &out));
	assert_false(tag_base64(S("aGVsbG8"), &mem, &out));
	assert_true(tag_base64(S(""), &mem, &out));
	assert_int_equal(out.len, 0);
}

/* ---- the examples of flanker (tests/data/dkim/canonicalization) ---- */

static bool file_add(const char *kind, int number, struct buf *out) {
	char path[512];
	const char *slash = strrchr(__FILE__, '/');
	snprintf(path, sizeof path, "%.*s/../../tests/data/dkim/canonicalization/%s.%02d", (int)(slash - __FILE__),
		 __FILE__, kind, number);
	AUTO_FILE FILE *f = fopen(path, "rb");
	if (f == NULL) return false;
	for (int c; (c = getc(f)) != EOF;) buf_byte(out, (char)c);
	return true;
}

static void line_ends_add(struct buf *out, struct slice text) {
	for (size_t i = 0; i < text.len; i++) {
		if (text.at[i] == '\n' && (i == 0 || text.at[i - 1] != '\r')) buf_byte(out, '\r');
		buf_byte(out, text.at[i]);
	}
}

static void check_example(struct slice mail, enum canon c, struct slice want) {
	AUTO_BUF struct buf header = BUF(KIB(64));
	struct fields f = { .block = mail };
	for (struct field field; fields_next(&f, &field);)
		canon_field(&header, c, slice_from(mail.at + field.start, field.end - field.start));
	assert_true(slice_starts(want, buf_slice(&header)));
	size_t skip = header_length(mail);
	struct slice body = slice_skip(mail, skip), rest = slice_skip(want, header.len);
	if (f.at == mail.len) return; /* without an empty line there is no body */
	assert_true(slice_starts(rest, S("\r\n")));
	/* DomainKeys, from which the examples are, has no line end for an empty simple body */
	struct slice canonical = slice_skip(rest, 2);
	check_body(c, -1, body, canonical.len == 0 && c == CANON_SIMPLE ? S("\r\n") : canonical);
}

static void examples(void **state UNUSED) {
	int seen = 0;
	for (int i = 0; i < 100; i++) {
		AUTO_BUF struct buf raw = BUF(KIB(64));
		AUTO_BUF struct buf mail = BUF(KIB(64));
		AUTO_BUF struct buf simple = BUF(KIB(64));
		AUTO_BUF struct buf relaxed = BUF(KIB(64));
		if (!file_add("email", i, &raw)) continue;
		line_ends_add(&mail, buf_slice(&raw));
		assert_true(file_add("simple.expected", i, &simple) && file_add("relaxed.expected", i, &relaxed));
		check_example(buf_slice(&mail), CANON_SIMPLE, buf_slice(&simple));
		check_example(buf_slice(&mail), CANON_RELAXED, buf_slice(&relaxed));
		seen++;
	}
	if (seen == 0) skip();
	print_message("%d examples\n", seen);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bodies_of_the_rfc), cmocka_unit_test(ends_of_bodies), cmocka_unit_test(long_bodies),
		cmocka_unit_test(sizes), cmocka_unit_test(header_fields), cmocka_unit_test(tag_lists),
		cmocka_unit_test(base64_with_folds), cmocka_unit_test(examples),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
