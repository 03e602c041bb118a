/* SPDX-License-Identifier: Apache-2.0 */
/* A live search remembers its results and, as a tree of its own memory, what was searched. News are tested alone: a
 * change costs the messages that changed, not the mailbox; only a sorted one that grew is sorted again. What a message
 * is sorted by never changes, so that its place can only be shifted. */
#include "access/imap/fetch.h"
#include "access/imap/live.h"
#include "access/imap/sort.h"
#include "base/fail.h"
#include "base/log.h"

struct live {
	struct live *next;
	struct arena mem;
	enum live_kind kind;
	bool uid;
	struct slice tag;
	struct search_node *root;
	struct slice fetch;        /* "(items)" of what comes in; empty: nothing */
	struct sort_keys keys;
	struct search_result results;
	uint64_t modseq;           /* up to here changes are in the results */
};

static void live_free(struct live *l) {
	search_result_done(&l->results);
	arena_done(&l->mem);
	free(l);
}

void live_end_all(struct imap_session *s) {
	while (s->box.live != NULL) {
		struct live *l = s->box.live;
		s->box.live = l->next;
		live_free(l);
	}
}

static struct live **place_of(struct live **at, struct slice tag) {
	while (*at != NULL && !slice_eq((*at)->tag, tag)) at = &(*at)->next;
	return at;
}

bool live_find(const struct imap_session *s, struct slice tag) {
	struct live *first = s->box.live;
	return *place_of(&first, tag) != NULL;
}

struct imap_answer live_tag_taken(void) {
	return (struct imap_answer){ IMAP_BAD, "This tag names a search that is still updated." };
}

void live_start(struct imap_session *s, const struct imap_call *call, enum live_kind kind, struct slice words,
		const struct search_result *found) {
	size_t count = 0;
	for (struct live *l = s->box.live; l != NULL; l = l->next) count++;
	if (count >= LIVE_MAX) {
		buf_add(imap_out(s), S("* NO [NOUPDATE "));
		imap_put_string(imap_out(s), call->tag);
		buf_add(imap_out(s), S("] "));
		imap_say(s, "Too many searches are updated already.");
		return;
	}
	struct live *l = mem_get(sizeof *l);
	*l = (struct live){ .kind = kind, .uid = call->uid, .results = SEARCH_RESULT, .modseq = s->box.modseq };
	l->tag = arena_slice(&l->mem, call->tag);
	struct imap_parse p = IMAP_PARSE(arena_slice(&l->mem, words), &l->mem);
	struct search_ask ask = { 0 };
	bool good = kind == LIVE_SEARCH ? search_parse(s, &p, &ask)
					: search_parse_return(&p, &ask) && sort_parse(&p, &l->keys) &&
						  search_parse_charset(&p, &ask) && search_parse_keys(s, &p, &ask);
	must(good); /* it was read before */
	l->root = ask.root;
	l->fetch = ask.update_fetch;
	buf_add(&l->results.memory, slice_from(found->at, found->count * sizeof *found->at));
	l->results.at = (struct search_found *)(void *)l->results.memory.at;
	l->results.count = found->count;
	l->next = s->box.live;
	s->box.live = l;
}

IMAP_COMMAND(imap_do_cancelupdate) {
	struct slice tags[LIVE_MAX];
	size_t count = 0;
	do {
		if (count == LIVE_MAX) imap_parse_fail(&call->p, "Too many tags.");
		if (!imap_parse_space(&call->p) || !imap_parse_string(&call->p, &tags[count]))
			return imap_bad(&call->p);
		if (!live_find(s, tags[count++])) imap_parse_fail(&call->p, "No search of this tag is updated.");
	} while (call->p.error == NULL && call->p.rest.len != 0);
	if (!imap_parse_end(&call->p)) return imap_bad(&call->p);
	for (size_t i = 0; i < count; i++) {
		struct live **at = place_of(&s->box.live, tags[i]), *l = *at;
		if (l == NULL) continue; /* named twice */
		*at = l->next;
		live_free(l);
	}
	return imap_ok("No further updates.");
}

/* Telling. */

struct telling { struct imap_session *s; const struct live *live; bool begun, removing, adding; };

static void say_item(struct telling *t, const char *word, bool *open) {
	struct buf *out = imap_out(t->s);
	if (!t->begun) {
		buf_add(out, S("* ESEARCH (TAG "));
		imap_put_string(out, t->live->tag);
		buf_add(out, t->live->uid ? S(") UID") : S(")"));
		t->begun = true;
	}
	buf_addf(out, *open ? " " : " %s (", word);
	*open = true;
}

