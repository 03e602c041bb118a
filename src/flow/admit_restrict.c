/* SPDX-License-Identifier: Apache-2.0 */
/* Restriction lists (filter/restrict.h) at the stages of a session: what is known of it is put together here, and what
 * lists must ask others is asked of core. */
#include "base/encode.h"
#include "base/fail.h"
#include "flow/admit_private.h"
#include "conf/footer.h"

enum { VERIFY_LOOK_MS = 100 };

void admit_restrict_reset(struct admit *a) {
	restrict_state_reset(&a->access.state);
	arena_reset(&a->access.effects);
	a->access.size = 0;
	a->access.instance[0] = '\0';
}

/* Where an address leads. */

static int class_of(uint32_t class) {
	switch (class) {
	case ROUTE_CLASS_LOCAL: return PLACE_LOCAL;
	case ROUTE_CLASS_VIRTUAL_ALIAS: return PLACE_ALIAS;
	case ROUTE_CLASS_VIRTUAL_MAILBOX: return PLACE_MAILBOX;
	case ROUTE_CLASS_RELAY: return PLACE_RELAY;
	default: return PLACE_ELSEWHERE;
	}
}

/* user%there@here, there!user@here, "user@there"@here: a way around our rules, if it were followed. */
static bool is_routed(const struct admit *a, struct slice address) {
	struct slice local = slice_head(address, slice_find_last(address, '@'));
	if (a->params->trust_routes) return false;
	return slice_find(local, '@') < local.len || slice_find(local, '%') < local.len ||
	       slice_find(local, '!') < local.len;
}

/* Mail of those who may relay leads elsewhere for most, and a list of theirs names one address after the other: a yes
 * to them is remembered, with the sender it was for. Nothing is remembered for others, who would be refused. */
static struct slice elsewhere_key(const struct admit *a, struct slice address, struct slice from, struct arena *mem) {
	if (!admit_may_relay(a)) return SLICE_NONE;
	return arena_fmt(mem, "%.*s\n%.*s", SLICE_ARG(from), SLICE_ARG(address));
}

static bool ask_place(struct admit *a, struct slice address, struct arena *mem, struct restrict_place *out) {
	const struct rewrite_params *rewrite = a->params->rewrite;
	*out = (struct restrict_place){ .domain_class = PLACE_LOCAL, .listed = true };
	struct slice given = address;
	address = rewrite_standard(rewrite, rewrite->origin, rewrite->domain, given, mem);
	out->routed = is_routed(a, address);
	if (known_has(a->params->known, address)) return true;
	/* of a sender it is asked how he would get mail from whom he writes to */
	const struct restrict_facts *f = a->access.facts;
	struct slice from = f == NULL ? SLICE_NONE : slice_same(f->sender, given) ? f->recipient : f->sender;
	if (from.len != 0) from = rewrite_standard(rewrite, rewrite->origin, rewrite->domain, from, mem);
	struct slice elsewhere = elsewhere_key(a, address, from, mem);
	if (elsewhere.len != 0 && known_has(a->params->elsewhere, elsewhere)) {
		out->domain_class = PLACE_ELSEWHERE;
		return true;
	}
	uint64_t version = known_version(a->params->known);
	struct route_answer route;
	int r = ask_route(a->params->core, &(struct route_ask){ .address = address, .sender = from }, mem, &route);
	if (r < 0) say(L_ERROR, a->params->service, "%s: %s", a->id, fail_text());
	if (r != ASK_OK) return false;
	if (route.verdict == ROUTE_DEFER) {
		say(L_WARN, a->params->service, "%.*s: %.*s", SLICE_ARG(address), SLICE_ARG(route.text));
		return false;
	}
	out->domain_class =
		route.verdict == ROUTE_FOREIGN ? PLACE_ELSEWHERE : (__typeof__(out->domain_class))class_of(route.class);
	out->listed = route.verdict == ROUTE_LOCAL || route.verdict == ROUTE_FOREIGN || route.verdict == ROUTE_FULL ||
		      admit_check_is(a, address, &route);
	out->full = route.verdict == ROUTE_FULL;
	out->status = route.status;
	if (slice_starts(route.status, S("4"))) out->code = 450;
	out->text = route.text;
	if (route.verdict == ROUTE_LOCAL && out->domain_class != PLACE_RELAY)
		known_add(a->params->known, address, version);
	if (route.verdict == ROUTE_FOREIGN && elsewhere.len != 0)
		known_add(a->params->elsewhere, elsewhere, version);
	return true;
}

