/* SPDX-License-Identifier: Apache-2.0 */
/* The query is read once into a tree, and written anew for each mailbox: there the keys about mailboxes are true or
 * false, and what follows from that needs no search. */
#include "cli/doveadm_query.h"
#include "mime/date.h"

enum { DEPTH_MAX = 100, DAY = 86400 };

enum kind { Q_AND, Q_OR, Q_NOT, Q_MAILBOX, Q_GUID, Q_TEXT, Q_ALL, Q_NONE };
struct dove_query {
	enum kind kind;
	struct slice text; /* of Q_TEXT: in IMAP's words; of Q_MAILBOX, Q_GUID: the argument */
	const struct dove_query **parts;
	size_t count;
};

struct reading {
	const struct slice *words;
	size_t count, at;
	int64_t now;
	unsigned depth;
	struct arena *mem;
	const char *problem;
};

static const struct dove_query *read_list(struct reading *r, bool inside);

static struct dove_query *node(struct reading *r, enum kind kind, struct slice text) {
	struct dove_query *q = arena_get(r->mem, sizeof *q);
	*q = (struct dove_query){ .kind = kind, .text = text };
	return q;
}

static const struct dove_query *wrong(struct reading *r, const char *what, struct slice word) {
	AUTO_BUF struct buf upper = BUF(KIB(4));
	for (size_t i = 0; i < word.len && i < 1000; i++)
		buf_byte(&upper, ascii_control(word.at[i]) ? '?' : ascii_upper(word.at[i]));
	if (r->problem == NULL) r->problem = arena_fmt(r->mem, "%s%s", what, buf_text(&upper)).at;
	return NULL;
}

static void add_part(struct reading *r, struct dove_query *q, const struct dove_query *part) {
	const struct dove_query **more = arena_array(r->mem, q->count + 1, sizeof(const struct dove_query *));
	if (q->count != 0) memcpy(more, q->parts, q->count * sizeof *more);
	more[q->count++] = part;
	q->parts = more;
}

static void put_quoted(struct buf *out, struct slice s) {
	buf_byte(out, '"');
	for (size_t i = 0; i < s.len; i++) {
		if (s.at[i] == '"' || s.at[i] == '\\') buf_byte(out, '\\');
		buf_byte(out, s.at[i] == '\r' || s.at[i] == '\n' ? ' ' : s.at[i]);
	}
	buf_byte(out, '"');
}

/* Arguments. */

static bool all_of(struct slice s, const char *set) {
	for (size_t i = 0; i < s.len; i++)
		if (strchr(set, s.at[i]) == NULL) return false;
	return s.len != 0;
}

static bool is_atom(struct slice s) {
	for (size_t i = 0; i < s.len; i++)
		if (s.at[i] <= ' ' || s.at[i] == 127 || strchr("(){%*\"\\]", s.at[i]) != NULL) return false;
	return s.len != 0;
}

/* "50k" */
static bool read_size(struct slice s, uint64_t *out) {
	static const char units[] = "bkmgt";
	uint64_t n;
	const char *unit = s.len > 1 ? strchr(units, ascii_lower(s.at[s.len - 1])) : NULL;
	unsigned shift = unit != NULL ? (unsigned)(unit - units) * 10 : 0;
	if (!slice_number(slice_head(s, s.len - (unit != NULL)), UINT64_MAX >> 41, &n)) return false;
	*out = n << shift;
	return true;
}

/* A moment, or a day: *day. */
static bool read_moment(struct reading *r, struct slice s, int64_t *moment, bool *day) {
	static const struct { const char *name; int64_t seconds; } units[] = {
		{ "w", 7 * DAY },    { "weeks", 7 * DAY }, { "week", 7 * DAY }, { "d", DAY },	{ "days", DAY },
		{ "day", DAY },	     { "h", 3600 },	   { "hours", 3600 },	{ "hour", 3600 }, { "m", 60 },
		{ "mins", 60 },	     { "min", 60 },	   { "s", 1 },		{ "secs", 1 },	{ "sec", 1 },
	};
	uint64_t n;
	*day = date_parse_day(s, moment) == DATE_OK;
	if (*day) return true;
	struct tm tm = { 0 };
	AUTO_FREE char *text = slice_text(s);
	const char *end = s.len == 10 ? strptime(text, "%Y-%m-%d", &tm) : NULL;
	if (end != NULL && *end == '\0') {
		*day = true;
		*moment = timegm(&tm);
		return true;
	}
	if (s.len >= 9 && slice_number(s, INT32_MAX * (uint64_t)2, &n)) {
		*moment = (int64_t)n;
		return true;
	}
	size_t digits = 0;
	while (digits < s.len && ascii_digit(s.at[digits])) digits++;
	struct slice unit = slice_trim(slice_skip(s, digits));
	if (!slice_number(slice_head(s, digits), 1000000, &n)) return false;
	for (size_t i = 0; i < LEN(units); i++) {
		if (!slice_same(unit, slice_of(units[i].name))) continue;
		*moment = r->now - (int64_t)n * units[i].seconds;
		return true;
	}
	return false;
}

