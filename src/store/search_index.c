/* SPDX-License-Identifier: Apache-2.0 */
/* The indexer goes over the bodies in the order of their ids, and its mark moves up to the floor below which none can
 * come any more (blob_floor), so that nothing is missed that is committed late. */
#include "store/search_index.h"
#include "base/clock.h"
#include "base/fail.h"
#include "base/log.h"
#include "db/blob.h"
#include "mime/fold.h"
#include "store/summary_cache.h"
#include "store/text.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>

enum {
	SLICE = 2500, /* at each end of a transaction FTS5 sorts all it has: half of the work with 300 */
	SLICE_BYTES = 32 * 1024 * 1024,
	IDLE_MS = 2000,
	DEAD_EVERY_MS = 3600000,
	DEAD_LEAST = 5000,
	NICE = 10,
	ROOM_KEPT = 32 * 1024 * 1024
};
/* Others go first, but not for ever. */
enum { BUSY_PERCENT = 10, LOOK_MS = 250, PUT_OFF_MS = 60000, TURN_MS = 10000 };

struct search_index {
	struct db *db;
	struct text_index *text;
	struct summary_cache *summaries; /* made in the same background */
	struct text_index *fresh; /* being filled beside it; NULL: none. The worker's */
	_Atomic bool rebuild, rebuilding, stopping;
	_Atomic int64_t fresh_to;
	const struct extractor *extractor;
	int64_t extracted_to;     /* text of attachments was made up to this id */
	bool failing;             /* said so already */
	int64_t dead_at;          /* when to count the dead again */
	pthread_mutex_t lock;
	pthread_cond_t wake;
	pthread_t thread;
	bool runs, words; /* words: it keeps the index, else only the packs of summary_cache.h */
};

/* When the first schema was laid down: another database has another time. An index of text that was folded otherwise is
 * none of ours either. */
static int origin_of(struct db *db, int64_t *origin) {
	AUTO_READ struct db_conn *c = db_read(db);
	if (c == NULL) return -1;
	AUTO_STMT struct db_stmt *s = db_sql(c, "SELECT MIN(applied_us) FROM schema_version");
	int r = db_step(s);
	if (r == DB_ROW) *origin = db_int(s, 0) * 16 + TEXT_FOLD_VERSION;
	return r < 0 ? r : 0;
}

int search_index_open(struct db *db, struct search_index **out) {
	int64_t origin = 0;
	struct text_index *text = NULL;
	int r = origin_of(db, &origin);
	if (r == 0) r = text_index_open(db_dir(db), origin, &text);
	if (r < 0) return r;
	struct search_index *x = mem_get(sizeof *x);
	x->db = db;
	x->text = text;
	x->summaries = summary_cache_open(db, origin / 16);
	pthread_mutex_init(&x->lock, NULL);
	pthread_cond_init(&x->wake, NULL);
	*out = x;
	return 0;
}

void search_index_close(struct search_index **xp) {
	struct search_index *x = TAKE(*xp);
	if (x == NULL) return;
	search_index_stop(x);
	text_index_close(&x->fresh);
	text_index_close(&x->text);
	summary_cache_close(&x->summaries);
	pthread_mutex_destroy(&x->lock);
	pthread_cond_destroy(&x->wake);
	free(x);
}

int search_index_find(struct search_index *x, struct slice needle, struct arena *mem, struct text_found *out) {
	return x == NULL ? TEXT_CANNOT : text_index_find(x->text, needle, mem, out);
}

bool search_index_excludes(const struct text_found *f, int64_t blob_id) {
	if (blob_id > f->known_to) return false;
	size_t low = 0, high = f->count;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (f->ids[mid] < blob_id) low = mid + 1;
		else high = mid;
	}
	return low == f->count || f->ids[low] != blob_id;
}

/* Indexing. */

struct slice_of_work {
	struct search_index *x;
	struct db_conn *c;
	struct text_batch *batch;
	int64_t after, floor, id; /* ids in between; the one being read */
	struct buf extracted;     /* of that one */
	uint64_t bytes, bodies;
	bool more;
	int index_result;   /* of the index: other failures are the body's */
};

