/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of lines "key value", or "name: value" for aliases, files of up to two gigabytes. What is
 * kept is the file's own text, squeezed in place to "key LF value LF" for each entry, and one array of 32-bit slots:
 * about 10 bytes an entry on top of the text. A slot is an offset into the text and, in the bits that offsets of this
 * text leave over, a tag of the key's hash: other keys' texts, each far away in memory, are hardly ever looked at. What
 * is large asks for large pages, since most of a look-up in a million entries is finding out where a page is. */
#include "conf/table/inside.h"
#include "base/map.h"
#include <sys/mman.h>

#define TEXT_MOST MIB(2048) /* bytes of a file: offsets have 32 bits */

struct entries {
	struct generation generation;
	char *text;
	size_t len, count;
	uint32_t *slots; /* tag, offset + 1; 0: free */
	size_t room;
	uint32_t offset_mask; /* these bits of a slot; the others are the tag */
};

static void entries_destroy(struct generation *g) {
	struct entries *e = OWNER_OF(g, struct entries, generation);
	mem_wipe(e->text, e->len); /* passwords of relay hosts may be in it */
	free(e->text);
	free(e->slots);
	free(e);
}

/* Large pages for what is large, also where it lies in small ones already. Where the kernel has none, nothing happens.
 */
static void ask_large_pages(void *at, size_t size) {
#ifdef __linux__
	enum { COLLAPSE = 25 }; /* MADV_COLLAPSE, Linux 6.1; not in older headers */
	const uintptr_t page = MIB(2), first = ((uintptr_t)at + page - 1) & ~(page - 1);
	const uintptr_t end = ((uintptr_t)at + size) & ~(page - 1);
	if (end <= first) return;
	if (madvise((void *)first, end - first, MADV_HUGEPAGE) == 0)
		(void)madvise((void *)first, end - first, COLLAPSE);
#else
	(void)at, (void)size;
#endif
}

static bool key_is(const struct entries *e, uint32_t offset, struct slice low_key) {
	const char *at = e->text + offset;
	return e->len - offset > low_key.len && at[low_key.len] == '\n' && memcmp(at, low_key.at, low_key.len) == 0;
}

/* The offset + 1 of the key; 0 with the free slot where it belongs, and the tag it gets. */
static uint32_t find_key(const struct entries *e, struct slice low_key, uint32_t **slot, uint32_t *tag) {
	uint64_t hash = hash_bytes(low_key);
	size_t i = (size_t)(((unsigned __int128)hash * e->room) >>
			    64); /* by the upper bits; the tag is of the lower ones */
	uint32_t mask = e->offset_mask, at;
	*tag = (uint32_t)hash & ~mask;
	for (; e->slots[i] != 0; i = i + 1 == e->room ? 0 : i + 1) {
		at = e->slots[i] & mask;
		if ((e->slots[i] & ~mask) == *tag && key_is(e, at - 1, low_key)) return at;
	}
	*slot = &e->slots[i];
	return 0;
}

/* Room for slots of as many entries as are told, over a text of this size. */
static void make_slots(struct entries *e, size_t count, size_t text_size) {
	e->room = count * 5 / 2 + 2;
	e->slots = mem_array(e->room, sizeof *e->slots);
	ask_large_pages(e->slots, e->room * sizeof *e->slots);
	while (e->offset_mask <= text_size) e->offset_mask = e->offset_mask * 2 + 1;
}

static struct slice line_at(const struct entries *e, size_t offset) {
	const char *at = e->text + offset, *end = memchr(at, '\n', e->len - offset);
	return slice_from(at, (size_t)(end - at));
}

/* Reading. */

/* "key value": cut at the first blank outside of quotes. */
static bool split_pair(struct slice line, struct slice *key, struct slice *value, struct report *r, unsigned number) {
	bool quoted = false;
	size_t n = 0;
	for (; n < line.len && (quoted || !ascii_space(line.at[n])); n++) {
		if (line.at[n] == '\\' && n + 1 < line.len) n++;
		else if (line.at[n] == '"') quoted = !quoted;
	}
	*key = slice_head(line, n);
	*value = slice_trim(slice_skip(line, n));
	if (quoted) return report_error(r, number, "unbalanced '\"' in '%.*s'", SLICE_ARG(line)), false;
	if (key->len == 0 || value->len == 0)
		return report_error(r, number, "expected format: key whitespace value"), false;
	if (key->at[key->len - 1] == ':')
		report_warning(r, number, "record is in \"key: value\" format; is this an alias file?");
	return true;
}

