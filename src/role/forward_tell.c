/* SPDX-License-Identifier: Apache-2.0 */
/* Not a second decision: flow/forward.h is asked as it is for a message at the door, and its reasons are told. */
#include "role/forward_tell.h"
#include "base/fail.h"
#include "flow/explain.h"

struct forward_telling {
	const struct routing_settings *s;
	const struct admin_way *way;
	const struct forward_facts *facts;
	struct db_conn *c;
	struct arena *mem;
	uint32_t flags;
	struct slice why;
	bool srs_always;
};

static void step(const struct forward_telling *t, const char *what, struct slice key, struct slice value) {
	t->way->step(t->way->ctx, what, key, value, NULL);
}

static void tell_here(const struct forward_telling *t) {
	AUTO_BUF struct buf found = BUF(KIB(16));
	evidence_tell(&found, &t->facts->record);
	step(t, "found here", SLICE_NONE, found.len != 0 ? buf_slice(&found) : S("nothing"));
	if (!t->facts->spf_known)
		step(t, "found here", S("spf"), S("not asked: --client-ip says where the message came from"));
}

static void tell_signatures(const struct forward_telling *t) {
	const struct evidence_record *r = &t->facts->record;
	size_t good = 0;
	for (size_t i = 0; i < r->dkim_count; i++) {
		if (r->dkim[i].result != TRUST_PASS) continue;
		good++;
		step(t, "the next server: dkim", r->dkim[i].domain,
		     S("pass: forwarding changes nothing that is signed"));
	}
	if (good == 0) step(t, "the next server: dkim", SLICE_NONE, S("no good signature"));
}

static void tell_dmarc(const struct forward_telling *t) {
	const struct evidence_dmarc *d = &t->facts->record.dmarc;
	const char *policy = dmarc_policy_word((enum dmarc_policy)d->policy);
	struct slice text = S("no policy: nothing can fail");
	if (d->domain.len != 0 && d->dkim_aligned)
		text = arena_fmt(t->mem, "pass, by the author's signature (p=%s)", policy);
	else if (d->domain.len != 0 && d->spf_aligned && t->facts->record.spf_here)
		text = arena_fmt(t->mem, "pass, by SPF of the author's domain, which names this server, too (p=%s)",
				 policy);
	else if (d->domain.len != 0)
		text = arena_fmt(t->mem, "fail (p=%s): no signature of the author's domain, and SPF is the forwarder's",
				 policy);
	else if (d->result == TRUST_TEMPERROR) text = S("not known: the policy cannot be looked up now");
	step(t, "the next server: dmarc", d->from, text);
}

static void tell_next(const struct forward_telling *t) {
	const struct srs_params *srs = t->s->route.srs;
	struct slice sender = SLICE_NONE, reason = t->facts->next_spf_reason;
	if (srs != NULL && srs_forward(srs, t->facts->sender, t->mem, &sender) == SRS_DONE) {
		step(t,
		     t->srs_always ? "the next server: sender" : "the next server: sender, unless its own passes SPF",
		     t->facts->sender, sender);
		step(t, "the next server: spf", srs->domain,
		     arena_fmt(t->mem, "%s: %.*s", trust_word((enum trust_result)t->facts->next_spf),
			       SLICE_ARG(reason)));
	} else {
		step(t, "the next server: sender", SLICE_NONE,
		     t->facts->sender.len != 0 ? t->facts->sender : S("<> (--mail-from says who else)"));
	}
	tell_signatures(t);
	tell_dmarc(t);
}

