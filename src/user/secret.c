/* SPDX-License-Identifier: Apache-2.0 */
/* Hashing is slow on purpose, so what was just proved right is remembered: not the password, but an HMAC of it under
 * a key that dies with the process. Changing a password forgets its entry first. */
#include "user/scheme.h"
#include "user/secret_inside.h"
#include "base/clock.h"
#include "base/encode.h"
#include "base/fail.h"
#include "base/map.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>

static const char *const steps[] = { SCRAM_TABLES APP_TABLES };
static const struct db_schema secret_schema = {
	.sql = "CREATE TABLE secret (account TEXT PRIMARY KEY, hash TEXT NOT NULL, changed_us INTEGER NOT NULL) "
	       "WITHOUT ROWID;" SCRAM_TABLES APP_TABLES,
	.steps = steps,
	.step_count = LEN(steps),
};

int secrets_open(const char *dir, struct secrets **out) {
	const struct db_params params = {
		.file = "vault.db", .schema = &secret_schema, .cache_kib = 256, .mmap_mib = 16, .checkpoint_pages = 256
	};
	struct secrets *s = mem_get(sizeof *s);
	char password[33];
	pthread_mutex_init(&s->lock, NULL);
	s->nobody = BUF(512);
	random_fill(s->key, sizeof s->key);
	for (size_t i = 0; i < sizeof password - 1; i++) password[i] = (char)('a' + random_below(26));
	int r = scheme_hash(slice_from(password, sizeof password - 1), &s->nobody);
	if (r == 0) r = db_open(dir, &params, &s->db);
	if (r == 0) r = scram_open(s);
	if (r < 0) {
		secrets_close(&s);
		return r;
	}
	*out = s;
	return 0;
}

void secrets_close(struct secrets **sp) {
	struct secrets *s = TAKE(*sp);
	if (s == NULL) return;
	db_close(&s->db);
	map_done(&s->proofs, free);
	buf_done(&s->nobody);
	pthread_mutex_destroy(&s->lock);
	mem_wipe(s->key, sizeof s->key);
	free(s);
}

static bool mac_of(struct secrets *s, struct slice account, struct slice password, unsigned char mac[static MAC_LEN]) {
	AUTO_BUF struct buf text = BUF(KIB(2));
	buf_add(&text, account);
	buf_byte(&text, '\0');
	buf_add(&text, password);
	bool ok = !text.full && HMAC(EVP_sha256(), s->key, sizeof s->key, (const unsigned char *)text.at, text.len, mac,
				     NULL) != NULL;
	if (text.at != NULL) mem_wipe(text.at, text.len);
	return ok;
}

static bool is_proved(struct secrets *s, struct slice account, const unsigned char *mac, uint64_t *changes) {
	pthread_mutex_lock(&s->lock);
	const struct proof *p = map_get(&s->proofs, account);
	bool proved = false;
	int64_t now = clock_ms();
	for (size_t i = 0; i < PROOFS && p != NULL; i++)
		proved |= p->until[i] > now && CRYPTO_memcmp(p->mac[i], mac, MAC_LEN) == 0;
	*changes = s->changes;
	pthread_mutex_unlock(&s->lock);
	return proved;
}

static void remember(struct secrets *s, struct slice account, const unsigned char *mac, uint64_t changes) {
	pthread_mutex_lock(&s->lock);
	if (s->changes == changes) {
		struct proof *p = map_get(&s->proofs, account);
		if (p == NULL) {
			if (s->proofs.count >= REMEMBERED_MAX) map_done(&s->proofs, free);
			p = mem_get(sizeof *p);
			map_put(&s->proofs, account, p);
		}
		unsigned at = p->next++ % PROOFS;
		memcpy(p->mac[at], mac, MAC_LEN);
		p->until[at] = deadline_in(REMEMBERED_MS);
	}
	pthread_mutex_unlock(&s->lock);
}

void secrets_forget(struct secrets *s, struct slice account) {
	pthread_mutex_lock(&s->lock);
	free(map_take(&s->proofs, account));
	s->changes++;
	pthread_mutex_unlock(&s->lock);
}

