/* SPDX-License-Identifier: Apache-2.0 */
/* relay: other people's servers. Each channel from core is one delivery slot, with the connection that it keeps open
 * for the next message to the same place. */
#include "base/fail.h"
#include "base/generation.h"
#include "base/log.h"
#include "flow/ask.h"
#include "flow/notice.h"
#include "net/dns.h"
#include "net/seal.h"
#include "role/boot.h"
#include "role/relay_report.h"
#include "role/relay_settings.h"
#include "role/settings.h"
#include "trust/spf.h"

enum {
	STOP_MS = 15000,
	GRACE_MS = 3000, /* for DNS to answer */
	HEADER_SEEN = 1 << 17,
	MORE_WORKERS = 10 /* than deliveries: for everything else */
};

struct relay {
	struct pool *pool;
	struct dns *dns;
	struct relay_outside outside; /* with that dns */
	struct current settings;
	int dials[LINK_NAMES];
	struct signing *signing;
	struct key_watch *watch;
	struct link_service service, to_edge;
	_Atomic uint64_t sessions;
	atomic_bool ending; /* names are not asked for any more */
};

static void kept_expire(void *kept) {
	smtp_cache_clear(kept);
}

static int64_t kept_deadline(void *kept) {
	return smtp_cache_deadline(kept);
}

static void kept_done(void *kept) {
	smtp_cache_clear(kept);
	free(kept);
}

static const struct link_keeper keeper = { .deadline = kept_deadline, .expire = kept_expire, .done = kept_done };

/* Mail that would come back to us is for that transport (best_mx_transport). */
static void pass_on(struct relay_outcome *o, struct slice transport, struct arena *mem) {
	bool whole = slice_find(transport, ':') < transport.len;
	o->redirects = arena_get(mem, sizeof *o->redirects);
	o->redirects[0] = (struct relay_redirect){ REDIRECT_TRANSPORT,
						   whole ? transport : arena_fmt(mem, "%.*s:", SLICE_ARG(transport)) };
	o->redirects_count = 1;
	o->fate = RELAY_REDIRECTED;
}

/* Our own end was what kept it from being tried, or may have been: that is no failure of the destination. */
static bool cut_short(const struct relay *r, const struct smtp_outcome *o) {
	return r->ending && o->fate == SMTP_LATER && !o->settled && o->code == 0 && o->uses == 0;
}

static void pack_outcomes(const struct relay *r, struct link_question *q, const struct smtp_outcome *o, size_t n,
			  const struct smtp_talk *talk, const struct relay_profile *profile) {
	bool lmtp = profile != NULL && profile->target.client.lmtp;
	struct relay_answer answer = { .outcomes = arena_array(q->mem, n, sizeof(struct relay_outcome)),
				       .outcomes_count = n };
	if (talk->troubles != 0) {
		answer.troubles = talk->troubles;
		answer.trouble_with = slice_of(talk->with);
		answer.talk = buf_slice(&talk->text);
		answer.lmtp = lmtp;
		answer.cut = talk->text.full;
	}
	for (size_t i = 0; i < n; i++)
		answer.outcomes[i] = (struct relay_outcome){
			.fate = cut_short(r, &o[i]) ? (uint32_t)RELAY_UNTRIED : (uint32_t)o[i].fate,
			.status = slice_of(o[i].status),
			.text = o[i].text,
			.diagnostic = o[i].diagnostic,
			.host = o[i].host,
			.relay = o[i].relay,
			.tls = o[i].tls,
			.tls_status = o[i].tls_status,
			.dsn = o[i].dsn,
			.uses = o[i].uses,
			.setup_us = o[i].setup_us,
			.send_us = o[i].send_us,
			.final = lmtp && profile->final,
		};
	for (size_t i = 0; i < n && profile != NULL && profile->best_mx.len != 0; i++)
		if (o[i].fate == SMTP_NEVER && strcmp(o[i].status, "5.4.6") == 0)
			pass_on(&answer.outcomes[i], profile->best_mx, q->mem);
	relay_answer_pack(q->answer, &answer);
}

/* A delivery under way: the recipients that are still open, for one next hop after the other. */
struct delivering {
	struct relay *relay;
	struct relay_settings *settings;
	const struct relay_profile *profile;
	const struct relay_ask *ask;
	struct arena *mem;
	struct smtp_cache *cache;
	struct smtp_message message;     /* with the recipients that are open */
	struct smtp_recipient *open;
	size_t *which;                   /* their places among the asked */
	struct smtp_outcome *outcomes;   /* of the asked */
};