static bool op_place(void *ctx, struct slice address, struct arena *mem, struct restrict_place *out) {
	struct admit *a = ctx;
	struct admit_access *x = &a->access;
	if (x->place_of.at == NULL || !slice_eq(x->place_of, address)) {
		if (!ask_place(a, address, mem, &x->place)) return false;
		x->place_of = arena_slice(mem, address);
	}
	*out = x->place;
	return true;
}

static int op_owners(void *ctx, const struct lookup *login_maps, struct slice address, struct arena *mem,
		     struct lookup_hit *hit) {
	const struct admit *a = ctx;
	return rewrite_find(a->params->rewrite, login_maps, address, mem, hit);
}

struct smtp_reply admit_room(struct admit *a, struct slice address, struct arena *mem) {
	struct restrict_place place;
	if (a->local) a->for_here = true; /* nobody asked where it leads */
	if (a->local || !op_place(a, address, mem, &place)) return (struct smtp_reply){ 0 };
	a->for_here |= place.domain_class != PLACE_ELSEWHERE && place.domain_class != PLACE_RELAY;
	if (!place.full) return (struct smtp_reply){ 0 };
	bool later = slice_starts(place.status, S("4"));
	return smtp_reply_fmt(mem, later ? 452 : 552, later ? "4.2.2" : "5.2.2",
			      "<%.*s>: Recipient address rejected: %.*s", SLICE_ARG(address), SLICE_ARG(place.text));
}

/* The log: "NOQUEUE: warn: RCPT from h[1.2.3.4]: text; from=<a@b> to=<c@d> proto=ESMTP helo=<h>". */

static void op_log(void *ctx, const char *what, struct slice text) {
	struct admit *a = ctx;
	const struct restrict_facts *f = a->access.facts;
	if (a->pause.logged++ < a->pause.told) return;
	AUTO_BUF struct buf line = BUF(KIB(8));
	buf_addf(&line, "%s: %s from %.*s: %.*s;", what, f->where, SLICE_ARG(a->client), SLICE_ARG(text));
	if (f->sender.at != NULL) buf_addf(&line, " from=<%.*s>", SLICE_ARG(f->sender));
	if (f->recipient.at != NULL) buf_addf(&line, " to=<%.*s>", SLICE_ARG(f->recipient));
	buf_addf(&line, " proto=%s", f->proto);
	if (f->helo.at != NULL) buf_addf(&line, " helo=<%.*s>", SLICE_ARG(f->helo));
	if (f->login.len != 0)
		buf_addf(&line, " sasl_method=%.*s sasl_username=%.*s", SLICE_ARG(f->mechanism), SLICE_ARG(f->login));
	log_line(L_INFO, a->params->service, a->session, a->announced ? a->id : "NOQUEUE", buf_text(&line), NULL, 0);
}

static void op_warn(void *ctx, const char *text) {
	struct admit *a = ctx;
	if (a->pause.logged++ < a->pause.told) return;
	log_line(L_WARN, a->params->service, a->session, NULL, text, NULL, 0);
}

/* Nobody waits here: the session parks, and when the time is over the list is run again, past this place. */
static bool op_sleep(void *ctx, unsigned seconds) {
	struct admit *a = ctx;
	unsigned place = a->pause.reached++;
	if (place < a->pause.passed || a->server == NULL) return true;
	a->pause.passed = place + 1;
	smtp_server_pause(a->server, (int64_t)seconds * 1000);
	return false;
}

static bool op_early(void *ctx) {
	const struct admit *a = ctx;
	return smtp_server_early(a->server);
}

