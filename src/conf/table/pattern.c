/* SPDX-License-Identifier: Apache-2.0 */
/* regexp: and pcre:, regexp_table(5) and pcre_table(5): rules tried from the first to the last, with conditions around
 * them.
 *
 * regexp is the C library's own regcomp(3), as in Postfix: PCRE2 finds other substrings for the same expression, so
 * that $1 would differ. The library knows no limit, and its time can grow with the square of the key's length: a key is
 * looked at up to REGEXP_KEY_MOST bytes, and patterns with back references, where it grows exponentially, or with
 * repetitions of repetitions, which it writes out, are PCRE2's after all. That has limits on size, steps, depth and
 * memory; reaching one is TABLE_LATER, told in the log. */
#include "conf/table/inside.h"
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <regex.h>

#define PATTERN_FILE_MOST MIB(64)
#define REGEXP_KEY_MOST KIB(16)
#define REGEXP_COPIES 200000    /* atoms of a pattern whose repetitions are written out; some 500 bytes each */
#define REGEXP_GROUPS 100       /* as many $n as can be asked for */
#define PCRE_STEPS 1000000      /* about 0.1 s */
#define PCRE_DEPTH 10000
#define PCRE_HEAP_KIB 20000

struct rule {
	enum rule_kind kind;
	bool not;
	unsigned line;
	size_t skip;          /* RULE_IF: the rule behind its endif */
	struct slice result;
	struct slice begins;  /* of regexp: so does every key that matches; empty: nothing is known */
	bool either_case;     /* of begins */
	regex_t *regexp;
	pcre2_code *pcre;
};
struct rules {
	struct generation generation;
	struct arena mem;
	struct rule *at;
	size_t count, room;
	pcre2_match_context *limits;
};
/* Where a pattern matched: offsets in the key, SIZE_MAX where a group took no part. */
struct groups {
	size_t count;
	struct { size_t start, end; } at[REGEXP_GROUPS];
};

static void rules_destroy(struct generation *g) {
	struct rules *r = OWNER_OF(g, struct rules, generation);
	for (size_t i = 0; i < r->count; i++) {
		if (r->at[i].regexp != NULL) regfree(r->at[i].regexp);
		pcre2_code_free(r->at[i].pcre);
	}
	pcre2_match_context_free(r->limits);
	arena_done(&r->mem);
	free(r->at);
	free(r);
}

/* Reading rules. */

/* Flags that are toggled by one letter each. */
struct flag {
	char letter;
	uint32_t bit;
};
static const struct flag regexp_flags[] = { { 'i', REG_ICASE }, { 'm', REG_NEWLINE }, { 'x', REG_EXTENDED }, { 0, 0 } };
static const struct flag pcre_flags[] = {
	{ 'i', PCRE2_CASELESS },
	{ 'm', PCRE2_MULTILINE },
	{ 's', PCRE2_DOTALL },
	{ 'x', PCRE2_EXTENDED },
	{ 'A', PCRE2_ANCHORED },
	{ 'E', PCRE2_DOLLAR_ENDONLY },
	{ 'U', PCRE2_UNGREEDY },
	{ 'X', 0 },
	{ 0, 0 }, /* X: PCRE2 is always that strict */
};

/* "[!]/pattern/flags", cut off *line, which becomes what follows. False: reported. */
static bool take_pattern(struct slice *line, const struct flag *flags, uint32_t *bits, bool *not, struct slice *pattern,
                         struct report *r, unsigned number) {
	struct slice s = *line;
	for (*not = false; s.len > 0 && (s.at[0] == '!' || ascii_blank(s.at[0])); s = slice_skip(s, 1))
		if (s.at[0] == '!') *not = !*not;
	if (s.len == 0) return report_error(r, number, "no regexp"), false;
	char delimiter = s.at[0];
	if (ascii_alpha(delimiter) || ascii_digit(delimiter))
		return report_error(r, number, "regexp delimiter '%c' must not be a letter or digit", delimiter), false;
	size_t n = 1;
	for (; n < s.len && s.at[n] != delimiter; n++)
		if (s.at[n] == '\\' && n + 1 < s.len) n++;
	if (n >= s.len) return report_error(r, number, "no closing regexp delimiter \"%c\"", delimiter), false;
	*pattern = slice_skip(slice_head(s, n), 1);
	for (n++; n < s.len && !ascii_space(s.at[n]) && s.at[n] != '!'; n++) {
		const struct flag *f = flags;
		while (f->letter != 0 && f->letter != s.at[n]) f++;
		if (f->letter == 0) return report_error(r, number, "unknown regexp option \"%c\"", s.at[n]), false;
		*bits ^= f->bit;
	}
	*line = slice_trim(slice_skip(s, n));
	return true;
}

