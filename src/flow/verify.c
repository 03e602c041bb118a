/* SPDX-License-Identifier: Apache-2.0 */
/* A probe is a delivery without a message: relay says MAIL and RCPT and leaves. Results are kept in a map that forgets
 * the oldest half when it is full, and, with address_verify_map, as memos of the database, which outlive a restart; a
 * lost result costs one probe. */
#include "flow/verify.h"
#include "base/fail.h"
#include "base/log.h"
#include "base/map.h"
#include "base/wire.h"
#include "db/memo.h"
#include "flow/id.h"
#include "smtp/deliver.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/mman.h>

enum { RESULTS_MOST = 50000, PROBES_MOST = 100, PROBE_MS = 600000, TEXT_MOST = 500 };

struct result {
	enum verify_verdict verdict; /* VERIFY_UNDER_WAY: nothing known yet */
	int64_t at_us;               /* when it was found */
	bool probing;
	char *text;
};
struct verifier {
	struct pool *pool;
	struct db *db;
	struct link *relay;
	struct current *settings;
	pthread_mutex_t lock;        /* of what follows */
	struct map results;
	size_t probes;
};
struct probe {
	struct task task;
	struct verifier *verifier;
	struct flow_settings *settings;
	struct arena mem;
	struct slice address;
	char id[QUEUE_ID_ROOM];
	const char *tag;
	int channel;
	int64_t started_us;
};

static void result_free(void *at) {
	struct result *r = at;
	free(r->text);
	free(r);
}

struct verifier *verifier_start(struct pool *pool, struct db *db, struct link *relay, struct current *settings) {
	struct verifier *v = mem_get(sizeof *v);
	*v = (struct verifier){ .pool = pool, .db = db, .relay = relay, .settings = settings };
	pthread_mutex_init(&v->lock, NULL);
	return v;
}

void verifier_free(struct verifier **vp) {
	struct verifier *v = TAKE(*vp);
	if (v == NULL) return;
	map_done(&v->results, result_free);
	pthread_mutex_destroy(&v->lock);
	free(v);
}

/* A result as it is written down. */
struct kept {
	uint32_t verdict;
	int64_t at_us;
	struct slice text;
};
#define KEPT_FIELDS(F) F(u32, verdict) F(i64, at_us) F(text, text)
WIRE_DECLARE(kept)
WIRE_STRUCT(kept, KEPT_FIELDS)

struct keeping {
	const struct verify_params *params;
	struct slice address;
	struct kept kept;
};

static int64_t life_us(const struct verify_params *p, uint32_t verdict) {
	return verdict == VERIFY_GOOD ? p->positive_expire_us : p->negative_expire_us;
}

static int keep(struct db_conn *tx, void *arg) {
	const struct keeping *k = arg;
	AUTO_BUF struct buf value = BUF(KIB(1));
	kept_pack(&value, &k->kept);
	return memo_put(tx, MEMO_PROBE, k->address, buf_slice(&value),
			k->kept.at_us + life_us(k->params, k->kept.verdict));
}

static void write_down(struct verifier *v, const struct keeping *k) {
	if (k->params->keep && k->kept.at_us != 0 && db_write(v->db, keep, (void *)(uintptr_t)k) < 0)
		say(L_WARN, "verify", "%.*s: the result is not kept: %s", SLICE_ARG(k->address), fail_text());
}

/* What was found before a restart. */
static void remember(struct verifier *v, const struct verify_params *p, struct slice address, struct arena *mem,
		     struct result *r) {
	struct slice value;
	struct kept k;
	AUTO_READ struct db_conn *c = p->keep ? db_read(v->db) : NULL;
	if (c == NULL || memo_get(c, MEMO_PROBE, address, mem, &value, NULL) != DB_ROW) return;
	struct unwire in = UNWIRE(value, mem);
	kept_unpack(&in, &k);
	if (in.bad || k.verdict > VERIFY_UNDER_WAY) return;
	*r = (struct result){ .verdict = k.verdict, .at_us = k.at_us, .text = slice_text(k.text) };
}

/* A result has come, from routing or from another server. */
static void record(struct verifier *v, const struct verify_params *p, struct slice address, enum verify_verdict verdict,
		   struct slice text) {
	struct keeping k = { .params = p,
			     .address = address,
			     .kept = { .verdict = verdict, .text = slice_head(text, TEXT_MOST) } };
	pthread_mutex_lock(&v->lock);
	struct result *r = map_get(&v->results, address);
	if (r != NULL) {
		bool keep_old = r->verdict == VERIFY_GOOD &&
				verdict == VERIFY_LATER; /* a known good one stays good meanwhile */
		if (!keep_old) {
			free(r->text);
			r->text = slice_text(slice_head(text, TEXT_MOST));
			r->verdict = verdict;
		}
		r->at_us = wall_us();
		r->probing = false;
		if (verdict != VERIFY_GOOD && !p->negative_cache && !keep_old) r->at_us = 0;
		k.kept.at_us = keep_old ? 0 : r->at_us;
	}
	pthread_mutex_unlock(&v->lock);
	write_down(v, &k);
}

