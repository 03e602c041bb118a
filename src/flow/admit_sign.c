/* SPDX-License-Identifier: Apache-2.0 */
/* Whose mail is signed as it leaves is decided where it is known who hands it in. OpenDKIM's lines about that decision
 * stand in the log when they are asked for (LogWhy). */
#include "flow/admit_private.h"
#include "base/fail.h"
#include "base/log.h"
#include "mime/header.h"
#include "trust/dmarc.h"

/* In the words of a milter's macros; empty: not set. */
static struct slice macro(const struct admit *a, struct slice name) {
	const struct smtp_session *s = admit_session(a);
	if (slice_starts(name, S("{")) && slice_ends(name, S("}"))) name = slice_from(name.at + 1, name.len - 2);
	if (slice_eq(name, S("daemon_name"))) return a->params->sign->daemon_name;
	if (slice_eq(name, S("j"))) return slice_of(a->params->host);
	if (slice_eq(name, S("auth_type"))) return s->mechanism;
	if (slice_eq(name, S("auth_authen"))) return s->login;
	if (slice_eq(name, S("client_addr"))) return slice_of(a->ip);
	if (slice_eq(name, S("client_name"))) return a->name;
	return SLICE_NONE;
}

/* "name" or "name=value|value". */
static bool macro_matches(const struct admit *a, struct slice wish) {
	struct slice values = wish, name = slice_cut(&values, '='), value = macro(a, name);
	if (value.len == 0) return false;
	bool any = values.at == NULL;
	while (values.at != NULL && !any) any = slice_eq(slice_cut(&values, '|'), value);
	return any;
}

static void say_why(const struct admit *a, const char *text, bool with_client) {
	AUTO_BUF struct buf line = BUF(KIB(1));
	if (!a->params->sign->log_why) return;
	if (with_client) buf_addf(&line, "%.*s [%s] ", SLICE_ARG(a->name), a->ip);
	buf_add(&line, slice_of(text));
	log_line(L_INFO, "/opendkim", 0, a->id, buf_text(&line), NULL, 0);
}

static bool is_ours(const struct admit *a) {
	const struct sign_clients *p = a->params->sign;
	struct addr from = a->peer;
	if (a->local || admit_session(a)->login.len != 0) return true;
	for (size_t i = 0; i < p->daemons_count; i++)
		if (slice_eq(p->daemons[i], p->daemon_name)) return true;
	if (p->daemons_count != 0) say_why(a, "no MTA name match", false);
	for (size_t i = 0; i < p->macros_count; i++)
		if (macro_matches(a, p->macros[i])) return true;
	if (p->macros_count != 0) say_why(a, "no macros match", false);
	struct slice forward =
		a->access.forward.address; /* what a gateway hands on (XFORWARD) is his who gave it to the gateway */
	bool known = forward.len == 0 || addr_parse(forward, &from);
	if (known && forward.len == 0 && p->hosts != NULL && a->access.client.name_state == NAME_KNOWN &&
	    domains_match(p->hosts, a->name))
		return true;
	if (known && networks_match_sockaddr(p->networks, &from.any)) return true;
	say_why(a, "not internal", true);
	say_why(a, "not authenticated", false);
	return false;
}

static bool is_exempt_recipient(const struct sign_clients *p, struct slice address) {
	for (size_t i = 0; i < p->exempt_recipients_count; i++)
		if (slice_matches(p->exempt_recipients[i], address)) return true;
	return false;
}

bool admit_sign_ignores(const struct sign_clients *p, const struct admit *a, struct slice header) {
	AUTO_ARENA struct arena mem = { 0 };
	struct slice author;
	bool broken;
	if (p == NULL) return false;
	if (p->ignored != NULL && networks_match_sockaddr(p->ignored, &a->peer.any)) return true;
	if (p->ignored_hosts != NULL && a->access.client.name_state == NAME_KNOWN &&
	    domains_match(p->ignored_hosts, a->name))
		return true;
	if (p->ignored_authors == NULL || p->ignored_authors->count == 0) return false;
	return dmarc_authors(header, &mem, &author, 1, &broken) == 1 && domains_match(p->ignored_authors, author);
}

bool admit_is_to_be_signed(const struct admit *a) {
	const struct sign_clients *p = a->params->sign;
	if (p == NULL || p->networks == NULL || admit_sign_ignores(p, a, buf_slice(&a->intake.head)) || !is_ours(a))
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (is_exempt_recipient(p, a->recipients[i].address)) return false;
	return true;
}

/* A copy that stays here is signed as one that leaves would be, over the text as it is stored. Those that leave are
 * signed anew by relay, which takes these signatures off (signing.c): there the text may change once more. */
void admit_sign_here(struct admit *a) {
	const struct sign_clients *p = a->params->sign;
	struct intake *in = &a->intake;
	if (p->here == NULL || !a->for_here || (!p->here_all && admit_session(a)->login.len == 0)) return;
	AUTO_ARENA struct arena mem = { 0 };
	AUTO_BUF struct buf text = BUF(in->head.len + in->content.len + 1);
	size_t return_path = slice_find(buf_slice(&in->head), '\n') + 1;
	buf_add(&text, slice_skip(buf_slice(&in->head), return_path));
	buf_add(&text, buf_slice(&in->content));
	struct smtp_message m = { .id = a->id, .body = { buf_slice(&text), in->spool, 0, in->spooled } };
	if (signing_apply(p->signing, p->here, true, SLICE_NONE, &m, &mem) < 0) {
		say(L_WARN, a->params->service, "%s: not signed for those who have it here: %s", a->id, fail_text());
		return;
	}
	if (m.body.head.len > text.len)
		intake_insert_at(in, return_path, slice_head(m.body.head, m.body.head.len - text.len));
}
