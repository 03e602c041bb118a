/* SPDX-License-Identifier: Apache-2.0 */
#include "flow/route.h"
#include "base/fail.h"
#include "flow/ask.h"
#include "mime/address.h"

static struct slice domain_of(struct slice address) {
	size_t at = slice_find_last(address, '@');
	return at < address.len ? slice_skip(address, at + 1) : SLICE_NONE;
}

/* Is this domain ours by the settings alone? Then an address that the database does not know is nobody's. */
static bool destined(const struct route_params *p, struct slice domain) {
	return domains_match(p->destinations, domain) || slice_same(domain, p->host);
}

static bool known(const struct routes *r, const struct route_end *end) {
	for (size_t i = 0; i < r->count; i++) {
		const struct route_end *e = &r->at[i];
		if (e->kind != end->kind) continue;
		if (e->kind == ROUTE_TO_ACCOUNT ? e->account == end->account : slice_same(e->address, end->address))
			return true;
	}
	return false;
}

static void add_end(struct routes *r, struct route_end end) {
	if (r->count >= ROUTE_ENDS || known(r, &end)) return;
	if (r->count == r->room) {
		size_t room = MAX_OF(r->room * 2, (size_t)8);
		struct route_end *more = arena_array(r->mem, room, sizeof *more);
		if (r->count != 0) memcpy(more, r->at, r->count * sizeof *more);
		r->at = more;
		r->room = room;
	}
	r->at[r->count++] = end;
}

struct first {
	struct arena *mem;
	struct slice domain;
};

static int first_domain(void *ctx, struct slice domain) {
	struct first *f = ctx;
	f->domain = arena_slice(f->mem, domain);
	return 1; /* one is enough */
}

/* postmaster of this host itself must be reachable (RFC 5321 §4.5.1): it is the postmaster of a domain we have accounts
 * in. Gives that address, or nothing. */
static int own_postmaster(struct db_conn *c, const struct route_params *p, struct slice address, struct arena *mem,
			  struct slice *out) {
	size_t at = slice_find_last(address, '@');
	struct slice local = slice_head(address, at);
	*out = SLICE_NONE;
	if (at == address.len || !destined(p, slice_skip(address, at + 1))) return 0;
	if (!slice_same(local, S("postmaster")) && !slice_same(local, S("abuse"))) return 0;
	struct first first = { .mem = mem };
	int r = user_domain_each(c, first_domain, &first);
	if (first.domain.at != NULL) *out = arena_fmt(mem, "postmaster@%.*s", SLICE_ARG(first.domain));
	return r < 0 ? r : 0;
}

struct way { /* what stays the same while one address is followed */
	struct routes *routes;
	struct db_conn *c;
	const struct route_params *params;
	struct slice original;
	size_t source;
};

static struct route_end nowhere(const struct way *w, struct slice address, const char *status, struct slice text) {
	return (struct route_end){ .kind = ROUTE_TO_NOWHERE,
				   .address = address,
				   .original = w->original,
				   .source = w->source,
				   .status = slice_of(status),
				   .text = text };
}

static void elsewhere(const struct way *w, struct slice address, bool aliased) {
	struct slice domain = domain_of(address);
	if (domain.len == 0 || destined(w->params, domain)) {
		add_end(w->routes, nowhere(w, address, "5.1.1", S("User unknown in local recipient table")));
		return;
	}
	struct slice hop = w->params->relayhost.len != 0 ? w->params->relayhost : arena_lower(w->routes->mem, domain);
	add_end(w->routes, (struct route_end){ .kind = ROUTE_TO_HOP,
					       .address = address,
					       .original = w->original,
					       .aliased = aliased,
					       .hop = hop,
					       .source = w->source });
}

static void to_account(const struct way *w, const struct resolved *found, bool aliased) {
	add_end(w->routes, (struct route_end){ .kind = ROUTE_TO_ACCOUNT,
					       .address = found->address,
					       .original = w->original,
					       .aliased = aliased,
					       .account = found->account_id,
					       .quota_bytes = found->quota_bytes,
					       .quota_messages = found->quota_messages,
					       .source = w->source });
}

static int follow(const struct way *w, struct slice address, bool aliased, bool accounts_only, unsigned depth) {
	struct resolved found = { 0 };
	struct resolve_params how = w->params->resolve;
	how.accounts_only = accounts_only;
	int r = user_resolve(w->c, w->routes->mem, address, &how, &found);
	if (r < 0) return r;
	switch (r) {
	case USER_ACCOUNT: to_account(w, &found, aliased); return 0;
	case USER_DISABLED: add_end(w->routes, nowhere(w, address, "5.2.1", S("Mailbox disabled"))); return 0;
	case USER_UNKNOWN:
		add_end(w->routes, nowhere(w, address, "5.1.1", S("User unknown in virtual mailbox table")));
		return 0;
	case USER_BAD_ADDRESS:
		add_end(w->routes, nowhere(w, address, "5.1.3", S("Bad recipient address syntax")));
		return 0;
	case USER_ALIAS: break;
	default: {
		struct slice postmaster;
		r = own_postmaster(w->c, w->params, address, w->routes->mem, &postmaster);
		if (r < 0) return r;
		if (postmaster.at != NULL && depth < ROUTE_DEPTH) return follow(w, postmaster, true, false, depth + 1);
		elsewhere(w, address, aliased);
		return 0;
	}
	}
	if (depth == ROUTE_DEPTH) {
		add_end(w->routes, nowhere(w, address, "5.4.6", S("Aliases lead in a circle, or too deep")));
		return 0;
	}
	for (size_t i = 0; i < found.target_count; i++) {
		bool itself = slice_same(found.targets[i], found.address);
		r = follow(w, found.targets[i], true, itself, depth + 1);
		if (r < 0) return r;
	}
	return 0;
}

void route_add_nowhere(struct routes *routes, struct slice address, struct slice status, struct slice text, size_t source) {
	add_end(routes, (struct route_end){ .kind = ROUTE_TO_NOWHERE, .address = address, .original = address,
					    .status = status, .text = text, .source = source });
}

int route_add(struct routes *routes, struct db_conn *c, const struct route_params *params, struct slice address,
	      size_t source) {
	struct way w = { .routes = routes, .c = c, .params = params, .original = address, .source = source };
	return follow(&w, address, false, false, 0);
}

int route_judge(struct db_conn *c, const struct route_params *params, struct slice address, struct arena *mem) {
	struct resolved found = { 0 };
	int r = user_resolve(c, mem, address, &params->resolve, &found);
	switch (r) {
	case USER_ACCOUNT:
	case USER_ALIAS: return ROUTE_LOCAL;
	case USER_UNKNOWN:
	case USER_BAD_ADDRESS: return ROUTE_UNKNOWN;
	case USER_DISABLED: return ROUTE_DISABLED;
	case USER_NOT_LOCAL: {
		struct slice postmaster;
		r = own_postmaster(c, params, address, mem, &postmaster);
		if (r < 0) return r;
		if (postmaster.at != NULL) return ROUTE_LOCAL;
		return destined(params, domain_of(address)) ? ROUTE_UNKNOWN : ROUTE_FOREIGN;
	}
	default: return r;
	}
}
