/* SPDX-License-Identifier: Apache-2.0 */
/* What one address becomes may branch and nest a thousand times (virtual_alias_recursion_limit), so the steps still to
 * be taken are a list, and not calls within calls. */
#include "base/fail.h"
#include "flow/route_private.h"
#include "mime/address.h"

/* Ends. */

static bool same_end(const struct route_end *a, const struct route_end *b) {
	if (a->kind != b->kind || !slice_same(a->owner, b->owner)) return false;
	if (a->kind == ROUTE_TO_ACCOUNT) return a->account == b->account && slice_eq(a->detail, b->detail);
	if (!slice_same(a->address, b->address) && a->target.len == 0) return false;
	return a->target_kind == b->target_kind && slice_eq(a->target, b->target) && slice_eq(a->hop, b->hop);
}

void route_add_end(struct routes *r, struct route_end end) {
	if (r->count >= ROUTE_ENDS) return;
	for (size_t i = 0; i < r->count; i++)
		if (same_end(&r->at[i], &end)) return;
	if (r->count == r->room) {
		size_t room = MAX_OF(r->room * 2, (size_t)8);
		struct route_end *more = arena_array(r->mem, room, sizeof *more);
		if (r->count != 0) memcpy(more, r->at, r->count * sizeof *more);
		r->at = more;
		r->room = room;
	}
	r->at[r->count++] = end;
}

void route_add_nowhere(struct routes *routes, struct slice address, struct slice status, struct slice text,
		       size_t source) {
	route_add_end(routes, (struct route_end){ .kind = ROUTE_TO_NOWHERE, .address = address, .original = address,
					    .status = status, .text = text, .source = source });
}

void way_end(struct way *w, struct route_end end) {
	end.original = w->original;
	end.source = w->from->source;
	route_add_end(w->routes, end);
}

void way_nowhere(struct way *w, const struct step *s, const char *status, struct slice text) {
	way_trace(w, "nowhere", s->address, text, NULL);
	way_end(w, (struct route_end){ .kind = ROUTE_TO_NOWHERE, .address = s->address, .status = slice_of(status),
				       .text = text });
}

void way_hop(struct way *w, const struct step *s, struct slice hop) {
	way_trace(w, "hop", s->address, hop, NULL);
	way_end(w, (struct route_end){ .kind = ROUTE_TO_HOP,
				       .address = s->address,
				       .aliased = s->aliased,
				       .marked = s->marked,
				       .forwarded = s->forwarded,
				       .hop = hop,
				       .target_kind = s->target_kind,
				       .target = s->target,
				       .rights = s->rights,
				       .delivered = s->delivered,
				       .below = s->below,
				       .owner = s->owner });
}

static void to_account(struct way *w, const struct step *s, const struct resolved *found) {
	way_trace(w, "account", s->address, found->address, NULL);
	way_end(w, (struct route_end){ .kind = ROUTE_TO_ACCOUNT, .address = found->address, .aliased = s->aliased,
				       .account = found->account_id, .quota_bytes = found->quota_bytes,
				       .quota_messages = found->quota_messages, .owner = s->owner,
				       .detail = w->params->to_detail ? found->detail : SLICE_NONE });
}

/* Steps. */

void way_trace(const struct way *w, const char *what, struct slice key, struct slice value, const char *table) {
	trace_step(w->from->trace, what, key, value, table);
}

struct step *way_add(struct way *w, struct step *up, struct slice address) {
	struct step *s = arena_get(w->mem, sizeof *s);
	*s = (struct step){ .up = up, .address = address };
	if (up != NULL) {
		s->owner = up->owner;
		s->marked = up->marked;
		s->depth = up->depth + 1;
	}
	struct step **where = w->last != NULL ? &w->last->next : &w->todo;
	s->next = *where;
	*where = s;
	w->last = s;
	return s;
}

static bool been_here(const struct step *s) {
	for (const struct step *up = s->up; up != NULL; up = up->up)
		if (slice_same(up->address, s->address)) return true;
	return false;
}

/* The database. USER_ACCOUNT: done, whatever it was; USER_UNKNOWN: a domain of ours, nobody; USER_NOT_LOCAL. */
static int ask_database(struct way *w, struct step *s) {
	struct resolved found = { 0 };
	struct resolve_params how = w->params->resolve;
	how.accounts_only = s->accounts_only;
	int r = user_resolve(w->c, w->mem, s->address, &how, &found);
	switch (r) {
	case USER_ACCOUNT: to_account(w, s, &found); return USER_ACCOUNT;
	case USER_DISABLED: way_nowhere(w, s, "5.2.1", S("Mailbox disabled")); return USER_ACCOUNT;
	case USER_BAD_ADDRESS: return USER_NOT_LOCAL; /* no account has such an address: tables and servers may */
	case USER_ALIAS: break;
	default: return r;
	}
	if (s->depth >= ROUTE_DEPTH) {
		way_nowhere(w, s, "5.4.6", S("Aliases lead in a circle, or too deep"));
		return USER_ACCOUNT;
	}
	for (size_t i = 0; i < found.target_count; i++) {
		way_trace(w, "alias", found.address, found.targets[i], NULL);
		struct step *next = way_add(w, s, found.targets[i]);
		next->aliased = true;
		next->accounts_only = slice_same(found.targets[i], found.address);
		next->marked = true;
	}
	return USER_ACCOUNT;
}