static void tell_all(struct delivering *d, const char *status, enum smtp_fate fate, struct slice text) {
	for (size_t i = 0; i < d->message.count; i++) {
		struct smtp_outcome *o = &d->outcomes[d->which[i]];
		*o = (struct smtp_outcome){ .fate = fate, .text = text, .relay = S("none") };
		snprintf(o->status, sizeof o->status, "%s", status);
	}
}

/* Does the message say that it may go without TLS (RFC 8689 §5)? */
static bool tls_waived(void *ctx) {
	const struct delivering *d = ctx;
	const struct smtp_body *body = &d->message.body;
	if (!d->profile->tls_required_header) return false;
	size_t want = (size_t)MIN_OF(smtp_body_size(body), (uint64_t)HEADER_SEEN);
	struct slice rest;
	if (smtp_body_read(body, 0, arena_get(d->mem, want + 1), want, &rest) < 0) return false;
	while (rest.len != 0) {
		struct slice line = slice_cut(&rest, '\n');
		if (slice_trim(line).len == 0) return false;
		bool continued = ascii_blank(line.at[0]);
		struct slice name = slice_cut(&line, ':');
		if (!continued && slice_same(slice_trim(name), S("TLS-Required")) &&
		    slice_same(slice_trim(line), S("no")))
			return true;
	}
	return false;
}

enum { SPF_MS = 10000 };

/* What the next server will find, if SPF is asked of it: does mail for this sender come from here? Who publishes
 * nothing cannot fail. */
static struct slice forwarded_sender(void *ctx, const struct addr *ours, struct arena *mem) {
	const struct delivering *d = ctx;
	struct spf_verdict v = { .result = TRUST_NEUTRAL };
	if (ours == NULL || d->ask->srs_always) return d->ask->srs;
	struct spf_params p = { .dns = d->relay->dns, .timeout_ms = SPF_MS };
	struct slice helo = d->profile->target.client.helo_name;
	spf_check(&p, &(struct spf_question){ .client = ours, .helo = helo, .sender = d->ask->sender }, mem, &v);
	return v.result == TRUST_PASS || v.result == TRUST_NONE ? d->ask->sender : d->ask->srs;
}

/* What depends on the next hop. False: everybody waits. */
static bool prepare(struct delivering *d, struct slice hop, struct smtp_target *target, struct relay_tls *tls) {
	struct relay_login *login = arena_get(d->mem, sizeof *login);
	*login = (struct relay_login){ d->settings, d->profile, hop, d->ask->sender };
	*target = d->profile->target;
	target->next_hop = hop;
	target->login = relay_login;
	target->login_ctx = login;
	target->session = 10000 + ++d->relay->sessions % 9990000;
	tls->client = &target->client;
	int require = d->ask->require_tls ? relay_require(d->profile, hop, d->mem) : SMTP_REQUIRE_NONE;
	if (require < 0) {
		tell_all(d, "4.7.10", SMTP_LATER, arena_slice(d->mem, slice_of(fail_text())));
		return false;
	}
	target->client.require = (enum smtp_require)require;
	int r = relay_tls(d->settings, d->profile, hop, tls_waived, d, d->mem, tls);
	target->no_tls_reuse = !tls->reuse;
	if (!relay_keeps(d->profile, hop, d->mem)) target->keep_ms = -1;
	if (r == 2) { /* the sender of a bounce need not know our tables */
		say(L_WARN, d->profile->tag, "%s", fail_text());
		fail("client TLS configuration problem");
	}
	if (r != 0) tell_all(d, r == 2 ? "4.7.5" : "4.3.0", SMTP_LATER, arena_slice(d->mem, slice_of(fail_text())));
	return r == 0;
}

/* Hands the open ones to one next hop; those whom another one may still take stay open. */
static void try_hop(struct delivering *d, struct slice hop) {
	struct smtp_target target;
	struct relay_tls tls = { 0 };
	struct smtp_outcome *o = arena_array(d->mem, d->message.count, sizeof *o);
	bool ready = prepare(d, hop, &target, &tls);
	if (ready) smtp_deliver(&target, &d->message, d->cache, d->mem, o);
	for (size_t i = 0; ready && i < d->message.count; i++)
		if (o[i].tls_status.len == 0 && target.client.level != NULL)
			o[i].tls_status = arena_fmt(d->mem, "%s?%s", target.client.level,
						    target.client.require != SMTP_REQUIRE_NONE ? "/requiretls?" : "");
	for (size_t i = 0; i < LEN(tls.held); i++) tls_client_unref(&tls.held[i]);
	if (!ready) return;
	size_t kept = 0;
	for (size_t i = 0; i < d->message.count; i++) {
		d->outcomes[d->which[i]] = o[i];
		bool not_found = o[i].fate == SMTP_NEVER && strcmp(o[i].status, "5.4.4") == 0;
		if ((o[i].fate != SMTP_LATER || o[i].settled) && !not_found) continue;
		d->open[kept] = d->open[i];
		d->which[kept++] = d->which[i];
	}
	d->message.count = kept;
}

