/* SPDX-License-Identifier: Apache-2.0 */
/* What Postfix's queue manager says of a message when it takes it up: programs that read the log know its sender and
 * its size by that. Of a message that came in on hold it is said here, when it is let go. */
#include "admin/inside.h"
#include "base/log.h"
#include "queue/queue.h"

static void log_active(void *arg) {
	const struct queue_message *m = arg;
	AUTO_FREE char *id = slice_text(m->id);
	note(L_INFO, "qmgr", 0, id, NULL, FA("from", m->sender), FN("size", m->size), FN("nrcpt", m->recipient_count),
	     FP("queue active"));
}

void tell_released(struct db_conn *tx, const struct queue_message *m) {
	struct queue_message *kept = arena_array(db_memory(tx), 1, sizeof *kept);
	*kept = *m;
	db_after_commit(tx, log_active, kept);
}
