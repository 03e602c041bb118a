/* SPDX-License-Identifier: Apache-2.0 */
/* A queued message as postcat(1) prints it: records of the envelope, then lines of the text. The numbers of -d are the
 * letters of Postfix's record types; offsets are those of the text. */
#include "admin/inside.h"
#include "admin/text.h"
#include "base/clock.h"
#include "db/blob.h"
#include "queue/queue.h"

#include <sysexits.h>

enum { MARK_FIRST = '\0' }; /* no record: nothing stands before it */

struct cat {
	struct admin_call *c;
	bool envelope, header, body, types, offsets, verbose;
	uint64_t offset, skip; /* skip: what lies before is not shown */
};

static void put_record(struct cat *k, char type, struct slice text) {
	struct buf *out = k->c->out;
	if (k->offsets) buf_addf(out, "%9llu ", (unsigned long long)k->offset);
	if (k->types) buf_addf(out, "%3d ", type);
	text_clean(out, text);
	buf_byte(out, '\n');
}

static void put_field(struct cat *k, char type, const char *name, struct slice value) {
	AUTO_BUF struct buf line = BUF(KIB(64));
	buf_addf(&line, "%s: %.*s", name, SLICE_ARG(value));
	put_record(k, type, buf_slice(&line));
}

static void put_mark(struct cat *k, char type, const char *what, const struct queue_message *m) {
	AUTO_BUF struct buf line = BUF(200);
	buf_addf(&line, "*** %s %s/%.*s ***", what, postfix_queue_of(m, wall_us()), SLICE_ARG(m->id));
	if (!k->envelope) return;
	if (type != MARK_FIRST) return put_record(k, type, buf_slice(&line));
	text_clean(k->c->out, buf_slice(&line));
	buf_byte(k->c->out, '\n');
}

static void put_when(struct cat *k, char type, const char *name, int64_t us) {
	time_t t = (time_t)(us / 1000000);
	struct tm parts;
	char text[60] = "";
	localtime_r(&t, &parts);
	strftime(text, sizeof text, "%a %b %e %H:%M:%S %Y", &parts);
	put_field(k, type, name, slice_of(text));
}

static void put_attribute(struct cat *k, const char *name, struct slice value) {
	AUTO_BUF struct buf text = BUF(KIB(8));
	buf_addf(&text, "%s=%.*s", name, SLICE_ARG(value));
	if (value.len != 0) put_field(k, 'A', "named_attribute", buf_slice(&text));
}

static void put_envelope(struct cat *k, const struct queue_message *m, uint64_t size) {
	AUTO_BUF struct buf sizes = BUF(200);
	if (!k->envelope) return;
	put_mark(k, MARK_FIRST, "ENVELOPE RECORDS", m);
	buf_addf(&sizes, "%15llu %15u %15zu %15d %15llu %15d", (unsigned long long)size, 0, m->recipient_count, 0,
		 (unsigned long long)size, 0);
	put_field(k, 'C', "message_size", buf_slice(&sizes));
	put_when(k, 'T', "message_arrival_time", m->arrived_us);
	put_when(k, 'A', "create_time", m->arrived_us);
	put_attribute(k, "envelope_id", m->envid);
	if (m->ret != RET_NONE) put_attribute(k, "ret_flags", m->ret == RET_FULL ? S("1") : S("2"));
	put_field(k, 'S', "sender", m->sender);
	for (size_t i = 0; i < m->recipient_count; i++) {
		const struct queue_recipient *to = &m->recipients[i];
		AUTO_BUF struct buf number = BUF(20);
		put_attribute(k, "dsn_orig_rcpt", to->orcpt);
		if (to->notify != 0) buf_addf(&number, "%u", to->notify);
		put_attribute(k, "notify_flags", buf_slice(&number));
		put_field(k, 'O', "original_recipient", to->original.len != 0 ? to->original : to->address);
		put_field(k, 'R', "recipient", to->address);
	}
	put_mark(k, 'M', "MESSAGE CONTENTS", m);
}