/* Next hops are separated by commas and blanks; a local socket stands alone. */
static void try_hops(struct delivering *d) {
	struct slice hops = d->ask->hop, hop;
	if (slice_starts(hops, S("unix:"))) {
		struct slice path = slice_skip(hops, 5), folder = conf_text(d->profile->view, SET_queue_directory);
		bool relative = path.len != 0 && path.at[0] != '/';
		try_hop(d, relative ? arena_fmt(d->mem, "unix:%.*s/%.*s", SLICE_ARG(folder), SLICE_ARG(path)) : hops);
	} else {
		while (d->message.count != 0 && (hop = slice_word(&hops, ", \t")).len != 0) try_hop(d, hop);
	}
	for (size_t i = 0; i < d->profile->fallback_count && d->message.count != 0; i++)
		try_hop(d, d->profile->fallback[i]);
}

static void begin(struct delivering *d, const struct link_question *q) {
	const struct relay_ask *ask = d->ask;
	d->open = arena_array(d->mem, ask->recipients_count, sizeof *d->open);
	d->which = arena_array(d->mem, ask->recipients_count, sizeof *d->which);
	d->outcomes = arena_array(d->mem, ask->recipients_count, sizeof *d->outcomes);
	for (size_t i = 0; i < ask->recipients_count; i++) {
		const struct relay_recipient *to = &ask->recipients[i];
		d->open[i] = (struct smtp_recipient){ to->address, to->orcpt, to->notify };
		d->which[i] = i;
	}
	struct smtp_origin *origin = arena_get(d->mem, sizeof *origin);
	*origin = (struct smtp_origin){
		ask->client.name,     ask->client.address,
		ask->client.port,     ask->client.helo,
		ask->client.protocol, ask->client.address.len == 0 || ask->client.sasl_username.len != 0
	};
	d->message = (struct smtp_message){
		.origin = origin,
		.id = arena_text(d->mem, ask->queue_id),
		.sender = ask->sender,
		.envid = ask->envid,
		.ret = (enum smtp_ret)ask->ret,
		.eight_bit = ask->eight_bit,
		.utf8 = ask->utf8,
		.recipients = d->open,
		.probe = ask->probe,
		.probe_data = d->profile != NULL && d->profile->probe_data,
		.count = ask->recipients_count,
		.body = { .head = ask->head,
			  .text = ask->text.len != 0 ? ask->text : SLICE_NONE,
			  .fd = q->ask->fd_count != 0 ? q->ask->fds[0] : -1,
			  .offset = ask->offset,
			  .size = ask->size },
	};
}

/* Whoever changes the sender by smtp_generic_maps has chosen one. */
static void begin_srs(struct delivering *d) {
	if (d->ask->srs.len == 0 || !slice_eq(d->message.sender, d->ask->sender)) return;
	d->message.sender_from = forwarded_sender;
	d->message.sender_ctx = d;
}

static int answer_relay(void *ctx, struct link_question *q) {
	struct relay *r = ctx;
	struct relay_ask ask;
	relay_ask_unpack(&q->in, &ask);
	bool text = ask.text.len != 0; /* either that or a descriptor */
	if (q->in.bad || q->ask->fd_count != (text ? 0 : 1) || ask.recipients_count == 0)
		return fail("broken question");
	if (text && (ask.offset > ask.text.len || ask.size > ask.text.len - ask.offset)) return fail("broken question");
	struct relay_settings *s = (struct relay_settings *)current_hold(&r->settings);
	if (*q->kept == NULL) *q->kept = mem_get(sizeof(struct smtp_cache));
	struct delivering d = { .relay = r, .settings = s, .profile = relay_profile_find(s, ask.transport),
				.ask = &ask, .mem = q->mem, .cache = *q->kept };
	struct smtp_talk talk = { .text = BUF(NOTICE_TALK_MAX) };
	begin(&d, q);
	if (d.profile != NULL && d.profile->tell_postmaster) d.message.talk = &talk;
	AUTO_FD int changed = -1;
	if (d.profile == NULL) tell_all(&d, "4.3.0", SMTP_LATER, S("mail transport unavailable"));
	else if (outgoing_change(&d.profile->outgoing, &d.message, d.open, d.mem, &changed) < 0)
		tell_all(&d, "4.3.0", SMTP_LATER, arena_slice(d.mem, slice_of(fail_text())));
	else if (signing_apply(r->signing, &d.profile->signing, ask.sign, ask.seal, &d.message, d.mem) < 0)
		tell_all(&d, "4.7.0", SMTP_LATER, arena_slice(d.mem, slice_of(fail_text())));
	else begin_srs(&d), try_hops(&d);
	for (size_t i = 0; i < ask.recipients_count && d.profile != NULL; i++)
		relay_filter(d.profile, &d.outcomes[i], d.mem);
	pack_outcomes(r, q, d.outcomes, ask.recipients_count, &talk, d.profile);
	buf_done(&talk.text);
	generation_drop(&s->generation);
	return 0;
}