/* "/^Subject: +spam/" begins with "Subject:": most rules of most tables begin with something, and a key that does not
 * need not be shown to the library, which costs much more. Only what is plain in every way counts, and nothing that is
 * repeated: "b+*" may be left out. */
static struct slice begins_with(struct slice pattern, uint32_t bits, struct arena *mem) {
	static const char plain[] = "-_:@ ,;=<>/%&~!#", escaped[] = ".[]()*+?{}^$|\\/";
	if ((bits & REG_EXTENDED) == 0 || (bits & REG_NEWLINE) != 0 || pattern.len == 0 || pattern.at[0] != '^' ||
	    slice_find(pattern, '|') < pattern.len)
		return SLICE_NONE;
	char *out = arena_get(mem, pattern.len);
	size_t n = 0;
	for (size_t i = 1; i < pattern.len; i++) {
		char c = pattern.at[i];
		bool escape = c == '\\' && i + 1 < pattern.len;
		if (escape) c = pattern.at[++i];
		if (c == 0 || (escape ? strchr(escaped, c) == NULL
				      : !ascii_alpha(c) && !ascii_digit(c) && strchr(plain, c) == NULL))
			break;
		if (i + 1 < pattern.len && strchr("*?{+", pattern.at[i + 1]) != NULL) break;
		out[n++] = c;
	}
	return slice_from(out, n);
}

static bool compile_regexp(struct rules *rs, struct rule *rule, struct slice pattern, uint32_t bits, struct report *r) {
	regex_t *re = arena_get(&rs->mem, sizeof *re);
	rule->begins = begins_with(pattern, bits, &rs->mem);
	rule->either_case = (bits & REG_ICASE) != 0;
	int error = regcomp(re, arena_text(&rs->mem, pattern),
			    (int)bits | (rule->kind == RULE_IF || rule->not ? REG_NOSUB : 0));
	char why[256];
	if (error == 0) return rule->regexp = re, true;
	regerror(error, re, why, sizeof why);
	report_error(r, rule->line, "%s", why);
	return false;
}

static bool compile_pcre(struct rule *rule, struct slice pattern, uint32_t bits, struct report *r) {
	int error;
	PCRE2_SIZE offset;
	rule->pcre = pcre2_compile((PCRE2_SPTR)pattern.at, pattern.len, bits, &error, &offset, NULL);
	if (rule->pcre == NULL) {
		char why[256] = "";
		pcre2_get_error_message(error, (PCRE2_UCHAR *)why, sizeof why);
		report_error(r, rule->line, "error in regex at offset %zu: %s", (size_t)offset, why);
		return false;
	}
	pcre2_jit_compile(rule->pcre,
			  PCRE2_JIT_COMPLETE); /* only faster: refused where code cannot be made at run time */
	return true;
}

/* "\\1" in a pattern: what the C library needs exponential time for, without a limit. */
static bool refers_back(struct slice pattern) {
	for (size_t i = 0; i + 1 < pattern.len; i++) {
		if (pattern.at[i] != '\\') continue;
		if (ascii_digit(pattern.at[++i])) return true;
	}
	return false;
}

/* Behind "{": how often at most the atom before it stands there. */
static size_t repeated(struct slice *rest) {
	size_t n = 0, most = 0;
	for (; rest->len > 0 && rest->at[0] != '}'; *rest = slice_skip(*rest, 1)) {
		n = ascii_digit(rest->at[0]) ? MIN_OF(n * 10 + (size_t)(rest->at[0] - '0'), (size_t)REGEXP_COPIES) : 0;
		most = MAX_OF(most, n);
	}
	return MAX_OF(most, 1u);
}

