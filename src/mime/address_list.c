/* SPDX-License-Identifier: Apache-2.0 */
/* Address fields as people and programs write them. One pass copies the text into two scratch buffers at once: `shown`,
 * as a display name, and `bare`, as an address without blanks. Which of them counts is known only at the next < , ; or
 * : so that "John Doe <j@x>", "j@x (John)", "John Doe j@x" and "j@x <j@x>" all come out right without looking back. */
#include "mime/address.h"


struct reader {
	struct slice rest;
	struct arena *mem;
	struct address_list list;
	size_t room;
	bool in_group;
	/* the entry under way */
	char *shown, *bare;           /* each as long as the value */
	size_t shown_len, bare_len;
	size_t word_shown, word_bare; /* where the last word starts in them */
	size_t at;                    /* of the last @ in bare + 1, or 0 */
	size_t domain_end;            /* where the domain stopped, when words follow it, or 0 */
	bool blank;                   /* blanks before the next token */
	char comment[1024];           /* the last one */
	size_t comment_len;
};

static void entry_start(struct reader *r) {
	r->shown_len = r->bare_len = r->word_shown = r->word_bare = r->at = r->domain_end = 0;
	r->blank = false;
}

static void list_add(struct reader *r, struct address a) {
	if (r->list.count == ADDRESS_LIST_MAX) return;
	if (r->list.count == r->room) {
		size_t room = r->room == 0 ? 4 : r->room * 2;
		struct address *more = arena_array(r->mem, room, sizeof *more);
		if (r->room != 0) memcpy(more, r->list.at, r->room * sizeof *more);
		r->list.at = more;
		r->room = room;
	}
	r->list.at[r->list.count++] = a;
}

static struct slice keep(struct reader *r, const char *at, size_t len) {
	return len == 0 ? SLICE_NONE : arena_slice(r->mem, slice_trim(slice_from(at, len)));
}

/* Decides before a token whether it starts a new word: blanks around dots and @ are none (obs-local-part). */
static void word_gap(struct reader *r, char next) {
	char last = r->bare_len != 0 ? r->bare[r->bare_len - 1] : '.';
	bool joined = last == '.' || last == '@' || next == '.' || next == '@';
	if (r->blank && !joined) {
		if (r->at != 0 && r->domain_end == 0) r->domain_end = r->bare_len;
		if (r->at == 0) {
			r->word_bare = r->bare_len;
			r->word_shown = r->shown_len;
		}
	}
	if (r->blank && r->shown_len != 0) r->shown[r->shown_len++] = ' ';
	r->blank = false;
}

static void put(struct reader *r, char c) {
	r->shown[r->shown_len++] = c;
	r->bare[r->bare_len++] = c;
}

/* The length of the text between the mark at rest[0] and its partner, escapes counted; the rest when there is none. */
static size_t quoted_length(struct slice s) {
	size_t i = 1;
	while (i < s.len && s.at[i] != '"') i += s.at[i] == '\\' ? 2 : 1;
	return MIN_OF(i, s.len);
}

static void read_quoted(struct reader *r) {
	size_t end = quoted_length(r->rest);
	word_gap(r, '"');
	for (size_t i = 1; i < end; i++) {
		char c = r->rest.at[i];
		if (c == '\\' && i + 1 < end) c = r->rest.at[++i];
		if (c != '\r' && c != '\n') put(r, c);
	}
	r->rest = slice_skip(r->rest, end + 1);
}

static void read_comment(struct reader *r) {
	size_t i = 0;
	int depth = 0;
	r->comment_len = 0;
	do {
		char c = r->rest.at[i++];
		bool outer = (c == '(' && depth++ == 0) || (c == ')' && --depth == 0);
		if (c == '\\' && i < r->rest.len) c = r->rest.at[i++];
		if (!outer && c != '\r' && c != '\n' && r->comment_len < sizeof r->comment)
			r->comment[r->comment_len++] = c;
	} while (depth > 0 && i < r->rest.len);
	r->rest = slice_skip(r->rest, i);
}

/* =?charset?x?text?= is one word whatever the text holds: encoders forget to hide commas. */
static size_t encoded_word_length(struct slice s) {
	size_t marks = 0;
	s = slice_head(s, 128);
	if (!slice_starts(s, S("=?"))) return 0;
	for (size_t i = 2; i + 1 < s.len && !ascii_space(s.at[i]); i++) {
		if (s.at[i] != '?') continue;
		if (++marks >= 3) return s.at[i + 1] == '=' ? i + 2 : 0;
	}
	return 0;
}

static void read_plain(struct reader *r) {
	char c = r->rest.at[0];
	bool fresh = r->blank || r->bare_len == 0;
	word_gap(r, c);
	size_t n = fresh ? MAX_OF(encoded_word_length(r->rest), (size_t)1) : 1;
	if (n == 1 && c == '[' && r->at != 0) n = MIN_OF(slice_find(slice_head(r->rest, 255), ']') + 1, r->rest.len);
	for (size_t i = 0; i < n; i++) put(r, r->rest.at[i]);
	if (c == '@' && n == 1 && r->domain_end == 0) r->at = r->bare_len;
	r->rest = slice_skip(r->rest, n);
}

