/* SPDX-License-Identifier: Apache-2.0 */
/* postsuper(1): what is done to messages is named in its words, one line each for those that were named, and a count.
 */
#include "admin/inside.h"
#include "base/clock.h"
#include "queue/history.h"
#include "queue/queue.h"

#include <sysexits.h>

enum { AT_ONCE = 500 };

struct super {
	const struct super_action {
		const char *name, *done, *sum; /* "delete", "removed", "Deleted" */
		int (*change)(struct db_conn *tx, struct slice id);
		bool (*applies)(const struct queue_message *m);
		int history; /* a kind, or -1 */
	} *action;
	struct admin_call *c;
	struct slice *ids;
	size_t count, room;
	size_t from, until; /* the batch under way */
	bool *changed;
};

static bool any(const struct queue_message *m) { (void)m; return true; }
static bool held(const struct queue_message *m) { return m->held; }
static bool not_held(const struct queue_message *m) { return !m->held; }
static bool not_expired(const struct queue_message *m) { return !m->expired; }
/* Not one whose requeueing is due: it would be told twice of one that is named twice. */
static bool not_requeued(const struct queue_message *m) {
	bool otherwise = false;
	for (size_t i = 0; i < m->recipient_count; i++)
		otherwise = otherwise || !slice_eq(m->recipients[i].hop, S(QUEUE_AGAIN)) ||
			    m->recipients[i].due_us > wall_us();
	return otherwise;
}
static int release(struct db_conn *tx, struct slice id) { return queue_release(tx, id, wall_us()); }

/* Recipients whose next hop is this are taken up again from the start (flow/requeue.h). */
static int requeue(struct db_conn *tx, struct slice id) {
	struct queue_message m;
	int r = queue_show(tx, db_memory(tx), id, &m);
	for (size_t i = 0; i < m.recipient_count && r == 0; i++)
		r = queue_route(tx, id, m.recipients[i].number, S(QUEUE_AGAIN));
	if (r != 0) return r;
	r = queue_release(tx, id, wall_us());
	return r == 0 ? queue_flush(tx, id, S(""), wall_us()) : r;
}

static const struct super_action actions[] = {
	{ "delete", "removed", "Deleted", queue_delete, any, HISTORY_DELETED },
	{ "hold", "placed on hold", "Placed on hold", queue_hold, not_held, HISTORY_HELD },
	{ "release", "released from hold", "Released from hold", release, held, HISTORY_RELEASED },
	{ "expire", "expired", "Force-expired", queue_expire, not_expired, -1 },
	{ "requeue", "requeued", "Requeued", requeue, not_requeued, -1 },
};

static void add_id(struct super *s, struct slice id) {
	if (s->count == s->room) {
		size_t room = MAX_OF(s->room * 2, (size_t)64);
		struct slice *more = arena_array(s->c->mem, room, sizeof *more);
		if (s->count != 0) memcpy(more, s->ids, s->count * sizeof *more);
		s->ids = more;
		s->room = room;
	}
	s->ids[s->count++] = id;
}

/* The queues named behind the action; none: all but those on hold cannot be told apart, so all. */
static bool in_queues(const struct super *s, const struct queue_message *m) {
	struct slice queue = slice_of(postfix_queue_of(m, wall_us()));
	bool named = s->c->count <= 1;
	for (size_t i = 1; i < s->c->count; i++) named = named || slice_eq(s->c->args[i], queue);
	return named;
}

static int gather(void *ctx, const struct queue_message *m) {
	struct super *s = ctx;
	if (s->action->applies(m) && in_queues(s, m)) add_id(s, arena_slice(s->c->mem, m->id));
	return 0;
}

static int change(struct db_conn *tx, struct super *s, size_t i) {
	struct queue_message m;
	int r = queue_show(tx, db_memory(tx), s->ids[i], &m);
	if (r != 0 || !s->action->applies(&m) || !in_queues(s, &m)) return r < 0 ? r : 0;
	r = s->action->change(tx, s->ids[i]);
	s->changed[i] = r == 0;
	if (s->changed[i] && s->action->history == HISTORY_RELEASED) tell_released(tx, &m);
	for (size_t k = 0; k < m.recipient_count && r == 0 && s->action->history >= 0; k++)
		r = history_add(tx, &(struct history_row){ .queue_id = m.id,
							   .kind = (enum history_kind)s->action->history,
							   .sender = m.sender,
							   .recipient = m.recipients[k].address,
							   .message_id = m.message_id,
							   .text = S("by the operator") });
	return r < 0 ? r : 0;
}

static int change_batch(struct db_conn *tx, void *arg) {
	struct super *s = arg;
	int r = 0;
	for (size_t i = s->from; i < s->until && r == 0; i++) {
		s->changed[i] = false;
		r = change(tx, s, i);
	}
	return r;
}

static bool valid_id(struct slice id) {
	bool fine = id.len != 0 && id.len < 100;
	for (size_t i = 0; i < id.len; i++) fine = fine && (ascii_alpha(id.at[i]) || ascii_digit(id.at[i]));
	return fine;
}

/* One line each on the standard input: ids, or ALL. True: ALL. */
static bool take_ids(struct super *s) {
	struct slice rest = s->c->input;
	while (rest.at != NULL) {
		struct slice id = slice_trim(slice_cut(&rest, '\n'));
		if (id.len == 0) continue;
		if (slice_eq(id, S("ALL"))) return true;
		if (valid_id(id)) add_id(s, id);
		else tell(s->c, "warning: invalid mail queue id: %.*s", SLICE_ARG(id));
	}
	return false;
}

int verb_queue_super(struct admin_call *c) {
	struct super s = { .c = c };
	for (size_t i = 0; i < LEN(actions) && s.action == NULL; i++)
		if (slice_eq(c->args[0], slice_of(actions[i].name))) s.action = &actions[i];
	if (s.action == NULL) return refuse(c, EX_USAGE, "%.*s: no such action", SLICE_ARG(c->args[0]));
	bool all = take_ids(&s);
	if (all) {
		struct db_conn *conn AUTO_READ = db_read(c->a->db);
		if (conn == NULL || queue_each(conn, gather, &s) < 0) return broken(c);
	}
	s.changed = arena_array(c->mem, s.count + 1, sizeof *s.changed);
	size_t done = 0;
	for (; s.from < s.count; s.from = s.until) {
		s.until = MIN_OF(s.from + AT_ONCE, s.count);
		if (db_write(c->a->db, change_batch, &s) < 0) return broken(c);
	}
	for (size_t i = 0; i < s.count; i++) {
		done += s.changed[i];
		if (s.changed[i] && !all) tell(c, "%.*s: %s", SLICE_ARG(s.ids[i]), s.action->done);
	}
	if (done != 0 && c->a->ops->queue_changed != NULL) c->a->ops->queue_changed(c->a->ctx);
	tell(c, "%s: %zu message%s", s.action->sum, done, done == 1 ? "" : "s");
	return EX_OK;
}
