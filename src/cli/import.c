/* SPDX-License-Identifier: Apache-2.0 */
/* A Maildir++ comes in as Dovecot would have served it: uids, flags, keywords, dates, POP3's ids. What is there already
 * is left alone, so that an import that was interrupted, or made while the old server still ran, is simply made again.
 */
#include "access/imap/name.h"
#include "base/encode.h"
#include "base/fail.h"
#include "cli/hands.h"
#include "cli/maildir.h"
#include "cli/importing.h"
#include "cli/unpacking.h"

#include <dirent.h>
#include <sys/stat.h>
#include <sysexits.h>

enum {
	LIST_MAX = 1 << 30,
	FILES_MAX = 10000000,
	PATH_ROOM = 1024,
	TREE_MOST = 32 /* levels */
};

struct file {
	struct slice dir, name; /* "cur", "1275660208.M1P2.host:2,S" */
	uint32_t uid;           /* 0: none */
	struct slice uidl;
};

struct box_import {
	struct transfer *t;
	struct slice folder; /* "" or ".Sent" */
	struct maildir_list list;
	struct slice keywords[MAILDIR_KEYWORDS];
	struct arena mem;    /* of the mailbox */
	struct file *files;
	size_t count, room;
	struct importer *to;
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

/* >0: not this one; fail_text() says why. */
static int read_all(struct importer *to, int fd, struct unpacking **unpacking) {
	AUTO_BUF struct buf piece = BUF(KIB(64));
	char *room = buf_room(&piece, KIB(64));
	int r = 0;
	for (bool first = true; r == 0; first = false) {
		ssize_t n = read(fd, room, KIB(64));
		if (n < 0) return fail_errno("read"), 1;
		if (n == 0) break;
		struct slice got = slice_from(room, (size_t)n);
		enum packing packing = first ? packing_of(got) : PACKING_NONE;
		if (packing == PACKING_OTHER)
			return fail("compressed (Dovecot's zlib plugin): unpack the file first (bzcat, xzcat)"), 1;
		if (packing != PACKING_NONE) *unpacking = unpacking_new(packing, importer_feed, to);
		r = *unpacking != NULL ? unpacking_feed(*unpacking, got) : importer_feed(to, got);
	}
	if (r == 0 && *unpacking != NULL) r = unpacking_end(*unpacking);
	return r != 0 || importer_size(to) != 0 ? r : (fail("empty"), 1);
}

static int read_file(struct importer *to, int fd) {
	struct unpacking *unpacking = NULL;
	int r = read_all(to, fd, &unpacking);
	unpacking_free(&unpacking);
	return r;
}

static int import_file(struct box_import *b, const struct file *f) {
	struct transfer *t = b->t;
	struct stat st;
	if (f->uid != 0 && importer_has(b->to, f->uid)) {
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
	struct arriving m = { .uid = f->uid,
			      .uidl = f->uidl,
			      .name = maildir_base(f->name),
			      .flags = maildir_flags(f->name, b->keywords, &words),
			      .received_us = (int64_t)st.st_mtim.tv_sec * 1000000 + st.st_mtim.tv_nsec / 1000 };
	char inode[32];
	snprintf(inode, sizeof inode, "%08llx", (unsigned long long)st.st_ino);
	if (!utf8_valid(m.name)) m.name = slice_of(inode);
	m.keywords = buf_slice(&words);
	importer_begin(b->to);
	int r = read_file(b->to, fd);
	if (r == 0) r = importer_end(b->to, &m);
	else importer_leave(b->to);
	if (r > 0) transfer_failed(t, "%s: %s", buf_text(&path), fail_text());
	return MIN_OF(r, 0);
}

static int import_box(struct transfer *t, struct slice folder, struct slice name) {
	AUTO_BUF struct buf list = BUF(LIST_MAX), keywords = BUF(MIB(1));
	struct box_import *b = mem_get(sizeof *b);
	*b = (struct box_import){ .t = t, .folder = folder };
	if (transfer_read(t, path_of(&b->mem, folder, "dovecot-uidlist"), &list) &&
	    !maildir_list_read(buf_slice(&list), &b->mem, &b->list))
		transfer_failed(t, "%.*s/dovecot-uidlist: not understood: messages get new numbers", SLICE_ARG(folder));
	transfer_read(t, path_of(&b->mem, folder, "dovecot-keywords"), &keywords);
	maildir_keywords_read(buf_slice(&keywords), b->keywords);
	int r = list_dir(b, "cur") < 0 ? 1 : 0; /* no mailbox */
	if (r == 0) {
		list_dir(b, "new");
		if (b->count != 0) qsort(b->files, b->count, sizeof *b->files, file_order);
		r = importer_open(t, name, b->list.uidvalidity, b->list.uidnext, &b->to);
	}
	for (size_t i = 0; i < b->count && r == 0; i++) r = import_file(b, &b->files[i]);
	int closed = importer_close(&b->to);
	if (r == 0) r = closed;
	arena_done(&b->mem);
	free(b);
	return r < 0 ? r : 0;
}

/* Mailboxes made later must not get a uidvalidity that clients may have seen of one that is gone. */

struct last_given {
	int64_t account;
	uint32_t uidvalidity;
};

static int keep_last(struct db_conn *tx, void *arg) {
	const struct last_given *l = arg;
	return store_import_uidvalidity(tx, l->account, l->uidvalidity);
}

static int import_last_uidvalidity(struct transfer *t) {
	struct last_given l = { .account = t->account };
	int fd = hands_list(t->hands, S("."));
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	uint32_t one;
	for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;)
		if (maildir_uidvalidity(slice_of(e->d_name), &one)) l.uidvalidity = MAX_OF(l.uidvalidity, one);
	if (d != NULL) closedir(d);
	return l.uidvalidity != 0 ? db_write(t->db, keep_last, &l) : 0;
}

/* Subscriptions: names of the old server's hierarchy, with '.' or, in version 2, tabs between the levels. */

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
		importer_subscribe(t, buf_slice(&name));
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

int import_maildir(struct transfer *t) {
	AUTO_ARENA struct arena mem = { 0 };
	int fd = hands_list(t->hands, S("."));
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	if (d == NULL) return complain(t->cli, EX_NOINPUT, "%s: %s", t->folder, strerror(errno));
	if (is_dbox(t)) {
		closedir(d);
		return EX_DATAERR;
	}
	AUTO_FD int inbox = hands_list(t->hands, S("cur"));
	int r = import_last_uidvalidity(t);
	if (r == 0 && inbox >= 0) r = import_box(t, S(""), S("INBOX"));
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
