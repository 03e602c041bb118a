/* SPDX-License-Identifier: Apache-2.0 */
/* A server that has not proved that it knows the password (SCRAM) might be anybody: its "welcome" does not count. What
 * it says decides how long we compute, so the rounds have a ceiling. */
#include "smtp/client_sasl.h"
#include "base/encode.h"
#include "base/fail.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

static const struct {
	enum smtp_mechanism m;
	const char *name, *digest;
} mechanisms[] = {
	{ SMTP_MECHANISM_SCRAM_SHA_256, "SCRAM-SHA-256", "SHA256" },
	{ SMTP_MECHANISM_SCRAM_SHA_1, "SCRAM-SHA-1", "SHA1" },
	{ SMTP_MECHANISM_CRAM_MD5, "CRAM-MD5", "MD5" },
	{ SMTP_MECHANISM_PLAIN, "PLAIN", NULL },
	{ SMTP_MECHANISM_LOGIN, "LOGIN", NULL },
};

const char *smtp_mechanism_name(enum smtp_mechanism m) {
	for (size_t i = 0; i < LEN(mechanisms); i++)
		if (mechanisms[i].m == m) return mechanisms[i].name;
	return "?";
}

enum smtp_mechanism smtp_mechanism_of(struct slice name) {
	for (size_t i = 0; i < LEN(mechanisms); i++)
		if (slice_same(name, slice_of(mechanisms[i].name))) return mechanisms[i].m;
	return 0;
}

enum smtp_mechanism smtp_mechanism_best(unsigned among) {
	for (size_t i = 0; i < LEN(mechanisms); i++)
		if ((among & mechanisms[i].m) != 0) return mechanisms[i].m;
	return 0;
}

static const EVP_MD *digest_of(const struct sasl_client *s) {
	for (size_t i = 0; i < LEN(mechanisms); i++)
		if (mechanisms[i].m == s->mechanism) return EVP_get_digestbyname(mechanisms[i].digest);
	return NULL;
}

static bool is_scram(const struct sasl_client *s) {
	return (s->mechanism & (SMTP_MECHANISM_SCRAM_SHA_1 | SMTP_MECHANISM_SCRAM_SHA_256)) != 0;
}

static void wipe(struct buf *b) {
	if (b->at != NULL) mem_wipe(b->at, b->len);
	buf_done(b);
}

/* "," and "=" have a meaning in SCRAM. */
static void add_name(struct buf *out, struct slice name) {
	for (size_t i = 0; i < name.len; i++) {
		if (name.at[i] == ',') buf_add(out, S("=2C"));
		else if (name.at[i] == '=') buf_add(out, S("=3D"));
		else buf_byte(out, name.at[i]);
	}
}

void sasl_client_init(struct sasl_client *s, enum smtp_mechanism m, struct slice user, struct slice password,
		      struct slice nonce) {
	*s = (struct sasl_client){ .mechanism = m, .user = user, .password = password,
				   .first = BUF(3 * SASL_SECRET_MAX), .expected = BUF(EVP_MAX_MD_SIZE) };
	s->proved = !is_scram(s);
	if (!is_scram(s)) return;
	buf_add(&s->first, S("n="));
	add_name(&s->first, user);
	buf_add(&s->first, S(",r="));
	char random[24];
	random_fill(random, sizeof random);
	if (nonce.len != 0) buf_add(&s->first, nonce);
	else base64_add(&s->first, slice_from(random, sizeof random));
}

void sasl_client_done(struct sasl_client *s) {
	wipe(&s->first);
	wipe(&s->expected);
	*s = (struct sasl_client){ 0 };
}

bool sasl_client_first(struct sasl_client *s, struct buf *out) {
	if (s->mechanism == SMTP_MECHANISM_PLAIN) {
		buf_byte(out, '\0');
		buf_add(out, s->user);
		buf_byte(out, '\0');
		buf_add(out, s->password);
	} else if (is_scram(s)) {
		buf_add(out, S("n,,"));
		buf_add(out, buf_slice(&s->first));
	} else {
		return false;
	}
	s->step = 1;
	return true;
}

/* What the two challenges say ("Username:", or something else) has never mattered. */
static int answer_login(struct sasl_client *s, struct buf *out) {
	buf_add(out, s->step == 0 ? s->user : s->password);
	return s->step++ < 2 ? 0 : fail("a third question");
}

/* A server that does not take it with the command asks for it with an empty challenge. */
static int answer_plain(struct sasl_client *s, struct buf *out) {
	if (s->step++ > 1) return fail("a second question");
	sasl_client_first(s, out);
	s->step = 2;
	return 0;
}

struct hash {
	unsigned char at[EVP_MAX_MD_SIZE];
	size_t len;
};

static void hmac(const EVP_MD *md, struct slice key, struct slice text, struct hash *out) {
	unsigned len = 0;
	must(HMAC(md, key.at, (int)key.len, (const unsigned char *)text.at, text.len, out->at, &len) != NULL);
	out->len = len;
}

static struct slice hash_slice(const struct hash *h) { return slice_from((const char *)h->at, h->len); }