static struct slice day_text(struct reading *r, int64_t moment) {
	AUTO_BUF struct buf text = BUF(100);
	date_add_day(&text, moment);
	return arena_slice(r->mem, buf_slice(&text));
}

/* Before or since a moment, in IMAP's seconds back from now, which are whole and above 0. */
static const struct dove_query *moment_key(struct reading *r, bool saved, bool before, int64_t moment) {
	int64_t back = r->now - moment;
	if (back <= 0) return node(r, before ? Q_ALL : Q_NONE, S(""));
	if (back >= UINT32_MAX) return node(r, before ? Q_NONE : Q_ALL, S(""));
	return node(r, Q_TEXT,
		    arena_fmt(r->mem, "%s%s %lld", saved ? "X-SAVED" : "", before ? "OLDER" : "YOUNGER",
			      (long long)back + before));
}

enum what { NOTHING, TEXT, FIELD, KEYWORD, SIZE, NUMBER, UIDS, DAY_OF, MOMENT_OF, SAVED_OF, ID };
static const struct { const char *name; enum what what; } keys[] = {
	{ "ALL", NOTHING },	 { "ANSWERED", NOTHING },   { "DELETED", NOTHING },    { "DRAFT", NOTHING },
	{ "FLAGGED", NOTHING },	 { "NEW", NOTHING },	    { "OLD", NOTHING },	       { "RECENT", NOTHING },
	{ "SEEN", NOTHING },	 { "UNANSWERED", NOTHING }, { "UNDELETED", NOTHING },  { "UNDRAFT", NOTHING },
	{ "UNFLAGGED", NOTHING }, { "UNSEEN", NOTHING },    { "BCC", TEXT },	       { "BODY", TEXT },
	{ "CC", TEXT },		 { "FROM", TEXT },	    { "SUBJECT", TEXT },       { "TEXT", TEXT },
	{ "TO", TEXT },		 { "HEADER", FIELD },	    { "KEYWORD", KEYWORD },    { "UNKEYWORD", KEYWORD },
	{ "LARGER", SIZE },	 { "SMALLER", SIZE },	    { "OLDER", NUMBER },       { "YOUNGER", NUMBER },
	{ "MODSEQ", NUMBER },	 { "UID", UIDS },	    { "SENTBEFORE", DAY_OF },  { "SENTON", DAY_OF },
	{ "SENTSINCE", DAY_OF }, { "BEFORE", MOMENT_OF },   { "ON", MOMENT_OF },       { "SINCE", MOMENT_OF },
	{ "SAVEDBEFORE", SAVED_OF }, { "SAVEDON", SAVED_OF }, { "SAVEDSINCE", SAVED_OF }, { "GUID", ID },
};

static const struct dove_query *date_key(struct reading *r, const char *name, enum what what, struct slice value) {
	int64_t moment;
	bool day;
	if (!read_moment(r, value, &moment, &day)) return wrong(r, "Invalid search date parameter: ", value);
	if (day || what == DAY_OF)
		return node(r, Q_TEXT, arena_fmt(r->mem, "%s %s", name, day_text(r, moment).at));
	bool saved = what == SAVED_OF;
	const char *how = saved ? name + 5 : name;
	if (strcmp(how, "ON") != 0) return moment_key(r, saved, how[0] == 'B', moment);
	struct dove_query *both = node(r, Q_AND, S("")); /* the day that begins then */
	add_part(r, both, moment_key(r, saved, false, moment));
	add_part(r, both, moment_key(r, saved, true, moment + DAY));
	return both;
}

