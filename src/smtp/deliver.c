/* SPDX-License-Identifier: Apache-2.0 */
/* The list of open recipients is all the state there is: each host shortens it, and what is left after the last host
 * keeps the last host's words. */
#include "smtp/deliver.h"
#include "base/fail.h"
#include "base/log.h"

enum {
	DEFAULT_SESSIONS = 2,
	DEFAULT_RECIPIENTS = 50,
	DEFAULT_KEEP_USES = 100,
	DEFAULT_KEEP_MS = 2000,
	DEFAULT_REUSE_MS = 300000
};

struct delivery {
	const struct smtp_target *target;
	struct smtp_client_params client; /* the target's, completed */
	const struct smtp_message *message;
	struct smtp_cache *cache;
	struct arena *mem;
	struct smtp_outcome *outcomes;
	size_t *open, count;              /* recipients that another host may still take */
	int64_t started;
	unsigned sessions;
	size_t unsent;                    /* open recipients that the last connection ended too early for */
	const struct smtp_host *answered; /* the host of the kept connection, when it has had its say; or NULL */
};

/* id: the message's, or NULL for what is about the connection, as in Postfix. */
static void log_text(const struct delivery *d, const char *id, struct slice text) {
	const char *service = d->target->service != NULL ? d->target->service : "smtp";
	log_line(L_INFO, service, d->target->session, id, arena_text(d->mem, text), NULL, 0);
}

/* The kept connection. */

int64_t smtp_cache_deadline(const struct smtp_cache *c) { return c->client != NULL ? c->deadline : NEVER; }

void smtp_cache_clear(struct smtp_cache *c) {
	smtp_client_quit(&c->client);
	free(c->next_hop);
	*c = (struct smtp_cache){ 0 };
}

static bool same_text(const char *a, const char *b) { return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0); }
static bool same_bind(const struct addr *a, const struct addr *b) {
	return addr_family(a) == addr_family(b) && (addr_family(a) == AF_UNSPEC || addr_same_host(a, b));
}

static bool same_list(const struct slice *a, size_t a_count, const struct slice *b, size_t b_count) {
	if (a_count != b_count) return false;
	for (size_t i = 0; i < a_count; i++)
		if (!slice_eq(a[i], b[i])) return false;
	return true;
}

static bool same_proofs(const struct smtp_client_params *a, const struct smtp_client_params *b) {
	return a->proof == b->proof && same_text(a->digest, b->digest) && slice_eq(a->anchors, b->anchors) &&
		a->insecure_mx == b->insecure_mx && a->insecure_hosts == b->insecure_hosts &&
		same_list(a->proofs, a->proofs_count, b->proofs, b->proofs_count) &&
		same_list(a->mx_patterns, a->mx_patterns_count, b->mx_patterns, b->mx_patterns_count);
}

static bool same_login(const struct smtp_client_params *a, const struct smtp_client_params *b) {
	return slice_eq(a->user, b->user) && slice_eq(a->password, b->password) &&
	       a->mechanisms_clear == b->mechanisms_clear && a->mechanisms_tls == b->mechanisms_tls &&
	       a->mechanisms_verified == b->mechanisms_verified;
}

static bool same_params(const struct smtp_client_params *a, const struct smtp_client_params *b) {
	return a->lmtp == b->lmtp && a->require == b->require && slice_same(a->helo_name, b->helo_name) &&
	       a->tls_wrapper == b->tls_wrapper && a->tls_client == b->tls_client && a->tls_dane == b->tls_dane &&
	       same_text(a->tls_name, b->tls_name) &&
	       same_list(a->discard, a->discard_count, b->discard, b->discard_count) && same_login(a, b) &&
	       same_proofs(a, b) && same_bind(&a->bind4, &b->bind4) && same_bind(&a->bind6, &b->bind6);
}

static bool cache_fits(const struct delivery *d) {
	const struct smtp_cache *c = d->cache;
	return slice_eq(slice_of(c->next_hop), d->target->next_hop) && c->port == d->target->hosts.port &&
		c->tls == d->client.tls && same_params(smtp_client_params(c->client), &d->client) &&
		clock_ms() < c->deadline;
}

/* Log-ins depend on the host. */
static bool login_for(struct delivery *d, const struct smtp_host *host) {
	const struct smtp_target *t = d->target;
	return t->login == NULL || t->login(t->login_ctx, host->name, d->mem, &d->client.user, &d->client.password);
}

/* The kept connection if it is for us and alive; any other is ended. */
static struct smtp_client *cache_take(struct delivery *d) {
	if (d->cache == NULL || d->cache->client == NULL) return NULL;
	struct smtp_client *kept = NULL;
	bool known = login_for(d, smtp_client_host(d->cache->client));
	if (known && cache_fits(d) && smtp_client_alive(d->cache->client)) kept = TAKE(d->cache->client);
	smtp_cache_clear(d->cache);
	return kept;
}

