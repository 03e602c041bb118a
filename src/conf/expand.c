/* SPDX-License-Identifier: Apache-2.0 */
/* Written after what postconf -x of Postfix 3.7 does with each form, including the odd ones: text in braces keeps its
 * blanks, a branch without braces runs to the end, and a comparison without branches gives "true". */
#include "conf/expand.h"
#include "base/fail.h"
#include "net/dns.h"

static int expand_text(const struct expand_ops *e, struct slice text, struct buf *out);

static bool name_byte(char c) { return ascii_alpha(c) || ascii_digit(c) || c == '_'; }

static struct slice skip_blanks(struct slice s) {
	while (s.len > 0 && ascii_space(s.at[0])) s = slice_skip(s, 1);
	return s;
}

static int syntax(const char *what, struct slice before, struct slice at) {
	return fail("%s at: \"...%.*s>>>%.*s\"", what, SLICE_ARG(slice_head(before, 40)),
		    SLICE_ARG(slice_head(at, 20)));
}

/* s begins with `open`. Finds its partner; false when there is none. */
static bool balanced(struct slice s, char open, char close, struct slice *inside, struct slice *rest) {
	size_t level = 0;
	for (size_t i = 0; i < s.len; i++) {
		if (s.at[i] == open) level++;
		else if (s.at[i] == close && --level == 0) {
			*inside = slice_from(s.at + 1, i - 1);
			*rest = slice_skip(s, i + 1);
			return true;
		}
	}
	return false;
}

/* Cuts "{text}" and the blanks around it off *s. */
static int cut_braces(struct slice *s, struct slice *inside) {
	struct slice at = skip_blanks(*s), rest;
	if (at.len == 0 || at.at[0] != '{') return syntax("\"{\" expected", *s, at);
	if (!balanced(at, '{', '}', inside, &rest)) return syntax("unbalanced {}", SLICE_NONE, at);
	*s = skip_blanks(rest);
	return 0;
}

/* What stands behind ? or :, as {text}, {text}:{text} or plain text to the end. */
struct branches {
	struct slice yes, no;
};

static bool braces_follow(struct slice s) {
	s = skip_blanks(s);
	return s.len > 0 && s.at[0] == '{';
}

static int parse_branches(struct slice s, struct branches *out) {
	char kind = s.at[0];
	struct slice text = slice_skip(s, 1);
	struct branches b = { SLICE_NONE, SLICE_NONE };
	struct slice *first = kind == '?' ? &b.yes : &b.no;
	if (!braces_follow(text)) {
		*first = text;
	} else {
		struct slice inside;
		if (cut_braces(&text, first) < 0) return -1;
		if (kind == '?' && text.len > 0 && text.at[0] == ':') {
			text = slice_skip(text, 1);
			if (!braces_follow(text)) b.no = text, text = SLICE_NONE;
			else if (cut_braces(&text, &inside) < 0) return -1;
			else b.no = inside;
		}
		if (text.len > 0) return syntax(kind == '?' ? "\":\" expected" : "unexpected input", s, text);
	}
	*out = b;
	return 0;
}

static bool all_digits(struct slice s) {
	for (size_t i = 0; i < s.len; i++)
		if (!ascii_digit(s.at[i])) return false;
	return s.len > 0;
}

/* As numbers of any size when both are, else as text. */
static int order_plain(struct slice a, struct slice b, int *order) {
	if (all_digits(a) && all_digits(b)) {
		while (a.len > 1 && a.at[0] == '0') a = slice_skip(a, 1);
		while (b.len > 1 && b.at[0] == '0') b = slice_skip(b, 1);
		if (a.len != b.len) return *order = a.len < b.len ? -1 : 1, 0;
	}
	*order = slice_order(a, b);
	return 0;
}

static int parse_level(struct slice s, uint64_t level[3]) {
	struct slice rest = s;
	level[0] = level[1] = level[2] = 0;
	for (size_t i = 0; rest.at != NULL; i++) {
		if (i == 3 || !slice_number(slice_cut(&rest, '.'), INT_MAX, &level[i]))
			return fail("malformed compatibility level syntax: \"%.*s\"", SLICE_ARG(slice_head(s, 40)));
	}
	return 0;
}

static int order_levels(struct slice a, struct slice b, int *order) {
	uint64_t left[3], right[3];
	if (parse_level(a, left) < 0 || parse_level(b, right) < 0) return -1;
	*order = 0;
	for (size_t i = 0; i < 3 && *order == 0; i++) *order = left[i] < right[i] ? -1 : left[i] > right[i];
	return 0;
}

static const struct comparison {
	struct slice word;
	bool less, same, more;
} comparisons[] = { /* the longer ones first */
	{ S("=="), false, true, false }, { S("!="), true, false, true }, { S("<="), true, true, false },
	{ S(">="), false, true, true },  { S("<"), true, false, false }, { S(">"), false, false, true },
};

static const struct comparison *cut_comparison(struct slice *s) {
	for (size_t i = 0; i < LEN(comparisons); i++) {
		if (!slice_starts(*s, comparisons[i].word)) continue;
		*s = slice_skip(*s, comparisons[i].word.len);
		return &comparisons[i];
	}
	return NULL;
}

static int add_branch(const struct expand_ops *e, struct slice s, bool truth, struct buf *out) {
	struct branches b = { SLICE_NONE, SLICE_NONE }; /* gcc -O3 cannot see that it is always set */
	if (parse_branches(s, &b) < 0) return -1;
	return expand_text(e, truth ? b.yes : b.no, out);
}

