/* SPDX-License-Identifier: Apache-2.0 */
#include "access/imap/fetch.h"
#include "access/imap/search.h"
#include "mime/date.h"
#include "mime/decode.h"
#include "mime/fold.h"

enum { DEPTH_MAX = 128, NODES_MAX = 4096 };

struct parsing {
	struct imap_session *s;
	struct imap_parse *p;
	struct search_ask *ask;
	unsigned depth, nodes;
	bool fuzzy;
};

static bool parse_key(struct parsing *g, struct search_node **out);

static struct search_node *new_node(struct parsing *g, search_test *test) {
	struct search_node *n = arena_get(g->p->mem, sizeof(*n));
	n->test = test;
	return n;
}

/* In the order of cost. */
static void add_child(struct parsing *g, struct search_node *parent, struct search_node *child) {
	if (parent->count == parent->room) {
		size_t room = parent->room == 0 ? 4 : parent->room * 2;
		struct search_node **more = arena_array(g->p->mem, room, sizeof(*more));
		if (parent->count != 0) memcpy(more, parent->children, parent->count * sizeof(*more));
		parent->children = more;
		parent->room = room;
	}
	size_t at = parent->count++;
	for (; at > 0 && parent->children[at - 1]->cost > child->cost; at--)
		parent->children[at] = parent->children[at - 1];
	parent->children[at] = child;
	parent->cost = MAX_OF(parent->cost, child->cost);
}

static bool parse_text(struct parsing *g, struct search_node *n) {
	struct slice said;
	if (!imap_parse_space(g->p) || !imap_parse_astring(g->p, &said)) return false;
	AUTO_BUF struct buf text = BUF(said.len * 8 + 64), folded = BUF(said.len * 160 + 64);
	if (g->ask->charset.len != 0) {
		struct charset *charset = charset_open(g->ask->charset);
		charset_feed(charset, said, &text);
		charset_finish(&charset, &text);
		said = buf_slice(&text);
	}
	text_fold(&folded, said);
	n->text = arena_slice(g->p->mem, buf_slice(&folded));
	n->fuzzy = g->fuzzy;
	return true;
}

static bool parse_date(struct parsing *g, int64_t *day) {
	struct slice text;
	int64_t start;
	if (!imap_parse_space(g->p) || !imap_parse_astring(g->p, &text)) return false;
	if (date_parse_day(text, &start) != DATE_OK) return imap_parse_fail(g->p, "Invalid date.");
	*day = start / 86400 - (start % 86400 < 0);
	return true;
}

/* Numbers behind the end fit nothing, and are no mistake (RFC 7377 §2). */
static void drop_beyond(struct imap_set *set, uint32_t last) {
	size_t kept = 0;
	imap_set_settle(set, last);
	for (size_t i = 0; i < set->count; i++) {
		struct imap_range r = set->ranges[i];
		if (r.first == 0 || r.first > last) continue;
		set->ranges[kept++] = (struct imap_range){ r.first, MIN_OF(r.last, last) };
	}
	set->count = kept;
}

static bool parse_set(struct parsing *g, bool uid, struct search_node *n) {
	if (!imap_parse_set(g->p, &n->set)) return false;
	if (g->ask->mailboxes && (!uid || n->set.saved))
		return imap_parse_fail(g->p, "Message numbers mean nothing in a search of mailboxes.");
	if (g->ask->mailboxes) {
		imap_set_settle(&n->set, UINT32_MAX);
		return true;
	}
	bool saved = n->set.saved;
	g->ask->numbers |= !uid && !saved;
	if (!uid && !saved) drop_beyond(&n->set, g->s->box.view.count);
	if (!imap_messages_of(g->s, uid, &n->set)) return imap_parse_fail(g->p, "The mailbox is gone.");
	if (saved) { /* their memory is the session's, ours may live longer */
		struct imap_range *ranges = arena_array(g->p->mem, n->set.count + 1, sizeof *ranges);
		if (n->set.count != 0) memcpy(ranges, n->set.ranges, n->set.count * sizeof *ranges);
		n->set.ranges = ranges;
	}
	return true;
}

/* RFC 9738 §3.2: all above or below a UID. */
static bool parse_uid_side(struct parsing *g, bool after, struct search_node *n) {
	uint64_t uid = 0;
	if (!imap_parse_number(g->p, UINT32_MAX, &uid)) return false;
	if (uid == 0) return imap_parse_fail(g->p, "0 is not a message number.");
	struct imap_range *range = arena_get(g->p->mem, sizeof *range);
	*range = after ? (struct imap_range){ (uint32_t)MIN_OF(uid + 1, (uint64_t)UINT32_MAX), UINT32_MAX }
		       : (struct imap_range){ 1, (uint32_t)uid - 1 };
	n->set = (struct imap_set){ .ranges = range, .count = after ? uid != UINT32_MAX : uid != 1 };
	if (!g->ask->mailboxes && n->set.count != 0 && !imap_messages_of(g->s, true, &n->set))
		return imap_parse_fail(g->p, "Message number is not in the mailbox.");
	return true;
}

