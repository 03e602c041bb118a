/* SPDX-License-Identifier: Apache-2.0 */
/* header_checks and their likes while a message comes in: what a table says is noted here and answered at the end, so
 * that the client hears it when the whole message has come, as with Postfix. */
#include "base/fail.h"
#include "flow/admit_private.h"

void admit_log_content(struct admit *a, const char *word, const char *class, struct slice subject, struct slice text) {
	AUTO_BUF struct buf line = BUF(KIB(16));
	const struct smtp_session *s = admit_session(a);
	buf_addf(&line, "%s: %s ", word, class);
	subject = slice_head(subject, 200);
	for (size_t i = 0; i < subject.len; i++) buf_byte(&line, ascii_control(subject.at[i]) ? '?' : subject.at[i]);
	buf_addf(&line, " from %.*s; from=<%.*s>", SLICE_ARG(a->local ? S("local") : a->client), SLICE_ARG(a->sender));
	if (a->count != 0) buf_addf(&line, " to=<%.*s>", SLICE_ARG(a->recipients[a->count - 1].address));
	if (!a->local) buf_addf(&line, " proto=%s", s->proto);
	if (!a->local && s->helo.len != 0) buf_addf(&line, " helo=<%.*s>", SLICE_ARG(s->helo));
	if (text.len != 0) buf_addf(&line, ": %.*s", SLICE_ARG(text));
	log_line(L_INFO, "cleanup", 0, a->id, buf_text(&line), NULL, 0);
}

/* "5.7.1 text" or "text". */
static void refuse(struct admit *a, struct slice text) {
	struct slice rest = text, word = slice_word(&rest, " \t");
	struct smtp_reply r = { .code = 550, .status = "5.7.1" };
	unsigned dots = 0;
	bool status = word.len >= 5 && word.len < sizeof r.status && (word.at[0] == '5' || word.at[0] == '4') &&
		      word.at[1] == '.';
	for (size_t i = 0; i < word.len; i++) {
		dots += word.at[i] == '.';
		status &= ascii_digit(word.at[i]) || word.at[i] == '.';
	}
	status &= dots == 2;
	if (status) {
		memcpy(r.status, word.at, word.len);
		r.status[word.len] = '\0';
		if (word.at[0] == '4') r.code = 450;
		text = slice_trim(rest);
	}
	r.text = text.len != 0 ? arena_slice(&a->tx, text) : S("message content rejected");
	if (a->content_reply.code == 0) a->content_reply = r; /* the first counts */
}

void admit_add_recipient(struct admit *a, struct slice address, uint32_t notify) {
	struct accept_recipient *more = arena_array(&a->tx, a->count + 1, sizeof *more);
	if (a->count != 0) memcpy(more, a->recipients, a->count * sizeof *more);
	a->recipients = more;
	a->room = a->count + 1;
	more[a->count++] = (struct accept_recipient){ .address = arena_slice(&a->tx, address), .notify = notify };
}

void admit_content_hit(void *owner, const struct checks_hit *hit) {
	struct admit *a = owner;
	switch (hit->action) {
	case CHECKS_WRONG: say(L_WARN, "cleanup", "%s: %.*s", a->id, SLICE_ARG(hit->text)); return;
	case CHECKS_LATER:
		if (a->content_reply.code == 0)
			say(L_WARN, "cleanup", "%s: %.*s -- message not accepted, try again later", a->id,
			    SLICE_ARG(hit->text));
		if (a->content_reply.code == 0)
			a->content_reply = smtp_reply(451, "4.3.0", S("Error: queue file write error"));
		return;
	case CHECKS_REJECT: refuse(a, hit->text); break;
	case CHECKS_HOLD: a->flags |= ACCEPT_HOLD; break;
	case CHECKS_DISCARD: a->flags |= ACCEPT_DISCARD; break;
	case CHECKS_FILTER: a->filter = arena_slice(&a->tx, hit->text); break;
	case CHECKS_REDIRECT: a->redirect = arena_slice(&a->tx, hit->text); break;
	case CHECKS_BCC: admit_add_recipient(a, hit->text, SMTP_NOTIFY_NEVER); break;
	case CHECKS_PASS: a->pass = true; break;
	default: break;
	}
	struct slice said =
		hit->action == CHECKS_REJECT && hit->text.len == 0 ? S("5.7.1 message content rejected") : hit->text;
	if (hit->action == CHECKS_REJECT && hit->text.len != 0 && !ascii_digit(hit->text.at[0])) {
		struct slice with = arena_fmt(&a->tx, "5.7.1 %.*s", SLICE_ARG(hit->text));
		said = with;
	}
	if (hit->fault != NULL)
		admit_log_content(a, hit->word, arena_fmt(&a->tx, "mime-error %s:", hit->fault).at, hit->subject,
				  SLICE_NONE);
	else admit_log_content(a, hit->word, hit->in_body ? "body" : "header", hit->subject, said);
}

static void put(void *owner, struct slice bytes) {
	struct admit *a = owner;
	intake_bytes(&a->intake, bytes);
}

void admit_checks_begin(struct admit *a) {
	static const struct checks_ops ops = { .put = put, .act = admit_content_hit };
	checks_free(&a->checks);
	if (a->params->checks != NULL && !a->deliver) a->checks = checks_new(a->params->checks, &ops, a);
}