/* The result may be some seconds away: we look again, as often as settings say. */
static enum restrict_verified op_verify(void *ctx, struct slice address, struct arena *mem, struct slice *why) {
	static const enum restrict_verified verdicts[] = { [VERIFY_GOOD] = VERIFIED_GOOD, [VERIFY_BAD] = VERIFIED_BAD,
		                                           [VERIFY_LATER] = VERIFIED_LATER,
		                                           [VERIFY_UNDER_WAY] = VERIFIED_UNDER_WAY };
	struct admit *a = ctx;
	struct admit_pause *p = &a->pause;
	struct verify_answer answer;
	unsigned place = p->reached++;
	int r = ask_verify(a->params->core, &(struct verify_ask){ .address = address }, mem, &answer);
	if (r < 0) say(L_ERROR, a->params->service, "%s", fail_text());
	if (r != ASK_OK || answer.verdict >= LEN(verdicts)) return VERIFIED_BROKEN;
	*why = answer.text;
	if (answer.verdict != VERIFY_UNDER_WAY || place < p->passed || a->server == NULL)
		return verdicts[answer.verdict];
	if (p->until == 0)
		p->until = deadline_in((int64_t)(MAX_OF(a->params->verify_polls, 1u) - 1) * a->params->verify_delay);
	if (clock_ms() >= p->until) {
		p->passed = place + 1;
		p->until = 0;
		return verdicts[answer.verdict];
	}
	smtp_server_pause(a->server, VERIFY_LOOK_MS);
	return VERIFIED_WAIT;
}

static const struct restrict_ops ops = {
	.verify = op_verify,
	.place = op_place,
	.owners = op_owners,
	.log = op_log,
	.warn = op_warn,
	.sleep = op_sleep,
	.early = op_early,
	.spf = admit_proof_policy,
};

/* What is known. */

static struct slice or_none(struct slice s) {
	return s.len != 0 ? s : SLICE_NONE;
}

static struct slice hex(struct arena *mem, const struct buf *digest) {
	AUTO_BUF struct buf out = BUF(KIB(1));
	for (size_t i = 0; i < digest->len; i++)
		buf_addf(&out, "%s%02X", i > 0 ? ":" : "", (unsigned char)digest->at[i]);
	return arena_slice(mem, buf_slice(&out));
}

static const struct restrict_tls *tls_facts(struct admit *a, struct tls *tls) {
	struct restrict_tls *t = &a->access.tls;
	if (tls == NULL) return NULL;
	if (a->access.tls_known) return t;
	struct tls_info info;
	tls_info(tls, &info);
	*t = (struct restrict_tls){ .protocol = arena_slice(&a->mem, slice_of(info.protocol)),
		                    .cipher = arena_slice(&a->mem, slice_of(info.cipher)),
		                    .bits = info.bits_used,
		                    .has_certificate = info.peer_has_cert,
		                    .trusted = info.trusted };
	if (info.peer_has_cert) {
		AUTO_BUF struct buf cert = BUF(KIB(1));
		AUTO_BUF struct buf key = BUF(KIB(1));
		AUTO_BUF struct buf subject = BUF(KIB(4));
		AUTO_BUF struct buf issuer = BUF(KIB(4));
		if (tls_peer_digest(tls, a->params->digest, false, &cert)) t->certificate = hex(&a->mem, &cert);
		if (tls_peer_digest(tls, a->params->digest, true, &key)) t->key = hex(&a->mem, &key);
		if (tls_peer_names(tls, &subject, &issuer)) {
			t->subject = arena_slice(&a->mem, buf_slice(&subject));
			t->issuer = arena_slice(&a->mem, buf_slice(&issuer));
		}
	}
	a->access.tls_known = true;
	return t;
}

static void own_end(struct admit *a) {
	struct restrict_client *c = &a->access.client;
	char text[ADDR_TEXT_ROOM];
	if (c->server_ip.at != NULL || addr_family(&a->daemon) == AF_UNSPEC) return;
	c->server_ip = arena_slice(&a->mem, slice_of(addr_text(&a->daemon, text)));
	c->server_port = arena_fmt(&a->mem, "%u", addr_port(&a->daemon));
}

static struct restrict_facts facts_of(struct admit *a, const char *where) {
	const struct smtp_session *s = admit_session(a);
	struct admit_access *x = &a->access;
	own_end(a);
	return (struct restrict_facts){ .client = &x->client,
		                        .where = where,
		                        .proto = s->proto,
		                        .helo = or_none(s->helo),
		                        .sender = s->mail != NULL ? s->mail->text : SLICE_NONE,
		                        .recipients = (unsigned)a->count,
		                        .size = x->size,
		                        .login = s->login,
		                        .mechanism = s->mechanism,
		                        .auth_sender = x->auth_sender,
		                        .utf8 = a->utf8,
		                        .tls = tls_facts(a, s->tls),
		                        .queue_id = a->announced ? slice_of(a->id) : S(""),
		                        .instance = slice_of(x->instance) };
}

