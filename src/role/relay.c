/* SPDX-License-Identifier: Apache-2.0 */
/* relay: other people's servers. Each channel from core is one delivery slot, with the connection that it keeps open
 * for the next message to the same place. */
#include "base/fail.h"
#include "base/generation.h"
#include "base/log.h"
#include "flow/ask.h"
#include "net/dns.h"
#include "net/seal.h"
#include "role/boot.h"
#include "role/settings.h"
#include "smtp/deliver.h"

enum { STOP_MS = 15000 };

struct relay_settings {
	struct generation generation;
	struct arena mem;
	struct conf *conf;
	struct tls_client *tls;
	char *logins;              /* "destination user:password" lines */
	struct smtp_target target; /* what is the same for all messages */
	struct slice own_name;
};

struct relay {
	struct pool *pool;
	struct dns *dns;
	struct current settings;
	int dials[LINK_NAMES];
	struct link_service service;
	_Atomic uint64_t sessions;
};

static void destroy(struct generation *g) {
	struct relay_settings *s = (struct relay_settings *)g;
	tls_client_unref(&s->tls);
	conf_drop(&s->conf);
	if (s->logins != NULL) mem_wipe(s->logins, strlen(s->logins));
	free(s->logins);
	arena_done(&s->mem);
	free(s);
}

/* user:password for a next hop: the whole text as it stands in relayhost, then the host alone, then "*". */
static bool find_login(const struct relay_settings *s, struct slice hop, struct slice *user, struct slice *password) {
	struct smtp_next_hop parts = { 0 };
	smtp_next_hop_parse(hop, &parts);
	const struct slice keys[] = { hop, parts.host, S("*") };
	for (size_t k = 0; k < LEN(keys); k++) {
		struct slice rest = slice_of(s->logins != NULL ? s->logins : "");
		while (rest.at != NULL && rest.len != 0) {
			struct slice line = slice_trim(slice_cut(&rest, '\n'));
			if (line.len == 0 || line.at[0] == '#') continue;
			struct slice key = slice_word(&line, " \t"), value = slice_trim(line);
			if (key.len == 0 || !slice_same(key, keys[k])) continue;
			*user = slice_cut(&value, ':');
			*password = value;
			return true;
		}
	}
	return false;
}

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

static void pack_outcomes(struct link_question *q, const struct smtp_outcome *o, size_t n) {
	struct relay_answer answer = { .outcomes = arena_array(q->mem, n, sizeof(struct relay_outcome)),
				       .outcomes_count = n };
	for (size_t i = 0; i < n; i++)
		answer.outcomes[i] = (struct relay_outcome){
			.fate = (uint32_t)o[i].fate,
			.status = slice_of(o[i].status),
			.text = o[i].text,
			.diagnostic = o[i].diagnostic,
			.host = o[i].host,
			.relay = o[i].relay,
			.tls = o[i].tls,
			.dsn = o[i].dsn,
			.uses = o[i].uses,
			.setup_us = o[i].setup_us,
			.send_us = o[i].send_us,
		};
	relay_answer_pack(q->answer, &answer);
}

static int answer_relay(void *ctx, struct link_question *q) {
	struct relay *r = ctx;
	struct relay_ask ask;
	relay_ask_unpack(&q->in, &ask);
	if (q->in.bad || q->ask->fd_count != 1 || ask.recipients_count == 0) return fail("broken question");
	struct relay_settings *s = (struct relay_settings *)current_hold(&r->settings);
	struct smtp_recipient *to = arena_array(q->mem, ask.recipients_count, sizeof *to);
	for (size_t i = 0; i < ask.recipients_count; i++)
		to[i] = (struct smtp_recipient){ ask.recipients[i].address, ask.recipients[i].orcpt,
						 ask.recipients[i].notify };
	struct smtp_message message = {
		.id = arena_text(q->mem, ask.queue_id),
		.sender = ask.sender,
		.envid = ask.envid,
		.ret = (enum smtp_ret)ask.ret,
		.eight_bit = ask.eight_bit,
		.utf8 = ask.utf8,
		.recipients = to,
		.count = ask.recipients_count,
		.body = { .head = ask.head, .fd = q->ask->fds[0], .offset = ask.offset, .size = ask.size },
	};
	struct smtp_target target = s->target;
	target.next_hop = ask.hop;
	target.session = 10000 + ++r->sessions % 9990000;
	find_login(s, ask.hop, &target.client.user, &target.client.password);
	if (!conf_bool(conf_main(s->conf), SET_smtp_sasl_auth_enable)) target.client.user = SLICE_NONE;
	struct smtp_outcome *outcomes = arena_array(q->mem, message.count, sizeof *outcomes);
	if (*q->kept == NULL) *q->kept = mem_get(sizeof(struct smtp_cache));
	smtp_deliver(&target, &message, *q->kept, q->mem, outcomes);
	pack_outcomes(q, outcomes, message.count);
	generation_drop(&s->generation);
	return 0;
}

static const struct link_rule rules[] = { { ASK_RELAY, "relay", answer_relay } };

static struct addr bind_address(const struct conf_view *v, enum setting_id id) {
	struct addr a = { 0 };
	addr_parse(conf_text(v, id), &a);
	return a;
}