struct lines {
	struct cat *cat;
	struct buf line;
	bool in_header, seen; /* seen: a line was there */
};

/* Ours, before the text that was taken; relay leaves it out, too. */
static bool is_return_path(struct slice line) {
	return slice_starts_same(line, S("Return-Path:"));
}

static void put_line(struct lines *l) {
	struct cat *k = l->cat;
	struct slice line = buf_slice(&l->line);
	size_t size = line.len + 2;
	if (line.len != 0 && line.at[line.len - 1] == '\r') line.len--, size--;
	bool ours = !l->seen && is_return_path(line);
	l->seen = true;
	if (ours) return buf_clear(&l->line);
	if (l->in_header && line.len == 0) l->in_header = false;
	if ((l->in_header ? k->header : k->body) && k->offset >= k->skip) {
		struct buf *out = k->c->out;
		if (k->offsets) buf_addf(out, "%9llu ", (unsigned long long)k->offset);
		if (k->types) buf_add(out, S(" 78 "));
		if (k->verbose) buf_add(out, S("regular_text: "));
		text_clean_lines(out, line);
		buf_byte(out, '\n');
	}
	k->offset += size;
	buf_clear(&l->line);
}

static int take_piece(void *ctx, struct slice piece) {
	struct lines *l = ctx;
	while (piece.len != 0) {
		size_t end = slice_find(piece, '\n');
		buf_add(&l->line, slice_head(piece, end));
		if (end < piece.len) put_line(l);
		piece = slice_skip(piece, end + 1);
	}
	return l->cat->c->out->full || l->line.full;
}

struct first {
	struct buf line;
};

static int take_first(void *ctx, struct slice piece) {
	struct first *f = ctx;
	size_t end = slice_find(piece, '\n');
	buf_add(&f->line, slice_head(piece, end + 1));
	return end < piece.len || f->line.full;
}

/* The size of the text that was taken. */
static uint64_t text_size_of(struct blob *text) {
	struct first f = { .line = BUF(KIB(4)) };
	uint64_t size = blob_size(text);
	if (blob_each(text, take_first, &f) >= 0 && is_return_path(buf_slice(&f.line))) size -= f.line.len;
	buf_done(&f.line);
	return size;
}

static bool wants(const struct admin_call *c, const char *option) {
	return call_option(c, option, NULL);
}

int verb_queue_cat(struct admin_call *c) {
	struct cat k = { .c = c,
			 .envelope = wants(c, "envelope"),
			 .header = wants(c, "header"),
			 .body = wants(c, "body"),
			 .types = wants(c, "types"),
			 .offsets = wants(c, "offsets"),
			 .verbose = wants(c, "verbose") };
	struct slice skip;
	if (call_option(c, "skip", &skip) && !slice_number(skip, INT64_MAX, &k.skip))
		return refuse(c, EX_USAGE, "bad offset: %.*s", SLICE_ARG(skip));
	if (!k.envelope && !k.header && !k.body) k.envelope = k.header = k.body = true;
	struct db_conn *conn AUTO_READ = db_read(c->a->db);
	AUTO_BLOB struct blob *text = NULL;
	struct queue_message m;
	int r = conn == NULL ? -1 : queue_show(conn, c->mem, c->args[0], &m);
	if (r < 0) return broken(c);
	if (r != 0) return EX_NOINPUT;
	r = blob_open(conn, m.blob_id, &text);
	if (r < 0) return broken(c);
	if (r != 0) return refuse(c, EX_SOFTWARE, "%.*s: its text is not in the store", SLICE_ARG(m.id));
	if (k.skip == 0) put_envelope(&k, &m, text_size_of(text));
	struct lines l = { .cat = &k, .line = BUF(MIB(64)), .in_header = true };
	if (k.header || k.body) r = blob_each(text, take_piece, &l);
	if (l.line.len != 0) put_line(&l);
	buf_done(&l.line);
	if (r < 0) return broken(c);
	put_mark(&k, 'X', "HEADER EXTRACTED", &m);
	put_mark(&k, 'E', "MESSAGE FILE END", &m);
	return EX_OK;
}
