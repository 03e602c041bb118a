/* SPDX-License-Identifier: Apache-2.0 */
#include "access/imap/search.h"

enum { PAGE = 1000, PAGE_OF_BODIES = 50 };

static void run_done(struct search_run *run) {
	imap_set_builder_done(&run->found);
	arena_done(&run->mem);
}

static int test_row(void *ctx, struct db_conn *c, const struct message *m) {
	struct search_run *run = ctx;
	uint32_t number = view_number(&run->s->box.view, m->uid);
	if (number == 0) return 0;
	run->c = c;
	run->m = m;
	run->body = (struct imap_body){ .m = m };
	int r = run->root->test(run, run->root);
	imap_body_close(&run->body);
	arena_reset(&run->mem);
	if (r < 0) return r;
	if (r > 0) imap_set_append(&run->found, run->uid ? m->uid : number, run->uid ? m->uid : number);
	return ++run->tested % (run->root->cost >= COST_HEADER ? PAGE_OF_BODIES : PAGE) == 0 ? WALK_PAGE_FULL : 0;
}

/* The messages to look at: those of a set that everything must be in, or all. */
static struct imap_set candidates(struct imap_session *s, const struct search_node *root) {
	const struct view *v = &s->box.view;
	for (size_t i = 0; i < root->count; i++)
		if (root->children[i]->test == search_in_set) return root->children[i]->set;
	struct imap_range *all = arena_get(&s->mem, sizeof(*all));
	*all = (struct imap_range){ 1, view_last_uid(v) };
	return (struct imap_set){ all, v->count != 0 ? 1 : 0 };
}

static void put_numbers(struct imap_session *s, const struct imap_set *found) {
	buf_add(imap_out(s), S("* SEARCH"));
	for (size_t i = 0; i < found->count; i++)
		for (uint64_t n = found->ranges[i].first; n <= found->ranges[i].last && imap_drain(s); n++)
			buf_addf(imap_out(s), " %llu", (unsigned long long)n);
	buf_add(imap_out(s), S("\r\n"));
}

static void put_extended(struct imap_session *s, const struct imap_call *call, const struct search_ask *ask,
			 const struct imap_set *found) {
	struct buf *out = imap_out(s);
	buf_add(out, S("* ESEARCH (TAG "));
	imap_put_string(out, call->tag);
	buf_add(out, call->uid ? S(") UID") : S(")"));
	if (found->count != 0) {
		if ((ask->returns & RETURN_MIN) != 0) buf_addf(out, " MIN %u", found->ranges[0].first);
		if ((ask->returns & RETURN_MAX) != 0) buf_addf(out, " MAX %u", found->ranges[found->count - 1].last);
		if ((ask->returns & RETURN_ALL) != 0) {
			buf_add(out, S(" ALL "));
			imap_put_set(out, found);
		}
	}
	if ((ask->returns & RETURN_COUNT) != 0) buf_addf(out, " COUNT %llu", (unsigned long long)imap_set_size(found));
	buf_add(out, S("\r\n"));
}

IMAP_COMMAND(imap_do_search) {
	AUTO(run_done) struct search_run run = { .s = s, .uid = call->uid };
	struct search_ask ask = { 0 };
	if (!imap_load(s)) return imap_no("");
	if (!search_parse(s, &call->p, &ask)) return imap_bad(&call->p);
	if (ask.bad_charset) return imap_no("[BADCHARSET (US-ASCII UTF-8)] Unknown charset.");
	run.root = ask.root;
	struct imap_set set = candidates(s, ask.root);
	const struct imap_walk walk = { ask.root->cost > COST_ROW ? WANT_SUMMARY : 0, test_row, NULL, &run };
	int r = search_narrow(s, s->box.box, ask.root, &set);
	if (r == 0) r = imap_walk(s, &set, &walk);
	if (r != 0) return imap_refused(s, r, "search");
	if (ask.extended) put_extended(s, call, &ask, &run.found.set);
	else put_numbers(s, &run.found.set);
	return imap_ok("Search completed.");
}