static uint32_t told_as(const struct telling *t, uint32_t uid) {
	return t->live->uid ? uid : view_number(&t->s->box.view, uid);
}

static void end_removing(struct telling *t) {
	if (t->removing) buf_byte(imap_out(t->s), ')');
	t->removing = false;
}

static void end_telling(struct telling *t) {
	end_removing(t);
	if (t->adding) buf_byte(imap_out(t->s), ')');
	if (t->begun) buf_add(imap_out(t->s), S("\r\n"));
}

/* A set at place 0, for the order of the mailbox. */
static void say_set(struct telling *t, const char *word, bool *open, const struct imap_set_builder *uids) {
	struct imap_set_builder told = { 0 };
	if (uids->set.count == 0) return;
	for (size_t i = 0; i < uids->set.count; i++)
		for (uint32_t uid = uids->set.ranges[i].first;; uid++) {
			uint32_t n = told_as(t, uid);
			imap_set_append(&told, n, n);
			if (uid == uids->set.ranges[i].last) break;
		}
	say_item(t, word, open);
	buf_add(imap_out(t->s), S("0 "));
	imap_put_set(imap_out(t->s), &told.set);
	imap_set_builder_done(&told);
}

/* Takes those of the settled set out of the results, and tells it. From the end, where removing shifts nobody. */
static void take_out(struct telling *t, struct live *l, const struct imap_set *uids) {
	struct search_result *r = &l->results;
	struct imap_set_builder gone = { 0 };
	for (size_t i = r->count; i-- > 0 && l->kind == LIVE_SORT;) {
		if (!imap_set_has(uids, r->at[i].uid)) continue;
		say_item(t, "REMOVEFROM", &t->removing);
		buf_addf(imap_out(t->s), "%zu %u", i + 1, told_as(t, r->at[i].uid));
	}
	size_t kept = 0;
	for (size_t i = 0; i < r->count; i++) {
		uint32_t uid = r->at[i].uid;
		if (!imap_set_has(uids, uid)) r->at[kept++] = r->at[i];
		else if (l->kind == LIVE_SEARCH) imap_set_append(&gone, uid, uid);
	}
	r->count = kept;
	r->memory.len = kept * sizeof *r->at;
	say_set(t, "REMOVEFROM", &t->removing, &gone);
	imap_set_builder_done(&gone);
}

void live_gone(struct imap_session *s, const struct imap_set *uids) {
	for (struct live *l = s->box.live; l != NULL; l = l->next) {
		struct telling t = { .s = s, .live = l };
		take_out(&t, l, uids);
		end_telling(&t);
	}
}

/* Adding. */

static int found_order(const void *a, const void *b) {
	const struct search_found *x = a, *y = b;
	return (x->uid > y->uid) - (x->uid < y->uid);
}

/* All results and the new ones, in the order of the mailbox. */
static void join(struct search_result *r, const struct search_result *added) {
	buf_add(&r->memory, slice_from(added->at, added->count * sizeof *added->at));
	r->at = (struct search_found *)(void *)r->memory.at;
	r->count += added->count;
	if (r->count != 0) qsort(r->at, r->count, sizeof *r->at, found_order);
}

static bool is_among(const struct search_result *sorted, uint32_t uid) {
	const struct search_found key = { .uid = uid };
	return sorted->count != 0 && bsearch(&key, sorted->at, sorted->count, sizeof key, found_order) != NULL;
}

static int sort_again(struct imap_session *s, struct live *l) {
	static const struct search_node all = { .test = search_all };
	AUTO(search_scan_done) struct search_scan scan = { .parts = NULL };
	struct search_result fresh = SEARCH_RESULT;
	struct imap_set_builder set = { 0 };
	for (size_t i = 0; i < l->results.count; i++) imap_set_append(&set, l->results.at[i].uid, l->results.at[i].uid);
	search_scan_selected(&scan, s, &all);
	scan.set = set.set;
	int r = sort_find(&scan, &l->keys, &fresh);
	imap_set_builder_done(&set);
	search_result_done(r == 0 ? &l->results : &fresh);
	if (r == 0) l->results = fresh;
	return r;
}

