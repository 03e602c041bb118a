/* SPDX-License-Identifier: Apache-2.0 */
/* cidr:, cidr_table(5): networks tried from the first to the last, with conditions around them. Addresses are compared
 * as bits, each family with its own. */
#include "conf/table/inside.h"
#include <arpa/inet.h>

#define CIDR_FILE_MOST MIB(64)

struct net_rule {
	enum rule_kind kind; /* RULE_MATCH, RULE_IF */
	bool not, never;     /* never: a broken condition */
	int family;
	uint8_t address[16], bits;
	size_t skip;         /* RULE_IF: the rule behind its endif */
	struct slice result;
};
struct nets {
	struct generation generation;
	struct arena mem;
	struct net_rule *at;
	size_t count, room;
};

static void nets_destroy(struct generation *g) {
	struct nets *n = OWNER_OF(g, struct nets, generation);
	arena_done(&n->mem);
	free(n->at);
	free(n);
}

/* AF_INET, AF_INET6, or AF_UNSPEC for no address. inet_pton(3) takes dotted quads with all four parts only, as Postfix.
 */
static int parse_address(struct slice text, uint8_t out[16]) {
	char room[64];
	if (text.len >= sizeof room || memchr(text.at, '\0', text.len) != NULL) return AF_UNSPEC;
	memcpy(room, text.at, text.len);
	room[text.len] = '\0';
	int family = slice_find(text, ':') < text.len ? AF_INET6 : AF_INET;
	return inet_pton(family, room, out) == 1 ? family : AF_UNSPEC;
}

static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned bits) {
	unsigned whole = bits / 8, rest = bits % 8;
	if (memcmp(a, b, whole) != 0) return false;
	return rest == 0 || (a[whole] ^ b[whole]) >> (8 - rest) == 0;
}

/* "[!]address[/bits]", "[address]/bits". False: told. */
static bool take_network(struct slice *line, struct net_rule *rule, struct report *r, unsigned number) {
	struct slice s = *line;
	for (; s.len > 0 && (s.at[0] == '!' || ascii_blank(s.at[0])); s = slice_skip(s, 1))
		if (s.at[0] == '!') rule->not = !rule->not;
	struct slice pattern = slice_word(&s, " \t\r\n"), rest = pattern, net;
	*line = slice_trim(s);
	if (pattern.len == 0) return report_error(r, number, "no address pattern"), false;
	bool bracket = rest.at[0] == '[';
	size_t close = slice_find(rest, ']');
	if (bracket && close == rest.len)
		return report_error(r, number, "missing ']' character after \"%.*s\"", SLICE_ARG(pattern)), false;
	size_t slash = bracket ? close + 1 : slice_find(rest, '/');
	net = bracket ? slice_skip(slice_head(rest, close), 1) : slice_head(rest, slash);
	rest = slice_skip(rest, slash);
	rule->family = parse_address(net, rule->address);
	if (rule->family == AF_UNSPEC || (rest.len > 0 && rest.at[0] != '/'))
		return report_error(r, number, "bad address pattern: \"%.*s\"", SLICE_ARG(pattern)), false;
	unsigned most = rule->family == AF_INET ? 32 : 128;
	uint64_t bits = most;
	if (rest.len > 0 && !slice_number(slice_skip(rest, 1), most, &bits))
		return report_error(r, number, "bad mask length in \"%.*s\"", SLICE_ARG(pattern)), false;
	rule->bits = (uint8_t)bits;
	uint8_t clean[16] = { 0 };
	memcpy(clean, rule->address, bits / 8);
	if (bits % 8 != 0) clean[bits / 8] = (uint8_t)(rule->address[bits / 8] & (0xff00 >> (bits % 8)));
	if (memcmp(clean, rule->address, most / 8) == 0) return true;
	char better[INET6_ADDRSTRLEN];
	inet_ntop(rule->family, clean, better, sizeof better);
	report_error(r, number, "non-null host address bits in \"%.*s\", perhaps you should use \"%s/%u\" instead",
		     SLICE_ARG(pattern), better, (unsigned)bits);
	return false;
}

