/* SPDX-License-Identifier: Apache-2.0 */
/* Macros as MILTER_README of Postfix lists them ("Sendmail macro emulation"), and the changes to header and envelope.
 */
#include "base/fail.h"
#include "flow/milting_private.h"
#include "smtp/command.h"

/* Macros. */

static struct slice number_text(struct arena *mem, unsigned long long n) {
	return arena_fmt(mem, "%llu", n);
}

static struct slice client_macro(struct milting *m, struct slice name, struct arena *mem) {
	const struct milting_facts *f = m->facts;
	bool no_address = addr_family(f->peer) == AF_UNSPEC;
	if (slice_eq(name, S("{client_addr}"))) return slice_of(f->ip);
	if (slice_eq(name, S("{client_name}"))) return f->name;
	if (slice_eq(name, S("{client_ptr}"))) return f->reverse;
	if (slice_eq(name, S("{client_port}"))) return no_address ? SLICE_NONE : number_text(mem, addr_port(f->peer));
	if (slice_eq(name, S("{client_resolve}")))
		return slice_same(f->name, f->reverse) ? (slice_eq(f->name, S("unknown")) ? S("FAIL") : S("OK"))
						       : S("FORGED");
	if (slice_eq(name, S("_"))) {
		bool forged = !slice_same(f->name, f->reverse);
		return arena_fmt(mem, "%.*s [%s]%s", SLICE_ARG(f->reverse), f->ip, forged ? " (may be forged)" : "");
	}
	return SLICE_NONE;
}

static struct slice session_macro(struct milting *m, struct slice name, struct arena *mem) {
	const struct smtp_session *s = m->facts->session;
	if (s == NULL) return SLICE_NONE;
	bool logged_in = s->login.len != 0;
	if (slice_eq(name, S("{auth_type}"))) return logged_in ? s->mechanism : SLICE_NONE;
	if (slice_eq(name, S("{auth_authen}"))) return logged_in ? s->login : SLICE_NONE;
	if (slice_eq(name, S("{auth_author}")))
		return logged_in && m->auth_author.len != 0 ? m->auth_author : SLICE_NONE;
	if (s->tls == NULL) return SLICE_NONE;
	struct tls_info info;
	AUTO_BUF struct buf subject = BUF(KIB(4)), issuer = BUF(KIB(4));
	tls_info(s->tls, &info);
	if (slice_eq(name, S("{tls_version}"))) return arena_slice(mem, slice_of(info.protocol));
	if (slice_eq(name, S("{cipher}"))) return arena_slice(mem, slice_of(info.cipher));
	if (slice_eq(name, S("{cipher_bits}"))) return number_text(mem, (unsigned long long)info.bits_used);
	if (!slice_eq(name, S("{cert_subject}")) && !slice_eq(name, S("{cert_issuer}"))) return SLICE_NONE;
	if (!info.peer_has_cert || !tls_peer_names(s->tls, &subject, &issuer)) return SLICE_NONE;
	return arena_slice(mem, buf_slice(slice_eq(name, S("{cert_subject}")) ? &subject : &issuer));
}

static struct slice path_macro(struct milting *m, struct slice name, struct arena *mem) {
	static const struct {
		struct slice prefix;
		bool is_rcpt;
	} kinds[] = { { S("{mail_"), false }, { S("{rcpt_"), true } };
	for (size_t i = 0; i < LEN(kinds); i++) {
		struct milting_path *p = kinds[i].is_rcpt ? &m->rcpt : &m->mail;
		struct slice rest = slice_skip(name, kinds[i].prefix.len);
		if (!slice_starts(name, kinds[i].prefix) || p->address.at == NULL) continue;
		if (slice_eq(rest, S("addr}"))) return p->address;
		if (p->mailer.at == NULL) m->facts->route(m->facts->ctx, p->address, mem, &p->mailer, &p->place);
		if (slice_eq(rest, S("host}"))) return p->place;
		if (slice_eq(rest, S("mailer}"))) return p->mailer;
	}
	return SLICE_NONE;
}

static struct slice own_macro(struct milting *m, struct slice name, struct arena *mem) {
	const struct milting_params *p = m->params;
	const struct milting_facts *f = m->facts;
	char ip[ADDR_TEXT_ROOM];
	if (slice_eq(name, S("j"))) return p->host;
	if (slice_eq(name, S("v"))) return p->version;
	if (slice_eq(name, S("{daemon_name}"))) return p->daemon_name;
	if (slice_eq(name, S("i"))) {
		const char *id = f->queue_id(f->ctx);
		return id != NULL && id[0] != '\0' ? slice_of(id) : SLICE_NONE;
	}
	if (f->daemon == NULL) return SLICE_NONE;
	if (slice_eq(name, S("{daemon_addr}"))) return arena_slice(mem, slice_of(addr_text(f->daemon, ip)));
	if (slice_eq(name, S("{daemon_port}"))) return number_text(mem, addr_port(f->daemon));
	return SLICE_NONE;
}

