/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/importing.h"
#include "base/encode.h"
#include "base/fail.h"
#include "base/map.h"
#include "db/blob.h"
#include "mime/summary.h"
#include "net/file.h"

#include <openssl/evp.h>

enum {
	LIST_MAX = 1 << 30,
	BATCH = 100,
	BATCH_BYTES = 4 << 20,
	IN_MEMORY = 1 << 20,
	SUMMARY_LIMIT = 8 << 20,
	MESSAGE_MAX = 1 << 30,
	DIGEST = 32
};

/* The message that is being read. */
struct intake {
	struct summary_scan *scan;
	struct buf memory;
	int spool;
	uint64_t size;
	bool after_cr;
	EVP_MD_CTX *digest;
};

struct draft {
	struct blob_draft *blob;
	struct buf summary;
	struct append append;
	struct slice uidl, name; /* name: without a uid */
	bool there;
};

struct importer {
	struct transfer *t;
	struct mailbox mailbox;
	bool keeps_uids;
	struct buf have;  /* uint32_t: uids that are there */
	struct map alike; /* digest → how many messages had it (in the pointer) */
	struct arena mem, batch_mem;
	struct intake in;
	struct draft batch[BATCH];
	size_t drafts, batch_bytes;
};

/* One message. */

void importer_begin(struct importer *x) {
	x->in = (struct intake){
		.scan = summary_scan_new(), .memory = BUF(IN_MEMORY), .spool = -1, .digest = EVP_MD_CTX_new()
	};
	must(x->in.digest != NULL && EVP_DigestInit_ex(x->in.digest, EVP_sha256(), NULL) == 1);
}

void importer_leave(struct importer *x) {
	summary_scan_free(&x->in.scan);
	buf_done(&x->in.memory);
	auto_fd(&x->in.spool);
	EVP_MD_CTX_free(x->in.digest);
	x->in = (struct intake){ .spool = -1 };
}

uint64_t importer_size(const struct importer *x) {
	return x->in.size;
}

static int take(struct importer *x, struct slice piece) {
	struct intake *in = &x->in;
	if (in->size + piece.len > MESSAGE_MAX) {
		fail("larger than %d bytes", MESSAGE_MAX);
		return 1;
	}
	summary_scan_feed(in->scan, piece);
	EVP_DigestUpdate(in->digest, piece.at, piece.len);
	in->size += piece.len;
	if (in->spool < 0 && in->memory.len + piece.len <= IN_MEMORY)
		return buf_add(&in->memory, piece) ? 0 : fail("memory is full");
	if (in->spool < 0) {
		in->spool = file_spool(x->t->data);
		if (in->spool < 0 || file_write_all(in->spool, buf_slice(&in->memory)) < 0) return -1;
		buf_clear(&in->memory);
	}
	return file_write_all(in->spool, piece);
}

/* Files have LF, mail has CRLF. */
int importer_feed(void *importer, struct slice piece) {
	struct importer *x = importer;
	int r = 0;
	while (piece.len != 0 && r == 0) {
		size_t end = slice_find(piece, '\n');
		struct slice line = slice_head(piece, end);
		if (line.len != 0) x->in.after_cr = line.at[line.len - 1] == '\r';
		if (line.len != 0) r = take(x, line);
		if (end == piece.len) return r;
		if (r == 0) r = take(x, x->in.after_cr ? S("\n") : S("\r\n"));
		x->in.after_cr = false;
		piece = slice_skip(piece, end + 1);
	}
	return r;
}

/* What is alike in one file is still several messages: the second has another name. */
static struct slice name_by_digest(struct importer *x) {
	unsigned char digest[DIGEST];
	AUTO_BUF struct buf name = BUF(DIGEST * 3);
	must(EVP_DigestFinal_ex(x->in.digest, digest, NULL) == 1);
	hex_add(&name, slice_from(digest, sizeof digest));
	uintptr_t nth = (uintptr_t)map_get(&x->alike, buf_slice(&name)) + 1;
	map_put(&x->alike, buf_slice(&name), (void *)nth);
	return arena_fmt(&x->batch_mem, "%s#%zu", buf_text(&name), (size_t)nth);
}

static int make_draft(struct importer *x, struct draft *d) {
	struct summary summary;
	summary_scan_finish(x->in.scan, &summary);
	d->summary = BUF(SUMMARY_LIMIT);
	summary_pack(&d->summary, &summary);
	struct slice part = buf_slice(&x->in.memory);
	struct blob_source source = { &part, x->in.spool < 0, x->in.spool, 0, x->in.spool >= 0 ? x->in.size : 0 };
	d->append.size = x->in.size;
	if (!d->summary.full) return blob_prepare(x->t->db, &source, &d->blob);
	fail("its summary is too large");
	return 1;
}

static int flush_batch(struct importer *x);

int importer_end(struct importer *x, const struct arriving *m) {
	struct draft *d = &x->batch[x->drafts];
	*d = (struct draft){ .uidl = arena_slice(&x->batch_mem, m->uidl),
			     .name = m->name.len != 0 ? arena_slice(&x->batch_mem, m->name) : name_by_digest(x) };
	d->append = (struct append){ .box = x->mailbox.box,
				     .uid = x->keeps_uids ? m->uid : 0,
				     .received_us = m->received_us,
				     .flags = m->flags,
				     .keywords = arena_slice(&x->batch_mem, m->keywords) };
	int r = make_draft(x, d);
	importer_leave(x);
	if (r != 0) {
		blob_draft_done(&d->blob);
		buf_done(&d->summary);
		return r;
	}
	x->drafts++;
	x->batch_bytes += d->append.size;
	return x->drafts == BATCH || x->batch_bytes >= BATCH_BYTES ? flush_batch(x) : 0;
}

