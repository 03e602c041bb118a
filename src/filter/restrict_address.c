/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of sender and recipient addresses: are they complete, does their domain exist, are they somebody, and may this
 * client use them? */
#include "filter/restrict_private.h"
#include "mime/address.h"

#define NAMED "<%.*s>: %s rejected: "
#define NAMED_ARG(address, item) SLICE_ARG(address), item_titles[item]

struct slice domain_of(struct slice address) {
	size_t at = slice_find_last(address, '@');
	return at < address.len ? slice_skip(address, at + 1) : S("");
}

struct slice whole_address(const struct walk *w, struct slice address) {
	if (address.len == 0 || slice_find_last(address, '@') < address.len) return address;
	return arena_fmt(w->run->mem, "%.*s@%.*s", SLICE_ARG(address), SLICE_ARG(w->p->origin));
}

struct slice domain_for_dns(struct slice domain, struct arena *mem) {
	struct slice ascii;
	return !slice_is_ascii(domain) && domain_ascii(domain, mem, &ascii) ? ascii : domain;
}

struct slice item_text(const struct walk *w, enum item item) {
	const struct restrict_facts *f = w->f;
	struct slice unknown = S("unknown");
	switch (item) {
	case ITEM_CLIENT: return slice_same(f->client->name, unknown) ? SLICE_NONE : f->client->name;
	case ITEM_REVERSE: return slice_same(f->client->reverse, unknown) ? SLICE_NONE : f->client->reverse;
	case ITEM_HELO: return f->helo;
	case ITEM_SENDER: return f->sender.len != 0 ? f->sender : SLICE_NONE;
	case ITEM_RECIPIENT: return f->recipient.len != 0 ? f->recipient : SLICE_NONE;
	case ITEM_ETRN: return f->etrn;
	case ITEM_SASL: return f->login.len != 0 ? f->login : SLICE_NONE;
	default: return SLICE_NONE;
	}
}

static bool is_literal(struct slice domain) {
	return slice_starts(domain, S("[")) && slice_ends(domain, S("]"));
}

enum result check_address_fqdn(struct walk *w, const struct check *c) {
	enum item item = c->word->item;
	struct slice address = item_text(w, item);
	if (address.at == NULL) return DUNNO;
	if (item == ITEM_RECIPIENT && slice_same(address, S("postmaster"))) return DUNNO;
	struct slice domain = domain_of(address);
	bool good = is_literal(domain) || (slice_find(domain, '.') < domain.len && domain_valid(domain, true));
	if (good) return DUNNO;
	return reject(w, w->p->codes.non_fqdn, "5.5.2", NAMED "need fully-qualified address",
	              NAMED_ARG(address, item));
}

static bool place_of(struct walk *w, struct slice address, struct restrict_place *out) {
	return w->run->ops->place != NULL &&
	       w->run->ops->place(w->run->ctx, whole_address(w, address), w->run->mem, out);
}

static enum result unknown_domain(struct walk *w, int dns, struct slice address, struct slice domain, enum item item) {
	bool sender = item == ITEM_SENDER;
	const char *status = sender ? "4.1.8" : "4.1.2";
	if (dns == DNS_LATER)
		return defer_if_permit(w, w->p->address_tempfail, 450, status, NAMED "Domain not found",
				       NAMED_ARG(address, item));
	if (dns == DNS_OK)
		return reject(w, sender ? 550 : 556, sender ? "4.7.27" : "4.1.10",
			      NAMED "Domain %.*s does not accept mail (nullMX)", NAMED_ARG(address, item),
			      SLICE_ARG(domain));
	return reject(w, w->p->codes.unknown_address, status, NAMED "Domain not found", NAMED_ARG(address, item));
}

