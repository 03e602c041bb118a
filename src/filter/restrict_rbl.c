/* SPDX-License-Identifier: Apache-2.0 */
/* Block and allow lists in DNS. Waiting for one list after the other would add their delays up: when the first one is
 * asked, all others that this client will meet are asked as well, so that their answers are there when they are wanted.
 */
#include "filter/restrict_private.h"
#include "base/fail.h"
#include "conf/footer.h"

/* Asking ahead. */

static struct slice name_to_ask(const struct walk *w, const struct check *c) {
	bool by_address = c->word->run == check_rbl_client || c->word->run == check_white_client;
	if (by_address) return dnsbl_address_name(&c->zone, &w->f->client->addr, w->run->mem);
	struct slice text = item_text(w, c->word->item);
	return text.at != NULL ? dnsbl_domain_name(&c->zone, text, w->run->mem) : SLICE_NONE;
}

static bool asks_dns(const struct check *c) {
	return c->word != NULL && c->word->argument == ARG_DOMAIN && !c->broken;
}

static void ask_ahead(struct walk *w) {
	if (w->state->asked_ahead) return;
	w->state->asked_ahead = true;
	for (size_t i = 0; i < RESTRICT_STAGES; i++) {
		const struct check_list *list = &w->rules->stages[i];
		for (size_t k = 0; k < list->count; k++) {
			struct slice name = asks_dns(&list->at[k]) ? name_to_ask(w, &list->at[k]) : SLICE_NONE;
			if (name.len != 0) dns_hint(w->p->dns, name, DNS_A);
		}
	}
}

static enum dnsbl_result ask(struct walk *w, const struct dnsbl_zone *zone, struct slice name, struct dnsbl_hit *hit) {
	*hit = (struct dnsbl_hit){ S("") };
	if (w->p->dns == NULL) return DNSBL_LATER;
	ask_ahead(w);
	const struct dns_view view = dns_view_of(w);
	return dnsbl_ask(&view, zone, name, deadline_in(DNS_WAIT_MS), true, w->run->mem, hit);
}

/* The reply. */

struct macros {
	const struct walk *w;
	const struct dnsbl_zone *zone;
	struct slice what, reason;
	enum item item;
	unsigned depth;
};

static struct slice local_of(struct slice address) {
	return slice_head(address, slice_find_last(address, '@'));
}

static int macro(void *ctx, struct slice name, struct buf *out) {
	const struct macros *m = ctx;
	const struct restrict_facts *f = m->w->f;
	char code[12];
	snprintf(code, sizeof code, "%d", m->w->p->codes.rbl);
	const struct { struct slice name, value;
	} known[] = {
		{ S("rbl_code"), slice_of(code) },
		{ S("rbl_domain"), m->zone->domain },
		{ S("rbl_reason"), m->reason },
		{ S("rbl_txt"), m->reason },
		{ S("rbl_what"), m->what },
		{ S("rbl_class"), slice_of(item_titles[m->item]) },
		{ S("client"), f->client->shown },
		{ S("client_address"), f->client->ip },
		{ S("client_name"), f->client->name },
		{ S("client_port"), f->client->port },
		{ S("reverse_client_name"), f->client->reverse },
		{ S("helo_name"), f->helo },
		{ S("sender"), f->sender.len != 0 ? f->sender : S("<>") },
		{ S("sender_name"), f->sender.len != 0 ? local_of(f->sender) : S("<>") },
		{ S("sender_domain"), domain_of(f->sender) },
		{ S("recipient"), f->recipient },
		{ S("recipient_name"), local_of(f->recipient) },
		{ S("recipient_domain"), domain_of(f->recipient) },
		{ S("mail_name"), slice_of(m->w->p->mail_name) },
		{ S("myhostname"), slice_of(m->w->p->host) },
		{ S("server_name"), slice_of(m->w->p->host) },
	};
	for (size_t i = 0; i < LEN(known); i++) {
		if (!slice_eq(known[i].name, name)) continue;
		expand_filtered(out, m->w->p->expansion, known[i].value);
		return EXPAND_KNOWN;
	}
	return EXPAND_UNKNOWN;
}

