/* SPDX-License-Identifier: Apache-2.0 */
/* A step to the next row costs a third of looking one up. Whether it pays is found out as it goes: steps that lead to
 * what was wanted earn trust, those that do not use it up. */
#include "db/inside.h"

enum { STEPS = 3, TRUST_MAX = 16, TRUST_FIRST = 4 };

struct blob_walk {
	struct db_stmt *s;   /* rows from some id on */
	bool stands;         /* on a row */
	int64_t at;          /* its id */
	int trust;
};

struct blob_walk *blob_walk(struct db_conn *c, enum blob_kept what) {
	static const char *const sql[] = {
		[BLOB_SUMMARY] = "SELECT blob_id, data FROM summary WHERE blob_id >= ? ORDER BY blob_id",
		[BLOB_DIGEST] = "SELECT blob_id, data FROM digest WHERE blob_id >= ? ORDER BY blob_id",
		[BLOB_STORED] = "SELECT id, data FROM blob_data WHERE id >= ? ORDER BY id",
	};
	struct blob_walk *w = mem_get(sizeof *w);
	*w = (struct blob_walk){ .s = db_sql(c, sql[what]), .trust = TRUST_FIRST };
	return w;
}

void blob_walk_end(struct blob_walk **wp) {
	struct blob_walk *w = TAKE(*wp);
	if (w == NULL) return;
	db_done(&w->s);
	free(w);
}

static int step(struct blob_walk *w) {
	int r = db_step(w->s);
	w->stands = r == DB_ROW;
	if (w->stands) w->at = db_int(w->s, 0);
	return MIN_OF(r, 0);
}

static int seek(struct blob_walk *w, int64_t id) {
	db_again(w->s);
	db_bind_int(w->s, id);
	return step(w);
}

int blob_walk_to(struct blob_walk *w, int64_t id, struct slice *out) {
	int r = 0;
	bool ahead = w->stands && w->at < id;
	*out = SLICE_NONE;
	if (ahead && w->trust > 0) {
		for (int i = 0; i < STEPS && r == 0 && w->stands && w->at < id; i++) r = step(w);
		w->trust = !w->stands || w->at >= id ? MIN_OF(w->trust + 1, (int)TRUST_MAX) : w->trust - 1;
		if (r == 0 && !w->stands) return 0; /* the end: there is none */
	}
	if (r == 0 && (!w->stands || w->at < id || (w->at > id && !ahead))) r = seek(w, id);
	if (r == 0 && w->stands && w->at == id) *out = db_bytes(w->s, 1);
	return r;
}