static int answer_cram(struct sasl_client *s, struct slice challenge, struct buf *out) {
	struct hash h;
	if (s->step++ != 0) return fail("a second question");
	hmac(digest_of(s), s->password, challenge, &h);
	buf_add(out, s->user);
	buf_byte(out, ' ');
	hex_add(out, hash_slice(&h));
	return 0;
}

/* "x=value": the value of the attribute that must come next. */
static bool take_attribute(struct slice *rest, char name, struct slice *value) {
	struct slice part = slice_cut(rest, ',');
	if (part.len < 2 || part.at[0] != name || part.at[1] != '=') return false;
	*value = slice_skip(part, 2);
	return true;
}

/* The proof goes out, what the server must know is kept. */
static int scram_prove(struct sasl_client *s, struct slice salt, uint64_t rounds, struct slice server_first,
		       struct slice nonce, struct buf *out) {
	const EVP_MD *md = digest_of(s);
	struct hash salted = { .len = (size_t)EVP_MD_get_size(md) }, client, stored, server, proof, expected;
	AUTO_BUF struct buf text = BUF(KIB(16));
	unsigned len = 0;
	if (PKCS5_PBKDF2_HMAC(s->password.at, (int)s->password.len, (const unsigned char *)salt.at, (int)salt.len,
			      (int)rounds, md, (int)salted.len, salted.at) != 1)
		return fail("the password cannot be salted");
	hmac(md, hash_slice(&salted), S("Client Key"), &client);
	hmac(md, hash_slice(&salted), S("Server Key"), &server);
	must(EVP_Digest(client.at, client.len, stored.at, &len, md, NULL) == 1);
	stored.len = len;
	buf_addf(out, "c=biws,r=%.*s", SLICE_ARG(nonce));
	buf_add(&text, buf_slice(&s->first));
	buf_byte(&text, ',');
	buf_add(&text, server_first);
	buf_byte(&text, ',');
	buf_add(&text, buf_slice(out));
	hmac(md, hash_slice(&stored), buf_slice(&text), &proof);
	hmac(md, hash_slice(&server), buf_slice(&text), &expected);
	for (size_t i = 0; i < proof.len; i++) proof.at[i] ^= client.at[i];
	buf_add(out, S(",p="));
	base64_add(out, hash_slice(&proof));
	buf_add(&s->expected, hash_slice(&expected));
	mem_wipe(&salted, sizeof salted);
	mem_wipe(&client, sizeof client);
	mem_wipe(&server, sizeof server);
	return text.full || out->full ? fail("too long") : 0;
}

static int scram_second(struct sasl_client *s, struct slice challenge, struct buf *out) {
	struct slice rest = challenge, nonce, salt64, rounds, own = buf_slice(&s->first);
	AUTO_BUF struct buf salt = BUF(SASL_NONCE_MAX);
	uint64_t n = 0;
	own = slice_skip(own, slice_search(own, S(",r=")) + 3);
	if (challenge.len > SASL_SECRET_MAX || !take_attribute(&rest, 'r', &nonce) ||
	    !take_attribute(&rest, 's', &salt64) || !take_attribute(&rest, 'i', &rounds))
		return fail("not the message of a SCRAM server");
	if (nonce.len <= own.len || nonce.len > SASL_NONCE_MAX || !slice_starts(nonce, own))
		return fail("an answer to somebody else (nonce)");
	if (!base64_read(&salt, salt64) || salt.len == 0) return fail("a broken salt");
	if (!slice_number(rounds, SASL_ROUNDS_MAX, &n) || n == 0)
		return fail("iteration count out of range (at most %d)", SASL_ROUNDS_MAX);
	return scram_prove(s, buf_slice(&salt), n, challenge, nonce, out);
}

static int scram_third(struct sasl_client *s, struct slice challenge) {
	struct slice rest = challenge, verifier;
	AUTO_BUF struct buf given = BUF(EVP_MAX_MD_SIZE);
	if (take_attribute(&rest, 'e', &verifier))
		return fail("the server says: %.*s", (int)MIN_OF(verifier.len, (size_t)100), verifier.at);
	rest = challenge;
	if (!take_attribute(&rest, 'v', &verifier) || !base64_read(&given, verifier))
		return fail("not the message of a SCRAM server");
	s->proved = given.len == s->expected.len && given.len != 0 &&
		    CRYPTO_memcmp(given.at, s->expected.at, given.len) == 0;
	return s->proved ? 0 : fail("the server does not know the password");
}

int sasl_client_answer(struct sasl_client *s, struct slice challenge, struct buf *out) {
	switch (s->mechanism) {
	case SMTP_MECHANISM_LOGIN: return answer_login(s, out);
	case SMTP_MECHANISM_PLAIN: return answer_plain(s, out);
	case SMTP_MECHANISM_CRAM_MD5: return answer_cram(s, challenge, out);
	default: break;
	}
	if (s->step == 1 && s->expected.len == 0) return s->step = 2, scram_second(s, challenge, out);
	if (s->step == 2) return s->step = 3, scram_third(s, challenge);
	return fail("a question out of turn");
}
