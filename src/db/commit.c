/* SPDX-License-Identifier: Apache-2.0 */
/* Group commit. Syncing the log costs much more than a write, so writes that wait share one sync. There is no
 * committing thread: the first that waits leads, commits for all who came while the one before it was at the disk,
 * and hands the lead to the first who came since. A single caller thus never changes threads, and a batch is as large
 * as the disk is slow.
 *
 * Each write of a batch has its own savepoint: a failing one takes back its own changes only. Savepoints cost a copy of
 * each page they touch, a fifth of a delivery to ten mailboxes: where all of a batch may be run again they are left out
 * at first, and after a failure the whole batch is run once more with them.
 *
 * The log is folded into the database file by a thread of its own (the keeper), beside the writers, so that no caller
 * pays for it. Where writers never pause the log would still grow without end, because it can start over only when
 * all of it is folded in: then the keeper takes the lead once, as if it were a writer, and folds in the rest while
 * nobody writes. */
#include "db/inside.h"

enum { BATCH = 256, WARY = 16 /* batches after a failure */, LOG_MUCH = 4 /* times checkpoint_pages */ };

struct write {
	int (*fn)(struct db_conn *tx, void *arg);
	void *arg;
	struct write *next;
	sem_t wake;
	bool alone;   /* not in a transaction: the keeper's turn */
	bool repeatable;
	bool leads;   /* woken to lead, not because it is done */
	int result;
	enum db_cause cause;
	char why[400]; /* of a failure in another thread */
};

void db_after_commit(struct db_conn *tx, void (*fn)(void *arg), void *arg) {
	must(tx->writer);
	struct hook *h = arena_get(&tx->memory, sizeof *h);
	*h = (struct hook){ .fn = fn, .arg = arg };
	*tx->hooks_end = h;
	tx->hooks_end = &h->next;
}

static void hooks_cut(struct db_conn *c, struct hook **end) {
	*end = NULL;
	c->hooks_end = end;
}

static void hooks_run(struct db_conn *c) {
	for (struct hook *h = c->hooks; h != NULL; h = h->next) h->fn(h->arg);
	hooks_cut(c, &c->hooks);
}

static int simple(struct db_conn *c, const char *sql) {
	AUTO_STMT struct db_stmt *s = db_sql(c, sql);
	return db_run(s);
}

static void keep_failure(struct write *w, int result) {
	w->result = result;
	w->cause = db_cause();
	snprintf(w->why, sizeof w->why, "%s", fail_text());
}

/* SQLite ends the whole transaction by itself after some errors. */
static bool in_transaction(struct db_conn *c) {
	return sqlite3_get_autocommit(c->sqlite) == 0;
}

static void take_back(struct db_conn *c, bool bare) {
	if (bare || !in_transaction(c)) return; /* the batch will be rolled back, or was */
	if (simple(c, "ROLLBACK TO one") < 0 || simple(c, "RELEASE one") < 0)
		sqlite3_exec(c->sqlite, "ROLLBACK", NULL, NULL, NULL);
}

/* True when its changes stand. bare: without a savepoint, the caller takes back all. */
static bool run_one(struct db_conn *c, struct write *w, bool bare) {
	struct hook **hooks_end = c->hooks_end;
	c->pending = NULL;
	cause_set(DB_CAUSE_OTHER); /* for failures that are not the database's */
	int r = bare ? 0 : simple(c, "SAVEPOINT one");
	if (r == 0) r = w->fn(c, w->arg);
	if (r == 0) r = pending_flush(c);
	if (r == 0 && !bare) r = simple(c, "RELEASE one");
	w->result = r;
	if (r == 0) return true;
	if (r < 0) keep_failure(w, r);
	hooks_cut(c, hooks_end);
	take_back(c, bare);
	return false;
}

static void fail_all(struct write *batch) {
	for (struct write *w = batch; w != NULL; w = w->next)
		if (w->result == 0) keep_failure(w, -1);
}

static bool may_be_bare(struct db *db, const struct write *batch) {
	if (db->wary > 0) db->wary--;
	bool bare = db->wary == 0;
	for (const struct write *w = batch; w != NULL && bare; w = w->next) bare = w->repeatable;
	return bare;
}

/* In one go: true when all changes stand. */
static bool run_bare(struct db_conn *c, struct write *batch) {
	for (struct write *w = batch; w != NULL; w = w->next)
		if (!run_one(c, w, true)) return false;
	return true;
}

/* Each under a savepoint: true when some changes stand. */
static bool run_apart(struct db_conn *c, struct write *batch) {
	bool any = false;
	for (struct write *w = batch; w != NULL && in_transaction(c); w = w->next) any = run_one(c, w, false) || any;
	return any;
}

/* After run_bare: what was done is taken back first. */
static bool run_again(struct db_conn *c, struct write *batch) {
	c->db->wary = WARY;
	hooks_cut(c, &c->hooks);
	for (struct write *w = batch; w != NULL; w = w->next) w->result = 0;
	if (simple(c, "ROLLBACK") == 0 && simple(c, "BEGIN IMMEDIATE") == 0) return run_apart(c, batch);
	sqlite3_exec(c->sqlite, "ROLLBACK", NULL, NULL, NULL); /* the caller sees that there is no transaction */
	return false;
}

