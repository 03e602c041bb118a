/* SPDX-License-Identifier: Apache-2.0 */
/* People write this file by hand, and programs of forty years did too: everything that sendmail read is read. */
#include "local/forward.h"

struct reader {
	struct slice rest;
	struct buf word;   /* of the destination under way, without quotes */
	bool quoted;       /* it began with a quote */
	struct arena *mem;
	struct forward_list out;
};

static void add(struct reader *r, enum forward_kind kind, struct slice text) {
	text = slice_trim(text);
	if (text.len == 0 || text.len > LOCAL_TEXT_MAX) return;
	if (r->out.count == LOCAL_TARGETS_MAX) {
		r->out.too_many = true;
		return;
	}
	r->out.at[r->out.count++] = (struct forward_item){ kind, arena_slice(r->mem, text) };
}

/* Words <address> (comment) → address */
static struct slice bare(struct slice s) {
	size_t open = slice_find_last(s, '<');
	if (open == s.len) return s;
	struct slice inside = slice_skip(s, open + 1);
	return slice_head(inside, slice_find(inside, '>'));
}

static void end_item(struct reader *r) {
	struct slice s = slice_trim(buf_slice(&r->word));
	static const struct slice include = S(":include:");
	if (s.len == 0) return;
	if (s.at[0] == '|') {
		s = slice_trim(slice_skip(s, 1));
		if (s.len > 1 && s.at[0] == '"' && s.at[s.len - 1] == '"') s = slice_from(s.at + 1, s.len - 2);
		add(r, FORWARD_COMMAND, s);
	} else if (s.at[0] == '/') {
		add(r, FORWARD_FILE, s);
	} else if (s.at[0] == '\\') {
		add(r, FORWARD_SELF, slice_skip(s, 1));
	} else if (slice_starts_same(s, include)) {
		add(r, FORWARD_INCLUDE, slice_skip(s, include.len));
	} else {
		add(r, FORWARD_ADDRESS, slice_trim(bare(s)));
	}
	buf_clear(&r->word);
}

static bool is_command(const struct reader *r) {
	struct slice s = slice_trim(buf_slice(&r->word));
	return s.len != 0 && s.at[0] == '|';
}

/* A quoted part: in a command that is not quoted as a whole the quotes belong to the command. */
static void take_quoted(struct reader *r) {
	bool keep = is_command(r);
	size_t end = 1;
	if (keep) buf_byte(&r->word, '"');
	while (end < r->rest.len && r->rest.at[end] != '"' && r->rest.at[end] != '\n') {
		if (r->rest.at[end] == '\\' && end + 1 < r->rest.len) {
			if (keep) buf_byte(&r->word, '\\');
			end++;
		}
		buf_byte(&r->word, r->rest.at[end++]);
	}
	if (keep) buf_byte(&r->word, '"');
	r->rest = slice_skip(r->rest, end < r->rest.len && r->rest.at[end] == '"' ? end + 1 : end);
}

static void skip_comment(struct reader *r) {
	size_t level = 0, i = 0;
	for (; i < r->rest.len && r->rest.at[i] != '\n'; i++) {
		if (r->rest.at[i] == '(') level++;
		if (r->rest.at[i] == ')' && --level == 0) break;
	}
	r->rest = slice_skip(r->rest, i < r->rest.len && r->rest.at[i] == ')' ? i + 1 : i);
}

struct forward_list forward_parse(struct slice text, struct arena *mem) {
	struct reader r = { .rest = text, .word = BUF(LOCAL_TEXT_MAX * 2), .mem = mem };
	r.out.at = arena_array(mem, LOCAL_TARGETS_MAX, sizeof *r.out.at);
	bool line_begins = true;
	while (r.rest.len != 0) {
		char c = r.rest.at[0];
		if (line_begins && c == '#') {
			r.rest = slice_skip(r.rest, slice_find(r.rest, '\n'));
			continue;
		}
		line_begins = c == '\n' || (line_begins && ascii_space(c));
		if (c == '"') {
			take_quoted(&r);
			continue;
		}
		if (c == '(' && !is_command(&r)) {
			skip_comment(&r);
			continue;
		}
		if (c == '\n' || c == ',') end_item(&r);
		else buf_byte(&r.word, c);
		r.rest = slice_skip(r.rest, 1);
	}
	end_item(&r);
	buf_done(&r.word);
	return r.out;
}