static size_t limit_of(size_t limit) {
	return limit != 0 ? limit : 1000;
}

static int unreasonable(struct way *w, const char *what, struct slice address) {
	w->endless = true;
	fail("unreasonable virtual_alias_maps map %s for %.*s -- message not accepted, try again later", what,
	     SLICE_ARG(address));
	return TABLE_LATER;
}

/* TABLE_FOUND: its results are steps now; TABLE_MISSING; TABLE_LATER. */
static int ask_virtual(struct way *w, struct step *s) {
	const struct route_params *p = w->params;
	struct lookup_hit hit;
	if (w->from->no_mappings || p->virtual_alias.count == 0 || been_here(s)) return TABLE_MISSING;
	int r = rewrite_find(&p->rewrite, &p->virtual_alias, s->address, w->mem, &hit);
	if (r != TABLE_FOUND) return r;
	size_t limit = limit_of(p->expansion_limit);
	struct slice *results;
	bool extend = (p->rewrite.extend & REWRITE_EXTEND_VIRTUAL) != 0;
	size_t n = rewrite_results(&p->rewrite, &hit, s->address, extend, limit + 1, w->mem, &results);
	if ((w->expanded += n) > limit) return unreasonable(w, "expansion size", w->original);
	if (s->depth >= limit_of(p->recursion_limit)) return unreasonable(w, "nesting", w->original);
	for (size_t i = 0; i < n; i++) {
		if (results[i].len > limit_of(p->length_limit))
			return unreasonable(w, "result length", s->address);
		way_trace(w, "virtual_alias_maps", hit.key, results[i], table_name(hit.table));
		struct step *next = way_add(w, s, results[i]);
		next->aliased = true;
	}
	return n != 0 ? TABLE_FOUND : TABLE_MISSING;
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

/* postmaster of this host itself must be reachable (RFC 5321 §4.5.1): without an alias it is the postmaster of a domain
 * we have accounts in. Gives that address, or nothing. */
static int own_postmaster(struct db_conn *c, struct slice address, struct arena *mem, struct slice *out) {
	struct slice local = address, domain;
	*out = SLICE_NONE;
	rewrite_parts(address, &local, &domain);
	if (!slice_same(local, S("postmaster")) && !slice_same(local, S("abuse"))) return 0;
	struct first first = { .mem = mem };
	int r = user_domain_each(c, first_domain, &first);
	if (first.domain.at != NULL) *out = arena_fmt(mem, "postmaster@%.*s", SLICE_ARG(first.domain));
	return r < 0 ? r : 0;
}

/* What would go to local(8): aliases(5) first. */
static int go_local(struct way *w, struct step *s, struct slice hop) {
	int r = w->params->aliases != NULL && !s->no_aliases ? alias_follow(w, s, hop) : ALIAS_NONE;
	if (r != ALIAS_NONE) return r == ALIAS_LATER ? ROUTE_LATER : 0;
	struct slice postmaster = SLICE_NONE;
	r = s->depth < ROUTE_DEPTH ? own_postmaster(w->c, s->address, w->mem, &postmaster) : 0;
	if (r < 0) return r;
	if (s->no_aliases) s->target_kind = RELAY_MAILBOX;
	if (postmaster.at != NULL) way_add(w, s, postmaster)->aliased = true;
	else way_hop(w, s, hop);
	return 0;
}

/* "transport:next hop", the second of which may be left out (postconf(5), default_filter_nexthop). */
static int to_filter(struct way *w, struct step *s) {
	struct slice filter = w->from->filter, next = filter, local, domain = SLICE_NONE;
	struct slice transport = slice_cut(&next, ':');
	if (next.at != NULL && slice_trim(next).len == 0) {
		rewrite_parts(s->address, &local, &domain);
		next = w->params->filter_next_hop.len != 0 ? w->params->filter_next_hop : domain;
		filter = arena_fmt(w->mem, "%.*s:%.*s", SLICE_ARG(transport), SLICE_ARG(next));
	}
	way_trace(w, "filter", s->address, filter, NULL);
	way_end(w, (struct route_end){ .kind = ROUTE_TO_HOP, .address = s->address, .aliased = s->aliased,
				       .marked = s->marked, .hop = filter, .fixed = true });
	return 0;
}

static int go_out(struct way *w, struct step *s) {
	const struct route_params *p = w->params;
	struct slice local, domain = SLICE_NONE;
	enum route_class class;
	struct hop hop;
	static const char *const names[] = { "", "local", "virtual alias", "virtual mailbox", "relay", "default" };
	if (w->from->filter.len != 0) return to_filter(w, s);
	if (!rewrite_parts(s->address, &local, &domain) || local.len == 0) {
		way_nowhere(w, s, "5.1.3", S("Bad recipient address syntax"));
		return 0;
	}
	if (class_of(&p->classes, &p->rewrite, domain, w->mem, &class) == TABLE_LATER) return ROUTE_LATER;
	way_trace(w, "class", s->address, slice_of(names[class]), NULL);
	if (hop_find(&p->hops, &p->rewrite, class, s->address, w->from->sender, w->from->trace, w->mem, &hop) ==
	    TABLE_LATER)
		return ROUTE_LATER;
	const struct transport *t = transport_find(&p->hops.transports, hop.transport);
	if (t != NULL && t->kind == TRANSPORT_ERROR) {
		struct slice text = hop.next_hop, status = hop_status(&text, S("5.0.0"), w->mem);
		way_nowhere(w, s, arena_text(w->mem, status), text);
		return 0;
	}
	struct slice whole = arena_fmt(w->mem, "%.*s:%.*s", SLICE_ARG(hop.transport), SLICE_ARG(hop.next_hop));
	s->forwarded = class == ROUTE_CLASS_DEFAULT && (s->aliased || w->from->redirected);
	if (t != NULL && t->kind == TRANSPORT_LOCAL) return go_local(w, s, whole);
	way_hop(w, s, whole);
	return 0;
}

static int rewrite(struct way *w, struct step *s) {
	const struct rewrite_params *p = &w->params->rewrite;
	struct slice before = s->address;
	if (s->address.len == 0 && w->params->empty_recipient.len != 0) s->address = w->params->empty_recipient;
	if (w->from->no_mappings || w->from->rewritten) {
		s->address = rewrite_standard(p, p->origin, p->domain, s->address, w->mem);
		if (!slice_eq(before, s->address)) way_trace(w, "standard form", before, s->address, NULL);
	} else if (rewrite_traced(p, REWRITE_ENVELOPE_RECIPIENT, s->address, w->from->trace, w->mem, &s->address) ==
		   REWRITE_LATER) {
		return ROUTE_LATER;
	}
	before = s->address;
	if (rewrite_resolve(p, before, w->mem, &s->address) == TABLE_LATER) return ROUTE_LATER;
	if (!slice_eq(before, s->address)) way_trace(w, "routing operators", before, s->address, NULL);
	return 0;
}

/* A sender that SRS made: who it stands for. False: it is none of ours. */
static bool way_back(struct way *w, struct step *s) {
	struct slice sender = SLICE_NONE, text = SLICE_NONE;
	enum srs_answer r =
		w->params->srs != NULL ? srs_reverse(w->params->srs, s->address, w->mem, &sender) : SRS_UNCHANGED;
	if (r == SRS_UNCHANGED) return false;
	if (r != SRS_DONE) {
		const char *status = route_srs_refusal(r, &text);
		way_nowhere(w, s, status, text);
		return true;
	}
	way_trace(w, "srs", s->address, sender, NULL);
	way_add(w, s, sender)->aliased = true;
	return true;
}

static int take(struct way *w, struct step *s) {
	if (s->target.len != 0) { /* a command, a file */
		way_hop(w, s, s->hop);
		return 0;
	}
	if (s->depth < ROUTE_DEPTH && way_back(w, s)) return 0;
	int r = s->rewrite ? rewrite(w, s) : 0;
	if (r != 0) return r;
	int known = w->from->filter.len == 0 ? ask_database(w, s) : USER_NOT_LOCAL;
	if (known < 0 || known == USER_ACCOUNT) return known < 0 ? known : 0;
	r = ask_virtual(w, s);
	if (r == TABLE_LATER) return w->endless ? ROUTE_ENDLESS : ROUTE_LATER;
	if (r != TABLE_MISSING) return 0;
	if (known == USER_UNKNOWN) {
		way_nowhere(w, s, "5.1.1", w->params->hops.hide_table ? S("User unknown")
							  : S("User unknown in virtual mailbox table"));
		return 0;
	}
	return go_out(w, s);
}

int route_add(struct routes *routes, struct db_conn *c, const struct route_params *params,
	      const struct route_from *from) {
	struct way w = { .routes = routes, .mem = routes->mem, .c = c, .params = params, .from = from,
			 .original = from->original.len != 0 ? from->original : from->address };
	way_add(&w, NULL, from->address)->rewrite = true;
	while (w.todo != NULL && routes->count < ROUTE_ENDS) {
		struct step *s = w.todo;
		w.todo = s->next;
		w.last = NULL;
		int r = take(&w, s);
		if (r != 0) return r;
	}
	return 0;
}

int route_again(const struct route_params *params, struct slice address, struct slice sender, struct arena *mem,
		struct slice *out) {
	struct slice local, domain;
	enum route_class class;
	struct hop hop;
	*out = SLICE_NONE;
	if (!rewrite_parts(address, &local, &domain)) return 0;
	if (class_of(&params->classes, &params->rewrite, domain, mem, &class) == TABLE_LATER) return ROUTE_LATER;
	if (hop_find(&params->hops, &params->rewrite, class, address, sender, NULL, mem, &hop) == TABLE_LATER)
		return ROUTE_LATER;
	*out = arena_fmt(mem, "%.*s:%.*s", SLICE_ARG(hop.transport), SLICE_ARG(hop.next_hop));
	return 0;
}