/* "((a{1,200}){1,200}){1,200}": regcomp(3) would take minutes, and all memory. Roughly counted, in either syntax. */
static bool repeats_too_often(struct slice pattern) {
	enum { DEPTH = 64 };
	size_t sum[DEPTH] = { 0 }, last = 0, d = 0;
	for (struct slice rest = pattern; rest.len > 0 && sum[d] <= REGEXP_COPIES; rest = slice_skip(rest, 1)) {
		bool escaped = rest.at[0] == '\\' && rest.len > 1;
		if (escaped) rest = slice_skip(rest, 1);
		char c = rest.at[0];
		if (c == '(' && d + 1 < DEPTH) {
			sum[d] += last, last = 0;
			sum[++d] = 0;
		} else if (c == ')' && d > 0) {
			last += sum[d--];
		} else if (c == '{' || (c == '+' && !escaped)) {
			size_t times = 2;
			if (c == '{') rest = slice_skip(rest, 1), times = repeated(&rest);
			last = MIN_OF(last * times, (size_t)REGEXP_COPIES + 1);
			if (rest.len == 0) break;
		} else {
			sum[d] += last, last = 1;
		}
	}
	return sum[d] + last > REGEXP_COPIES;
}

static bool compile(struct rules *rs, struct rule *rule, struct slice pattern, uint32_t bits, bool pcre,
		    struct report *r) {
	if (pcre) return compile_pcre(rule, pattern, bits, r);
	if (!refers_back(pattern) && !repeats_too_often(pattern)) return compile_regexp(rs, rule, pattern, bits, r);
	return compile_pcre(rule, pattern,
			    ((bits & REG_ICASE) != 0 ? PCRE2_CASELESS : 0) |
				    ((bits & REG_NEWLINE) != 0 ? PCRE2_MULTILINE : PCRE2_DOTALL),
			    r);
}

static unsigned groups_of(const struct rule *rule) {
	uint32_t n = 0;
	if (rule->pcre != NULL) pcre2_pattern_info(rule->pcre, PCRE2_INFO_CAPTURECOUNT, &n);
	else n = (uint32_t)rule->regexp->re_nsub;
	return n;
}

/* The next piece of a result: plain text, or the number of a group (>= 0 in *group). False: none is left or, with *bad,
 * a $ that stands for nothing. */
static bool next_piece(struct slice *rest, struct slice *text, int *group, bool *bad) {
	*group = -1;
	if (rest->len == 0) return false;
	size_t n = slice_find(*rest, '$');
	*text = slice_head(*rest, n);
	if (n > 0) return *rest = slice_skip(*rest, n), true;
	struct slice after = slice_skip(*rest, 1);
	if (after.len > 0 && after.at[0] == '$') {
		*text = slice_head(after, 1);
		*rest = slice_skip(after, 1);
		return true;
	}
	char close = 0;
	if (after.len > 0 && (after.at[0] == '{' || after.at[0] == '(')) {
		close = after.at[0] == '{' ? '}' : ')';
		after = slice_skip(after, 1);
	}
	size_t digits = 0;
	while (digits < after.len && ascii_digit(after.at[digits])) digits++;
	uint64_t number = 0;
	*bad = !slice_number(slice_head(after, digits), REGEXP_GROUPS - 1, &number) || number == 0;
	after = slice_skip(after, digits);
	if (close != 0) {
		*bad = *bad || after.len == 0 || after.at[0] != close;
		after = slice_skip(after, 1);
	}
	*group = (int)number;
	*rest = after;
	return !*bad;
}

/* Whether each $n of the result is one of the pattern's. */
static bool check_result(const struct rule *rule, struct report *r) {
	struct slice rest = rule->result, text;
	int group;
	bool bad = false;
	while (next_piece(&rest, &text, &group, &bad)) {
		if (group < 0) continue;
		if (rule->not )
			return report_error(r, rule->line, "$number found in negative match replacement text"), false;
		if ((unsigned)group > groups_of(rule))
			return report_error(r, rule->line, "out of range replacement index \"%d\"", group), false;
	}
	if (bad)
		report_error(r, rule->line, "bad $ in \"%.*s\" (expected $number, ${number} or $$)",
			     SLICE_ARG(rule->result));
	return !bad;
}

