/* SPDX-License-Identifier: Apache-2.0 */
/* Who is next. Hops are visited in turn, each by one look into the index (hop, due): a dead destination with a long
 * queue costs its neighbours nothing. What is out is remembered here and not in the database, so that a crash leaves
 * no claim behind; with a shared database the same walk takes its rows with FOR UPDATE SKIP LOCKED. */
#include "queue/inside.h"
#include "base/clock.h"

enum { LOOK_AGAIN_MS = 1000 };

struct round {
	struct queue *q;
	struct db_conn *c;
	int64_t now_us, next_us;
	const struct queue_limits *limits;
	struct queue_job **jobs;
	size_t count;
	struct arena mem; /* for the hop at hand */
};

static struct slice claim_key(struct arena *mem, struct slice id, int number) {
	return arena_fmt(mem, "%.*s/%d", SLICE_ARG(id), number);
}

static bool is_claimed(struct round *t, struct slice id, int number) {
	return map_get(&t->q->claims, claim_key(&t->mem, id, number)) != NULL;
}

static void job_claim(struct queue *q, struct queue_job *job) {
	const struct queue_message *m = &job->message;
	for (size_t i = 0; i < m->recipient_count; i++)
		map_put(&q->claims, claim_key(&job->mem, m->id, m->recipients[i].number), q);
}

static void fall_due(struct round *t, int64_t us) {
	t->next_us = MIN_OF(t->next_us, us);
}

/* The next hop behind `after` in the order of their names, and when its first recipient falls due. */
static int hop_next(struct round *t, struct slice after, bool from_start, struct slice *hop) {
	AUTO_STMT struct db_stmt *s =
		db_sql(t->c, from_start ? "SELECT hop FROM queue_recipient WHERE hop >= ? ORDER BY hop LIMIT 1"
	                            : "SELECT hop FROM queue_recipient WHERE hop > ? ORDER BY hop LIMIT 1");
	db_bind_text(s, after);
	int r = db_step(s);
	if (r == DB_ROW) *hop = arena_slice(&t->mem, db_text(s, 0));
	return r;
}

static struct hop_out *hop_out(struct queue *q, struct slice hop) {
	struct hop_out *out = map_get(&q->hops, hop);
	if (out == NULL) {
		out = mem_get(sizeof *out);
		map_put(&q->hops, hop, out);
	}
	return out;
}

/* All due and unclaimed recipients of this message and hop, up to the limit. */
static int job_fill(struct round *t, struct queue_job *job) {
	AUTO_STMT struct db_stmt *s =
		db_sql(t->c, "SELECT " QUEUE_RECIPIENT_COLUMNS
			     " FROM queue_recipient WHERE queue_id = ? AND hop = ? AND due_us <= ?"
			     " ORDER BY number");
	struct queue_message *m = &job->message;
	db_bind_text(s, m->id);
	db_bind_text(s, job->hop);
	db_bind_int(s, t->now_us);
	m->recipients = arena_array(&job->mem, t->limits->recipients, sizeof m->recipients[0]);
	int r;
	while (m->recipient_count < t->limits->recipients && (r = db_step(s)) != DB_DONE) {
		if (r < 0) return r;
		if (is_claimed(t, m->id, (int)db_int(s, 0))) continue;
		m->recipients[m->recipient_count++] = recipient_row(s, &job->mem);
	}
	return 0;
}

static int job_make(struct round *t, struct slice id, struct slice hop) {
	struct queue_job *job = mem_get(sizeof *job);
	job->hop = arena_slice(&job->mem, hop);
	int r = message_get(t->c, &job->mem, id, &job->message);
	if (r == 0) r = job_fill(t, job);
	if (r != 0 || job->message.recipient_count == 0) {
		arena_done(&job->mem);
		free(job);
		return r < 0 ? r : 0;
	}
	job_claim(t->q, job);
	hop_out(t->q, hop)->jobs++;
	t->jobs[t->count++] = job;
	return 0;
}

