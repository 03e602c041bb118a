/* SPDX-License-Identifier: Apache-2.0 */
/* Most headers come whole, in the first piece: they are looked at where they lie. Long bodies never stay in memory. */
#include "flow/intake.h"
#include "base/fail.h"
#include "net/file.h"

enum { PIECE = 65536, FIRST_ROOM = 8192, TRACE_ROOM = 65536 };

void intake_begin(struct intake *in, const struct intake_params *params) {
	*in = (struct intake){ .params = params, .spool = -1, .in_header = true };
	in->head = BUF(params->header_limit * 2 + TRACE_ROOM); /* rewriting makes it longer */
	in->content = BUF(params->memory_limit);
	in->raw = BUF(params->header_limit);
	if (!params->scan_late) in->scan = summary_scan_new();
}

void intake_done(struct intake *in) {
	summary_scan_free(&in->scan);
	buf_done(&in->head);
	buf_done(&in->content);
	buf_done(&in->raw);
	auto_fd(&in->spool);
	*in = (struct intake){ .spool = -1 };
}

static void scan(struct intake *in, struct slice bytes) {
	if (in->scan != NULL) summary_scan_feed(in->scan, bytes);
}

void intake_head(struct intake *in, struct slice trace) {
	buf_add(&in->head, trace);
	in->trace = in->head.len;
	scan(in, trace);
}

static void keep_error(struct intake *in, int error) {
	if (in->error == 0) in->error = error != 0 ? error : EIO;
}

static void spool(struct intake *in, struct slice bytes) {
	if (in->error != 0) return;
	if (in->spool < 0) {
		in->spool = file_spool(in->params->spool_dir);
		if (in->spool < 0 || file_write_all(in->spool, buf_slice(&in->content)) < 0) {
			keep_error(in, errno);
			return;
		}
		in->spooled = in->content.len;
		buf_done(&in->content);
	}
	if (file_write_all(in->spool, bytes) < 0) keep_error(in, errno);
	else in->spooled += bytes.len;
}

static void store(struct intake *in, struct slice bytes) {
	if (bytes.len == 0) return;
	scan(in, bytes);
	if (in->spool >= 0 || bytes.len > in->params->memory_limit - in->content.len) spool(in, bytes);
	else {
		if (in->content.room == 0) buf_room(&in->content, MIN_OF(in->params->memory_limit, (size_t)FIRST_ROOM));
		buf_add(&in->content, bytes);
	}
}

/* What a line is to the header. */
enum line { LINE_FIELD, LINE_EMPTY, LINE_OTHER };

static enum line line_kind(struct slice line, bool first) {
	if (slice_eq(line, S("\r\n"))) return LINE_EMPTY;
	if (line.len != 0 && ascii_blank(line.at[0])) return first ? LINE_OTHER : LINE_FIELD;
	size_t n = 0;
	while (n < line.len && line.at[n] != ':' && line.at[n] != ' ' && !ascii_control(line.at[n])) n++;
	size_t name = n;
	while (n < line.len && ascii_blank(line.at[n])) n++;
	return name != 0 && n < line.len && line.at[n] == ':' ? LINE_FIELD : LINE_OTHER;
}

/* odd: a line ended it that is no field. */
static void end_header(struct intake *in, struct slice header, bool odd) {
	in->in_header = false;
	int error = in->params->header != NULL ? in->params->header(in->params->ctx, header, &in->head) : 0;
	if (in->params->header == NULL) buf_add(&in->head, header);
	if (odd && in->params->note_end)
		buf_add(&in->head, S("MIME-Error: message header was not terminated by empty line\r\n"));
	if (error != 0) keep_error(in, error);
	if (in->head.full) keep_error(in, EMSGSIZE);
	scan(in, slice_skip(buf_slice(&in->head), in->trace));
}

/* Lines from `from` on in text: where the header ends, or text.len when it has not ended; *line: where the line that is
 * not complete starts. */
static size_t find_end(struct slice text, size_t from, size_t *line, enum line *kind) {
	for (size_t at = from, end; at < text.len; at = end) {
		end = at + slice_find(slice_skip(text, at), '\n') + 1;
		*line = at;
		if (end > text.len) return text.len;
		*kind = line_kind(slice_from(text.at + at, end - at), at == 0);
		if (*kind != LINE_FIELD) return at;
		*line = end;
	}
	return text.len;
}

/* The first line of a message from an mbox, "From a@b Sun Nov 22 …": it becomes a field, as with Postfix. */
static bool is_mbox_line(struct slice text) {
	size_t n = 0;
	while (n < text.len && text.at[n] == '>') n++;
	return slice_starts(slice_skip(text, n), S("From "));
}

enum intake_cut intake_cut(struct slice text, size_t *line, size_t *end) {
	enum line kind = LINE_FIELD;
	*end = find_end(text, *line, line, &kind);
	if (kind == LINE_FIELD) return INTAKE_MORE;
	return kind == LINE_OTHER && *end == 0 && is_mbox_line(text) ? INTAKE_MBOX : INTAKE_HEADER;
}

