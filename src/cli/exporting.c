/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/exporting.h"
#include "base/fail.h"

enum { PAGE = 500 };

struct page {
	struct arena mem;
	struct message at[PAGE];
	size_t count;
};

static int add_message(void *ctx, const struct message *m) {
	struct page *p = ctx;
	struct message *copy = &p->at[p->count++];
	*copy = *m;
	copy->keywords = arena_slice(&p->mem, m->keywords);
	return p->count == PAGE;
}

static int read_page(struct transfer *t, struct box box, uint32_t from, struct page *p) {
	const struct uid_range range = { from, UINT32_MAX };
	AUTO_READ struct db_conn *c = db_read(t->db);
	p->count = 0;
	arena_reset(&p->mem);
	return c != NULL ? store_each(c, box, (struct uid_set){ &range, 1 }, 0, add_message, p) : -1;
}

int export_messages(struct transfer *t, struct box box, int (*each)(void *ctx, const struct message *m), void *ctx) {
	struct page *p = mem_get(sizeof *p);
	uint32_t from = 1;
	int r;
	do {
		r = read_page(t, box, from, p);
		for (size_t i = 0; i < p->count && r >= 0; i++) r = each(ctx, &p->at[i]);
		if (p->count != 0) from = p->at[p->count - 1].uid + 1;
	} while (r >= 0 && p->count == PAGE);
	arena_done(&p->mem);
	free(p);
	return MIN_OF(r, 0);
}

struct listing {
	struct arena mem;
	struct mailbox all[10000];
	size_t count;
};

static int add_mailbox(void *ctx, const struct mailbox *m) {
	struct listing *l = ctx;
	if (l->count == LEN(l->all)) return fail("too many mailboxes");
	struct mailbox *copy = &l->all[l->count++];
	*copy = *m;
	copy->name = arena_slice(&l->mem, m->name);
	copy->keywords = arena_slice(&l->mem, m->keywords);
	return 0;
}

int export_mailboxes(struct transfer *t, int (*each)(struct transfer *t, const struct mailbox *m, struct buf *ctx),
		     struct buf *ctx) {
	struct listing *l = mem_get(sizeof *l);
	struct db_conn *c AUTO_READ = db_read(t->db);
	int r = c != NULL ? store_list(c, t->account, add_mailbox, l) : -1;
	db_release(&c);
	for (size_t i = 0; i < l->count && r == 0; i++) r = each(t, &l->all[i], ctx);
	arena_done(&l->mem);
	free(l);
	return r;
}

int export_open(struct transfer *t, const struct message *m, struct blob **out) {
	AUTO_READ struct db_conn *c = db_read(t->db);
	return c != NULL ? blob_open(c, m->blob_id, out) : -1;
}

int export_write(int fd, struct slice all) {
	while (all.len != 0) {
		ssize_t n = write(fd, all.at, all.len);
		if (n < 0 && errno == EINTR) continue;
		if (n <= 0) return fail_errno("write");
		all = slice_skip(all, (size_t)n);
	}
	return 0;
}

void crlf_to_lf(struct crlf *x, struct slice piece, struct buf *out) {
	for (size_t i = 0; i < piece.len; i++) {
		if (x->cr && piece.at[i] != '\n') buf_byte(out, '\r');
		x->cr = piece.at[i] == '\r';
		if (!x->cr) buf_byte(out, piece.at[i]);
	}
}

void crlf_end(struct crlf *x, struct buf *out) {
	if (x->cr) buf_byte(out, '\r');
	x->cr = false;
}
