/* SPDX-License-Identifier: Apache-2.0 */
/* Mailbox files come in whole: what is doubtful in them is told with its line and kept as text. Where X-IMAPbase and
 * X-UID say what numbers clients know the messages by, they keep them. */
#include "access/imap/name.h"
#include "base/encode.h"
#include "base/fail.h"
#include "cli/hands.h"
#include "cli/importing.h"
#include "cli/unpacking.h"
#include "mime/date.h"
#include "mime/header.h"
#include "net/file.h"

#include <dirent.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

enum { TOLD_MOST = 20, TREE_MOST = 32 };

struct file_import {
	struct transfer *t;
	const char *path;
	size_t told, deleted;
	uint32_t last_uid;
	struct importer *to;
};

static void tell(void *ctx, uint64_t line, const char *what) {
	struct file_import *f = ctx;
	if (++f->told > TOLD_MOST) return;
	complain(f->t->cli, 0, "%s: line %llu: %s%s", f->path, (unsigned long long)line, what,
		 f->told == TOLD_MOST ? " (and more)" : "");
}

static int64_t sent_us(struct slice header) {
	struct field field;
	struct date date;
	if (!header_find(header, S("Date"), &field) || date_parse(field.value, &date) != DATE_OK) return 0;
	return date.utc * 1000000;
}

static int import_one(struct file_import *f, struct mbox *box, const struct mbox_message *m) {
	struct arriving a = { .flags = m->flags, .keywords = m->keywords, .received_us = m->from_us };
	if (m->uid > f->last_uid) a.uid = f->last_uid = m->uid; /* they rise: what does not is none */
	if (a.uid != 0 && importer_has(f->to, a.uid)) {
		f->t->there++;
		return 0;
	}
	if (a.received_us == 0) a.received_us = sent_us(m->header);
	importer_begin(f->to);
	int r = importer_feed(f->to, m->header);
	if (r == 0) r = mbox_body(box, importer_feed, f->to);
	if (r == 0)
		r = importer_end(f->to, &a);
	else
		importer_leave(f->to);
	if (r > 0)
		transfer_failed(f->t, "%s: line %llu: this message: %s", f->path, (unsigned long long)m->line,
				fail_text());
	return MIN_OF(r, 0);
}

static int import_file(struct transfer *t, int fd, const char *path, struct slice name) {
	struct file_import f = { .t = t, .path = path };
	struct mbox *box = mbox_open(fd, t->format, tell, &f);
	struct mbox_message m;
	int more = mbox_next(box, &m);
	struct mbox_base base = mbox_base(box);
	int r = more < 0 ? more : importer_open(t, name, base.uidvalidity, base.last_uid + 1, &f.to);
	for (; more == 1 && r == 0; more = mbox_next(box, &m)) {
		if (m.hidden)
			f.deleted += m.line != 1 || base.uidvalidity == 0;
		else
			r = import_one(&f, box, &m);
		if (r != 0) break;
	}
	if (r == 0 && more < 0) transfer_failed(t, "%s: %s", path, fail_text());
	int closed = importer_close(&f.to);
	mbox_close(&box);
	if (f.deleted != 0)
		complain(t->cli, 0, "%s: %zu messages that are marked as deleted for good were left out", path,
			 f.deleted);
	return r != 0 ? MIN_OF(r, 0) : closed;
}

static int write_plain(void *fd, struct slice plain) {
	return file_write_all(*(const int *)fd, plain) < 0 ? 1 : 0;
}

/* What is in a packed file, in one without a name, because reading goes back and forth; -1: fail_text(). */
static int unpacked(struct transfer *t, int fd, enum packing packing) {
	AUTO_BUF struct buf piece = BUF(KIB(64));
	char *room = buf_room(&piece, KIB(64));
	ssize_t n = 1;
	int r = 0;
	if (packing == PACKING_OTHER) return fail("compressed: unpack it first (bzcat, xzcat)");
	AUTO_FD int out = file_spool(t->data);
	if (out < 0) return -1;
	struct unpacking *u = unpacking_new(packing, write_plain, &out);
	while (r == 0 && (n = read(fd, room, KIB(64))) > 0) r = unpacking_feed(u, slice_from(room, (size_t)n));
	if (r == 0) r = n < 0 ? fail_errno("read") : unpacking_end(u);
	unpacking_free(&u);
	return r == 0 ? TAKE_FD(out) : -1;
}

/* old.gz is the mailbox old. */
static struct slice without_packing(struct slice name) {
	static const struct slice ends[] = { S(".gz"), S(".zst"), S(".lz4") };
	for (size_t i = 0; i < LEN(ends); i++)
		if (slice_ends(name, ends[i]) && name.len > ends[i].len)
			return slice_head(name, name.len - ends[i].len);
	return name;
}

static bool read_start(int fd, char head[static 16], struct slice *out) {
	ssize_t n = pread(fd, head, 16, 0);
	*out = slice_from(head, (size_t)MAX_OF(n, (ssize_t)0));
	return n >= 0;
}

