/* SPDX-License-Identifier: Apache-2.0 */
/* A mechanism is a row: its name, its first challenge, and who reads each answer of the client. */
#include "net/sasl_private.h"
#include "base/encode.h"

/* Servers that stop at NUL would see another name than servers that do not. */
bool sasl_clean(struct slice s) {
	return s.len != 0 && slice_find(s, '\0') == s.len && utf8_valid(s);
}

enum sasl_answer sasl_prove(struct sasl *s, const struct sasl_ask *ask) {
	struct sasl_found *found = &s->found;
	*found = (struct sasl_found){ 0 };
	switch (s->ops->prove(s->owner, ask, &s->mem, found)) {
	case SASL_YES: return SASL_DONE;
	case SASL_NO: return SASL_REFUSED;
	case SASL_TOO_OFTEN: return SASL_LIMITED;
	default: return SASL_DEFERRED;
	}
}

static enum sasl_answer prove_password(struct sasl *s, struct slice password) {
	struct sasl_ask ask = { .means = SASL_BY_PASSWORD,
				.mechanism = sasl_name(s),
				.authzid = s->authzid,
				.user = s->user,
				.secret = password };
	return sasl_clean(password) ? sasl_prove(s, &ask) : SASL_MALFORMED;
}

static enum sasl_answer read_plain(struct sasl *s, struct slice bytes, struct buf *challenge UNUSED) {
	struct slice authzid = slice_cut(&bytes, '\0');
	if (bytes.at == NULL) return SASL_MALFORMED;
	struct slice user = slice_cut(&bytes, '\0');
	if (bytes.at == NULL || !sasl_clean(user) || (authzid.len != 0 && !sasl_clean(authzid))) return SASL_MALFORMED;
	s->user = arena_slice(&s->mem, user);
	if (!slice_same(authzid, user)) s->authzid = arena_slice(&s->mem, authzid);
	return prove_password(s, bytes);
}

static enum sasl_answer read_login(struct sasl *s, struct slice bytes, struct buf *challenge) {
	if (s->step != 1) return prove_password(s, bytes);
	if (!sasl_clean(bytes)) return SASL_MALFORMED;
	s->user = arena_slice(&s->mem, bytes);
	buf_add(challenge, S("Password:"));
	return SASL_MORE;
}

static enum sasl_answer read_external(struct sasl *s, struct slice bytes, struct buf *challenge UNUSED) {
	if (bytes.len != 0 && !sasl_clean(bytes)) return SASL_MALFORMED;
	s->authzid = arena_slice(&s->mem, bytes);
	return sasl_prove(s, &(struct sasl_ask){
				     .means = SASL_BY_CERTIFICATE, .mechanism = sasl_name(s), .authzid = s->authzid });
}

static const struct sasl_mechanism mechanisms[] = { /* the best first, as clients that take the first one like it */
	{ "SCRAM-SHA-256-PLUS", SASL_SCRAM_SHA_256_PLUS, sasl_read_scram, S("") },
	{ "SCRAM-SHA-1-PLUS", SASL_SCRAM_SHA_1_PLUS, sasl_read_scram, S("") },
	{ "SCRAM-SHA-256", SASL_SCRAM_SHA_256, sasl_read_scram, S("") },
	{ "SCRAM-SHA-1", SASL_SCRAM_SHA_1, sasl_read_scram, S("") },
	{ "PLAIN", SASL_PLAIN, read_plain, S("") },
	{ "LOGIN", SASL_LOGIN, read_login, S("Username:") },
	{ "EXTERNAL", SASL_EXTERNAL, read_external, S("") },
	{ "OAUTHBEARER", SASL_OAUTHBEARER, sasl_read_bearer, S("") },
	{ "XOAUTH2", SASL_XOAUTH2, sasl_read_bearer, S("") },
};

const char *sasl_name(const struct sasl *s) {
	if (s->judge != NULL) return s->judged;
	return s->mechanism != NULL ? s->mechanism->name : "";
}

void sasl_list(struct buf *out, unsigned offer, const char *before) {
	for (size_t i = 0; i < LEN(mechanisms); i++)
		if ((offer & mechanisms[i].word) != 0) buf_addf(out, "%s%s", before, mechanisms[i].name);
}

static const struct sasl_mechanism *find(struct slice name) {
	for (size_t i = 0; i < LEN(mechanisms); i++)
		if (slice_same(name, slice_of(mechanisms[i].name))) return &mechanisms[i];
	return NULL;
}

