/* SPDX-License-Identifier: Apache-2.0 */
/* core: the store. Answers edge's questions, holds the sessions of users who have logged in, sends what is queued by
 * way of relay, and does what the operator asks over the control socket. */
#include "access/pop3/session.h"
#include "base/fail.h"
#include "db/memo.h"
#include "flow/id.h"
#include "flow/verify.h"
#include "mime/decode.h"
#include "net/seal.h"
#include "queue/history.h"
#include "role/core_present.h"
#include "role/core_private.h"
#include "role/reporting_settings.h"
#include "role/settings.h"
#include "store/bin.h"
#include "store/change.h"
#include "store/rows.h"
#include "store/search_index.h"

enum { STOP_MS = 15000, CHORES_MS = 10000, SWEEP_AGE_S = 3600, PURGE_EVERY_MS = 3600000, ROWS_BYTES = 32 << 20 };

static void destroy(struct generation *g) {
	struct core_settings *s = (struct core_settings *)g;
	routing_settings_done(&s->routing);
	conf_drop(&s->conf);
	arena_done(&s->mem);
	free(s);
}

/* Chores. */

static int purge_bin(struct core *c) {
	struct bin_sum freed;
	int r = store_bin_purge(c->db, &freed);
	if (r == 0 && freed.messages != 0)
		say(L_INFO, "core", "undelete: freed %llu messages, %llu bytes", (unsigned long long)freed.messages,
		    (unsigned long long)freed.bytes);
	return r;
}

static void chores_step(struct task *t, enum wake why) {
	struct core *c = OWNER_OF(t, struct core, chores);
	if (why == WAKE_STOP) {
		task_end(t);
		return;
	}
	if (history_flush(c->history) < 0) say(L_WARN, "core", "history: %s", fail_text());
	if (logins_flush(c->logins, c->db) < 0) say(L_WARN, "core", "log-ins: %s", fail_text());
	bool hourly = clock_ms() >= c->purge_at;
	struct core_settings *s = core_hold(c);
	care_step(&s->care, &s->flow.deliver, c->db, hourly);
	if (hourly) {
		c->purge_at = deadline_in(PURGE_EVERY_MS);
		pool_call(c->pool, core_make_dkim_keys, c);
		if (history_purge(c->db, wall_us() - s->history_us, NULL) < 0 || store_sweep(c->db) < 0 ||
		    purge_bin(c) < 0 || memo_sweep(c->db) < 0 || blob_sweep(c->db, SWEEP_AGE_S) < 0)
			say(L_WARN, "core", "clean-up: %s", fail_text());
	}
	core_drop(s);
	task_park(t, 0, 0, deadline_in(CHORES_MS));
}

/* Start, reload, stop. */

static struct queue_params queue_params_of(const struct conf_view *v) {
	return (struct queue_params){
		.minimal_backoff = conf_time_ms(v, SET_minimal_backoff_time) / 1000,
		.maximal_backoff = conf_time_ms(v, SET_maximal_backoff_time) / 1000,
		.lifetime = conf_time_ms(v, SET_maximal_queue_lifetime) / 1000,
		.bounce_lifetime = conf_time_ms(v, SET_bounce_queue_lifetime) / 1000,
		.delay_warning = conf_time_ms(v, SET_delay_warning_time) / 1000,
	};
}

static struct verify_params verify_params_of(const struct conf_view *v, const struct route_params *probe_route,
					     struct arena *mem) {
	return (struct verify_params){
		.route = probe_route,
		.keep = conf_text(v, SET_address_verify_map).len != 0,
		.sender = probe_sender_of(v, mem),
		.positive_expire_us = conf_time_ms(v, SET_address_verify_positive_expire_time) * 1000,
		.positive_refresh_us = conf_time_ms(v, SET_address_verify_positive_refresh_time) * 1000,
		.negative_expire_us = conf_time_ms(v, SET_address_verify_negative_expire_time) * 1000,
		.negative_refresh_us = conf_time_ms(v, SET_address_verify_negative_refresh_time) * 1000,
		.negative_cache = conf_bool(v, SET_address_verify_negative_cache),
	};
}

