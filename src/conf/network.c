/* SPDX-License-Identifier: Apache-2.0 */
/* Both lists share one walk over words, `!` and included files; they differ in what a word means. Lists are short, so
 * they are searched from the front, which also gives "the first match decides" for free. */
#include "conf/network.h"
#include "base/fail.h"
#include <arpa/inet.h>
#include <netinet/in.h>

#define INCLUDE_DEPTH 8
#define PATTERNS_MOST 100000 /* words in one list, included files and all */
#define WORD_BREAKS ", \t\r\n"

struct walk {
	const char *name;
	struct sources *files;
	struct problems *problems;
	void *out;
	size_t count;
	/* Takes one word without its `!`. */
	void (*take)(struct walk *w, struct slice word, bool except, struct place where);
};

static void walk_words(struct walk *w, struct slice text, bool except, struct place where, unsigned depth);

static void walk_file(struct walk *w, struct slice path, bool except, struct place where, unsigned depth) {
	struct slice text = SLICE_NONE, line;
	if (depth == INCLUDE_DEPTH) {
		problem_add(w->problems, PROBLEM_ERROR, where, "%s: files include each other more than %d deep",
			    w->name, INCLUDE_DEPTH);
		return;
	}
	int r = source_read(w->files, path, &text);
	if (r == SOURCE_ABSENT)
		fail("%.*s: no such file%s", SLICE_ARG(path), except ? "" : ": what should stand in it is left out");
	if (r != SOURCE_FOUND) { /* an exception left out would let somebody in */
		problem_add(w->problems, r == SOURCE_ABSENT && !except ? PROBLEM_WARNING : PROBLEM_ERROR, where,
			    "%s: %s", w->name, fail_text());
		return;
	}
	struct logical_lines lines = { .rest = text };
	struct place at = { .file = path };
	while (logical_line_next(&lines, w->problems->mem, &line, &at.line)) walk_words(w, line, except, at, depth + 1);
}

/* Braces keep blanks and commas together: inline:{a=1, b=2}. */
static struct slice next_word(struct slice *rest) {
	struct slice start = *rest, word = slice_word(rest, WORD_BREAKS);
	size_t level = 0, begin = word.len > 0 ? (size_t)(word.at - start.at) : 0, i = begin;
	for (; i < start.len && (level > 0 || start.at[i] == '\0' || strchr(WORD_BREAKS, start.at[i]) == NULL); i++)
		level = start.at[i] == '{' ? level + 1 : start.at[i] == '}' && level > 0 ? level - 1 : level;
	if (word.len == 0 || i <= begin + word.len) return word;
	*rest = slice_skip(start, i);
	return slice_head(slice_skip(start, begin), i - begin);
}

static void walk_words(struct walk *w, struct slice text, bool except, struct place where, unsigned depth) {
	for (struct slice word; (word = next_word(&text)).len > 0;) {
		bool not = except;
		for (; word.len > 0 && word.at[0] == '!'; word = slice_skip(word, 1)) not = !not;
		if (w->count++ == PATTERNS_MOST)
			problem_add(w->problems, PROBLEM_ERROR, where, "%s: more than %d words", w->name,
				    PATTERNS_MOST);
		if (w->count > PATTERNS_MOST) return;
		if (word.len == 0)
			problem_add(w->problems, PROBLEM_ERROR, where, "%s: no pattern after \"!\"", w->name);
		else if (word.at[0] == '/') walk_file(w, word, not, where, depth);
		else w->take(w, word, not, where);
	}
}

/* Left out safely when it would let somebody in; leaving out an exception would let in more than was asked for. */
static void not_yet(struct walk *w, struct slice word, bool except, struct place where, const char *what) {
	if (except)
		problem_add(w->problems, PROBLEM_ERROR, where,
			    "%s: %s after \"!\" is not acted on by this version: !%.*s", w->name, what,
			    SLICE_ARG(word));
	else
		problem_add(w->problems, PROBLEM_WARNING, where,
			    "%s: %s is understood but not acted on by this version: %.*s", w->name, what,
			    SLICE_ARG(word));
}

/* Grows the array at *at, doubling at powers of two. */
static void *grown(struct arena *mem, void *at, size_t count, size_t size) {
	if (count > 0 && (count & (count - 1)) != 0) return at;
	void *more = arena_array(mem, count == 0 ? 1 : count * 2, size);
	if (count > 0) memcpy(more, at, count * size);
	return more;
}

