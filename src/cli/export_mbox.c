/* SPDX-License-Identifier: Apache-2.0 */
/* An account goes out as one mbox file for each mailbox, with what mutt, Dovecot, Thunderbird and `hato import mbox`
 * read: flags in Status and X-Status, keywords in X-Keywords, numbers in X-IMAPbase and X-UID. What is below "Lists" is
 * in the folder "Lists.sbd" beside it, as in Thunderbird. */
#include "access/imap/name.h"
#include "base/fail.h"
#include "cli/exporting.h"
#include "cli/hands.h"

#include <sysexits.h>

enum { HEADER_MOST = 4 << 20, READY = 256 << 10, LINE_MOST = 64 << 10 };

struct box_export {
	struct transfer *t;
	const struct mailbox *mailbox;
	enum mbox_format format;
	int fd;
	bool first;
	struct buf out;
};

/* One message: its header is held until it is whole, for the From_ line says who sent it. */
struct writing {
	struct box_export *b;
	const struct message *m;
	struct crlf crlf;
	struct buf text, header, sender; /* text: of the line that is not whole yet */
	bool in_body, begins, own, has_sender;
	uint64_t length; /* of the body, when measured */
	bool measured, measuring;
};

static int flush(struct box_export *b) {
	int r = export_write(b->fd, buf_slice(&b->out));
	buf_clear(&b->out);
	return r;
}

static int put(struct writing *w, struct slice text) {
	if (w->measuring) {
		w->length += text.len;
		return 0;
	}
	struct box_export *b = w->b;
	if (b->out.len + text.len > READY && flush(b) < 0) return -1;
	return text.len > READY ? export_write(b->fd, text) : buf_add(&b->out, text) ? 0 : fail("memory is full");
}

static int put_header(struct writing *w) {
	struct box_export *b = w->b;
	AUTO_BUF struct buf head = BUF(HEADER_MOST + KIB(64));
	w->in_body = true;
	if (w->measuring) return 0;
	mbox_from_put(&head, buf_slice(&w->sender), w->m->received_us);
	buf_add(&head, buf_slice(&w->header));
	if (b->first) {
		buf_addf(&head, "X-IMAPbase: %u %010u", b->mailbox->uidvalidity, b->mailbox->uidnext - 1);
		if (b->mailbox->keywords.len != 0) buf_addf(&head, " %.*s", SLICE_ARG(b->mailbox->keywords));
		buf_byte(&head, '\n');
		b->first = false;
	}
	mbox_status_put(&head, w->m->flags, w->m->keywords, w->m->uid);
	if (w->measured) buf_addf(&head, "Content-Length: %llu\n", (unsigned long long)w->length);
	buf_byte(&head, '\n');
	return head.full ? fail("uid %u: its header is too large for a mailbox file", w->m->uid)
			 : put(w, buf_slice(&head));
}

static void note_sender(struct writing *w, struct slice line) {
	struct slice path = slice_trim(slice_skip(line, slice_find(line, ':') + 1));
	if (path.len > 2 && path.at[0] == '<' && path.at[path.len - 1] == '>')
		buf_add(&w->sender, slice_head(slice_skip(path, 1), path.len - 2));
	w->has_sender = true;
}

static int head_line(struct writing *w, struct slice line) {
	if (w->begins && line.len == 1) return put_header(w);
	if (w->begins && !ascii_blank(line.at[0])) {
		struct slice name = slice_trim(slice_head(line, slice_find(line, ':')));
		w->own = mbox_own_field(name);
		if (!w->has_sender && slice_same(name, S("Return-Path"))) note_sender(w, line);
	}
	return w->own || buf_add(&w->header, line)
		       ? 0
		       : fail("uid %u: its header is too large for a mailbox file", w->m->uid);
}

static int body_line(struct writing *w, struct slice line) {
	if (w->begins && mbox_quotes(w->b->format, line) && put(w, S(">")) < 0) return -1;
	return put(w, line);
}

/* A line, or a piece of a very long one. */
static int take_line(struct writing *w, struct slice line) {
	int r = w->in_body ? body_line(w, line) : head_line(w, line);
	w->begins = line.at[line.len - 1] == '\n';
	return r;
}

static int take_lines(struct writing *w, bool end) {
	size_t done = 0;
	int r = 0;
	while (done < w->text.len && r == 0) {
		struct slice rest = slice_skip(buf_slice(&w->text), done);
		size_t nl = slice_find(rest, '\n');
		if (nl == rest.len && rest.len < LINE_MOST && !end) break;
		struct slice line = slice_head(rest, nl + 1);
		r = take_line(w, line);
		done += line.len;
	}
	buf_eat(&w->text, done);
	return r;
}