static size_t limit_or_all(const struct conf_view *v, enum setting_id id) {
	int64_t n = conf_number(v, id);
	return n > 0 ? (size_t)n : SIZE_MAX / 2;
}

static int reload(void *self, struct boot *b) {
	struct core *c = self;
	struct core_settings *s = mem_get(sizeof *s);
	s->flow.generation.destroy = destroy;
	s->conf = TAKE(b->conf);
	const struct conf_view *v = conf_main(s->conf);
	user_quota_default(conf_size(v, SET_quota_default_size), (uint64_t)conf_number(v, SET_quota_default_messages));
	routing_settings_make(&s->routing, s->conf, &s->mem);
	s->flow.deliver = s->routing.deliver;
	s->flow.deliver.trouble.memory = c->notices;
	s->flow.verify = verify_params_of(v, &s->routing.probe_route, &s->mem);
	s->flow.send = (struct send_params){
		.process_limit = (size_t)MIN_OF(conf_number(v, SET_relay_worker_limit),
						conf_number(v, SET_qmgr_message_active_limit)),
		.recipient_limit = MIN_OF(limit_or_all(v, SET_default_destination_recipient_limit),
					  (size_t)conf_number(v, SET_qmgr_message_recipient_limit)),
		.first_concurrency = (size_t)conf_number(v, SET_initial_destination_concurrency),
		.concurrency_limit = limit_or_all(v, SET_default_destination_concurrency_limit),
		.rest_us = conf_time_ms(v, SET_minimal_backoff_time) * 1000,
		.gain = { 1, FEEDBACK_FIXED },
		.loss = { 1, FEEDBACK_FIXED },
		.lifetime_s = conf_time_ms(v, SET_maximal_queue_lifetime) / 1000,
		.confirm_delay_cleared = conf_bool(v, SET_confirm_delay_cleared),
		.soft_bounce = conf_bool(v, SET_soft_bounce),
		.srs = s->routing.route.srs,
		.srs_always = conf_enum(v, SET_srs) == SRS_YES,
	};
	feedback_parse(conf_text(v, SET_default_destination_concurrency_positive_feedback), &s->flow.send.gain);
	feedback_parse(conf_text(v, SET_default_destination_concurrency_negative_feedback), &s->flow.send.loss);
	reporting_settings_make(s->conf, &s->flow, &s->mem);
	s->flow.deliver.reporter = c->reporter;
	s->look = submitters_of(v, SET_authorized_mailq_users, s->routing.tables, &s->mem);
	s->flush = submitters_of(v, SET_authorized_flush_users, s->routing.tables, &s->mem);
	care_settings_make(&s->care, v, &s->flow.deliver);
	core_access_set(c, v);
	if (store_bin_keep(c->db, conf_time_ms(v, SET_undelete_keep_time) * 1000) < 0)
		say(L_WARN, "core", "undelete: %s", fail_text());
	queue_id_form(conf_bool(v, SET_enable_long_queue_ids));
	s->history_us = conf_time_ms(v, SET_history_lifetime) * 1000;
	struct queue_params q = queue_params_of(v);
	if (c->queue != NULL) queue_set_params(c->queue, &q);
	current_set(&c->settings, &s->flow.generation);
	atomic_fetch_add(&c->shared->directory, 1); /* what edge knows of addresses went by the old ones */
	if (c->sender != NULL) {
		sender_end_rests(c->sender);
		sender_wake(c->sender);
	}
	if (c->pool != NULL) pool_call(c->pool, core_make_dkim_keys, c);
	return 0;
}

