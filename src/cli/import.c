/* SPDX-License-Identifier: Apache-2.0 */
/* A Maildir++ comes in as Dovecot would have served it: uids, flags, keywords, dates, POP3's ids. What is there already
 * is left alone, so that an import that was interrupted, or made while the old server still ran, is simply made again.
 */
#include "access/imap/name.h"
#include "base/encode.h"
#include "base/fail.h"
#include "cli/hands.h"
#include "cli/maildir.h"
#include "cli/transfer.h"
#include "db/blob.h"
#include "mime/summary.h"
#include "net/file.h"

#include <dirent.h>
#include <sys/stat.h>
#include <sysexits.h>

enum {
	LIST_MAX = 1 << 30,
	FILES_MAX = 10000000,
	BATCH = 100,
	BATCH_BYTES = 4 << 20,
	IN_MEMORY = 1 << 20,
	SUMMARY_LIMIT = 8 << 20,
	MESSAGE_MAX = 1 << 30,
	PATH_ROOM = 1024,
	TREE_MOST = 32 /* levels */
};

struct file {
	struct slice dir, name; /* "cur", "1275660208.M1P2.host:2,S" */
	uint32_t uid;           /* 0: none */
	struct slice uidl;
};

struct draft {
	struct blob_draft *blob;
	struct buf summary;
	struct append append;
	struct slice uidl, name; /* name: without a uid */
	bool there;
};

struct box_import {
	struct transfer *t;
	struct slice folder;      /* "" or ".Sent" */
	struct mailbox mailbox;
	bool keeps_uids;
	struct maildir_list list;
	struct slice keywords[MAILDIR_KEYWORDS];
	struct arena mem;         /* of the mailbox */
	struct file *files;
	size_t count, room;
	struct draft batch[BATCH];
	size_t drafts, batch_bytes;
	struct buf have;          /* uint32_t: uids that are there */
};

static struct slice path_of(struct arena *mem, struct slice folder, const char *rest) {
	return folder.len != 0 ? arena_fmt(mem, "%.*s/%s", SLICE_ARG(folder), rest) : arena_fmt(mem, "%s", rest);
}

/* Files. */

static int list_dir(struct box_import *b, const char *dir) {
	int fd = hands_list(b->t->hands, path_of(&b->mem, b->folder, dir));
	if (fd < 0) return -1;
	DIR *d = fdopendir(fd);
	for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
		struct slice name = slice_of(e->d_name);
		if (name.at[0] == '.' || b->count >= FILES_MAX) continue;
		if (b->count == b->room) {
			struct file *more = arena_array(&b->mem, b->room = b->room * 2 + 256, sizeof *more);
			if (b->count != 0) memcpy(more, b->files, b->count * sizeof *more);
			b->files = more;
		}
		struct file f = { .dir = slice_of(dir), .name = arena_slice(&b->mem, name) };
		const struct maildir_record *r = maildir_find(&b->list, maildir_base(f.name));
		if (r != NULL) {
			f.uid = r->uid;
			f.uidl = r->uidl;
		}
		b->files[b->count++] = f;
	}
	if (d != NULL) closedir(d);
	return 0;
}

/* By uid; those without one behind them, by name, which begins with the time. */
static int file_order(const void *a, const void *b) {
	const struct file *x = a, *y = b;
	uint32_t p = x->uid != 0 ? x->uid : UINT32_MAX, q = y->uid != 0 ? y->uid : UINT32_MAX;
	return p != q ? (p > q) - (p < q) : slice_order(x->name, y->name);
}

/* One message. */

struct intake {
	struct summary_scan *scan;
	struct buf memory;
	int spool;
	uint64_t size;
	bool after_cr, failed;
};

