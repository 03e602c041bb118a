/* SPDX-License-Identifier: Apache-2.0 */
/* A message is stored with CRLF and read from many places at once: it is turned into what a reader on Unix wants while
 * it is written, in pieces, whatever its size. */
#include "local/copy.h"
#include "base/fail.h"

enum { PIECE = 16384, OUT_MAX = 1 << 20, HEADER_MAX = 1 << 20 };

static struct slice eol_of(const struct copy *c) {
	return c->eol.len != 0 ? c->eol : S("\n");
}

static void header(struct copy_reader *r, const char *name, struct slice before, struct slice value,
		   struct slice after) {
	buf_addf(&r->out, "%s%.*s%.*s%.*s", name, SLICE_ARG(before), SLICE_ARG(value), SLICE_ARG(after));
	buf_add(&r->out, eol_of(r->copy));
}

struct slice copy_date(struct arena *mem, int64_t now_s) {
	char date[64];
	struct tm t;
	time_t now = (time_t)now_s;
	localtime_r(&now, &t);
	strftime(date, sizeof date, "%a %b %e %H:%M:%S %Y", &t);
	return arena_slice(mem, slice_of(date));
}

void copy_begin(struct copy_reader *r, const struct copy *c) {
	*r = (struct copy_reader){ .copy = c, .out = BUF(OUT_MAX), .line_begins = true };
	if ((c->flags & COPY_FROM) != 0)
		header(r, "From ", c->sender.len != 0 ? c->sender : S("MAILER-DAEMON"), S("  "), c->date);
	if ((c->flags & COPY_RETURN_PATH) != 0) header(r, "Return-Path: ", S("<"), c->sender, S(">"));
	if ((c->flags & COPY_ORIGINAL) != 0) header(r, "X-Original-To: ", c->original, SLICE_NONE, SLICE_NONE);
	if ((c->flags & COPY_DELIVERED) != 0) header(r, "Delivered-To: ", c->delivered, SLICE_NONE, SLICE_NONE);
	if ((c->flags & COPY_DELIVERED) != 0 && c->below.len != 0)
		header(r, "Delivered-To: ", c->below, SLICE_NONE, SLICE_NONE);
}

/* A line starts in s: what must stand before it? Lines are known from their first five bytes, so that the reader asks
 * only with as many, or with the rest of the message. */
static void quote(struct copy_reader *r, struct slice s) {
	if ((r->copy->flags & COPY_QUOTE) != 0 && slice_starts(s, S("From "))) buf_byte(&r->out, '>');
	if ((r->copy->flags & COPY_DOT) != 0 && slice_starts(s, S("."))) buf_byte(&r->out, '.');
	r->line_begins = false;
}

/* Takes lines, or the start of a long one, from s; leaves less than a whole line only when it may be a "From ". */
static size_t take(struct copy_reader *r, struct slice s, bool last) {
	size_t n = 0;
	while (n < s.len) {
		struct slice rest = slice_skip(s, n);
		if (r->line_begins && !last && rest.len < 5 && slice_find(rest, '\n') == rest.len) break;
		if (r->line_begins) quote(r, rest);
		size_t end = slice_find(rest, '\n');
		struct slice text = slice_head(rest, end);
		bool whole = end < rest.len;
		if (!whole && !last && text.len != 0 && text.at[text.len - 1] == '\r') text.len--, whole = false;
		size_t used = whole ? text.len + 1 : text.len;
		if (whole && text.len != 0 && text.at[text.len - 1] == '\r') text.len--;
		if (!whole && used == 0) break; /* a lone CR: its LF may follow */
		buf_add(&r->out, text);
		if (whole) buf_add(&r->out, eol_of(r->copy));
		r->line_begins = whole;
		n += used;
		if (!whole) break;
	}
	return n;
}

int copy_more(struct copy_reader *r) {
	const struct local_message *m = r->copy->message;
	if (r->out.len != 0) return 1;
	while (r->out.len == 0 && r->at < m->size) {
		char piece[PIECE];
		size_t want = (size_t)MIN_OF(m->size - r->at, (uint64_t)sizeof piece);
		ssize_t n = pread(m->fd, piece, want, (off_t)(m->offset + r->at));
		if (n < 0 && errno == EINTR) continue;
		if (n < 0) return -1;
		if (n == 0) return errno = EIO, -1; /* shorter than it should be */
		bool last = r->at + (uint64_t)n == m->size;
		r->at += take(r, slice_from(piece, (size_t)n), last);
	}
	if (r->out.len != 0) return 1;
	if (r->over) return 0;
	r->over = true;
	if (!r->line_begins) buf_add(&r->out, eol_of(r->copy));
	if ((r->copy->flags & COPY_BLANK) != 0) buf_add(&r->out, eol_of(r->copy));
	return r->out.len != 0;
}

void copy_end(struct copy_reader *r) {
	buf_done(&r->out);
}

int copy_to_fd(int fd, const struct copy *c, uint64_t *written) {
	struct copy_reader r AUTO(copy_end);
	copy_begin(&r, c);
	*written = 0;
	int more;
	while ((more = copy_more(&r)) > 0) {
		ssize_t n = write(fd, r.out.at, r.out.len);
		if (n < 0 && errno == EINTR) continue;
		if (n < 0) return COPY_WRITE_FAILED;
		*written += (uint64_t)n;
		buf_eat(&r.out, (size_t)n);
	}
	return more < 0 ? COPY_READ_FAILED : COPY_DONE;
}

int copy_has_delivered_to(const struct local_message *m, struct slice address) {
	AUTO_BUF struct buf head = BUF(HEADER_MAX + 1);
	size_t end = 0;
	static const struct slice name = S("Delivered-To:");
	while (head.len < HEADER_MAX && head.len < m->size) {
		size_t want = (size_t)MIN_OF(m->size - head.len, (uint64_t)PIECE);
		char *room = buf_room(&head, want);
		if (room == NULL) break;
		ssize_t n = pread(m->fd, room, want, (off_t)(m->offset + head.len));
		if (n < 0 && errno == EINTR) continue;
		if (n < 0) return fail_errno("body of the message");
		if (n == 0) break;
		head.len += (size_t)n;
		for (;;) { /* whole lines */
			struct slice rest = slice_skip(buf_slice(&head), end);
			size_t line = slice_find(rest, '\n');
			if (line == rest.len) break;
			struct slice text = slice_trim(slice_head(rest, line));
			if (text.len == 0) return 0;
			if (!ascii_blank(rest.at[0]) && slice_starts_same(text, name) &&
			    slice_same(slice_trim(slice_skip(text, name.len)), address))
				return 1;
			end += line + 1;
		}
	}
	return 0;
}
