/* SPDX-License-Identifier: Apache-2.0 */
/* AUTH (RFC 4954). A refused log-in is not held against the message unless the operator wants it so: a password that
 * was changed must not return a day's mail to its senders. */
#include "base/encode.h"
#include "base/fail.h"
#include "smtp/client_private.h"
#include "smtp/client_sasl.h"

enum { ROUNDS_MAX = 8, CHALLENGE_MAX = 4096 };

static void forget(struct buf *secret) {
	if (secret->at != NULL) mem_wipe(secret->at, secret->len);
	buf_done(secret);
}
#define AUTO_SECRET AUTO(forget)

/* Says one secret in base64, behind the word that goes before it. An empty one with the command is "=". */
static bool tell(
	struct smtp_client *c, const char *before, struct slice bytes, struct arena *mem, struct smtp_heard *heard) {
	AUTO_SECRET struct buf text = BUF(6 * SASL_SECRET_MAX);
	base64_add(&text, bytes);
	return smtp_client_ask(c, c->params.timeouts.helo, mem, heard, "%s%s", before, buf_text(&text));
}

static bool begin(struct smtp_client *c, struct sasl_client *sasl, struct arena *mem, struct smtp_heard *heard) {
	AUTO_SECRET struct buf first = BUF(4 * SASL_SECRET_MAX);
	const char *name = smtp_mechanism_name(sasl->mechanism);
	if (!sasl_client_first(sasl, &first))
		return smtp_client_ask(c, c->params.timeouts.helo, mem, heard, "AUTH %s", name);
	struct slice before = arena_fmt(mem, "AUTH %s ", name);
	return tell(c, before.at, buf_slice(&first), mem, heard);
}

/* The answer to one challenge. <0: none can be given; 1: the connection is over. */
static int answer(struct smtp_client *c, struct sasl_client *sasl, struct arena *mem, struct smtp_heard *heard) {
	AUTO_SECRET struct buf challenge = BUF(CHALLENGE_MAX);
	AUTO_SECRET struct buf out = BUF(4 * SASL_SECRET_MAX);
	/* those whose challenge does not matter may say it in plain words */
	bool read = base64_read(&challenge, slice_trim(heard->reply.text));
	bool matters = sasl->mechanism > SMTP_MECHANISM_PLAIN;
	int r = read || !matters ? sasl_client_answer(sasl, buf_slice(&challenge), &out)
				 : fail("a challenge that is not base64");
	if (r < 0) {
		/* RFC 4954 §4: "*" gives up; what is said to that does not matter */
		struct smtp_heard ignored;
		smtp_client_ask(c, c->params.timeouts.helo, mem, &ignored, "*");
		return r;
	}
	return tell(c, "", buf_slice(&out), mem, heard) ? 0 : 1;
}

static enum smtp_client_result refuse(
	struct smtp_client *c, struct arena *mem, struct smtp_outcome *why, const char *because) {
	smtp_outcome_of(c, mem, why, SMTP_LATER, "4.7.0",
		"SASL authentication failed; cannot authenticate to server %.*s: %s", SLICE_ARG(c->who), because);
	return SMTP_CLIENT_OVER;
}

static enum smtp_client_result lost(struct smtp_client *c, struct arena *mem, struct smtp_outcome *why) {
	smtp_outcome_lost(c, mem, why, SMTP_STAGE_AUTH);
	return SMTP_CLIENT_OVER;
}

/* A server that said no for good says it again; some lock out who asks too often. */
static void remember(struct smtp_client *c, const struct smtp_heard *heard) {
	const struct smtp_client_params *p = &c->params;
	if (p->refusals == NULL || !smtp_reply_never(&heard->reply)) return;
	struct smtp_refused r = { .said = heard->said, .code = heard->reply.code };
	snprintf(r.status, sizeof r.status, "%s", heard->reply.status[0] != '\0' ? heard->reply.status : "5.0.0");
	smtp_refusals_keep(p->refusals, c->host.name, p->user, p->password, &r, p->refusals_ms);
}

static bool refused_before(struct smtp_client *c, struct arena *mem, struct smtp_outcome *why) {
	const struct smtp_client_params *p = &c->params;
	struct smtp_refused r;
	if (p->refusals == NULL || !smtp_refusals_find(p->refusals, c->host.name, p->user, p->password, mem, &r))
		return false;
	smtp_outcome_of(c, mem, why, p->auth_refused_is_final ? SMTP_NEVER : SMTP_LATER, r.status,
		"SASL [CACHED] authentication failed; server %.*s said: %.*s", SLICE_ARG(c->who), SLICE_ARG(r.said));
	why->status[0] = why->fate == SMTP_NEVER ? '5' : '4';
	return true;
}

static enum smtp_client_result run(
	struct smtp_client *c, struct sasl_client *sasl, struct arena *mem, struct smtp_outcome *why) {
	struct smtp_heard heard;
	if (!begin(c, sasl, mem, &heard)) return lost(c, mem, why);
	for (unsigned i = 0; heard.reply.code == 334 && i < ROUNDS_MAX; i++) {
		int r = answer(c, sasl, mem, &heard);
		if (r < 0) return refuse(c, mem, why, arena_fmt(mem, "%s", fail_text()).at);
		if (r > 0) return lost(c, mem, why);
	}
	if (smtp_reply_ok(&heard.reply) && sasl->proved) return SMTP_CLIENT_OK;
	if (smtp_reply_ok(&heard.reply))
		return refuse(c, mem, why, "the server did not prove that it knows the password");
	remember(c, &heard);
	smtp_outcome_heard(c, mem, why, SMTP_STAGE_AUTH, &heard, !c->params.auth_refused_is_final,
		"SASL authentication failed; server %.*s said: %.*s", SLICE_ARG(c->who), SLICE_ARG(heard.said));
	return SMTP_CLIENT_OVER;
}

static unsigned allowed(struct smtp_client *c) {
	if (!stream_is_tls(c->stream)) return c->params.mechanisms_clear;
	struct tls_info info;
	tls_info(stream_tls(c->stream), &info);
	return info.verified && !c->half_proved ? c->params.mechanisms_verified : c->params.mechanisms_tls;
}

enum smtp_client_result smtp_client_log_in(struct smtp_client *c, struct arena *mem, struct smtp_outcome *why) {
	if (c->params.user.len == 0) return SMTP_CLIENT_OK;
	if (c->params.user.len + c->params.password.len > SASL_SECRET_MAX)
		return refuse(c, mem, why, "user and password are too long");
	if (!(c->offers & SMTP_OFFERS_AUTH)) return SMTP_CLIENT_OK; /* it knows us by our address, or will say so */
	enum smtp_mechanism m = smtp_mechanism_best(c->mechanisms & allowed(c));
	if (m == 0 && !stream_is_tls(c->stream) && (c->mechanisms & c->params.mechanisms_tls) != 0)
		return refuse(c, mem, why, "the connection is not encrypted (set smtp_tls_security_level = encrypt)");
	if (m == 0) return refuse(c, mem, why, "no mechanism available");
	if (refused_before(c, mem, why)) return SMTP_CLIENT_OVER;
	struct sasl_client sasl;
	sasl_client_init(&sasl, m, c->params.user, c->params.password, SLICE_NONE);
	c->hushed = true;
	enum smtp_client_result r = run(c, &sasl, mem, why);
	c->hushed = false;
	sasl_client_done(&sasl);
	c->logged_in = r == SMTP_CLIENT_OK;
	return r;
}
