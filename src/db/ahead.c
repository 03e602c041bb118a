/* SPDX-License-Identifier: Apache-2.0 */
/* Rows that are small lie on pages among those of large ones: the rows of a mailbox of 100,000 messages on 1,700 pages
 * of a file of 170,000. Read one after the other from a disk, each page waits for the last one and brings along
 * megabytes that nobody wants. So the tree above the pages is looked at first, and the system is asked for all of them
 * at once: with a cold cache 0.1 s where it were 0.7.
 *
 * It is a hint and nothing else: the pages are looked at in the database file as it is mapped, without a lock, and may
 * be old (the new one is in the log) or being written. Whatever stands in them, nothing but hints comes of it, and each
 * number is read once and held against the bounds. The format: https://sqlite.org/fileformat2.html */
#include "db/inside.h"

#include <sys/mman.h>

enum {
	PAGE = 4096,
	INTERIOR_INDEX = 2, INTERIOR_TABLE = 5,
	HEAD = 12,            /* of an interior page, in bytes */
	CELLS_MAX = (PAGE - HEAD) / 2,
	LEVELS_MAX = 8,
	GAP = 4               /* pages in between that are taken along */
};

struct mapped { sqlite3_file *file; sqlite3_int64 pages; };

struct ahead {
	struct mapped m;
	const int64_t *low, *high;
	size_t keys;             /* 0: a table by rowid, else the first columns of the key */
	size_t left;             /* pages that may still be asked for */
	uint32_t first, last;    /* a run of pages that was not asked for yet; first 0: none */
};

/* A copy, so that all looks see the same. */
static bool page_copy(const struct mapped *m, uint32_t number, unsigned char *to) {
	void *at = NULL;
	sqlite3_int64 offset = (sqlite3_int64)(number - 1) * PAGE;
	if (number == 0 || number > m->pages) return false;
	if (m->file->pMethods->xFetch(m->file, offset, PAGE, &at) != SQLITE_OK || at == NULL) return false;
	madvise(at, PAGE, MADV_WILLNEED); /* this one alone, not what lies around it */
	memcpy(to, at, PAGE);
	m->file->pMethods->xUnfetch(m->file, offset, at);
	return true;
}

static void ask(struct ahead *a) {
	void *at = NULL;
	uint32_t first = a->first, count = a->last - a->first + 1;
	sqlite3_int64 offset = (sqlite3_int64)(first - 1) * PAGE;
	a->first = 0;
	if (first == 0 || a->last > a->m.pages) return;
	if (a->m.file->pMethods->xFetch(a->m.file, offset, (int)(count * PAGE), &at) != SQLITE_OK || at == NULL) return;
	madvise(at, (size_t)count * PAGE, MADV_WILLNEED);
	a->m.file->pMethods->xUnfetch(a->m.file, offset, at);
}

static void want(struct ahead *a, uint32_t number) {
	if (a->left == 0) return;
	a->left--;
	if (a->first != 0 && number > a->last && number - a->last <= GAP && number - a->first < 256) {
		a->last = number;
		return;
	}
	if (a->first != 0) ask(a);
	a->first = a->last = number;
}

