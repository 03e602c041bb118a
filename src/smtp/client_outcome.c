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
	[SMTP_STAGE_XFORWARD] = { "sending XFORWARD name/address", "XFORWARD name/address command" },
	[SMTP_STAGE_RSET]     = { "sending RSET", "RSET command" },
	[SMTP_STAGE_MAIL]     = { "sending MAIL FROM", "MAIL FROM command" },
	[SMTP_STAGE_RCPT]     = { "sending RCPT TO", "RCPT TO command" },
	[SMTP_STAGE_DATA]     = { "sending DATA command", "DATA command" },
	[SMTP_STAGE_BODY]     = { "sending message body", "end of DATA command" },
	[SMTP_STAGE_DOT]      = { "sending end of data -- message may be sent more than once", "end of DATA command" },
};

const char *smtp_stage_doing(enum smtp_stage s) { return stages[s].doing; }
const char *smtp_stage_reply_to(enum smtp_stage s) { return stages[s].reply_to; }

static void fill(const struct smtp_client *c, struct arena *mem, struct smtp_outcome *o, enum smtp_fate fate,
                 const char *status, const char *format, va_list words) {
	AUTO_BUF struct buf text = BUF(2 * SMTP_REPLY_SAID_MAX);
	buf_addv(&text, format, words);
	*o = (struct smtp_outcome){ .fate = fate, .text = arena_slice(mem, buf_slice(&text)), .uses = c->uses,
	                            .host = arena_slice(mem, c->host.name), .relay = arena_slice(mem, c->relay),
	                            .tls = arena_slice(mem, c->tls) };
	smtp_client_tls_status(c, mem, &o->tls_status);
	snprintf(o->status, sizeof o->status, "%s", status);
}

void smtp_outcome_of(const struct smtp_client *c, struct arena *mem, struct smtp_outcome *o, enum smtp_fate fate,
                     const char *status, const char *format, ...) {
	va_list words;
	va_start(words, format);
	fill(c, mem, o, fate, status, format, words);
	va_end(words);
}

void smtp_outcome_heard(const struct smtp_client *c, struct arena *mem, struct smtp_outcome *o, enum smtp_stage stage,
                        const struct smtp_heard *heard, bool later, const char *format, ...) {
	const struct smtp_reply *r = &heard->reply;
	bool never = smtp_reply_never(r) && !later;
	va_list words;
	va_start(words, format);
	fill(c, mem, o, never ? SMTP_NEVER : SMTP_LATER, r->status[0] != '\0' ? r->status : "4.0.0", format, words);
	va_end(words);
	o->status[0] = never ? '5' : '4';
	o->stage = stages[stage].reply_to;
	o->code = r->code;
	o->diagnostic = heard->said;
}

void smtp_outcome_said(const struct smtp_client *c, struct arena *mem, struct smtp_outcome *o, enum smtp_stage stage,
                       const struct smtp_heard *heard) {
	if (stage == SMTP_STAGE_DOT && smtp_reply_ok(&heard->reply)) {
		smtp_outcome_heard(c, mem, o, stage, heard, false, "%.*s", SLICE_ARG(heard->said));
		o->fate = SMTP_DELIVERED;
		o->status[0] = '2';
		o->dsn = (c->offers & SMTP_OFFERS_DSN) != 0;
		return;
	}
	smtp_outcome_heard(c, mem, o, stage, heard, false, "host %.*s said: %.*s (in reply to %s)", SLICE_ARG(c->who),
	                   SLICE_ARG(heard->said), stages[stage].reply_to);
}

void smtp_outcome_accepted(const struct smtp_client *c, struct arena *mem, struct smtp_outcome *o,
                           const struct smtp_heard *heard) {
	smtp_outcome_heard(c, mem, o, SMTP_STAGE_RCPT, heard, false, "%.*s", SLICE_ARG(heard->said));
	o->fate = SMTP_DELIVERED;
	o->status[0] = '2';
}

void smtp_outcome_lost(const struct smtp_client *c, struct arena *mem, struct smtp_outcome *o, enum smtp_stage stage) {
	smtp_outcome_of(c, mem, o, SMTP_LATER, "4.4.2", "%.*s while %s", SLICE_ARG(c->lost), stages[stage].doing);
	o->settled = stage == SMTP_STAGE_DOT;
}