/* Probes. */

static void probe_end(struct probe *pr) {
	struct verifier *v = pr->verifier;
	task_end(&pr->task);
	auto_fd(&pr->channel);
	pthread_mutex_lock(&v->lock);
	v->probes--;
	struct result *r = map_get(&v->results, pr->address);
	if (r != NULL) r->probing = false;
	pthread_mutex_unlock(&v->lock);
	generation_drop(&pr->settings->generation);
	arena_done(&pr->mem);
	free(pr);
}

static void log_probe(struct probe *pr, const struct relay_outcome *o, enum verify_verdict verdict) {
	AUTO_BUF struct buf delay = BUF(64);
	smtp_delay_add(&delay, wall_us() - pr->started_us,
		       pr->settings->deliver.delay_digits);
	note(L_INFO, pr->tag, 0, pr->id, NULL, FA("to", pr->address),
	     F("relay", o->relay.len != 0 ? o->relay : S("none")), F("delay", buf_slice(&delay)), F("dsn", o->status),
	     F("status", verdict == VERIFY_GOOD ? S("deliverable") : S("undeliverable")), FPS(o->text));
}

static void tell(struct probe *pr, const struct relay_outcome *o) {
	enum verify_verdict verdict = o->fate == SMTP_DELIVERED ? VERIFY_GOOD
				      : o->fate == SMTP_NEVER   ? VERIFY_BAD
								: VERIFY_LATER;
	log_probe(pr, o, verdict);
	record(pr->verifier, &pr->settings->verify, pr->address, verdict, o->text);
}

static void tell_words(struct probe *pr, uint32_t fate, struct slice status, struct slice text) {
	tell(pr, &(struct relay_outcome){ .fate = fate, .status = status, .text = text, .relay = S("none") });
}

/* True: relay has been asked. */
static bool ask_server(struct probe *pr, const struct route_end *end) {
	struct slice name, next_hop;
	transport_split(end->hop, &name, &next_hop);
	const struct transport *t = transport_find(&pr->settings->verify.route->hops.transports, name);
	if (t == NULL) return tell_words(pr, SMTP_LATER, S("4.3.0"), S("mail transport unavailable")), false;
	struct slice text = next_hop;
	switch (t->kind) {
	case TRANSPORT_ERROR: {
		struct slice status = hop_status(&text, S("5.0.0"), &pr->mem);
		return tell_words(pr, SMTP_NEVER, status, text), false;
	}
	case TRANSPORT_RETRY: {
		struct slice status = hop_status(&text, S("4.3.0"), &pr->mem);
		return tell_words(pr, SMTP_LATER, status, text), false;
	}
	case TRANSPORT_RELAY: break;
	default: return tell_words(pr, SMTP_DELIVERED, S("2.0.0"), S("deliverable: is delivered here")), false;
	}
	pr->tag = t->tag;
	AUTO_FD int nothing = memfd_create("probe", MFD_CLOEXEC);
	struct relay_recipient to = { .address = end->address };
	struct relay_ask ask = { .queue_id = slice_of(pr->id),
				 .transport = t->name,
				 .hop = next_hop,
				 .sender = probe_sender_at(&pr->settings->verify.sender, wall_us() / 1000000, &pr->mem),
				 .utf8 = !slice_is_ascii(end->address),
				 .arrived_us = pr->started_us,
				 .probe = true,
				 .recipients = &to,
				 .recipients_count = 1 };
	pr->channel = nothing >= 0 ? link_channel(pr->verifier->relay) : -1;
	if (pr->channel >= 0 && ask_relay_send(pr->channel, &ask, nothing) == ASK_OK) return true;
	return tell_words(pr, SMTP_LATER, S("4.3.0"), S("the relay process cannot be reached")), false;
}

/* The best end decides: mail that reaches anybody is not in vain. True: relay has been asked. */
static bool route(struct probe *pr) {
	AUTO_READ struct db_conn *conn = db_read(pr->verifier->db);
	struct routes routes = { .mem = &pr->mem };
	struct route_from from = { .address = pr->address, .sender = pr->settings->verify.sender.base };
	int r = conn != NULL ? route_add(&routes, conn, pr->settings->verify.route, &from) : -1;
	if (r != 0 || routes.count == 0) {
		struct slice why = arena_slice(&pr->mem, slice_of(r != 0 ? fail_text() : "leads nowhere"));
		return tell_words(pr, SMTP_LATER, S("4.3.0"), why), false;
	}
	const struct route_end *best = &routes.at[0];
	for (size_t i = 1; i < routes.count; i++)
		if (routes.at[i].kind < best->kind) best = &routes.at[i];
	switch (best->kind) {
	case ROUTE_TO_ACCOUNT: return tell_words(pr, SMTP_DELIVERED, S("2.0.0"), S("delivers to mailbox")), false;
	case ROUTE_TO_NOWHERE: return tell_words(pr, SMTP_NEVER, best->status, best->text), false;
	default: return ask_server(pr, best);
	}
}

