/* SPDX-License-Identifier: Apache-2.0 */
/* The door's question: is this an address we take mail for? It looks one step far, as Postfix's smtpd does (its
 * check_rcpt_maps): that something in a table matches is enough, whatever it leads to. */
#include "base/fail.h"
#include "flow/route.h"
#include "store/quota.h"

enum { ALIASES_FOLLOWED = 10 };

struct judging {
	struct db_conn *c;
	const struct route_params *params;
	struct arena *mem;
	struct slice address, domain, sender;
	struct route_answer *out;
};

static void unknown(struct judging *j, struct slice status, struct slice text, struct slice table) {
	j->out->verdict = ROUTE_UNKNOWN;
	j->out->status = status;
	j->out->text = j->params->hops.hide_table || table.len == 0
			       ? text
			       : arena_fmt(j->mem, "%.*s in %.*s", SLICE_ARG(text), SLICE_ARG(table));
}

static void later(struct judging *j) {
	j->out->verdict = ROUTE_DEFER;
	j->out->text = arena_slice(j->mem, slice_of(fail_text()));
}

/* Rewriting tables: what they know is known, if they are for recipients. */
static int mapped(struct judging *j) {
	const struct route_params *p = j->params;
	bool canonical = (p->rewrite.canonical.classes & REWRITE_ENVELOPE_RECIPIENT) != 0;
	const struct lookup *const maps[] = { &p->rewrite.recipient_canonical.maps,
					      canonical ? &p->rewrite.canonical.maps : NULL, &p->virtual_alias };
	for (size_t i = 0; i < LEN(maps); i++) {
		struct lookup_hit hit;
		if (maps[i] == NULL) continue;
		int r = rewrite_find(&p->rewrite, maps[i], j->address, j->mem, &hit);
		if (r != TABLE_MISSING) return r;
	}
	return TABLE_MISSING;
}

/* Is there somebody of that name in the class's own tables? An empty list knows everybody. */
static int listed(struct judging *j, enum route_class class, struct slice *table) {
	const struct route_params *p = j->params;
	struct lookup_hit hit;
	const struct lookup *maps;
	switch (class) {
	case ROUTE_CLASS_LOCAL: maps = &p->local_recipients, *table = S("local recipient table"); break;
	case ROUTE_CLASS_VIRTUAL_MAILBOX: maps = &p->virtual_mailbox, *table = S("virtual mailbox table"); break;
	case ROUTE_CLASS_RELAY: maps = &p->relay_recipients, *table = S("relay recipient table"); break;
	default: return TABLE_FOUND;
	}
	return maps->count == 0 ? TABLE_FOUND : rewrite_find(&p->rewrite, maps, j->address, j->mem, &hit);
}

static bool is_postmaster(struct judging *j) {
	struct slice local = slice_head(j->address, j->address.len - j->domain.len - 1);
	return slice_same(local, S("postmaster")) || slice_same(local, S("abuse"));
}

static int any_domain(void *ctx, struct slice domain) {
	(void)ctx, (void)domain;
	return 1;
}

/* Not in the database. */
static int judge_class(struct judging *j, enum route_class class) {
	const struct route_params *p = j->params;
	struct hop hop;
	struct slice table = SLICE_NONE;
	int r = hop_find(&p->hops, &p->rewrite, class, j->address, j->sender, NULL, j->mem, &hop);
	if (r == TABLE_LATER) return later(j), 0;
	const struct transport *t = transport_find(&p->hops.transports, hop.transport);
	bool error = t != NULL && (t->kind == TRANSPORT_ERROR || t->kind == TRANSPORT_RETRY);
	if (class != ROUTE_CLASS_DEFAULT && (r = mapped(j)) != TABLE_MISSING) {
		if (r == TABLE_LATER) later(j);
		return 0;
	}
	if (error) {
		struct slice text = hop.next_hop;
		struct slice status = hop_status(&text, t->kind == TRANSPORT_RETRY ? S("4.1.1") : S("5.1.1"), j->mem);
		unknown(j, status, text, SLICE_NONE);
		return 0;
	}
	if (class == ROUTE_CLASS_DEFAULT) {
		j->out->verdict = ROUTE_FOREIGN;
		return 0;
	}
	struct slice local = slice_head(j->address, j->address.len - j->domain.len - 1);
	if (class == ROUTE_CLASS_LOCAL && rewrite_for_nobody(&p->rewrite, local)) return 0;
	r = listed(j, class, &table);
	if (r == TABLE_LATER) return later(j), 0;
	if (r == TABLE_FOUND) return 0;
	if (class == ROUTE_CLASS_LOCAL && is_postmaster(j) && (r = user_domain_each(j->c, any_domain, NULL)) != 0)
		return r < 0 ? r : 0;
	unknown(j, S("5.1.1"), S("User unknown"), table);
	return 0;
}