static const struct dove_query *read_arguments(struct reading *r, const char *name, enum what what) {
	AUTO_BUF struct buf text = BUF(MIB(1));
	struct slice value = S(""), second = S("");
	uint64_t n = 0;
	size_t need = what == NOTHING ? 0 : what == FIELD ? 2 : 1;
	if (r->count - r->at < need) return wrong(r, "Missing argument for search key ", slice_of(name));
	if (need > 0) value = r->words[r->at++];
	if (need > 1) second = r->words[r->at++];
	buf_addf(&text, "%s%s", name, need > 0 ? " " : "");
	switch (what) {
	case NOTHING:
		if (strcmp(name, "ALL") == 0) return node(r, Q_ALL, S(""));
		break;
	case TEXT: put_quoted(&text, value); break;
	case FIELD:
		put_quoted(&text, value);
		buf_byte(&text, ' ');
		put_quoted(&text, second);
		break;
	case KEYWORD:
		if (!is_atom(value)) return wrong(r, "Invalid keyword: ", value);
		buf_add(&text, value);
		break;
	case SIZE:
	case NUMBER:
		if (what == SIZE ? !read_size(value, &n) : !slice_number(value, INT64_MAX, &n))
			return wrong(r, "Invalid search size parameter: ", value);
		buf_number(&text, n);
		break;
	case UIDS:
		if (!all_of(value, "0123456789,:*")) return wrong(r, "Invalid UID set: ", value);
		buf_add(&text, value);
		break;
	case ID:
		if (!is_atom(value)) return wrong(r, "Invalid GUID: ", value);
		buf_clear(&text);
		buf_addf(&text, "EMAILID %.*s", SLICE_ARG(value));
		break;
	case DAY_OF:
	case MOMENT_OF:
	case SAVED_OF: return date_key(r, name, what, value);
	}
	return node(r, Q_TEXT, arena_slice(r->mem, buf_slice(&text)));
}

static const struct dove_query *read_key(struct reading *r) {
	if (r->at == r->count) return wrong(r, "Missing argument", S(""));
	struct slice word = r->words[r->at++];
	bool mailbox = slice_same(word, S("MAILBOX")), guid = slice_same(word, S("MAILBOX-GUID"));
	if (slice_eq(word, S("("))) return read_list(r, true);
	if (slice_same(word, S("NOT")) || slice_eq(word, S("!"))) {
		if (r->depth == DEPTH_MAX) return wrong(r, "Query is too deep", S(""));
		r->depth++;
		const struct dove_query *part = read_key(r);
		r->depth--;
		struct dove_query *q = node(r, Q_NOT, S(""));
		if (part == NULL) return NULL;
		add_part(r, q, part);
		return q;
	}
	if ((mailbox || guid) && r->at < r->count)
		return node(r, mailbox ? Q_MAILBOX : Q_GUID, r->words[r->at++]);
	if (word.len != 0 && all_of(word, "0123456789,:*")) return node(r, Q_TEXT, word);
	for (size_t i = 0; i < LEN(keys); i++)
		if (slice_same(word, slice_of(keys[i].name))) return read_arguments(r, keys[i].name, keys[i].what);
	return wrong(r, "Unknown argument ", word);
}

/* Keys, with OR between all of them or none. */
static const struct dove_query *read_list(struct reading *r, bool inside) {
	struct dove_query *q = node(r, Q_AND, S(""));
	bool ended = !inside;
	if (r->depth++ == DEPTH_MAX) return wrong(r, "Query is too deep", S(""));
	while (r->at < r->count) {
		if (inside && slice_eq(r->words[r->at], S(")"))) {
			ended = true;
			r->at++;
			break;
		}
		bool or = q->count != 0 && slice_same(r->words[r->at], S("OR"));
		if (q->count > 1 && or != (q->kind == Q_OR))
			return wrong(r, "Use parenthesis when mixing ANDs and ORs", S(""));
		if (or) {
			q->kind = Q_OR;
			r->at++;
		}
		const struct dove_query *part = read_key(r);
		if (part == NULL) return NULL;
		add_part(r, q, part);
	}
	r->depth--;
	if (!ended) return wrong(r, "Missing ')'", S(""));
	if (q->count == 0) return wrong(r, "Missing argument", S(""));
	return q;
}

const struct dove_query *dove_query_read(const struct slice *words, size_t count, int64_t now_s, struct arena *mem,
					 const char **problem) {
	struct reading r = { .words = words, .count = count, .now = now_s, .mem = mem };
	const struct dove_query *q = read_list(&r, false);
	*problem = r.problem;
	return q;
}

/* Writing. */

