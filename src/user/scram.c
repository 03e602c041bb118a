/* SPDX-License-Identifier: Apache-2.0 */
/* Verifiers of SCRAM: what a server needs to check a proof and cannot log in with elsewhere (RFC 5802 §3). */
#include "base/encode.h"
#include "base/fail.h"
#include "user/secret_inside.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <uninorm.h>

static const EVP_MD *digest_of(bool sha256) { return sha256 ? EVP_sha256() : EVP_sha1(); }
static size_t length_of(bool sha256) { return sha256 ? 32 : 20; }

static bool mac(bool sha256, const void *key, size_t key_len, struct slice text,
		unsigned char out[static SCRAM_KEY_MAX]) {
	return HMAC(digest_of(sha256), key, (int)key_len, (const unsigned char *)text.at, text.len, out, NULL) != NULL;
}

/* SASLprep (RFC 4013): blanks of all kinds become one kind, what is not seen goes, compatible characters become one. */
static bool is_space(uint32_t c) {
	return c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200B) || c == 0x202F || c == 0x205F || c == 0x3000;
}

static bool is_nothing(uint32_t c) {
	return c == 0xAD || c == 0x34F || c == 0x1806 || (c >= 0x180B && c <= 0x180D) || c == 0x200C || c == 0x200D ||
	       c == 0x2060 || (c >= 0xFE00 && c <= 0xFE0F) || c == 0xFEFF;
}

static bool prepare(struct slice password, struct buf *out) {
	AUTO_BUF struct buf text = BUF(KIB(4));
	if (slice_is_ascii(password) || !utf8_valid(password)) return buf_add(out, password);
	while (password.len != 0) {
		uint32_t c = utf8_next(&password);
		if (is_space(c)) buf_byte(&text, ' ');
		else if (!is_nothing(c)) utf8_add(&text, c);
	}
	size_t len = 0;
	uint8_t *normal = u8_normalize(UNINORM_NFKC, (const uint8_t *)text.at, text.len, NULL, &len);
	bool ok = normal != NULL && buf_add(out, slice_from(normal, len));
	mem_wipe(text.at, text.len);
	if (normal != NULL) mem_wipe(normal, len);
	free(normal);
	return ok;
}

static bool make_one(bool sha256, struct slice password, struct scram_keys *keys) {
	unsigned char salted[SCRAM_KEY_MAX], client[SCRAM_KEY_MAX];
	size_t len = length_of(sha256);
	bool ok = PKCS5_PBKDF2_HMAC(password.at, (int)password.len, keys->salt, SCRAM_SALT, SCRAM_ROUNDS,
				    digest_of(sha256), (int)len, salted) == 1 &&
		  mac(sha256, salted, len, S("Client Key"), client) &&
		  mac(sha256, salted, len, S("Server Key"), keys->server[sha256]) &&
		  EVP_Digest(client, len, keys->stored[sha256], NULL, digest_of(sha256), NULL) == 1;
	mem_wipe(salted, sizeof salted);
	mem_wipe(client, sizeof client);
	return ok;
}

int scram_make(struct slice password, struct scram_keys *keys) {
	AUTO_BUF struct buf text = BUF(KIB(8));
	random_fill(keys->salt, sizeof keys->salt);
	bool ok = prepare(password, &text) && make_one(false, buf_slice(&text), keys) &&
		  make_one(true, buf_slice(&text), keys);
	if (text.at != NULL) mem_wipe(text.at, text.len);
	return ok ? 0 : fail("SCRAM verifier: not available in OpenSSL");
}

int scram_put(struct db_conn *tx, struct slice account, const struct scram_keys *keys) {
	AUTO_STMT struct db_stmt *gone = db_sql(tx, "DELETE FROM scram WHERE account = ?");
	db_bind_text(gone, account);
	int r = db_run(gone);
	for (int kind = 0; kind < 2 && r == 0 && keys != NULL; kind++) {
		AUTO_STMT struct db_stmt *q = db_sql(
			tx,
			"INSERT INTO scram (account, sha256, salt, rounds, stored, server) VALUES (?, ?, ?, ?, ?, ?)");
		db_bind_text(q, account);
		db_bind_int(q, kind);
		db_bind_bytes(q, slice_from(keys->salt, SCRAM_SALT));
		db_bind_int(q, SCRAM_ROUNDS);
		db_bind_bytes(q, slice_from(keys->stored[kind], length_of(kind)));
		db_bind_bytes(q, slice_from(keys->server[kind], length_of(kind)));
		r = db_run(q);
	}
	return r;
}

struct learning {
	struct slice account, hash;
	struct scram_keys keys;
};

static int learn(struct db_conn *tx, void *arg) {
	const struct learning *l = arg;
	AUTO_STMT struct db_stmt *q = db_sql(tx, "SELECT 1 FROM secret WHERE account = ? AND hash = ?");
	db_bind_text(q, l->account);
	db_bind_text(q, l->hash);
	int r = db_step(q);
	return r == DB_ROW ? scram_put(tx, l->account, &l->keys) : r;
}

