/* SPDX-License-Identifier: Apache-2.0 */
#include "flow/intake.h"
#include "base/fail.h"
#include "net/file.h"

enum { NAME_MAX_LENGTH = 32, PIECE = 65536, FIRST_ROOM = 8192 };

void intake_begin(struct intake *in, const char *spool_dir, size_t memory_limit) {
	*in = (struct intake){
		.spool_dir = spool_dir, .memory_limit = memory_limit, .spool = -1, .in_header = true, .line_start = true
	};
	in->head = BUF(KIB(64));
	in->content = BUF(memory_limit);
	in->name = BUF(NAME_MAX_LENGTH);
	in->scan = summary_scan_new();
}

void intake_done(struct intake *in) {
	summary_scan_free(&in->scan);
	buf_done(&in->head);
	buf_done(&in->content);
	buf_done(&in->name);
	auto_fd(&in->spool);
	*in = (struct intake){ .spool = -1 };
}

void intake_head(struct intake *in, struct slice head) {
	buf_clear(&in->head);
	buf_add(&in->head, head);
	summary_scan_feed(in->scan, head);
}

static void keep_error(struct intake *in) {
	if (in->error == 0) in->error = errno != 0 ? errno : EIO;
}

static void spool(struct intake *in, struct slice bytes) {
	if (in->error != 0) return;
	if (in->spool < 0) {
		in->spool = file_spool(in->spool_dir);
		if (in->spool < 0 || file_write_all(in->spool, buf_slice(&in->content)) < 0) {
			keep_error(in);
			return;
		}
		in->spooled = in->content.len;
		buf_done(&in->content);
	}
	if (file_write_all(in->spool, bytes) < 0) keep_error(in);
	else in->spooled += bytes.len;
}

static void store(struct intake *in, struct slice bytes) {
	if (bytes.len == 0) return;
	summary_scan_feed(in->scan, bytes);
	if (in->spool >= 0 || bytes.len > in->memory_limit - in->content.len) spool(in, bytes);
	else {
		if (in->content.room == 0) buf_room(&in->content, MIN_OF(in->memory_limit, (size_t)FIRST_ROOM));
		buf_add(&in->content, bytes);
	}
}

static bool to_be_dropped(struct slice name) {
	static const struct slice dropped[] = { S("bcc"), S("resent-bcc"), S("return-path"), S("content-length") };
	for (size_t i = 0; i < LEN(dropped); i++)
		if (slice_same(name, dropped[i])) return true;
	return false;
}

/* The field's name is complete, or cannot be one of those dropped: let it go on or drop the field. */
static void decide(struct intake *in) {
	struct slice name = buf_slice(&in->name);
	in->dropping = to_be_dropped(slice_trim(name));
	if (!in->dropping) store(in, name);
	buf_clear(&in->name);
}

/* One step through the header; returns how many bytes were used. */
static size_t filter(struct intake *in, struct slice bytes) {
	char c = bytes.at[0];
	if (in->line_start && in->name.len == 0) {
		if (c == '\r' || c == '\n') {
			in->in_header = false;
			return 0;
		}
		if (ascii_blank(c)) { /* a folded line belongs to the field before it */
			in->line_start = false;
			return 0;
		}
	}
	if (in->line_start) {
		bool name_ends = c == ':' || c == '\r' || c == '\n' || in->name.len == NAME_MAX_LENGTH;
		if (!name_ends) {
			buf_byte(&in->name, c);
			return 1;
		}
		in->line_start = false;
		decide(in);
		return 0;
	}
	size_t end = slice_find(bytes, '\n');
	bool whole = end < bytes.len;
	size_t used = whole ? end + 1 : bytes.len;
	if (!in->dropping) store(in, slice_head(bytes, used));
	in->line_start = whole;
	return used;
}

void intake_bytes(struct intake *in, struct slice bytes) {
	while (in->in_header && bytes.len != 0) bytes = slice_skip(bytes, filter(in, bytes));
	if (!in->in_header) store(in, bytes);
}

void intake_summary(struct intake *in, struct summary *out) {
	if (in->name.len != 0) decide(in); /* the message ended within a name */
	summary_scan_finish(in->scan, out);
}

int intake_again(struct intake *in, struct slice head) {
	summary_scan_free(&in->scan);
	in->scan = summary_scan_new();
	intake_head(in, head);
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

uint64_t intake_size(const struct intake *in) {
	return in->head.len + in->content.len + in->spooled;
}