static int take(struct transfer *t, struct intake *in, struct slice piece) {
	summary_scan_feed(in->scan, piece);
	in->size += piece.len;
	if (in->size > MESSAGE_MAX) return fail("larger than %d bytes", MESSAGE_MAX);
	if (in->spool < 0 && in->memory.len + piece.len <= IN_MEMORY)
		return buf_add(&in->memory, piece) ? 0 : fail("memory is full");
	if (in->spool < 0) {
		in->spool = file_spool(t->data);
		if (in->spool < 0 || file_write_all(in->spool, buf_slice(&in->memory)) < 0) return -1;
		buf_clear(&in->memory);
	}
	return file_write_all(in->spool, piece);
}

/* Maildirs have LF, mail has CRLF. */
static int take_lines(struct transfer *t, struct intake *in, struct slice piece) {
	int r = 0;
	while (piece.len != 0 && r == 0) {
		size_t end = slice_find(piece, '\n');
		struct slice line = slice_head(piece, end);
		if (line.len != 0) in->after_cr = line.at[line.len - 1] == '\r';
		if (line.len != 0) r = take(t, in, line);
		if (end == piece.len) return r;
		if (r == 0) r = take(t, in, in->after_cr ? S("\n") : S("\r\n"));
		in->after_cr = false;
		piece = slice_skip(piece, end + 1);
	}
	return r;
}

static bool is_packed(struct slice head) {
	return slice_starts(head, S("\x1f\x8b")) || slice_starts(head, S("\x28\xb5\x2f\xfd")) ||
	       slice_starts(head, S("BZh")) || slice_starts(head, S("\x04\x22\x4d\x18"));
}

static int read_file(struct transfer *t, int fd, struct intake *in) {
	AUTO_BUF struct buf piece = BUF(KIB(64));
	char *room = buf_room(&piece, KIB(64));
	for (;;) {
		ssize_t n = read(fd, room, KIB(64));
		if (n < 0) return fail_errno("read");
		if (n == 0) break;
		if (in->size == 0 && is_packed(slice_from(room, (size_t)n)))
			return fail("compressed (Dovecot's zlib plugin): unpack it first");
		int r = take_lines(t, in, slice_from(room, (size_t)n));
		if (r < 0) return r;
	}
	return in->size != 0 ? 0 : fail("empty");
}

static int make_draft(struct transfer *t, int fd, struct draft *d) {
	struct intake in = { .scan = summary_scan_new(), .memory = BUF(IN_MEMORY), .spool = -1 };
	struct summary summary;
	int r = read_file(t, fd, &in);
	if (r == 0) {
		summary_scan_finish(in.scan, &summary);
		d->summary = BUF(SUMMARY_LIMIT);
		summary_pack(&d->summary, &summary);
		struct slice part = buf_slice(&in.memory);
		struct blob_source source = { &part, in.spool < 0, in.spool, 0, in.spool >= 0 ? in.size : 0 };
		r = d->summary.full ? fail("its summary is too large") : blob_prepare(t->db, &source, &d->blob);
		d->append.size = in.size;
	}
	summary_scan_free(&in.scan);
	buf_done(&in.memory);
	auto_fd(&in.spool);
	return r;
}

/* Batches. */

static int enter_one(struct db_conn *tx, struct box_import *b, struct draft *d) {
	struct appended done;
	d->there = false;
	int r = d->append.uid == 0 ? store_import_name(tx, b->mailbox.box, d->name) : 0;
	if (r == 0) r = blob_insert(tx, d->blob, buf_slice(&d->summary), &d->append.blob_id);
	if (r == 0) r = store_append(tx, &d->append, &done);
	if (r == STORE_EXISTS) {
		d->there = true;
		return 0;
	}
	if (r == 0 && d->uidl.len != 0) r = store_uidl_put(tx, b->mailbox.box, done.uid, d->uidl);
	return r;
}

static int enter_batch(struct db_conn *tx, void *arg) {
	struct box_import *b = arg;
	int r = 0;
	for (size_t i = 0; i < b->drafts && r == 0; i++) r = enter_one(tx, b, &b->batch[i]);
	return r;
}

