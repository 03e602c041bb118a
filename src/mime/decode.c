/* SPDX-License-Identifier: Apache-2.0 */
/* Transfer decodings as state machines over bytes: a body arrives in pieces whose borders mean nothing. */
#include "mime/decode.h"

enum { QP_TEXT, QP_ESCAPE, QP_DIGIT, QP_SOFT };

/* digit + 1; 0: not of the alphabet. The URL alphabet's - and _ are read as well. */
static const unsigned char base64_digits[256] = {
	['A'] = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26,
	['a'] = 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52,
	['0'] = 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, ['+'] = 63, ['/'] = 64, ['-'] = 63, ['_'] = 64,
};

enum encoding encoding_of(struct slice name) {
	static const struct {
		const char *name;
		enum encoding encoding;
	} names[] = { { "base64", ENCODING_BASE64 }, { "b", ENCODING_BASE64 }, { "quoted-printable", ENCODING_QP },
		{ "q", ENCODING_QP },
	            { "quoted", ENCODING_QP } };
	name = slice_trim(name);
	name = slice_head(name, slice_find(name, ';'));
	name = slice_head(name, slice_find(name, ' '));
	for (size_t i = 0; i < LEN(names); i++)
		if (slice_same(name, slice_of(names[i].name))) return names[i].encoding;
	return ENCODING_NONE;
}

struct transfer transfer_start(enum encoding encoding) {
	return (struct transfer){ .encoding = encoding };
}

/* 2 digits hold one byte, 3 hold two; one alone holds nothing. */
static void base64_flush(struct transfer *t, struct buf *out) {
	uint32_t bits = t->bits << 6 * (4 - t->state);
	if (t->state >= 2) buf_byte(out, (char)(bits >> 16));
	if (t->state == 3) buf_byte(out, (char)(bits >> 8));
	t->state = 0;
	t->bits = 0;
}

static void base64_feed(struct transfer *t, struct slice in, struct buf *out) {
	char bytes[3];
	for (size_t i = 0; i < in.len; i++) {
		unsigned digit = base64_digits[(unsigned char)in.at[i]];
		if (digit == 0) {
			if (in.at[i] == '=') base64_flush(t, out);
			continue;
		}
		t->bits = t->bits << 6 | (digit - 1);
		if (++t->state < 4) continue;
		bytes[0] = (char)(t->bits >> 16);
		bytes[1] = (char)(t->bits >> 8);
		bytes[2] = (char)t->bits;
		buf_add(out, slice_from(bytes, sizeof bytes));
		t->state = 0;
		t->bits = 0;
	}
}

static void qp_release(struct transfer *t, struct buf *out) {
	buf_add(out, slice_from(t->blanks, t->held));
	t->held = 0;
}

static void qp_hold(struct transfer *t, char c, struct buf *out) {
	if (t->held == sizeof t->blanks) qp_release(t, out);
	t->blanks[t->held++] = c;
}

static void qp_text(struct transfer *t, char c, struct buf *out) {
	if (c == '\n') {
		bool cr = t->held != 0 && t->blanks[t->held - 1] == '\r';
		t->held = 0;
		buf_add(out, cr ? S("\r\n") : S("\n"));
	} else if (ascii_space(c)) {
		qp_hold(t, c, out);
	} else {
		qp_release(t, out);
		if (c == '=') t->state = QP_ESCAPE;
		else buf_byte(out, c);
	}
}

/* What was taken for an escape is none: it is text, and c comes after it. */
static void qp_no_escape(struct transfer *t, char c, struct buf *out) {
	buf_byte(out, '=');
	if (t->state == QP_DIGIT) buf_byte(out, t->digit);
	qp_release(t, out);
	t->state = QP_TEXT;
	qp_text(t, c, out);
}

static void qp_byte(struct transfer *t, char c, struct buf *out) {
	int value = ascii_hex(c);
	if (t->state == QP_TEXT) {
		qp_text(t, c, out);
	} else if (t->state == QP_DIGIT && value >= 0) {
		buf_byte(out, (char)(ascii_hex(t->digit) << 4 | value));
		t->state = QP_TEXT;
	} else if (t->state == QP_ESCAPE && value >= 0) {
		t->digit = c;
		t->state = QP_DIGIT;
	} else if (t->state != QP_DIGIT && c == '\n') {
		t->held = 0;
		t->state = QP_TEXT;
	} else if (t->state != QP_DIGIT && ascii_space(c) && t->held < sizeof t->blanks) {
		qp_hold(t, c, out);
		t->state = QP_SOFT;
	} else {
		qp_no_escape(t, c, out);
	}
}