static struct rule *add_rule(struct rules *rs, struct rule rule) {
	if (rs->count == rs->room) {
		rs->room = rs->room == 0 ? 16 : rs->room * 2;
		rs->at = mem_resize(rs->at, rs->room * sizeof *rs->at);
	}
	rs->at[rs->count] = rule;
	return &rs->at[rs->count++];
}

static bool read_rule(struct rules *rs, struct slice line, struct rule rule, bool pcre, struct report *r) {
	uint32_t bits = pcre ? PCRE2_CASELESS | PCRE2_DOTALL : REG_ICASE | REG_EXTENDED;
	struct slice pattern;
	if (!take_pattern(&line, pcre ? pcre_flags : regexp_flags, &bits, &rule.not, &pattern, r, rule.line))
		return false;
	rule.result = arena_slice(&rs->mem, line);
	if (rule.kind == RULE_MATCH && line.len == 0)
		report_warning(r, rule.line, "no replacement text: using empty string");
	if (rule.kind == RULE_IF && line.len > 0)
		report_warning(r, rule.line, "ignoring extra text after \"if\" statement: \"%.*s\"", SLICE_ARG(line));
	if (!compile(rs, &rule, pattern, bits, pcre, r)) return false;
	struct rule *kept = add_rule(rs, rule);
	if (kept->kind == RULE_MATCH && !check_result(kept, r))
		kept->kind = RULE_ENDIF; /* does nothing when it is met */
	return true;
}

static struct generation *read_rules(const struct table *t, struct buf *text, struct report *r) {
	AUTO_ARENA struct arena mem = { 0 };
	struct rules *rs = mem_get(sizeof *rs);
	struct logical_lines lines = { .rest = buf_slice(text) };
	struct slice line, rest;
	unsigned number;
	size_t open[TABLE_CONDITIONS], depth = 0;
	rs->generation.destroy = rules_destroy;
	rs->limits = pcre2_match_context_create(NULL);
	if (rs->limits == NULL) die_now("out of memory for match limits");
	pcre2_set_match_limit(rs->limits, PCRE_STEPS);
	pcre2_set_depth_limit(rs->limits, PCRE_DEPTH);
	pcre2_set_heap_limit(rs->limits, PCRE_HEAP_KIB);
	for (; table_line_next(&lines, &mem, &line, &number, r); arena_reset(&mem)) {
		struct rule rule = { .kind = rule_kind(slice_trim(line), &rest), .line = number };
		if (rule.kind == RULE_ENDIF) {
			if (depth == 0) report_error(r, number, "ENDIF without matching IF");
			else rs->at[open[--depth]].skip = rs->count;
			continue;
		}
		if (rule.kind == RULE_IF && depth == LEN(open)) {
			report_error(r, number, "more than %zu conditions within each other", LEN(open));
			continue;
		}
		size_t at = rs->count;
		if (!read_rule(rs, rest, rule, t->type == &table_pcre, r)) {
			if (rule.kind != RULE_IF) continue;
			struct rule never =
				rule; /* a broken condition is never true, and its endif still has a partner */
			never.skip = 0;
			add_rule(rs, never);
		}
		if (rule.kind == RULE_IF) open[depth++] = at;
	}
	while (depth > 0) {
		struct rule *rule = &rs->at[open[--depth]];
		report_error(r, rule->line, "IF has no matching ENDIF");
		rule->skip = rs->count;
	}
	return &rs->generation;
}

static const struct watched_kind pattern_kind = { .limit = PATTERN_FILE_MOST, .read = read_rules };

/* Looking up. */

/* 1, 0, or <0: it needs more memory than there is. text: the key, with an end. */
static int match_regexp(const struct rule *rule, struct slice key, const char *text, struct groups *g) {
	regmatch_t at[REGEXP_GROUPS];
	if (!(rule->either_case ? slice_starts_same : slice_starts)(key, rule->begins)) return 0;
	size_t count = MIN_OF(rule->regexp->re_nsub + 1, (size_t)REGEXP_GROUPS);
	int answer = regexec(rule->regexp, text, count, at, 0);
	if (answer == REG_ESPACE) return fail("out of memory");
	if (answer != 0) return 0;
	g->count = count;
	for (size_t i = 0; i < count; i++) {
		g->at[i].start = at[i].rm_so < 0 ? SIZE_MAX : (size_t)at[i].rm_so;
		g->at[i].end = at[i].rm_eo < 0 ? SIZE_MAX : (size_t)at[i].rm_eo;
	}
	return 1;
}