const char *route_srs_refusal(enum srs_answer answer, struct slice *text) {
	*text = answer == SRS_EXPIRED
			? S("this return address of forwarded mail (SRS) has expired")
			: S("this return address of forwarded mail (SRS) was not made here: its signature is wrong");
	return "5.7.1";
}

/* False: not a return address of ours. */
static bool judge_srs(struct judging *j) {
	struct slice sender, text;
	enum srs_answer r =
		j->params->srs != NULL ? srs_reverse(j->params->srs, j->address, j->mem, &sender) : SRS_UNCHANGED;
	if (r == SRS_UNCHANGED || r == SRS_DONE) return r == SRS_DONE;
	const char *status = route_srs_refusal(r, &text);
	unknown(j, slice_of(status), text, SLICE_NONE);
	return true;
}

/* An account that is full says so before the message is sent. */
static int judge_room(struct judging *j, const struct resolved *found) {
	struct quota q = { .bytes = found->quota_bytes, .messages = found->quota_messages };
	int r = store_quota_fits(j->c, found->account_id, &q, 1, 1);
	if (r != STORE_OVER_QUOTA) return r < 0 ? r : 0;
	j->out->verdict = ROUTE_FULL;
	j->out->status = j->params->full_reject ? S("5.2.2") : S("4.2.2");
	j->out->text = S("Mailbox is full");
	return 0;
}

/* An alias of one account is as full as that; with several targets the message goes to those that have room. */
static int judge_alias(struct judging *j, struct resolved *found) {
	int r = USER_ALIAS;
	for (unsigned depth = 0; r == USER_ALIAS && found->target_count == 1 && depth < ALIASES_FOLLOWED; depth++) {
		struct resolve_params params = j->params->resolve;
		struct slice target = found->targets[0];
		params.accounts_only = slice_same(target, found->address);
		*found = (struct resolved){ 0 };
		r = user_resolve(j->c, j->mem, target, &params, found);
	}
	return r == USER_ACCOUNT ? judge_room(j, found) : MIN_OF(r, 0);
}

int route_judge(struct db_conn *c, const struct route_params *params, struct slice address, struct slice sender,
		struct arena *mem, struct route_answer *out) {
	struct judging j = { .c = c, .params = params, .sender = sender, .mem = mem, .out = out };
	struct slice local;
	struct resolved found = { 0 };
	const struct rewrite_params *rewrite = &params->rewrite;
	*out = (struct route_answer){ .verdict = ROUTE_LOCAL, .class = ROUTE_CLASS_LOCAL };
	j.address = rewrite_standard(rewrite, rewrite->origin, rewrite->domain, address, mem);
	if (rewrite_resolve(rewrite, j.address, mem, &j.address) == TABLE_LATER) return later(&j), 0;
	if (!rewrite_parts(j.address, &local, &j.domain) || local.len == 0 || j.domain.len == 0) {
		out->class = ROUTE_CLASS_NONE;
		unknown(&j, S("5.1.3"), S("Bad recipient address syntax"), SLICE_NONE);
		return 0;
	}
	if (judge_srs(&j)) return 0;
	int r = user_resolve(c, mem, j.address, &params->resolve, &found);
	if (r == USER_ACCOUNT) return judge_room(&j, &found);
	if (r == USER_ALIAS) return judge_alias(&j, &found);
	if (r < 0) return r;
	if (r == USER_DISABLED) {
		out->verdict = ROUTE_DISABLED;
		out->status = S("5.2.1");
		out->text = S("Mailbox disabled");
		return 0;
	}
	if (r == USER_UNKNOWN) { /* a domain of the database: only tables can still know the address */
		r = mapped(&j);
		if (r == TABLE_LATER) later(&j);
		else if (r == TABLE_MISSING) unknown(&j, S("5.1.1"), S("User unknown"), S("virtual mailbox table"));
		return 0;
	}
	enum route_class class;
	if (class_of(&params->classes, rewrite, j.domain, mem, &class) == TABLE_LATER) return later(&j), 0;
	out->class = (uint32_t)class;
	return judge_class(&j, class);
}
