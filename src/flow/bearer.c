/* SPDX-License-Identifier: Apache-2.0 */
/* A token is good when its server says so now. A mail program logs in several times a minute with the same one, so a
 * good answer is remembered, never beyond the token's own end; bad ones are not: a token may become good. */
#include "flow/bearer.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/encode.h"
#include "base/fail.h"
#include "base/map.h"
#include "net/http.h"

#include <jansson.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

enum { KEY_LEN = 32, MEMORY_MOST = 4096, ANSWER_MOST = 64 << 10, ELEMENTS_MOST = 4000, USER_MOST = 320 };

struct remembered {
	int64_t until_ms, until_s;
	size_t len;
	char user[];
};
struct bearer {
	struct bearer_params params;
	unsigned char key[KEY_LEN];
	pthread_mutex_t lock; /* of memory */
	struct map memory;    /* HMAC of a token -> struct remembered */
};

struct bearer *bearer_new(const struct bearer_params *params) {
	struct bearer *b = mem_get(sizeof *b);
	b->params = *params;
	if (RAND_bytes(b->key, sizeof b->key) != 1) die_now("no random numbers");
	pthread_mutex_init(&b->lock, NULL);
	return b;
}

void bearer_free(struct bearer **bp) {
	struct bearer *b = TAKE(*bp);
	if (b == NULL) return;
	map_done(&b->memory, free);
	pthread_mutex_destroy(&b->lock);
	mem_wipe(b->key, sizeof b->key);
	free(b);
}

const struct bearer_params *bearer_params_of(const struct bearer *b) {
	return &b->params;
}

/* The memory. */

static struct slice name_of(const struct bearer *b, struct slice token, unsigned char mac[static EVP_MAX_MD_SIZE]) {
	unsigned len = 0;
	if (HMAC(EVP_sha256(), b->key, KEY_LEN, (const unsigned char *)token.at, token.len, mac, &len) == NULL)
		return SLICE_NONE;
	return slice_from(mac, len);
}

static bool recall(struct bearer *b, struct slice name, struct arena *mem, struct bearer_found *out) {
	pthread_mutex_lock(&b->lock);
	const struct remembered *r = name.at != NULL ? map_get(&b->memory, name) : NULL;
	bool good = r != NULL && clock_ms() < r->until_ms && wall_us() / 1000000 < r->until_s;
	if (good)
		*out = (struct bearer_found){ .user = arena_slice(mem, slice_from(r->user, r->len)),
					      .until_s = r->until_s };
	pthread_mutex_unlock(&b->lock);
	return good;
}

static void remember(struct bearer *b, struct slice name, const struct bearer_found *found) {
	if (name.at == NULL || b->params.memory_ms <= 0) return;
	struct remembered *r = mem_get(sizeof *r + found->user.len);
	*r = (struct remembered){ deadline_in(b->params.memory_ms), found->until_s, found->user.len };
	memcpy(r->user, found->user.at, found->user.len);
	pthread_mutex_lock(&b->lock);
	if (b->memory.count >= MEMORY_MOST) map_done(&b->memory, free); /* rare, and costs one question each */
	free(map_put(&b->memory, name, r));
	pthread_mutex_unlock(&b->lock);
}

/* The answer. */

static struct slice text_of(const json_t *v) {
	return json_is_string(v) ? slice_from(json_string_value(v), json_string_length(v)) : SLICE_NONE;
}

static bool listed(struct bearer_list list, struct slice text) {
	for (size_t i = 0; i < list.count; i++)
		if (slice_eq(list.at[i], text)) return true;
	return false;
}

/* A text, or a list of texts (RFC 7519 §4.1.3), of which one is in the list. */
static bool one_listed(struct bearer_list list, const json_t *v) {
	bool found = json_is_string(v) && listed(list, text_of(v));
	for (size_t i = 0; json_is_array(v) && i < json_array_size(v); i++)
		found = found || listed(list, text_of(json_array_get(v, i)));
	return found;
}

/* Words divided by blanks (RFC 6749 §3.3); some servers give a list. */
static bool has_scope(const json_t *v, struct slice wanted) {
	struct slice rest = text_of(v);
	for (struct slice word; (word = slice_word(&rest, " ")).len != 0;)
		if (slice_eq(word, wanted)) return true;
	return one_listed((struct bearer_list){ &wanted, 1 }, json_is_array(v) ? v : NULL);
}

static bool is_active(const struct bearer_params *p, const json_t *answer) {
	bool own = p->active_attribute.len == 0;
	const json_t *active = json_object_get(answer, "active");
	if (json_is_false(active)) return false;
	if (own) return json_is_true(active) || p->way == BEARER_AUTH;
	char name[256];
	snprintf(name, sizeof name, "%.*s", SLICE_ARG(p->active_attribute));
	const json_t *v = json_object_get(answer, name);
	if (p->active_value.len == 0) return v != NULL && !json_is_false(v) && !json_is_null(v);
	if (json_is_boolean(v)) return slice_same(p->active_value, json_is_true(v) ? S("true") : S("false"));
	return json_is_string(v) && slice_eq(text_of(v), p->active_value);
}

static struct slice user_of(const struct bearer_params *p, const json_t *answer, struct arena *mem) {
	for (size_t i = 0; i < p->user_attributes.count; i++) {
		const char *name = arena_text(mem, p->user_attributes.at[i]);
		struct slice user = text_of(json_object_get(answer, name));
		bool clean = user.len != 0 && user.len <= USER_MOST && utf8_valid(user);
		for (size_t k = 0; clean && k < user.len; k++)
			clean = (unsigned char)user.at[k] > ' ' && user.at[k] != 127;
		if (!clean) continue;
		/* an address that nobody has proved is anybody's (OpenID Connect Core §5.1) */
		if (strcmp(name, "email") == 0 && json_is_false(json_object_get(answer, "email_verified"))) continue;
		return arena_slice(mem, user);
	}
	return SLICE_NONE;
}

