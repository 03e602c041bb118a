/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of blobs and who uses them. A new blob is entered when the write that made it ends, with the references it got
 * by then: ten recipients cost one row and no updates, and a blob nobody wanted is never stored. */
#include "db/inside.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

int blob_insert(struct db_conn *tx, struct blob_draft *draft, struct slice summary, int64_t *id) {
	struct pending *p = arena_get(&tx->memory, sizeof *p);
	*p = (struct pending){ .draft = draft, .summary = summary };
	struct pending **end = &tx->pending; /* rising ids, or pages split in the middle and stay half empty */
	if (tx->pending != NULL) end = &tx->pending_last->next;
	*end = tx->pending_last = p;
	*id = draft->id;
	return 0;
}

static struct pending *pending_find(struct db_conn *tx, int64_t id) {
	struct pending *p = tx->pending;
	if (p != NULL && tx->pending_last->draft->id == id) return tx->pending_last; /* as nearly always */
	while (p != NULL && p->draft->id != id) p = p->next;
	return p;
}

static void draft_keep(void *arg) {
	struct blob_draft *draft = arg;
	draft->kept = true;
}

static int insert_bytes(struct db_conn *tx, const char *sql, int64_t id, struct slice bytes) {
	AUTO_STMT struct db_stmt *s = db_sql(tx, sql);
	db_bind_int(s, id);
	db_bind_bytes(s, bytes.at != NULL ? bytes : S(""));
	return db_run(s);
}

static int digest_put(struct db_conn *tx, int64_t id, struct slice digest) {
	return insert_bytes(tx, "INSERT INTO digest (blob_id, data) VALUES (?, ?)"
	                        " ON CONFLICT (blob_id) DO UPDATE SET data = excluded.data", id, digest);
}

static int pending_store(struct db_conn *tx, const struct pending *p) {
	const struct blob_draft *d = p->draft;
	AUTO_STMT struct db_stmt *s = db_sql(tx, "INSERT INTO blob (id, refs, size, form) VALUES (?, ?, ?, ?)");
	db_bind_int(s, d->id);
	db_bind_int(s, p->refs);
	db_bind_int(s, (int64_t)d->size);
	db_bind_int(s, d->form);
	int r = db_run(s);
	if (r == 0 && d->form != FORM_FILE)
		r = insert_bytes(tx, "INSERT INTO blob_data (id, data) VALUES (?, ?)", d->id, buf_slice(&d->data));
	if (r == 0 && p->summary.len != 0)
		r = insert_bytes(tx, "INSERT INTO summary (blob_id, data) VALUES (?, ?)", d->id, p->summary);
	if (r == 0 && p->digest.len != 0) r = digest_put(tx, d->id, p->digest);
	if (r == 0) db_after_commit(tx, draft_keep, p->draft);
	return r;
}

int blob_digest(struct db_conn *tx, int64_t id, struct slice digest) {
	struct pending *p = pending_find(tx, id);
	if (p != NULL) {
		p->digest = digest;
		return 0;
	}
	AUTO_STMT struct db_stmt *s = db_sql(tx, "SELECT 1 FROM blob WHERE id = ?");
	db_bind_int(s, id);
	int r = db_step(s);
	return r == DB_ROW ? digest_put(tx, id, digest) : r;
}

int pending_flush(struct db_conn *tx) {
	int r = 0;
	for (const struct pending *p = tx->pending; p != NULL && r == 0; p = p->next)
		if (p->refs > 0) r = pending_store(tx, p);
	tx->pending = NULL;
	return r;
}

int blob_ids_seen(struct db *db) {
	if (db->params.schema != &db_schema_mail) return 0;
	AUTO_READ struct db_conn *c = db_read(db);
	if (c == NULL) return -1;
	AUTO_STMT struct db_stmt *s = db_sql(c, "SELECT MAX(id) FROM blob");
	int r = db_step(s);
	if (r == DB_ROW) db_ids_after(db_int(s, 0));
	return r < 0 ? r : 0;
}

int blob_ref(struct db_conn *tx, int64_t id) {
	struct pending *p = pending_find(tx, id);
	if (p != NULL) {
		p->refs++;
		return 0;
	}
	AUTO_STMT struct db_stmt *s = db_sql(tx, "UPDATE blob SET refs = refs + 1 WHERE id = ?");
	db_bind_int(s, id);
	int r = db_run(s);
	return r < 0 ? r : db_changed(tx) == 0 ? BLOB_GONE : 0;
}

struct unlinking {
	struct db *db;
	int64_t id;
};

