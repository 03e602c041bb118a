/* SPDX-License-Identifier: Apache-2.0 */
#include "access/imap/limit.h"
#include "access/imap/sort.h"
#include "access/imap/thread.h"
#include "base/fail.h"

static const struct { const char *name; enum thread_kind kind; } kinds[] = {
	{ "ORDEREDSUBJECT", THREAD_ORDEREDSUBJECT }, { "REFERENCES", THREAD_REFERENCES }, { "REFS", THREAD_REFS },
};

/* While collecting, a slice's `at` is the offset in the part's text. */
static struct slice keep(struct search_part *part, size_t from) {
	return (struct slice){ (const char *)from, part->text.len - from };
}

static int collect(struct search_run *run) {
	struct search_part *part = run->part;
	int r = search_need_digest(run);
	if (r != 0) return r;
	struct thread_message t = { .number = run->m->uid, .id = run->digest.id, .reply = run->digest.reply,
		.date = sort_sent_date(run) };
	size_t from = part->text.len;
	buf_add(&part->text, run->digest.references);
	t.references = keep(part, from);
	from = part->text.len;
	buf_add(&part->text, run->digest.subject);
	t.subject = keep(part, from);
	buf_add(&part->rows, slice_from(&t, sizeof t));
	return part->rows.full || part->text.full ? fail("too many messages to thread") : 0;
}

static struct slice settle(const struct search_part *part, struct slice s) {
	return s.len == 0 ? SLICE_NONE : slice_from(part->text.at + (size_t)s.at, s.len);
}

static void put_number(struct imap_session *s, uint32_t number, bool *first) {
	if (number == 0) return;
	if (!*first) buf_byte(imap_out(s), ' ');
	buf_number(imap_out(s), number);
	*first = false;
}

/* RFC 5256 §4: one child follows its parent, several stand in parentheses; so do those of a missing parent. */
static void put_thread(struct imap_session *s, const struct thread_node *nodes, uint32_t root) {
	uint32_t n = root;
	bool first = true;
	buf_byte(imap_out(s), '(');
	while (imap_drain(s)) {
		put_number(s, nodes[n].number, &first);
		if (nodes[n].child != 0) {
			if (nodes[nodes[n].child].next != 0) {
				buf_add(imap_out(s), first ? S("(") : S(" ("));
				first = true;
			}
			n = nodes[n].child;
			continue;
		}
		for (; n != root; n = nodes[n].parent) { /* up to one that has a brother */
			bool several = nodes[nodes[nodes[n].parent].child].next != 0;
			if (several) buf_byte(imap_out(s), ')');
			if (nodes[n].next == 0) continue;
			buf_byte(imap_out(s), '(');
			first = true;
			break;
		}
		if (n == root) break;
		n = nodes[n].next;
	}
	buf_byte(imap_out(s), ')');
}

static int thread(struct imap_session *s, struct search_scan *scan, enum thread_kind kind, bool uid) {
	AUTO_BUF struct buf messages = BUF((size_t)1 << 36);
	struct thread_forest forest;
	scan->collect = collect;
	scan->wants_digest = true;
	int r = search_scan(scan);
	if (r != 0) return r;
	for (size_t i = 0; i < scan->part_count; i++) {
		const struct search_part *part = &scan->parts[i];
		struct thread_message *m = (struct thread_message *)(void *)part->rows.at;
		for (size_t count = part->rows.len / sizeof *m; count != 0; count--, m++) {
			m->references = settle(part, m->references);
			m->subject = settle(part, m->subject);
			if (!uid) m->number = view_number(&s->box.view, m->number);
		}
		if (!buf_add(&messages, buf_slice(&part->rows))) return fail("too many messages to thread");
	}
	thread_build((const struct thread_message *)(void *)messages.at, messages.len / sizeof(struct thread_message),
		     kind, &forest);
	buf_add(imap_out(s), S("* THREAD"));
	if (forest.first != 0) buf_byte(imap_out(s), ' ');
	for (uint32_t n = forest.first; n != 0 && imap_drain(s); n = forest.nodes[n].next)
		put_thread(s, forest.nodes, n);
	buf_add(imap_out(s), S("\r\n"));
	thread_forest_done(&forest);
	return 0;
}

IMAP_COMMAND(imap_do_thread) {
	AUTO(search_scan_done) struct search_scan scan = { .parts = NULL };
	struct imap_parse *p = &call->p;
	struct search_ask ask = { 0 };
	size_t i = 0;
	if (!imap_load(s)) return imap_no("");
	if (!imap_parse_space(p)) return imap_bad(p);
	while (i < LEN(kinds) && !imap_parse_take_word(p, kinds[i].name)) i++;
	if (i == LEN(kinds)) imap_parse_fail(p, "Unknown threading algorithm.");
	if (!search_parse_charset(p, &ask) || !search_parse_keys(s, p, &ask)) return imap_bad(p);
	call->numbers = ask.numbers;
	if (ask.bad_charset) return search_bad_charset();
	search_scan_selected(&scan, s, ask.root);
	uint64_t limit = imap_messages_limit(s);
	if (limit != 0 && imap_view_count(s, &scan.set) > limit)
		return imap_no(imap_limit_text(s, limit, 0, "Too many messages for threads."));
	int r = thread(s, &scan, kinds[i].kind, call->uid);
	if (r != 0) return imap_refused(s, r, "thread");
	search_digests_store(&scan);
	return imap_ok("Thread completed.");
}