static int flush_batch(struct box_import *b) {
	struct transfer *t = b->t;
	int r = b->drafts != 0 ? db_write(t->db, enter_batch, b) : 0;
	if (r > 0)
		r = fail("the store refuses this (%d: too many keywords or messages, or the mailbox was deleted "
			 "meanwhile)",
			 r);
	for (size_t i = 0; i < b->drafts; i++) {
		struct draft *d = &b->batch[i];
		if (r == 0 && d->there) t->there++;
		else if (r == 0) t->messages++, t->bytes += d->append.size;
		blob_draft_done(&d->blob);
		buf_done(&d->summary);
	}
	b->drafts = b->batch_bytes = 0;
	return r;
}

static bool is_here(const struct box_import *b, uint32_t uid) {
	size_t low = 0, high = b->have.len / sizeof uid;
	while (low < high) {
		uint32_t here;
		size_t middle = low + (high - low) / 2;
		memcpy(&here, b->have.at + middle * sizeof here, sizeof here);
		if (here == uid) return true;
		if (here < uid) low = middle + 1;
		else high = middle;
	}
	return false;
}

static int import_file(struct box_import *b, const struct file *f) {
	struct transfer *t = b->t;
	struct stat st;
	uint32_t uid = b->keeps_uids ? f->uid : 0;
	if (uid != 0 && is_here(b, uid)) {
		t->there++;
		return 0;
	}
	AUTO_BUF struct buf path = BUF(PATH_ROOM), words = BUF(KIB(2));
	if (b->folder.len != 0) buf_addf(&path, "%.*s/", SLICE_ARG(b->folder));
	buf_addf(&path, "%.*s/%.*s", SLICE_ARG(f->dir), SLICE_ARG(f->name));
	AUTO_FD int fd = hands_open(t->hands, buf_slice(&path));
	if (fd < 0 || fstat(fd, &st) != 0) {
		transfer_failed(t, "%s: %s%s", buf_text(&path), strerror(errno),
				errno == ENOENT ? " any more (import again to find it under its new name)" : "");
		return 0;
	}
	struct draft *d = &b->batch[b->drafts];
	*d = (struct draft){ .uidl = f->uidl, .name = maildir_base(f->name) };
	d->append = (struct append){ .box = b->mailbox.box,
				     .uid = uid,
				     .received_us = (int64_t)st.st_mtim.tv_sec * 1000000 + st.st_mtim.tv_nsec / 1000 };
	d->append.flags = maildir_flags(f->name, b->keywords, &words);
	d->append.keywords = arena_slice(&b->mem, buf_slice(&words));
	if (!utf8_valid(d->name)) d->name = arena_fmt(&b->mem, "%08llx", (unsigned long long)st.st_ino);
	if (make_draft(t, fd, d) < 0) {
		transfer_failed(t, "%s: %s", buf_text(&path), fail_text());
		buf_done(&d->summary);
		return 0;
	}
	b->drafts++;
	b->batch_bytes += d->append.size;
	return b->drafts == BATCH || b->batch_bytes >= BATCH_BYTES ? flush_batch(b) : 0;
}

/* Mailboxes. */

struct opening {
	struct transfer *t;
	struct slice name;
	struct box box;
	uint32_t uidvalidity, uidnext;
	bool renumber; /* out */
};

static int open_box(struct db_conn *tx, void *arg) {
	struct opening *o = arg;
	struct mailbox m;
	int r = store_find(tx, db_memory(tx), o->t->account, o->name, &m);
	if (r == 0 && !m.nonexistent) o->box = m.box;
	else if (r == 0 || r == STORE_NO_MAILBOX) r = store_create(tx, o->t->account, o->name, 0, &o->box);
	if (r != 0 || o->uidvalidity == 0) return r;
	r = store_import_begin(tx, o->box, o->uidvalidity, o->uidnext);
	o->renumber = r == STORE_EXISTS;
	return r > 0 ? 0 : r;
}

