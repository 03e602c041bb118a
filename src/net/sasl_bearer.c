/* SPDX-License-Identifier: Apache-2.0 */
/* OAUTHBEARER (RFC 7628) and XOAUTH2, its older relative: a token in one message. A refused client is told so in JSON,
 * and the exchange ends with its next answer, whatever that says. */
#include "net/sasl_private.h"

/* Pairs "key=value" divided by ^A; the list ends with an empty one. */
static struct slice pair(struct slice pairs, struct slice key) {
	while (pairs.at != NULL) {
		struct slice one = slice_cut(&pairs, '\1');
		if (slice_starts_same(one, key)) return slice_from(one.at + key.len, one.len - key.len);
	}
	return SLICE_NONE;
}

static bool read_names(struct sasl *s, struct slice *bytes) {
	struct slice user;
	if (s->mechanism->word == SASL_XOAUTH2) {
		user = pair(*bytes, S("user="));
	} else {
		struct slice flag = slice_cut(bytes, ',');
		struct slice authzid = bytes->at != NULL ? slice_cut(bytes, ',') : SLICE_NONE;
		if (bytes->at == NULL || (!slice_eq(flag, S("n")) && !slice_eq(flag, S("y")))) return false;
		if (authzid.len != 0 && !slice_starts(authzid, S("a="))) return false;
		user = sasl_unescape(&s->mem, slice_skip(authzid, 2));
	}
	if (user.len != 0 && !sasl_clean(user)) return false;
	s->user = arena_slice(&s->mem, user);
	return true;
}

/* Settings and answers of other servers are told as they are, without what would end the text. */
static void member(struct buf *out, const char *name, struct slice value) {
	if (value.len == 0) return;
	buf_addf(out, "%s\"%s\":\"", out->len > 1 ? "," : "", name);
	for (size_t i = 0; i < value.len; i++)
		if ((unsigned char)value.at[i] >= ' ' && value.at[i] != '"' && value.at[i] != '\\')
			buf_byte(out, value.at[i]);
	buf_byte(out, '"');
}

/* RFC 7628 §3.2.2; XOAUTH2's is as Google wrote it down. */
static void add_error(struct sasl *s, struct slice status, struct buf *out) {
	bool older = s->mechanism->word == SASL_XOAUTH2;
	buf_byte(out, '{');
	if (older) {
		bool forbidden = slice_eq(status, S("insufficient_scope"));
		member(out, "status", forbidden ? S("403") : S("401"));
		member(out, "schemes", S("bearer"));
	} else {
		member(out, "status", status.len != 0 ? status : S("invalid_token"));
	}
	member(out, "scope", s->found.scope);
	if (!older) member(out, "openid-configuration", s->found.discovery);
	buf_byte(out, '}');
}

enum sasl_answer sasl_read_bearer(struct sasl *s, struct slice bytes, struct buf *challenge) {
	if (s->step > 1) return SASL_REFUSED;
	if (!read_names(s, &bytes)) return SASL_MALFORMED;
	struct slice token = pair(bytes, S("auth="));
	bool none = token.at != NULL && token.len == 0; /* he wants to know where tokens are had (RFC 7628 §4.2) */
	if (!none && !slice_starts_same(token, S("Bearer "))) return SASL_MALFORMED;
	token = none ? token : slice_trim(slice_skip(token, 7));
	for (size_t i = 0; i < token.len; i++)
		if (token.at[i] < 0x21 || token.at[i] > 0x7e) return SASL_MALFORMED;
	if (!none && token.len == 0) return SASL_MALFORMED;
	struct sasl_ask ask = { .means = SASL_BY_TOKEN, .mechanism = sasl_name(s), .user = s->user, .secret = token };
	enum sasl_answer answer = sasl_prove(s, &ask);
	if (answer != SASL_REFUSED) return answer;
	add_error(s, s->found.status, challenge);
	return SASL_MORE;
}
