/* SPDX-License-Identifier: Apache-2.0 */
/* The messages of a mailbox are cut into parts by their UIDs; whoever is free takes the next part: the session's own
 * worker, and helpers from the pool as long as there are processors for them. Helpers that come too late find nothing
 * to do; the session waits only for those that are in the middle of a part. A part is one snapshot of the database, so
 * that a search that takes long keeps none for long. */
#include "access/imap/search.h"
#include "base/fail.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
	ROWS_A_PART = 16384, HEADS_A_PART = 4096, BODIES_A_PART = 200, PARTS_MAX = 4096,
	HELPERS_MAX = 8, ROWS_TEXT_MAX = 1 << 30
};

static atomic_uint helpers_busy; /* in this process: searches leave processors to others */

struct party {
	struct search_scan *scan;
	unsigned want;
	pthread_mutex_t lock;
	pthread_cond_t left;
	size_t next;        /* part */
	unsigned inside;    /* helpers at work */
	unsigned holders;   /* the session, and helpers that were called */
	int result;
	char why[512];      /* of a failure: fail_text of that thread */
	bool over;          /* scan may not be touched any more */
};

static void run_init(struct search_run *run, const struct search_scan *scan, struct search_part *part) {
	*run = (struct search_run){ .s = scan->s,
				    .scan = scan,
				    .part = part,
				    .references = BUF(KIB(4)),
				    .value = BUF(MIB(1)),
				    .folded = BUF(MIB(4)),
				    .stored = BUF(MIB(8)),
				    .packed = BUF(KIB(64)) };
}

static void run_done(struct search_run *run) {
	imap_body_close(&run->body);
	buf_done(&run->references);
	buf_done(&run->value);
	buf_done(&run->folded);
	buf_done(&run->stored);
	buf_done(&run->packed);
	arena_done(&run->mem);
}

static int test_row(void *ctx, const struct message *m) {
	struct search_run *run = ctx;
	const struct search_scan *scan = run->scan;
	if (scan->selected && view_number(&run->s->box.view, m->uid) == 0) return 0;
	run->m = m;
	run->body = (struct imap_body){ .m = m };
	run->head_read = false;
	run->relevance = run->judged = 0;
	int r = scan->root->test(run, scan->root);
	if (r > 0) {
		r = scan->collect(run);
		if (r == BLOB_GONE) r = 0; /* expunged meanwhile */
	}
	imap_body_close(&run->body);
	arena_reset(&run->mem);
	return MIN_OF(r, 0);
}

/* What all flags must be, when nothing but rows is looked at: the database leaves out the others. */
struct flag_filter { uint32_t mask, flags; };

static struct flag_filter flag_filter(const struct search_node *root) {
	struct flag_filter f = { 0 };
	for (size_t i = 0; i < root->count; i++) {
		const struct search_node *n = root->children[i];
		if (n->test != search_flag && n->test != search_no_flag) continue;
		f.mask |= n->detail;
		if (n->test == search_flag) f.flags |= n->detail;
	}
	return f;
}

static int test_part(const struct search_scan *scan, unsigned want, struct search_part *part) {
	struct search_run run;
	AUTO_READ struct db_conn *c = db_read(scan->s->context->db);
	const struct imap_set *set = &scan->set;
	const struct flag_filter filter = flag_filter(scan->root);
	if (c == NULL) return -1;
	run_init(&run, scan, part);
	run.c = c;
	int r = 0;
	for (size_t i = 0; i < set->count && r == 0 && set->ranges[i].first <= part->range.last; i++) {
		struct uid_range range = { MAX_OF(set->ranges[i].first, part->range.first),
			MIN_OF(set->ranges[i].last, part->range.last) };
		if (range.first > range.last) continue;
		struct uid_set rows = { &range, 1 };
		r = want == WANT_BRIEF && filter.mask != 0
			    ? store_each_flagged(c, scan->box, rows, filter.mask, filter.flags, test_row, &run)
			    : store_each(c, scan->box, rows, want, test_row, &run);
	}
	run_done(&run);
	return r;
}