static int answer_report(void *ctx, struct link_question *q) {
	return relay_answer_report(((struct relay *)ctx)->dns, q);
}
static int answer_permission(void *ctx, struct link_question *q) {
	return relay_answer_permission(((struct relay *)ctx)->dns, q);
}
static int answer_name(void *ctx, struct link_question *q) {
	return relay_answer_name(((struct relay *)ctx)->dns, q);
}

static int answer_targets(void *ctx, struct link_question *q) {
	return relay_answer_targets(((struct relay *)ctx)->dns, q);
}

static int answer_token(void *ctx, struct link_question *q) {
	struct relay_settings *s = (struct relay_settings *)current_hold(&((struct relay *)ctx)->settings);
	int r = relay_answer_token(s->bearer, q);
	generation_drop(&s->generation);
	return r;
}

/* edge, whom strangers speak with, gets nothing sent from here. */
static const struct link_rule edge_rules[] = {
	{ ASK_TOKEN, "OAuth 2 token", answer_token },
};
static const struct link_rule rules[] = {
	{ ASK_RELAY, "relay", answer_relay },
	{ ASK_REPORT, "report", answer_report },
	{ ASK_PERMISSION, "permission", answer_permission },
	{ ASK_NAME, "name", answer_name },
	{ ASK_TARGETS, "report addresses", answer_targets },
};

static int reload(void *self, struct boot *b) {
	struct relay *r = self;
	struct relay_settings *s;
	if (relay_settings_new(b, &r->outside, &s) < 0) return -1;
	current_set(&r->settings, &s->generation);
	if (r->watch != NULL)
		key_watch_set(r->watch, conf_time_ms(conf_main(s->conf), SET_dkim_rotation_check_interval));
	return 0;
}

static int start(struct boot *b, void **self) {
	struct relay *r = mem_get(sizeof *r);
	AUTO_ARENA struct arena mem = { 0 };
	r->settings = CURRENT_NONE;
	const struct conf_view *v = conf_main(b->conf);
	unsigned workers = (unsigned)conf_number(v, SET_relay_worker_limit) + MORE_WORKERS;
	struct dns_params params = dns_params_of(v, &mem);
	if (dns_open(&params, &r->dns) < 0) return fail_add("DNS");
	for (size_t i = 0; i < LINK_NAMES; i++) r->dials[i] = TAKE_FD(b->links[i]);
	r->outside = (struct relay_outside){ r->dns, link_new(r->dials[LINK_RELAY_VAULT]), smtp_refusals_new() };
	r->signing = signing_new(r->outside.vault);
	int64_t watch_ms = conf_time_ms(v, SET_dkim_rotation_check_interval);
	if (reload(r, b) < 0) return -1;
	r->pool = pool_new(&(struct pool_params){ .min_workers = 1, .max_workers = workers });
	r->watch = key_watch_start(r->pool, r->dns, r->outside.vault);
	key_watch_set(r->watch, watch_ms);
	r->service = (struct link_service){ .rules = rules, .count = LEN(rules), .ctx = r, .keeper = &keeper };
	link_serve(r->pool, r->dials[LINK_CORE_RELAY], &r->service);
	r->to_edge = (struct link_service){ .rules = edge_rules, .count = LEN(edge_rules), .ctx = r };
	link_serve(r->pool, r->dials[LINK_EDGE_RELAY], &r->to_edge);
	*self = r;
	return 0;
}

static void stop(void *self) {
	struct relay *r = self;
	int64_t deadline = deadline_in(STOP_MS);
	size_t left = pool_stop(r->pool, deadline_in(GRACE_MS));
	r->ending = true;
	dns_end(r->dns); /* who still waits for a name is not tried; conversations go on */
	if (left != 0) left = pool_stop(r->pool, deadline);
	if (left != 0) say(L_WARN, "relay", "%zu deliveries cut off: they will be tried again", left);
}

const struct role role_relay = {
	.name = "relay", .seal_needs = SEAL_CONNECT, .start = start, .reload = reload, .stop = stop
};
