/* SPDX-License-Identifier: Apache-2.0 */
/* REQUIRETLS (RFC 8689, REQUIRETLS_README): a sender who would rather have his message back than have it travel in
 * clear text. A server that will not do is left for the next one; only when there is none is the message returned. And
 * in words for the log, what became of what was asked of TLS (postconf(5), smtp_log_tls_feature_status). */
#include "smtp/client_private.h"

static bool will_be_proved(const struct smtp_client *c) {
	switch (c->params.proof) {
	case SMTP_PROOF_NONE: return false;
	case SMTP_PROOF_DANE: return c->tlsa_count != 0;
	default: return true;
	}
}

enum smtp_client_result smtp_client_may_require(struct smtp_client *c, struct arena *mem, struct smtp_outcome *why) {
	enum smtp_require require = c->params.require;
	const char *level = c->params.level != NULL ? c->params.level : "";
	bool no_proof = require == SMTP_REQUIRE_ENFORCE && !will_be_proved(c),
	     no_tls = require == SMTP_REQUIRE_STARTTLS && c->params.tls == SMTP_TLS_NONE && !c->params.tls_wrapper;
	if (!no_proof && !no_tls) return SMTP_CLIENT_OK;
	c->required = no_proof ? "!requiretls:nocertmatch" : "!requiretls:noencryption";
	smtp_outcome_of(c, mem, why, SMTP_LATER, "4.7.10",
			"Sender requested REQUIRETLS, but my configured TLS security level '%s' disables %s. The last "
			"attempted server was %.*s",
			level, no_proof ? "certificate matching" : "encryption", SLICE_ARG(c->host.name));
	why->never_if_last = true;
	return SMTP_CLIENT_OVER;
}

void smtp_client_required_tls(struct smtp_client *c, struct arena *mem, struct smtp_outcome *why, const char *status) {
	struct slice words = why->text;
	c->required = "!requiretls:nostarttls";
	smtp_outcome_of(c, mem, why, SMTP_LATER, status, "Sender requested REQUIRETLS, but %.*s", SLICE_ARG(words));
	why->never_if_last = true;
}

enum smtp_client_result smtp_client_require(struct smtp_client *c, struct arena *mem, struct smtp_outcome *why) {
	bool tls = stream_is_tls(c->stream), offered = tls && (c->offers & SMTP_OFFERS_REQUIRETLS) != 0;
	if (!tls) c->offers &= ~(unsigned)SMTP_OFFERS_REQUIRETLS; /* nobody may say it in clear text */
	if (c->params.require == SMTP_REQUIRE_NONE) return SMTP_CLIENT_OK;
	c->required = !offered ? "requiretls:none" : will_be_proved(c) ? "requiretls" : "requiretls:nocertmatch";
	if (offered || c->params.require != SMTP_REQUIRE_ENFORCE) return SMTP_CLIENT_OK;
	c->required = "!requiretls:none";
	smtp_outcome_of(
		c, mem, why, SMTP_LATER, "4.7.30",
		"Sender requested REQUIRETLS, but no server was found that supports REQUIRETLS. The last attempted "
		"server was %.*s",
		SLICE_ARG(c->who));
	why->never_if_last = true;
	return SMTP_CLIENT_OVER;
}

/* What the level came to; "?": it did not get so far. */
static const char *standing(const struct smtp_client *c) {
	bool dane = c->params.proof == SMTP_PROOF_DANE;
	if (c->params.tls == SMTP_TLS_NONE && !c->params.tls_wrapper) return "";
	if (c->no_starttls) return c->params.tls == SMTP_TLS_MAY ? ":none" : "?";
	if (c->stream == NULL || !stream_is_tls(c->stream) || c->tls.len == 0) return "?";
	return !dane || (c->tlsa_count != 0 && !c->half_proved) ? ""
	       : c->tlsa_count != 0                             ? ":halfdane"
	       : c->tlsa_found                                  ? ":encrypt"
								: ":may";
}

void smtp_client_tls_status(const struct smtp_client *c, struct arena *mem, struct slice *out) {
	const char *level = c->params.level;
	bool required = c->params.require != SMTP_REQUIRE_NONE;
	*out = SLICE_NONE;
	if (level == NULL) return;
	*out = arena_fmt(mem, "%s%s%s%s", level, standing(c), required ? "/" : "",
			 !required             ? ""
			 : c->required != NULL ? c->required
					       : "requiretls?");
}
