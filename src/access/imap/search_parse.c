/* SPDX-License-Identifier: Apache-2.0 */
#include "access/imap/search.h"
#include "mime/date.h"
#include "mime/fold.h"

enum { DEPTH_MAX = 32, NODES_MAX = 4096 };

struct parsing { struct imap_session *s; struct imap_parse *p; unsigned depth, nodes; };

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
	for (; at > 0 && parent->children[at - 1]->cost > child->cost; at--) parent->children[at] = parent->children[at - 1];
	parent->children[at] = child;
	parent->cost = MAX_OF(parent->cost, child->cost);
}

static bool parse_text(struct parsing *g, struct slice *out) {
	struct slice said;
	if (!imap_parse_space(g->p) || !imap_parse_astring(g->p, &said)) return false;
	AUTO_BUF struct buf folded = BUF(said.len * 20 + 64);
	text_fold(&folded, said);
	*out = arena_slice(g->p->mem, buf_slice(&folded));
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

static bool parse_set(struct parsing *g, bool uid, struct search_node *n) {
	if (!imap_parse_set(g->p, &n->set)) return false;
	return imap_messages_of(g->s, uid, &n->set) || imap_parse_fail(g->p, "Message number is not in the mailbox.");
}

static bool parse_child(struct parsing *g, struct search_node *parent) {
	struct search_node *child;
	if (!imap_parse_space(g->p) || !parse_key(g, &child)) return false;
	add_child(g, parent, child);
	return true;
}

static bool parse_argument(struct parsing *g, enum search_argument what, struct search_node *n) {
	struct imap_parse *p = g->p;
	uint64_t number;
	switch (what) {
	case ARG_NONE: return true;
	case ARG_TEXT: return parse_text(g, &n->text);
	case ARG_DATE: return parse_date(g, &n->number);
	case ARG_KEYWORD: return imap_parse_space(p) && imap_parse_atom(p, &n->text);
	case ARG_NUMBER:
		if (!imap_parse_space(p) || !imap_parse_number(p, INT64_MAX, &number)) return false;
		n->number = (int64_t)number;
		return true;
	case ARG_UIDS: return imap_parse_space(p) && parse_set(g, true, n);
	case ARG_FIELD: return imap_parse_space(p) && imap_parse_astring(p, &n->field) && parse_text(g, &n->text);
	case ARG_KEY: return parse_child(g, n);
	case ARG_MODSEQ:
		imap_enable(g->s, IMAP_CONDSTORE);
		return imap_parse_space(p) && search_parse_modseq(p, &n->number);
	case ARG_OBJECT_ID: return imap_parse_space(p) && search_parse_object_id(p, &n->number);
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
	struct search_node *child;
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
	} else if (p->rest.len != 0 && (ascii_digit(p->rest.at[0]) || p->rest.at[0] == '*')) {
		if (imap_enabled(g->s, IMAP_UIDONLY)) return imap_parse_fail(p, "[UIDREQUIRED] Message numbers are not used any more after ENABLE UIDONLY.");
		n->test = search_in_set;
		good = parse_set(g, false, n);
	} else {
		good = parse_word(g, n);
	}
	g->depth--;
	*out = n;
	return good;
}

static bool parse_returns(struct imap_parse *p, struct search_ask *ask) {
	static const struct { const char *name; unsigned bit; } options[] = {
		{ "MIN", RETURN_MIN }, { "MAX", RETURN_MAX }, { "ALL", RETURN_ALL }, { "COUNT", RETURN_COUNT },
	};
	ask->extended = true;
	if (!imap_parse_space(p) || !imap_parse_need(p, '(')) return false;
	while (!imap_parse_take(p, ')')) {
		size_t i = 0;
		if (ask->returns != 0 && !imap_parse_space(p)) return false;
		while (i < LEN(options) && !imap_parse_take_word(p, options[i].name)) i++;
		if (i == LEN(options)) return imap_parse_fail(p, "Unknown SEARCH return option.");
		ask->returns |= options[i].bit;
	}
	if (ask->returns == 0) ask->returns = RETURN_ALL;
	return imap_parse_space(p);
}

static bool parse_charset(struct imap_parse *p, struct search_ask *ask) {
	struct slice name;
	if (!imap_parse_space(p) || !imap_parse_astring(p, &name) || !imap_parse_space(p)) return false;
	ask->bad_charset = !slice_same(name, S("UTF-8")) && !slice_same(name, S("US-ASCII"));
	return true;
}

bool search_parse(struct imap_session *s, struct imap_parse *p, struct search_ask *out) {
	struct parsing g = { .s = s, .p = p };
	if (!imap_parse_space(p)) return false;
	if (imap_parse_take_word(p, "RETURN") && !parse_returns(p, out)) return false;
	if (imap_parse_take_word(p, "CHARSET") && !parse_charset(p, out)) return false;
	if (out->bad_charset) return true;
	out->root = new_node(&g, search_all);
	return parse_keys(&g, out->root, '\0');
}
