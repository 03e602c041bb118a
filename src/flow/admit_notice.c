/* SPDX-License-Identifier: Apache-2.0 */
/* What was said in a session is kept for the postmaster while it lasts, where notify_classes may want it: who made
 * errors is known only afterwards. */
#include "flow/admit_private.h"

static bool kept(const struct admit *a) {
	const struct notice_params *p = a->params->notices;
	return p != NULL && !a->local && (p->classes & NOTICE_OF_SESSIONS) != 0;
}

static void send_notice(struct admit *a) {
	const struct notice_params *p = a->params->notices;
	AUTO_ARENA struct arena mem = { 0 };
	AUTO_BUF struct buf message = BUF(8 * NOTICE_TALK_MAX);
	char id[QUEUE_ID_ROOM];
	struct notice n = { .troubles = a->talk.troubles & p->classes,
			    .peer = a->client,
			    .talk = buf_slice(&a->talk.text),
			    .cut = a->talk.text.full,
			    .reason = slice_of(a->talk.reason != NULL ? a->talk.reason : "") };
	if (!notice_memory_may(p->memory, p->hourly, &n.left_out)) {
		say(L_WARN, a->params->service,
		    "postmaster notify: more than %u within an hour (error_notice_hourly_limit)", p->hourly);
		return;
	}
	queue_id_make(id);
	notice_compose(&message, p, &n, slice_of(id));
	struct admit_own own = { .id = id,
				 .sender = p->from,
				 .to = notice_recipient(p, &n),
				 .message = buf_slice(&message),
				 .flags = ACCEPT_NO_BCC | ACCEPT_SIGN };
	if (!admit_own(a, &own, &mem)) say(L_WARN, a->params->service, "postmaster notify: %s: not sent", id);
}

static void begin_anew(struct admit *a) {
	if ((a->talk.troubles & a->params->notices->classes) != 0) send_notice(a);
	buf_clear(&a->talk.text);
	a->talk.troubles = 0;
	a->talk.lines = 0;
}

/* Where Postfix looks whether it has gathered enough. */
static bool is_break(struct slice line) {
	struct slice word = slice_word(&line, " :");
	return slice_same(word, S("HELO")) || slice_same(word, S("EHLO")) || slice_same(word, S("LHLO")) ||
	       slice_same(word, S("MAIL")) || slice_same(word, S("RSET"));
}

void admit_talk(struct admit *a, bool leaves, struct slice line) {
	if (!kept(a)) return;
	if (a->talk.text.limit == 0) a->talk.text = BUF(NOTICE_TALK_MAX);
	if (!leaves && a->talk.lines > a->params->notices->flush_lines && is_break(line)) begin_anew(a);
	notice_talk(&a->talk.text, leaves, line);
	a->talk.lines++;
	if (leaves) a->talk.troubles |= notice_class_of(line);
}

void admit_talk_note(struct admit *a, enum smtp_event event) {
	if (!kept(a)) return;
	switch (event) {
	case SMTP_PIPELINING: a->talk.troubles |= NOTICE_PROTOCOL; break;
	case SMTP_FORBIDDEN: a->talk.troubles |= NOTICE_POLICY; break;
	case SMTP_LOST: a->talk.reason = "lost connection"; break;
	case SMTP_TIMEOUT: a->talk.reason = "timeout"; break;
	case SMTP_TOO_MANY_ERRORS: a->talk.reason = "too many errors"; break;
	case SMTP_DISCONNECT: begin_anew(a); break;
	default: break;
	}
}