static int take_piece(void *ctx, struct slice piece) {
	struct writing *w = ctx;
	crlf_to_lf(&w->crlf, piece, &w->text);
	return take_lines(w, false);
}

static int take_all(struct writing *w, struct blob *blob) {
	w->begins = true;
	w->in_body = w->own = w->has_sender = false;
	buf_clear(&w->header);
	buf_clear(&w->sender);
	int r = blob_each(blob, take_piece, w);
	crlf_end(&w->crlf, &w->text);
	if (r == 0) r = take_lines(w, true);
	if (r == 0 && !w->in_body) { /* a header without an end */
		if (!w->begins) buf_byte(&w->header, '\n');
		w->begins = true;
		r = put_header(w);
	}
	return r;
}

static int export_message(void *ctx, const struct message *m) {
	struct box_export *b = ctx;
	AUTO_BLOB struct blob *blob = NULL;
	struct writing w = { .b = b, .m = m, .text = BUF(MIB(2)), .header = BUF(HEADER_MOST), .sender = BUF(KIB(4)) };
	int r = export_open(b->t, m, &blob);
	if (r == 0 && b->format >= MBOX_CL) {
		w.measuring = true;
		r = take_all(&w, blob);
		w.measuring = false;
		w.measured = true;
	}
	if (r == 0) r = take_all(&w, blob);
	if (r == 0) r = put(&w, w.begins ? S("\n") : S("\n\n"));
	if (r == 0) b->t->messages++, b->t->bytes += m->size;
	buf_done(&w.text);
	buf_done(&w.header);
	buf_done(&w.sender);
	return MIN_OF(r, 0); /* expunged a moment ago: BLOB_GONE */
}

/* Mailboxes. */

/* "Lists/hato" → "Lists.sbd/hato"; folders are made. False: that is no file's name (told). */
static bool make_path(struct transfer *t, struct slice name, struct buf *path) {
	AUTO_BUF struct buf said = BUF(KIB(4));
	imap_name_put(&said, name);
	for (struct slice rest = buf_slice(&said); rest.at != NULL;) {
		struct slice level = slice_cut(&rest, '/');
		if (level.at[0] == '.') buf_byte(path, '_');
		buf_add(path, level.at[0] == '.' ? slice_skip(level, 1) : level);
		if (rest.at == NULL) continue;
		buf_add(path, S(".sbd"));
		if (hands_make_dir(t->hands, buf_slice(path)) != 0) {
			transfer_failed(t, "%s: %s", buf_text(path), strerror(errno));
			return false;
		}
		buf_byte(path, '/');
	}
	return true;
}

static int write_box(struct box_export *b, struct slice path) {
	AUTO_BUF struct buf part = BUF(KIB(8));
	AUTO_FD int there = hands_open(b->t->hands, path);
	if (there >= 0 || errno != ENOENT) {
		transfer_failed(b->t, "%.*s: %s", SLICE_ARG(path),
				there >= 0 ? "is there already (export into an empty folder)" : strerror(errno));
		return 0;
	}
	buf_addf(&part, "%.*s.part", SLICE_ARG(path));
	AUTO_FD int fd = b->fd = hands_create(b->t->hands, buf_slice(&part));
	if (fd < 0) return fail_errno("%s", buf_text(&part));
	int r = export_messages(b->t, b->mailbox->box, export_message, b);
	if (r == 0) r = flush(b);
	if (r == 0 && fsync(fd) != 0) r = fail_errno("fsync");
	if (r == 0 && hands_place(b->t->hands, buf_slice(&part), path, 0) != 0) r = fail_errno("%.*s", SLICE_ARG(path));
	b->t->mailboxes += r == 0;
	return r;
}

static int export_box(struct transfer *t, const struct mailbox *m, struct buf *subscriptions) {
	AUTO_BUF struct buf path = BUF(KIB(8));
	if (m->subscribed && imap_name_put(subscriptions, m->name)) buf_byte(subscriptions, '\n');
	if (m->nonexistent || !make_path(t, m->name, &path)) return 0;
	struct box_export b = { .t = t,
				.mailbox = m,
				.format = t->format != MBOX_ANY ? t->format : MBOX_RD,
				.first = true,
				.out = BUF(READY + 1) };
	int r = write_box(&b, buf_slice(&path));
	buf_done(&b.out);
	return r;
}

int export_mbox(struct transfer *t) {
	AUTO_BUF struct buf subscriptions = BUF(MIB(16));
	int r = export_mailboxes(t, export_box, &subscriptions);
	AUTO_FD int fd = r == 0 ? hands_create(t->hands, S(".subscriptions")) : -1;
	if (r == 0) r = fd >= 0 ? export_write(fd, buf_slice(&subscriptions)) : fail_errno(".subscriptions");
	return r < 0 ? complain(t->cli, EX_IOERR, "%s", fail_text()) : EX_OK;
}
