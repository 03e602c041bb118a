/* SPDX-License-Identifier: Apache-2.0 */
/* Hashes come from three worlds: crypt(3) strings, Dovecot's {SCHEME}text, and bare digests behind such a prefix. A
 * table says which prefix means what; what is not in it is refused when it is stored, not when someone tries to log
 * in. */
#include "user/scheme.h"
#include "base/encode.h"
#include "base/fail.h"

#include <crypt.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

enum { YESCRYPT_COST = 2 /* 2 MiB */, DIGEST_MAX = EVP_MAX_MD_SIZE, STORED_MAX = 1024 };

static const struct scheme {
	const char *name;
	enum { BY_CRYPT, BY_TEXT, BY_DIGEST } how;
	const EVP_MD *(*digest)(void);
	size_t digest_len;
	bool salted, hex;
} schemes[] = {
	{ .name = "CRYPT", .how = BY_CRYPT },
	{ .name = "SHA512-CRYPT", .how = BY_CRYPT },
	{ .name = "SHA256-CRYPT", .how = BY_CRYPT },
	{ .name = "BLF-CRYPT", .how = BY_CRYPT },
	{ .name = "MD5-CRYPT", .how = BY_CRYPT },
	{ .name = "DES-CRYPT", .how = BY_CRYPT },
	{ .name = "PLAIN", .how = BY_TEXT },
	{ .name = "CLEARTEXT", .how = BY_TEXT },
	{ .name = "CLEAR", .how = BY_TEXT },
	{ "SHA", BY_DIGEST, EVP_sha1, 20, false, false },
	{ "SHA1", BY_DIGEST, EVP_sha1, 20, false, false },
	{ "SSHA", BY_DIGEST, EVP_sha1, 20, true, false },
	{ "SHA256", BY_DIGEST, EVP_sha256, 32, false, false },
	{ "SSHA256", BY_DIGEST, EVP_sha256, 32, true, false },
	{ "SHA512", BY_DIGEST, EVP_sha512, 64, false, false },
	{ "SSHA512", BY_DIGEST, EVP_sha512, 64, true, false },
	{ "LDAP-MD5", BY_DIGEST, EVP_md5, 16, false, false },
	{ "PLAIN-MD5", BY_DIGEST, EVP_md5, 16, false, true },
	{ "SMD5", BY_DIGEST, EVP_md5, 16, true, false },
};
static const struct scheme bare = { .name = "", .how = BY_CRYPT };

/* Splits "{NAME.HEX}text". NULL: not in the table. */
static const struct scheme *scheme_of(struct slice hash, struct slice *text, bool *hex) {
	*text = hash;
	*hex = false;
	if (hash.len == 0 || hash.at[0] != '{') return &bare;
	size_t end = slice_find(hash, '}');
	if (end == hash.len) return NULL;
	struct slice encoding = slice_head(slice_skip(hash, 1), end - 1), name = slice_cut(&encoding, '.');
	*text = slice_skip(hash, end + 1);
	for (size_t i = 0; i < LEN(schemes); i++) {
		if (!slice_same(name, slice_of(schemes[i].name))) continue;
		*hex = encoding.at != NULL ? slice_same(encoding, S("HEX")) : schemes[i].hex;
		return encoding.at == NULL || *hex || slice_same(encoding, S("B64")) ||
				       slice_same(encoding, S("BASE64"))
			       ? &schemes[i]
			       : NULL;
	}
	return NULL;
}

static int same(struct slice a, struct slice b) {
	return a.len == b.len && CRYPTO_memcmp(a.at, b.at, a.len) == 0 ? 0 : SECRET_WRONG;
}

/* Copies a crypt(3) string with its NUL; false when crypt(3) knows no such kind. Any two letters begin a string of the
 * traditional kind, so that one must also have its length: a plain password is not a hash. */
static bool crypt_copy(struct slice hash, char to[static CRYPT_OUTPUT_SIZE]) {
	if (hash.len >= CRYPT_OUTPUT_SIZE || (hash.at[0] != '$' && hash.at[0] != '_' && hash.len != 13)) return false;
	memcpy(to, hash.at, hash.len);
	to[hash.len] = '\0';
	int salt = crypt_checksalt(to);
	return salt != CRYPT_SALT_INVALID && salt != CRYPT_SALT_METHOD_DISABLED;
}

