/* SPDX-License-Identifier: Apache-2.0 */
/* pw: hashes with Dovecot's {SCHEME} before them, those that user/secret.h can check again. */
#include "base/encode.h"
#include "base/fail.h"
#include "cli/doveadm.h"
#include "user/secret.h"

#include <crypt.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <sysexits.h>

enum { SALT = 4 };

static const struct scheme {
	const char *name;
	const char *prefix;  /* of crypt(3) */
	const char *digest;  /* of OpenSSL */
	bool salted;
	unsigned long rounds; /* when -r says nothing */
} schemes[] = {
	{ "CRYPT", "$2y$", NULL, true, 5 },
	{ "BLF-CRYPT", "$2y$", NULL, true, 5 },
	{ "SHA512-CRYPT", "$6$", NULL, true, 0 },
	{ "SHA256-CRYPT", "$5$", NULL, true, 0 },
	{ "MD5-CRYPT", "$1$", NULL, true, 0 },
	{ "PLAIN", NULL, NULL, false, 0 },
	{ "CLEARTEXT", NULL, NULL, false, 0 },
	{ "SHA", NULL, "SHA1", false, 0 },
	{ "SSHA", NULL, "SHA1", true, 0 },
	{ "SHA256", NULL, "SHA256", false, 0 },
	{ "SSHA256", NULL, "SHA256", true, 0 },
	{ "SHA512", NULL, "SHA512", false, 0 },
	{ "SSHA512", NULL, "SHA512", true, 0 },
};

static int by_crypt(struct doveadm *d, const struct scheme *s, const char *password, struct buf *out) {
	struct crypt_data *work = arena_get(&d->mem, sizeof *work);
	char setting[CRYPT_GENSALT_OUTPUT_SIZE];
	unsigned long rounds = s->rounds;
	if (d->given['r']) rounds = strtoul(d->value['r'], NULL, 10);
	if (crypt_gensalt_rn(s->prefix, rounds, NULL, 0, setting, sizeof setting) == NULL)
		return dove_fatal(d, EX_USAGE, "Invalid rounds: %s (%s)", d->given['r'] ? d->value['r'] : "0",
				  strerror(errno));
	const char *hash = crypt_rn(password, setting, work, (int)sizeof *work);
	if (hash == NULL) return dove_fatal(d, EX_SOFTWARE, "crypt: %s", strerror(errno));
	buf_add(out, slice_of(hash));
	return EX_OK;
}

static int by_digest(struct doveadm *d, const struct scheme *s, struct slice password, struct buf *out) {
	unsigned char hash[EVP_MAX_MD_SIZE + SALT], salt[SALT];
	unsigned len = 0;
	AUTO_BUF struct buf input = BUF(KIB(8));
	size_t extra = s->salted ? SALT : 0;
	if (RAND_bytes(salt, sizeof salt) != 1) return dove_fatal(d, EX_SOFTWARE, "no random bytes");
	buf_add(&input, password);
	buf_add(&input, slice_from(salt, extra));
	if (EVP_Digest(input.at, input.len, hash, &len, EVP_get_digestbyname(s->digest), NULL) != 1)
		return dove_fatal(d, EX_SOFTWARE, "%s: not to be had from OpenSSL", s->digest);
	memcpy(hash + len, salt, extra);
	mem_wipe(input.at, input.len);
	base64_add(out, slice_from(hash, len + extra));
	return EX_OK;
}

static int read_password(struct doveadm *d, struct buf *out) {
	if (d->given['p']) return buf_add(out, slice_of(d->value['p'])) ? EX_OK : EX_DATAERR;
	buf_add(out, slice_of(getpass("Enter new password: ")));
	if (d->given['t']) return EX_OK;
	if (!slice_eq(buf_slice(out), slice_of(getpass("Retype new password: "))))
		return dove_fatal(d, EX_DATAERR, "Passwords don't match!");
	return EX_OK;
}

static int test(struct doveadm *d, const char *hash, struct slice password) {
	int r = secret_check(slice_of(hash), password);
	if (r == SECRET_BAD_HASH)
		return dove_fatal(d, EX_TEMPFAIL, "reverse password verification check failed: Unknown scheme");
	if (r != 0) return dove_fatal(d, EX_TEMPFAIL, "reverse password verification check failed: Password mismatch");
	printf("%s (verified)\n", hash);
	return EX_OK;
}

static int make(struct doveadm *d, const struct scheme *s, struct buf *password) {
	AUTO_BUF struct buf hash = BUF(KIB(8));
	int code = EX_OK;
	buf_addf(&hash, "{%s}", s->name);
	if (s->prefix != NULL) code = by_crypt(d, s, buf_text(password), &hash);
	else if (s->digest != NULL) code = by_digest(d, s, buf_slice(password), &hash);
	else buf_add(&hash, buf_slice(password));
	if (code != EX_OK) return code;
	if (d->given['V']) return test(d, buf_text(&hash), buf_slice(password));
	puts(buf_text(&hash));
	return EX_OK;
}

int dove_pw(struct doveadm *d, void **state) {
	AUTO_BUF struct buf password = BUF(KIB(4));
	(void)state;
	if (d->given['l']) {
		for (size_t i = 0; i < LEN(schemes); i++) printf("%s ", schemes[i].name);
		putchar('\n');
		return EX_OK;
	}
	struct slice wanted = d->given['s'] ? slice_of(d->value['s']) : S("CRYPT");
	size_t i = 0;
	while (i < LEN(schemes) && !slice_same(wanted, slice_of(schemes[i].name))) i++;
	if (i == LEN(schemes)) return dove_fatal(d, EX_TEMPFAIL, "Unknown scheme: %.*s", SLICE_ARG(wanted));
	int code = read_password(d, &password);
	if (code == EX_OK)
		code = d->given['t'] ? test(d, d->value['t'], buf_slice(&password)) : make(d, &schemes[i], &password);
	mem_wipe(password.at, password.len);
	return code;
}
