/* SPDX-License-Identifier: Apache-2.0 */
/* AUTH (RFC 4954). A refused log-in is never held against the message: a password that was changed must not return a
 * day's mail to its senders. */
#include "base/encode.h"
#include "smtp/client_private.h"

enum { ANSWER_MAX = 2048 };

static struct buf base64_of(struct slice bytes) {
	struct buf out = BUF(ANSWER_MAX);
	base64_add(&out, bytes);
	return out;
}

static void forget(struct buf *secret) {
	if (secret->at != NULL) mem_wipe(secret->at, secret->len);
	buf_done(secret);
}
#define AUTO_SECRET AUTO(forget)

/* Sends one secret, base64 behind the word that goes before it. */
static bool tell(
	struct smtp_client *c, const char *before, struct slice bytes, struct arena *mem, struct smtp_heard *heard) {
	AUTO_SECRET struct buf text = base64_of(bytes);
	return smtp_client_ask(c, c->params.timeouts.helo, mem, heard, "%s%s", before, buf_text(&text));
}

static bool plain(struct smtp_client *c, struct arena *mem, struct smtp_heard *heard) {
	AUTO_SECRET struct buf message = BUF(ANSWER_MAX);
	buf_byte(&message, '\0');
	buf_add(&message, c->params.user);
	buf_byte(&message, '\0');
	buf_add(&message, c->params.password);
	if (!tell(c, "AUTH PLAIN ", buf_slice(&message), mem, heard)) return false;
	return heard->reply.code != 334 || tell(c, "", buf_slice(&message), mem, heard);
}

/* What the two challenges say ("Username:", or something else) has never mattered. */
static bool login(struct smtp_client *c, struct arena *mem, struct smtp_heard *heard) {
	if (!smtp_client_ask(c, c->params.timeouts.helo, mem, heard, "AUTH LOGIN")) return false;
	if (heard->reply.code == 334 && !tell(c, "", c->params.user, mem, heard)) return false;
	return heard->reply.code != 334 || tell(c, "", c->params.password, mem, heard);
}

static enum smtp_client_result refuse(
	struct smtp_client *c, struct arena *mem, struct smtp_outcome *why, const char *because) {
	smtp_outcome_of(c, mem, why, SMTP_LATER, "4.7.0",
		"SASL authentication failed; cannot authenticate to server %.*s: %s", SLICE_ARG(c->who), because);
	return SMTP_CLIENT_OVER;
}

enum smtp_client_result smtp_client_log_in(struct smtp_client *c, struct arena *mem, struct smtp_outcome *why) {
	if (c->params.user.len == 0) return SMTP_CLIENT_OK;
	if (!stream_is_tls(c->stream) && !c->params.auth_in_clear)
		return refuse(c, mem, why, "the connection is not encrypted (set smtp_tls_security_level = encrypt)");
	if (!(c->offers & SMTP_OFFERS_AUTH)) return SMTP_CLIENT_OK; /* it knows us by our address, or will say so */
	unsigned usable = c->offers;
	if ((c->params.no_mechanisms & SMTP_MECHANISM_PLAIN) != 0) usable &= ~(unsigned)SMTP_OFFERS_PLAIN;
	if ((c->params.no_mechanisms & SMTP_MECHANISM_LOGIN) != 0) usable &= ~(unsigned)SMTP_OFFERS_LOGIN;
	if (!(usable & (SMTP_OFFERS_PLAIN | SMTP_OFFERS_LOGIN)))
		return refuse(c, mem, why, "no mechanism available");
	struct smtp_heard heard;
	if (!(usable & SMTP_OFFERS_PLAIN ? plain : login)(c, mem, &heard)) {
		smtp_outcome_lost(c, mem, why, SMTP_STAGE_AUTH);
		return SMTP_CLIENT_OVER;
	}
	if (smtp_reply_ok(&heard.reply)) return SMTP_CLIENT_OK;
	smtp_outcome_heard(c, mem, why, SMTP_STAGE_AUTH, &heard, true,
		"SASL authentication failed; server %.*s said: %.*s", SLICE_ARG(c->who), SLICE_ARG(heard.said));
	return SMTP_CLIENT_OVER;
}