struct row {
	unsigned char salt[SCRAM_SALT], stored[SCRAM_KEY_MAX], server[SCRAM_KEY_MAX];
	uint64_t rounds;
};

/* 0, SECRET_UNKNOWN or <0. */
static int find(struct secrets *s, struct slice account, bool sha256, struct row *row) {
	AUTO_READ struct db_conn *c = db_read(s->db);
	if (c == NULL) return -1;
	AUTO_STMT struct db_stmt *q =
		db_sql(c, "SELECT salt, rounds, stored, server FROM scram WHERE account = ? AND sha256 = ?");
	db_bind_text(q, account);
	db_bind_int(q, sha256);
	int r = db_step(q);
	if (r != DB_ROW) return r < 0 ? r : SECRET_UNKNOWN;
	struct slice salt = db_bytes(q, 0), stored = db_bytes(q, 2), server = db_bytes(q, 3);
	if (salt.len != SCRAM_SALT || stored.len != length_of(sha256) || server.len != length_of(sha256))
		return fail("SCRAM verifier of %.*s: broken (set the password again)", SLICE_ARG(account));
	memcpy(row->salt, salt.at, salt.len);
	memcpy(row->stored, stored.at, stored.len);
	memcpy(row->server, server.at, server.len);
	row->rounds = (uint64_t)db_int(q, 1);
	return 0;
}

int scram_learn(struct secrets *s, struct slice account, struct slice password, struct slice hash) {
	struct row row;
	struct learning l = { .account = account, .hash = hash };
	int r = find(s, account, true, &row);
	if (r == SECRET_UNKNOWN) {
		r = scram_make(password, &l.keys);
		if (r == 0) r = db_write(s->db, learn, &l);
	}
	mem_wipe(&l.keys, sizeof l.keys);
	mem_wipe(&row, sizeof row);
	return r;
}

static int key_put(struct db_conn *tx, void *arg) {
	struct secrets *s = arg;
	AUTO_STMT struct db_stmt *put =
		db_sql(tx, "INSERT INTO own_key (name, key) VALUES ('salt', ?) ON CONFLICT DO NOTHING");
	unsigned char fresh[MAC_LEN];
	random_fill(fresh, sizeof fresh);
	db_bind_bytes(put, slice_from(fresh, sizeof fresh));
	int r = db_run(put);
	if (r < 0) return r;
	AUTO_STMT struct db_stmt *get = db_sql(tx, "SELECT key FROM own_key WHERE name = 'salt'");
	r = db_step(get);
	struct slice key = r == DB_ROW ? db_bytes(get, 0) : SLICE_NONE;
	if (key.len != MAC_LEN) return r < 0 ? r : fail("own_key: broken");
	memcpy(s->salt_key, key.at, MAC_LEN);
	return 0;
}

int scram_open(struct secrets *s) {
	return db_write(s->db, key_put, s);
}

int secret_scram_salt(struct secrets *s, struct slice account, bool sha256, unsigned char salt[static SCRAM_SALT],
		      uint64_t *rounds) {
	unsigned char made[SCRAM_KEY_MAX];
	struct row row = { .rounds = SCRAM_ROUNDS };
	if (!mac(true, s->salt_key, MAC_LEN, account, made)) return fail("SCRAM: HMAC is not available in OpenSSL");
	int r = find(s, account, sha256, &row);
	if (r < 0) return r;
	memcpy(salt, r == 0 ? row.salt : made, SCRAM_SALT);
	*rounds = row.rounds;
	mem_wipe(&row, sizeof row);
	return 0;
}

int secret_scram_prove(struct secrets *s, struct slice account, bool sha256, struct slice proof, struct slice message,
		       struct buf *signature) {
	struct row row = { 0 };
	unsigned char own[SCRAM_KEY_MAX], client[SCRAM_KEY_MAX] = { 0 }, stored[SCRAM_KEY_MAX];
	size_t len = length_of(sha256);
	int r = find(s, account, sha256, &row);
	if (r < 0) return r;
	if (proof.len != len || !mac(sha256, row.stored, len, message, own)) return SECRET_WRONG;
	for (size_t i = 0; i < len; i++) client[i] = own[i] ^ (unsigned char)proof.at[i];
	bool right = EVP_Digest(client, len, stored, NULL, digest_of(sha256), NULL) == 1 &&
		     CRYPTO_memcmp(stored, row.stored, len) == 0 && r == 0;
	if (right && s->app_only) { /* app_passwords_required holds for SCRAM as well */
		int app = app_verify(s, account, S(""));
		if (app < 0) return app;
		right = app == SECRET_UNKNOWN;
	}
	if (right) right = mac(sha256, row.server, len, message, own) && buf_add(signature, slice_from(own, len));
	mem_wipe(&row, sizeof row);
	mem_wipe(client, sizeof client);
	return right ? 0 : SECRET_WRONG;
}