unsigned sasl_word(struct slice name) {
	const struct sasl_mechanism *m = find(name);
	return m != NULL ? m->word : 0;
}

unsigned sasl_offer(unsigned offer, bool tls, bool clear) {
	if (!tls) offer &= ~(unsigned)(SASL_BINDING | SASL_EXTERNAL);
	return tls || clear ? offer : offer & ~(unsigned)SASL_HAND_OVER;
}

bool sasl_begin(struct sasl *s, struct slice mechanism, unsigned offer, struct tls *tls, const struct sasl_ops *ops,
		void *owner) {
	const struct sasl_mechanism *m = find(mechanism);
	sasl_done(s);
	if (m == NULL || (offer & m->word) == 0) return false;
	*s = (struct sasl){ .mechanism = m, .ops = ops, .owner = owner, .tls = tls, .offer = offer };
	return true;
}

bool sasl_begin_judged(struct sasl *s, struct slice mechanism, struct slice offer, const struct sasl_judge *judge,
		       void *owner) {
	bool offered = false;
	for (struct slice one; (one = slice_word(&offer, " ")).len != 0;) offered |= slice_same(one, mechanism);
	sasl_done(s);
	if (!offered || mechanism.len >= SASL_NAME_MAX) return false;
	*s = (struct sasl){ .judge = judge, .owner = owner };
	for (size_t i = 0; i < mechanism.len; i++) s->judged[i] = ascii_upper(mechanism.at[i]);
	return true;
}

static struct slice in_base64(struct sasl *s, struct slice bytes) {
	AUTO_BUF struct buf text = BUF(SASL_LINE_MAX);
	base64_add(&text, bytes);
	return arena_slice(&s->mem, buf_slice(&text));
}

/* What goes to somebody else is base64 of a bounded length, and nothing beside it. */
static enum sasl_answer take_judged(struct sasl *s, struct slice response, struct slice *challenge) {
	AUTO_BUF struct buf bytes = BUF(SASL_LINE_MAX);
	if (slice_eq(response, S("*"))) return SASL_CANCELLED;
	if (slice_eq(response, S("="))) response = S("");
	if (response.len > SASL_LINE_MAX || (response.at != NULL && !base64_read(&bytes, response)))
		return SASL_NOT_BASE64;
	mem_wipe(bytes.at, bytes.room);
	s->step++;
	return s->judge->take(s->owner, s, response, challenge);
}

enum sasl_answer sasl_take(struct sasl *s, struct slice response, struct slice *challenge) {
	if (s->judge != NULL) return take_judged(s, response, challenge);
	if (response.at == NULL) {
		*challenge = in_base64(s, s->mechanism->first);
		return SASL_MORE;
	}
	if (slice_eq(response, S("*"))) return SASL_CANCELLED;
	if (slice_eq(response, S("="))) response = S("");
	AUTO_BUF struct buf bytes = BUF(SASL_LINE_MAX);
	AUTO_BUF struct buf out = BUF(SASL_LINE_MAX / 2);
	if (response.len > SASL_LINE_MAX || !base64_read(&bytes, response)) return SASL_NOT_BASE64;
	s->step++;
	enum sasl_answer answer = s->mechanism->read(s, slice_from(bytes.at != NULL ? bytes.at : "", bytes.len), &out);
	if (answer == SASL_MORE) *challenge = in_base64(s, buf_slice(&out));
	mem_wipe(bytes.at, bytes.room);
	return answer;
}

enum sasl_answer sasl_go_on(struct sasl *s, struct slice *challenge) {
	return s->judge->go_on(s->owner, s, challenge);
}

enum sasl_answer sasl_password(struct sasl *s, const char *mechanism, struct slice user, struct slice password,
			       const struct sasl_ops *ops, void *owner) {
	static const struct sasl_mechanism by_command[] = { { "LOGIN", SASL_LOGIN, NULL, S("") },
							    { "USER", SASL_LOGIN, NULL, S("") } };
	sasl_done(s);
	*s = (struct sasl){ .mechanism = &by_command[mechanism[0] == 'U'], .ops = ops, .owner = owner };
	s->user = arena_slice(&s->mem, user);
	return sasl_clean(user) && sasl_clean(password) ? prove_password(s, password) : SASL_REFUSED;
}

void sasl_done(struct sasl *s) {
	if (s->judge != NULL) s->judge->done(s);
	arena_done(&s->mem);
	*s = (struct sasl){ 0 };
}