static int take(void *ctx, struct slice folded) {
	struct slice_of_work *w = ctx;
	w->bytes += folded.len;
	w->index_result = text_index_add(w->batch, w->id, folded);
	return w->index_result < 0 ? -1 : w->x->stopping ? 1 : 0;
}

/* 1: stopped in the middle. A body that cannot be read has no text: SEARCH cannot read it either. */
static int index_one(struct slice_of_work *w, struct arena *mem, struct slice packed) {
	AUTO_BLOB struct blob *blob = NULL;
	struct summary summary;
	w->index_result = text_index_add(w->batch, w->id, SLICE_NONE);
	if (w->index_result < 0) return w->index_result;
	int r = blob_open(w->c, w->id, &blob);
	if (r == 0) r = store_summary(packed, blob, mem, &summary);
	buf_clear(&w->extracted);
	if (r == 0 && extract_may(&summary)) r = extract_read(w->c, w->id, &w->extracted);
	if (r == 0)
		r = store_text(blob, &summary, STORE_TEXT_HEADER | STORE_TEXT_BODY, buf_slice(&w->extracted), take, w);
	if (w->index_result < 0) return w->index_result;
	if (r < 0) say(L_WARN, "search", "not indexed: %s", fail_text());
	return r > 0 && w->x->stopping ? 1 : 0;
}

static int index_slice(struct text_batch *batch, void *ctx) {
	struct slice_of_work *w = ctx;
	AUTO_ARENA struct arena mem = { 0 };
	w->batch = batch;
	AUTO_STMT struct db_stmt *s =
		db_sql(w->c, "SELECT blob.id, summary.data FROM blob LEFT JOIN summary ON summary.blob_id = blob.id"
			     " WHERE blob.id > ? AND blob.id < ? ORDER BY blob.id");
	db_bind_int(s, w->after);
	db_bind_int(s, w->floor);
	int64_t done = w->after;
	int r, q = DB_DONE;
	for (r = 0; r == 0 && (q = db_step(s)) == DB_ROW; arena_reset(&mem)) {
		w->more = w->bodies == SLICE || w->bytes > SLICE_BYTES || w->x->stopping;
		if (w->more) break;
		w->id = db_int(s, 0);
		r = index_one(w, &mem, db_bytes(s, 1));
		if (r == 0) done = w->id;
		if (r == 0) w->bodies++;
	}
	if (q < 0) {
		say(L_WARN, "search", "%s", fail_text());
		w->more = false;
	}
	if (r < 0) return r;
	return text_index_mark(batch, w->more || r > 0 || q < 0 ? done : w->floor - 1);
}

/* Text of attachments. A page of bodies is looked at; the connection is not held while a program runs. */

enum { EXTRACT_MS = 10000 };
struct waiting_text {
	struct arena mem;
	struct {
		int64_t id;
		struct slice packed;
	} at[SLICE];
	size_t count;
	int64_t last; /* the last one that was looked at */
};

static int find_waiting(struct search_index *x, int64_t after, int64_t floor, struct waiting_text *out) {
	AUTO_READ struct db_conn *c = db_read(x->db);
	if (c == NULL) return -1;
	AUTO_STMT struct db_stmt *s =
		db_sql(c, "SELECT blob.id, summary.data FROM blob LEFT JOIN summary ON"
			  " summary.blob_id = blob.id WHERE blob.id > ? AND blob.id < ? AND NOT EXISTS"
			  " (SELECT 1 FROM blob_text WHERE blob_text.blob_id = blob.id) ORDER BY blob.id");
	db_bind_int(s, after);
	db_bind_int(s, floor);
	int r;
	out->last = floor - 1;
	for (size_t seen = 0; (r = db_step(s)) == DB_ROW; seen++) {
		AUTO_ARENA struct arena mem = { 0 };
		struct summary summary;
		struct unwire w = UNWIRE(db_bytes(s, 1), &mem);
		if (seen == SLICE) break;
		out->last = db_int(s, 0);
		if (db_bytes(s, 1).len != 0) summary_unpack(&w, &summary);
		if (db_bytes(s, 1).len != 0 && !w.bad && !extract_may(&summary)) continue;
		out->at[out->count].id = out->last;
		out->at[out->count++].packed = arena_slice(&out->mem, db_bytes(s, 1));
	}
	if (r == DB_DONE) out->last = floor - 1;
	return MIN_OF(r, 0);
}