static void file_remove(void *arg) {
	const struct unlinking *u = arg;
	char path[64];
	blob_path(u->id, path);
	unlinkat(u->db->dir_fd, path, 0); /* else blob_sweep finds it */
}

static int delete_by_id(struct db_conn *tx, const char *sql, int64_t id) {
	AUTO_STMT struct db_stmt *s = db_sql(tx, sql);
	db_bind_int(s, id);
	return db_run(s);
}

int blob_remove(struct db_conn *tx, int64_t id, int64_t form) {
	int r = delete_by_id(tx, "DELETE FROM blob WHERE id = ?", id);
	if (r == 0) r = delete_by_id(tx, "DELETE FROM summary WHERE blob_id = ?", id);
	if (r == 0) r = delete_by_id(tx, "DELETE FROM digest WHERE blob_id = ?", id);
	if (r == 0) r = delete_by_id(tx, "DELETE FROM blob_text WHERE blob_id = ?", id);
	if (r == 0 && form != FORM_FILE) r = delete_by_id(tx, "DELETE FROM blob_data WHERE id = ?", id);
	if (r == 0 && form == FORM_FILE) {
		struct unlinking *u = arena_get(&tx->memory, sizeof *u);
		*u = (struct unlinking){ .db = tx->db, .id = id };
		db_after_commit(tx, file_remove, u);
	}
	return r;
}

int blob_unref(struct db_conn *tx, int64_t id) {
	struct pending *p = pending_find(tx, id);
	if (p != NULL) {
		p->refs--;
		return 0;
	}
	AUTO_STMT struct db_stmt *s = db_sql(tx, "UPDATE blob SET refs = refs - 1 WHERE id = ? RETURNING refs, form");
	db_bind_int(s, id);
	int r = db_step(s);
	if (r != DB_ROW) return r < 0 ? r : BLOB_GONE;
	int64_t refs = db_int(s, 0), form = db_int(s, 1);
	r = db_run(s);
	return r < 0 || refs > 0 ? r : blob_remove(tx, id, form);
}

int blob_summary(struct db_conn *c, int64_t id, struct buf *out) {
	AUTO_STMT struct db_stmt *s = db_sql(
		c, "SELECT summary.data FROM blob LEFT JOIN summary ON summary.blob_id = blob.id WHERE blob.id = ?");
	db_bind_int(s, id);
	int r = db_step(s);
	if (r != DB_ROW) return r < 0 ? r : BLOB_GONE;
	if (buf_add(out, db_bytes(s, 0))) return 0;
	return cause_fail(DB_CAUSE_OTHER, "summary of blob %llx: too large", (unsigned long long)id);
}

/* Sweeping. */

static int is_known(struct db *db, int64_t id) {
	AUTO_READ struct db_conn *c = db_read(db);
	if (c == NULL) return -1;
	AUTO_STMT struct db_stmt *s = db_sql(c, "SELECT 1 FROM blob WHERE id = ?");
	db_bind_int(s, id);
	return db_step(s);
}

static int sweep_file(struct db *db, int folder, const char *name, int64_t before_s) {
	struct stat st;
	char *end = NULL;
	unsigned long long id = strtoull(name, &end, 16);
	if (strlen(name) != 16 || *end != '\0' || fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0) return 0;
	if (!S_ISREG(st.st_mode) || st.st_mtime > before_s) return 0;
	int known = is_known(db, (int64_t)id);
	if (known != 0) return known < 0 ? known : 0;
	return unlinkat(folder, name, 0) == 0 ? 1 : 0;
}

/* blobs (depth 0), blobs/xx (1), blobs/xx/yy (2) */
static int sweep_folder(struct db *db, int parent, const char *name, int depth, int64_t before_s) {
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (dir == NULL) {
		auto_fd(&fd);
		return errno == ENOENT || errno == ENOTDIR ? 0 : cause_fail_errno("blob folder %s", name);
	}
	int removed = 0, r = 0;
	for (struct dirent *e; r >= 0 && (e = readdir(dir)) != NULL; removed += r) {
		r = 0;
		if (e->d_name[0] == '.') continue;
		r = depth < 2 ? sweep_folder(db, fd, e->d_name, depth + 1, before_s)
			      : sweep_file(db, fd, e->d_name, before_s);
		if (r < 0) break;
	}
	closedir(dir);
	return r < 0 ? r : removed;
}

int blob_sweep(struct db *db, int64_t min_age_s) {
	return sweep_folder(db, db->dir_fd, "blobs", 0, (int64_t)time(NULL) - min_age_s);
}
