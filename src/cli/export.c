/* SPDX-License-Identifier: Apache-2.0 */
/* An account goes out as a Maildir++ that Dovecot serves with the same uids, and that `hato import` reads. A file's
 * name comes from the message alone, so an export can be made again: what is there is only renamed where flags have
 * changed. */
#include "base/fail.h"
#include "base/map.h"
#include "cli/exporting.h"
#include "cli/hands.h"
#include "cli/maildir.h"

#include <dirent.h>
#include <sysexits.h>

enum { LIST_MAX = 1 << 30 };

struct box_export {
	struct transfer *t;
	struct slice folder;           /* "" or ".Sent" */
	const struct mailbox *mailbox;
	struct slice keywords[MAILDIR_KEYWORDS];
	struct map there;              /* base → name in cur (char *) */
	struct buf list;               /* dovecot-uidlist */
	size_t lost;                   /* keywords without a letter */
	struct arena mem;
};

static void put_path(struct buf *out, const struct box_export *b, const char *dir, struct slice name) {
	if (b->folder.len != 0) buf_addf(out, "%.*s/", SLICE_ARG(b->folder));
	buf_addf(out, "%s%s%.*s", dir, dir[0] != '\0' && name.len != 0 ? "/" : "", SLICE_ARG(name));
}

/* The text with LF. */
struct text { int fd; struct crlf crlf; };

static int put_piece(void *ctx, struct slice piece) {
	struct text *x = ctx;
	AUTO_BUF struct buf out = BUF(piece.len + 1);
	crlf_to_lf(&x->crlf, piece, &out);
	return export_write(x->fd, buf_slice(&out));
}

static int write_body(struct transfer *t, const struct message *m, struct slice path) {
	AUTO_BLOB struct blob *blob = NULL;
	int r = export_open(t, m, &blob);
	if (r != 0) return r;
	AUTO_FD int fd = hands_create(t->hands, path);
	if (fd < 0) return fail_errno("%.*s", SLICE_ARG(path));
	struct text x = { .fd = fd };
	AUTO_BUF struct buf end = BUF(8);
	r = blob_each(blob, put_piece, &x);
	crlf_end(&x.crlf, &end);
	if (r == 0) r = export_write(fd, buf_slice(&end));
	return r == 0 && fsync(fd) != 0 ? fail_errno("fsync") : r;
}

static int export_message(void *ctx, const struct message *m) {
	struct box_export *b = ctx;
	struct transfer *t = b->t;
	AUTO_BUF struct buf base = BUF(256), name = BUF(512), from = BUF(1024), to = BUF(1024);
	buf_addf(&base, "%lld.M%lluP%uQ%lld.hato,W=%llu", (long long)(m->received_us / 1000000),
		 (unsigned long long)(m->received_us % 1000000), m->uid, (long long)b->mailbox->box.id,
		 (unsigned long long)m->size);
	buf_addf(&b->list, "%u :%s\n", m->uid, buf_text(&base));
	buf_addf(&name, "%s:2,", buf_text(&base));
	b->lost += maildir_flags_put(&name, m->flags, m->keywords, b->keywords);
	put_path(&to, b, "cur", buf_slice(&name));
	const char *old = map_get(&b->there, buf_slice(&base));
	if (old != NULL) {
		t->there++;
		if (slice_eq(slice_of(old), buf_slice(&name))) return 0;
		put_path(&from, b, "cur", slice_of(old));
		return hands_place(t->hands, buf_slice(&from), buf_slice(&to), 0) == 0
			       ? 0
			       : fail_errno("%s", buf_text(&to));
	}
	put_path(&from, b, "tmp", buf_slice(&base));
	int r = write_body(t, m, buf_slice(&from));
	if (r == BLOB_GONE) return 0; /* expunged a moment ago */
	if (r == 0 &&
	    hands_place(t->hands, buf_slice(&from), buf_slice(&to), m->received_us != 0 ? m->received_us : 1) != 0)
		r = fail_errno("%s", buf_text(&to));
	if (r == 0) t->messages++, t->bytes += m->size;
	return r;
}

/* Around the messages. */

static int write_file(struct box_export *b, const char *name, struct slice text) {
	AUTO_BUF struct buf from = BUF(1024), to = BUF(1024);
	put_path(&from, b, "tmp", slice_of(name));
	put_path(&to, b, "", slice_of(name));
	AUTO_FD int fd = hands_create(b->t->hands, buf_slice(&from));
	if (fd < 0 || export_write(fd, text) < 0) return fail_errno("%s", buf_text(&to));
	return hands_place(b->t->hands, buf_slice(&from), buf_slice(&to), 0) == 0 ? 0 : fail_errno("%s", buf_text(&to));
}