/* Bytes while the header is not complete; what is behind it is stored. */
static void gather(struct intake *in, struct slice bytes) {
	enum line kind = LINE_FIELD;
	size_t line = in->line, end;
	struct slice all = bytes;
	bool first = in->raw.len == 0;
	if (!first) {
		buf_add(&in->raw, bytes);
		all = buf_slice(&in->raw);
	}
	end = in->raw.full ? all.len : find_end(all, line, &line, &kind);
	if (kind == LINE_FIELD) {
		if (first && !in->raw.full) buf_add(&in->raw, bytes);
		in->line = line;
		if (!in->raw.full) return;
		keep_error(in, EMSGSIZE);
		in->in_header = false;
		return;
	}
	if (kind == LINE_OTHER && end == 0 && is_mbox_line(all)) {
		struct buf named = BUF(in->raw.limit + all.len + 100);
		buf_add(&named, intake_mbox_name);
		buf_add(&named, all);
		buf_done(&in->raw);
		in->line = 0;
		gather(in, buf_slice(&named));
		buf_done(&named);
		return;
	}
	end_header(in, slice_head(all, end), kind == LINE_OTHER);
	if (kind == LINE_OTHER) store(in, S("\r\n"));
	store(in, slice_skip(all, end));
	buf_done(&in->raw);
}

void intake_bytes(struct intake *in, struct slice bytes) {
	if (in->error != 0 || bytes.len == 0) return;
	if (in->in_header) gather(in, bytes);
	else store(in, bytes);
}

void intake_end(struct intake *in) {
	if (!in->in_header || in->error != 0) return;
	struct slice all = buf_slice(&in->raw), last = slice_skip(all, in->line);
	bool field = last.len == 0 || line_kind(last, in->line == 0) == LINE_FIELD;
	end_header(in, field ? all : slice_head(all, in->line), !field);
	if (!field) {
		store(in, S("\r\n"));
		store(in, last);
	}
	buf_done(&in->raw);
}

void intake_insert_at(struct intake *in, size_t at, struct slice fields) {
	struct buf head = BUF(in->head.limit);
	buf_add(&head, slice_head(buf_slice(&in->head), at));
	buf_add(&head, fields);
	buf_add(&head, slice_skip(buf_slice(&in->head), at));
	if (head.full) {
		buf_done(&head);
		keep_error(in, EMSGSIZE);
		return;
	}
	buf_done(&in->head);
	in->head = head;
	if (in->scan != NULL) in->inserted += fields.len;
}

void intake_insert(struct intake *in, struct slice fields) {
	intake_insert_at(in, in->trace, fields);
}

static int scan_all(struct intake *in) {
	in->scan = summary_scan_new();
	summary_scan_feed(in->scan, buf_slice(&in->head));
	summary_scan_feed(in->scan, buf_slice(&in->content));
	AUTO_BUF struct buf piece = BUF(PIECE);
	for (uint64_t at = 0; at < in->spooled;) {
		ssize_t n = pread(in->spool, buf_room(&piece, PIECE), PIECE, (off_t)at);
		if (n <= 0) return fail_errno("read the spool file");
		summary_scan_feed(in->scan, slice_from(piece.at, (size_t)n));
		at += (uint64_t)n;
	}
	return 0;
}

int intake_summary(struct intake *in, struct summary *out) {
	if (in->moved) intake_changed(in); /* not twice */
	if (in->scan == NULL && scan_all(in) < 0) {
		summary_scan_free(&in->scan);
		return -1;
	}
	summary_scan_finish(in->scan, out);
	if (in->inserted != 0) summary_shift(out, (int64_t)in->inserted);
	in->moved = in->inserted != 0;
	return 0;
}

void intake_changed(struct intake *in) {
	in->inserted = 0;
	in->moved = false;
	summary_scan_free(&in->scan);
}

uint64_t intake_size(const struct intake *in) {
	return in->head.len + in->content.len + in->spooled;
}

enum { GAP = 2 /* the empty line before the body */ };

ssize_t intake_body(const struct intake *in, uint64_t at, char *room, size_t n) {
	at += GAP;
	if (in->spool >= 0) {
		if (at >= in->spooled) return 0;
		ssize_t got = pread(in->spool, room, (size_t)MIN_OF((uint64_t)n, in->spooled - at), (off_t)at);
		return got > 0 ? got : fail_errno("read the spool file");
	}
	if (at >= in->content.len) return 0;
	n = MIN_OF(n, in->content.len - (size_t)at);
	memcpy(room, in->content.at + at, n);
	return (ssize_t)n;
}

void intake_replace_body(struct intake *in, struct slice piece, bool first) {
	intake_changed(in);
	if (first) {
		auto_fd(&in->spool);
		in->spool = -1;
		in->spooled = 0;
		buf_done(&in->content);
		store(in, S("\r\n"));
	}
	store(in, piece);
}
