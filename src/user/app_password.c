/* SPDX-License-Identifier: Apache-2.0 */
/* App passwords are made here from 100 random bits, so a single digest hides them as well as any slow hash would: a
 * wrong guess costs us next to nothing, however many of them an account has. */
#include "base/clock.h"
#include "base/encode.h"
#include "base/fail.h"
#include "user/scheme.h"
#include "user/secret_inside.h"

#include <openssl/evp.h>

enum { LETTERS = 20, GROUP = 5, USE_NOTED_US = 60000000 };

/* "abcde-fghjk-mnpqr-stuvw": 32 letters that are not taken for each other. People type them with and without hyphens,
 * in any case. */
static void make(struct buf *out) {
	static const char alphabet[] = "abcdefghjkmnpqrstuvwxyz123456789";
	_Static_assert(sizeof alphabet == 33, "5 bits a letter");
	for (int i = 0; i < LETTERS; i++) {
		if (i != 0 && i % GROUP == 0) buf_byte(out, '-');
		buf_byte(out, alphabet[random_below(32)]);
	}
}

static bool hash_of(struct slice password, struct buf *out) {
	AUTO_BUF struct buf letters = BUF(KIB(2));
	unsigned char bytes[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	for (size_t i = 0; i < password.len; i++)
		if (password.at[i] != '-' && password.at[i] != ' ') buf_byte(&letters, ascii_lower(password.at[i]));
	if (letters.len != LETTERS) return false; /* no app password */
	return EVP_Digest(letters.at, letters.len, bytes, &len, EVP_sha256(), NULL) == 1 &&
	       hex_add(out, slice_from(bytes, len));
}

struct app {
	struct slice account, name, shown, hash;
	int64_t now_us;
};

static int note_use(struct db_conn *tx, void *arg) {
	const struct app *a = arg;
	AUTO_STMT struct db_stmt *q = db_sql(tx, "UPDATE app_password SET used_us = ? WHERE account = ? AND name = ?");
	db_bind_int(q, a->now_us);
	db_bind_text(q, a->account);
	db_bind_text(q, a->name);
	return db_run(q);
}

int app_verify(struct secrets *s, struct slice account, struct slice password) {
	AUTO_ARENA struct arena mem = { 0 };
	AUTO_BUF struct buf hash = BUF(128);
	struct app found = { .account = account, .now_us = wall_us() };
	bool may_be = hash_of(password, &hash), any = false, note = false;
	struct db_conn *c AUTO_READ = db_read(s->db);
	if (c == NULL) return -1;
	AUTO_STMT struct db_stmt *q = db_sql(c, "SELECT name, hash, used_us FROM app_password WHERE account = ?");
	int r;
	db_bind_text(q, account);
	while ((r = db_step(q)) == DB_ROW) {
		any = true;
		if (!may_be || !slice_eq(db_text(q, 1), buf_slice(&hash)))
			continue; /* of a digest: its first differing byte tells nothing */
		found.name = arena_slice(&mem, db_text(q, 0));
		note = db_int(q, 2) + USE_NOTED_US < found.now_us;
	}
	if (r < 0) return r;
	db_done(&q);
	db_release(&c);
	if (found.name.at == NULL) return any ? SECRET_WRONG : SECRET_UNKNOWN;
	return note ? db_write(s->db, note_use, &found) : 0;
}

int app_forget(struct db_conn *tx, struct slice account) {
	AUTO_STMT struct db_stmt *q = db_sql(tx, "DELETE FROM app_password WHERE account = ?");
	db_bind_text(q, account);
	return db_run(q);
}

static int put(struct db_conn *tx, void *arg) {
	const struct app *a = arg;
	AUTO_STMT struct db_stmt *q = db_sql(tx, "SELECT count(*) FROM app_password WHERE account = ?");
	db_bind_text(q, a->account);
	int r = db_step(q);
	if (r != DB_ROW) return r < 0 ? r : fail("app passwords: no count");
	if (db_int(q, 0) >= APP_PASSWORDS_MAX) return SECRET_LIMIT;
	AUTO_STMT struct db_stmt *add = db_sql(tx, "INSERT INTO app_password (account, name, shown, hash, created_us, "
						   "used_us) VALUES (?, ?, ?, ?, ?, 0) ON CONFLICT DO NOTHING");
	db_bind_text(add, a->account);
	db_bind_text(add, a->name);
	db_bind_text(add, a->shown);
	db_bind_text(add, a->hash);
	db_bind_int(add, a->now_us);
	r = db_run(add);
	return r < 0 ? r : db_changed(tx) == 0 ? SECRET_EXISTS : 0;
}

int secret_app_add(struct secrets *s, struct slice account, struct slice name, struct buf *password) {
	AUTO_ARENA struct arena mem = { 0 };
	AUTO_BUF struct buf text = BUF(64), hash = BUF(128);
	if (name.len == 0 || name.len > APP_NAME_MAX || !utf8_valid(name))
		return fail("app password: a name has 1 to %d bytes of UTF-8", APP_NAME_MAX);
	int r = secret_exists(s, account);
	if (r != 0) return r;
	make(&text);
	if (!hash_of(buf_slice(&text), &hash)) return fail("app password: no SHA-256 in OpenSSL");
	struct app a = { account, arena_lower(&mem, name), name, buf_slice(&hash), wall_us() };
	r = db_write(s->db, put, &a);
	if (r == 0 && s->app_only) secrets_forget(s, account); /* from now on the other one does not count */
	if (r == 0 && !buf_add(password, buf_slice(&text))) r = fail("app password: no room");
	mem_wipe(text.at, text.len);
	return r;
}

static int take(struct db_conn *tx, void *arg) {
	const struct app *a = arg;
	AUTO_STMT struct db_stmt *q = db_sql(tx, "DELETE FROM app_password WHERE account = ? AND name = ?");
	db_bind_text(q, a->account);
	db_bind_text(q, a->name);
	int r = db_run(q);
	return r < 0 ? r : db_changed(tx) == 0 ? SECRET_UNKNOWN : 0;
}

int secret_app_delete(struct secrets *s, struct slice account, struct slice name) {
	AUTO_ARENA struct arena mem = { 0 };
	struct app a = { .account = account, .name = arena_lower(&mem, name) };
	int r = db_write(s->db, take, &a);
	secrets_forget(s, account);
	return r;
}

int secret_app_each(struct secrets *s, struct slice account, int (*each)(void *ctx, const struct secret_app *app),
		    void *ctx) {
	struct db_conn *c AUTO_READ = db_read(s->db);
	if (c == NULL) return -1;
	AUTO_STMT struct db_stmt *q =
		db_sql(c, "SELECT shown, created_us, used_us FROM app_password WHERE account = ? ORDER BY name");
	db_bind_text(q, account);
	int r;
	while ((r = db_step(q)) == DB_ROW) {
		r = each(ctx, &(struct secret_app){ db_text(q, 0), db_int(q, 1), db_int(q, 2) });
		if (r != 0) return r;
	}
	return r;
}