static int extract_one(struct search_index *x, int64_t id, struct slice packed) {
	AUTO_ARENA struct arena mem = { 0 };
	AUTO_BLOB struct blob *blob = NULL;
	struct summary summary;
	struct db_conn *c AUTO_READ = db_read(x->db);
	int r = c != NULL ? blob_open(c, id, &blob) : -1;
	db_release(&c);
	if (r == 0) r = store_summary(packed, blob, &mem, &summary);
	if (r != 0) return 0; /* gone, or not readable: it has no text */
	return extract_text(x->db, x->extractor, id, blob, &summary);
}

/* Makes the text of what comes behind `after`, some seconds long; floor sinks to how far it came. 1: there is more. */
static int extract_slice(struct search_index *x, int64_t after, int64_t *floor) {
	int64_t until = deadline_in(EXTRACT_MS), end = *floor;
	int r = 0;
	after = MAX_OF(after, x->extracted_to);
	if (x->extractor == NULL || after >= end - 1) return 0;
	struct waiting_text *w = mem_get(sizeof *w);
	r = find_waiting(x, after, end, w);
	if (r == 0) after = w->last;
	for (size_t i = 0; i < w->count && r == 0; i++) {
		bool stop = x->stopping || clock_ms() > until;
		if (!stop) r = extract_one(x, w->at[i].id, w->at[i].packed);
		if (!stop && r == 0) continue;
		after = w->at[i].id - 1;
		break;
	}
	if (after > x->extracted_to) x->extracted_to = after;
	arena_done(&w->mem);
	free(w);
	*floor = MIN_OF(end, x->extracted_to + 1);
	return r < 0 ? r : *floor < end;
}

void search_index_extractor(struct search_index *x, const struct extractor *e) {
	must(!x->runs);
	if (e == NULL || x->extractor == NULL) x->extracted_to = 0;
	x->extractor = e;
}

/* What waits below the floor? Looked at before the index is written to, which costs a sync. */
static int any_waiting(struct db_conn *c, int64_t after, int64_t floor) {
	AUTO_STMT struct db_stmt *s = db_sql(c, "SELECT 1 FROM blob WHERE id > ? AND id < ? LIMIT 1");
	db_bind_int(s, after);
	db_bind_int(s, floor);
	return db_step(s);
}

/* 1: there is more. */
static int work_on(struct search_index *x, struct text_index *text) {
	struct text_index_state state;
	int r = text_index_state(text, &state);
	if (r < 0) return r;
	struct slice_of_work w = {
		.x = x, .after = state.known_to, .floor = blob_floor(x->db), .extracted = BUF(EXTRACT_MOST * 2)
	};
	int extracting = extract_slice(x, w.after, &w.floor);
	AUTO_READ struct db_conn *c = db_read(x->db); /* after the floor was taken */
	w.c = c;
	r = c == NULL ? -1 : any_waiting(c, w.after, w.floor);
	if (r == DB_ROW) {
		r = text_index_write(text, index_slice, &w);
		if (text == x->fresh) x->fresh_to = w.id;
	}
	buf_done(&w.extracted);
	return r < 0 || extracting < 0 ? -1 : w.more || extracting;
}

/* Rebuilding. */

static int count(struct db *db, const char *sql, int64_t from, uint64_t *out) {
	AUTO_READ struct db_conn *c = db_read(db);
	if (c == NULL) return -1;
	AUTO_STMT struct db_stmt *s = db_sql(c, sql);
	db_bind_int(s, from);
	int r = db_step(s);
	if (r == DB_ROW) *out = (uint64_t)db_int(s, 0);
	return r < 0 ? r : 0;
}

static const char bodies_after[] = "SELECT COUNT(*) FROM blob WHERE id > ?",
		  bodies_to[] = "SELECT COUNT(*) FROM blob WHERE id <= ?";