enum result check_address_known(struct walk *w, const struct check *c) {
	enum item item = c->word->item;
	struct slice address = item_text(w, item), domain = domain_of(address);
	struct restrict_place place;
	if (address.at == NULL || domain.len == 0 || is_literal(domain)) return DUNNO;
	if (!place_of(w, address, &place)) return lookup_trouble(w, address);
	if (place.domain_class == PLACE_LOCAL || place.domain_class == PLACE_ALIAS ||
	    place.domain_class == PLACE_MAILBOX)
		return DUNNO;
	if (w->p->dns == NULL) return unknown_domain(w, DNS_LATER, address, domain, item);
	struct slice name = domain_for_dns(domain, w->run->mem);
	struct dns_mx *mx;
	struct addr *addresses;
	size_t n;
	int64_t deadline = deadline_in(DNS_WAIT_MS);
	const struct dns_view view = dns_view_of(w);
	int r = dns_view_mx(&view, name, deadline, w->run->mem, &mx, &n);
	if (r == DNS_FILTERED) return dns_filtered(w, name, "MX or address");
	if (r == DNS_OK) return dns_mx_is_null(mx, n) ? unknown_domain(w, DNS_OK, address, domain, item) : DUNNO;
	if (r == DNS_NODATA || r == DNS_LATER) {
		int a = dns_view_addresses(&view, name, deadline, w->run->mem, &addresses, &n);
		if (a == DNS_FILTERED) return dns_filtered(w, name, "MX or address");
		if (a == DNS_OK) return DUNNO;
		if (r == DNS_NODATA || a == DNS_NXDOMAIN) r = a;
	}
	return unknown_domain(w, r == DNS_OK ? DNS_NODATA : r, address, domain, item);
}

/* Listed or not. */

static const char *table_text(const struct restrict_params *p, const struct restrict_place *place) {
	if (!p->show_table) return "";
	switch (place->domain_class) {
	case PLACE_LOCAL: return " in local recipient table";
	case PLACE_ALIAS: return " in virtual alias table";
	case PLACE_MAILBOX: return " in virtual mailbox table";
	case PLACE_RELAY: return " in relay recipient table";
	default: return "";
	}
}

static int unlisted_code(const struct restrict_params *p, const struct restrict_place *place) {
	switch (place->domain_class) {
	case PLACE_LOCAL: return p->codes.unknown_local;
	case PLACE_ALIAS: return p->codes.unknown_alias;
	case PLACE_MAILBOX: return p->codes.unknown_mailbox;
	case PLACE_RELAY: return p->codes.unknown_relay;
	default: return 550;
	}
}

enum result unlisted(struct walk *w, enum item item) {
	bool sender = item == ITEM_SENDER;
	struct slice address = sender ? w->f->sender : w->f->recipient;
	bool *checked = sender ? &w->state->sender_checked : &w->state->recipient_checked;
	struct restrict_place place;
	if (address.len == 0 || *checked) return DUNNO;
	if (w->warn == 0) *checked = true;
	if (!place_of(w, address, &place)) return lookup_trouble(w, address);
	if (place.listed) return DUNNO;
	int code = place.code != 0 ? place.code : unlisted_code(w->p, &place);
	const char *status = place.status.len != 0 ? arena_text(w->run->mem, place.status) : "5.1.1";
	bool usual = strcmp(status, "5.1.1") == 0 || strcmp(status, "4.1.1") == 0;
	if (sender && usual && place.domain_class != PLACE_ALIAS) status = status[0] == '5' ? "5.1.0" : "4.1.0";
	else status = fix_status(w, status, item);
	if (place.text.len != 0)
		return reject(w, code, status, NAMED "%.*s", NAMED_ARG(address, item), SLICE_ARG(place.text));
	return reject(w, code, sender ? "5.1.0" : "5.1.1", NAMED "User unknown%s", NAMED_ARG(address, item),
	              table_text(w->p, &place));
}

enum result check_unlisted(struct walk *w, const struct check *c) {
	return unlisted(w, c->word->item);
}

/* Relaying. */

int is_our_destination(struct walk *w, struct slice recipient) {
	struct restrict_place place;
	/* a name without a domain is asked about too: "far.test!user" and "user%far.test" lead elsewhere */
	if (!place_of(w, recipient, &place)) return -1;
	return place.domain_class != PLACE_ELSEWHERE && !place.routed;
}

/* Has the client a name below relay_domains? What check_relay_domains asked in Postfix 1. */
static bool is_relayed_client(struct walk *w) {
	struct slice name = item_text(w, ITEM_CLIENT);
	struct restrict_place place;
	return name.at != NULL && place_of(w, arena_fmt(w->run->mem, "postmaster@%.*s", SLICE_ARG(name)), &place) &&
	       place.domain_class == PLACE_RELAY;
}

