/* SPDX-License-Identifier: Apache-2.0 */
/* SCRAM as its server speaks it (RFC 5802 §5 to §7). Here is the grammar, the nonce and the channel binding; the
 * verifier stays with whoever answers SASL_BY_SALT and SASL_BY_PROOF, which needs no memory between the two. */
#include "net/sasl_private.h"
#include "net/tls.h"
#include "base/encode.h"

enum { NONCE_BYTES = 18, NONCE_MAX = 512, BINDING_MAX = 256 };

struct slice sasl_unescape(struct arena *mem, struct slice name) {
	AUTO_BUF struct buf text = BUF(SASL_LINE_MAX);
	for (size_t i = 0; i < name.len; i++) {
		struct slice rest = slice_skip(name, i);
		if (rest.at[0] != '=') {
			buf_byte(&text, rest.at[0]);
		} else if (slice_starts(rest, S("=2C")) || slice_starts(rest, S("=3D"))) {
			buf_byte(&text, rest.at[2] == 'C' ? ',' : '=');
			i += 2;
		} else {
			return SLICE_NONE;
		}
	}
	return arena_slice(mem, buf_slice(&text));
}

/* "n=value" of the next attribute; at == NULL: another one stands there. */
static struct slice attribute(struct slice *rest, const char *name) {
	struct slice part = rest->at != NULL ? slice_cut(rest, ',') : SLICE_NONE;
	return part.len >= 2 && slice_starts(part, slice_of(name)) ? slice_from(part.at + 2, part.len - 2) : SLICE_NONE;
}

/* The flag of the GS2 header against what was offered and chosen. */
static bool binding_fits(const struct sasl *s, struct slice flag) {
	bool plus = (s->mechanism->word & SASL_BINDING) != 0;
	if (slice_starts(flag, S("p="))) return plus;
	if (plus) return false;
	return slice_eq(flag, S("n")) || (slice_eq(flag, S("y")) && (s->offer & SASL_BINDING) == 0);
}

static bool is_sha256(const struct sasl *s) {
	return (s->mechanism->word & (SASL_SCRAM_SHA_256 | SASL_SCRAM_SHA_256_PLUS)) != 0;
}

static bool printable(struct slice s) {
	for (size_t i = 0; i < s.len; i++)
		if (s.at[i] < 0x21 || s.at[i] > 0x7e || s.at[i] == ',') return false;
	return s.len != 0 && s.len <= NONCE_MAX;
}

static enum sasl_answer read_first(struct sasl *s, struct slice bytes, struct buf *challenge) {
	struct slice rest = bytes, flag = slice_cut(&rest, ',');
	if (rest.at == NULL) return SASL_MALFORMED;
	struct slice authzid = slice_cut(&rest, ',');
	if (rest.at == NULL || (authzid.len != 0 && !slice_starts(authzid, S("a=")))) return SASL_MALFORMED;
	s->header = arena_slice(&s->mem, slice_head(bytes, bytes.len - rest.len));
	s->first = arena_slice(&s->mem, rest);
	struct slice user = attribute(&rest, "n="), nonce = attribute(&rest, "r=");
	if (user.at == NULL || nonce.at == NULL || !printable(nonce))
		return SASL_MALFORMED; /* also "m=", which nobody knows */
	s->user = sasl_unescape(&s->mem, user);
	s->authzid = sasl_unescape(&s->mem, slice_skip(authzid, 2));
	if (!sasl_clean(s->user) || (authzid.len > 2 && !sasl_clean(s->authzid)))
		return SASL_MALFORMED; /* GNU SASL sends an empty a= */
	if (slice_same(s->authzid, s->user)) s->authzid = SLICE_NONE;
	if (!binding_fits(s, flag)) return SASL_REFUSED;
	struct sasl_found found = { 0 };
	struct sasl_ask ask = {
		.means = SASL_BY_SALT, .mechanism = sasl_name(s), .user = s->user, .sha256 = is_sha256(s)
	};
	enum sasl_verdict verdict = s->ops->prove(s->owner, &ask, &s->mem, &found);
	if (verdict != SASL_YES)
		return verdict == SASL_TOO_OFTEN ? SASL_LIMITED : verdict == SASL_NO ? SASL_REFUSED : SASL_DEFERRED;
	unsigned char random[NONCE_BYTES];
	AUTO_BUF struct buf own = BUF(64);
	random_fill(random, sizeof random);
	base64_add(&own, slice_from(random, sizeof random));
	s->nonce = arena_fmt(&s->mem, "%.*s%s", SLICE_ARG(nonce), buf_text(&own));
	buf_addf(challenge, "r=%.*s,s=", SLICE_ARG(s->nonce));
	base64_add(challenge, found.salt);
	buf_addf(challenge, ",i=%llu", (unsigned long long)found.rounds);
	s->second = arena_slice(&s->mem, buf_slice(challenge));
	return SASL_MORE;
}

