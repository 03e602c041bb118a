/* SPDX-License-Identifier: Apache-2.0 */
/* FETCH by pages. What rows, summaries and small bodies answer is formatted inside the snapshot, straight from the
 * database's own memory, and sent outside of it. For larger bodies, and where \Seen is to be set first, rows are copied
 * and bodies opened inside, and all is written outside. */
#include "access/imap/fetch.h"
#include "access/imap/limit.h"
#include "store/acl.h"

enum { BODIES_MAX = 256, PAGE_BYTES = 1024 * 1024, OUT_PAGE = 192 * 1024, AT_ONCE_MAX = 48 * 1024 };

static void clear_page(struct fetch *f) {
	for (size_t i = 0; i < f->row_count; i++) imap_body_close(&f->rows[i].body);
	f->row_count = f->page_bytes = 0;
	f->rows = NULL;
	arena_reset(&f->mem);
}

static void fetch_done(struct fetch *f) {
	clear_page(f);
	arena_done(&f->mem);
}

/* Why a row was not written. */
static int stopped(struct fetch *f) {
	return f->failed != 0 ? f->failed : WALK_PAGE_FULL;
}

static void take_back(struct fetch *f, size_t len) {
	imap_out(f->s)->len = len;
	f->failed = 0;
	f->seen--;
}

static int put_at_once(void *ctx, struct db_conn *c, const struct message *m) {
	struct fetch *f = ctx;
	struct fetch_row row;
	row.m = *m;
	row.body = (struct imap_body){ .m = &row.m };
	row.ready_looked = row.ready_there = row.now_seen = false;
	f->c = c;
	f->seen++;
	size_t before = imap_out(f->s)->len;
	bool put = fetch_put_row(f, &row);
	f->c = NULL;
	imap_body_close(&row.body);
	if (m->summary.len != 0 || row.body.summary != NULL) arena_reset(&f->mem);
	if (!put && f->failed == BLOB_GONE) { /* without a body there is no summary to be made again */
		take_back(f, before);
		return 0;
	}
	if (!put && f->failed == BLOB_ELSEWHERE) {
		take_back(f, before);
		return BLOB_ELSEWHERE;
	}
	if (!put) return stopped(f);
	return imap_out(f->s)->len < OUT_PAGE ? 0 : WALK_PAGE_FULL;
}

static int drain(void *ctx) {
	struct fetch *f = ctx;
	return imap_drain(f->s) ? 0 : WALK_PAGE_FULL;
}

static int gather(void *ctx, struct db_conn *c, const struct message *m) {
	struct fetch *f = ctx;
	if (f->rows == NULL) f->rows = arena_array(&f->mem, BODIES_MAX, sizeof(*f->rows));
	struct fetch_row *row = &f->rows[f->row_count];
	*row = (struct fetch_row){ .m = *m, .body.m = &row->m };
	row->m.keywords = arena_slice(&f->mem, m->keywords);
	row->m.digest = arena_slice(&f->mem, m->digest);
	/* of the summary only numbers, where they are enough */
	if ((f->needs & FETCH_PARTS) == 0 && fetch_ready(row) != NULL) {
		row->ready.envelope = row->ready.structure = row->ready.preview = row->m.summary = SLICE_NONE;
	} else {
		row->ready_looked = row->ready_there = false;
		row->m.summary = arena_slice(&f->mem, m->summary);
	}
	int r = imap_body_open(&row->body, c);
	row->m.body = SLICE_NONE;
	if (r != 0) return r == BLOB_GONE ? 0 : r;
	f->seen++;
	f->row_count++;
	f->page_bytes += row->m.summary.len + (size_t)MIN_OF(m->size, (uint64_t)KIB(256));
	return f->row_count < BODIES_MAX && f->page_bytes < PAGE_BYTES ? 0 : WALK_PAGE_FULL;
}

/* Once a row waits for its body, those behind it wait too. */
static int put_or_gather(void *ctx, struct db_conn *c, const struct message *m) {
	struct fetch *f = ctx;
	bool now = f->row_count == 0 && m->size <= AT_ONCE_MAX && (!f->sets_seen || (m->flags & FLAG_SEEN) != 0);
	int r = now ? put_at_once(f, c, m) : BLOB_ELSEWHERE;
	return r == BLOB_ELSEWHERE ? gather(f, c, m) : r;
}

/* \Seen. */

struct seeing { struct fetch *f; struct imap_set set; struct imap_own_change own; };

static int set_seen(struct db_conn *tx, void *arg) {
	struct seeing *see = arg;
	const struct flag_change change = { .how = FLAGS_ADD, .flags = FLAG_SEEN };
	struct box box = see->f->s->box.box;
	int r = imap_own_begin(tx, box, &see->own);
	return r != 0 ? r : store_flags(tx, box, imap_uid_set(&see->set), &change, NULL, NULL, NULL, &see->own.after);
}

