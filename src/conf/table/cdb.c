/* SPDX-License-Identifier: Apache-2.0 */
/* Compiled cdb tables (https://cr.yp.to/cdb/cdb.txt), for whoever has lost the text. Records stand one behind the other
 * between the head and the first hash table, so they are taken in that order; the hash tables are not needed. */
#include "conf/table/inside.h"

#define CDB_HEAD 2048
#define CDB_MOST MIB(1024)

static uint32_t number_at(struct slice file, size_t at) {
	const unsigned char *b = (const unsigned char *)file.at + at;
	return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

bool compiled_add(struct buf *pairs, size_t *count, struct slice key, struct slice value) {
	if (key.len > 0 && key.at[key.len - 1] == '\0') key.len--;
	if (value.len > 0 && value.at[value.len - 1] == '\0') value.len--;
	bool mark = slice_eq(key, S("@")) || slice_eq(key, S("YP_LAST_MODIFIED")) || slice_eq(key, S("YP_MASTER_NAME"));
	bool odd = key.len == 0 || memchr(key.at, '\n', key.len) != NULL ||
		   (value.len > 0 && memchr(value.at, '\n', value.len) != NULL);
	if (mark || odd) return true; /* no text file could have made it */
	++*count;
	return buf_add(pairs, key) && buf_byte(pairs, '\n') && buf_add(pairs, value) && buf_byte(pairs, '\n');
}

bool cdb_read(struct slice file, struct buf *pairs, size_t *count) {
	if (file.len < CDB_HEAD) return fail("no cdb file: shorter than its head"), false;
	size_t end = file.len;
	for (size_t i = 0; i < CDB_HEAD; i += 8) {
		size_t start = number_at(file, i), slots = number_at(file, i + 4);
		if (start < CDB_HEAD || start > file.len || slots > (file.len - start) / 8)
			return fail("no cdb file: its head leads outside"), false;
		end = MIN_OF(end, start);
	}
	for (size_t at = CDB_HEAD; at < end;) {
		if (end - at < 8) return fail("a broken cdb file: half a record"), false;
		size_t key = number_at(file, at), value = number_at(file, at + 4);
		at += 8;
		if (key > end - at || value > end - at - key)
			return fail("a broken cdb file: a record leads outside"), false;
		if (!compiled_add(pairs, count, slice_head(slice_skip(file, at), key),
				  slice_head(slice_skip(file, at + key), value)))
			return fail("too large"), false;
		at += key + value;
	}
	return true;
}

static struct generation *read_cdb(const struct table *t, struct buf *text, struct report *r) {
	AUTO_BUF struct buf pairs = BUF(CDB_MOST);
	size_t count = 0;
	(void)t;
	if (!cdb_read(buf_slice(text), &pairs, &count)) return fail_add("%s", r->path), NULL;
	return entries_from_pairs(&pairs, count, r);
}

const struct watched_kind cdb_kind = { .limit = CDB_MOST, .read = read_cdb };
