/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies and the frames around them. */
#include "base/encode.h"
#include "mime/compose.h"
#include "mime/header.h"

enum { LINE_LIMIT = 998, QP_COLUMNS = 76, BASE64_BYTES = 57 };

static bool lines_fit(struct slice text) {
	while (text.at != NULL)
		if (slice_cut(&text, '\n').len > LINE_LIMIT) return false;
	return true;
}

/* Cuts one line off; its CR goes too. False at the end. */
static bool take_line(struct slice *rest, struct slice *line) {
	if (rest->len == 0) return false;
	*line = slice_cut(rest, '\n');
	if (line->len != 0 && line->at[line->len - 1] == '\r') line->len--;
	return true;
}

static void add_lines(struct buf *out, struct slice text) {
	struct slice line;
	while (take_line(&text, &line)) {
		buf_add(out, line);
		buf_add(out, S("\r\n"));
	}
}

static bool qp_plain(char c, bool last) {
	if (ascii_blank(c)) return !last;
	return !ascii_control(c) && c != '=' && (unsigned char)c < 0x80;
}

static void add_qp_line(struct buf *out, struct slice line) {
	size_t column = 0;
	for (size_t i = 0; i < line.len; i++) {
		bool last = i + 1 == line.len;
		char c = line.at[i];
		/* "From " and a lone dot at a line start are hidden from mailbox files and careless relays. */
		bool risky = column == 0 && (c == 'F' || c == '.');
		bool plain = qp_plain(c, last) && !risky;
		if (column + (plain ? 1 : 3) > QP_COLUMNS - (last ? 0 : 1)) {
			buf_add(out, S("=\r\n"));
			column = 0;
		}
		if (plain) buf_byte(out, c);
		else buf_addf(out, "=%02X", (unsigned char)c);
		column += plain ? 1 : 3;
	}
	buf_add(out, S("\r\n"));
}

void compose_quoted_printable(struct buf *out, struct slice bytes) {
	struct slice line;
	while (take_line(&bytes, &line)) add_qp_line(out, line);
}

void compose_base64(struct buf *out, struct slice bytes) {
	for (; bytes.len != 0; bytes = slice_skip(bytes, BASE64_BYTES)) {
		base64_add(out, slice_head(bytes, BASE64_BYTES));
		buf_add(out, S("\r\n"));
	}
}

void compose_text(struct buf *out, const char *subtype, struct slice text, bool eight_bit) {
	bool ascii = slice_is_ascii(text), fits = lines_fit(text);
	bool as_is = fits && (ascii || eight_bit);
	buf_addf(out, "Content-Type: text/%s; charset=%s\r\n", subtype, ascii ? "us-ascii" : "utf-8");
	buf_addf(out, "Content-Transfer-Encoding: %s\r\n\r\n", !as_is ? "quoted-printable" : ascii ? "7bit" : "8bit");
	if (as_is) add_lines(out, text);
	else compose_quoted_printable(out, text);
}

struct multipart multipart_begin(struct buf *out, const char *type) {
	struct multipart m;
	unsigned char random[12];
	AUTO_BUF struct buf hex = BUF(64);
	random_fill(random, sizeof random);
	hex_add(&hex, slice_from(random, sizeof random));
	/* =_ never comes out of quoted-printable or base64 */
	snprintf(m.boundary, sizeof m.boundary, "=_hato_%s", buf_text(&hex));
	buf_addf(out, "Content-Type: %s;\r\n boundary=\"%s\"\r\n\r\n", type, m.boundary);
	return m;
}

/* The line end before a delimiter belongs to it, and every part ends with one. */
void multipart_part(struct buf *out, const struct multipart *m) {
	buf_addf(out, "\r\n--%s\r\n", m->boundary);
}

void multipart_end(struct buf *out, const struct multipart *m) {
	buf_addf(out, "\r\n--%s--\r\n", m->boundary);
}

static void add_embedded(struct buf *out, const char *type, struct slice text) {
	buf_addf(out, "Content-Type: %s\r\n", type);
	if (!slice_is_ascii(text)) buf_add(out, S("Content-Transfer-Encoding: 8bit\r\n"));
	buf_add(out, S("\r\n"));
	add_lines(out, text);
}

void compose_message_part(struct buf *out, struct slice message) {
	add_embedded(out, "message/rfc822", message);
}

void compose_headers_part(struct buf *out, struct slice message) {
	size_t n = header_length(message);
	while (n != 0 && (message.at[n - 1] == '\n' || message.at[n - 1] == '\r')) n--; /* one line end comes back */
	add_embedded(out, "text/rfc822-headers", slice_head(message, n));
}

void compose_status_part(struct buf *out) {
	buf_add(out, S("Content-Type: message/delivery-status\r\n\r\n"));
}

void compose_group(struct buf *out) {
	buf_add(out, S("\r\n"));
}