static bool hop_is_full(const struct queue *q, const struct queue_limits *l, struct slice hop) {
	const struct hop_out *out = map_get(&q->hops, hop);
	size_t jobs = out != NULL ? out->jobs : 0,
	       window = l->per_hop != NULL ? l->per_hop(l->ctx, hop) : SIZE_MAX; /* asked once */
	return jobs >= MIN_OF(l->jobs_per_hop, window);
}

static int hop_serve(struct round *t, struct slice hop) {
	AUTO_STMT struct db_stmt *s = db_sql(t->c, "SELECT queue_id, number, due_us FROM queue_recipient"
						   " WHERE hop = ? AND due_us >= ? ORDER BY due_us, queue_id, number");
	struct hop_out *out = map_get(&t->q->hops, hop);
	bool fresh = out == NULL || out->until_ms < clock_ms(), all_out = true, full = false;
	int64_t from = fresh ? INT64_MIN : out->from_us;
	db_bind_text(s, hop);
	db_bind_int(s, from);
	int r;
	while ((r = db_step(s)) == DB_ROW) {
		int64_t due = db_int(s, 2);
		if (due > t->now_us) {
			fall_due(t, due);
			break;
		}
		if (all_out) from = due;
		if (is_claimed(t, db_text(s, 0), (int)db_int(s, 1))) continue;
		if (t->count == t->limits->jobs) break;
		if (hop_is_full(t->q, t->limits, hop)) {
			t->q->held_back = full = true;
			break;
		}
		r = job_make(t, arena_slice(&t->mem, db_text(s, 0)), hop);
		if (r < 0) return r;
		all_out = all_out && is_claimed(t, db_text(s, 0), (int)db_int(s, 1));
	}
	out = map_get(&t->q->hops, hop);
	if (out != NULL) out->from_us = from;
	if (out != NULL) out->full = full;
	if (out != NULL && fresh) out->until_ms = deadline_in(LOOK_AGAIN_MS);
	/* who was put back, or came without queue_entered, may be due before from: nobody else would wake us for him */
	if (!fresh) fall_due(t, t->now_us + LOOK_AGAIN_MS * INT64_C(1000));
	return r < 0 ? r : 0;
}

/* Every hop once, starting behind the one that was served last. */
static int hops_visit(struct round *t) {
	struct slice start = arena_slice(&t->mem, buf_slice(&t->q->cursor)), hop = start;
	bool wrapped = start.len == 0, from_start = wrapped;
	for (;;) {
		int r = hop_next(t, hop, from_start, &hop);
		if (r < 0 || (r == DB_DONE && wrapped)) return r;
		from_start = r == DB_DONE;
		if (from_start) {
			wrapped = true;
			hop = S("");
			continue;
		}
		size_t before = t->count;
		r = hop_serve(t, hop);
		if (r < 0) return r;
		if (t->count > before) {
			buf_clear(&t->q->cursor);
			buf_add(&t->q->cursor, hop);
		}
		if (t->count == t->limits->jobs) {
			fall_due(t, t->now_us);
			return 0;
		}
		if (wrapped && start.len != 0 && slice_order(hop, start) >= 0) return 0;
		struct arena used = t->mem;
		t->mem = (struct arena){0};
		hop = arena_slice(&t->mem, hop);
		start = arena_slice(&t->mem, start);
		arena_done(&used);
	}
}

static void jobs_give_back(struct round *t) {
	while (t->count > 0) queue_job_done(t->q, &t->jobs[--t->count]);
}

int queue_due(struct queue *q, int64_t now_us, const struct queue_limits *limits, struct queue_job **jobs,
              int64_t *next_us) {
	struct round t = { .q = q, .now_us = now_us, .next_us = NEVER, .limits = limits, .jobs = jobs };
	pthread_mutex_lock(&q->lock);
	AUTO_READ struct db_conn *c = db_read(q->db); /* under the lock: sees all that queue_entered told of */
	t.c = c;
	q->held_back = false;
	int r = c != NULL ? hops_visit(&t) : -1;
	pthread_mutex_unlock(&q->lock);
	arena_done(&t.mem);
	if (r < 0) {
		jobs_give_back(&t);
		return r;
	}
	*next_us = t.next_us;
	return (int)t.count;
}