static void add_net(struct nets *n, struct net_rule rule) {
	if (n->count == n->room) {
		n->room = n->room == 0 ? 16 : n->room * 2;
		n->at = mem_resize(n->at, n->room * sizeof *n->at);
	}
	n->at[n->count++] = rule;
}

static bool read_net(struct nets *n, struct slice line, struct net_rule *rule, struct report *r, unsigned number) {
	if (!take_network(&line, rule, r, number)) return false;
	if (rule->kind == RULE_MATCH && line.len == 0) return report_error(r, number, "no lookup result"), false;
	if (rule->kind == RULE_IF && line.len > 0)
		report_warning(r, number, "ignoring extra text after \"if\" statement: \"%.*s\"", SLICE_ARG(line));
	rule->result = arena_slice(&n->mem, line);
	return true;
}

static struct generation *read_nets(const struct table *t, struct buf *text, struct report *r) {
	AUTO_ARENA struct arena mem = { 0 };
	struct nets *n = mem_get(sizeof *n);
	struct logical_lines lines = { .rest = buf_slice(text) };
	struct slice line, rest;
	unsigned number, opened[TABLE_CONDITIONS];
	size_t open[TABLE_CONDITIONS], depth = 0;
	(void)t;
	n->generation.destroy = nets_destroy;
	for (; table_line_next(&lines, &mem, &line, &number, r); arena_reset(&mem)) {
		struct net_rule rule = { .kind = rule_kind(slice_trim(line), &rest) };
		if (rule.kind == RULE_ENDIF) {
			if (depth == 0) report_error(r, number, "ENDIF without matching IF");
			else n->at[open[--depth]].skip = n->count;
			continue;
		}
		if (rule.kind == RULE_IF && depth == LEN(open)) {
			report_error(r, number, "more than %zu conditions within each other", LEN(open));
			continue;
		}
		if (!read_net(n, rest, &rule, r, number)) {
			if (rule.kind != RULE_IF) continue;
			rule.never = true; /* and its endif still has a partner */
		}
		if (rule.kind == RULE_IF) {
			opened[depth] = number;
			open[depth++] = n->count;
		}
		add_net(n, rule);
	}
	while (depth > 0) {
		n->at[open[--depth]].skip = n->count;
		report_error(r, opened[depth], "IF has no matching ENDIF");
	}
	return &n->generation;
}

static const struct watched_kind cidr_kind = { .limit = CIDR_FILE_MOST, .read = read_nets };

static int open_cidr(struct table *t) {
	struct watched *w = NULL;
	int r = watched_open(t, &cidr_kind, &w);
	t->state = w;
	return r;
}

static int find_cidr(struct table *t, struct slice key, struct arena *mem, struct slice *value) {
	uint8_t address[16];
	int family = parse_address(key, address), r = TABLE_MISSING;
	struct generation *g = watched_hold(t->state);
	if (g == NULL) return TABLE_LATER;
	const struct nets *n = OWNER_OF(g, struct nets, generation);
	for (size_t i = 0; family != AF_UNSPEC && i < n->count; i++) {
		const struct net_rule *rule = &n->at[i];
		bool inside = rule->family == family && same_bits(rule->address, address, rule->bits);
		bool yes = !rule->never && rule->family == family &&
			   inside != rule->not ; /* "!" stays within the family, as in Postfix */
		if (rule->kind == RULE_IF && !yes) i = rule->skip - 1;
		if (rule->kind == RULE_IF || !yes) continue;
		*value = arena_slice(mem, rule->result);
		r = TABLE_FOUND;
		break;
	}
	generation_drop(g);
	return r;
}

static void close_cidr(struct table *t) {
	struct watched *w = t->state;
	watched_free(&w);
}

const struct table_type table_cidr = { "cidr", TRAIT_PATTERN, open_cidr, find_cidr, NULL, close_cidr };
