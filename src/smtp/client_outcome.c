/* SPDX-License-Identifier: Apache-2.0 */
/* All of the client's words for people stand here and follow Postfix's, which administrators and their tools know. */
#include "smtp/client_private.h"

static const struct {
	const char *doing, *reply_to;
} stages[] = {
	[SMTP_STAGE_CONNECT]  = { "connecting", NULL },
	[SMTP_STAGE_GREETING] = { "receiving the initial server greeting", NULL },
	[SMTP_STAGE_EHLO]     = { "performing the EHLO handshake", "EHLO command" },
	[SMTP_STAGE_HELO]     = { "performing the HELO handshake", "HELO command" },
	[SMTP_STAGE_LHLO]     = { "performing the LHLO handshake", "LHLO command" },
	[SMTP_STAGE_STARTTLS] = { "performing the STARTTLS handshake", "STARTTLS command" },
	[SMTP_STAGE_AUTH]     = { "performing the AUTH exchange", "AUTH command" },
	[SMTP_STAGE_RSET]     = { "sending RSET", "RSET command" },
	[SMTP_STAGE_MAIL]     = { "sending MAIL FROM", "MAIL FROM command" },
	[SMTP_STAGE_RCPT]     = { "sending RCPT TO", "RCPT TO command" },
	[SMTP_STAGE_DATA]     = { "sending DATA command", "DATA command" },
	[SMTP_STAGE_BODY]     = { "sending message body", "end of DATA command" },
	[SMTP_STAGE_DOT]      = { "sending end of data -- message may be sent more than once", "end of DATA command" },
};

const char *smtp_stage_doing(enum smtp_stage s) { return stages[s].doing; }
const char *smtp_stage_reply_to(enum smtp_stage s) { return stages[s].reply_to; }

void smtp_outcome_of(const struct smtp_client *c, struct arena *mem, struct smtp_outcome *o, enum smtp_fate fate, const char *status,
                     struct slice text) {
	*o = (struct smtp_outcome){ .fate = fate, .text = text, .host = arena_slice(mem, c->host.name), .relay = arena_slice(mem, c->relay),
	                            .uses = c->uses, .tls = arena_slice(mem, c->tls) };
	snprintf(o->status, sizeof o->status, "%s", status);
}

void smtp_outcome_heard(const struct smtp_client *c, struct arena *mem, struct smtp_outcome *o, enum smtp_stage stage,
                        const struct smtp_heard *heard, bool later, struct slice text) {
	const struct smtp_reply *r = &heard->reply;
	bool never = smtp_reply_never(r) && !later;
	smtp_outcome_of(c, mem, o, never ? SMTP_NEVER : SMTP_LATER, r->status[0] != '\0' ? r->status : "4.0.0", text);
	o->status[0] = never ? '5' : '4';
	o->stage = stages[stage].reply_to;
	o->code = r->code;
	o->diagnostic = heard->said;
}

void smtp_outcome_said(const struct smtp_client *c, struct arena *mem, struct smtp_outcome *o, enum smtp_stage stage,
                       const struct smtp_heard *heard) {
	if (stage == SMTP_STAGE_DOT && smtp_reply_ok(&heard->reply)) {
		smtp_outcome_heard(c, mem, o, stage, heard, false, heard->said);
		o->fate = SMTP_DELIVERED;
		o->status[0] = '2';
		o->dsn = (c->offers & SMTP_OFFERS_DSN) != 0;
		return;
	}
	smtp_outcome_heard(c, mem, o, stage, heard, false, arena_fmt(mem, "host %.*s said: %.*s (in reply to %s)", SLICE_ARG(c->who), SLICE_ARG(heard->said),
	                                                       stages[stage].reply_to));
}

void smtp_outcome_lost(const struct smtp_client *c, struct arena *mem, struct smtp_outcome *o, enum smtp_stage stage) {
	struct slice text = arena_fmt(mem, "%.*s while %s", SLICE_ARG(c->lost), stages[stage].doing);
	smtp_outcome_of(c, mem, o, SMTP_LATER, "4.4.2", text);
	o->settled = stage == SMTP_STAGE_DOT;
}
