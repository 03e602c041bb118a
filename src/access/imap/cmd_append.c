/* SPDX-License-Identifier: Apache-2.0 */
/* APPEND takes a message in: it is summarised while it arrives, small ones in memory, large ones in a spool file, and
 * stored with one commit. What makes it impossible is found before the client is asked for the bytes. */
#include "access/imap/status.h"
#include "base/fail.h"
#include "db/blob.h"
#include "mime/summary.h"
#include "net/file.h"
#include "user/user.h"

enum { IN_MEMORY = 256 * 1024, SUMMARY_LIMIT = 4 * 1024 * 1024 };

struct upload {
	struct imap_session *s;
	struct append append;
	struct summary_scan *scan;
	struct buf memory;
	int fd;                 /* the spool file once memory is full; -1 before */
	struct buf summary;
	struct blob_draft *draft;
	struct appended done;
};

static void upload_done(struct upload *u) {
	summary_scan_free(&u->scan);
	buf_done(&u->memory);
	buf_done(&u->summary);
	auto_fd(&u->fd);
	blob_draft_done(&u->draft);
}
#define AUTO_UPLOAD AUTO(upload_done)

static int spill(struct upload *u) {
	const char *dir = u->s->context->params.spool_dir;
	u->fd = file_spool(dir != NULL ? dir : "/tmp");
	if (u->fd < 0) return -1;
	int r = file_write_all(u->fd, buf_slice(&u->memory));
	buf_done(&u->memory);
	return r;
}

static int take(void *ctx, struct slice piece) {
	struct upload *u = ctx;
	summary_scan_feed(u->scan, piece);
	if (u->fd < 0 && u->memory.len + piece.len <= IN_MEMORY)
		return buf_add(&u->memory, piece) ? 0 : fail("message buffer is full");
	if (u->fd < 0 && spill(u) < 0) return -1;
	return file_write_all(u->fd, piece);
}

static int store(struct db_conn *tx, void *arg) {
	struct upload *u = arg;
	struct account account;
	int r = user_account_by_id(tx, db_memory(tx), u->append.box.account, &account);
	if (r < 0) return r;
	if (r == 0) {
		u->append.quota_bytes = account.quota_bytes;
		u->append.quota_messages = account.quota_messages;
	}
	r = blob_insert(tx, u->draft, buf_slice(&u->summary), &u->append.blob_id);
	return r != 0 ? r : store_append(tx, &u->append, &u->done);
}

static int commit(struct upload *u) {
	struct summary summary;
	struct slice part = buf_slice(&u->memory);
	struct blob_source source = { &part, 1, u->fd, 0, u->fd >= 0 ? u->append.size : 0 };
	if (u->fd >= 0) source.part_count = 0;
	summary_scan_finish(u->scan, &summary);
	summary_pack(&u->summary, &summary);
	if (u->summary.full) return fail("the message's summary is larger than %d bytes", SUMMARY_LIMIT);
	int r = blob_prepare(u->s->context->db, &source, &u->draft);
	return r != 0 ? r : db_write(u->s->context->db, store, u);
}

static bool parse_date(struct imap_parse *p, int64_t *us) {
	struct slice text;
	struct date date;
	if (!imap_parse_string(p, &text) || !imap_parse_space(p)) return false;
	if (date_parse_internal(text, &date) != DATE_OK) return imap_parse_fail(p, "Invalid date-time.");
	*us = date.utc * 1000000;
	return true;
}

/* Everything before the message, which must come as a literal. */
static bool parse(struct imap_session *s, struct imap_parse *p, struct slice *name, struct append *a,
		  struct imap_literal *literal) {
	struct imap_flags flags = { 0 };
	if (!imap_parse_space(p) || !imap_parse_mailbox(s, p, name) || !imap_parse_space(p)) return false;
	if (imap_parse_next_is(p, '(') && (!imap_parse_flags(s, p, &flags) || !imap_parse_space(p))) return false;
	if (imap_parse_next_is(p, '"') && !parse_date(p, &a->received_us)) return false;
	if (!imap_parse_next_is(p, '{') || !imap_literal_at_end(p->rest, literal) || slice_find_last(p->rest, '{') != 0)
		return imap_parse_fail(p, "Expected the message as a literal.");
	a->flags = flags.bits;
	a->keywords = flags.keywords;
	a->size = literal->size;
	return true;
}

/* A literal that nobody asked for but that comes anyway, and the end of its line. */
static struct imap_answer pass_over(struct imap_session *s, struct slice text, struct imap_answer a) {
	struct imap_literal literal;
	struct slice line;
	if (!imap_literal_at_end(text, &literal) || literal.waits) return a;
	if (literal.size > (uint64_t)IMAP_MESSAGE_LIMIT * 8) {
		buf_add(imap_out(s), S("* BYE [TOOBIG] Message too large.\r\n"));
		imap_end(s, "Message too large");
	} else {
		imap_read_literal(s, literal.size, NULL, NULL);
		if (!s->broken) imap_read_line(s, &line);
	}
	return a;
}

static struct imap_answer target_refused(struct imap_session *s, int r, const char *what) {
	return r == STORE_NO_MAILBOX ? imap_no("[TRYCREATE] Mailbox doesn't exist.") : imap_refused(s, r, what);
}

static int find_box(struct imap_session *s, struct slice name, struct box *out) {
	AUTO_READ struct db_conn *c = db_read(s->context->db);
	struct mailbox m;
	int r = c == NULL ? -1 : store_find(c, &s->mem, s->account, name, &m);
	if (r == 0 && m.nonexistent) r = STORE_NO_MAILBOX;
	if (r == 0) *out = m.box;
	return r;
}

static struct imap_answer receive(struct imap_session *s, struct upload *u, bool waits) {
	struct slice line;
	if (waits) {
		buf_add(imap_out(s), S("+ OK\r\n"));
		if (!imap_flush(s)) return imap_no("");
	}
	u->scan = summary_scan_new();
	int r = imap_read_literal(s, u->append.size, take, u);
	int end = s->broken ? -1 : imap_read_line(s, &line);
	if (end < 0) return imap_no("");
	if (end > 0 || line.len != 0) return (struct imap_answer){ IMAP_BAD, "Only one message may be appended at a time." };
	if (r != 0 || (r = commit(u)) != 0) return target_refused(s, r, "append");
	return imap_ok(arena_fmt(&s->mem, "[APPENDUID %u %u] Append completed.", u->done.uidvalidity, u->done.uid).at);
}

IMAP_COMMAND(imap_do_append) {
	AUTO_UPLOAD struct upload u = { .s = s, .fd = -1, .memory = BUF(IN_MEMORY), .summary = BUF(SUMMARY_LIMIT) };
	struct imap_literal literal = { 0 };
	struct slice name, text = call->p.rest;
	if (!parse(s, &call->p, &name, &u.append, &literal)) return pass_over(s, text, imap_bad(&call->p));
	if (literal.size == 0) return pass_over(s, text, imap_no("A message can't be empty."));
	if (literal.size > imap_append_limit(s))
		return pass_over(s, text, imap_no("[TOOBIG] Message too large."));
	int r = find_box(s, name, &u.append.box);
	if (r != 0) return pass_over(s, text, target_refused(s, r, "append"));
	return receive(s, &u, literal.waits);
}