static uint32_t number_at(const unsigned char *p) {
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* At most nine bytes; false: beyond the page. */
static bool varint(const unsigned char *page, size_t *at, uint64_t *out) {
	uint64_t v = 0;
	for (int i = 0; i < 9; i++) {
		if (*at >= PAGE) return false;
		unsigned char c = page[(*at)++];
		v = i == 8 ? v << 8 | c : v << 7 | (c & 0x7f);
		if (i == 8 || (c & 0x80) == 0) break;
	}
	*out = v;
	return true;
}

/* An integer column of a record; false: something else. */
static bool column(const unsigned char *page, size_t *at, uint64_t type, int64_t *out) {
	static const unsigned char sizes[] = { 0, 1, 2, 3, 4, 6, 8 };
	if (type == 8 || type == 9) return *out = type == 9, true;
	if (type == 0 || type >= LEN(sizes) || *at + sizes[type] > PAGE) return false;
	uint64_t v = (page[*at] & 0x80) != 0 ? UINT64_MAX : 0;
	for (size_t i = 0; i < sizes[type]; i++) v = v << 8 | page[(*at)++];
	*out = (int64_t)v;
	return true;
}

/* Where the key of a cell stands to the one given: -1, 0, 1; 0 also when it cannot be read. */
static int compare(const struct ahead *a, const unsigned char *page, size_t cell, const int64_t *to) {
	uint64_t v, head, type;
	size_t at = cell + 4;
	if (!varint(page, &at, &v)) return 0;
	if (a->keys == 0) return ((int64_t)v > to[0]) - ((int64_t)v < to[0]);
	size_t types = at;
	if (!varint(page, &types, &head) || head > PAGE) return 0;
	size_t value = at + head;
	for (size_t i = 0; i < a->keys; i++) {
		int64_t n;
		if (!varint(page, &types, &type) || !column(page, &value, type, &n)) return 0;
		if (n != to[i]) return n > to[i] ? 1 : -1;
	}
	return 0;
}

struct children { uint32_t at[CELLS_MAX + 1]; size_t count; };

/* The children that may hold what is wanted; none: it is no interior page. */
static void children_of(struct ahead *a, const unsigned char *page, struct children *out) {
	size_t cells = (size_t)page[3] << 8 | page[4];
	bool behind = false; /* the cell before was beyond high */
	out->count = 0;
	if (page[0] != (a->keys == 0 ? INTERIOR_TABLE : INTERIOR_INDEX) || cells > CELLS_MAX) return;
	for (size_t i = 0; i < cells && !behind; i++) {
		size_t cell = (size_t)page[HEAD + 2 * i] << 8 | page[HEAD + 2 * i + 1];
		if (cell + 8 > PAGE) return;
		if (compare(a, page, cell, a->low) >= 0) out->at[out->count++] = number_at(page + cell);
		behind = compare(a, page, cell, a->high) > 0;
	}
	if (!behind) out->at[out->count++] = number_at(page + 8);
}

/* Leaves lie so many levels below the page; 0: it is one itself, or nothing that is known. */
static int levels_below(struct ahead *a, uint32_t number) {
	unsigned char page[PAGE];
	struct children c;
	int levels = 0;
	for (; levels <= LEVELS_MAX && page_copy(&a->m, number, page); levels++) {
		children_of(a, page, &c);
		if (c.count == 0) break;
		number = c.at[0];
	}
	return levels <= LEVELS_MAX ? levels : 0;
}

/* The children are asked for together, before one of them is looked at. */
static void walk(struct ahead *a, uint32_t number, int levels) {
	unsigned char page[PAGE];
	struct children c;
	if (levels == 0 || a->left == 0 || !page_copy(&a->m, number, page)) return;
	children_of(a, page, &c);
	for (size_t i = 0; i < c.count; i++) want(a, c.at[i]);
	if (levels == 1) return;
	ask(a);
	for (size_t i = 0; i < c.count; i++) walk(a, c.at[i], levels - 1);
}

/* Where the table begins, and how long the file is that is mapped. */
static uint32_t root_of(struct db_conn *c, const char *table) {
	AUTO_STMT struct db_stmt *s = db_sql(c, "SELECT rootpage FROM sqlite_schema WHERE type = 'table' AND name = ?");
	db_bind_text(s, slice_of(table));
	return db_step(s) == DB_ROW ? (uint32_t)db_int(s, 0) : 0;
}

static bool file_of(struct db_conn *c, struct mapped *m) {
	sqlite3_int64 bytes = 0;
	if (sqlite3_file_control(c->sqlite, "main", SQLITE_FCNTL_FILE_POINTER, &m->file) != SQLITE_OK) return false;
	if (m->file == NULL || m->file->pMethods == NULL || m->file->pMethods->iVersion < 3) return false;
	if (m->file->pMethods->xFileSize(m->file, &bytes) != SQLITE_OK) return false;
	m->pages = bytes / PAGE;
	return true;
}

size_t db_ahead(struct db_conn *c, const char *table, size_t keys, const int64_t *low, const int64_t *high,
		size_t most) {
	struct ahead a = { .low = low, .high = high, .keys = keys, .left = most };
	uint32_t root = c->writer ? 0 : root_of(c, table);
	if (root == 0 || !file_of(c, &a.m)) return 0;
	walk(&a, root, levels_below(&a, root));
	ask(&a);
	return most - a.left;
}
