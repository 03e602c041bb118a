/* SPDX-License-Identifier: Apache-2.0 */
#include "flow/login.h"
#include "base/fail.h"
#include "base/log.h"
#include "flow/ask.h"
#include "flow/bearer.h"
#include "net/tls.h"
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

/* Of the accounts named, the one he asks for if it is there, else the first. False: none is named. */
static bool choose(struct sasl_ask *ask, struct slice names, struct arena *mem) {
	for (struct slice one; (one = slice_word(&names, ", \t\r\n")).len != 0;) {
		bool asked = slice_same(one, ask->authzid);
		if (asked || ask->user.len == 0) ask->user = arena_slice(mem, one);
		if (asked) ask->authzid = SLICE_NONE;
	}
	return ask->user.len != 0;
}

/* "5E:0C:…", as Postfix writes it into its tables. */
static struct slice fingerprint(const struct login_way *way, bool of_key, struct arena *mem) {
	AUTO_BUF struct buf digest = BUF(64);
	AUTO_BUF struct buf text = BUF(256);
	if (!tls_peer_digest(way->tls, way->certificates->digest, of_key, &digest)) return SLICE_NONE;
	for (size_t i = 0; i < digest.len; i++)
		buf_addf(&text, "%s%02X", i != 0 ? ":" : "", (unsigned char)digest.at[i]);
	return arena_slice(mem, buf_slice(&text));
}

/* What sasl_external_cert_maps say. Names in a certificate count only when somebody we trust has signed them. */
static int mapped_user(const struct login_way *way, struct sasl_ask *ask, struct slice emails, struct arena *mem) {
	AUTO_BUF struct buf subject = BUF(KIB(1));
	AUTO_BUF struct buf issuer = BUF(KIB(1));
	struct slice keys[40] = { fingerprint(way, false, mem), fingerprint(way, true, mem) };
	size_t n = 2;
	for (struct slice one; n < LEN(keys) - 1 && (one = slice_word(&emails, " ")).len != 0;) keys[n++] = one;
	if (tls_peer_trusted(way->tls) && tls_peer_names(way->tls, &subject, &issuer)) keys[n++] = buf_slice(&subject);
	for (size_t i = 0; i < n; i++) {
		struct lookup_hit hit;
		if (keys[i].len == 0) continue;
		int r = lookup_key(&way->certificates->maps, keys[i], mem, &hit);
		if (r == TABLE_FOUND && choose(ask, hit.value, mem)) return TABLE_FOUND;
		if (r == TABLE_LATER) return r;
	}
	return TABLE_MISSING;
}

/* Whose the certificate is. */
static enum sasl_verdict certified_user(const struct login_way *way, struct sasl_ask *ask, struct arena *mem) {
	AUTO_BUF struct buf emails = BUF(KIB(8));
	if (!tls_peer_shown(way->tls)) return SASL_NO;
	bool trusted = tls_peer_emails(way->tls, &emails);
	int r = way->certificates != NULL ? mapped_user(way, ask, buf_slice(&emails), mem) : TABLE_MISSING;
	if (r == TABLE_FOUND) return SASL_YES;
	if (r == TABLE_LATER) return later(fail_add("sasl_external_cert_maps"));
	return trusted && choose(ask, buf_slice(&emails), mem) ? SASL_YES : SASL_NO;
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
	if (ask->means == SASL_BY_CERTIFICATE || ask->means == SASL_BY_TOKEN) {
		bool token = ask->means == SASL_BY_TOKEN;
		enum sasl_verdict known = token ? tokened_user(way, ask, mem, found) : certified_user(way, ask, mem);
		if (known != SASL_YES) return known;
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
