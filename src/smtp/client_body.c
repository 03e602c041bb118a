/* SPDX-License-Identifier: Apache-2.0 */
/* Works in spans between line ends, found with memchr: most of a body is copied, not looked at byte by byte. */
#include "smtp/client_body.h"
#include "base/fail.h"
#include "smtp/client.h"

/* Where to fold: at most room bytes, not within a UTF-8 character. */
static size_t fold_at(struct slice s, size_t room) {
	size_t at = room;
	while (at > 0 && room - at < 3 && ((unsigned char)s.at[at] & 0xC0) == 0x80) at--;
	return ((unsigned char)s.at[at] & 0xC0) == 0x80 ? room : at;
}

static void add_text(struct smtp_body_coder *c, struct slice s, struct buf *out) {
	if (s.len > 0 && c->column == 0 && s.at[0] == '.' && !c->plain) buf_byte(out, '.');
	while (s.len > 0) {
		size_t room = c->line_limit - MIN_OF(c->line_limit, c->column);
		size_t take = s.len <= room ? s.len : fold_at(s, room);
		buf_add(out, slice_head(s, take));
		c->column += take;
		s = slice_skip(s, take);
		if (s.len > 0) {
			buf_add(out, S("\r\n "));
			c->column = 1;
		}
	}
}

static void end_line(struct smtp_body_coder *c, struct buf *out) {
	buf_add(out, S("\r\n"));
	c->column = 0;
	c->cr = false;
}

bool smtp_body_code(struct smtp_body_coder *c, struct slice piece, struct buf *out) {
	if (piece.len == 0) return !out->full;
	const char *at = piece.at, *end = at + piece.len, *lf = NULL;
	while (at < end) {
		if (c->cr && *at != '\n') add_text(c, S(" "), out);
		c->cr = false;
		if (lf == NULL || lf < at) lf = memchr(at, '\n', (size_t)(end - at));
		if (lf == NULL) lf = end;
		const char *cr = memchr(at, '\r', (size_t)(lf - at));
		const char *stop = cr != NULL ? cr : lf;
		add_text(c, slice_from(at, (size_t)(stop - at)), out);
		if (cr != NULL) c->cr = true;
		else if (lf < end) end_line(c, out);
		at = stop < end ? stop + 1 : end;
	}
	return !out->full;
}

void smtp_body_line_end(struct smtp_body_coder *c, struct buf *out) {
	if (c->column > 0 || c->cr) end_line(c, out);
}

bool smtp_body_end(struct smtp_body_coder *c, struct buf *out) {
	smtp_body_line_end(c, out);
	buf_add(out, S(".\r\n"));
	return !out->full;
}

uint64_t smtp_body_size(const struct smtp_body *b) {
	return b->text.at != NULL || b->fd >= 0 ? b->size : 0;
}

ssize_t smtp_body_read(const struct smtp_body *b, uint64_t at, char *room, size_t len, struct slice *out) {
	uint64_t size = smtp_body_size(b);
	len = (size_t)MIN_OF(size - MIN_OF(at, size), (uint64_t)len);
	*out = SLICE_NONE;
	if (len == 0) return 0;
	if (b->text.at != NULL) {
		*out = slice_head(slice_skip(b->text, (size_t)(b->offset + at)), len);
		return (ssize_t)out->len;
	}
	ssize_t n;
	do n = pread(b->fd, room, len, (off_t)(b->offset + at));
	while (n < 0 && errno == EINTR);
	if (n < 0) return fail_errno("message file");
	if (n == 0) return fail("message file: ends %llu bytes early", (unsigned long long)(size - at));
	*out = slice_from(room, (size_t)n);
	return n;
}
