/* SPDX-License-Identifier: Apache-2.0 */
/* Have other processes written? The shared index of the log begins with a count of all transactions
 * (https://sqlite.org/walformat.html §2.1), which every process that has the database open can read without a call.
 * After each of our commits, and after the hooks that spread the news of it, we remember it: as long as it stands there
 * nobody else wrote; and when our next one finds it higher by more than one, somebody did. So whoever sees a commit in
 * a snapshot has heard of it, or is told that something is going on. */
#include "db/inside.h"

#include <stdatomic.h>

enum { INDEX_REGION = 32 * 1024, INDEX_VERSION = 3007000 };

static uint32_t transactions(const struct db *db) {
	return __atomic_load_n(db->log_index + 2, __ATOMIC_ACQUIRE);
}

void others_begin(struct db *db) {
	sqlite3_file *file = NULL;
	void volatile *index = NULL;
	if (sqlite3_file_control(db->writer->sqlite, "main", SQLITE_FCNTL_FILE_POINTER, &file) != SQLITE_OK) return;
	if (file == NULL || file->pMethods == NULL || file->pMethods->iVersion < 2) return;
	if (file->pMethods->xShmMap(file, 0, INDEX_REGION, 0, &index) != SQLITE_OK || index == NULL) return;
	const uint32_t *words = (const uint32_t *)(uintptr_t)index;
	if (__atomic_load_n(words, __ATOMIC_ACQUIRE) != INDEX_VERSION) return;
	db->log_index = words;
	db->ours = UINT64_C(1) << 32 | transactions(db);
}

void others_committed(struct db *db) {
	if (db->log_index == NULL) return;
	uint64_t ours = db->ours;
	uint32_t now = transactions(db), before = (uint32_t)ours;
	if (now == before) return; /* it changed nothing */
	if (now != before + 1) ours += UINT64_C(1) << 32;
	db->ours = (ours & ~UINT64_C(0xffffffff)) | now;
}

uint64_t db_others(const struct db *db) {
	if (db->log_index == NULL) return 0;
	uint64_t ours = db->ours;
	return transactions(db) == (uint32_t)ours ? ours >> 32 : 0;
}