static int look_around(struct box_export *b) {
	AUTO_BUF struct buf path = BUF(1024), old = BUF(LIST_MAX);
	struct maildir_list list;
	put_path(&path, b, "", S("dovecot-uidlist"));
	if (transfer_read(b->t, buf_slice(&path), &old) &&
	    (!maildir_list_read(buf_slice(&old), &b->mem, &list) || list.uidvalidity != b->mailbox->uidvalidity))
		return fail("%s: is of other mail than this account's (export into an empty folder)", buf_text(&path));
	buf_clear(&path);
	put_path(&path, b, "cur", S(""));
	int fd = hands_list(b->t->hands, buf_slice(&path));
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	if (d == NULL) return fail_errno("%s", buf_text(&path));
	for (struct dirent *e; (e = readdir(d)) != NULL;)
		if (e->d_name[0] != '.')
			free(map_put(&b->there, maildir_base(slice_of(e->d_name)), slice_text(slice_of(e->d_name))));
	closedir(d);
	return 0;
}

static int make_dirs(struct box_export *b) {
	static const char *const dirs[] = { "", "cur", "new", "tmp" };
	for (size_t i = b->folder.len == 0; i < LEN(dirs); i++) {
		AUTO_BUF struct buf path = BUF(1024);
		if (i == 0) buf_add(&path, b->folder);
		else put_path(&path, b, dirs[i], S(""));
		if (hands_make_dir(b->t->hands, buf_slice(&path)) != 0) return fail_errno("%s", buf_text(&path));
	}
	return b->folder.len != 0 ? write_file(b, "maildirfolder", S("")) : 0;
}

static int write_keywords(struct box_export *b) {
	AUTO_BUF struct buf text = BUF(KIB(64));
	struct slice words = b->mailbox->keywords;
	size_t n = 0;
	for (struct slice word; n < MAILDIR_KEYWORDS && (word = slice_word(&words, " ")).len != 0;) {
		buf_addf(&text, "%zu %.*s\n", n, SLICE_ARG(word));
		b->keywords[n++] = word;
	}
	return text.len != 0 ? write_file(b, "dovecot-keywords", buf_slice(&text)) : 0;
}

static int export_box(struct transfer *t, const struct mailbox *m, struct slice folder) {
	struct box_export b = { .t = t, .folder = folder, .mailbox = m, .list = BUF(LIST_MAX) };
	AUTO_BUF struct buf list = BUF(LIST_MAX);
	int r = make_dirs(&b);
	if (r == 0) r = look_around(&b);
	if (r == 0) r = write_keywords(&b);
	if (r == 0) r = export_messages(t, m->box, export_message, &b);
	buf_addf(&list, "3 V%u N%u\n", m->uidvalidity, m->uidnext);
	if (r == 0 && !buf_add(&list, buf_slice(&b.list))) r = fail("%.*s: too many messages", SLICE_ARG(m->name));
	if (r == 0) r = write_file(&b, "dovecot-uidlist", buf_slice(&list));
	if (b.lost != 0)
		transfer_failed(t, "%.*s: %zu keywords have no letter in a Maildir (it knows %d) and were left out",
				SLICE_ARG(m->name), b.lost, MAILDIR_KEYWORDS);
	if (r == 0) t->mailboxes++;
	buf_done(&b.list);
	map_done(&b.there, free);
	arena_done(&b.mem);
	return r;
}

static int export_named(struct transfer *t, const struct mailbox *m, struct buf *subscriptions) {
	AUTO_BUF struct buf folder = BUF(KIB(4));
	bool inbox = slice_eq(m->name, S("INBOX")), changed = false;
	if (!inbox && !maildir_folder_put(m->name, &folder, &changed)) {
		transfer_failed(t, "%.*s: its name is too long for a Maildir", SLICE_ARG(m->name));
		return 0;
	}
	if (changed)
		complain(t->cli, 0, "%.*s: a dot has no place in a Maildir's name: it is now %s", SLICE_ARG(m->name),
			 buf_text(&folder));
	if (m->subscribed)
		for (size_t k = inbox ? 0 : 1; k <= (inbox ? m->name.len : folder.len); k++) {
			struct slice said = inbox ? m->name : buf_slice(&folder);
			buf_byte(subscriptions, k == said.len ? '\n' : said.at[k] == '.' ? '\t' : said.at[k]);
		}
	return m->nonexistent ? 0 : export_box(t, m, buf_slice(&folder));
}

int export_maildir(struct transfer *t) {
	AUTO_BUF struct buf subscriptions = BUF(MIB(16));
	struct box_export top = { .t = t };
	buf_add(&subscriptions, S("V\t2\n\n"));
	int r = export_mailboxes(t, export_named, &subscriptions);
	if (r == 0) r = write_file(&top, "subscriptions", buf_slice(&subscriptions));
	return r < 0 ? complain(t->cli, EX_IOERR, "%s (export again to go on)", fail_text()) : EX_OK;
}
