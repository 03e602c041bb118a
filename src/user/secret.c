/* SPDX-License-Identifier: Apache-2.0 */
/* Hashing is slow on purpose, so what was just proved right is remembered: not the password, but an HMAC of it under
 * a key that dies with the process. Changing a password forgets its entry first. */
#include "user/scheme.h"
#include "base/clock.h"
#include "base/encode.h"
#include "base/fail.h"
#include "base/map.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>

enum { MAC_LEN = 32, REMEMBERED_MAX = 4096, REMEMBERED_MS = 60000 };

struct proof {
	unsigned char mac[MAC_LEN];
	int64_t until; /* ms */
};

struct secrets {
	struct db *db;
	unsigned char key[MAC_LEN];
	struct buf nobody; /* a hash nobody has the password of, so that unknown users take as long */
	pthread_mutex_t lock;
	struct map proofs; /* account → struct proof */
	uint64_t changes;  /* counts changed passwords: what was read before one is not remembered after it */
};

static const struct db_schema secret_schema = {
	.sql =
		"CREATE TABLE secret (account TEXT PRIMARY KEY, hash TEXT NOT NULL, changed_us INTEGER NOT NULL) WITHOUT ROWID;",
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
	bool ok =
		!text.full
		&& HMAC(EVP_sha256(), s->key, sizeof s->key, (const unsigned char *)text.at, text.len, mac, NULL) != NULL;
	if (text.at != NULL) mem_wipe(text.at, text.len);
	return ok;
}

static bool is_proved(struct secrets *s, struct slice account, const unsigned char *mac, uint64_t *changes) {
	pthread_mutex_lock(&s->lock);
	const struct proof *p = map_get(&s->proofs, account);
	bool proved = p != NULL && p->until > clock_ms() && CRYPTO_memcmp(p->mac, mac, MAC_LEN) == 0;
	*changes = s->changes;
	pthread_mutex_unlock(&s->lock);
	return proved;
}

static void remember(struct secrets *s, struct slice account, const unsigned char *mac, uint64_t changes) {
	struct proof *p = mem_get(sizeof *p);
	memcpy(p->mac, mac, MAC_LEN);
	p->until = deadline_in(REMEMBERED_MS);
	pthread_mutex_lock(&s->lock);
	if (s->changes == changes) {
		if (s->proofs.count >= REMEMBERED_MAX) map_done(&s->proofs, free);
		p = map_put(&s->proofs, account, p);
	}
	pthread_mutex_unlock(&s->lock);
	free(p);
}

static void forget(struct secrets *s, struct slice account) {
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
	int r = secret_hash(s, account, &hash);
	if (r < 0) return r;
	bool known = r == 0;
	r = secret_check(buf_slice(known ? &hash : &s->nobody), password);
	if (r < 0) return r;
	if (!known || r != 0) return SECRET_WRONG;
	remember(s, account, mac, changes);
	return 0;
}

struct entry {
	struct slice account, hash;
};

static int entry_put(struct db_conn *tx, void *arg) {
	const struct entry *e = arg;
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
	AUTO_STMT struct db_stmt *q = db_sql(tx, "DELETE FROM secret WHERE account = ?");
	db_bind_text(q, e->account);
	int r = db_run(q);
	return r < 0 ? r : db_changed(tx) == 0 ? SECRET_UNKNOWN : 0;
}

int secret_set_hash(struct secrets *s, struct slice account, struct slice hash) {
	if (!scheme_known(hash)) return SECRET_BAD_HASH;
	struct entry e = { account, hash };
	int r = db_write(s->db, entry_put, &e);
	forget(s, account);
	return r;
}

int secret_set(struct secrets *s, struct slice account, struct slice password) {
	AUTO_BUF struct buf hash = BUF(512);
	int r = scheme_hash(password, &hash);
	return r < 0 ? r : secret_set_hash(s, account, buf_slice(&hash));
}

int secret_delete(struct secrets *s, struct slice account) {
	struct entry e = { .account = account };
	int r = db_write(s->db, entry_delete, &e);
	forget(s, account);
	return r;
}