/* Without the lock: the client may be slow. False: it is gone. */
static bool tell(const struct search_scan *scan, size_t next) {
	return scan->steps != 0 ? imap_progress(scan->s, scan->steps_before, scan->steps)
				: imap_progress(scan->s, next, scan->part_count);
}

/* Takes parts until there are none; the lock is held before and after. tells: the session's own worker tells between
 * two parts how far it is (RFC 9585). */
static void work(struct party *p, bool tells) {
	while (!p->over && p->result == 0 && p->next < p->scan->part_count) {
		struct search_part *part = &p->scan->parts[p->next++];
		pthread_mutex_unlock(&p->lock);
		int r = test_part(p->scan, p->want, part);
		if (tells && r == 0 && !tell(p->scan, (size_t)(part - p->scan->parts) + 1))
			r = fail("the client is gone");
		pthread_mutex_lock(&p->lock);
		if (r != 0 && p->result == 0) {
			p->result = r;
			snprintf(p->why, sizeof p->why, "%s", fail_text());
		}
	}
}

static void leave(struct party *p) {
	bool last = --p->holders == 0;
	pthread_cond_broadcast(&p->left);
	pthread_mutex_unlock(&p->lock);
	if (!last) return;
	pthread_cond_destroy(&p->left);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

static void help(void *arg) {
	struct party *p = arg;
	pthread_mutex_lock(&p->lock);
	p->inside++;
	work(p, false);
	p->inside--;
	atomic_fetch_sub(&helpers_busy, 1);
	leave(p);
}

/* As many as there are processors besides ours, and parts besides the first. */
static void call_helpers(struct party *p) {
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned most = (unsigned)MIN_OF(MAX_OF(processors - 1, 0L), (long)HELPERS_MAX), called = 0;
	for (; called < most && called + 1 < p->scan->part_count; called++) {
		if (atomic_fetch_add(&helpers_busy, 1) >= most) {
			atomic_fetch_sub(&helpers_busy, 1);
			break;
		}
		p->holders++;
		pool_call(p->scan->s->pool, help, p);
	}
}

/* Cuts by UIDs, wider where the set is thin. In a mailbox with large holes some parts hold little, which does no harm.
 */
static void cut(struct search_scan *scan, bool heads) {
	uint64_t span = 0;
	const struct imap_set *set = &scan->set;
	enum search_cost cost = scan->root->cost;
	uint64_t size = cost >= COST_HEADER ? BODIES_A_PART : heads ? HEADS_A_PART : ROWS_A_PART;
	if (set->count == 0) return;
	uint64_t first = set->ranges[0].first, last = set->ranges[set->count - 1].last;
	span = last - first + 1;
	size = MAX_OF(size * (span / MAX_OF(imap_set_size(set), UINT64_C(1))), span / PARTS_MAX + 1);
	scan->part_count = (size_t)((span + size - 1) / size);
	scan->parts = mem_array(scan->part_count, sizeof *scan->parts);
	for (size_t i = 0; i < scan->part_count; i++) {
		uint64_t from = first + i * size, to = MIN_OF(from + size - 1, last);
		scan->parts[i] = (struct search_part){ .range = { (uint32_t)from, (uint32_t)to },
						       .rows = BUF(ROWS_TEXT_MAX),
						       .text = BUF(ROWS_TEXT_MAX),
						       .digests = BUF(ROWS_TEXT_MAX) };
	}
}

/* The messages to look at: those of the sets that everything must be in, or all. */
static void candidates(struct search_scan *scan, uint32_t first, uint32_t last) {
	const struct search_node *root = scan->root;
	struct imap_range *all = arena_get(&scan->s->mem, sizeof *all);
	*all = (struct imap_range){ first, last };
	scan->set = (struct imap_set){ .ranges = all, .count = first <= last };
	for (size_t i = 0; i < root->count; i++) {
		AUTO(imap_set_builder_done) struct imap_set_builder common = { 0 };
		if (root->children[i]->test != search_in_set) continue;
		imap_set_common(&common, &scan->set, &root->children[i]->set);
		scan->set = imap_set_copy(&scan->s->mem, &common.set);
	}
}

void search_scan_selected(struct search_scan *scan, struct imap_session *s, const struct search_node *root) {
	const struct view *v = &s->box.view;
	scan->s = s;
	scan->root = root;
	scan->box = s->box.box;
	scan->selected = true;
	scan->recent_from = s->box.recent_from;
	candidates(scan, v->count != 0 ? view_uid(v, 1) : 1, view_last_uid(v));
}

void search_scan_all(struct search_scan *scan, uint32_t uidnext) {
	candidates(scan, 1, uidnext - 1);
}

static bool tests(const struct search_node *node, search_test *test) {
	for (size_t i = 0; i < node->count; i++)
		if (tests(node->children[i], test)) return true;
	return node->test == test;
}

static void read_ahead(const struct search_scan *scan, unsigned want) {
	AUTO_READ struct db_conn *c = db_read(scan->s->context->db);
	if (c != NULL) store_ahead(c, scan->box, imap_uid_set(&scan->set), want);
}

int search_scan(struct search_scan *scan) {
	bool heads = scan->root->cost > COST_ROW;
	scan->wants_digest |= tests(scan->root, search_thread_id);
	int r = search_narrow(scan->s, scan->box, scan->root, &scan->set);
	if (r != 0) return r;
	cut(scan, heads || scan->wants_digest);
	struct party *p = mem_get(sizeof *p);
	/* the cheapest test comes first: when that is one of bodies, every body is looked at */
	bool bodies = scan->root->count != 0 && scan->root->children[0]->cost >= COST_HEADER;
	bool whole = tests(scan->root, search_email_id) || tests(scan->root, search_saved) ||
		     tests(scan->root, search_saved_moment) || tests(scan->root, search_thread_id);
	*p = (struct party){ .scan = scan, .holders = 1,
		.want = (heads ? WANT_SUMMARY : 0U) | (scan->wants_digest ? WANT_DIGEST : 0U) |
			(bodies ? WANT_BODY : 0U) | (whole ? 0U : WANT_BRIEF) };
	read_ahead(scan, p->want);
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->left, NULL);
	pthread_mutex_lock(&p->lock);
	call_helpers(p);
	work(p, true);
	p->over = true;
	while (p->inside != 0) pthread_cond_wait(&p->left, &p->lock);
	r = p->result;
	if (r < 0) fail("%s", p->why);
	leave(p);
	return r;
}