/* Batches. */

static int enter_one(struct db_conn *tx, struct importer *x, struct draft *d) {
	struct appended done;
	d->there = false;
	int r = d->append.uid == 0 ? store_import_name(tx, x->mailbox.box, d->name) : 0;
	if (r == 0) r = blob_insert(tx, d->blob, buf_slice(&d->summary), &d->append.blob_id);
	if (r == 0) r = store_append(tx, &d->append, &done);
	if (r == STORE_EXISTS && d->append.uid != 0 && !importer_has(x, d->append.uid)) { /* another one took it */
		d->append.uid = 0;
		r = store_import_name(tx, x->mailbox.box, d->name);
		if (r == 0) r = store_append(tx, &d->append, &done);
	}
	if (r == STORE_EXISTS) {
		d->there = true;
		return 0;
	}
	if (r == 0 && d->uidl.len != 0) r = store_uidl_put(tx, x->mailbox.box, done.uid, d->uidl);
	return r;
}

static int enter_batch(struct db_conn *tx, void *arg) {
	struct importer *x = arg;
	int r = 0;
	for (size_t i = 0; i < x->drafts && r == 0; i++) r = enter_one(tx, x, &x->batch[i]);
	return r;
}

static int flush_batch(struct importer *x) {
	struct transfer *t = x->t;
	int r = x->drafts != 0 ? db_write(t->db, enter_batch, x) : 0;
	if (r > 0)
		r = fail("the store refuses this (%d: too many keywords or messages, or the mailbox was deleted "
			 "meanwhile)",
			 r);
	for (size_t i = 0; i < x->drafts; i++) {
		struct draft *d = &x->batch[i];
		if (r == 0 && d->there)
			t->there++;
		else if (r == 0)
			t->messages++, t->bytes += d->append.size;
		blob_draft_done(&d->blob);
		buf_done(&d->summary);
	}
	x->drafts = x->batch_bytes = 0;
	arena_reset(&x->batch_mem);
	return r;
}

bool importer_has(const struct importer *x, uint32_t uid) {
	if (!x->keeps_uids) return false;
	size_t low = 0, high = x->have.len / sizeof uid;
	while (low < high) {
		uint32_t here;
		size_t middle = low + (high - low) / 2;
		memcpy(&here, x->have.at + middle * sizeof here, sizeof here);
		if (here == uid) return true;
		if (here < uid)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
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
	if (r == 0 && !m.nonexistent)
		o->box = m.box;
	else if (r == 0 || r == STORE_NO_MAILBOX)
		r = store_create(tx, o->t->account, o->name, 0, &o->box);
	if (r != 0 || o->uidvalidity == 0) return r;
	r = store_import_begin(tx, o->box, o->uidvalidity, o->uidnext);
	o->renumber = r == STORE_EXISTS;
	return r > 0 ? 0 : r;
}

static int begin(struct importer *x, struct slice name, uint32_t uidvalidity, uint32_t uidnext) {
	struct transfer *t = x->t;
	struct opening o = { .t = t, .name = name, .uidvalidity = uidvalidity, .uidnext = uidnext };
	int r = db_write(t->db, open_box, &o);
	if (r > 0) transfer_failed(t, "%.*s: not a name for a mailbox here", SLICE_ARG(name));
	if (r != 0) return r;
	if (o.renumber)
		complain(t->cli, 0,
			 "%.*s: holds other mail already, so its messages get new numbers: clients will fetch them "
			 "again (import into a new account to avoid that)",
			 SLICE_ARG(name));
	x->keeps_uids = uidvalidity != 0 && !o.renumber;
	AUTO_READ struct db_conn *c = db_read(t->db);
	if (c == NULL || store_mailbox(c, &x->mem, o.box, &x->mailbox) != 0)
		return fail("%.*s: the mailbox is gone", SLICE_ARG(name));
	return x->keeps_uids ? store_uids(c, o.box, 1, &x->have) : 0;
}

static void importer_free(struct importer **xp) {
	struct importer *x = TAKE(*xp);
	if (x == NULL) return;
	for (size_t i = 0; i < x->drafts; i++) {
		blob_draft_done(&x->batch[i].blob);
		buf_done(&x->batch[i].summary);
	}
	buf_done(&x->have);
	map_done(&x->alike, NULL);
	arena_done(&x->batch_mem);
	arena_done(&x->mem);
	free(x);
}

int importer_open(struct transfer *t, struct slice mailbox, uint32_t uidvalidity, uint32_t uidnext,
		  struct importer **out) {
	struct importer *x = mem_get(sizeof *x);
	*x = (struct importer){ .t = t, .have = BUF(LIST_MAX), .in.spool = -1 };
	int r = begin(x, mailbox, uidvalidity, uidnext);
	if (r != 0)
		importer_free(&x);
	else
		t->mailboxes++;
	*out = x;
	return r;
}

int importer_close(struct importer **x) {
	int r = *x != NULL ? flush_batch(*x) : 0;
	importer_free(x);
	return r;
}

struct subscribing {
	int64_t account;
	struct slice mailbox;
};

static int subscribe(struct db_conn *tx, void *arg) {
	const struct subscribing *s = arg;
	return MIN_OF(store_subscribe(tx, s->account, s->mailbox, true), 0);
}

void importer_subscribe(struct transfer *t, struct slice mailbox) {
	if (db_write(t->db, subscribe, &(struct subscribing){ t->account, mailbox }) < 0)
		transfer_failed(t, "subscription of %.*s: %s", SLICE_ARG(mailbox), fail_text());
}