/* The stages. */

typedef bool (*stage)(const struct restrict_run *run, struct restrict_reply *out);

/* Where the recipient leads stays known until the command ends: admit_room need not ask core once more. */
static struct smtp_reply run(struct admit *a, stage s, const struct restrict_facts *facts, struct arena *mem) {
	a->access.place_of = SLICE_NONE;
	if (a->local)
		return (struct smtp_reply){
			.code = 0
		}; /* who may hand in here was asked already; the rest is bounced */
	struct restrict_reply out = { 0 };
	if (a->local || a->params->restrictions == NULL) return (struct smtp_reply){ 0 };
	struct restrict_run r = { .rules = a->params->restrictions,
		                  .state = &a->access.state,
		                  .facts = facts,
		                  .ops = &ops,
		                  .ctx = a,
		                  .mem = mem,
		                  .tx = &a->access.effects };
	struct restrict_state before = a->access.state;
	a->access.facts = facts;
	a->pause.reached = a->pause.logged = 0;
	bool on = s(&r, &out);
	a->access.facts = NULL;
	if (!on && out.code == RESTRICT_WAIT) {
		a->access.state = before;
		a->pause.again = true;
		a->pause.told = MAX_OF(a->pause.told, a->pause.logged);
		return smtp_reply(SMTP_PAUSE, NULL, S(""));
	}
	a->pause = (struct admit_pause){ 0 };
	if (on) return (struct smtp_reply){ 0 };
	if (out.code == 0) return smtp_reply(SMTP_HANG_UP, NULL, S(""));
	return smtp_reply(out.code, out.status, out.text);
}

struct smtp_reply admit_restrict_connect(struct admit *a, struct arena *mem) {
	struct restrict_facts f = facts_of(a, a->access.spoken_for ? "XCLIENT" : "CONNECT");
	return run(a, restrict_connect, &f, mem);
}

struct smtp_reply admit_restrict_helo(struct admit *a, struct slice name, bool esmtp, struct arena *mem) {
	struct restrict_facts f = facts_of(a, esmtp ? "EHLO" : "HELO");
	f.helo = name;
	return run(a, restrict_helo, &f, mem);
}

struct smtp_reply admit_restrict_mail(struct admit *a, const struct smtp_mail *mail, struct arena *mem) {
	struct admit_access *x = &a->access;
	if (a->local) return (struct smtp_reply){ 0 };
	x->transactions++;
	x->size = mail->size;
	x->auth_sender = arena_slice(&a->tx, mail->auth);
	struct restrict_facts f = facts_of(a, "MAIL");
	f.sender = mail->text;
	return run(a, restrict_mail, &f, mem);
}

struct smtp_reply admit_restrict_rcpt(struct admit *a, struct slice address, const char *where, struct arena *mem) {
	struct admit_access *x = &a->access;
	/* which delivery it is, as soon as there is one: policy servers count by it */
	if (x->instance[0] == '\0' && admit_session(a)->mail != NULL)
		snprintf(x->instance, sizeof x->instance, "%llx.%llx.%u", (unsigned long long)a->session,
			 (unsigned long long)a->arrived_us, x->transactions);
	struct restrict_facts f = facts_of(a, where);
	f.recipient = address;
	return run(a, restrict_rcpt, &f, mem);
}

static void only_recipient(const struct admit *a, struct restrict_facts *f) {
	if (a->count == 1) f->recipient = a->recipients[0].address;
}

struct smtp_reply admit_restrict_data(struct admit *a, struct arena *mem) {
	struct restrict_facts f = facts_of(a, "DATA");
	only_recipient(a, &f);
	return run(a, restrict_data, &f, mem);
}

struct smtp_reply admit_restrict_end(struct admit *a, uint64_t size, struct arena *mem) {
	a->access.size = size;
	struct restrict_facts f = facts_of(a, "END-OF-MESSAGE");
	only_recipient(a, &f);
	return run(a, restrict_end, &f, mem);
}

struct smtp_reply admit_restrict_etrn(struct admit *a, struct slice domain, struct arena *mem) {
	struct restrict_facts f = facts_of(a, "ETRN");
	f.etrn = domain;
	return run(a, restrict_etrn, &f, mem);
}