static void receive(struct probe *pr) {
	struct relay_answer answer;
	int r = ask_relay_receive(pr->channel, &pr->mem, &answer);
	if (r == ASK_OK && answer.outcomes_count == 1) tell(pr, &answer.outcomes[0]);
	else tell_words(pr, SMTP_LATER, S("4.3.0"), S("the probe was interrupted"));
}

static void probe_step(struct task *t, enum wake why) {
	struct probe *pr = OWNER_OF(t, struct probe, task);
	if (why == WAKE_CALL && pr->channel < 0 && route(pr)) {
		task_watch(&pr->task, pr->channel, -1);
		task_park(&pr->task, EPOLLIN, 0, deadline_in(PROBE_MS));
		return;
	}
	if (why == WAKE_IO) receive(pr);
	if (why == WAKE_DEADLINE) tell_words(pr, SMTP_LATER, S("4.4.2"), S("the probe took too long"));
	probe_end(pr);
}

static void probe_start(struct verifier *v, struct slice address, struct flow_settings *settings) {
	struct probe *pr = mem_get(sizeof *pr);
	*pr = (struct probe){ .task.step = probe_step,
			      .verifier = v,
			      .settings = settings,
			      .tag = "verify",
			      .channel = -1,
			      .started_us = wall_us() };
	generation_hold(&settings->generation);
	pr->address = arena_slice(&pr->mem, address);
	queue_id_make(pr->id);
	pool_add(v->pool, &pr->task, -1, -1);
}

/* Asking. */

struct old {
	struct slice *keys;
	size_t count;
	int64_t before_us;
};

static bool collect_old(void *ctx, struct slice key, void *value) {
	struct old *o = ctx;
	const struct result *r = value;
	if (!r->probing && r->at_us < o->before_us) o->keys[o->count++] = slice_from(slice_text(key), key.len);
	return true;
}

/* Full: results of more than a day go, and if that is not enough, all. */
static void make_room(struct verifier *v) {
	if (v->results.count < RESULTS_MOST) return;
	const int64_t day = 86400000000;
	for (int64_t age = day; age >= 0 && v->results.count >= RESULTS_MOST / 2; age -= day) {
		struct old o = { .keys = mem_array(v->results.count, sizeof(struct slice)),
				 .before_us = wall_us() - age };
		map_each(&v->results, collect_old, &o);
		for (size_t i = 0; i < o.count; i++) {
			void *gone = map_take(&v->results, o.keys[i]);
			if (gone != NULL) result_free(gone);
			free((void *)(uintptr_t)o.keys[i].at);
		}
		free(o.keys);
	}
}

static bool expired(const struct verify_params *p, const struct result *r) {
	return r->verdict != VERIFY_UNDER_WAY && wall_us() - r->at_us >= life_us(p, r->verdict);
}

static bool stale(const struct verify_params *p, const struct result *r) {
	if (r->verdict == VERIFY_UNDER_WAY) return true;
	int64_t fresh = r->verdict == VERIFY_GOOD ? p->positive_refresh_us : p->negative_refresh_us;
	return wall_us() - r->at_us >= fresh;
}

void verify_address(struct verifier *v, struct slice address, struct arena *mem, struct verify_answer *out) {
	struct flow_settings *settings = (struct flow_settings *)current_hold(v->settings);
	const struct verify_params *p = &settings->verify;
	address = arena_lower(mem, address);
	pthread_mutex_lock(&v->lock);
	struct result *r = map_get(&v->results, address);
	if (r == NULL) {
		make_room(v);
		r = mem_get(sizeof *r);
		r->verdict = VERIFY_UNDER_WAY;
		remember(v, p, address, mem, r);
		map_put(&v->results, address, r);
	}
	if (expired(p, r)) r->verdict = VERIFY_UNDER_WAY;
	bool start = !r->probing && stale(p, r) && v->probes < PROBES_MOST;
	if (start) {
		r->probing = true;
		v->probes++;
	}
	out->verdict = (uint32_t)r->verdict;
	out->text = r->verdict == VERIFY_UNDER_WAY ? S("Address verification in progress")
						   : arena_slice(mem, slice_of(r->text));
	pthread_mutex_unlock(&v->lock);
	if (start) probe_start(v, address, settings);
	generation_drop(&settings->generation);
}