static bool has_table_type(struct slice word) {
	size_t colon = slice_find(word, ':');
	if (colon == 0 || colon == word.len) return false;
	for (size_t i = 0; i < colon; i++)
		if (!ascii_alpha(word.at[i]) && !ascii_digit(word.at[i]) && word.at[i] != '_') return false;
	return true;
}

/* Networks */

static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

static bool read_address(struct slice text, uint8_t out[16], unsigned *width) {
	char name[INET6_ADDRSTRLEN];
	if (text.len == 0 || text.len >= sizeof(name)) return false;
	memcpy(name, text.at, text.len);
	name[text.len] = '\0';
	if (inet_pton(AF_INET6, name, out) == 1) return *width = 128, true;
	memcpy(out, mapped, sizeof(mapped));
	if (inet_pton(AF_INET, name, out + sizeof(mapped)) == 1) return *width = 32, true;
	return false;
}

static bool bit_set(const uint8_t *address, unsigned i) { return (address[i / 8] >> (7 - i % 8)) & 1; }

static void text_of_address(const uint8_t address[16], unsigned width, char out[INET6_ADDRSTRLEN]) {
	if (width == 32) inet_ntop(AF_INET, address + 12, out, INET6_ADDRSTRLEN);
	else inet_ntop(AF_INET6, address, out, INET6_ADDRSTRLEN);
}

/* "address", "address/bits", "[address]/bits" or "[address/bits]". False: not an address. */
static bool split_network(struct slice word, struct slice *address, struct slice *bits) {
	struct slice rest = word;
	if (word.at[0] == '[') {
		size_t end = slice_find(word, ']');
		if (end == word.len) return false;
		rest = slice_skip(word, end + 1);
		struct slice inside = slice_skip(slice_head(word, end), 1);
		if (rest.len == 0) rest = inside;
		else if (rest.at[0] == '/' && slice_find(inside, '/') == inside.len) {
			*address = inside;
			*bits = slice_skip(rest, 1);
			return true;
		} else return false;
	}
	*address = slice_cut(&rest, '/');
	*bits = rest;
	return true;
}

static void take_network(struct walk *w, struct slice word, bool except, struct place where) {
	struct networks *out = w->out;
	struct slice address, bits;
	struct network n = { .except = except };
	unsigned width;
	uint64_t length;
	if (!split_network(word, &address, &bits) || !read_address(address, n.address, &width)) {
		bool numeric = word.at[0] == '[' || (ascii_digit(word.at[0]) && slice_find(word, '/') < word.len);
		if (has_table_type(word)) {
			out->at = grown(w->problems->mem, out->at, out->count, sizeof(out->at[0]));
			out->at[out->count++] =
				(struct network){ .except = except, .table = arena_slice(w->problems->mem, word) };
		} else if (numeric)
			problem_add(w->problems, PROBLEM_ERROR, where,
				    "%s: bad net/mask pattern: \"%.*s\" (expected address/bits)", w->name,
				    SLICE_ARG(word));
		else not_yet(w, word, except, where, "a host name");
		return;
	}
	length = width;
	if (bits.at != NULL && !slice_number(bits, width, &length)) {
		problem_add(w->problems, PROBLEM_ERROR, where,
			    "%s: bad net/mask pattern: \"%.*s\" (expected 0 to %u bits)", w->name, SLICE_ARG(word),
			    width);
		return;
	}
	n.bits = (uint8_t)(length + (128 - width));
	bool host_bits = false;
	for (unsigned i = n.bits; i < 128; i++) {
		if (!bit_set(n.address, i)) continue;
		host_bits = true;
		n.address[i / 8] = (uint8_t)(n.address[i / 8] & ~(1u << (7 - i % 8)));
	}
	if (host_bits) {
		char better[INET6_ADDRSTRLEN];
		text_of_address(n.address, width, better);
		problem_add(w->problems, PROBLEM_ERROR, where,
			    "%s: non-null host address bits in \"%.*s\", perhaps you should use \"%s%s%s/%u\" instead",
			    w->name, SLICE_ARG(word), width == 128 ? "[" : "", better, width == 128 ? "]" : "",
			    (unsigned)length);
		return;
	}
	out->at = grown(w->problems->mem, out->at, out->count, sizeof(out->at[0]));
	out->at[out->count++] = n;
}

void networks_read(struct networks *out, struct slice text, const char *name, struct place where, struct sources *files,
                   struct problems *problems) {
	*out = (struct networks){ 0 };
	struct walk w = { name, files, problems, out, 0, take_network };
	walk_words(&w, text, false, where, 0);
}