static bool may_be_claimed(const struct queue_message *m, size_t limit) {
	bool may = !m->held && m->recipient_count != 0 && m->recipient_count <= limit;
	for (size_t i = 1; i < m->recipient_count && may; i++)
		may = slice_eq(m->recipients[i].hop, m->recipients[0].hop);
	return may;
}

/* As it will be read from its rows. */
static struct queue_job *job_copy(const struct queue_message *m) {
	struct queue_job *job = mem_get(sizeof *job);
	struct queue_message *to = &job->message;
	struct arena *mem = &job->mem;
	*to = *m;
	struct slice *texts[] = { &to->id, &to->sender, &to->envid, &to->message_id, &to->extra };
	for (size_t i = 0; i < LEN(texts); i++) *texts[i] = arena_slice(mem, *texts[i]);
	to->recipients = arena_array(mem, m->recipient_count, sizeof *to->recipients);
	for (size_t i = 0; i < m->recipient_count; i++) {
		struct queue_recipient *r = &to->recipients[i];
		*r = m->recipients[i];
		*r = (struct queue_recipient){ .number = (int)i,
					       .address = arena_slice(mem, r->address),
					       .orcpt = arena_slice(mem, r->orcpt),
					       .original = arena_slice(mem, r->original),
					       .hop = arena_slice(mem, r->hop),
					       .notify = r->notify,
					       .target = arena_slice(mem, r->target),
					       .due_us = m->arrived_us };
	}
	job->hop = to->recipients[0].hop;
	return job;
}

struct queue_job *queue_claim(struct queue *q, const struct queue_message *m, const struct queue_limits *limits) {
	if (!may_be_claimed(m, limits->recipients)) return NULL;
	struct queue_job *job = job_copy(m);
	struct slice first = claim_key(&job->mem, m->id, 0);
	pthread_mutex_lock(&q->lock);
	bool may = !q->held_back && !hop_is_full(q, limits, job->hop) && map_get(&q->claims, first) == NULL;
	if (may) {
		job_claim(q, job);
		hop_out(q, job->hop)->jobs++;
	}
	pthread_mutex_unlock(&q->lock);
	if (may) return job;
	arena_done(&job->mem);
	free(job);
	return NULL;
}

static bool look_from(void *ctx, struct slice hop UNUSED, void *value) {
	struct hop_out *out = value;
	out->from_us = MIN_OF(out->from_us, *(const int64_t *)ctx);
	return true;
}

void queue_entered(struct queue *q, int64_t due_us) {
	pthread_mutex_lock(&q->lock);
	map_each(&q->hops, look_from, &due_us);
	pthread_mutex_unlock(&q->lock);
}

bool queue_entered_hop(struct queue *q, int64_t due_us, struct slice hop) {
	pthread_mutex_lock(&q->lock);
	struct hop_out *out = map_get(&q->hops, hop);
	if (out != NULL) out->from_us = MIN_OF(out->from_us, due_us);
	bool waits = q->held_back && out != NULL && out->full;
	pthread_mutex_unlock(&q->lock);
	return !waits;
}

bool queue_job_done(struct queue *q, struct queue_job **jobp) {
	struct queue_job *job = TAKE(*jobp);
	if (job == NULL) return false;
	pthread_mutex_lock(&q->lock);
	for (size_t i = 0; i < job->message.recipient_count; i++) {
		AUTO_ARENA struct arena mem = {0};
		map_take(&q->claims, claim_key(&mem, job->message.id, job->message.recipients[i].number));
	}
	struct hop_out *out = map_get(&q->hops, job->hop);
	if (out != NULL && !job->recorded) out->until_ms = 0;
	if (out != NULL) out->full = false;
	if (out != NULL && --out->jobs == 0) free(map_take(&q->hops, job->hop));
	bool held_back = q->held_back;
	pthread_mutex_unlock(&q->lock);
	arena_done(&job->mem);
	free(job);
	return held_back;
}
