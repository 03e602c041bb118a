/* SPDX-License-Identifier: Apache-2.0 */
/* Compiled lmdb tables, for whoever has lost the text: read as a whole in one transaction. Without the lock file, which
 * only its owner may write: nobody changes a table whose text is gone. */
#include "conf/table/inside.h"
#include <lmdb.h>

#define LMDB_MOST MIB(1024)

static int take_all(MDB_txn *txn, struct buf *pairs, size_t *count) {
	MDB_dbi dbi;
	MDB_cursor *cursor = NULL;
	MDB_val key, value;
	int r = mdb_dbi_open(txn, NULL, 0, &dbi);
	if (r == 0) r = mdb_cursor_open(txn, dbi, &cursor);
	if (r != 0) return r;
	while ((r = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0)
		if (!compiled_add(pairs, count, slice_from(key.mv_data, key.mv_size),
				  slice_from(value.mv_data, value.mv_size)))
			break;
	mdb_cursor_close(cursor);
	return r == MDB_NOTFOUND ? 0 : r != 0 ? r : ENOMEM;
}

static struct generation *read_lmdb(const struct table *t, struct buf *text, struct report *r) {
	AUTO_BUF struct buf pairs = BUF(LMDB_MOST);
	MDB_env *env = NULL;
	MDB_txn *txn = NULL;
	size_t count = 0;
	(void)t;
	buf_done(text); /* the library reads the file itself */
	int code = mdb_env_create(&env);
	if (code != 0) return fail("%s: %s", r->path, mdb_strerror(code)), NULL;
	code = mdb_env_open(env, r->path, MDB_NOSUBDIR | MDB_RDONLY | MDB_NOLOCK, 0600);
	if (code == 0) code = mdb_txn_begin(env, NULL, MDB_RDONLY, &txn);
	if (code == 0) code = take_all(txn, &pairs, &count);
	mdb_txn_abort(txn);
	mdb_env_close(env);
	if (code != 0) return fail("%s: %s", r->path, mdb_strerror(code)), NULL;
	return entries_from_pairs(&pairs, count, r);
}

const struct watched_kind lmdb_kind = { .limit = LMDB_MOST, .read = read_lmdb };