static size_t without_blanks(struct slice s) {
	size_t n = s.len;
	while (n != 0 && ascii_space(s.at[n - 1])) n--;
	return n;
}

/* What can be taken at one go between two lines' starts: a line without escapes, or what stands before the first one.
 * Blanks that might be at a line's end are left. */
static size_t qp_run(struct transfer *t, struct slice in, struct buf *out) {
	size_t line = slice_find(in, '\n'), end = slice_find(slice_head(in, line), '=');
	size_t kept = without_blanks(slice_head(in, end));
	buf_add(out, slice_head(in, kept));
	if (end < line || line == in.len || line - kept > sizeof t->blanks) return kept;
	buf_add(out, line != 0 && in.at[line - 1] == '\r' ? S("\r\n") : S("\n"));
	return line + 1;
}

static void qp_feed(struct transfer *t, struct slice in, struct buf *out) {
	while (in.len != 0) {
		size_t n = t->state == QP_TEXT && t->held == 0 ? qp_run(t, in, out) : 0;
		in = slice_skip(in, n);
		if (n == 0) {
			qp_byte(t, in.at[0], out);
			in = slice_skip(in, 1);
		}
	}
}

void transfer_feed(struct transfer *t, struct slice in, struct buf *out) {
	if (t->encoding == ENCODING_BASE64) base64_feed(t, in, out);
	else if (t->encoding == ENCODING_QP) qp_feed(t, in, out);
	else buf_add(out, in);
}

void transfer_finish(struct transfer *t, struct buf *out) {
	if (t->encoding == ENCODING_BASE64) base64_flush(t, out);
	if (t->encoding == ENCODING_QP && t->state == QP_DIGIT) {
		buf_byte(out, '=');
		buf_byte(out, t->digit);
	}
	*t = transfer_start(t->encoding);
}

struct text_decoder {
	struct transfer transfer;
	struct charset *charset; /* NULL: to be guessed, from what is gathered in bytes */
	bool is_html;
	struct html html;
	struct buf bytes, text; /* between the stages */
};

enum { PIECE = 4096, GUESS_FROM = 4096 };

/* Us-ascii is what programs write that do not know. */
static bool charset_says(struct slice name) {
	return charset_known(name) && !slice_starts_same(name, S("us-ascii")) &&
	       !slice_starts_same(name, S("\"us-ascii"));
}

struct text_decoder *text_decoder_open(struct slice encoding, struct slice charset, bool html) {
	struct text_decoder *d = mem_get(sizeof *d);
	*d = (struct text_decoder){ .transfer = transfer_start(encoding_of(encoding)),
		.charset = charset_says(charset) ? charset_open(charset) : NULL,
		.is_html = html,
		.bytes = BUF(KIB(64)), .text = BUF(KIB(256)) };
	return d;
}

static void text_decoder_pass(struct text_decoder *d, bool last, struct buf *out) {
	if (d->charset == NULL && !last && d->bytes.len < GUESS_FROM) return;
	if (d->charset == NULL)
		d->charset = charset_open(charset_guess(slice_head(buf_slice(&d->bytes), GUESS_FROM), d->is_html));
	charset_feed(d->charset, buf_slice(&d->bytes), d->is_html ? &d->text : out);
	if (d->is_html) html_feed(&d->html, buf_slice(&d->text), out);
	buf_clear(&d->bytes);
	buf_clear(&d->text);
}

void text_decoder_feed(struct text_decoder *d, struct slice in, struct buf *out) {
	for (; in.len != 0; in = slice_skip(in, PIECE)) {
		transfer_feed(&d->transfer, slice_head(in, PIECE), &d->bytes);
		text_decoder_pass(d, false, out);
	}
}

void text_decoder_finish(struct text_decoder **dp, struct buf *out) {
	struct text_decoder *d = TAKE(*dp);
	if (d == NULL) return;
	transfer_finish(&d->transfer, &d->bytes);
	text_decoder_pass(d, true, out);
	charset_finish(&d->charset, d->is_html ? &d->text : out);
	if (d->is_html) {
		html_feed(&d->html, buf_slice(&d->text), out);
		html_finish(&d->html, out);
	}
	buf_done(&d->bytes);
	buf_done(&d->text);
	free(d);
}