static void cache_give(struct delivery *d, struct smtp_client **client) {
	const struct smtp_target *t = d->target;
	unsigned uses = t->keep_uses != 0 ? t->keep_uses : DEFAULT_KEEP_USES;
	int64_t left = (t->reuse_ms != 0 ? t->reuse_ms : DEFAULT_REUSE_MS) - smtp_client_age_ms(*client);
	bool kept = left > 0 && (smtp_client_tls(*client) == NULL || !t->no_tls_reuse);
	if (d->cache == NULL || t->keep_ms < 0 || !kept || smtp_client_uses(*client) >= uses) {
		smtp_client_quit(client);
		return;
	}
	smtp_cache_clear(d->cache);
	*d->cache = (struct smtp_cache){ .client = TAKE(*client),
		.next_hop = slice_text(t->next_hop),
		.port = t->hosts.port,
		.tls = d->client.tls,
		.deadline = deadline_in(MIN_OF(t->keep_ms != 0 ? t->keep_ms : DEFAULT_KEEP_MS, left)) };
}

/* Recipients. */

static void tell_open(struct delivery *d, const struct smtp_outcome *o) {
	for (size_t i = 0; i < d->count; i++) {
		d->outcomes[d->open[i]] = *o;
		d->outcomes[d->open[i]].setup_us = clock_us() - d->started;
	}
}

static void drop_settled(struct delivery *d) {
	size_t kept = 0;
	for (size_t i = 0; i < d->count; i++) {
		const struct smtp_outcome *o = &d->outcomes[d->open[i]];
		if (o->fate == SMTP_LATER && !o->settled) d->open[kept++] = d->open[i];
	}
	d->count = kept;
}

/* Refused with 452, "too many recipients", while others were taken: these may follow at once (RFC 5321 §4.5.3.1.10). */
static size_t too_many(const struct delivery *d, size_t *which, size_t count) {
	size_t kept = 0;
	for (size_t i = 0; i < count; i++)
		if (d->outcomes[which[i]].code == 452 && d->outcomes[which[i]].fate == SMTP_LATER)
			which[kept++] = which[i];
	return kept < count ? kept : 0;
}

static void tell_unsent(struct delivery *d, const struct smtp_client *client, size_t done) {
	d->unsent = d->count - done;
	struct slice relay = arena_slice(d->mem, smtp_client_relay(client));
	for (size_t i = done; i < d->count; i++)
		d->outcomes[d->open[i]] = (struct smtp_outcome){ .fate = SMTP_LATER,
			.status = "4.4.2",
			.relay = relay,
			.uses = smtp_client_uses(client),
			.text = arena_fmt(
				d->mem, "%.*s ended the connection before this recipient's turn", SLICE_ARG(relay)) };
}

/* All open recipients over one connection, in as many transactions as the limit asks for. */
static enum smtp_client_result send_all(struct delivery *d, struct smtp_client *client) {
	size_t most = d->target->recipient_limit != 0 ? d->target->recipient_limit : DEFAULT_RECIPIENTS, done = 0;
	enum smtp_client_result r = SMTP_CLIENT_OK;
	size_t *which = arena_array(d->mem, d->count, sizeof *which);
	while (done < d->count && r == SMTP_CLIENT_OK) {
		size_t count = MIN_OF(most, d->count - done);
		memcpy(which, d->open + done, count * sizeof *which);
		done += count;
		while (count > 0 && r == SMTP_CLIENT_OK) {
			int64_t setup = clock_us() - d->started;
			r = smtp_client_send(client, d->message, which, count, d->mem, d->outcomes);
			for (size_t i = 0; i < count; i++) d->outcomes[which[i]].setup_us = setup;
			count = too_many(d, which, count);
		}
	}
	tell_unsent(d, client, done);
	drop_settled(d);
	return r;
}

/* Hosts. */

static void log_tls(const struct delivery *d, const struct smtp_client *client) {
	struct tls *tls = smtp_client_tls(client);
	if (d->target->note_starttls && d->client.tls == SMTP_TLS_NONE && smtp_client_offers_tls(client))
		log_text(d, NULL,
			 arena_fmt(d->mem, "Host offered STARTTLS: [%.*s]", SLICE_ARG(smtp_client_host(client)->name)));
	if (!d->target->log_tls || tls == NULL) return;
	struct tls_info info;
	AUTO_BUF struct buf line = BUF(1024);
	tls_info(tls, &info);
	info.verified = info.verified && !smtp_client_half_proved(client);
	tls_info_line(&line, &info, false, smtp_client_relay(client));
	log_text(d, NULL, buf_slice(&line));
}

static enum smtp_client_result open_host(struct delivery *d, const struct smtp_host *host, struct smtp_client **client,
                                         struct smtp_outcome *why) {
	enum smtp_client_result r = smtp_client_open(&d->client, host, d->mem, client, why);
	if (r != SMTP_CLIENT_TLS_BROKEN) return r;
	log_text(d, d->message->id, why->text);
	struct smtp_client_params in_clear = d->client;
	in_clear.tls = SMTP_TLS_NONE;
	return smtp_client_open(&in_clear, host, d->mem, client, why);
}