static int begin(struct box_import *b, struct slice name) {
	struct transfer *t = b->t;
	struct opening o = { .t = t, .name = name, .uidvalidity = b->list.uidvalidity, .uidnext = b->list.uidnext };
	int r = db_write(t->db, open_box, &o);
	if (r > 0) transfer_failed(t, "%.*s: not a name for a mailbox here", SLICE_ARG(name));
	if (r != 0) return r;
	if (o.renumber)
		complain(t->cli, 0,
			 "%.*s: holds other mail already, so its messages get new numbers: clients will fetch them "
			 "again (import into a new account to avoid that)",
			 SLICE_ARG(name));
	b->keeps_uids = b->list.uidvalidity != 0 && !o.renumber;
	AUTO_READ struct db_conn *c = db_read(t->db);
	if (c == NULL || store_mailbox(c, &b->mem, o.box, &b->mailbox) != 0)
		return fail("%.*s: the mailbox is gone", SLICE_ARG(name));
	return b->keeps_uids ? store_uids(c, o.box, 1, &b->have) : 0;
}

static int import_box(struct transfer *t, struct slice folder, struct slice name) {
	AUTO_BUF struct buf list = BUF(LIST_MAX), keywords = BUF(MIB(1));
	struct box_import *b = mem_get(sizeof *b);
	*b = (struct box_import){ .t = t, .folder = folder, .have = BUF(LIST_MAX) };
	if (transfer_read(t, path_of(&b->mem, folder, "dovecot-uidlist"), &list) &&
	    !maildir_list_read(buf_slice(&list), &b->mem, &b->list))
		transfer_failed(t, "%.*s/dovecot-uidlist: not understood: messages get new numbers", SLICE_ARG(folder));
	transfer_read(t, path_of(&b->mem, folder, "dovecot-keywords"), &keywords);
	maildir_keywords_read(buf_slice(&keywords), b->keywords);
	int r = list_dir(b, "cur") < 0 ? 1 : 0; /* no mailbox */
	if (r == 0) {
		list_dir(b, "new");
		if (b->count != 0) qsort(b->files, b->count, sizeof *b->files, file_order);
		r = begin(b, name);
		t->mailboxes += r == 0;
	}
	for (size_t i = 0; i < b->count && r == 0; i++) r = import_file(b, &b->files[i]);
	if (r == 0) r = flush_batch(b);
	buf_done(&b->have);
	arena_done(&b->mem);
	free(b);
	return r < 0 ? r : 0;
}

/* Subscriptions: names of the old server's hierarchy, with '.' or, in version 2, tabs between the levels. */

struct subscribing {
	int64_t account;
	struct slice name;
};

static int subscribe(struct db_conn *tx, void *arg) {
	const struct subscribing *s = arg;
	int r = store_subscribe(tx, s->account, s->name, true);
	return r < 0 ? r : 0;
}

static void import_subscriptions(struct transfer *t) {
	AUTO_BUF struct buf text = BUF(MIB(1));
	if (!transfer_read(t, S("subscriptions"), &text)) return;
	for (struct slice rest = buf_slice(&text); rest.at != NULL;) {
		struct slice line = slice_cut(&rest, '\n');
		AUTO_BUF struct buf folder = BUF(KIB(4)), name = BUF(KIB(4));
		if (line.len == 0 || slice_starts(line, S("V\t"))) continue;
		buf_byte(&folder, '.');
		for (size_t i = 0; i < line.len; i++)
			buf_byte(&folder, line.at[i] == '\t' || line.at[i] == '/' ? '.' : line.at[i]);
		if (!maildir_folder_read(buf_slice(&folder), &name)) continue;
		db_write(t->db, subscribe, &(struct subscribing){ t->account, buf_slice(&name) });
	}
}