static int mark_seen(struct fetch *f) {
	struct imap_set_builder unseen = { 0 };
	for (size_t i = 0; i < f->row_count; i++) {
		struct message *m = &f->rows[i].m;
		if ((m->flags & FLAG_SEEN) != 0) continue;
		imap_set_append(&unseen, m->uid, m->uid);
		m->flags |= FLAG_SEEN;
		f->rows[i].now_seen = true;
	}
	struct seeing see = { .f = f, .set = unseen.set };
	int r = unseen.set.count != 0 ? db_write_repeatable(f->s->context->db, set_seen, &see) : 0;
	if (r == 0) imap_own_end(f->s, &see.own);
	for (size_t i = 0; i < f->row_count && see.own.after != 0; i++)
		if (f->rows[i].now_seen) f->rows[i].m.modseq = see.own.after;
	imap_set_builder_done(&unseen);
	return r;
}

static int put_page(void *ctx) {
	struct fetch *f = ctx;
	if (!imap_drain(f->s)) return WALK_PAGE_FULL;
	int r = f->sets_seen ? mark_seen(f) : 0;
	for (size_t i = 0; i < f->row_count && r == 0; i++) {
		struct fetch_row *row = &f->rows[i];
		if (!fetch_put_row(f, row) || !imap_drain(f->s)) r = stopped(f);
	}
	clear_page(f);
	return r;
}

/* What of the rows has to be read. */
static unsigned want(const struct fetch *f) {
	unsigned what = (f->needs & FETCH_SUMMARY) != 0 ? WANT_SUMMARY : 0;
	if ((f->needs & FETCH_BODY) != 0) what |= WANT_BODY;
	if ((f->needs & FETCH_DIGEST) != 0) what |= WANT_DIGEST;
	if ((f->needs & FETCH_ROW) != 0) return what;
	return what | ((f->needs & FETCH_TIMES) != 0 || imap_enabled(f->s, IMAP_CONDSTORE) ? WANT_BRIEF : WANT_LEAN);
}

void imap_fetch_quietly(struct imap_session *s, struct slice items, const struct imap_set *uids) {
	AUTO(fetch_done) struct fetch f = { .s = s, .set = imap_set_copy(&s->mem, uids) };
	struct imap_parse p = IMAP_PARSE(items, &s->mem);
	if (!imap_load(s) || !fetch_parse(&p, &f, true)) return;
	const struct imap_walk walk = { want(&f), put_or_gather, put_page, &f };
	if (imap_walk(s, &f.set, &walk) < 0) imap_refused(s, -1, "notify");
}

IMAP_COMMAND(imap_do_fetch) {
	AUTO(fetch_done) struct fetch f = { .s = s };
	struct imap_set said = { 0 };
	struct imap_parse ahead = call->p;
	if (!imap_parse_messages(s, call, &f.set) || !imap_parse_space(&call->p) ||
	    !fetch_parse(&call->p, &f, call->uid))
		return imap_bad(&call->p);
	if (f.vanished && imap_parse_space(&ahead) && imap_parse_set(&ahead, &said))
		imap_set_settle(&said, s->box.view.uidnext);
	uint64_t limit = imap_messages_limit(s), page = (uint64_t)(MAX_OF(f.page_first, f.page_last) -
								   MIN_OF(f.page_first, f.page_last)) + 1;
	if (limit != 0 && f.paged && page > limit)
		return imap_no(imap_limit_text(s, limit, 0, "A page holds fewer messages."));
	int r = fetch_narrow(&f, &said);
	if (r != 0) return imap_refused(s, r, "fetch");
	uint32_t lowest = imap_limit_set(s, limit, &f.set);
	bool bodies = (f.needs & FETCH_BODY) != 0;
	f.sets_seen = (f.needs & FETCH_SEEN) != 0 && !s->box.read_only && (s->box.rights & ACL_SEEN) != 0;
	const struct imap_walk walk = { want(&f), bodies ? put_or_gather : put_at_once, bodies ? put_page : drain, &f };
	r = imap_walk(s, &f.set, &walk);
	if (s->broken) return imap_no("");
	if (r != 0) return imap_refused(s, r, "fetch");
	struct imap_answer a = imap_ok("Fetch completed.");
	if (f.unknown_encoding) a = imap_no("[UNKNOWN-CTE] A part has a transfer encoding that is not known.");
	else if (!call->uid && f.seen < imap_view_count(s, &f.set))
		a = imap_no("[EXPUNGEISSUED] Some of the messages no longer exist.");
	return imap_limit_answer(s, lowest, a);
}