bool dove_wild(struct slice pattern) {
	return slice_find(pattern, '*') < pattern.len || slice_find(pattern, '?') < pattern.len;
}

bool dove_wild_match(struct slice pattern, struct slice text) {
	size_t p = 0, t = 0, star = SIZE_MAX, from = 0;
	while (t < text.len) {
		if (p < pattern.len && pattern.at[p] == '*') {
			star = p++;
			from = t;
		} else if (p < pattern.len && (pattern.at[p] == '?' || pattern.at[p] == text.at[t])) {
			p++;
			t++;
		} else if (star != SIZE_MAX) {
			p = star + 1;
			t = ++from;
		} else {
			return false;
		}
	}
	while (p < pattern.len && pattern.at[p] == '*') p++;
	return p == pattern.len;
}

static enum dove_fit not_of(enum dove_fit fit) {
	return fit == DOVE_ALL ? DOVE_NONE : fit == DOVE_NONE ? DOVE_ALL : DOVE_SOME;
}

/* Parts of OR stand in front of it in IMAP: "OR a OR b c". */
static enum dove_fit put_list(const struct dove_query *q, struct slice mailbox, struct slice guid, struct buf *out) {
	const bool or = q->kind == Q_OR;
	const enum dove_fit settles = or ? DOVE_ALL : DOVE_NONE, nothing = or ? DOVE_NONE : DOVE_ALL;
	AUTO_BUF struct buf before = BUF(MIB(4));
	size_t some = 0;
	for (size_t i = 0; i < q->count; i++) {
		AUTO_BUF struct buf one = BUF(MIB(4));
		enum dove_fit fit = dove_query_put(q->parts[i], mailbox, guid, &one);
		if (fit == settles) return settles;
		if (fit == nothing) continue;
		AUTO_BUF struct buf joined = BUF(MIB(4));
		if (some++ == 0) buf_add(&joined, buf_slice(&one));
		else if (or) buf_addf(&joined, "OR %s %s", buf_text(&one), buf_text(&before));
		else buf_addf(&joined, "%s %s", buf_text(&before), buf_text(&one));
		buf_clear(&before);
		buf_add(&before, buf_slice(&joined));
	}
	if (some == 0) return nothing;
	bool brackets = !or && some > 1;
	if (brackets) buf_byte(out, '(');
	buf_add(out, buf_slice(&before));
	if (brackets) buf_byte(out, ')');
	return DOVE_SOME;
}

enum dove_fit dove_query_put(const struct dove_query *q, struct slice mailbox, struct slice guid, struct buf *out) {
	AUTO_BUF struct buf one = BUF(MIB(4));
	switch (q->kind) {
	case Q_AND:
	case Q_OR: return put_list(q, mailbox, guid, out);
	case Q_NOT: {
		enum dove_fit fit = dove_query_put(q->parts[0], mailbox, guid, &one);
		if (fit == DOVE_SOME) buf_addf(out, "NOT %s", buf_text(&one));
		return not_of(fit);
	}
	case Q_MAILBOX: {
		bool inbox = slice_same(q->text, S("INBOX")) && slice_eq(mailbox, S("INBOX"));
		return inbox || dove_wild_match(q->text, mailbox) ? DOVE_ALL : DOVE_NONE;
	}
	case Q_GUID: return slice_same(q->text, guid) ? DOVE_ALL : DOVE_NONE;
	case Q_ALL: return DOVE_ALL;
	case Q_NONE: return DOVE_NONE;
	case Q_TEXT: break;
	}
	buf_add(out, q->text);
	return DOVE_SOME;
}

bool dove_query_names_mailbox(const struct dove_query *q) {
	bool any = false, all = true;
	for (size_t i = 0; i < q->count; i++) {
		bool names = dove_query_names_mailbox(q->parts[i]);
		any = any || names;
		all = all && names;
	}
	switch (q->kind) {
	case Q_MAILBOX:
	case Q_GUID: return true;
	case Q_AND: return any;
	case Q_OR: return all;
	default: return false;
	}
}

void dove_query_mailboxes(const struct dove_query *q, void (*each)(void *ctx, struct slice name), void *ctx) {
	if (q->kind == Q_MAILBOX && !dove_wild(q->text)) each(ctx, q->text);
	for (size_t i = 0; i < q->count && (q->kind == Q_AND || q->kind == Q_OR); i++)
		dove_query_mailboxes(q->parts[i], each, ctx);
}
