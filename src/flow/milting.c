/* SPDX-License-Identifier: Apache-2.0 */
/* What a milter says becomes a reply in Postfix's words. "Discard" and "hold" may come at any step of a message and are
 * kept until its end. */
#include "flow/milting.h"
#include "flow/milting_private.h"
#include "smtp/command.h"

struct milting *milting_new(const struct milting_params *params, const struct milting_facts *facts) {
	struct milting *m = mem_get(sizeof *m);
	*m = (struct milting){ .params = params, .facts = facts };
	m->milters = milters_new(params->set, &params->client, &milting_ops, m);
	return m;
}

void milting_free(struct milting **mp) {
	struct milting *m = *mp;
	if (m == NULL) return;
	*mp = NULL;
	milters_free(&m->milters);
	free(m);
}

static struct smtp_reply reply_of(struct milting *m, struct milter_verdict v) {
	m->hold |= v.hold;
	switch (v.kind) {
	case MILTER_REFUSE: return smtp_reply(v.code, v.status, v.text);
	case MILTER_HANG_UP: return smtp_reply(421, "4.7.0", S("Server closing connection"));
	case MILTER_DISCARD: m->discard = true; break;
	case MILTER_GO_ON: break;
	}
	return (struct smtp_reply){ .code = 0 };
}

struct smtp_reply milting_connect(struct milting *m, struct arena *mem) {
	return reply_of(m, milters_connect(m->milters, m->facts->name, m->facts->peer, mem));
}

struct smtp_reply milting_helo(struct milting *m, struct slice name, struct arena *mem) {
	return reply_of(m, milters_helo(m->milters, name, mem));
}

/* The parameters again, as a client would write them. */
static struct slice mail_parameters(const struct smtp_mail *mail, struct arena *mem) {
	AUTO_BUF struct buf out = BUF(KIB(4));
	if (mail->size != 0) buf_addf(&out, " SIZE=%llu", (unsigned long long)mail->size);
	if (mail->body != SMTP_BODY_UNSAID)
		buf_add(&out, mail->body == SMTP_BODY_7BIT ? S(" BODY=7BIT") : S(" BODY=8BITMIME"));
	if (mail->utf8) buf_add(&out, S(" SMTPUTF8"));
	if (mail->ret != SMTP_RET_NONE) buf_add(&out, mail->ret == SMTP_RET_FULL ? S(" RET=FULL") : S(" RET=HDRS"));
	if (mail->envid.at != NULL) buf_addf(&out, " ENVID=%.*s", SLICE_ARG(mail->envid));
	if (mail->auth.at != NULL) buf_addf(&out, " AUTH=%.*s", SLICE_ARG(mail->auth));
	return arena_slice(mem, slice_skip(buf_slice(&out), 1));
}

static struct slice rcpt_parameters(const struct smtp_rcpt *rcpt, struct arena *mem) {
	static const struct { unsigned bit; const char *name;
	} names[] = { { SMTP_NOTIFY_NEVER, "NEVER" },
		      { SMTP_NOTIFY_SUCCESS, "SUCCESS" },
		      { SMTP_NOTIFY_FAILURE, "FAILURE" },
		      { SMTP_NOTIFY_DELAY, "DELAY" } };
	AUTO_BUF struct buf out = BUF(KIB(4));
	const char *before = " NOTIFY=";
	for (size_t i = 0; i < LEN(names); i++) {
		if ((rcpt->notify & names[i].bit) == 0) continue;
		buf_addf(&out, "%s%s", before, names[i].name);
		before = ",";
	}
	if (rcpt->orcpt.at != NULL) buf_addf(&out, " ORCPT=%.*s", SLICE_ARG(rcpt->orcpt));
	return arena_slice(mem, slice_skip(buf_slice(&out), 1));
}

struct smtp_reply milting_mail(struct milting *m, const struct smtp_mail *mail, struct arena *mem) {
	m->hold = m->discard = false;
	m->mail = (struct milting_path){ .address = mail->text };
	m->rcpt = (struct milting_path){ 0 };
	m->auth_author = mail->auth;
	struct slice address = arena_fmt(mem, "<%.*s>", SLICE_ARG(mail->text));
	struct smtp_reply r = reply_of(m, milters_mail(m->milters, address, mail_parameters(mail, mem), mem));
	m->mail = (struct milting_path){ 0 };
	return r;
}

/* {mail_addr} and its like can be asked for up to DATA. */
static struct milting_path sender_of(const struct milting *m) {
	const struct smtp_session *s = m->facts->session;
	return (struct milting_path){ .address = s != NULL && s->mail != NULL ? s->mail->text : SLICE_NONE };
}

struct smtp_reply milting_rcpt(struct milting *m, const struct smtp_rcpt *rcpt, const struct smtp_reply *refusal,
			       struct arena *mem) {
	struct smtp_reply go_on = { .code = 0 };
	if (refusal != NULL && !milters_want_rejected(m->milters)) return go_on;
	m->mail = sender_of(m);
	m->rcpt = (struct milting_path){ .address = rcpt->text };
	if (refusal != NULL) { /* as Sendmail tells it */
		m->rcpt.mailer = S("error");
		m->rcpt.place = arena_slice(mem, slice_of(refusal->status));
		size_t why = slice_search(refusal->text, S(">: "));
		m->rcpt.address = why < refusal->text.len ? slice_skip(refusal->text, why + 3) : refusal->text;
	}
	struct slice address = arena_fmt(mem, "<%.*s>", SLICE_ARG(rcpt->text));
	struct milter_verdict v =
		milters_rcpt(m->milters, address, rcpt_parameters(rcpt, mem), refusal != NULL, mem);
	m->mail = m->rcpt = (struct milting_path){ 0 };
	return refusal != NULL ? go_on : reply_of(m, v);
}

struct smtp_reply milting_data(struct milting *m, struct arena *mem) {
	m->mail = sender_of(m);
	struct smtp_reply r = reply_of(m, milters_data(m->milters, mem));
	m->mail = (struct milting_path){ 0 };
	return r;
}

struct smtp_reply milting_unknown(struct milting *m, struct slice line, struct arena *mem) {
	return reply_of(m, milters_unknown(m->milters, line, mem));
}

struct smtp_reply milting_message(struct milting *m, struct milting_message *message, struct arena *mem) {
	struct intake *in = message->intake;
	m->message = message;
	m->changed = m->failed = false;
	header_list_read(&m->header, slice_skip(buf_slice(&in->head), message->return_path), message->mem);
	const char *others = in->head.at + in->trace; /* where the fields begin that are not ours */
	for (size_t i = 0; i < m->header.count && m->header.at[i].text.at < others; i++) m->header.at[i].ours = true;
	struct smtp_reply r = { .code = 0 };
	if (!m->discard) r = reply_of(m, milters_message(m->milters, mem));
	m->message = NULL;
	message->hold = m->hold;
	message->discard = m->discard;
	message->changed = m->changed;
	if (r.code != 0 || !m->changed) return r;
	AUTO_BUF struct buf head = BUF(in->head.limit);
	buf_add(&head, slice_head(buf_slice(&in->head), message->return_path));
	if (!header_list_write(&m->header, &head))
		return smtp_reply(451, "4.3.0", S("Error: message header too large"));
	intake_changed(in);
	buf_done(&in->head);
	in->head = head;
	in->trace = message->return_path;
	head = BUF(0);
	return r;
}

void milting_abort(struct milting *m) {
	m->hold = m->discard = false;
	milters_abort(m->milters);
}