/* What EHLO does not offer. */

static const struct { struct slice word; unsigned offer;
} offers[] = {
	{ S("pipelining"), OFFER_PIPELINING },
	{ S("size"), OFFER_SIZE },
	{ S("vrfy"), OFFER_VRFY },
	{ S("etrn"), OFFER_ETRN },
	{ S("starttls"), OFFER_STARTTLS },
	{ S("auth"), OFFER_AUTH },
	{ S("enhancedstatuscodes"), OFFER_STATUS_CODES },
	{ S("8bitmime"), OFFER_8BITMIME },
	{ S("dsn"), OFFER_DSN },
	{ S("smtputf8"), OFFER_SMTPUTF8 },
	{ S("chunking"), OFFER_CHUNKING },
	{ S("requiretls"), OFFER_REQUIRETLS },
	{ S("xclient"), OFFER_XCLIENT },
	{ S("xforward"), OFFER_XFORWARD },
};

static void take_back(unsigned *offer, struct slice word) {
	for (size_t i = 0; i < LEN(offers); i++)
		if (slice_same(offers[i].word, word)) *offer &= ~offers[i].offer;
}

void admit_discard_offers(struct admit *a, unsigned *offer) {
	struct lookup_hit hit;
	AUTO_ARENA struct arena mem = { 0 };
	if (a->params->ehlo_maps.count != 0 &&
	    lookup_ip(&a->params->ehlo_maps, slice_of(a->ip), &mem, &hit) == TABLE_FOUND) {
		struct slice rest = hit.value;
		for (struct slice w = slice_word(&rest, ", \t\r\n"); w.len != 0; w = slice_word(&rest, ", \t\r\n"))
			take_back(offer, w);
		return;
	}
	for (size_t i = 0; i < a->params->ehlo_discard_count; i++) take_back(offer, a->params->ehlo_discard[i]);
}

/* smtpd_reject_footer. */

struct footer_macros {
	const struct admit *a;
	unsigned depth;
};

static int footer_macro(void *ctx, struct slice name, struct buf *out) {
	const struct footer_macros *m = ctx;
	const struct smtp_session *s = admit_session(m->a);
	const struct restrict_client *c = &m->a->access.client;
	struct slice from = s->mail != NULL ? s->mail->text : S("");
	const struct { struct slice name, value;
	} known[] = {
		{ S("client"), c->shown },
		{ S("client_address"), c->ip },
		{ S("client_name"), c->name },
		{ S("client_port"), c->port },
		{ S("helo_name"), s->helo },
		{ S("sender"), from.len != 0 ? from : S("<>") },
		{ S("sender_name"), slice_head(from, slice_find_last(from, '@')) },
		{ S("sender_domain"), slice_skip(from, slice_find_last(from, '@') + 1) },
		{ S("server_name"), slice_of(m->a->params->host) },
		{ S("myhostname"), slice_of(m->a->params->host) },
	};
	if (slice_eq(name, S("localtime"))) {
		expand_local_time(out);
		return EXPAND_KNOWN;
	}
	for (size_t i = 0; i < LEN(known); i++) {
		if (!slice_eq(known[i].name, name)) continue;
		expand_filtered(out, m->a->params->expansion, known[i].value);
		return EXPAND_KNOWN;
	}
	return EXPAND_UNKNOWN;
}

/* "\c" at its start: the text goes on in the same line; "\n": lines. */
struct slice admit_footer(void *owner, const struct smtp_reply *reply, struct arena *mem) {
	const struct admit *a = owner;
	struct slice template = a->params->footer;
	struct lookup_hit hit;
	if (a->local) return SLICE_NONE;
	if (a->params->footer_maps.count != 0) {
		struct slice key = arena_fmt(mem, "%d %s%s%.*s", reply->code, reply->status,
					     reply->status[0] != '\0' ? " " : "", SLICE_ARG(reply->text));
		if (lookup_key(&a->params->footer_maps, key, mem, &hit) == TABLE_FOUND) template = hit.value;
	}
	struct footer_macros m = { .a = a };
	struct expand_ops macros = { .value = footer_macro, .ctx = &m, .depth = &m.depth };
	return expand_footer(template, &macros, mem);
}
