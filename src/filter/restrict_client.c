/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of who the client is: its network, its name, its log-in, its certificate. */
#include "filter/restrict_private.h"

static enum result permit_word(struct walk *w, const struct check *c) {
	return permit(w, c->word->name, item_titles[w->item], w->reply_name, NULL);
}

enum result check_permit_networks(struct walk *w, const struct check *c) {
	return networks_match_sockaddr(w->p->networks, &w->f->client->addr.any) ? permit_word(w, c) : DUNNO;
}

bool is_our_address(const struct restrict_params *p, const struct addr *a) {
	for (size_t i = 0; i < p->own_count; i++)
		if (addr_same_host(&p->own[i], a)) return true;
	return false;
}

enum result check_permit_interfaces(struct walk *w, const struct check *c) {
	return is_our_address(w->p, &w->f->client->addr) ? permit_word(w, c) : DUNNO;
}

enum result check_permit_sasl(struct walk *w, const struct check *c) {
	return w->p->auth_enabled && w->f->login.len != 0 ? permit_word(w, c) : DUNNO;
}

enum result check_permit_certificate(struct walk *w, const struct check *c) {
	const struct restrict_tls *t = w->f->tls;
	if (t == NULL || !t->has_certificate) return DUNNO;
	if (c->word->how == 1) return t->trusted ? permit_word(w, c) : DUNNO;
	const struct slice prints[] = { t->certificate, t->key };
	for (size_t i = 0; i < LEN(prints); i++) {
		struct lookup_hit hit;
		if (prints[i].len == 0) continue;
		int r = lookup_key(&w->p->certificates, prints[i], w->run->mem, &hit);
		if (r == TABLE_FOUND) return permit_word(w, c);
		if (r == TABLE_LATER) return server_error(w);
	}
	return DUNNO;
}

static enum result unnamed(struct walk *w, enum restrict_name state, const char *status, const char *what) {
	char ip[ADDR_TEXT_ROOM];
	if (state == NAME_KNOWN) return DUNNO;
	addr_text(&w->f->client->addr, ip);
	return reject(w, state == NAME_LATER ? 450 : w->p->codes.unknown_client, status,
	              "Client host rejected: cannot find your %s, [%s]", what, ip);
}

enum result check_unknown_client(struct walk *w, const struct check *c) {
	(void)c;
	return unnamed(w, w->f->client->name_state, "4.7.25", "hostname");
}

enum result check_unknown_reverse(struct walk *w, const struct check *c) {
	(void)c;
	return unnamed(w, w->f->client->reverse_state, "4.7.1", "reverse hostname");
}

/* There is a PTR, but its name has no address at all. */
enum result check_unknown_forward(struct walk *w, const struct check *c) {
	(void)c;
	enum restrict_name state = w->f->client->name_state;
	return unnamed(w, state == NAME_FORGED ? NAME_KNOWN : state, "4.7.25", "hostname");
}
