/* SPDX-License-Identifier: Apache-2.0 */
/* The operator's hand on the queue. A message on hold has recipients that never fall due: the scheduler needs no rule
 * for it. A recipient whose delivery is under way finishes it: the result finds its row, or finds it gone. */
#include "queue/inside.h"
#include "base/clock.h"

static int set_held(struct db_conn *tx, struct slice id, bool held, int64_t due_us) {
	AUTO_STMT struct db_stmt *s = db_sql(tx, "UPDATE queue_message SET held = (held & 2) | ? WHERE id = ?");
	db_bind_int(s, held);
	db_bind_text(s, id);
	int r = db_run(s);
	if (r < 0 || db_changed(tx) == 0) return r < 0 ? r : QUEUE_UNKNOWN;
	AUTO_STMT struct db_stmt *t = db_sql(
		tx, held ? "UPDATE queue_recipient SET due_us = ? WHERE queue_id = ?"
			 : "UPDATE queue_recipient SET due_us = ? WHERE queue_id = ? AND due_us = 9223372036854775807");
	db_bind_int(t, due_us);
	db_bind_text(t, id);
	return db_run(t);
}

int queue_hold(struct db_conn *tx, struct slice id) {
	return set_held(tx, id, true, NEVER);
}

int queue_release(struct db_conn *tx, struct slice id, int64_t now_us) {
	return set_held(tx, id, false, now_us);
}

int queue_expire(struct db_conn *tx, struct slice id) {
	AUTO_STMT struct db_stmt *s = db_sql(tx, "UPDATE queue_message SET held = held | 2 WHERE id = ?");
	db_bind_text(s, id);
	int r = db_run(s);
	return r < 0 ? r : db_changed(tx) == 0 ? QUEUE_UNKNOWN : 0;
}

int queue_delete(struct db_conn *tx, struct slice id) {
	AUTO_STMT struct db_stmt *s = db_sql(tx, "DELETE FROM queue_recipient WHERE queue_id = ?");
	db_bind_text(s, id);
	int r = db_run(s);
	if (r < 0 || db_changed(tx) == 0) return r < 0 ? r : QUEUE_UNKNOWN;
	return message_drop_if_done(tx, id, NULL);
}

#define FLUSH_SET \
	"UPDATE queue_recipient SET due_us = ?, status = CASE WHEN text = '" QUEUE_PUT_OFF \
	"' THEN NULL ELSE status END," \
	" text = CASE WHEN text = '" QUEUE_PUT_OFF "' THEN NULL ELSE text END"
int queue_flush(struct db_conn *tx, struct slice id, struct slice hop, int64_t now_us) {
	AUTO_STMT struct db_stmt *s =
		db_sql(tx, id.len != 0 ? FLUSH_SET " WHERE queue_id = ? AND (? = '' OR hop = ?)"
	                             " AND due_us <> 9223372036854775807"
	                           : FLUSH_SET " WHERE ? = '' AND (? = '' OR hop = ?)"
	                             " AND due_us <> 9223372036854775807");
	struct slice h = hop.at != NULL ? hop : S("");
	db_bind_int(s, now_us);
	db_bind_text(s, id.at != NULL ? id : S(""));
	db_bind_text(s, h);
	db_bind_text(s, h);
	int r = db_run(s);
	return r < 0 ? r : db_changed(tx) == 0 ? QUEUE_UNKNOWN : 0;
}

int queue_route(struct db_conn *tx, struct slice id, int number, struct slice hop) {
	AUTO_STMT struct db_stmt *s =
		db_sql(tx, "UPDATE queue_recipient SET hop = ? WHERE queue_id = ? AND number = ?");
	db_bind_text(s, hop);
	db_bind_text(s, id);
	db_bind_int(s, number);
	int r = db_run(s);
	return r < 0 ? r : db_changed(tx) == 0 ? QUEUE_UNKNOWN : 0;
}