/* "name: value" or "\"quoted name\": value": the name loses its quotes, in place. */
static bool split_alias(struct slice line, char *room, struct slice *key, struct slice *value, struct report *r,
			unsigned number) {
	bool quoted = false, local = true;
	size_t n = 0, len = 0, blanks = 0;
	for (; n < line.len && (quoted || line.at[n] != ':'); n++) {
		char c = line.at[n];
		if (c == '"') {
			quoted = !quoted;
			continue;
		}
		if (c == '\\' && n + 1 < line.len) c = line.at[++n];
		else if (!quoted && (c == '@' || c == '%')) local = false;
		blanks = !quoted && ascii_space(c) ? blanks + 1 : 0;
		room[len++] = c;
	}
	*key = slice_from(room, len - blanks);
	*value = slice_trim(slice_skip(line, n + 1));
	bool pair = n < line.len && key->len > 0 && value->len > 0 && memchr(key->at, '\n', key->len) == NULL;
	if (!pair) return report_error(r, number, "need name:value pair"), false;
	if (!local) return report_error(r, number, "name must be local and have no domain"), false;
	return true;
}

bool text_split(struct slice line, bool aliases, struct arena *mem, struct slice *key, struct slice *value,
		struct report *r, unsigned number) {
	if (ascii_space(line.at[0])) report_warning(r, number, "logical line must not start with whitespace");
	line = slice_trim(line);
	char *room = arena_get(mem, line.len + 1); /* both halves outside of the text, which may be squeezed */
	memcpy(room, line.at, line.len);
	line.at = room;
	return aliases ? split_alias(line, arena_get(mem, line.len + 1), key, value, r, number)
		       : split_pair(line, key, value, r, number);
}

/* A file named without its kind is one of aliases when its first entry is "name: value". */
static bool looks_like_aliases(struct slice text) {
	AUTO_ARENA struct arena mem = { 0 };
	struct logical_lines lines = { .rest = text };
	struct slice line;
	unsigned number;
	if (!logical_line_next(&lines, &mem, &line, &number)) return false;
	struct slice name = slice_word(&line, " \t");
	return name.len > 1 && slice_find(name, ':') == name.len - 1;
}

/* At least as many as there are entries: lines that are neither empty, nor comments, nor go on. */
static size_t count_entries(struct slice text) {
	size_t count = 0;
	while (text.at != NULL && text.len > 0) {
		struct slice line = slice_cut(&text, '\n');
		if (line.len > 0 && !ascii_blank(line.at[0]) && line.at[0] != '#') count++;
	}
	return count + 1; /* the first may begin with a blank */
}

/* Moves the entry to the end of what is squeezed so far; it never passes the place that is still to be read, being at
 * least as long in the file. */
static void add_entry(struct entries *e, struct slice key, struct slice value, struct report *r, unsigned line) {
	char *at = e->text + e->len;
	memmove(at, key.at, key.len);
	for (size_t i = 0; i < key.len; i++) at[i] = ascii_lower(at[i]);
	at[key.len] = '\n';
	must(e->count + 1 < e->room); /* a free slot ends every search */
	uint32_t *slot, tag;
	if (find_key(e, slice_from(at, key.len), &slot, &tag) != 0) {
		report_warning(r, line, "duplicate entry: \"%.*s\"", SLICE_ARG(slice_from(at, key.len)));
		return;
	}
	memmove(at + key.len + 1, value.at, value.len);
	at[key.len + 1 + value.len] = '\n';
	*slot = tag | ((uint32_t)e->len + 1);
	e->len += key.len + value.len + 2;
	e->count++;
}

static void squeeze(struct entries *e, struct slice text, bool aliases, struct report *r) {
	AUTO_ARENA struct arena mem = { 0 };
	struct logical_lines lines = { .rest = text };
	struct slice line, key, value;
	unsigned number = 0;
	while (table_line_next(&lines, &mem, &line, &number, r)) {
		if (text_split(line, aliases, &mem, &key, &value, r, number)) add_entry(e, key, value, r, number);
		arena_reset(&mem);
	}
}

static struct generation *read_entries(const struct table *t, struct buf *text, struct report *r) {
	/* texthash: is a table of postmap's, also as alias_maps; but nobody means aliases(5) to stand for "name:" */
	bool asked = (t->flags & TABLE_ALIASES) != 0, looks = looks_like_aliases(buf_slice(text));
	bool aliases = t->type == &table_texthash ? asked && looks : asked || looks;
	if (buf_room(text, 2) == NULL) return fail("%s: too large", r->path), NULL; /* the last line may lack its end */
	struct entries *e = mem_get(sizeof *e);
	size_t lines = count_entries(buf_slice(text)), size = text->len;
	e->generation.destroy = entries_destroy;
	e->text = TAKE(text->at);
	make_slots(e, lines, size);
	squeeze(e, slice_from(e->text, size), aliases, r);
	if (e->len < size) mem_wipe(e->text + e->len, size - e->len); /* it may be longer by the end of the last line */
	e->text = mem_resize(e->text, e->len + 1);
	ask_large_pages(e->text, e->len);
	return &e->generation;
}

