/* SPDX-License-Identifier: Apache-2.0 */
/* vault: keys and password hashes. Faces nobody; answers "is this password right" and "sign this". */
#include "base/fail.h"
#include "base/generation.h"
#include "base/log.h"
#include "flow/ask.h"
#include "net/remote_key.h"
#include "net/seal.h"
#include "role/boot.h"
#include "role/vault_app.h"
#include "role/vault_dkim.h"
#include "user/secret.h"

enum { STOP_MS = 3000, WORKERS = 8 };

struct keys {
	struct generation generation;
	struct private_key *at[IDENTITIES_MAX];       /* of the server */
	size_t count;
	struct private_key *client[IDENTITIES_MAX];   /* of the ways out */
	size_t client_count;
};

struct vault {
	struct vault_dkim *dkim; /* first: vault_dkim.h */
	struct pool *pool;
	struct secrets *secrets;
	struct current keys;
	int dials[LINK_NAMES];
	struct link_service to_edge, to_core, to_relay;
};

static void keys_destroy(struct generation *g) {
	struct keys *k = (struct keys *)g;
	for (size_t i = 0; i < k->count; i++) private_key_free(&k->at[i]);
	for (size_t i = 0; i < k->client_count; i++) private_key_free(&k->client[i]);
	free(k);
}

static int answer_password(void *ctx, struct link_question *q) {
	struct vault *v = ctx;
	struct password_ask ask;
	password_ask_unpack(&q->in, &ask);
	if (q->in.bad) return fail("broken question");
	int r = secret_verify(v->secrets, arena_lower(q->mem, ask.login), ask.password);
	mem_wipe((void *)(uintptr_t)ask.password.at, ask.password.len);
	if (r < 0) return r;
	password_answer_pack(q->answer, &(struct password_answer){ .right = r == 0 });
	return 0;
}

static int answer_scram(void *ctx, struct link_question *q) {
	struct vault *v = ctx;
	struct scram_ask ask;
	struct scram_answer answer = { 0 };
	unsigned char salt[SCRAM_SALT];
	AUTO_BUF struct buf signature = BUF(SCRAM_SIGNATURE_MAX);
	scram_ask_unpack(&q->in, &ask);
	if (q->in.bad) return fail("broken question");
	struct slice account = arena_lower(q->mem, ask.account);
	int r;
	if (ask.proof.len == 0) {
		r = secret_scram_salt(v->secrets, account, ask.sha256, salt, &answer.rounds);
		answer.salt = slice_from(salt, sizeof salt);
	} else {
		r = secret_scram_prove(v->secrets, account, ask.sha256, ask.proof, ask.message, &signature);
		answer.right = r == 0;
		answer.signature = buf_slice(&signature);
	}
	if (r < 0) return r;
	scram_answer_pack(q->answer, &answer);
	return 0;
}

static int sign_with(struct vault *v, struct link_question *q, bool client) {
	struct sign_ask ask;
	sign_ask_unpack(&q->in, &ask);
	struct unwire in = UNWIRE(ask.request, q->mem);
	struct remote_sign_request request;
	remote_sign_request_unpack(&in, &request);
	if (q->in.bad || in.bad) return fail("broken question");
	AUTO_BUF struct buf signature = BUF(REMOTE_SIGNATURE_MAX);
	struct keys *keys = (struct keys *)current_hold(&v->keys);
	size_t count = keys == NULL ? 0 : client ? keys->client_count : keys->count;
	int r = ask.key < count ? private_key_sign((client ? keys->client : keys->at)[ask.key], &request, &signature)
				: fail("no key %llu", (unsigned long long)ask.key);
	generation_drop(keys != NULL ? &keys->generation : NULL);
	if (r < 0) say(L_WARN, "vault", "sign: %s", fail_text());
	sign_answer_pack(q->answer, &(struct sign_answer){ .signature = r < 0 ? SLICE_NONE : buf_slice(&signature) });
	return 0;
}

/* Whoever takes over edge cannot speak as our client to others, and who takes over relay not as this server. */
static int answer_sign(void *ctx, struct link_question *q) {
	return sign_with(ctx, q, false);
}

static int answer_sign_client(void *ctx, struct link_question *q) {
	return sign_with(ctx, q, true);
}

static int answer_secret(void *ctx, struct link_question *q) {
	struct vault *v = ctx;
	struct secret_ask ask;
	secret_ask_unpack(&q->in, &ask);
	if (q->in.bad) return fail("broken question");
	int r;
	if (ask.password.len == 0) r = secret_delete(v->secrets, ask.account);
	else if (ask.is_hash) r = secret_set_hash(v->secrets, ask.account, ask.password);
	else r = secret_set(v->secrets, ask.account, ask.password);
	mem_wipe((void *)(uintptr_t)ask.password.at, ask.password.len);
	if (r < 0) return r;
	secret_answered_pack(q->answer, &(struct secret_answered){ .answer = r });
	return 0;
}

