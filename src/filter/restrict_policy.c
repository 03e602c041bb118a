/* SPDX-License-Identifier: Apache-2.0 */
/* check_policy_service: all that is known goes to the policy server (SMTPD_POLICY_README), and what it answers counts as
 * the result of an access table. */
#include "filter/restrict_private.h"
#include "base/fail.h"

enum { REQUEST_MOST = 65536 };

static void add_number(struct buf *out, const char *name, uint64_t n) {
	char text[24];
	snprintf(text, sizeof text, "%llu", (unsigned long long)n);
	policy_add(out, name, slice_of(text));
}

static void add_session(struct buf *out, const struct restrict_facts *f) {
	const struct restrict_tls none = { 0 }, *t = f->tls != NULL ? f->tls : &none;
	policy_add(out, "sasl_method", f->mechanism);
	policy_add(out, "sasl_username", f->login);
	policy_add(out, "sasl_sender", f->auth_sender);
	policy_add(out, "ccert_subject", t->subject);
	policy_add(out, "ccert_issuer", t->issuer);
	policy_add(out, "ccert_fingerprint", t->certificate);
	policy_add(out, "ccert_pubkey_fingerprint", t->key);
	policy_add(out, "encryption_protocol", t->protocol);
	policy_add(out, "encryption_cipher", t->cipher);
	add_number(out, "encryption_keysize", (uint64_t)t->bits);
}

static void write_request(struct buf *out, const struct walk *w, struct slice context) {
	const struct restrict_facts *f = w->f;
	const struct restrict_client *c = f->client;
	bool data = w->stage == ITEM_DATA || w->stage == ITEM_END;
	policy_add(out, "request", S("smtpd_access_policy"));
	policy_add(out, "protocol_state", slice_of(f->where));
	policy_add(out, "protocol_name", slice_of(f->proto));
	policy_add(out, "client_address", c->ip);
	policy_add(out, "client_name", c->name);
	policy_add(out, "client_port", c->port);
	policy_add(out, "reverse_client_name", c->reverse);
	policy_add(out, "server_address", c->server_ip);
	policy_add(out, "server_port", c->server_port);
	policy_add(out, "helo_name", f->helo);
	policy_add(out, "sender", f->sender);
	policy_add(out, "recipient", f->recipient);
	add_number(out, "recipient_count", data ? f->recipients : 0);
	policy_add(out, "queue_id", f->queue_id);
	policy_add(out, "instance", f->instance);
	add_number(out, "size", f->size);
	policy_add(out, "etrn_domain", f->etrn);
	policy_add(out, "stress", w->p->stress);
	add_session(out, f);
	policy_add(out, "policy_context", context);
	policy_add(out, "compatibility_level", w->p->compatibility_level);
	policy_add(out, "mail_version", w->p->mail_version);
	buf_byte(out, '\n');
}

enum result check_policy(struct walk *w, const struct check *c) {
	AUTO_BUF struct buf request = BUF(REQUEST_MOST);
	struct slice action;
	if (w->run->ops->spf != NULL && policy_spf_is_absent(c->server)) {
		action = w->run->ops->spf(w->run->ctx, w->run->mem);
		return access_result(w, arena_text(w->run->mem, c->argument), action, S("policy query"), w->reply_name, w->item);
	}
	write_request(&request, w, policy_context(c->server));
	if (request.full) return server_error(w);
	if (policy_ask(c->server, buf_slice(&request), w->run->mem, &action) < 0) {
		warn(w, "problem talking to server %.*s: %s", SLICE_ARG(c->argument), fail_text());
		action = policy_default_action(c->server);
	}
	return access_result(w, arena_text(w->run->mem, c->argument), action, S("policy query"), w->reply_name, w->item);
}