/* 1, 0, or <0: a limit was reached. */
static int match_pcre(const struct rules *rs, const struct rule *rule, struct slice key, struct groups *g) {
	pcre2_match_data *data = pcre2_match_data_create_from_pattern(rule->pcre, NULL);
	if (data == NULL) die_now("out of memory for a match");
	int n = pcre2_match(rule->pcre, (PCRE2_SPTR)key.at, key.len, 0, 0, data, rs->limits);
	if (n == PCRE2_ERROR_JIT_STACKLIMIT)
		n = pcre2_match(rule->pcre, (PCRE2_SPTR)key.at, key.len, 0, PCRE2_NO_JIT, data, rs->limits);
	if (n > 0) {
		const PCRE2_SIZE *at = pcre2_get_ovector_pointer(data);
		g->count = MIN_OF((size_t)n, (size_t)REGEXP_GROUPS);
		for (size_t i = 0; i < g->count; i++) {
			g->at[i].start = at[2 * i];
			g->at[i].end = at[2 * i + 1];
		}
	}
	pcre2_match_data_free(data);
	if (n == PCRE2_ERROR_NOMATCH) return 0;
	if (n > 0) return 1;
	char why[256] = "";
	pcre2_get_error_message(n, (PCRE2_UCHAR *)why, sizeof why);
	return fail("%s", why);
}

static struct slice result_of(const struct rule *rule, struct slice key, const struct groups *g, struct arena *mem) {
	AUTO_BUF struct buf out = BUF(TABLE_VALUE_MOST);
	struct slice rest = rule->result, text;
	int group;
	bool bad = false;
	while (next_piece(&rest, &text, &group, &bad)) {
		if (group < 0) buf_add(&out, text);
		else if ((size_t)group < g->count && g->at[group].start != SIZE_MAX)
			buf_add(&out, slice_from(key.at + g->at[group].start, g->at[group].end - g->at[group].start));
	}
	return arena_slice(mem, buf_slice(&out));
}

static int try_rules(const struct table *t, const struct rules *rs, struct slice key, const char *text,
		     struct arena *mem, struct slice *value) {
	for (size_t i = 0; i < rs->count; i++) {
		const struct rule *rule = &rs->at[i];
		struct groups g;
		g.count = 0; /* the rest is long, and each match writes what it counts */
		if (rule->kind == RULE_ENDIF) continue;
		int hit = rule->pcre != NULL     ? match_pcre(rs, rule, key, &g)
		          : rule->regexp != NULL ? match_regexp(rule, key, text, &g)
		                                 : -2;
		if (hit == -1) {
			fail_add("%s, line %u", t->name, rule->line);
			table_tell(t, L_WARN, "%s (the pattern takes too long on this key; simplify it)", fail_text());
			return TABLE_LATER;
		}
		bool yes = hit >= 0 && (hit == 1) != rule->not;
		if (rule->kind == RULE_IF && !yes) i = rule->skip - 1;
		if (rule->kind == RULE_IF || !yes) continue;
		*value = result_of(rule, key, &g, mem);
		return TABLE_FOUND;
	}
	return TABLE_MISSING;
}

static int find_pattern(struct table *t, struct slice key, struct arena *mem, struct slice *value) {
	struct generation *g = watched_hold(t->state);
	if (g == NULL) return TABLE_LATER;
	const char *text = NULL;
	if (t->type == &table_regexp) {
		key = slice_head(key, REGEXP_KEY_MOST);
		text = arena_text(mem, key);
	}
	int r = try_rules(t, OWNER_OF(g, struct rules, generation), key.at != NULL ? key : S(""), text, mem, value);
	generation_drop(g);
	return r;
}

static int open_pattern(struct table *t) {
	struct watched *w = NULL;
	int r = watched_open(t, &pattern_kind, &w);
	t->state = w;
	return r;
}

static void close_pattern(struct table *t) {
	struct watched *w = t->state;
	watched_free(&w);
}

const struct table_type table_regexp = { "regexp", TRAIT_PATTERN, open_pattern, find_pattern, NULL, close_pattern },
			table_pcre = { "pcre", TRAIT_PATTERN, open_pattern, find_pattern, NULL, close_pattern };
