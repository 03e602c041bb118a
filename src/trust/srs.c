/* SPDX-License-Identifier: Apache-2.0 */
/* The form is that of libsrs2 and PostSRSd, since addresses written by one must come back through the other: HMAC-SHA1
 * over the lower-case parts, in base64, cut short; days modulo 1024 in base32. Case is lost on the way in the wild, so
 * hashes are compared without it: four characters keep about 20 bits, which is enough against guessing at a door that
 * counts errors. */
#include "trust/srs.h"

#include "base/clock.h"
#include "base/encode.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

enum { DAYS_ROUND = 1024, HASH_TEXT = 28 /* SHA-1 in base64 */, ADDRESS_MAX = 254, TAG = 4 };
static const char base32[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

static bool is_separator(char c) {
	return c == '=' || c == '+' || c == '-';
}

static bool has_tag(struct slice local, char digit) {
	return local.len > TAG + 1 && slice_starts_same(local, S("SRS")) && local.at[3] == digit &&
	       is_separator(local.at[TAG]);
}

static void split(struct slice address, struct slice *local, struct slice *domain) {
	size_t at = slice_find_last(address, '@');
	*local = slice_head(address, at);
	*domain = slice_skip(address, at + 1);
}

bool srs_is(struct slice address) {
	struct slice local, domain;
	split(address, &local, &domain);
	return has_tag(local, '0') || has_tag(local, '1');
}

/* out: HASH_TEXT characters and a NUL. */
static void hash(struct slice secret, const struct slice *parts, size_t count, char out[HASH_TEXT + 1]) {
	AUTO_BUF struct buf text = BUF(KIB(8)), coded = BUF(64);
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	for (size_t i = 0; i < count; i++)
		for (size_t k = 0; k < parts[i].len; k++) buf_byte(&text, ascii_lower(parts[i].at[k]));
	must(HMAC(EVP_sha1(), secret.at, (int)secret.len, (const unsigned char *)buf_text(&text), text.len, digest,
		  &len) != NULL);
	base64_add(&coded, slice_from(digest, len));
	must(coded.len == HASH_TEXT);
	memcpy(out, buf_text(&coded), HASH_TEXT + 1);
}

static bool hash_good(const struct srs_params *p, struct slice given, const struct slice *parts, size_t count) {
	char lower[HASH_TEXT], want[HASH_TEXT + 1];
	unsigned least = p->hash_min != 0 ? p->hash_min : 4;
	bool good = false;
	if (given.len < least || given.len > HASH_TEXT) return false;
	for (size_t k = 0; k < given.len; k++) lower[k] = ascii_lower(given.at[k]);
	for (size_t i = 0; i < p->secrets_count; i++) {
		hash(p->secrets[i], parts, count, want);
		for (size_t k = 0; k < HASH_TEXT; k++) want[k] = ascii_lower(want[k]);
		good = CRYPTO_memcmp(want, lower, given.len) == 0 || good;
	}
	return good;
}

static void hash_add(const struct srs_params *p, struct buf *out, const struct slice *parts, size_t count) {
	char text[HASH_TEXT + 1];
	hash(p->secrets[0], parts, count, text);
	buf_add(out, slice_from(text, MIN_OF(p->hash_length != 0 ? p->hash_length : 4u, (unsigned)HASH_TEXT)));
}

/* Not printf: strangers' addresses may have NULs. */
static void add_all(struct buf *out, const struct slice *parts, size_t count) {
	for (size_t i = 0; i < count; i++) buf_add(out, parts[i]);
}
#define ADD(out, ...) \
	add_all(out, (const struct slice[]){ __VA_ARGS__ }, \
		sizeof(const struct slice[]){ __VA_ARGS__ } / sizeof(struct slice))

static unsigned today(const struct srs_params *p) {
	return (unsigned)((p->now_s != 0 ? p->now_s : wall_s()) / 86400 % DAYS_ROUND);
}

static bool stamp_read(struct slice text, unsigned *out) {
	unsigned n = 0;
	for (size_t i = 0; i < text.len; i++) {
		char c = ascii_upper(text.at[i]);
		const char *digit = c != '\0' ? strchr(base32, c) : NULL;
		if (digit == NULL) return false;
		n = n * 32 + (unsigned)(digit - base32);
	}
	*out = n;
	return text.len == 2;
}

/* One day ahead is somebody else's clock. */
static bool stamp_good(const struct srs_params *p, struct slice text) {
	unsigned then;
	if (!stamp_read(text, &then)) return false;
	unsigned age = (today(p) + 1 + DAYS_ROUND - then) % DAYS_ROUND;
	return p->max_age_days == 0 || age <= p->max_age_days + 1;
}

static bool is_excluded(const struct srs_params *p, struct slice domain) {
	if (slice_same(domain, p->domain)) return true;
	for (size_t i = 0; i < p->excluded_count; i++) {
		struct slice e = p->excluded[i];
		if (slice_starts(e, S(".")) ? domain.len > e.len && slice_ends_same(domain, e) : slice_same(domain, e))
			return true;
	}
	return false;
}

/* The parts behind "SRS0=": hash, stamp, domain, local; behind "SRS1=": hash, domain, rest. False: some are missing. */
static bool parts_of(struct slice local, struct slice *parts, size_t count) {
	struct slice rest = slice_skip(local, TAG + 1);
	for (size_t i = 0; i + 1 < count; i++) {
		parts[i] = slice_cut(&rest, '=');
		if (parts[i].len == 0 || rest.at == NULL) return false;
	}
	parts[count - 1] = rest;
	return rest.len != 0;
}

static enum srs_answer finish(const struct buf *made, struct arena *mem, struct slice *out) {
	if (made->full || made->len > ADDRESS_MAX) return SRS_TOO_LONG;
	*out = arena_slice(mem, buf_slice(made));
	return SRS_DONE;
}

/* "SRS1=HHHH=first forwarder=what it wrote behind SRS0@ours": bounces go to it directly, whoever else is between. */
static enum srs_answer forward_again(const struct srs_params *p, struct slice domain, struct slice rest,
				     struct arena *mem, struct slice *out) {
	AUTO_BUF struct buf made = BUF(KIB(1));
	const struct slice parts[] = { domain, rest };
	buf_addf(&made, "SRS1%c", p->separator != '\0' ? p->separator : '=');
	hash_add(p, &made, parts, LEN(parts));
	ADD(&made, S("="), domain, S("="), rest, S("@"), p->domain);
	return finish(&made, mem, out);
}

/* In the place of a domain: PostSRSd keeps the sender in its database. No mail comes from there. */
static const struct slice database = { "1", 1 };

enum srs_answer srs_forward(const struct srs_params *p, struct slice sender, struct arena *mem, struct slice *out) {
	struct slice local, domain, parts[3];
	split(sender, &local, &domain);
	if (local.len == 0 || domain.len == 0 || slice_find(domain, '=') != domain.len || is_excluded(p, domain) ||
	    slice_eq(domain, database))
		return SRS_UNCHANGED;
	if (sender.len > ADDRESS_MAX) return SRS_TOO_LONG;
	must(p->secrets_count != 0);
	if (has_tag(local, '0')) return forward_again(p, domain, slice_skip(local, TAG), mem, out);
	if (has_tag(local, '1') && parts_of(local, parts, LEN(parts)))
		return forward_again(p, parts[1], parts[2], mem, out);
	AUTO_BUF struct buf made = BUF(KIB(1));
	unsigned day = today(p);
	const char stamp[] = { base32[day / 32], base32[day % 32] };
	const struct slice hashed[] = { slice_from(stamp, sizeof stamp), domain, local };
	buf_addf(&made, "SRS0%c", p->separator != '\0' ? p->separator : '=');
	hash_add(p, &made, hashed, LEN(hashed));
	ADD(&made, S("="), hashed[0], S("="), domain, S("="), local, S("@"), p->domain);
	return finish(&made, mem, out);
}

enum srs_answer srs_reverse(const struct srs_params *p, struct slice address, struct arena *mem, struct slice *out) {
	AUTO_BUF struct buf made = BUF(KIB(1));
	struct slice local, domain, parts[4];
	split(address, &local, &domain);
	bool first = has_tag(local, '0');
	if ((!first && !has_tag(local, '1')) || !slice_same(domain, p->domain)) return SRS_UNCHANGED;
	if (!parts_of(local, parts, first ? 4 : 3)) return SRS_FORGED;
	if (first && slice_eq(parts[2], database)) return SRS_UNCHANGED;
	if (address.len > KIB(1) || !hash_good(p, parts[0], parts + 1, first ? 3 : 2)) return SRS_FORGED;
	if (first && !stamp_good(p, parts[1])) return SRS_EXPIRED;
	if (first) ADD(&made, parts[3], S("@"), parts[2]);
	else ADD(&made, S("SRS0"), parts[2], S("@"), parts[1]);
	return finish(&made, mem, out);
}