static bool in_network(const struct network *n, const uint8_t address[16]) {
	unsigned bytes = n->bits / 8, bits = n->bits % 8;
	if (memcmp(n->address, address, bytes) != 0) return false;
	return bits == 0 || ((n->address[bytes] ^ address[bytes]) >> (8 - bits)) == 0;
}

const struct networks *networks_open(const struct networks *n, struct tables *tables, struct arena *mem) {
	size_t named = 0;
	for (size_t i = 0; i < n->count; i++) named += n->at[i].table.len > 0;
	if (named == 0) return n;
	struct networks *out = arena_get(mem, sizeof *out);
	*out = (struct networks){ arena_array(mem, n->count, sizeof(out->at[0])), n->count };
	for (size_t i = 0; i < n->count; i++) {
		out->at[i] = n->at[i];
		if (out->at[i].table.len > 0 &&
		    table_open(tables, out->at[i].table, 0, &out->at[i].opened) != TABLE_FOUND)
			out->at[i].opened = NULL;
	}
	return out;
}

/* Has the table this address? When nobody can say, whatever keeps strangers out. */
static bool in_table(const struct network *n, const uint8_t address[16]) {
	AUTO_ARENA struct arena mem = { 0 };
	char text[INET6_ADDRSTRLEN];
	struct slice value;
	if (n->opened == NULL) return n->except;
	text_of_address(address, memcmp(address, mapped, sizeof(mapped)) == 0 ? 32 : 128, text);
	int r = table_find(n->opened, slice_of(text), &mem, &value);
	return r == TABLE_FOUND || (r == TABLE_LATER && n->except);
}

bool networks_match(const struct networks *n, const uint8_t address[16]) {
	for (size_t i = 0; i < n->count; i++)
		if (n->at[i].table.len > 0 ? in_table(&n->at[i], address) : in_network(&n->at[i], address))
			return !n->at[i].except;
	return false;
}

bool networks_match_sockaddr(const struct networks *n, const struct sockaddr *address) {
	if (address->sa_family == AF_INET6)
		return networks_match(n, ((const struct sockaddr_in6 *)(const void *)address)->sin6_addr.s6_addr);
	if (address->sa_family != AF_INET) return false;
	uint8_t bytes[16];
	memcpy(bytes, mapped, sizeof(mapped));
	memcpy(bytes + sizeof(mapped), &((const struct sockaddr_in *)(const void *)address)->sin_addr, 4);
	return networks_match(n, bytes);
}

/* Domains */

static void take_domain(struct walk *w, struct slice word, bool except, struct place where) {
	struct domains *out = w->out;
	if (has_table_type(word)) {
		out->at = grown(w->problems->mem, out->at, out->count, sizeof(out->at[0]));
		out->at[out->count++] =
			(struct domain_pattern){ .table = arena_slice(w->problems->mem, word), .except = except };
		return;
	}
	bool below = word.at[0] == '.';
	struct slice name = below ? slice_skip(word, 1) : word;
	if (name.len == 0) {
		problem_add(w->problems, PROBLEM_ERROR, where, "%s: no domain after \".\"", w->name);
		return;
	}
	if (slice_find(name, '*') < name.len)
		problem_add(w->problems, PROBLEM_WARNING, where,
			    "%s: \"%.*s\" matches nothing: * is no wildcard here (.example.com stands for the names "
			    "below example.com)",
			    w->name, SLICE_ARG(word));
	out->at = grown(w->problems->mem, out->at, out->count, sizeof(out->at[0]));
	out->at[out->count++] = (struct domain_pattern){ .name = arena_lower(w->problems->mem, name),
							 .below = below,
							 .except = except };
}

void domains_read(struct domains *out, struct slice text, bool parents, const char *name, struct place where,
                  struct sources *files, struct problems *problems) {
	*out = (struct domains){ .parents = parents };
	struct walk w = { name, files, problems, out, 0, take_domain };
	walk_words(&w, text, false, where, 0);
}

bool domain_pattern_match(const struct domain_pattern *p, bool parents, struct slice domain) {
	if (p->name.len == 0) return false;
	bool below = domain.len > p->name.len && domain.at[domain.len - p->name.len - 1] == '.' &&
	             slice_ends_same(domain, p->name);
	return (below && (p->below || parents)) || (!p->below && slice_same(domain, p->name));
}

bool domains_match(const struct domains *d, struct slice domain) {
	for (size_t i = 0; i < d->count; i++)
		if (domain_pattern_match(&d->at[i], d->parents, domain)) return !d->at[i].except;
	return false;
}