/* milter_macro_defaults: "name=value", the braces of the name may be missing. */
static struct slice default_macro(const struct milting *m, struct slice name) {
	struct slice bare = name;
	if (slice_starts(bare, S("{"))) bare = slice_from(bare.at + 1, bare.len - 2);
	for (size_t i = 0; i < m->params->defaults_count; i++) {
		struct slice value = m->params->defaults[i], key = slice_trim(slice_cut(&value, '='));
		if (slice_eq(key, name) || slice_eq(key, bare)) return slice_trim(value);
	}
	return SLICE_NONE;
}

static struct slice op_macro(void *ctx, struct slice name, struct arena *mem) {
	struct milting *m = ctx;
	/* one letter stands for itself or in braces; longer names always in braces */
	if (name.len == 3 && name.at[0] == '{') name = slice_from(name.at + 1, 1);
	if (name.len > 1 && name.at[0] != '{') name = arena_fmt(mem, "{%.*s}", SLICE_ARG(name));
	struct slice value = own_macro(m, name, mem);
	if (value.at == NULL) value = client_macro(m, name, mem);
	if (value.at == NULL) value = path_macro(m, name, mem);
	if (value.at == NULL) value = session_macro(m, name, mem);
	return value.at != NULL ? value : default_macro(m, name);
}

/* The message. */

static bool op_field(void *ctx, size_t i, struct slice *name, struct slice *value) {
	struct milting *m = ctx;
	if (i == 0) m->shown = m->shown_at = 0;
	else if (i != m->shown) return false; /* they are asked for in order */
	while (m->shown_at < m->header.count && m->header.at[m->shown_at].ours) m->shown_at++;
	if (m->shown_at >= m->header.count) return false;
	*name = m->header.at[m->shown_at].name;
	*value = m->header.at[m->shown_at].value;
	m->shown++;
	m->shown_at++;
	return true;
}

static ssize_t op_body(void *ctx, uint64_t at, char *room, size_t n) {
	struct milting *m = ctx;
	return intake_body(m->message->intake, at, room, n);
}

/* milter_header_checks on what a milter wants to write: false, it is not written. The field may become another. */
static bool checked(struct milting *m, struct slice *name, struct slice *value) {
	const struct lookup *l = &m->params->header_checks;
	struct arena *mem = m->message->mem;
	struct checks_hit hit;
	if (l->count == 0 || value->len == 0) return true;
	struct slice text = arena_fmt(mem, "%.*s:%.*s", SLICE_ARG(*name), SLICE_ARG(*value));
	checks_find(l, "milter_header_checks", text, false, mem, &hit);
	if (hit.action == CHECKS_NOTHING) return true;
	if (hit.action == CHECKS_DROP) return false;
	if (hit.action == CHECKS_PREPEND) {
		hit.action = CHECKS_WRONG;
		hit.text = S("PREPEND is not available in milter_header_checks");
	}
	m->facts->content(m->facts->ctx, &hit);
	if (hit.action == CHECKS_REPLACE) {
		struct slice rest = hit.text;
		*name = slice_cut(&rest, ':');
		*value = rest.at != NULL ? rest : S("");
	}
	return hit.action != CHECKS_STRIP;
}

static int op_add_field(void *ctx, struct slice name, struct slice value) {
	struct milting *m = ctx;
	if (!checked(m, &name, &value)) return 0;
	m->changed = true;
	header_list_insert(&m->header, SIZE_MAX, name, value);
	return 0;
}

static int op_insert_field(void *ctx, uint32_t index, struct slice name, struct slice value) {
	struct milting *m = ctx;
	if (!checked(m, &name, &value)) return 0;
	m->changed = true;
	header_list_insert(&m->header, index, name,
			   value); /* our Received counts: 0 is before it, 1 behind it, as with Postfix */
	return 0;
}

static int op_change_field(void *ctx, uint32_t index, struct slice name, struct slice value) {
	struct milting *m = ctx;
	size_t at = header_list_find(&m->header, name, MAX_OF(index, 1u));
	if (!checked(m, &name, &value)) return 0;
	m->changed = true;
	if (value.len == 0) header_list_delete(&m->header, at);
	else if (at < m->header.count) header_list_change(&m->header, at, name, value);
	else header_list_insert(&m->header, SIZE_MAX, name, value);
	return 0;
}