/* LAYOUT=fs, and Maildirs in folders: "Lists/hato" is DIR/Lists/hato, with cur and new in it. */
static int import_tree(struct transfer *t, struct slice folder, unsigned depth) {
	AUTO_ARENA struct arena mem = { 0 };
	int fd = hands_list(t->hands, folder.len != 0 ? folder : S(".")), r = 0;
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	if (d == NULL) return 0; /* a file */
	for (struct dirent *e; r == 0 && (e = readdir(d)) != NULL;) {
		struct slice word = slice_of(e->d_name);
		if (word.at[0] == '.' || slice_eq(word, S("cur")) || slice_eq(word, S("new")) ||
		    slice_eq(word, S("tmp")) || e->d_type == DT_REG || depth == TREE_MOST)
			continue;
		struct slice path =
			arena_fmt(&mem, "%.*s%s%s", SLICE_ARG(folder), folder.len != 0 ? "/" : "", e->d_name);
		int box = hands_list(t->hands, path_of(&mem, path, "cur"));
		if (box >= 0) {
			AUTO_BUF struct buf name = BUF(KIB(4));
			close(box);
			if (!imap_name_read(&name, path)) transfer_failed(t, "%s: no name that IMAP knows", path.at);
			else r = import_box(t, path, arena_slice(&mem, buf_slice(&name)));
		}
		if (r == 0) r = import_tree(t, path, depth + 1);
	}
	closedir(d);
	return r;
}

/* Formats that nobody but Dovecot reads. */
static bool is_dbox(struct transfer *t) {
	AUTO_FD int mailboxes = hands_list(t->hands, S("mailboxes")), storage = hands_list(t->hands, S("storage"));
	if (mailboxes < 0) return false;
	complain(t->cli, 0,
		 "%s: this is Dovecot's %s, which only Dovecot reads: have it written as a Maildir first (doveadm -o "
		 "mail_location=%s:%s backup -u USER maildir:/some/folder), and import that",
		 t->folder, storage >= 0 ? "mdbox" : "sdbox", storage >= 0 ? "mdbox" : "sdbox", t->folder);
	return true;
}

static int import_all(struct transfer *t) {
	AUTO_ARENA struct arena mem = { 0 };
	int fd = hands_list(t->hands, S("."));
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	if (d == NULL) return complain(t->cli, EX_NOINPUT, "%s: %s", t->folder, strerror(errno));
	if (is_dbox(t)) {
		closedir(d);
		return EX_DATAERR;
	}
	AUTO_FD int inbox = hands_list(t->hands, S("cur"));
	int r = inbox >= 0 ? import_box(t, S(""), S("INBOX")) : 0;
	for (struct dirent *e; r == 0 && (e = readdir(d)) != NULL;) {
		AUTO_BUF struct buf name = BUF(KIB(4));
		struct slice folder = slice_of(e->d_name);
		if (folder.len < 2 || folder.at[0] != '.' || slice_eq(folder, S(".."))) continue;
		if (!maildir_folder_read(folder, &name)) transfer_failed(t, "%s: no name that IMAP knows", e->d_name);
		else r = import_box(t, arena_slice(&mem, folder), arena_slice(&mem, buf_slice(&name)));
	}
	closedir(d);
	if (r == 0) r = import_tree(t, S(""), 0);
	if (r == 0 && t->mailboxes == 0)
		return complain(t->cli, EX_DATAERR, "%s: no Maildir (there is no cur in it, nor in a folder below)",
				t->folder);
	if (r == 0) import_subscriptions(t);
	return r < 0 ? complain(t->cli, db_cause() == DB_CAUSE_FULL ? EX_TEMPFAIL : EX_SOFTWARE,
				"%s (what is in stays; import again to go on)", fail_text())
		     : EX_OK;
}

int run_import(struct cli *cli) {
	return transfer_run(cli, "import", import_all);
}