static int open_data(struct core *c, const struct conf_view *v) {
	struct db_params params = { .inline_limit = (size_t)conf_size(v, SET_blob_inline_limit) };
	struct queue_params q = queue_params_of(v);
	if (db_open(c->dir, &params, &c->db) < 0) return -1;
	c->hub = change_hub_open(c->db);
	if (search_index_open(c->db, &c->index) < 0) say(L_WARN, "core", "no search index: %s", fail_text());
	c->queue = queue_open(c->db, &q);
	c->history = history_log_open(c->db);
	c->admin = (struct admin){ .db = c->db, .ops = &core_admin_ops, .ctx = c };
	return 0;
}

static int take_listener(struct boot *b, size_t which) {
	for (size_t i = 0; i < b->listener_count; i++)
		if (b->listeners[i].service == which) return TAKE_FD(b->listeners[i].fd);
	return -1;
}

static int start(struct boot *b, void **self) {
	struct core *c = mem_get(sizeof *c);
	c->settings = CURRENT_NONE;
	c->dir = TAKE(b->dir);
	c->shared = b->shared;
	if (open_data(c, conf_main(b->conf)) < 0) return -1;
	unsigned workers = (unsigned)conf_number(conf_main(b->conf), SET_core_worker_limit);
	c->reporter = reporter_new();
	c->logins = logins_new();
	c->drops = pop3_drops_new();
	c->presence = presence_new();
	c->rows = rows_new(ROWS_BYTES);
	c->notices = notice_memory_new();
	for (size_t i = 0; i < LINK_NAMES; i++) c->dials[i] = TAKE_FD(b->links[i]);
	c->agent = link_new(c->dials[LINK_CORE_AGENT]); /* the index may ask it */
	reload(c, b);
	charset_preload(); /* glibc loads its tables from files, which a sealed process may not open */
	c->control = take_listener(b, LISTENER_CONTROL);
	c->door = take_listener(b, LISTENER_QUEUE);
	c->vault = link_new(c->dials[LINK_CORE_VAULT]);
	c->relay = link_new(c->dials[LINK_CORE_RELAY]);
	c->pool = pool_new(&(struct pool_params){ .min_workers = 2, .max_workers = workers });
	c->sessions = pool_new(&(struct pool_params){ .min_workers = 1, .max_workers = workers });
	struct send_links links = { .relay = c->relay, .agent = c->agent };
	c->sender = sender_start(c->pool, c->db, c->queue, &links, &c->settings);
	c->verifier = verifier_start(c->pool, c->db, c->relay, &c->settings);
	reporter_start(c->reporter, c->pool, c->db, c->relay, &c->settings, c->sender);
	c->to_edge = core_for_edge(c);
	c->to_operator = core_for_operator(c);
	link_serve(c->pool, c->dials[LINK_EDGE_CORE], &c->to_edge);
	c->to_users = core_for_users(c);
	if (c->control >= 0) link_serve_socket(c->pool, c->control, &c->to_operator);
	if (c->door >= 0) link_serve_socket(c->pool, c->door, &c->to_users);
	c->chores.step = chores_step;
	pool_add(c->pool, &c->chores, -1, -1);
	*self = c;
	return 0;
}

static void stop(void *self) {
	struct core *c = self;
	size_t left = pool_stop(c->sessions, deadline_in(STOP_MS));
	left += pool_stop(c->pool, deadline_in(STOP_MS));
	if (c->index != NULL) search_index_stop(c->index);
	if (left != 0) return; /* the database is safe at any moment */
	sender_free(&c->sender);
	verifier_free(&c->verifier);
	reporter_free(&c->reporter);
	(void)logins_flush(c->logins, c->db);
	logins_free(&c->logins);
	history_log_close(&c->history);
	queue_close(&c->queue);
	search_index_close(&c->index);
	change_hub_close(&c->hub);
	db_close(&c->db);
	pop3_drops_free(&c->drops);
	presence_free(&c->presence);
	rows_free(&c->rows);
	arena_done(&c->contexts);
}

const struct role role_core = {
	.name = "core", .seal_needs = SEAL_FILES, .start = start, .reload = reload, .stop = stop
};