/* What c= must say: the header, and for -PLUS what only the two ends of this TLS connection know. */
static bool binding_of(struct sasl *s, struct buf *out) {
	struct slice header = s->header, flag = slice_cut(&header, ',');
	AUTO_BUF struct buf data = BUF(BINDING_MAX + SASL_LINE_MAX);
	buf_add(&data, s->header);
	if (slice_eq(flag, S("p=tls-exporter"))) {
		if (s->tls == NULL || !tls_binding_exporter(s->tls, &data)) return false;
	} else if (slice_eq(flag, S("p=tls-server-end-point"))) {
		if (s->tls == NULL || !tls_binding_end_point(s->tls, &data)) return false;
	} else if (slice_starts(flag, S("p="))) {
		return false;
	}
	return base64_add(out, buf_slice(&data));
}

static enum sasl_answer read_last(struct sasl *s, struct slice bytes, struct buf *challenge) {
	size_t end = slice_search(bytes, S(",p="));
	struct slice rest = slice_head(bytes, end), proof = slice_skip(bytes, end + 3);
	struct slice binding = attribute(&rest, "c="), nonce = attribute(&rest, "r=");
	if (end == bytes.len || binding.at == NULL || nonce.at == NULL) return SASL_MALFORMED;
	AUTO_BUF struct buf expected = BUF(SASL_LINE_MAX * 2), given = BUF(64);
	if (!base64_read(&given, proof) || given.len != (is_sha256(s) ? 32 : 20)) return SASL_MALFORMED;
	if (!binding_of(s, &expected) || !slice_eq(binding, buf_slice(&expected)) || !slice_eq(nonce, s->nonce))
		return SASL_REFUSED;
	struct slice message = arena_fmt(&s->mem, "%.*s,%.*s,%.*s", SLICE_ARG(s->first), SLICE_ARG(s->second),
					 SLICE_ARG(slice_head(bytes, end)));
	struct sasl_ask ask = { .means = SASL_BY_PROOF,
				.mechanism = sasl_name(s),
				.authzid = s->authzid,
				.user = s->user,
				.secret = buf_slice(&given),
				.message = message,
				.sha256 = is_sha256(s) };
	enum sasl_answer answer = sasl_prove(s, &ask);
	if (answer != SASL_DONE) return answer;
	buf_add(challenge, S("v="));
	base64_add(challenge, s->found.signature);
	return SASL_MORE;
}

enum sasl_answer sasl_read_scram(struct sasl *s, struct slice bytes, struct buf *challenge) {
	if (s->step == 1) return read_first(s, bytes, challenge);
	if (s->step == 2) return read_last(s, bytes, challenge);
	/* The proof is seen, and the client has checked who we are: its last word carries nothing. RFC 5802 wants it
	 * empty; PHP's Net_SMTP, so every Roundcube of Debian 13, says "NOOP" here. */
	return SASL_DONE;
}
