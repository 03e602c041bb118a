/* SPDX-License-Identifier: Apache-2.0 */
/* Opening and closing. The file is made before SQLite sees it, so that it and its log (which takes over the mode) are
 * never readable by others. */
#include "db/inside.h"
#include "base/clock.h"
#include "base/encode.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <sys/stat.h>

static const struct db_params defaults = {
	.file = "hato.db",
	.schema = &db_schema_mail,
	.cache_kib = 1024,
	.mmap_mib = sizeof(void *) > 4 ? 2047 : 256, /* as much as SQLite can */
	.busy_ms = 10000,
	.inline_limit = KIB(128),
	.checkpoint_pages = 4096,
};

static struct db_params with_defaults(const struct db_params *given) {
	struct db_params p = given != NULL ? *given : defaults;
	if (p.file == NULL) p.file = defaults.file;
	if (p.schema == NULL) p.schema = defaults.schema;
	if (p.cache_kib == 0) p.cache_kib = defaults.cache_kib;
	if (p.mmap_mib == 0) p.mmap_mib = defaults.mmap_mib;
	if (p.busy_ms == 0) p.busy_ms = defaults.busy_ms;
	if (p.inline_limit == 0) p.inline_limit = defaults.inline_limit;
	if (p.checkpoint_pages == 0) p.checkpoint_pages = defaults.checkpoint_pages;
	return p;
}

/* SQLite's memory statistics take a global lock at each allocation. Once per process, before its first use. */
static pthread_once_t sqlite_once = PTHREAD_ONCE_INIT;
static void sqlite_set_up(void) {
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	log_file_register();
}

static int make_files(struct db *db) {
	if (mkdir(db->dir, 0700) < 0 && errno != EEXIST) return cause_fail_errno("%s", db->dir);
	db->dir_fd = open(db->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (db->dir_fd < 0) return cause_fail_errno("%s", db->dir);
	AUTO_FD int fd = openat(db->dir_fd, db->params.file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0) return cause_fail_errno("%s", db->path);
	db->map = map_share_new(fd, MIB(db->params.mmap_mib));
	if (fsync(db->dir_fd) < 0) return cause_fail_errno("%s", db->dir);
	return 0;
}

int db_open(const char *dir, const struct db_params *params, struct db **out) {
	static _Atomic uint64_t opened;
	pthread_once(&sqlite_once, sqlite_set_up);
	struct db *db = mem_get(sizeof *db);
	db->epoch = (atomic_fetch_add(&opened, 1) + 1) << 32;
	db->params = with_defaults(params);
	db->dir = mem_text(dir);
	db->dir_fd = -1;
	db->path = mem_get(strlen(dir) + strlen(db->params.file) + 2);
	snprintf(db->path, strlen(dir) + strlen(db->params.file) + 2, "%s/%s", dir, db->params.file);
	pthread_mutex_init(&db->readers_lock, NULL);
	pthread_mutex_init(&db->writes_lock, NULL);
	pthread_mutex_init(&db->keeper_lock, NULL);
	pthread_mutex_init(&db->drafts_lock, NULL);
	db->drafts_end = &db->drafts;
	pthread_cond_init(&db->keeper_wake, NULL);
	db->waiting_end = &db->waiting;
	db->packs = pack_pool_new();
	int r = make_files(db);
	if (r == 0) r = conn_open(db, true, &db->writer);
	if (r == 0) r = schema_bring_up(db->writer, db->params.schema);
	if (r == 0) others_begin(db);
	if (r == 0) r = blob_ids_seen(db);
	if (r == 0) r = keeper_start(db);
	if (r < 0) {
		db_close(&db);
		return r;
	}
	*out = db;
	return 0;
}

void db_close(struct db **dbp) {
	struct db *db = TAKE(*dbp);
	if (db == NULL) return;
	keeper_stop(db);
	while (db->readers != NULL) {
		struct db_conn *c = db->readers;
		db->readers = c->next;
		conn_close(&c);
	}
	conn_close(&db->writer);
	map_share_free(&db->map);
	pack_pool_free(&db->packs);
	pthread_mutex_destroy(&db->readers_lock);
	pthread_mutex_destroy(&db->writes_lock);
	pthread_mutex_destroy(&db->keeper_lock);
	pthread_mutex_destroy(&db->drafts_lock);
	pthread_cond_destroy(&db->keeper_wake);
	auto_fd(&db->dir_fd);
	free(db->path);
	free(db->dir);
	free(db);
}

const char *db_dir(const struct db *db) {
	return db->dir;
}

void db_attach(struct db *db, void *thing) {
	db->attached = thing;
}

bool db_attach_summaries(struct db *db, void *thing) {
	if (thing != NULL && db->summaries != NULL) return false;
	db->summaries = thing;
	return true;
}

/* 52 bits of microseconds (until 2112) and 11 bits that differ between processes; two ids of one process never share
 * a microsecond. */
static _Atomic int64_t last; /* of the microseconds; lock-free: the loops below */

void db_ids_after(int64_t id) {
	int64_t before = atomic_load(&last), at = id >> 11;
	while (before < at && !atomic_compare_exchange_weak(&last, &before, at)) {}
}

int64_t db_new_id(void) {
	static _Atomic int64_t tag = -1;
	int64_t mine = atomic_load(&tag);
	if (mine < 0) {
		int64_t none = -1;
		mine = (int64_t)random_below(1 << 11);
		if (!atomic_compare_exchange_strong(&tag, &none, mine)) mine = none;
	}
	int64_t before = atomic_load(&last), now;
	do now = MAX_OF(wall_us(), before + 1); while (!atomic_compare_exchange_weak(&last, &before, now));
	return now << 11 | mine;
}