/* What another host may still change is worth a line of its own; what stays is in the outcomes. */
static void log_still_open(const struct delivery *d) {
	struct slice last = SLICE_NONE;
	for (size_t i = 0; i < d->count; i++) {
		struct slice text = d->outcomes[d->open[i]].text;
		if (!slice_eq(text, last)) log_text(d, d->message->id, text);
		last = text;
	}
}

/* True: the host hung up between two batches, having taken the first: the rest may follow over a new connection. */
static bool try_host(struct delivery *d, const struct smtp_host *host) {
	struct smtp_client *client = NULL;
	struct smtp_outcome why;
	size_t before = d->count;
	if (!login_for(d, host)) {
		why = (struct smtp_outcome){ .fate = SMTP_LATER, .status = "4.3.0", .relay = S("none") };
		why.text = arena_fmt(d->mem, "local data error while talking to %.*s", SLICE_ARG(host->name));
		tell_open(d, &why);
		return false;
	}
	if (open_host(d, host, &client, &why) != SMTP_CLIENT_OK) {
		tell_open(d, &why);
		drop_settled(d);
		return false;
	}
	log_tls(d, client);
	d->sessions++;
	if (send_all(d, client) == SMTP_CLIENT_OK) cache_give(d, &client);
	else smtp_client_close(&client);
	return d->unsent > 0 && d->count < before;
}

static void try_hosts(struct delivery *d, const struct smtp_hosts *hosts) {
	unsigned limit = d->target->session_limit != 0 ? d->target->session_limit : DEFAULT_SESSIONS;
	bool first = true;
	for (size_t i = 0; i < hosts->count && d->count > 0 && d->sessions < limit; i++) {
		const struct smtp_host *host = &hosts->list[i];
		if (d->answered != NULL && addr_same_host(&host->addr, &d->answered->addr) &&
			slice_eq(host->path, d->answered->path))
			continue;
		if (!first) log_still_open(d);
		first = false;
		while (try_host(d, host)) continue;
	}
	for (size_t i = 0; i < d->count; i++) {
		struct smtp_outcome *o = &d->outcomes[d->open[i]];
		if (!o->never_if_last) continue;
		o->fate = SMTP_NEVER;
		o->status[0] = '5';
	}
}

static void find_and_try_hosts(struct delivery *d) {
	struct smtp_hosts hosts;
	enum smtp_hosts_answer a = smtp_hosts_find(&d->target->hosts, d->target->next_hop, d->mem, &hosts);
	if (a == SMTP_HOSTS_OK) {
		try_hosts(d, &hosts);
		return;
	}
	if (d->answered != NULL) return; /* its words say more */
	struct smtp_outcome o = {
		.fate = a == SMTP_HOSTS_LATER ? SMTP_LATER : SMTP_NEVER, .text = hosts.text, .relay = S("none")
	};
	memcpy(o.status, hosts.status, sizeof o.status);
	tell_open(d, &o);
}

/* A kept connection that turns out to be dead costs nothing: everybody is still open, and fresh ones are tried. */
static void try_kept(struct delivery *d) {
	struct smtp_client *client = cache_take(d);
	if (client == NULL) return;
	struct smtp_host *host = arena_get(d->mem, sizeof *host);
	*host = *smtp_client_host(client);
	host->path = arena_slice(d->mem, host->path);
	if (send_all(d, client) == SMTP_CLIENT_OK) {
		d->answered = host;
		d->sessions++;
		cache_give(d, &client);
	} else {
		smtp_client_close(&client);
	}
}

void smtp_deliver(const struct smtp_target *target, const struct smtp_message *message, struct smtp_cache *cache,
	struct arena *mem, struct smtp_outcome *outcomes) {
	struct delivery d = { .target = target,
		.client = target->client,
		.message = message,
		.cache = cache,
		.mem = mem,
		.outcomes = outcomes,
		.started = clock_us(),
		.count = message->count };
	if (d.client.own_names == NULL) {
		d.client.own_names = target->hosts.own_names;
		d.client.own_names_count = target->hosts.own_names_count;
	}
	d.client.talk = message->talk;
	if (d.client.tls_client == NULL && d.client.tls == SMTP_TLS_MAY) d.client.tls = SMTP_TLS_NONE;
	d.open = arena_array(mem, message->count, sizeof *d.open);
	for (size_t i = 0; i < d.count; i++) d.open[i] = i;
	try_kept(&d);
	if (d.count > 0) find_and_try_hosts(&d);
}

void smtp_delay_add(struct buf *out, int64_t us, unsigned digits) {
	int64_t step = 1000000;
	us = MAX_OF(us, 0);
	for (unsigned i = 0; i < digits; i++) step /= 10;
	if (us >= 1000000 && digits != 0) step = us >= 10000000 ? 1000000 : 100000;
	while (us < 1000000 && us >= 100 * step) step *= 10;
	us = (us + step / 2) / step * step;
	buf_addf(out, us % 1000000 != 0 ? "%lld.%06lld" : "%lld", (long long)us / 1000000, (long long)us % 1000000);
	while (us % 1000000 != 0 && out->at[out->len - 1] == '0') out->len--;
}