static void run_batch(struct db_conn *c, struct write *batch) {
	bool single = batch->next == NULL, bare = single || may_be_bare(c->db, batch);
	if (simple(c, "BEGIN IMMEDIATE") < 0) {
		fail_all(batch);
		return;
	}
	bool any = (bare ? run_bare : run_apart)(c, batch);
	if (bare && !any && !single && in_transaction(c)) any = run_again(c, batch);
	if (!in_transaction(c)) {
		fail_all(batch); /* with the failure that ended it: the last of this thread */
	} else if (!any) {
		simple(c, "ROLLBACK");
	} else if (simple(c, "COMMIT") < 0) {
		fail_all(batch);
		if (in_transaction(c)) sqlite3_exec(c->sqlite, "ROLLBACK", NULL, NULL, NULL);
	} else {
		hooks_run(c);
		others_committed(c->db); /* until now it counts as another's: not all have heard of it */
	}
	hooks_cut(c, &c->hooks);
	c->pending = NULL;
	arena_reset(&c->memory);
}

static struct write *batch_take(struct db *db) {
	struct write *batch = db->waiting, **end = &batch;
	for (size_t n = 0; *end != NULL && n < BATCH; n++) {
		if ((*end)->alone && n > 0) break;
		end = &(*end)->next;
		if (batch->alone) break;
	}
	db->waiting = *end;
	if (*end == NULL) db->waiting_end = &db->waiting;
	*end = NULL;
	return batch;
}

static void lead(struct db *db, struct write *self) {
	pthread_mutex_lock(&db->writes_lock);
	struct write *batch = batch_take(db);
	pthread_mutex_unlock(&db->writes_lock);
	if (batch->alone) batch->result = batch->fn(db->writer, batch->arg);
	else run_batch(db->writer, batch);
	pthread_mutex_lock(&db->writes_lock);
	struct write *heir = db->waiting;
	db->led = heir != NULL;
	if (heir != NULL) heir->leads = true;
	pthread_mutex_unlock(&db->writes_lock);
	if (heir != NULL) sem_post(&heir->wake);
	for (struct write *w = batch, *next; w != NULL; w = next) {
		next = w->next; /* w is gone once it is woken */
		if (w != self) sem_post(&w->wake);
	}
}

static void wait_for(struct write *w) {
	while (sem_wait(&w->wake) < 0) must(errno == EINTR);
}

static void enqueue(struct db *db, struct write *w) {
	sem_init(&w->wake, 0, 0);
	pthread_mutex_lock(&db->writes_lock);
	*db->waiting_end = w;
	db->waiting_end = &w->next;
	bool first = !db->led;
	db->led = true;
	pthread_mutex_unlock(&db->writes_lock);
	if (!first) wait_for(w);
	if (first || w->leads) lead(db, w);
	sem_destroy(&w->wake);
}

static int write_it(struct db *db, struct write *w) {
	enqueue(db, w);
	if (w->result < 0) cause_fail(w->cause, "%s", w->why);
	return w->result;
}

int db_write(struct db *db, int (*fn)(struct db_conn *tx, void *arg), void *arg) {
	return write_it(db, &(struct write){ .fn = fn, .arg = arg });
}

int db_write_repeatable(struct db *db, int (*fn)(struct db_conn *tx, void *arg), void *arg) {
	return write_it(db, &(struct write){ .fn = fn, .arg = arg, .repeatable = true });
}

/* The keeper. */

/* Not again until as much has come on top: a reader may hold the log from starting over. Under the keeper's lock. */
static bool fold_due(const struct db *db) {
	return db->log_pages >= db->params.checkpoint_pages
	       && (db->log_pages < db->folded_at || db->log_pages >= db->folded_at + db->params.checkpoint_pages);
}

int log_grew(void *ctx, sqlite3 *sqlite UNUSED, const char *name UNUSED, int pages) {
	struct db *db = ctx;
	pthread_mutex_lock(&db->keeper_lock);
	db->log_pages = (size_t)pages;
	if (fold_due(db)) pthread_cond_signal(&db->keeper_wake);
	pthread_mutex_unlock(&db->keeper_lock);
	return SQLITE_OK;
}

static int fold_in(struct db_conn *c, void *arg UNUSED) {
	/* what fails now is done next time */
	sqlite3_wal_checkpoint_v2(c->sqlite, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	return 0;
}

static void keep(struct db *db, struct db_conn *c, size_t pages) {
	fold_in(c, NULL);
	if (pages < db->params.checkpoint_pages * LOG_MUCH) return;
	fold_in(c, NULL);
	struct write w = { .fn = fold_in, .alone = true };
	enqueue(db, &w);
}

static void *keeper_main(void *arg) {
	struct db *db = arg;
	struct db_conn *c = NULL;
	pthread_mutex_lock(&db->keeper_lock);
	while (!db->closing) {
		if (!fold_due(db)) {
			pthread_cond_wait(&db->keeper_wake, &db->keeper_lock);
			continue;
		}
		size_t pages = db->folded_at = db->log_pages;
		pthread_mutex_unlock(&db->keeper_lock);
		if (c != NULL || conn_open(db, true, &c) == 0) keep(db, c, pages);
		pthread_mutex_lock(&db->keeper_lock);
	}
	pthread_mutex_unlock(&db->keeper_lock);
	conn_close(&c);
	return NULL;
}

int keeper_start(struct db *db) {
	if (pthread_create(&db->keeper, NULL, keeper_main, db) != 0)
		return cause_fail(DB_CAUSE_OTHER, "%s: no thread for checkpoints", db->path);
	db->keeper_runs = true;
	return 0;
}

void keeper_stop(struct db *db) {
	if (!db->keeper_runs) return;
	pthread_mutex_lock(&db->keeper_lock);
	db->closing = true;
	pthread_cond_signal(&db->keeper_wake);
	pthread_mutex_unlock(&db->keeper_lock);
	pthread_join(db->keeper, NULL);
	db->keeper_runs = false;
}
