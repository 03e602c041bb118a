/* SPDX-License-Identifier: Apache-2.0 */
/* The operator's hand on the queue. What it does to a message stands in the message's history, like everything else. */
#include "admin/inside.h"
#include "base/clock.h"
#include "queue/history.h"
#include "queue/queue.h"

#include <sysexits.h>

enum { AT_ONCE = 500 }; /* messages changed in one transaction */

/* What is done to each of the messages named on the command line. */
struct action {
	int (*change)(struct db_conn *tx, struct slice id);
	enum history_kind kind;
	const char *done; /* "deleted" */
	bool (*applies)(const struct queue_message *m); /* to a message that is only meant by ALL */
};

static int release_now(struct db_conn *tx, struct slice id) {
	return queue_release(tx, id, wall_us());
}

static bool is_held(const struct queue_message *m) { return m->held; }
static bool is_free(const struct queue_message *m) { return !m->held; }
static bool is_any(const struct queue_message *m) { (void)m; return true; }

static const struct action deleting = { queue_delete, HISTORY_DELETED, "deleted", is_any };
static const struct action holding = { queue_hold, HISTORY_HELD, "on hold", is_free };
static const struct action releasing = { release_now, HISTORY_RELEASED, "released", is_held };

struct batch {
	const struct action *action;
	struct arena *mem;
	struct slice ids[AT_ONCE];
	size_t count, changed;
	struct slice unknown; /* the first one that is not there */
};

static int write_history(struct db_conn *tx, const struct queue_message *m, enum history_kind kind) {
	int r = 0;
	for (size_t i = 0; i < m->recipient_count && r == 0; i++)
		r = history_add(tx, &(struct history_row){ .queue_id = m->id,
							   .kind = kind,
							   .sender = m->sender,
							   .recipient = m->recipients[i].address,
							   .message_id = m->message_id,
							   .text = S("by the operator") });
	return r;
}

static int change_batch(struct db_conn *tx, void *arg) {
	struct batch *b = arg;
	b->changed = 0;
	for (size_t i = 0; i < b->count; i++) {
		struct queue_message m;
		int r = queue_show(tx, db_memory(tx), b->ids[i], &m);
		if (r == 0) r = b->action->change(tx, b->ids[i]);
		if (r == 0) r = write_history(tx, &m, b->action->kind);
		if (r == 0 && m.held && b->action->kind == HISTORY_RELEASED) tell_released(tx, &m);
		if (r < 0) return r;
		b->changed += r == 0;
		if (r != 0 && b->unknown.at == NULL) b->unknown = b->ids[i];
	}
	return 0;
}

static int gather(void *ctx, const struct queue_message *m) {
	struct batch *b = ctx;
	if (b->action->applies(m)) b->ids[b->count++] = arena_slice(b->mem, m->id);
	return b->count == AT_ONCE;
}

/* Slice by slice, until none is left that the action applies to. */
static int change_all(struct admin_call *c, const struct action *action, size_t *changed) {
	size_t before;
	do {
		AUTO_ARENA struct arena mem = {0};
		struct batch b = { .action = action, .mem = &mem };
		struct db_conn *conn AUTO_READ = db_read(c->a->db);
		int r = conn == NULL ? -1 : queue_each(conn, gather, &b);
		db_release(&conn);
		if (r >= 0 && b.count != 0) r = db_write(c->a->db, change_batch, &b);
		if (r < 0) return r;
		before = *changed;
		*changed += b.changed;
	} while (*changed != before);
	return 0;
}

static int change_named(struct admin_call *c, const struct action *action, size_t *changed, struct slice *unknown) {
	struct batch b = { .action = action, .mem = c->mem };
	for (; b.count < c->count && b.count < AT_ONCE; b.count++) b.ids[b.count] = c->args[b.count];
	int r = db_write(c->a->db, change_batch, &b);
	if (r < 0) return r;
	*changed = b.changed;
	*unknown = b.unknown;
	return 0;
}

static void wake(struct admin_call *c) {
	if (c->a->ops->queue_changed != NULL) c->a->ops->queue_changed(c->a->ctx);
}

static int act(struct admin_call *c, const struct action *action) {
	size_t changed = 0;
	struct slice unknown = SLICE_NONE;
	bool all = c->count == 1 && slice_eq(c->args[0], S("ALL"));
	int r = all ? change_all(c, action, &changed) : change_named(c, action, &changed, &unknown);
	if (r < 0) return broken(c);
	if (changed != 0) wake(c);
	if (changed != 0 || all) tell(c, "%zu message%s %s", changed, changed == 1 ? "" : "s", action->done);
	if (unknown.at == NULL) return EX_OK;
	return refuse(c, EX_NOUSER, "%.*s: not in the queue (hato queue list; hato why tells what became of it)",
		      SLICE_ARG(unknown));
}

int verb_queue_delete(struct admin_call *c) {
	return act(c, &deleting);
}

int verb_queue_hold(struct admin_call *c) {
	return act(c, &holding);
}

int verb_queue_release(struct admin_call *c) {
	return act(c, &releasing);
}

/* Flushing: by id, or by the recipients' domain, which need not be the hop they wait for (relayhost). */

struct flush {
	struct slice what; /* empty: everything */
	struct db_conn *tx;
	size_t flushed;
};

static bool of_domain(const struct queue_recipient *r, struct slice domain) {
	return slice_same(r->hop, domain) ||
	       slice_same(slice_skip(r->address, slice_find_last(r->address, '@') + 1), domain);
}

static int flush_domain(void *ctx, const struct queue_message *m) {
	struct flush *f = ctx;
	for (size_t i = 0; i < m->recipient_count; i++) {
		if (!of_domain(&m->recipients[i], f->what)) continue;
		int r = queue_flush(f->tx, m->id, m->recipients[i].hop, wall_us());
		if (r < 0) return r;
		f->flushed += r == 0;
	}
	return 0;
}

static int flush_one(struct db_conn *tx, void *arg) {
	struct flush *f = arg;
	f->flushed = 0;
	f->tx = tx;
	int r = queue_flush(tx, f->what, S(""), wall_us());
	if (r == 0) f->flushed = 1;
	if (r != QUEUE_UNKNOWN) return r;
	return f->what.len == 0 ? 0 : queue_each(tx, flush_domain, f);
}

int verb_queue_flush(struct admin_call *c) {
	size_t flushed = 0;
	struct slice unknown = SLICE_NONE;
	for (size_t i = 0; i == 0 || i < c->count; i++) {
		struct flush f = { .what = c->count != 0 ? c->args[i] : S("") };
		int r = db_write(c->a->db, flush_one, &f);
		if (r < 0) return broken(c);
		flushed += f.flushed;
		if (f.flushed == 0 && f.what.len != 0 && unknown.at == NULL) unknown = f.what;
	}
	if (flushed != 0) wake(c);
	if (flushed != 0) tell(c, "being tried now");
	else if (c->count == 0) tell(c, "nothing waits in the queue");
	if (unknown.at == NULL) return EX_OK;
	return refuse(c, EX_NOUSER,
		      "%.*s: nothing in the queue waits for that (hato queue list; what is on hold must be released)",
		      SLICE_ARG(unknown));
}