static bool parse_child(struct parsing *g, struct search_node *parent) {
	struct search_node *child = NULL;
	if (!imap_parse_space(g->p) || !parse_key(g, &child)) return false;
	add_child(g, parent, child);
	return true;
}

static bool parse_fuzzy(struct parsing *g, struct search_node *parent) {
	bool before = g->fuzzy;
	g->fuzzy = g->ask->fuzzy = true;
	bool good = parse_child(g, parent);
	g->fuzzy = before;
	return good;
}

/* RFC 5032: so many seconds back from now. */
static bool parse_seconds(struct imap_parse *p, int64_t *moment) {
	uint64_t seconds = 0;
	if (!imap_parse_space(p) || !imap_parse_number(p, UINT32_MAX, &seconds)) return false;
	if (seconds == 0) return imap_parse_fail(p, "0 seconds are no interval.");
	*moment = wall_s() - (int64_t)seconds;
	return true;
}

static bool parse_argument(struct parsing *g, enum search_argument what, struct search_node *n) {
	struct imap_parse *p = g->p;
	uint64_t number;
	switch (what) {
	case ARG_NONE: return true;
	case ARG_TEXT: return parse_text(g, n);
	case ARG_DATE: return parse_date(g, &n->number);
	case ARG_KEYWORD: return imap_parse_space(p) && imap_parse_atom(p, &n->text);
	case ARG_NUMBER:
		if (!imap_parse_space(p) || !imap_parse_number(p, INT64_MAX, &number)) return false;
		n->number = (int64_t)number;
		return true;
	case ARG_SECONDS: return parse_seconds(p, &n->number);
	case ARG_UIDS: return imap_parse_space(p) && parse_set(g, true, n);
	case ARG_UID_AFTER:
	case ARG_UID_BEFORE: return imap_parse_space(p) && parse_uid_side(g, what == ARG_UID_AFTER, n);
	case ARG_FIELD: return imap_parse_space(p) && imap_parse_astring(p, &n->field) && parse_text(g, n);
	case ARG_KEY: return parse_child(g, n);
	case ARG_FUZZY_KEY: return parse_fuzzy(g, n);
	case ARG_MODSEQ:
		imap_enable(g->s, IMAP_CONDSTORE);
		g->ask->modseq = true;
		return imap_parse_space(p) && search_parse_modseq(p, &n->number);
	case ARG_OBJECT_ID: return imap_parse_space(p) && search_parse_object_id(p, (char)n->detail, &n->number);
	case ARG_TWO_KEYS: return parse_child(g, n) && parse_child(g, n);
	}
	return false;
}

static bool parse_word(struct parsing *g, struct search_node *n) {
	for (size_t i = 0; i < search_word_count; i++) {
		const struct search_word *w = &search_words[i];
		if (!imap_parse_take_word(g->p, w->name)) continue;
		n->test = w->test;
		n->cost = w->cost;
		n->detail = w->detail;
		return parse_argument(g, w->argument, n);
	}
	return imap_parse_fail(g->p, "Unknown search key.");
}

static bool parse_keys(struct parsing *g, struct search_node *parent, char end) {
	struct search_node *child = NULL;
	do {
		if (!parse_key(g, &child)) return false;
		add_child(g, parent, child);
	} while (imap_parse_take(g->p, ' '));
	return end == '\0' ? imap_parse_end(g->p) : imap_parse_need(g->p, end);
}

static bool parse_key(struct parsing *g, struct search_node **out) {
	struct search_node *n = new_node(g, search_all);
	struct imap_parse *p = g->p;
	bool good;
	if (++g->nodes > NODES_MAX || g->depth == DEPTH_MAX) return imap_parse_fail(p, "Search is too complex.");
	g->depth++;
	if (imap_parse_take(p, '(')) {
		good = parse_keys(g, n, ')');
	} else if (p->rest.len != 0 && (ascii_digit(p->rest.at[0]) || p->rest.at[0] == '*' || p->rest.at[0] == '$')) {
		if (imap_enabled(g->s, IMAP_UIDONLY))
			return imap_parse_fail(p, IMAP_UIDREQUIRED);
		n->test = search_in_set;
		good = parse_set(g, false, n);
	} else {
		good = parse_word(g, n);
	}
	g->depth--;
	*out = n;
	return good;
}

/* RETURN */