/* A file that is a mailbox; 1: it is none. */
static int import_if_mbox(struct transfer *t, int fd, const char *path, struct slice name) {
	char head[16] = "";
	struct slice start;
	AUTO_FD int plain = -1;
	if (!read_start(fd, head, &start)) {
		transfer_failed(t, "%s: %s", path, strerror(errno));
		return 0;
	}
	enum packing packing = packing_of(start);
	if (packing != PACKING_NONE) {
		plain = unpacked(t, fd, packing);
		if (plain < 0 || !read_start(plain, head, &start)) {
			transfer_failed(t, "%s: %s", path, fail_text());
			return 0;
		}
		if (t->file.len == 0) name = without_packing(name);
	}
	if (start.len != 0 && t->file.len == 0 && !mbox_is(start)) return 1;
	return import_file(t, plain >= 0 ? plain : fd, path, name);
}

static int import_tree(struct transfer *t, struct slice folder, struct slice above, unsigned depth);

static int import_entry(struct transfer *t, struct slice folder, struct slice above, struct slice word,
			unsigned depth) {
	AUTO_ARENA struct arena mem = { 0 };
	AUTO_BUF struct buf level = BUF(KIB(4));
	struct slice path = folder.len != 0 ? arena_fmt(&mem, "%.*s/%.*s", SLICE_ARG(folder), SLICE_ARG(word))
					    : arena_slice(&mem, word);
	bool below = slice_ends(word, S(".sbd")); /* Thunderbird: the folder of what is below a mailbox */
	struct slice said = below ? slice_head(word, word.len - 4) : word;
	if (!imap_name_read(&level, said)) {
		buf_clear(&level);
		if (!utf8_valid(said) || !buf_add(&level, said)) {
			transfer_failed(t, "%.*s: no name that IMAP knows", SLICE_ARG(path));
			return 0;
		}
	}
	struct slice name = above.len != 0 ? arena_fmt(&mem, "%.*s/%s", SLICE_ARG(above), buf_text(&level))
					   : arena_slice(&mem, buf_slice(&level));
	AUTO_FD int fd = hands_open(t->hands, path);
	if (fd < 0) return depth < TREE_MOST ? import_tree(t, path, name, depth + 1) : 0;
	AUTO_FREE char *text = slice_text(path);
	if (slice_ends(word, S(".msf"))) return 0; /* Thunderbird's index of it */
	int r = import_if_mbox(t, fd, text, name);
	if (r == 1) complain(t->cli, 0, "%s: line 1: does not begin with \"From \": no mbox, left alone", text);
	return MIN_OF(r, 0);
}

static int import_tree(struct transfer *t, struct slice folder, struct slice above, unsigned depth) {
	int fd = hands_list(t->hands, folder.len != 0 ? folder : S(".")), r = 0;
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	if (d == NULL) {
		transfer_failed(t, "%.*s: %s", SLICE_ARG(folder), strerror(errno));
		return 0;
	}
	for (struct dirent *e; r == 0 && (e = readdir(d)) != NULL;)
		if (e->d_name[0] != '.') r = import_entry(t, folder, above, slice_of(e->d_name), depth);
	closedir(d);
	return r;
}

static int import_single(struct transfer *t) {
	AUTO_FD int fd = hands_open(t->hands, t->file);
	AUTO_FREE char *path = slice_text(t->file);
	if (fd < 0) {
		transfer_failed(t, "%s: %s", path, strerror(errno));
		return 0;
	}
	return import_if_mbox(t, fd, path, t->mailbox);
}

/* Dovecot's list of subscriptions for mbox folders. */

static void import_subscriptions(struct transfer *t) {
	AUTO_BUF struct buf text = BUF(MIB(1));
	if (!transfer_read(t, S(".subscriptions"), &text)) return;
	for (struct slice rest = buf_slice(&text); rest.at != NULL;) {
		AUTO_BUF struct buf name = BUF(KIB(4));
		struct slice line = slice_cut(&rest, '\n');
		if (line.len == 0 || slice_starts(line, S("V\t")) || !imap_name_read(&name, line)) continue;
		for (size_t i = 0; i < name.len; i++)
			if (name.at[i] == '\t') name.at[i] = '/';
		importer_subscribe(t, buf_slice(&name));
	}
}

int import_mbox(struct transfer *t) {
	int r = t->file.len != 0 ? import_single(t) : import_tree(t, S(""), S(""), 0);
	if (r == 0 && t->file.len == 0) import_subscriptions(t);
	if (r == 0 && t->mailboxes == 0 && t->failed == 0)
		return complain(t->cli, EX_DATAERR, "%s: no mbox file in it", t->folder);
	return r < 0 ? complain(t->cli, db_cause() == DB_CAUSE_FULL ? EX_TEMPFAIL : EX_SOFTWARE,
				"%s (what is in stays; import again to go on)", fail_text())
		     : EX_OK;
}