/* What stands in bare, from `from` on, becomes route, local part and domain. */
static struct address address_of(struct reader *r, size_t from) {
	struct address a = { .kind = ADDRESS_MAILBOX };
	size_t end = r->domain_end != 0 ? r->domain_end : r->bare_len;
	struct slice all = slice_skip(slice_from(r->bare, end), from);
	if (all.len != 0 && all.at[0] == '@') {
		size_t colon = slice_find(all, ':');
		if (colon < all.len) {
			a.route = keep(r, all.at, colon);
			from += colon + 1;
			all = slice_skip(all, colon + 1);
		}
	}
	if (r->at > from) {
		a.local = keep(r, all.at, r->at - 1 - from);
		a.domain = keep(r, all.at + (r->at - from), all.len - (r->at - from));
	} else {
		a.local = keep(r, all.at, all.len);
	}
	return a;
}

static struct slice name_of(struct reader *r, size_t shown_len) {
	struct slice name = keep(r, r->shown, shown_len);
	return name.len != 0 ? name : keep(r, r->comment, r->comment_len);
}

/* Words behind the > belong to nobody, but a comment may be the name. */
static void skip_to_separator(struct reader *r) {
	while (r->rest.len != 0 && r->rest.at[0] != ',' && r->rest.at[0] != ';' && r->rest.at[0] != '<') {
		if (r->rest.at[0] == '(') read_comment(r);
		else r->rest = slice_skip(r->rest, 1);
	}
}

/* From < to >, or to where the author forgot it. */
static void read_angle(struct reader *r) {
	struct slice name = keep(r, r->shown, r->shown_len);
	entry_start(r);
	while (r->rest.len != 0 && r->rest.at[0] != '>') {
		char c = r->rest.at[0];
		bool route = r->bare_len != 0 && r->bare[0] == '@';
		if (c == ',' && !route) break;
		if (c == '"') {
			read_quoted(r);
		} else if (c == '(') {
			read_comment(r);
		} else {
			if (!ascii_space(c) && c != '<') put(r, c);
			if (c == '@') r->at = r->bare_len;
			r->rest = slice_skip(r->rest, 1);
		}
	}
	struct address a = address_of(r, 0);
	skip_to_separator(r);
	a.name = name.len != 0 ? name : name_of(r, 0);
	list_add(r, a);
	entry_start(r);
	r->comment_len = 0;
}

static void entry_end(struct reader *r) {
	bool several = r->word_bare != 0;
	if (r->shown_len != 0 || r->comment_len != 0) {
		struct address a = { .kind = ADDRESS_MAILBOX };
		if (r->at != 0 || !several) a = address_of(r, r->at != 0 ? r->word_bare : 0);
		a.name = name_of(r, !several ? 0 : r->at != 0 ? r->word_shown : r->shown_len);
		list_add(r, a);
	}
	entry_start(r);
	r->comment_len = 0;
}

static void read_separator(struct reader *r) {
	char c = r->rest.at[0];
	r->rest = slice_skip(r->rest, 1);
	if (c == ':') {
		list_add(r, (struct address){ .kind = ADDRESS_GROUP, .name = keep(r, r->shown, r->shown_len) });
		r->in_group = true;
		entry_start(r);
		r->comment_len = 0;
		return;
	}
	entry_end(r);
	if (c == ';' && r->in_group) {
		list_add(r, (struct address){ .kind = ADDRESS_GROUP_END });
		r->in_group = false;
	}
}

struct address_list address_list_parse(struct slice value, struct arena *mem) {
	if (value.len == 0) return (struct address_list){ 0 };
	char small[512];
	size_t room = 3 * value.len + 3; /* shown: a blank may come before every byte */
	AUTO_FREE char *large = room > sizeof small ? mem_get(room) : NULL;
	struct reader r = { .rest = value, .mem = mem };
	r.shown = large != NULL ? large : small;
	r.bare = r.shown + 2 * value.len + 2;
	while (r.rest.len != 0 && r.list.count < ADDRESS_LIST_MAX) {
		char c = r.rest.at[0];
		bool group = c == ':' && !r.in_group && r.at == 0 && r.shown_len != 0;
		if (ascii_space(c)) {
			r.blank = true;
			r.rest = slice_skip(r.rest, 1);
		} else if (c == ',' || c == ';' || group) {
			read_separator(&r);
		} else if (c == '"') {
			read_quoted(&r);
		} else if (c == '(') {
			read_comment(&r);
			r.blank = true;
		} else if (c == '<') {
			read_angle(&r);
		} else {
			read_plain(&r);
		}
	}
	entry_end(&r);
	if (r.in_group) list_add(&r, (struct address){ .kind = ADDRESS_GROUP_END });
	return r.list;
}