enum result check_destination(struct walk *w, const struct check *c) {
	struct slice to = item_text(w, ITEM_RECIPIENT);
	if (to.at == NULL) return DUNNO;
	int ours = is_our_destination(w, to);
	if (ours < 0) return lookup_trouble(w, to);
	if (c->word->how == DESTINATION_RELAY && ours == 0) ours = is_relayed_client(w);
	if (c->word->how == DESTINATION_PERMIT || (c->word->how == DESTINATION_RELAY && ours != 0))
		return ours != 0 ? permit(w, c->word->name, item_titles[w->item], w->reply_name, NULL) : DUNNO;
	if (ours != 0) return DUNNO;
	int code = w->p->codes.relay;
	if (c->word->how == DESTINATION_RELAY)
		return reject(w, code, "5.7.1", NAMED "Relay access denied", NAMED_ARG(to, ITEM_RECIPIENT));
	bool for_now = c->word->how == DESTINATION_DEFER;
	return reject(w, for_now && code >= 500 ? code - 100 : code, for_now ? "4.7.1" : "5.7.1",
	              "<%.*s>: Relay access denied", SLICE_ARG(to));
}

/* Who may use a sender address. */

static bool owns(struct slice owners, struct slice login) {
	for (struct slice one = slice_word(&owners, ", \t\r\n"); one.len != 0; one = slice_word(&owners, ", \t\r\n"))
		if (slice_same(one, login)) return true;
	return false;
}

enum result check_login(struct walk *w, const struct check *c) {
	struct slice from = item_text(w, ITEM_SENDER);
	if (!w->p->auth_enabled || from.at == NULL) return DUNNO;
	bool user = w->f->login.len != 0;
	if ((c->word->how & (user ? LOGIN_OF_USERS : LOGIN_OF_STRANGERS)) == 0) return DUNNO;
	struct lookup_hit hit;
	int r = w->run->ops->owners(w->run->ctx, &w->p->login_maps, whole_address(w, from), w->run->mem, &hit);
	if (r == TABLE_LATER) return lookup_trouble(w, from);
	if (!user)
		return r != TABLE_FOUND ? DUNNO
					: reject(w, 553, "5.7.1", "<%.*s>: Sender address rejected: not logged in",
						 SLICE_ARG(from));
	if (r == TABLE_FOUND ? owns(hit.value, w->f->login) : (c->word->how & LOGIN_KNOWN_ONLY) != 0) return DUNNO;
	return reject(w, 553, "5.7.1", "<%.*s>: Sender address rejected: not owned by user %.*s", SLICE_ARG(from),
	              SLICE_ARG(w->f->login));
}

/* Verification. */

enum result check_verified(struct walk *w, const struct check *c) {
	enum item item = c->word->item;
	bool sender = item == ITEM_SENDER;
	struct slice address = item_text(w, item), why = S("");
	if (address.at == NULL) return DUNNO;
	int action = sender ? w->p->sender_tempfail : w->p->recipient_tempfail;
	const char *later = sender ? "4.1.7" : "4.1.1", *never = sender ? "5.1.7" : "5.1.1";
	enum restrict_verified v = VERIFIED_BROKEN;
	if (w->run->ops->verify != NULL)
		v = w->run->ops->verify(w->run->ctx, whole_address(w, address), w->run->mem, &why);
	struct slice reason = sender ? w->p->unverified_sender_reason : w->p->unverified_recipient_reason;
	int bad = sender ? w->p->codes.unverified_sender : w->p->codes.unverified_recipient;
	int deferred = sender ? w->p->codes.unverified_sender_defer : w->p->codes.unverified_recipient_defer;
	switch (v) {
	case VERIFIED_GOOD: return DUNNO;
	case VERIFIED_WAIT: return wait_and_return(w);
	case VERIFIED_BAD:
		if (bad < 400) return DUNNO;
		return reject(w, bad, never, NAMED "undeliverable address: %.*s", NAMED_ARG(address, item),
		              SLICE_ARG(reason.len != 0 ? reason : why));
	case VERIFIED_LATER:
	case VERIFIED_UNDER_WAY:
		if (deferred < 400) return DUNNO;
		return defer_if_permit(w, action, deferred, later, NAMED "unverified address: %.*s",
				       NAMED_ARG(address, item), SLICE_ARG(slice_head(why, 250)));
	default: break;
	}
	return defer_if_permit(w, action, 450, later, NAMED "address verification problem", NAMED_ARG(address, item));
}
