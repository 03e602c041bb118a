/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 3516 §6: who asks for BODY[…] gets no NUL, and must not get a broken text either. So parts that say they are
 * binary and come with NULs are kept in base64, as BODYSTRUCTURE tells; BINARY[…] gives the bytes back as they were. */
#include "access/imap/upload.h"
#include "base/encode.h"
#include "base/fail.h"

#include <unistd.h>

enum { LINE_BYTES = 57, PIECE = LINE_BYTES * 512 }; /* 76 letters to a line (RFC 2045 §6.8) */
static const char field_name[] = "Content-Transfer-Encoding";

struct recoding {
	struct upload *from, *to;
	char piece[PIECE];
};

/* At most PIECE bytes of what was taken, as many as there are until end. */
static int read_piece(struct recoding *r, uint64_t at, uint64_t end, struct slice *out) {
	size_t want = (size_t)MIN_OF(end - at, (uint64_t)PIECE), got = 0;
	if (r->from->fd < 0) {
		*out = slice_head(slice_skip(buf_slice(&r->from->memory), (size_t)at), want);
		return 0;
	}
	while (got < want) {
		ssize_t n = pread(r->from->fd, r->piece + got, want - got, (off_t)(at + got));
		if (n <= 0) return fail_errno("spool file of a message: cannot be read");
		got += (size_t)n;
	}
	*out = slice_from(r->piece, want);
	return 0;
}

static int copy(struct recoding *r, uint64_t at, uint64_t end, int (*take)(void *ctx, struct slice piece), void *ctx) {
	int done = 0;
	for (struct slice piece; at < end && done == 0; at += piece.len) {
		done = read_piece(r, at, end, &piece);
		if (done == 0) done = take(ctx, piece);
	}
	return done;
}

static int take_header(void *header, struct slice piece) {
	return buf_add(header, piece) ? 0 : fail("header of a part: too large");
}

static bool is_encoding(struct slice line) {
	if (!slice_starts_same(line, slice_of(field_name))) return false;
	line = slice_skip(line, sizeof field_name - 1);
	while (line.len != 0 && (line.at[0] == ' ' || line.at[0] == '\t')) line = slice_skip(line, 1);
	return line.len != 0 && line.at[0] == ':';
}

/* The header with another encoding in the first field of that name; others go, and continuation lines with them.
 * *found: there was one, else it is as it was. */
static int put_header(struct recoding *r, const struct part *part, const char *encoding, bool *found) {
	AUTO_BUF struct buf old = BUF(SCAN_HEADER_MAX * 2);
	AUTO_BUF struct buf new = BUF(SCAN_HEADER_MAX * 2 + KIB(1));
	bool passing = false;
	int done = copy(r, part->header_start, part->body_start, take_header, &old);
	*found = false;
	for (struct slice rest = buf_slice(&old); rest.len != 0 && done == 0;) {
		size_t len = slice_find(rest, '\n');
		struct slice line = slice_head(rest, MIN_OF(len + 1, rest.len));
		rest = slice_skip(rest, line.len);
		if (passing && (line.at[0] == ' ' || line.at[0] == '\t')) continue;
		passing = is_encoding(line);
		if (!passing) buf_add(&new, line);
		else if (!*found) buf_addf(&new, "%s: %s\r\n", field_name, encoding);
		*found |= passing;
	}
	return done == 0 ? upload_take(r->to, buf_slice(&new)) : done;
}

static int put_base64(void *ctx, struct slice piece) {
	struct recoding *r = ctx;
	AUTO_BUF struct buf text = BUF(PIECE * 2);
	for (struct slice line; piece.len != 0; piece = slice_skip(piece, line.len)) {
		line = slice_head(piece, MIN_OF(piece.len, (size_t)LINE_BYTES));
		base64_add(&text, line);
		buf_add(&text, S("\r\n"));
	}
	return upload_take(r->to, buf_slice(&text));
}

static bool is_binary(const struct part *p) {
	return slice_eq(p->encoding, S("binary"));
}

bool upload_is_binary(const struct summary *s) {
	bool some = false;
	for (size_t i = 0; i < s->parts_count && !some; i++) some = is_binary(&s->parts[i]) && s->parts[i].child == 0;
	return some && (s->flags & SUMMARY_NUL) != 0;
}

int upload_recode(struct upload *from, const struct summary *s, struct upload *to) {
	struct recoding r = { .from = from, .to = to };
	uint64_t at = 0;
	int done = 0;
	for (size_t i = 0; i < s->parts_count && done == 0; i++) {
		const struct part *p = &s->parts[i];
		bool leaf = p->child == 0, found = false;
		if (!is_binary(p) || p->header_start < at) continue;
		if (p->body_start < p->header_start || p->body_end < p->body_start) continue;
		done = copy(&r, at, p->header_start, upload_take, to);
		if (done == 0) done = put_header(&r, p, leaf ? "base64" : "8bit", &found);
		at = p->body_start;
		if (!leaf || !found || done != 0) continue;
		done = copy(&r, at, p->body_end, put_base64, &r);
		at = p->body_end;
	}
	return done == 0 ? copy(&r, at, s->size, upload_take, to) : done;
}