static int answer_app(void *ctx, struct link_question *q) {
	struct vault *v = ctx;
	struct app_ask ask;
	struct app_answer answer;
	app_ask_unpack(&q->in, &ask);
	if (q->in.bad) return fail("broken question");
	if (vault_app(v->secrets, &ask, q->mem, &answer) < 0)
		answer = (struct app_answer){ .answer = -1, .why = slice_of(fail_text()) };
	app_answer_pack(q->answer, &answer);
	return 0;
}

/* edge may have checked and signed; only core, where operators ask, may change. */
static const struct link_rule edge_rules[] = {
	{ ASK_PASSWORD, "password", answer_password },
	{ ASK_SCRAM, "SCRAM", answer_scram },
	{ ASK_SIGN, "sign", answer_sign },
	{ ASK_DKIM_KEYS, "DKIM keys", answer_dkim_keys }, /* copies that stay here (dkim_sign_local) */
	{ ASK_DKIM_SIGN, "DKIM sign", answer_dkim_sign },
};
static const struct link_rule relay_rules[] = {
	{ ASK_SIGN, "sign", answer_sign_client },
	{ ASK_DKIM_KEYS, "DKIM keys", answer_dkim_keys },
	{ ASK_DKIM_SIGN, "DKIM sign", answer_dkim_sign },
	{ ASK_DKIM_LIST, "DKIM list", answer_dkim_list },
	{ ASK_DKIM_SEEN, "DKIM seen", answer_dkim_seen },
};
static const struct link_rule core_rules[] = {
	{ ASK_SECRET, "secret", answer_secret },
	{ ASK_PASSWORD, "password", answer_password },
	{ ASK_APP, "app passwords", answer_app },
	{ ASK_DKIM_LIST, "DKIM list", answer_dkim_list },
	{ ASK_DKIM_CHANGE, "DKIM change", answer_dkim_change },
};

static int reload(void *self, struct boot *b) {
	struct vault *v = self;
	struct keys *k = mem_get(sizeof *k);
	k->generation.destroy = keys_destroy;
	for (size_t i = 0; i < b->identity_count; i++) {
		if (private_key_load(slice_of(b->identities[i]), &k->at[i]) < 0) {
			keys_destroy(&k->generation);
			return fail_add("TLS key");
		}
		k->count++;
	}
	for (size_t i = 0; i < b->client_identity_count; i++) {
		if (private_key_load(slice_of(b->client_identities[i].pem), &k->client[i]) < 0) {
			keys_destroy(&k->generation);
			return fail_add("TLS client key");
		}
		k->client_count++;
	}
	current_set(&v->keys, &k->generation);
	secrets_app_only(v->secrets, conf_bool(conf_main(b->conf), SET_app_passwords_required));
	vault_dkim_set(v->dkim, conf_main(b->conf), buf_slice(&b->dkim));
	return 0;
}

static int start(struct boot *b, void **self) {
	struct vault *v = mem_get(sizeof *v);
	v->keys = CURRENT_NONE;
	AUTO_BUF struct buf dir = BUF(PATH_MAX);
	buf_addf(&dir, "%s/vault", b->dir);
	if (secrets_open(buf_text(&dir), &v->secrets) < 0) return fail_add("password database");
	if (vault_dkim_open(b->dir, &v->dkim) < 0 || reload(v, b) < 0) return -1;
	for (size_t i = 0; i < LINK_NAMES; i++) v->dials[i] = TAKE_FD(b->links[i]);
	v->pool = pool_new(&(struct pool_params){ .min_workers = 1, .max_workers = WORKERS });
	v->to_edge = (struct link_service){ .rules = edge_rules, .count = LEN(edge_rules), .ctx = v };
	v->to_core = (struct link_service){ .rules = core_rules, .count = LEN(core_rules), .ctx = v };
	v->to_relay = (struct link_service){ .rules = relay_rules, .count = LEN(relay_rules), .ctx = v };
	link_serve(v->pool, v->dials[LINK_RELAY_VAULT], &v->to_relay);
	link_serve(v->pool, v->dials[LINK_EDGE_VAULT], &v->to_edge);
	link_serve(v->pool, v->dials[LINK_CORE_VAULT], &v->to_core);
	*self = v;
	return 0;
}

static void stop(void *self) {
	struct vault *v = self;
	vault_dkim_stop(v->dkim);
	if (pool_stop(v->pool, deadline_in(STOP_MS)) == 0) secrets_close(&v->secrets);
}

const struct role role_vault = {
	.name = "vault", .seal_needs = SEAL_FILES, .start = start, .reload = reload, .stop = stop
};