static void fill_target(struct relay_settings *s, struct relay *r) {
	const struct conf_view *v = conf_main(s->conf);
	static const enum smtp_tls_level levels[] = {
		[CLIENT_TLS_NONE] = SMTP_TLS_NONE,         [CLIENT_TLS_MAY] = SMTP_TLS_MAY,
		[CLIENT_TLS_ENCRYPT] = SMTP_TLS_ENCRYPT,   [CLIENT_TLS_DANE] = SMTP_TLS_MAY,
		[CLIENT_TLS_DANE_ONLY] = SMTP_TLS_ENCRYPT, [CLIENT_TLS_FINGERPRINT] = SMTP_TLS_ENCRYPT,
		[CLIENT_TLS_VERIFY] = SMTP_TLS_ENCRYPT,    [CLIENT_TLS_SECURE] = SMTP_TLS_ENCRYPT,
	};
	bool ipv4, ipv6;
	protocols_of(v, &ipv4, &ipv6);
	size_t n;
	bool plain_allowed = true;
	const struct slice *options = conf_list(v, SET_smtp_sasl_security_options, &n);
	for (size_t i = 0; i < n; i++) plain_allowed = plain_allowed && !slice_same(options[i], S("noplaintext"));
	s->own_name = conf_text(v, SET_myhostname);
	struct smtp_timeouts timeouts = {
		.connect = conf_time_ms(v, SET_smtp_connect_timeout),
		.helo = conf_time_ms(v, SET_smtp_helo_timeout),
		.starttls = conf_time_ms(v, SET_smtp_starttls_timeout),
		.mail = conf_time_ms(v, SET_smtp_mail_timeout),
		.rcpt = conf_time_ms(v, SET_smtp_rcpt_timeout),
		.data_init = conf_time_ms(v, SET_smtp_data_init_timeout),
		.data_xfer = conf_time_ms(v, SET_smtp_data_xfer_timeout),
		.data_done = conf_time_ms(v, SET_smtp_data_done_timeout),
		.quit = conf_time_ms(v, SET_smtp_quit_timeout),
	};
	static const enum smtp_address_preference preferences[] = {
		[ADDRESS_PREFERENCE_ANY] = SMTP_PREFER_ANY,
		[ADDRESS_PREFERENCE_IPV4] = SMTP_PREFER_IPV4,
		[ADDRESS_PREFERENCE_IPV6] = SMTP_PREFER_IPV6,
	};
	s->target = (struct smtp_target){
		.hosts = { .dns = r->dns,
			   .no_ipv4 = !ipv4,
			   .no_ipv6 = !ipv6,
			   .preference = preferences[conf_enum(v, SET_smtp_address_preference)],
			   .own_names = &s->own_name,
			   .own_names_count = 1 },
		.client = { .helo_name = conf_text(v, SET_smtp_helo_name),
			    .tls = levels[conf_enum(v, SET_smtp_tls_security_level)],
			    .tls_client = s->tls,
			    .auth_in_clear = plain_allowed,
			    .bind4 = bind_address(v, SET_smtp_bind_address),
			    .bind6 = bind_address(v, SET_smtp_bind_address6),
			    .timeouts = timeouts },
		.recipient_limit = (unsigned)conf_number(v, SET_default_destination_recipient_limit),
		.keep_ms = conf_bool(v, SET_smtp_connection_cache_on_demand) ? 0 : -1,
		.log_tls = conf_number(v, SET_smtp_tls_loglevel) >= 1,
	};
}

static int reload(void *self, struct boot *b) {
	struct relay *r = self;
	struct relay_settings *s = mem_get(sizeof *s);
	s->generation.destroy = destroy;
	s->conf = TAKE(b->conf);
	s->logins = TAKE(b->logins);
	const struct conf_view *v = conf_main(s->conf);
	int level = conf_enum(v, SET_smtp_tls_security_level);
	struct slice ca = conf_text(v, SET_smtp_tls_CAfile);
	struct tls_client_params params = { .ca_file = ca.len != 0 ? ca.at : NULL,
					    .verify = level == CLIENT_TLS_VERIFY || level == CLIENT_TLS_SECURE
							      ? TLS_VERIFY_NAME
							      : TLS_VERIFY_NONE };
	if (level != CLIENT_TLS_NONE && tls_client_new(&params, &s->tls) < 0) {
		destroy(&s->generation);
		return fail_add("TLS");
	}
	fill_target(s, r);
	current_set(&r->settings, &s->generation);
	return 0;
}

static int start(struct boot *b, void **self) {
	struct relay *r = mem_get(sizeof *r);
	AUTO_ARENA struct arena mem = { 0 };
	r->settings = CURRENT_NONE;
	const struct conf_view *v = conf_main(b->conf);
	unsigned workers = (unsigned)conf_number(v, SET_relay_worker_limit) + 2;
	struct dns_params params = dns_params_of(v, &mem);
	if (dns_open(&params, &r->dns) < 0) return fail_add("DNS");
	for (size_t i = 0; i < LINK_NAMES; i++) r->dials[i] = TAKE_FD(b->links[i]);
	if (reload(r, b) < 0) return -1;
	r->pool = pool_new(&(struct pool_params){ .min_workers = 1, .max_workers = workers });
	r->service = (struct link_service){ .rules = rules, .count = LEN(rules), .ctx = r, .keeper = &keeper };
	link_serve(r->pool, r->dials[LINK_CORE_RELAY], &r->service);
	*self = r;
	return 0;
}

static void stop(void *self) {
	struct relay *r = self;
	size_t left = pool_stop(r->pool, deadline_in(STOP_MS));
	if (left != 0) say(L_WARN, "relay", "%zu deliveries cut off: they will be tried again", left);
}

const struct role role_relay = {
	.name = "relay", .seal_needs = SEAL_CONNECT, .start = start, .reload = reload, .stop = stop
};