static int check_crypt(struct slice hash, struct slice password) {
	char key[CRYPT_MAX_PASSPHRASE_SIZE] = "", stored[CRYPT_OUTPUT_SIZE];
	if (!crypt_copy(hash, stored)) return SECRET_BAD_HASH;
	if (password.len >= sizeof key) return SECRET_WRONG;
	if (password.len != 0) memcpy(key, password.at, password.len);
	struct crypt_data *data = mem_get(sizeof *data);
	const char *made = crypt_r(key, stored, data);
	int r = made == NULL || made[0] == '*' ? SECRET_BAD_HASH : same(slice_of(made), slice_of(stored));
	mem_wipe(key, sizeof key);
	mem_wipe(data, sizeof *data);
	free(data);
	return r;
}

static bool digest_bytes(struct slice text, bool hex, struct buf *out) {
	return hex ? hex_read(out, text) : base64_read(out, text);
}

static int check_digest(const struct scheme *s, struct slice text, bool hex, struct slice password) {
	AUTO_BUF struct buf stored = BUF(STORED_MAX);
	if (!digest_bytes(text, hex, &stored) || stored.len < s->digest_len
	    || (!s->salted && stored.len != s->digest_len))
		return SECRET_BAD_HASH;
	struct slice bytes = buf_slice(&stored), salt = slice_skip(bytes, s->digest_len);
	unsigned char made[DIGEST_MAX];
	unsigned len = 0;
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	bool ok = c != NULL && EVP_DigestInit_ex(c, s->digest(), NULL) == 1
	          && EVP_DigestUpdate(c, password.at, password.len) == 1 && EVP_DigestUpdate(c, salt.at, salt.len) == 1
	          && EVP_DigestFinal_ex(c, made, &len) == 1;
	EVP_MD_CTX_free(c);
	if (!ok) return fail("password digest %s: not available in OpenSSL", s->name);
	return same(slice_from(made, len), slice_head(bytes, s->digest_len));
}

int secret_check(struct slice hash, struct slice password) {
	struct slice text;
	bool hex;
	const struct scheme *s = scheme_of(hash, &text, &hex);
	if (s == NULL || text.len == 0) return SECRET_BAD_HASH;
	if (memchr(password.at != NULL ? password.at : "", '\0', password.len) != NULL) return SECRET_WRONG;
	if (s->how == BY_CRYPT) return check_crypt(text, password);
	return s->how == BY_TEXT ? same(text, password) : check_digest(s, text, hex, password);
}

bool scheme_known(struct slice hash) {
	char copy[CRYPT_OUTPUT_SIZE];
	struct slice text;
	bool hex;
	const struct scheme *s = scheme_of(hash, &text, &hex);
	if (s == NULL || text.len == 0 || text.len >= STORED_MAX || memchr(text.at, '\0', text.len) != NULL)
		return false;
	if (s->how == BY_TEXT) return true;
	if (s->how == BY_DIGEST)
		return check_digest(s, text, hex, S("x")) == SECRET_WRONG || check_digest(s, text, hex, S("x")) == 0;
	return crypt_copy(text, copy);
}

int scheme_hash(struct slice password, struct buf *out) {
	char key[CRYPT_MAX_PASSPHRASE_SIZE] = "", setting[CRYPT_GENSALT_OUTPUT_SIZE], salt[16];
	if (password.len >= sizeof key || password.len == 0)
		return fail("password: must have 1 to %zu bytes", sizeof key - 1);
	if (memchr(password.at, '\0', password.len) != NULL) return fail("password: must not contain a NUL byte");
	random_fill(salt, sizeof salt);
	if (crypt_gensalt_rn("$y$", YESCRYPT_COST, salt, sizeof salt, setting, sizeof setting) == NULL)
		return fail_errno("yescrypt");
	memcpy(key, password.at, password.len);
	struct crypt_data *data = mem_get(sizeof *data);
	const char *made = crypt_r(key, setting, data);
	bool ok = made != NULL && made[0] != '*' && buf_add(out, slice_of(made));
	mem_wipe(key, sizeof key);
	mem_wipe(data, sizeof *data);
	free(data);
	return ok ? 0 : fail("yescrypt: hashing failed (out of memory?)");
}