static const struct watched_kind text_kind = { .limit = TEXT_MOST, .read = read_entries };

struct generation *entries_from_pairs(struct buf *pairs, size_t count, struct report *r) {
	if (pairs->len == 0 && buf_room(pairs, 1) == NULL) return fail("%s: too large", r->path), NULL;
	struct entries *e = mem_get(sizeof *e);
	struct slice rest = buf_slice(pairs);
	e->generation.destroy = entries_destroy;
	e->text = TAKE(pairs->at);
	make_slots(e, count, rest.len);
	for (unsigned number = 1; rest.len > 0; number++) {
		struct slice key = slice_cut(&rest, '\n'), value = slice_cut(&rest, '\n');
		if (key.len > 0) add_entry(e, key, value, r, number);
	}
	return &e->generation;
}

/* The types. */

/* What postmap made of the text, and who reads it when the text is gone. */
static const struct {
	const struct table_type *type;
	const char *suffix;
	const struct watched_kind *kind; /* NULL: nobody */
} compiled[] = {
	{ &table_hash, "db", NULL },         { &table_btree, "db", NULL },     { &table_dbm, "pag", NULL },
	{ &table_sdbm, "pag", NULL },        { &table_cdb, "cdb", &cdb_kind },
#ifdef HATO_LMDB
	{ &table_lmdb, "lmdb", &lmdb_kind },
#else
	{ &table_lmdb, "lmdb", NULL },
#endif
};

static bool is_there(const struct table *t, const char *path) {
	AUTO_FD int fd = table_open_file(t, path);
	return fd >= 0 || errno != ENOENT;
}

static struct watched *open_compiled(struct table *t) {
	AUTO_ARENA struct arena mem = { 0 };
	if (is_there(t, arena_text(&mem, t->rest))) return NULL;
	for (size_t i = 0; i < LEN(compiled); i++) {
		const char *path = arena_fmt(&mem, "%.*s.%s", SLICE_ARG(t->rest), compiled[i].suffix).at;
		if (t->type != compiled[i].type || !is_there(t, path)) continue;
		if (compiled[i].kind != NULL) return watched_new(t, compiled[i].kind, path);
		table_tell(t, L_ERROR,
			   "%s: %.*s is missing, and this build does not read %s (restore the text: postmap -s %s on a "
			   "Postfix that has it)",
			   t->name, SLICE_ARG(t->rest), path, t->name);
	}
	return NULL;
}

static int open_text(struct table *t) {
	t->state = open_compiled(t);
	if (t->state == NULL) t->state = watched_new(t, &text_kind, NULL);
	return TABLE_FOUND;
}

static void close_text(struct table *t) {
	struct watched *w = t->state;
	watched_free(&w);
}

static int find_text(struct table *t, struct slice key, struct arena *mem, struct slice *value) {
	struct generation *g = watched_hold(t->state);
	if (g == NULL) return TABLE_LATER;
	const struct entries *e = OWNER_OF(g, struct entries, generation);
	uint32_t *slot, tag, at = find_key(e, key, &slot, &tag);
	if (at != 0) *value = arena_slice(mem, line_at(e, at - 1 + key.len + 1));
	generation_drop(g);
	return at != 0 ? TABLE_FOUND : TABLE_MISSING;
}

static int each_text(struct table *t, table_visit *visit, void *ctx) {
	struct generation *g = watched_hold(t->state);
	if (g == NULL) return TABLE_LATER;
	const struct entries *e = OWNER_OF(g, struct entries, generation);
	int r = 0;
	for (size_t at = 0; r == 0 && at < e->len;) {
		struct slice key = line_at(e, at), value = line_at(e, at + key.len + 1);
		at += key.len + value.len + 2;
		r = visit(ctx, key, value);
	}
	generation_drop(g);
	return r;
}

#define TEXT_TYPE(name_) { .name = name_, .open = open_text, .find = find_text, .each = each_text, .close = close_text }
const struct table_type table_texthash = TEXT_TYPE("texthash"), table_hash = TEXT_TYPE("hash"),
			table_btree = TEXT_TYPE("btree"), table_dbm = TEXT_TYPE("dbm"), table_sdbm = TEXT_TYPE("sdbm"),
			table_lmdb = TEXT_TYPE("lmdb"), table_cdb = TEXT_TYPE("cdb");
