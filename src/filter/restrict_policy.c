/* SPDX-License-Identifier: Apache-2.0 */
/* check_policy_service: all that is known goes to the policy server (SMTPD_POLICY_README), and what it answers counts
 * as the result of an access table. */
#include "filter/restrict_private.h"
#include "base/fail.h"
#include "mime/address.h"

enum { REQUEST_MOST = 65536 };

/* Policy servers are told addresses without quotes, as smtpd(8) tells them. */
static struct slice plain(const struct walk *w, struct slice address) {
	struct mailbox m;
	if (address.len == 0 || address.at[0] != '"' ||
	    address_parse(address, ADDRESS_UTF8 | ADDRESS_LONG_LOCAL, w->run->mem, &m) != ADDRESS_OK)
		return address;
	if (m.domain.len == 0) return m.local;
	return arena_fmt(w->run->mem, "%.*s@%.*s", SLICE_ARG(m.local), SLICE_ARG(m.domain));
}

static void write_request(struct buf *out, const struct walk *w, struct slice context) {
	const struct restrict_facts *f = w->f;
	const struct restrict_client *c = f->client;
	const struct restrict_tls none = { 0 }, *t = f->tls != NULL ? f->tls : &none;
	bool data = w->stage == ITEM_DATA || w->stage == ITEM_END;
	char recipients[24], size[24], bits[24];
	snprintf(recipients, sizeof recipients, "%llu", data ? (unsigned long long)f->recipients : 0);
	snprintf(size, sizeof size, "%llu", (unsigned long long)f->size);
	snprintf(bits, sizeof bits, "%d", (int)t->bits);
	const struct { const char *name; struct slice value;
	} all[] = {
		{ "request", S("smtpd_access_policy") },
		{ "protocol_state", slice_of(f->where) },
		{ "protocol_name", slice_of(f->proto) },
		{ "client_address", c->ip },
		{ "client_name", c->name },
		{ "client_port", c->port },
		{ "reverse_client_name", c->reverse },
		{ "server_address", c->server_ip },
		{ "server_port", c->server_port },
		{ "helo_name", f->helo },
		{ "sender", plain(w, f->sender) },
		{ "recipient", plain(w, f->recipient) },
		{ "recipient_count", slice_of(recipients) },
		{ "queue_id", f->queue_id },
		{ "instance", f->instance },
		{ "size", slice_of(size) },
		{ "etrn_domain", f->etrn },
		{ "stress", w->p->stress },
		{ "sasl_method", f->mechanism },
		{ "sasl_username", f->login },
		{ "sasl_sender", f->auth_sender },
		{ "ccert_subject", t->trusted ? t->subject : S("") }, /* else anybody may have written it */
		{ "ccert_issuer", t->trusted ? t->issuer : S("") },
		{ "ccert_fingerprint", t->certificate },
		{ "ccert_pubkey_fingerprint", t->key },
		{ "encryption_protocol", t->protocol },
		{ "encryption_cipher", t->cipher },
		{ "encryption_keysize", slice_of(bits) },
		{ "policy_context", context },
		{ "compatibility_level", w->p->compatibility_level },
		{ "mail_version", w->p->mail_version },
	};
	for (size_t i = 0; i < LEN(all); i++) policy_add(out, all[i].name, all[i].value);
	buf_byte(out, '\n');
}

enum result check_policy(struct walk *w, const struct check *c) {
	AUTO_BUF struct buf request = BUF(REQUEST_MOST);
	struct slice action;
	if (w->run->ops->spf != NULL && policy_spf_is_absent(c->server)) {
		action = w->run->ops->spf(w->run->ctx, w->run->mem);
		return access_result(w, arena_text(w->run->mem, c->argument), action, S("policy query"), w->reply_name,
				     w->item);
	}
	write_request(&request, w, policy_context(c->server));
	if (request.full) return server_error(w);
	if (policy_ask(c->server, buf_slice(&request), w->run->mem, &action) < 0) {
		warn(w, "problem talking to server %.*s: %s", SLICE_ARG(c->argument), fail_text());
		action = policy_default_action(c->server);
	}
	return access_result(w, arena_text(w->run->mem, c->argument), action, S("policy query"), w->reply_name,
			     w->item);
}