static bool much_is_dead(struct search_index *x) {
	struct text_index_state s;
	uint64_t alive = 0;
	if (clock_ms() < x->dead_at) return false;
	x->dead_at = deadline_in(DEAD_EVERY_MS);
	if (text_index_state(x->text, &s) < 0 || count(x->db, bodies_to, s.known_to, &alive) < 0) return false;
	return s.documents > DEAD_LEAST && alive < s.documents / 3 * 2;
}

static int rebuild_begin(struct search_index *x) {
	x->rebuild = false;
	text_index_close(&x->fresh);
	if (text_index_beside(x->text, &x->fresh) < 0) return -1;
	x->fresh_to = x->extracted_to = 0;
	x->rebuilding = true;
	say(L_INFO, "search", "the search index is being made anew");
	return 0;
}

static int rebuild_end(struct search_index *x) {
	struct text_index_state s = { 0 };
	int r = text_index_replace(x->text, &x->fresh);
	x->rebuilding = false;
	if (r == 0) r = text_index_state(x->text, &s);
	if (r == 0) say(L_INFO, "search", "the search index is new: %llu documents", (unsigned long long)s.documents);
	return r;
}

int search_index_work(struct search_index *x) {
	text_index_look(x->text);
	if ((x->rebuild || (x->fresh == NULL && much_is_dead(x))) && rebuild_begin(x) < 0) return -1;
	int r = work_on(x, x->fresh != NULL ? x->fresh : x->text);
	return r == 0 && x->fresh != NULL && !x->stopping ? rebuild_end(x) : r;
}

/* The background. */

static void sleep_until(struct search_index *x, int64_t ms) {
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	t.tv_sec += ms / 1000;
	t.tv_nsec += ms % 1000 * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_nsec -= 1000000000;
		t.tv_sec++;
	}
	pthread_mutex_lock(&x->lock);
	if (!x->stopping && !x->rebuild) pthread_cond_timedwait(&x->wake, &x->lock, &t);
	pthread_mutex_unlock(&x->lock);
}

static int64_t cpu_us(clockid_t clock) {
	struct timespec t;
	clock_gettime(clock, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* How busy this process was since the last look, apart from this thread: taking mail in, answering clients. */
struct calm { int64_t wall_us, others_us, put_off_until; };

static bool others_are_busy(struct calm *c) {
	int64_t wall = cpu_us(CLOCK_MONOTONIC),
		others = cpu_us(CLOCK_PROCESS_CPUTIME_ID) - cpu_us(CLOCK_THREAD_CPUTIME_ID);
	bool busy = (others - c->others_us) * 100 > (wall - c->wall_us) * BUSY_PERCENT;
	c->wall_us = wall;
	c->others_us = others;
	return busy;
}

/* True: let them go first. After a minute of that there is a turn of ten seconds. */
static bool gives_way(struct calm *c) {
	bool busy = others_are_busy(c);
	if (!busy || clock_ms() > c->put_off_until + TURN_MS) c->put_off_until = deadline_in(PUT_OFF_MS);
	return busy && clock_ms() < c->put_off_until;
}

/* The last of the disk is for mail. */
static bool has_room(const struct search_index *x) {
	struct statvfs fs;
	return statvfs(db_dir(x->db), &fs) != 0 || (uint64_t)fs.f_bavail * fs.f_frsize >= ROOM_KEPT;
}

static int work(struct search_index *x) {
	if (!has_room(x)) return fail("less than %d MB are free on the disk", (int)(ROOM_KEPT / MIB(1)));
	int r = x->words ? search_index_work(x) : 0;
	return r == 0 ? summary_cache_work(x->summaries) : r;
}

static void *background(void *arg) {
	struct search_index *x = arg;
	struct calm calm = { .put_off_until = deadline_in(PUT_OFF_MS) };
	bool slept = true;
	setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), NICE); /* of this thread alone, on Linux */
	while (!x->stopping) {
		if (slept) { /* what was long ago says little: a load may have begun since */
			others_are_busy(&calm);
			sleep_until(x, LOOK_MS);
			slept = false;
		}
		if (!x->rebuild && gives_way(&calm)) {
			sleep_until(x, LOOK_MS);
			continue;
		}
		int r = work(x);
		if (r < 0 && !x->failing)
			say(L_WARN, "search", "indexing: %s (searches go on without it)", fail_text());
		x->failing = r < 0;
		slept = r != 1;
		if (slept) sleep_until(x, r < 0 ? IDLE_MS * 10 : IDLE_MS);
	}
	return NULL;
}