static int put_in(struct telling *t, struct live *l, const struct search_result *added) {
	join(&l->results, added);
	if (l->kind == LIVE_SEARCH) {
		struct imap_set_builder uids = { 0 };
		for (size_t i = 0; i < added->count; i++) imap_set_append(&uids, added->at[i].uid, added->at[i].uid);
		say_set(t, "ADDTO", &t->adding, &uids);
		imap_set_builder_done(&uids);
		return 0;
	}
	int r = sort_again(t->s, l);
	for (size_t i = 0; i < l->results.count && r == 0; i++) {
		if (!is_among(added, l->results.at[i].uid)) continue;
		say_item(t, "ADDTO", &t->adding);
		buf_addf(imap_out(t->s), "%zu %u", i + 1, told_as(t, l->results.at[i].uid));
	}
	return r;
}

static bool had(const struct search_result *results, bool by_uid, uint32_t uid) {
	if (by_uid) return is_among(results, uid);
	for (size_t i = 0; i < results->count; i++)
		if (results->at[i].uid == uid) return true;
	return false;
}

/* RFC 5465 §7: behind the ESEARCH that says they came. */
static void fetch_added(struct imap_session *s, const struct live *l, const struct search_result *added) {
	struct imap_set_builder uids = { 0 };
	for (size_t i = 0; i < added->count; i++) imap_set_append(&uids, added->at[i].uid, added->at[i].uid);
	imap_fetch_quietly(s, l->fetch, &uids.set);
	imap_set_builder_done(&uids);
}

/* changed: settled. What fits now and did not comes in; what did and does not any more goes out. */
static int update(struct imap_session *s, struct live *l, const struct imap_set *changed) {
	AUTO(search_scan_done) struct search_scan scan = { .parts = NULL };
	AUTO(search_result_done) struct search_result fits = SEARCH_RESULT;
	struct telling t = { .s = s, .live = l };
	struct imap_set_builder out = { 0 };
	search_scan_selected(&scan, s, l->root);
	scan.set = *changed;
	int r = search_find(&scan, &fits);
	if (r != 0) return r;
	for (size_t i = 0; i < l->results.count; i++) {
		uint32_t uid = l->results.at[i].uid;
		if (imap_set_has(changed, uid) && !is_among(&fits, uid)) imap_set_append(&out, uid, uid);
	}
	imap_set_settle(&out.set, 0);
	size_t fresh = 0;
	for (size_t i = 0; i < fits.count; i++)
		if (!had(&l->results, l->kind == LIVE_SEARCH, fits.at[i].uid)) fits.at[fresh++] = fits.at[i];
	fits.count = fresh;
	if (out.set.count != 0) take_out(&t, l, &out.set);
	imap_set_builder_done(&out);
	end_removing(&t);
	if (fresh != 0) r = put_in(&t, l, &fits);
	end_telling(&t);
	if (fresh != 0 && r == 0 && l->fetch.len != 0) fetch_added(s, l, &fits);
	return r;
}

/* News. */

struct gathering { struct imap_session *s; struct imap_set_builder changed; };

static int add_changed(void *ctx, const struct message *m) {
	struct gathering *g = ctx;
	if (m->modseq <= g->s->box.modseq && view_number(&g->s->box.view, m->uid) != 0)
		imap_set_append(&g->changed, m->uid, m->uid);
	return 0;
}

static int add_nothing(void *ctx, uint32_t first, uint32_t last) {
	(void)ctx;
	(void)first;
	(void)last;
	return 0;
}

void live_news(struct imap_session *s) {
	struct live *l = s->box.live;
	if (l == NULL || l->modseq >= s->box.modseq) return; /* all are equally far, but those made since */
	uint64_t since = l->modseq;
	for (; l != NULL; l = l->next) since = MIN_OF(since, l->modseq);
	struct gathering g = { .s = s };
	struct db_conn *c = db_read(s->context->db);
	int r = c == NULL ? -1 : store_changes(c, s->box.box, since, add_changed, add_nothing, &g);
	db_release(&c);
	imap_set_settle(&g.changed.set, 0);
	for (l = s->box.live; l != NULL && r == 0; l = l->next) {
		if (g.changed.set.count != 0) r = update(s, l, &g.changed.set);
		l->modseq = s->box.modseq;
	}
	imap_set_builder_done(&g.changed);
	if (r != 0) note(L_ERROR, "imap", s->log_session, NULL, "search update: ", FP(fail_text()));
}