void search_scan_done(struct search_scan *scan) {
	for (size_t i = 0; i < scan->part_count; i++) {
		buf_done(&scan->parts[i].rows);
		buf_done(&scan->parts[i].text);
		buf_done(&scan->parts[i].digests);
	}
	free(scan->parts);
	scan->parts = NULL;
	scan->part_count = 0;
}

/* Plain finding. */

struct search_found search_found_of(const struct search_run *run) {
	uint32_t relevance = run->judged != 0 ? MAX_OF(run->relevance / run->judged, 1U) : 100;
	return (struct search_found){ run->m->uid, relevance, run->m->modseq };
}

static int collect_found(struct search_run *run) {
	struct search_found f = search_found_of(run);
	return buf_add(&run->part->rows, slice_from(&f, sizeof f)) ? 0 : fail("too many messages found");
}

int search_find(struct search_scan *scan, struct search_result *out) {
	scan->collect = collect_found;
	int r = search_scan(scan);
	for (size_t i = 0; i < scan->part_count && r == 0; i++)
		if (!buf_add(&out->memory, buf_slice(&scan->parts[i].rows))) r = fail("too many messages found");
	out->at = (struct search_found *)(void *)out->memory.at;
	out->count = out->memory.len / sizeof *out->at;
	return r;
}

void search_result_done(struct search_result *r) {
	buf_done(&r->memory);
	r->at = NULL;
	r->count = 0;
}