/* {left} operator {right} and what follows */
static int expand_comparison(const struct expand_ops *e, struct slice s, struct buf *out) {
	struct slice whole = s, left, right;
	if (cut_braces(&s, &left) < 0) return -1;
	const struct comparison *c = cut_comparison(&s);
	if (c == NULL)
		return syntax("\"==\" or \"!=\" or \"<\" or \"<=\" or \">=\" or \">\" expected",
		              slice_head(whole, whole.len - s.len), s);
	bool level = slice_starts(s, S("level"));
	if (level) s = slice_skip(s, 5);
	if (cut_braces(&s, &right) < 0) return -1;
	AUTO_BUF struct buf a = BUF(EXPAND_LIMIT), b = BUF(EXPAND_LIMIT);
	int order = 0;
	if (expand_text(e, left, &a) < 0 || expand_text(e, right, &b) < 0) return -1;
	if ((level ? order_levels : order_plain)(buf_slice(&a), buf_slice(&b), &order) < 0) return -1;
	bool truth = order < 0 ? c->less : order > 0 ? c->more : c->same;
	if (s.len == 0) return truth ? expand_text(e, S("true"), out) : 0;
	if (s.at[0] != '?') return syntax("\"?\" expected", slice_head(whole, whole.len - s.len), s);
	return add_branch(e, s, truth, out);
}

/* name{text}: what text becomes. A domain that cannot be converted stays as it is. */
static int expand_function(const struct expand_ops *e, struct slice name, struct slice s, struct buf *out) {
	AUTO_ARENA struct arena mem = { 0 };
	struct slice text = SLICE_NONE, ascii;
	if (!slice_eq(name, S("domain_to_ascii"))) return syntax("attribute name syntax error", name, s);
	if (cut_braces(&s, &text) < 0) return -1;
	if (s.len > 0) return syntax("unexpected input", name, s);
	AUTO_BUF struct buf domain = BUF(EXPAND_LIMIT);
	if (expand_text(e, text, &domain) < 0) return -1;
	buf_add(out, dns_to_ascii(buf_slice(&domain), &mem, &ascii) ? ascii : buf_slice(&domain));
	return 0;
}

/* The inside of ${…} */
static int expand_reference(const struct expand_ops *e, struct slice s, struct buf *out) {
	struct slice whole = s;
	s = skip_blanks(s);
	if (s.len > 0 && s.at[0] == '{') return expand_comparison(e, s, out);
	size_t len = 0;
	while (len < s.len && name_byte(s.at[len])) len++;
	struct slice name = slice_head(s, len);
	s = skip_blanks(slice_skip(s, len));
	if (name.len == 0) return fail("empty macro name: \"${%.*s}\"", SLICE_ARG(slice_head(whole, 40)));
	if (s.len == 0) return e->value(e->ctx, name, out) < 0 ? -1 : 0;
	if (s.at[0] == '{') return expand_function(e, name, s, out);
	if (s.at[0] != '?' && s.at[0] != ':') return syntax("attribute name syntax error", name, s);
	AUTO_BUF struct buf value = BUF(EXPAND_LIMIT);
	if (e->value(e->ctx, name, &value) < 0) return -1;
	return add_branch(e, s, value.len > 0, out);
}

/* Cuts a reference off text, which begins behind its $. */
static int cut_reference(struct slice whole, struct slice *text, struct slice *inside) {
	char open = text->len > 0 ? text->at[0] : '\0';
	if (open == '{' || open == '(') {
		if (balanced(*text, open, open == '{' ? '}' : ')', inside, text)) return 0;
		return fail("truncated macro reference: \"%.*s\"", SLICE_ARG(slice_head(whole, 80)));
	}
	size_t len = 0;
	while (len < text->len && name_byte(text->at[len])) len++;
	if (len == 0) return fail("empty macro name: \"%.*s\"", SLICE_ARG(slice_head(whole, 80)));
	*inside = slice_head(*text, len);
	*text = slice_skip(*text, len);
	return 0;
}

static int expand_all(const struct expand_ops *e, struct slice text, struct buf *out) {
	struct slice whole = text, inside = SLICE_NONE;
	while (text.len > 0) {
		size_t plain = slice_find(text, '$');
		buf_add(out, slice_head(text, plain));
		if (plain == text.len) break;
		text = slice_skip(text, plain + 1);
		if (text.len > 0 && text.at[0] == '$') {
			buf_byte(out, '$');
			text = slice_skip(text, 1);
			continue;
		}
		if (cut_reference(whole, &text, &inside) < 0 || expand_reference(e, inside, out) < 0) return -1;
	}
	return out->full ? fail("value is longer than %zu bytes", EXPAND_LIMIT) : 0;
}

static int expand_text(const struct expand_ops *e, struct slice text, struct buf *out) {
	if (*e->depth >= EXPAND_DEPTH)
		return fail("unreasonable macro call nesting: \"%.*s\"", SLICE_ARG(slice_head(text, 40)));
	++*e->depth;
	int r = expand_all(e, text, out);
	--*e->depth;
	return r;
}

int expand(struct slice text, const struct expand_ops *ops, struct buf *out) {
	return expand_text(ops, text, out);
}

void expand_names(struct slice text, void (*visit)(void *ctx, struct slice name), void *ctx) {
	for (;;) {
		text = slice_skip(text, slice_find(text, '$') + 1);
		if (text.len == 0) return;
		if (text.at[0] == '$') {
			text = slice_skip(text, 1);
			continue;
		}
		bool braced = text.at[0] == '{' || text.at[0] == '(';
		if (braced) text = skip_blanks(slice_skip(text, 1));
		size_t len = 0;
		while (len < text.len && name_byte(text.at[len])) len++;
		bool function = braced && len > 0 && len < text.len && text.at[len] == '{';
		if (len > 0 && !function) visit(ctx, slice_head(text, len));
		text = slice_skip(text, len);
	}
}
