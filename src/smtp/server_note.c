/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines in the words of Postfix, which log readers and fail2ban's filters match. */
#include "smtp/server.h"

static void add_reject(struct buf *out, const struct smtp_note *n, struct slice client) {
	const struct smtp_session *s = n->session;
	struct slice text = n->reply->text;
	buf_addf(out, "reject: %s from %.*s: %d %s%s%.*s;", n->where, SLICE_ARG(client), n->reply->code,
		 n->reply->status, n->reply->status[0] != '\0' ? " " : "",
		 SLICE_ARG(slice_head(text, slice_find(text, '\n'))));
	if (s->mail != NULL) buf_addf(out, " from=<%.*s>", SLICE_ARG(s->mail->text));
	if (n->to.len != 0) buf_addf(out, " to=<%.*s>", SLICE_ARG(n->to));
	buf_addf(out, " proto=%s", s->proto);
	if (s->helo.len != 0) buf_addf(out, " helo=<%.*s>", SLICE_ARG(s->helo));
	if (s->login.len == 0) return;
	buf_addf(out, " sasl_method=%.*s sasl_username=%.*s", SLICE_ARG(s->mechanism), SLICE_ARG(s->login));
}

/* What stands behind "authentication failed: " in the reply is the reason. */
static void add_auth_failed(struct buf *out, const struct smtp_note *n, struct slice client) {
	struct slice why = n->reply->text, lead = S("failed: ");
	size_t at = slice_search(why, lead);
	if (at < why.len) why = slice_skip(why, at + lead.len);
	struct slice user = n->to.len != 0 ? slice_head(n->to, 100) : S("(unavailable)");
	buf_addf(out, "%.*s: SASL %.*s authentication failed: %.*s, sasl_username=%.*s", SLICE_ARG(client),
	         SLICE_ARG(slice_head(n->text, 100)), SLICE_ARG(why), SLICE_ARG(user));
}

static void add_tls_started(struct buf *out, const struct smtp_note *n, struct slice client) {
	struct tls_info info;
	tls_info(n->session->tls, &info);
	tls_info_line(out, &info, true, client);
}

static void add_tls_failed(struct buf *out, const struct smtp_note *n, struct slice client) {
	buf_addf(out, "SSL_accept error from %.*s: %.*s", SLICE_ARG(client), SLICE_ARG(n->text));
}

static void add_pipelining(struct buf *out, const struct smtp_note *n, struct slice client) {
	buf_addf(out, "improper command pipelining after %s from %.*s: %.*s", n->where, SLICE_ARG(client),
		 SLICE_ARG(n->text));
}

static void add_forbidden(struct buf *out, const struct smtp_note *n, struct slice client) {
	buf_addf(out, "non-SMTP command from %.*s: %.*s", SLICE_ARG(client), SLICE_ARG(n->text));
}

static void add_bad_address(struct buf *out, const struct smtp_note *n, struct slice client) {
	buf_addf(out, "Illegal address syntax from %.*s in %s command: %.*s", SLICE_ARG(client), n->where,
		 SLICE_ARG(n->text));
}

static void add_after(struct buf *out, const char *what, const struct smtp_note *n, struct slice client) {
	buf_addf(out, "%s after %s%s%.*s%s from %.*s", what, n->where, n->text.len != 0 ? " (" : "", SLICE_ARG(n->text),
	         n->text.len != 0 ? ")" : "", SLICE_ARG(client));
}

static void add_errors(struct buf *out, const struct smtp_note *n, struct slice client) {
	add_after(out, "too many errors", n, client);
}

static void add_lost(struct buf *out, const struct smtp_note *n, struct slice client) {
	add_after(out, "lost connection", n, client);
}

static void add_timeout(struct buf *out, const struct smtp_note *n, struct slice client) {
	add_after(out, "timeout", n, client);
}

static void add_disconnect(struct buf *out, const struct smtp_note *n, struct slice client) {
	buf_addf(out, "disconnect from %.*s %.*s", SLICE_ARG(client), SLICE_ARG(n->text));
}

static const struct {
	enum log_level level;
	void (*add)(struct buf *out, const struct smtp_note *n, struct slice client);
} forms[] = {
	[SMTP_TLS_STARTED] = { L_INFO, add_tls_started },
	[SMTP_TLS_FAILED] = { L_INFO, add_tls_failed },
	[SMTP_AUTH_FAILED] = { L_WARN, add_auth_failed },
	[SMTP_REJECT] = { L_INFO, add_reject },
	[SMTP_PIPELINING] = { L_INFO, add_pipelining },
	[SMTP_FORBIDDEN] = { L_WARN, add_forbidden },
	[SMTP_BAD_ADDRESS] = { L_WARN, add_bad_address },
	[SMTP_TOO_MANY_ERRORS] = { L_INFO, add_errors },
	[SMTP_LOST] = { L_INFO, add_lost },
	[SMTP_TIMEOUT] = { L_INFO, add_timeout },
	[SMTP_DISCONNECT] = { L_INFO, add_disconnect },
};

void smtp_note_add(struct buf *out, const struct smtp_note *note, struct slice client) {
	forms[note->event].add(out, note, client);
}

enum log_level smtp_note_level(const struct smtp_note *note) {
	return forms[note->event].level;
}
