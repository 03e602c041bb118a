/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "db/db.h"
/* Memos: small facts with an end, that may be found out anew at some cost: what address probes were told, who passed
 * postscreen. Whoever writes one says how long it holds; what is over is never returned, and swept by memo_sweep. */
enum memo_kind { /* stored: numbers stay */
	MEMO_PROBE = 1,  /* address → flow/verify.c */
	MEMO_SCREEN = 2, /* client address → what it passed in postscreen */
	MEMO_RATES = 3,  /* "edge" → what each client did in the last minutes */
	MEMO_THREAD = 4, /* Message-ID of an answer → where its conversation began (store/thread.h) */
};
int memo_put(struct db_conn *tx, enum memo_kind kind, struct slice key, struct slice value, int64_t until_us);
/* DB_ROW with the value in mem, DB_DONE without, <0. until_us: or NULL. */
int memo_get(struct db_conn *c, enum memo_kind kind, struct slice key, struct arena *mem, struct slice *value,
	     int64_t *until_us) MUST_USE;
int memo_sweep(struct db *db); /* 0, or <0 */