/* "554 5.7.1 text" or "554 text". */
static bool reply_from(struct walk *w, struct slice text, enum result *result) {
	uint64_t code = 0;
	if (text.len < 4 || text.at[3] != ' ' || !slice_number(slice_head(text, 3), 599, &code) || code < 400)
		return false;
	struct slice rest = slice_trim(slice_skip(text, 4));
	const char *status = split_status(w, &rest, code < 500 ? "4.7.1" : "5.7.1");
	if (rest.len == 0) rest = S("Service unavailable");
	*result = reject(w, (int)code, status, "%.*s", SLICE_ARG(rest));
	return true;
}

static enum result blocked(struct walk *w, const struct dnsbl_zone *zone, struct slice what,
			   const struct dnsbl_hit *hit, enum item item) {
	struct lookup_hit own;
	int r = lookup_key(&w->p->rbl_replies, zone->spec, w->run->mem, &own);
	if (r == TABLE_MISSING && zone->spec.len != zone->domain.len)
		r = lookup_key(&w->p->rbl_replies, zone->domain, w->run->mem, &own);
	if (r == TABLE_LATER) return reject_trouble(w, 451, "4.3.5", "Server configuration error");
	struct slice templates[] = { r == TABLE_FOUND ? own.value : SLICE_NONE, w->p->rbl_reply };
	for (size_t i = 0; i < LEN(templates); i++) {
		struct macros m = { .w = w, .zone = zone, .what = what, .reason = hit->text, .item = item };
		struct expand_ops ops = { .value = macro, .ctx = &m, .depth = &m.depth };
		AUTO_BUF struct buf text = BUF(KIB(16));
		enum result result;
		if (templates[i].len == 0) continue;
		if (expand(templates[i], &ops, &text) >= 0 && reply_from(w, slice_trim(buf_slice(&text)), &result))
			return result;
		warn(w, "bad rbl reply template for domain %.*s: %.*s", SLICE_ARG(zone->domain),
		     SLICE_ARG(templates[i]));
	}
	return reject(w, w->p->codes.rbl, w->p->codes.rbl < 500 ? "4.7.1" : "5.7.1",
	              "Service unavailable; %s [%.*s] blocked using %.*s", item_titles[item], SLICE_ARG(what),
	              SLICE_ARG(zone->domain));
}

/* The checks. */

enum result check_rbl_client(struct walk *w, const struct check *c) {
	struct dnsbl_hit hit;
	if (ask(w, &c->zone, name_to_ask(w, c), &hit) != DNSBL_LISTED) return DUNNO;
	return blocked(w, &c->zone, w->f->client->ip, &hit, ITEM_CLIENT);
}

enum result check_rbl_domain(struct walk *w, const struct check *c) {
	struct dnsbl_hit hit;
	if (ask(w, &c->zone, name_to_ask(w, c), &hit) != DNSBL_LISTED) return DUNNO;
	return blocked(w, &c->zone, item_text(w, c->word->item), &hit, c->word->item);
}

enum result check_maps_rbl(struct walk *w, const struct check *c) {
	(void)c;
	for (size_t i = 0; i < w->rules->maps_rbl_count; i++) {
		const struct dnsbl_zone *zone = &w->rules->maps_rbl[i];
		struct dnsbl_hit hit;
		if (ask(w, zone, dnsbl_address_name(zone, &w->f->client->addr, w->run->mem), &hit) != DNSBL_LISTED)
			continue;
		enum result r = blocked(w, zone, w->f->client->ip, &hit, ITEM_CLIENT);
		if (r != DUNNO) return r;
	}
	return DUNNO;
}

static enum result allowed(struct walk *w, const struct check *c, struct slice what) {
	struct dnsbl_hit hit;
	/* an allow list is somebody else's: it must not make us a relay */
	struct slice to = item_text(w, ITEM_RECIPIENT);
	if (to.at != NULL && is_our_destination(w, to) != 1) return DUNNO;
	switch (ask(w, &c->zone, name_to_ask(w, c), &hit)) {
	case DNSBL_LISTED: return permit(w, c->word->name, item_titles[w->item], w->reply_name, NULL);
	case DNSBL_LATER:
		return defer_if_reject(w, 450, "4.7.1", "<%.*s>: %s rejected: Service unavailable", SLICE_ARG(what),
		                       item_titles[ITEM_CLIENT]);
	default: return DUNNO;
	}
}

enum result check_white_client(struct walk *w, const struct check *c) {
	return allowed(w, c, w->f->client->ip);
}

enum result check_white_domain(struct walk *w, const struct check *c) {
	struct slice name = item_text(w, ITEM_CLIENT);
	return name.at != NULL ? allowed(w, c, name) : DUNNO;
}
