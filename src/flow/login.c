/* SPDX-License-Identifier: Apache-2.0 */
#include "flow/login.h"
#include "base/fail.h"
#include "base/log.h"
#include "flow/ask.h"

static enum sasl_verdict later(int r) {
	if (r < 0) say(L_ERROR, "auth", "%s", fail_text());
	return SASL_LATER;
}

static struct slice with_domain(const struct login_way *way, struct slice user, struct arena *mem) {
	if (user.len == 0 || way->domain.len == 0 || slice_find(user, '@') < user.len) return user;
	return arena_fmt(mem, "%.*s@%.*s", SLICE_ARG(user), SLICE_ARG(way->domain));
}

static int prove_password(const struct login_way *way, struct slice name, const struct sasl_ask *ask, struct arena *mem, bool *right) {
	struct password_answer answer = { 0 };
	int r = ask_password(way->vault, &(struct password_ask){ .login = name, .password = ask->secret }, mem, &answer);
	*right = r == ASK_OK && answer.right;
	return r;
}

static int prove_scram(const struct login_way *way, struct slice name, const struct sasl_ask *ask, struct arena *mem, bool *right,
		       struct sasl_found *found) {
	struct scram_answer answer = { 0 };
	struct scram_ask question = { .account = name, .proof = ask->secret, .message = ask->message, .sha256 = ask->sha256 };
	int r = ask_scram(way->vault, &question, mem, &answer);
	*right = r == ASK_OK && (answer.right || ask->means == SASL_BY_SALT);
	found->salt = answer.salt;
	found->rounds = answer.rounds;
	found->signature = answer.signature;
	return r;
}

enum sasl_verdict login_prove(const struct login_way *way, const struct sasl_ask *ask, struct arena *mem, struct sasl_found *found) {
	struct slice user = with_domain(way, ask->user, mem);
	struct account_answer account = { 0 };
	bool right = false;
	int r = ask_account(way->core, &(struct account_ask){ .login = user, .act_as = with_domain(way, ask->authzid, mem) }, mem, &account);
	if (r != ASK_OK) return later(r);
	/* vault knows accounts by their stored names, which users may write in other ways */
	struct slice name = account.name.len != 0 ? account.name : user;
	if (ask->means == SASL_BY_PASSWORD) r = prove_password(way, name, ask, mem, &right);
	else if (ask->means == SASL_BY_SALT || ask->means == SASL_BY_PROOF) r = prove_scram(way, name, ask, mem, &right, found);
	else return SASL_NO;
	if (r != ASK_OK) return later(r);
	if (ask->means == SASL_BY_SALT) return SASL_YES;
	found->account = account.account;
	found->name = account.as;
	if (account.granted && !slice_eq(account.name, account.as)) { /* for whoever has to account for it */
		found->master = account.name;
		note(right ? L_INFO : L_WARN, "auth", 0, NULL, right ? "Master log-in: " : "Master log-in refused: ", FA("user", account.as),
		     FA("master_user", account.name));
	}
	return right && account.granted ? SASL_YES : SASL_NO;
}