static void wake(struct search_index *x) {
	pthread_mutex_lock(&x->lock);
	pthread_cond_signal(&x->wake);
	pthread_mutex_unlock(&x->lock);
}

void search_index_stop(struct search_index *x) {
	if (!x->runs) return;
	x->stopping = true;
	wake(x);
	pthread_join(x->thread, NULL);
	x->stopping = false;
	x->runs = false;
}

int search_index_start(struct search_index *x, bool words) {
	if (x->runs && x->words == words) return 0;
	search_index_stop(x);
	x->words = words;
	x->dead_at = deadline_in(DEAD_EVERY_MS / 60);
	if (pthread_create(&x->thread, NULL, background, x) != 0) return fail("search index: no thread");
	x->runs = true;
	return 0;
}

void search_index_rebuild(struct search_index *x) {
	x->rebuild = true;
	wake(x);
}

/* Looking. */

int search_index_status(struct search_index *x, struct search_index_status *out) {
	struct search_index_status s = { .rebuilding = x->rebuilding || x->rebuild };
	int r = text_index_state(x->text, &s.index);
	if (r == 0) r = count(x->db, bodies_after, 0, &s.bodies);
	if (r == 0) r = count(x->db, bodies_after, s.rebuilding ? x->fresh_to : s.index.known_to, &s.waiting);
	if (r == 0) *out = s;
	return r;
}

int search_index_account(struct search_index *x, int64_t account, uint64_t *messages, uint64_t *waiting) {
	struct text_index_state state;
	if (text_index_state(x->text, &state) < 0) return -1;
	AUTO_READ struct db_conn *c = db_read(x->db);
	if (c == NULL) return -1;
	AUTO_STMT struct db_stmt *s = db_sql(c, "SELECT COUNT(*), COALESCE(SUM(CASE WHEN message.blob_id > ? THEN 1 "
						"ELSE 0 END), 0) FROM message JOIN mailbox"
						" ON mailbox.account_id = message.account_id AND mailbox.id = "
						"message.mailbox_id AND mailbox.name IS NOT NULL"
						" WHERE message.account_id = ?");
	db_bind_int(s, state.known_to);
	db_bind_int(s, account);
	int r = db_step(s);
	if (r != DB_ROW) return r;
	*messages = (uint64_t)db_int(s, 0);
	*waiting = (uint64_t)db_int(s, 1);
	return 0;
}

struct comparing { struct db_stmt *s; int64_t next, known_to; uint64_t missing; int result; };

static void next_body(struct comparing *m) {
	m->result = db_step(m->s);
	m->next = m->result == DB_ROW ? db_int(m->s, 0) : INT64_MAX;
	if (m->next > m->known_to) m->next = INT64_MAX;
}

static int compare(void *ctx, int64_t id) {
	struct comparing *m = ctx;
	for (; m->next < id; next_body(m)) m->missing++;
	if (m->next == id) next_body(m);
	return 0;
}

int search_index_missing(struct search_index *x, uint64_t *missing) {
	struct text_index_state state;
	if (text_index_state(x->text, &state) < 0) return -1;
	AUTO_READ struct db_conn *c = db_read(x->db);
	if (c == NULL) return -1;
	AUTO_STMT struct db_stmt *s = db_sql(c, "SELECT id FROM blob ORDER BY id");
	struct comparing m = { .s = s, .known_to = state.known_to };
	next_body(&m);
	int r = text_index_each(x->text, compare, &m);
	for (; r == 0 && m.next != INT64_MAX; next_body(&m)) m.missing++;
	if (r < 0 || m.result < 0) return -1;
	*missing = m.missing;
	return 0;
}