int secret_hash(struct secrets *s, struct slice account, struct buf *out) {
	AUTO_READ struct db_conn *c = db_read(s->db);
	if (c == NULL) return -1;
	AUTO_STMT struct db_stmt *q = db_sql(c, "SELECT hash FROM secret WHERE account = ?");
	db_bind_text(q, account);
	int r = db_step(q);
	if (r != DB_ROW) return r < 0 ? r : SECRET_UNKNOWN;
	return buf_add(out, db_text(q, 0)) ? 0 : fail("password hash of %.*s: too long", SLICE_ARG(account));
}

int secret_exists(struct secrets *s, struct slice account) {
	AUTO_BUF struct buf hash = BUF(KIB(4));
	return secret_hash(s, account, &hash);
}

int secret_verify(struct secrets *s, struct slice account, struct slice password) {
	unsigned char mac[MAC_LEN];
	uint64_t changes = 0;
	if (!mac_of(s, account, password, mac)) return SECRET_WRONG; /* longer than any password */
	if (is_proved(s, account, mac, &changes)) return 0;
	AUTO_BUF struct buf hash = BUF(KIB(4));
	int r = secret_hash(s, account, &hash), app;
	if (r < 0 || (app = app_verify(s, account, password)) < 0) return r < 0 ? r : app;
	bool known = r == 0, own = known && !(s->app_only && app != SECRET_UNKNOWN);
	r = app == 0 ? 0 : secret_check(buf_slice(own ? &hash : &s->nobody), password);
	if (r < 0) return r;
	if (!known || r != 0 || (app != 0 && !own)) return SECRET_WRONG;
	remember(s, account, mac, changes);
	/* who came with an imported hash can use SCRAM from now on */
	if (app != 0 && scram_learn(s, account, password, buf_slice(&hash)) < 0) return -1;
	return 0;
}

struct entry {
	struct slice account, hash;
	const struct scram_keys *keys; /* NULL: the password itself is not known */
};

static int entry_put(struct db_conn *tx, void *arg) {
	const struct entry *e = arg;
	int r = scram_put(tx, e->account, e->keys);
	if (r < 0) return r;
	AUTO_STMT struct db_stmt *q =
		db_sql(tx, "INSERT INTO secret (account, hash, changed_us) VALUES (?, ?, ?)"
	               " ON CONFLICT (account) DO UPDATE SET hash = excluded.hash, changed_us = excluded.changed_us");
	db_bind_text(q, e->account);
	db_bind_text(q, e->hash);
	db_bind_int(q, wall_us());
	return db_run(q);
}

static int entry_delete(struct db_conn *tx, void *arg) {
	const struct entry *e = arg;
	int r = scram_put(tx, e->account, NULL);
	if (r == 0) r = app_forget(tx, e->account);
	if (r < 0) return r;
	AUTO_STMT struct db_stmt *q = db_sql(tx, "DELETE FROM secret WHERE account = ?");
	db_bind_text(q, e->account);
	r = db_run(q);
	return r < 0 ? r : db_changed(tx) == 0 ? SECRET_UNKNOWN : 0;
}

static int set(struct secrets *s, struct slice account, struct slice hash, const struct scram_keys *keys) {
	struct entry e = { account, hash, keys };
	int r = db_write(s->db, entry_put, &e);
	secrets_forget(s, account);
	return r;
}

int secret_set_hash(struct secrets *s, struct slice account, struct slice hash) {
	return scheme_known(hash) ? set(s, account, hash, NULL) : SECRET_BAD_HASH;
}

int secret_set(struct secrets *s, struct slice account, struct slice password) {
	AUTO_BUF struct buf hash = BUF(512);
	struct scram_keys keys;
	int r = scheme_hash(password, &hash);
	if (r == 0) r = scram_make(password, &keys);
	if (r == 0) r = set(s, account, buf_slice(&hash), &keys);
	mem_wipe(&keys, sizeof keys);
	return r;
}

int secret_delete(struct secrets *s, struct slice account) {
	struct entry e = { .account = account };
	int r = db_write(s->db, entry_delete, &e);
	secrets_forget(s, account);
	return r;
}

void secrets_app_only(struct secrets *s, bool on) {
	if (s->app_only == on) return;
	s->app_only = on;
	pthread_mutex_lock(&s->lock);
	map_done(&s->proofs, free);
	s->changes++;
	pthread_mutex_unlock(&s->lock);
}