/* What it comes to, for who knows none of these names. */
static void tell_short(const struct forward_telling *t, const struct route_end *e, enum forward_act act) {
	const struct evidence_dmarc *d = &t->facts->record.dmarc;
	const char *wish = d->policy == DMARC_POLICY_REJECT       ? "be refused"
			   : d->policy == DMARC_POLICY_QUARANTINE ? "go to the spam folder"
								  : "be told of";
	bool later = d->domain.len == 0 && d->result == TRUST_TEMPERROR;
	struct slice alias = e->original, text;
	if (act == FORWARD_REFUSED)
		text = S("It is not sent on. Nobody can prove who wrote it, and servers that are sent such mail soon "
			 "trust "
			 "none of ours. Its sender is told at the door.");
	else if (act == FORWARD_KEPT)
		text = S("It is not sent on, for the next server would not believe who wrote it. It is put into a "
			 "mailbox "
			 "here, so nothing is lost.");
	else if (act == FORWARD_WRAPPED)
		text = S("The next server would not believe who wrote it. So it goes as an attachment of a message of "
			 "our "
			 "own, which it can check.");
	else if (d->domain.len == 0)
		text = later ? S("It is sent on. What the next server makes of it cannot be said: DNS gives no answer "
				 "now.")
			     : S("It is sent on. Its author's domain asks nobody to check its mail, so nothing speaks "
				 "against it there.");
	else if (d->dkim_aligned || (d->spf_aligned && t->facts->record.spf_here))
		text = arena_fmt(t->mem,
				 "It is sent on, and the next server can see that it is from %.*s. It should be taken.",
				 SLICE_ARG(d->from));
	else
		text = arena_fmt(
			t->mem,
			"It is sent on, but the next server cannot see that it is from %.*s, which asks that such "
			"mail %s. To keep it here: hato alias forward %.*s keep. To send it as an attachment: "
			"hato alias forward %.*s wrap.",
			SLICE_ARG(d->from), wish, SLICE_ARG(alias), SLICE_ARG(alias));
	step(t, "in short", SLICE_NONE, text);
}

/* "refused", and why. */
static int tell_end(const struct forward_telling *t, const struct route_end *e) {
	static const char *const words[] = { [FORWARD_GOES] = "forwarded",
					     [FORWARD_REFUSED] = "refused",
					     [FORWARD_KEPT] = "kept",
					     [FORWARD_WRAPPED] = "wrapped" };
	const struct forward_params *p = &t->s->deliver.forward;
	enum forward_act act = FORWARD_GOES;
	struct slice text;
	const char *kind = route_end_words(&t->s->route.hops.transports, e, t->mem, &text);
	if (e->forwarded) {
		if (forward_decide(t->c, p, &t->s->route.rewrite, t->flags, e->original, t->mem, &act) < 0) return -1;
		kind = words[act];
		tell_short(t, e, act);
	}
	if (act == FORWARD_KEPT) text = arena_fmt(t->mem, "for %.*s", SLICE_ARG(p->keep));
	if (act == FORWARD_REFUSED)
		text = S("550 5.7.1 at the door, or a bounce where others get it (forward_unauthenticated)");
	if (act == FORWARD_WRAPPED)
		text = arena_fmt(t->mem, "as an attachment of a message from %.*s", SLICE_ARG(e->original));
	if (e->forwarded && t->why.len != 0) text = arena_fmt(t->mem, "%.*s: %.*s", SLICE_ARG(text), SLICE_ARG(t->why));
	t->way->end(t->way->ctx, kind, e->address, text);
	return 0;
}

int forward_tell(const struct routing_settings *s, bool srs_always, struct db *db, struct slice address,
		 struct slice input, const struct admin_way *way) {
	AUTO_ARENA struct arena mem = { 0 };
	AUTO_READ struct db_conn *c = db_read(db);
	struct unwire in = UNWIRE(input, &mem);
	struct forward_facts facts;
	struct routes routes = { .mem = &mem };
	forward_facts_unpack(&in, &facts);
	if (in.bad) return fail("broken question");
	if (c == NULL) return -1;
	struct forward_telling t = {
		.s = s, .way = way, .facts = &facts, .c = c, .mem = &mem, .srs_always = srs_always
	};
	if (facts.sender.len != 0) t.flags = forward_look(&facts.record, &mem, &t.why);
	tell_here(&t);
	struct slice sender = facts.sender;
	int r = route_explain(c, &s->deliver, address, &sender, NULL, &routes);
	bool any = false;
	size_t own = 0; /* without the copies that bcc makes */
	while (own < routes.count && routes.at[own].source == EXPLAIN_ITSELF) own++;
	for (size_t i = 0; i < own; i++) any = any || routes.at[i].forwarded;
	if (any) tell_next(&t);
	for (size_t i = 0; i < own && r == 0; i++) r = tell_end(&t, &routes.at[i]);
	return r;
}