/* A number of seconds; 0: the answer does not say. Some servers write them as text. */
static int64_t seconds_of(const json_t *answer, const char *name) {
	const json_t *v = json_object_get(answer, name);
	uint64_t n = 0;
	if (json_is_number(v)) {
		double d = json_number_value(v);
		return d >= 1 && d < 9e15 ? (int64_t)d : 1;
	}
	if (json_is_string(v) && slice_number(text_of(v), INT64_MAX, &n)) return MAX_OF((int64_t)n, 1);
	return v == NULL || json_is_null(v) ? 0 : 1; /* what cannot be read has long ended */
}

static enum bearer_verdict refuse(struct bearer_found *out, const char *status, const char *why) {
	*out = (struct bearer_found){ .status = status, .why = why };
	return BEARER_NO;
}

static enum bearer_verdict judge(const struct bearer_params *p, const json_t *answer, int64_t now_s, struct arena *mem,
				 struct bearer_found *out) {
	static const char invalid[] = "invalid_token";
	if (!is_active(p, answer)) return refuse(out, invalid, "it is not active");
	int64_t end = seconds_of(answer, "exp"), begin = seconds_of(answer, "nbf");
	if (end != 0 && end <= now_s) return refuse(out, invalid, "it has expired");
	if (begin > now_s + 60) return refuse(out, invalid, "it is not valid yet");
	if (p->issuers.count != 0 && !listed(p->issuers, text_of(json_object_get(answer, "iss"))))
		return refuse(out, invalid, "its issuer is not in sasl_oauth2_issuers");
	if (p->audiences.count != 0 && !one_listed(p->audiences, json_object_get(answer, "aud")))
		return refuse(out, invalid, "it is for another audience than sasl_oauth2_audience");
	for (size_t i = 0; i < p->scopes.count; i++)
		if (!has_scope(json_object_get(answer, "scope"), p->scopes.at[i]))
			return refuse(out, "insufficient_scope", "it lacks a scope of sasl_oauth2_scope");
	struct slice user = user_of(p, answer, mem);
	if (user.len == 0) return refuse(out, invalid, "none of sasl_oauth2_username_attribute is in the answer");
	*out = (struct bearer_found){ .user = user, .until_s = end != 0 ? end : INT64_MAX };
	return BEARER_YES;
}

enum bearer_verdict bearer_judge(const struct bearer_params *p, int status, struct slice body, int64_t now_s,
				 struct arena *mem, struct bearer_found *out) {
	/* who shows a bad token where it opens the door is not let in: that is no trouble of ours */
	if (p->way != BEARER_POST && (status == 400 || status == 401 || status == 403))
		return refuse(out, "invalid_token", "its server does not take it");
	if (status != 200)
		return fail("the server answers with HTTP status %d%s", status,
			    status == 401 ? " (are sasl_oauth2_client_id and its secret right?)" : ""),
		       BEARER_LATER;
	size_t elements = 0;
	for (size_t i = 0; i < body.len; i++)
		elements += body.at[i] == ',' || body.at[i] == '{' || body.at[i] == '[';
	json_error_t error;
	json_t *answer =
		elements > ELEMENTS_MOST ? NULL : json_loadb(body.at, body.len, JSON_REJECT_DUPLICATES, &error);
	enum bearer_verdict verdict = BEARER_LATER;
	if (json_is_object(answer)) verdict = judge(p, answer, now_s, mem, out);
	else fail("the server's answer is no JSON object");
	json_decref(answer);
	return verdict;
}

enum bearer_verdict bearer_ask(struct bearer *b, struct slice token, struct arena *mem, struct bearer_found *out) {
	const struct bearer_params *p = &b->params;
	unsigned char mac[EVP_MAX_MD_SIZE];
	if (token.len == 0) return refuse(out, "invalid_token", "there is none");
	struct slice name = name_of(b, token, mac);
	if (recall(b, name, mem, out)) return BEARER_YES;
	AUTO_BUF struct buf secret = BUF(KIB(64)); /* the form, or the URL */
	struct http_ask ask = {
		.url = p->url, .ca_file = p->ca_file, .timeout_ms = p->timeout_ms, .most = ANSWER_MOST
	};
	if (p->way != BEARER_AUTH && p->client_id != NULL) {
		ask.user = p->client_id;
		ask.password = p->client_secret;
	}
	if (p->way == BEARER_POST) {
		http_form_add(&secret, "token", token);
		http_form_add(&secret, "token_type_hint", S("access_token"));
		ask.form = buf_slice(&secret);
	} else if (p->way == BEARER_GET) { /* the URL ends where the token belongs, as Dovecot's does */
		AUTO_BUF struct buf encoded = BUF(KIB(48));
		http_form_add(&encoded, "", token);
		buf_addf(&secret, "%s%.*s", p->url, SLICE_ARG(slice_skip(buf_slice(&encoded), 1)));
		mem_wipe(encoded.at, encoded.len);
		ask.url = buf_text(&secret);
	} else {
		ask.bearer = token;
	}
	struct http_answer answer;
	int r = secret.full ? fail("the token is too long") : http_call(&ask, mem, &answer);
	mem_wipe(secret.at, secret.len);
	enum bearer_verdict verdict = BEARER_LATER;
	if (r == 0) verdict = bearer_judge(p, answer.status, answer.body, wall_us() / 1000000, mem, out);
	if (verdict == BEARER_YES) remember(b, name, out);
	if (verdict == BEARER_LATER) (void)fail_add("sasl_oauth2_introspection_url");
	return verdict;
}