/* "1:100", or "-1:-100" from the end (RFC 9394). */
static bool parse_partial(struct imap_parse *p, struct search_ask *ask) {
	uint64_t from = 0, to = 0;
	if (!imap_parse_space(p)) return false;
	bool back = imap_parse_take(p, '-');
	if (!imap_parse_number(p, UINT32_MAX, &from) || !imap_parse_need(p, ':') ||
	    (back && !imap_parse_need(p, '-')) || !imap_parse_number(p, UINT32_MAX, &to))
		return false;
	if (from == 0 || to == 0) return imap_parse_fail(p, "PARTIAL counts from 1.");
	ask->partial_from = back ? -(int64_t)from : (int64_t)from;
	ask->partial_to = back ? -(int64_t)to : (int64_t)to;
	return true;
}

static bool parse_returns(struct imap_parse *p, struct search_ask *ask) {
	static const struct { const char *name; unsigned bit; } options[] = {
		{ "MIN", RETURN_MIN }, { "MAX", RETURN_MAX }, { "ALL", RETURN_ALL }, { "COUNT", RETURN_COUNT },
		{ "SAVE", RETURN_SAVE }, { "UPDATE", RETURN_UPDATE }, { "CONTEXT", RETURN_CONTEXT },
		{ "PARTIAL", RETURN_PARTIAL }, { "RELEVANCY", RETURN_RELEVANCY },
	};
	ask->extended = true;
	if (!imap_parse_space(p) || !imap_parse_need(p, '(')) return false;
	while (!imap_parse_take(p, ')')) {
		size_t i = 0;
		if (ask->returns != 0 && !imap_parse_space(p)) return false;
		while (i < LEN(options) && !imap_parse_take_word(p, options[i].name)) i++;
		if (i == LEN(options)) return imap_parse_fail(p, "Unknown SEARCH return option.");
		if (options[i].bit == RETURN_PARTIAL && !parse_partial(p, ask)) return false;
		if (options[i].bit == RETURN_UPDATE && slice_starts(p->rest, S(" (")) &&
		    (!imap_parse_space(p) || !fetch_parse_later(p, &ask->update_fetch)))
			return false;
		if (options[i].bit == RETURN_PARTIAL && (ask->returns & RETURN_PARTIAL) != 0)
			return imap_parse_fail(p, "PARTIAL may be said once."); /* RFC 9394 §3.1 */
		ask->returns |= options[i].bit;
	}
	const unsigned both = RETURN_ALL | RETURN_PARTIAL;
	if ((ask->returns & both) == both) return imap_parse_fail(p, "ALL and PARTIAL exclude each other.");
	if ((ask->returns & (RETURN_RESULTS | RETURN_SAVE)) == 0) ask->returns |= RETURN_ALL;
	return true;
}

bool search_parse_return(struct imap_parse *p, struct search_ask *out) {
	struct imap_parse before = *p;
	if (!imap_parse_space(p)) return false;
	if (imap_parse_take_word(p, "RETURN")) return parse_returns(p, out);
	*p = before;
	return true;
}

bool search_parse_charset(struct imap_parse *p, struct search_ask *ask) {
	struct slice name;
	if (!imap_parse_space(p) || !imap_parse_astring(p, &name)) return false;
	ask->bad_charset = !charset_known(name);
	if (!slice_same(name, S("UTF-8")) && !slice_same(name, S("US-ASCII"))) ask->charset = name;
	return true;
}

bool search_parse_keys(struct imap_session *s, struct imap_parse *p, struct search_ask *out) {
	struct parsing g = { .s = s, .p = p, .ask = out };
	if (out->bad_charset) return true;
	out->root = new_node(&g, search_all);
	return imap_parse_space(p) && parse_keys(&g, out->root, '\0');
}

bool search_parse(struct imap_session *s, struct imap_parse *p, struct search_ask *out) {
	if (!search_parse_return(p, out)) return false;
	struct imap_parse before = *p;
	if (!imap_parse_space(p)) return false;
	bool charset = imap_parse_take_word(p, "CHARSET");
	if (charset && imap_enabled(s, IMAP_UTF8)) /* RFC 6855 §3 */
		return imap_parse_fail(p, "No CHARSET after ENABLE UTF8=ACCEPT: all strings are UTF-8.");
	if (!charset) *p = before;
	else if (!search_parse_charset(p, out)) return false;
	return search_parse_keys(s, p, out);
}

struct imap_answer search_bad_charset(void) {
	return imap_no("[BADCHARSET (UTF-8 US-ASCII ISO-2022-JP SHIFT_JIS EUC-JP GB18030 BIG5 EUC-KR KOI8-R ISO-8859-1 "
		       "WINDOWS-1252)] Unknown charset.");
}