static int op_replace_body(void *ctx, struct slice piece, bool first) {
	struct milting *m = ctx;
	struct intake *in = m->message->intake;
	intake_replace_body(in, piece, first);
	errno = in->error;
	return in->error == 0 ? 0 : fail_errno("new body");
}

/* Envelope. */

enum { RECIPIENTS_MOST = 100000 };

static struct slice address_of(const struct milting *m, struct slice local_or_whole, const struct mailbox *box,
			       struct arena *mem) {
	if (box->domain.len != 0 || box->local.len == 0 || m->params->origin.len == 0)
		return arena_slice(mem, local_or_whole);
	return arena_fmt(mem, "%.*s@%.*s", SLICE_ARG(local_or_whole), SLICE_ARG(m->params->origin));
}

static struct slice bracketed(const char *verb, struct slice address, struct slice parameters, struct arena *mem) {
	address = slice_trim(address);
	bool bare = !slice_starts(address, S("<"));
	return arena_fmt(mem, "%s:%s%.*s%s %.*s", verb, bare ? "<" : "", SLICE_ARG(address), bare ? ">" : "",
			 SLICE_ARG(parameters));
}

static const struct smtp_server_params lenient = { .line_limit = 2048 };

static int op_add_recipient(void *ctx, struct slice address, struct slice parameters) {
	struct milting *m = ctx;
	struct milting_message *msg = m->message;
	struct smtp_rcpt rcpt;
	struct smtp_reply r = command_rcpt(bracketed("TO", address, parameters, msg->mem), &lenient, OFFER_USUAL, true,
					   msg->mem, &rcpt);
	if (r.code != 0) return fail("cannot add the recipient \"%.*s\": %.*s", SLICE_ARG(address), SLICE_ARG(r.text));
	if (msg->count >= RECIPIENTS_MOST) return fail("too many recipients were added");
	struct accept_recipient *more = arena_array(msg->mem, msg->count + 1, sizeof *more);
	if (msg->count != 0) memcpy(more, msg->recipients, msg->count * sizeof *more);
	msg->recipients = more;
	more[msg->count++] = (struct accept_recipient){
		.address = address_of(m, rcpt.text, &rcpt.to, msg->mem), .orcpt = rcpt.orcpt, .notify = rcpt.notify };
	return 0;
}

static int op_delete_recipient(void *ctx, struct slice address) {
	struct milting *m = ctx;
	struct milting_message *msg = m->message;
	struct smtp_rcpt rcpt;
	struct smtp_reply r =
		command_rcpt(bracketed("TO", address, S(""), msg->mem), &lenient, OFFER_USUAL, true, msg->mem, &rcpt);
	if (r.code != 0)
		return fail("cannot delete the recipient \"%.*s\": %.*s", SLICE_ARG(address), SLICE_ARG(r.text));
	struct slice gone = address_of(m, rcpt.text, &rcpt.to, msg->mem);
	size_t kept = 0;
	for (size_t i = 0; i < msg->count; i++)
		if (!slice_same(msg->recipients[i].address, gone)) msg->recipients[kept++] = msg->recipients[i];
	msg->count = kept;
	return 0;
}

static int op_change_sender(void *ctx, struct slice address, struct slice parameters) {
	struct milting *m = ctx;
	struct milting_message *msg = m->message;
	struct smtp_mail mail;
	struct smtp_reply r = command_mail(bracketed("FROM", address, parameters, msg->mem), &lenient,
					   OFFER_USUAL | OFFER_AUTH, msg->mem, &mail);
	if (r.code != 0)
		return fail("cannot change the sender to \"%.*s\": %.*s", SLICE_ARG(address), SLICE_ARG(r.text));
	msg->sender = address_of(m, mail.text, &mail.from, msg->mem);
	msg->new_sender = true;
	if (mail.envid.at != NULL) msg->envid = arena_slice(msg->mem, mail.envid);
	if (mail.ret != SMTP_RET_NONE) msg->ret = (uint32_t)mail.ret;
	return 0;
}

const struct milter_ops milting_ops = {
	.macro = op_macro,
	.field = op_field,
	.body = op_body,
	.add_field = op_add_field,
	.insert_field = op_insert_field,
	.change_field = op_change_field,
	.replace_body = op_replace_body,
	.add_recipient = op_add_recipient,
	.delete_recipient = op_delete_recipient,
	.change_sender = op_change_sender,
};
