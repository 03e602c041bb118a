/* SPDX-License-Identifier: Apache-2.0 */
/* What became of a try. The wait until the next one is the age of the message, between two bounds: Postfix's rule,
 * which doubles the waits without keeping a counter. */
#include "queue/inside.h"
#include "base/clock.h"

enum { TEXT_MAX = 2000 };

static int64_t us(int64_t seconds) {
	return seconds >= NEVER / 1000000 ? NEVER : seconds * 1000000;
}

struct queue *queue_open(struct db *db, const struct queue_params *params) {
	struct queue *q = mem_get(sizeof *q);
	q->db = db;
	q->params = *params;
	q->cursor = BUF(KIB(4));
	pthread_mutex_init(&q->lock, NULL);
	return q;
}

void queue_set_params(struct queue *q, const struct queue_params *params) {
	pthread_mutex_lock(&q->lock);
	q->params = *params;
	pthread_mutex_unlock(&q->lock);
}

void queue_close(struct queue **qp) {
	struct queue *q = TAKE(*qp);
	if (q == NULL) return;
	must(q->claims.count == 0);
	map_done(&q->claims, NULL);
	map_done(&q->hops, free);
	buf_done(&q->cursor);
	pthread_mutex_destroy(&q->lock);
	free(q);
}

struct owner {
	bool null_sender, held, expired, warned;
	int64_t arrived_us;
	uint32_t notify;
};

static int owner_get(struct db_conn *c, struct slice id, int number, struct owner *out) {
	AUTO_STMT struct db_stmt *s =
		db_sql(c, "SELECT m.sender = '', m.held, r.warned, m.arrived_us, r.notify FROM queue_message m"
	              " JOIN queue_recipient r ON r.queue_id = m.id WHERE m.id = ? AND r.number = ?");
	db_bind_text(s, id);
	db_bind_int(s, number);
	int r = db_step(s);
	if (r != DB_ROW) return r < 0 ? r : QUEUE_UNKNOWN;
	*out = (struct owner){ db_int(s, 0) != 0, (db_int(s, 1) & STATE_HELD) != 0, (db_int(s, 1) & STATE_EXPIRED) != 0,
		                   db_int(s, 2) != 0, db_int(s, 3), (uint32_t)db_int(s, 4) };
	return 0;
}

int queue_deferred(struct queue *q, struct db_conn *tx, struct slice id, int number, int64_t now_us,
                   struct slice status, struct slice text) {
	struct owner o;
	int r = owner_get(tx, id, number, &o);
	if (r != 0) return r;
	pthread_mutex_lock(&q->lock);
	struct queue_params p = q->params;
	pthread_mutex_unlock(&q->lock);
	int64_t age = MAX_OF(now_us - o.arrived_us, INT64_C(0));
	if (o.expired || age >= us(o.null_sender ? p.bounce_lifetime : p.lifetime)) return QUEUE_EXPIRED;
	int64_t wait = MIN_OF(MAX_OF(age, us(p.minimal_backoff)), MAX_OF(us(p.maximal_backoff), us(p.minimal_backoff)));
	AUTO_STMT struct db_stmt *s =
		db_sql(tx, "UPDATE queue_recipient SET due_us = ?, tries = tries + 1, status = ?, text = ?"
	               " WHERE queue_id = ? AND number = ?");
	db_bind_int(s, o.held ? NEVER : now_us + wait);
	db_bind_text(s, status);
	db_bind_text(s, slice_head(text, TEXT_MAX));
	db_bind_text(s, id);
	db_bind_int(s, number);
	r = db_run(s);
	bool wanted = o.notify == 0 || (o.notify & NOTIFY_DELAY) != 0;
	bool warn = p.delay_warning > 0 && age >= us(p.delay_warning) && !o.warned && !o.null_sender && wanted;
	return r == 0 && warn ? QUEUE_WARN : r;
}

int queue_settled(struct db_conn *tx, struct slice id, int number, bool *removed) {
	int r = recipient_change(tx, "DELETE FROM queue_recipient WHERE queue_id = ? AND number = ?", id, number);
	return r == 0 ? message_drop_if_done(tx, id, removed) : r;
}

int queue_warned(struct db_conn *tx, struct slice id, int number) {
	return recipient_change(tx, "UPDATE queue_recipient SET warned = 1 WHERE queue_id = ? AND number = ?", id,
				number);
}
