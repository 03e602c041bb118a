/* SPDX-License-Identifier: Apache-2.0 */
#include "flow/login.h"
#include "base/fail.h"
#include "base/log.h"
#include "flow/ask.h"
#include "flow/bearer.h"
#include "net/tls_peer.h"

static enum sasl_verdict later(int r) {
	if (r < 0) say(L_ERROR, "auth", "%s", fail_text());
	return SASL_LATER;
}

static struct slice with_domain(const struct login_way *way, struct slice user, struct arena *mem) {
	if (user.len == 0 || way->domain.len == 0 || slice_find(user, '@') < user.len) return user;
	return arena_fmt(mem, "%.*s@%.*s", SLICE_ARG(user), SLICE_ARG(way->domain));
}

static int prove_password(const struct login_way *way, struct slice name, const struct sasl_ask *ask, struct arena *mem,
			  bool *right) {
	struct password_answer answer = { 0 };
	int r = ask_password(way->vault, &(struct password_ask){ .login = name, .password = ask->secret }, mem,
			     &answer);
	*right = r == ASK_OK && answer.right;
	return r;
}

static int prove_scram(const struct login_way *way, struct slice name, const struct sasl_ask *ask, struct arena *mem,
		       bool *right, struct sasl_found *found) {
	struct scram_answer answer = { 0 };
	struct scram_ask question = {
		.account = name, .proof = ask->secret, .message = ask->message, .sha256 = ask->sha256
	};
	int r = ask_scram(way->vault, &question, mem, &answer);
	*right = r == ASK_OK && (answer.right || ask->means == SASL_BY_SALT);
	found->salt = answer.salt;
	found->rounds = answer.rounds;
	found->signature = answer.signature;
	return r;
}

/* The address in the certificate: the one he asks for if it is there, else the first. False: no trusted certificate
 * with one. */
static bool certified_user(const struct login_way *way, struct sasl_ask *ask, struct arena *mem) {
	AUTO_BUF struct buf emails = BUF(KIB(8));
	if (way->tls == NULL || !tls_peer_emails(way->tls, &emails)) return false;
	struct slice rest = buf_slice(&emails);
	for (struct slice one; (one = slice_word(&rest, " ")).len != 0;) {
		bool asked = slice_same(one, ask->authzid);
		if (asked || ask->user.len == 0) ask->user = arena_slice(mem, one);
		if (asked) ask->authzid = SLICE_NONE;
	}
	return ask->user.len != 0;
}

/* The token names the account. Who says another name with it wants to act as that one. */
static enum sasl_verdict tokened_user(const struct login_way *way, struct sasl_ask *ask, struct arena *mem,
				      struct sasl_found *found) {
	struct token_answer answer = { 0 };
	int r = ask_token(way->relay, &(struct token_ask){ .token = ask->secret }, mem, &answer);
	if (r != ASK_OK) return later(r);
	found->status = answer.status;
	found->scope = answer.scope;
	found->discovery = answer.discovery;
	if (answer.verdict == BEARER_LATER) return SASL_LATER;
	if (answer.verdict != BEARER_YES || answer.user.len == 0) return SASL_NO;
	struct slice said = with_domain(way, ask->user, mem), own = with_domain(way, answer.user, mem);
	if (ask->authzid.len == 0 && !slice_same(said, own)) ask->authzid = ask->user;
	ask->user = answer.user;
	return SASL_YES;
}

enum sasl_verdict login_prove(const struct login_way *way, const struct sasl_ask *asked, struct arena *mem,
			      struct sasl_found *found) {
	struct sasl_ask copy = *asked, *ask = &copy;
	if (ask->means == SASL_BY_CERTIFICATE && !certified_user(way, ask, mem)) return SASL_NO;
	if (ask->means == SASL_BY_TOKEN) {
		enum sasl_verdict token = tokened_user(way, ask, mem, found);
		if (token != SASL_YES) return token;
	}
	struct slice user = with_domain(way, ask->user, mem);
	struct account_answer account = { 0 };
	bool right = false;
	int r = ask_account(way->core,
			    &(struct account_ask){ .login = user, .act_as = with_domain(way, ask->authzid, mem) }, mem,
			    &account);
	if (r != ASK_OK) return later(r);
	/* vault knows accounts by their stored names, which users may write in other ways */
	struct slice name = account.name.len != 0 ? account.name : user;
	if (ask->means == SASL_BY_PASSWORD) r = prove_password(way, name, ask, mem, &right);
	else if (ask->means == SASL_BY_SALT || ask->means == SASL_BY_PROOF)
		r = prove_scram(way, name, ask, mem, &right, found);
	else right = ask->means == SASL_BY_CERTIFICATE || ask->means == SASL_BY_TOKEN;
	if (r != ASK_OK) return later(r);
	if (ask->means == SASL_BY_SALT) return SASL_YES;
	found->account = account.account;
	found->name = account.as;
	if (account.granted && !slice_eq(account.name, account.as)) { /* for whoever has to account for it */
		found->master = account.name;
		note(right ? L_INFO : L_WARN, "auth", 0, NULL,
		     right ? "Master log-in: " : "Master log-in refused: ", FA("user", account.as),
		     FA("master_user", account.name));
	}
	return right && account.granted ? SASL_YES : SASL_NO;
}
