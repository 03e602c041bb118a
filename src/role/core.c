/* SPDX-License-Identifier: Apache-2.0 */
/* core: the store. Answers edge's questions, holds the sessions of users who have logged in, sends what is queued by
 * way of relay, and does what the operator asks over the control socket. */
#include "access/imap/session.h"
#include "access/pop3/session.h"
#include "admin/admin.h"
#include "base/fail.h"
#include "base/log.h"
#include "db/memo.h"
#include "flow/etrn.h"
#include "flow/id.h"
#include "flow/send.h"
#include "flow/reporting.h"
#include "flow/submitters.h"
#include "flow/verify.h"
#include "mime/decode.h"
#include "net/seal.h"
#include "queue/history.h"
#include "report/outbox.h"
#include "role/boot.h"
#include "role/core_care.h"
#include "role/core_dkim.h"
#include "role/core_extract.h"
#include "role/core_present.h"
#include "role/reporting_settings.h"
#include "role/forward_tell.h"
#include "role/routing_settings.h"
#include "role/settings.h"
#include "store/bin.h"
#include "store/change.h"
#include "store/search_index.h"
#include "store/store.h"
#include "user/secret.h"

#include <pthread.h>
#include <sys/socket.h>
#include <sysexits.h>

enum { STOP_MS = 15000, CHORES_MS = 10000, SWEEP_AGE_S = 3600, PURGE_EVERY_MS = 3600000 };

struct core_settings {
	struct flow_settings flow; /* first: a hold on it is a hold on all */
	struct conf *conf;
	struct arena mem;
	struct routing_settings routing;
	int64_t history_us;
	struct care_settings care;
	const struct submitters *look, *flush; /* authorized_mailq_users, authorized_flush_users */
};

struct core {
	struct task chores; /* what must be done now and then */
	int64_t purge_at;
	char *dir;
	struct shared *shared;
	struct db *db;
	struct change_hub *hub;
	struct search_index *index; /* NULL: its file cannot be made */
	const struct extracting *extracting; /* NULL: no text of attachments */
	bool indexing;
	struct queue *queue;
	struct history_log *history;
	struct pool *pool;     /* questions, the queue, chores: short work */
	struct pool *sessions; /* users who have logged in: one who reads slowly may hold a worker, but never mail that
				  comes in */
	struct link *vault, *relay, *agent;
	struct sender *sender;
	struct verifier *verifier;
	struct reporter *reporter;
	struct logins *logins;
	struct notice_memory *notices;
	struct current settings;
	struct arena contexts; /* of IMAP sessions: a reload that changes them makes another, sessions keep theirs */
	const struct imap_context *_Atomic imap;
	const struct pop3_context *_Atomic pop3;
	struct pop3_drops *drops;
	struct presence *presence;
	struct admin admin;
	struct link_service to_edge, to_operator, to_users;
	int dials[LINK_NAMES], control, door;
};

static void destroy(struct generation *g) {
	struct core_settings *s = (struct core_settings *)g;
	routing_settings_done(&s->routing);
	conf_drop(&s->conf);
	arena_done(&s->mem);
	free(s);
}

static struct core_settings *hold(struct core *c) {
	return (struct core_settings *)current_hold(&c->settings);
}

static void drop(struct core_settings *s) {
	generation_drop(&s->flow.generation);
}

/* Questions of edge. */

static int answer_route(void *ctx, struct link_question *q) {
	struct core *c = ctx;
	struct route_ask ask;
	route_ask_unpack(&q->in, &ask);
	if (q->in.bad) return fail("broken question");
	AUTO_READ struct db_conn *conn = db_read(c->db);
	if (conn == NULL) return -1;
	struct core_settings *s = hold(c);
	struct route_answer answer;
	int r = route_judge(conn, &s->routing.route, ask.address, q->mem, &answer);
	if (r == 0) route_answer_pack(q->answer, &answer);
	drop(s);
	return r;
}

static int answer_account(void *ctx, struct link_question *q) {
	struct core *c = ctx;
	struct account_ask ask;
	account_ask_unpack(&q->in, &ask);
	if (q->in.bad) return fail("broken question");
	AUTO_READ struct db_conn *conn = db_read(c->db);
	struct account who, as;
	struct core_settings *s = hold(c);
	struct slice user = ask.login, wanted = ask.act_as;
	if (wanted.len == 0) care_master(&s->care, ask.login, &wanted, &user);
	int r = conn != NULL ? user_account_find(conn, q->mem, user, &who) : -1;
	bool known = r == 0, granted = known && !who.disabled;
	as = who;
	if (granted && wanted.len != 0) {
		r = user_account_find(conn, q->mem, wanted, &as);
		granted = r == 0 && !as.disabled && (who.id == as.id || care_is_master(&s->care, who.address));
	}
	drop(s);
	if (r < 0) return r;
	account_answer_pack(q->answer, &(struct account_answer){ .granted = granted,
								 .name = known ? who.address : SLICE_NONE,
								 .account = granted ? as.id : 0,
								 .as = granted ? as.address : SLICE_NONE });
	return 0;
}

static int answer_accept(void *ctx, struct link_question *q) {
	struct core *c = ctx;
	struct accept_ask ask;
	accept_ask_unpack(&q->in, &ask);
	if (q->in.bad || (ask.spooled != 0) != (q->ask->fd_count == 1)) return fail("broken question");
	struct core_settings *s = hold(c);
	struct accept_answer answer;
	if (deliver_accept(c->db, &s->flow.deliver, &ask, ask.spooled != 0 ? q->ask->fds[0] : -1, q->mem, &answer))
		sender_entered(c->sender, ask.arrived_us);
	drop(s);
	accept_answer_pack(q->answer, &answer);
	return 0;
}

static int answer_session(void *ctx, struct link_question *q) {
	struct core *c = ctx;
	struct session_ask ask;
	session_ask_unpack(&q->in, &ask);
	int fd = link_frame_take_fd((struct link_frame *)(uintptr_t)q->ask, 0);
	if (q->in.bad || fd < 0 || ask.protocol > SESSION_SMTP) {
		auto_fd(&fd);
		return fail("broken question");
	}
	struct imap_grant grant = { .account = ask.account,
				    .login = ask.login,
				    .tag = ask.tag,
				    .remote = ask.remote,
				    .session = ask.session,
				    .tls = ask.tls,
				    .language = ask.language,
				    .no_uidonly = ask.no_uidonly,
				    .master = ask.master };
	const char *protocol = ask.protocol == SESSION_IMAP ? "imap" : "pop3";
	session_answer_pack(q->answer, &(struct session_answer){ .open = true });
	if (ask.protocol == SESSION_SMTP) {
		presence_enter_far(c->presence,
				   &(struct present){ ask.login, ask.remote, "smtp", .session = ask.session }, fd);
		return 0;
	}
	if (ask.master.len != 0) /* for whoever has to account for it */
		note(L_INFO, protocol, ask.session, NULL, "Master session: ", FA("user", ask.login),
		     FA("master_user", ask.master), F("rip", ask.remote));
	else logins_note(c->logins, ask.account, protocol, ask.remote);
	if (ask.protocol == SESSION_IMAP) imap_session_start(c->sessions, c->imap, fd, &grant);
	else
		pop3_session_start(
			c->sessions, c->pop3, fd,
			&(struct pop3_grant){ ask.account, ask.login, ask.remote, ask.session, ask.tls, ask.utf8 });
	return 0;
}

static int add_evidence(struct db_conn *tx, void *arg) {
	return outbox_add(tx, arg, wall_us());
}

/* What was refused counts in the reports to others as well. */
static void report_refused(struct core *c, struct refused_ask *ask) {
	struct evidence_record *evidence = &ask->evidence;
	struct accept_recipient to = { .address = ask->recipient };
	struct core_settings *s = hold(c);
	if (s->flow.deliver.report_send && db_write(c->db, add_evidence, evidence) < 0)
		say(L_WARN, "core", "report: %s", fail_text());
	if (s->flow.deliver.report_failures) reporting_failed(c->reporter, evidence);
	dmarc_history_add(&s->flow.deliver.history, ask->queue_id, ask->sender, &to, 1, evidence);
	drop(s);
}

static int answer_refused(void *ctx, struct link_question *q) {
	struct core *c = ctx;
	struct refused_ask ask;
	refused_ask_unpack(&q->in, &ask);
	if (q->in.bad) return fail("broken question");
	struct history_row row = { .kind = HISTORY_REJECTED,
				   .sender = ask.sender,
				   .recipient = ask.recipient,
				   .peer = ask.peer,
				   .status = ask.status,
				   .text = ask.text };
	if (history_refused(c->history, &row) < 0) say(L_WARN, "core", "history: %s", fail_text());
	if (ask.evidence.checked) report_refused(c, &ask);
	empty_answer_pack(q->answer, &(struct empty_answer){ true });
	return 0;
}

static int answer_flush(void *ctx, struct link_question *q) {
	struct core *c = ctx;
	struct flush_ask ask;
	size_t flushed;
	flush_ask_unpack(&q->in, &ask);
	if (q->in.bad) return fail("broken question");
	if (etrn_flush(c->db, ask.domain, &flushed) < 0) return -1;
	if (flushed != 0) {
		sender_end_rests(c->sender);
		sender_wake(c->sender);
	}
	empty_answer_pack(q->answer, &(struct empty_answer){ true });
	return 0;
}

static int answer_verify(void *ctx, struct link_question *q) {
	struct core *c = ctx;
	struct verify_ask ask;
	struct verify_answer answer;
	verify_ask_unpack(&q->in, &ask);
	if (q->in.bad) return fail("broken question");
	verify_address(c->verifier, ask.address, q->mem, &answer);
	verify_answer_pack(q->answer, &answer);
	return 0;
}

/* What is edge's to keep. */
static const enum memo_kind kept[KEEP_KINDS] = { [KEEP_SCREEN] = MEMO_SCREEN, [KEEP_RATES] = MEMO_RATES };

static int answer_recall(void *ctx, struct link_question *q) {
	struct core *c = ctx;
	struct recall_ask ask;
	struct recall_answer answer = { .value = S("") };
	recall_ask_unpack(&q->in, &ask);
	if (q->in.bad || ask.kind >= LEN(kept)) return fail("broken question");
	AUTO_READ struct db_conn *conn = db_read(c->db);
	if (conn == NULL) return -1;
	int r = memo_get(conn, kept[ask.kind], ask.key, q->mem, &answer.value, NULL);
	if (r < 0) return r;
	answer.found = r == DB_ROW;
	recall_answer_pack(q->answer, &answer);
	return 0;
}

static int keep_it(struct db_conn *tx, void *arg) {
	const struct keep_ask *ask = arg;
	return memo_put(tx, kept[ask->kind], ask->key, ask->value, ask->until_us);
}

static int answer_keep(void *ctx, struct link_question *q) {
	struct core *c = ctx;
	struct keep_ask ask;
	keep_ask_unpack(&q->in, &ask);
	if (q->in.bad || ask.kind >= LEN(kept)) return fail("broken question");
	if (db_write(c->db, keep_it, &ask) < 0) return -1;
	empty_answer_pack(q->answer, &(struct empty_answer){ true });
	return 0;
}

static const struct link_rule edge_rules[] = {
	{ ASK_RECALL, "recall", answer_recall },
	{ ASK_KEEP, "keep", answer_keep },
	{ ASK_ROUTE, "route", answer_route },
	{ ASK_ACCOUNT, "account", answer_account },
	{ ASK_ACCEPT, "accept", answer_accept },
	{ ASK_SESSION, "session", answer_session },
	{ ASK_REFUSED, "refused", answer_refused },
	{ ASK_FLUSH, "flush", answer_flush },
	{ ASK_VERIFY, "verify", answer_verify },
};

/* Questions of the operator. */

static int vault_secret(struct core *c, struct secret_ask *ask) {
	AUTO_ARENA struct arena mem = { 0 };
	struct secret_answered answer;
	int r = ask_secret(c->vault, ask, &mem, &answer);
	if (r == ASK_LATER) return fail("the vault process does not answer (try again)");
	return r < 0 ? r : answer.answer;
}

static int secret_set_op(void *ctx, struct slice account, struct slice password, bool is_hash) {
	return vault_secret(ctx, &(struct secret_ask){ .account = account, .password = password, .is_hash = is_hash });
}

static int secret_delete_op(void *ctx, struct slice account) {
	return vault_secret(ctx, &(struct secret_ask){ .account = account });
}

static int secret_verify_op(void *ctx, struct slice account, struct slice password) {
	AUTO_ARENA struct arena mem = { 0 };
	struct password_answer answer;
	int r = ask_password(((struct core *)ctx)->vault, &(struct password_ask){ account, password }, &mem, &answer);
	if (r == ASK_LATER) return fail("the vault process does not answer (try again)");
	return r < 0 ? r : answer.right ? 0 : SECRET_WRONG;
}

static int app_password_op(void *ctx, const struct admin_app *what, struct arena *mem, struct slice *password,
			   void (*row)(void *row_ctx, struct slice name, int64_t created_us, int64_t used_us),
			   void *row_ctx) {
	static const uint32_t wants[] = {
		[ADMIN_APP_ADD] = APP_ADD, [ADMIN_APP_DELETE] = APP_DELETE, [ADMIN_APP_LIST] = APP_LIST
	};
	struct app_ask ask = { wants[what->what], what->account, what->name };
	struct app_answer answer;
	int r = ask_app(((struct core *)ctx)->vault, &ask, mem, &answer);
	if (r == ASK_LATER) return fail("the vault process does not answer (try again)");
	if (r < 0 || answer.answer < 0) return r < 0 ? r : fail("%.*s", SLICE_ARG(answer.why));
	*password = answer.password;
	for (size_t i = 0; i < answer.rows_count; i++)
		row(row_ctx, answer.rows[i].name, answer.rows[i].created_us, answer.rows[i].used_us);
	return answer.answer;
}

static void queue_changed_op(void *ctx) {
	struct core *c = ctx;
	sender_end_rests(c->sender);
	sender_wake(c->sender);
}

static void sweep(void *arg) {
	struct core *c = arg;
	if (store_sweep(c->db) < 0) say(L_WARN, "core", "clean-up: %s", fail_text());
}

static void mail_freed_op(void *ctx) {
	struct core *c = ctx;
	pool_call(c->pool, sweep, c);
}

static int route_op(void *ctx, struct slice address, struct slice sender, const struct admin_way *way) {
	struct core *c = ctx;
	struct core_settings *s = hold(c);
	int r = routing_tell(&s->routing, c->db, address, sender, way);
	drop(s);
	return r;
}

static int dkim_list_op(void *ctx, struct slice domain, struct arena *mem, struct keyring_key **out, size_t *count) {
	return dkim_list_by(((struct core *)ctx)->vault, domain, mem, out, count);
}

static int dkim_change_op(void *ctx, const struct admin_dkim *what) {
	return dkim_change_by(((struct core *)ctx)->vault, what);
}

static int reports_send_op(void *ctx, struct slice domain, bool now, bool dry, struct buf *out) {
	struct core *c = ctx;
	return reporting_send(c->reporter, &(struct reporting_order){ domain, now, dry }, out);
}

static int forward_op(void *ctx, struct slice address, struct slice input, const struct admin_way *way) {
	struct core *c = ctx;
	struct core_settings *s = hold(c);
	int r = forward_tell(&s->routing, s->flow.send.srs_always, c->db, address, input, way);
	drop(s);
	return r;
}

static void who_op(void *ctx, void (*each)(void *each_ctx, const struct admin_session *s), void *each_ctx) {
	present_who(((struct core *)ctx)->presence, each, each_ctx);
}

static size_t kick_op(void *ctx, bool (*chosen)(void *chosen_ctx, const struct admin_session *s), void *chosen_ctx) {
	return present_kick(((struct core *)ctx)->presence, chosen, chosen_ctx);
}

static const struct admin_ops admin_ops = { .who = who_op,
					    .kick = kick_op,
					    .route = route_op,
					    .dkim_list = dkim_list_op,
					    .dkim_change = dkim_change_op,
					    .reports_send = reports_send_op,
					    .forward = forward_op,
					    .secret_set = secret_set_op,
					    .secret_delete = secret_delete_op,
					    .secret_verify = secret_verify_op,
					    .app_password = app_password_op,
					    .queue_changed = queue_changed_op,
					    .mail_freed = mail_freed_op };

/* Every domain of ours has keys: vault makes what is missing when it has time. */
static void make_dkim_keys(void *arg) {
	struct core *c = arg;
	AUTO_ARENA struct arena mem = { 0 };
	AUTO_READ struct db_conn *conn = db_read(c->db);
	struct core_settings *s = hold(c);
	struct dkim_domains domains;
	struct dkim_change_answer answer;
	const struct conf_view *v = conf_main(s->conf);
	bool wanted = conf_bool(v, SET_dkim_sign) && conn != NULL;
	if (wanted && dkim_domains_of(conn, v, &mem, &domains) < 0) {
		say(L_WARN, "core", "DKIM keys: %s", fail_text());
		wanted = false;
	}
	int64_t before = wall_s() - conf_time_ms(v, SET_dkim_retire_time) / 1000;
	drop(s);
	if (wanted)
		ask_dkim_change(c->vault,
				&(struct dkim_change_ask){
					.what = DKIM_MAKE, .domains = domains.at, .domains_count = domains.count },
				&mem, &answer);
	ask_dkim_change(c->vault, &(struct dkim_change_ask){ .what = DKIM_TIDY, .before_s = before }, &mem, &answer);
}

/* Verbs by which domains come. */
static bool makes_domains(const struct slice *args, size_t count) {
	static const char *const nouns[] = { "account", "alias", "domain" };
	if (count < 2 || !slice_eq(args[1], S("add"))) return false;
	for (size_t i = 0; i < LEN(nouns); i++)
		if (slice_eq(args[0], slice_of(nouns[i]))) return true;
	return false;
}

/* Does it; the answer is packed. */
static int run_admin(struct core *c, struct link_question *q, const struct slice *args, const struct admin_ask *ask) {
	AUTO_BUF struct buf out = BUF(MIB(32));
	AUTO_BUF struct buf err = BUF(MIB(1));
	history_flush(c->history);
	atomic_fetch_add(&c->shared->directory, 1); /* before, for who asks while it is done, and after */
	int code = admin_run(&c->admin,
			     &(struct admin_request){ .args = args, .count = ask->args_count, .input = ask->input },
			     &out, &err);
	atomic_fetch_add(&c->shared->directory, 1);
	admin_answer_pack(q->answer, &(struct admin_answer){ code, buf_slice(&out), buf_slice(&err) });
	if (code == EX_OK && makes_domains(args, ask->args_count)) pool_call(c->pool, make_dkim_keys, c);
	return 0;
}

static int unpack_admin(struct link_question *q, struct admin_ask *ask, struct slice **args) {
	admin_ask_unpack(&q->in, ask);
	if (q->in.bad) return fail("broken question");
	*args = arena_array(q->mem, ask->args_count, sizeof **args);
	for (size_t i = 0; i < ask->args_count; i++) (*args)[i] = ask->args[i].text;
	return 0;
}

static int answer_admin(void *ctx, struct link_question *q) {
	struct admin_ask ask;
	struct slice *args = NULL;
	int r = unpack_admin(q, &ask, &args);
	return r < 0 ? r : run_admin(ctx, q, args, &ask);
}

static int answer_operator_session(void *ctx, struct link_question *q) {
	struct core *c = ctx;
	return present_answer_operator(c->db, c->sessions, c->imap, q);
}

static const struct link_rule operator_rules[] = {
	{ ASK_ADMIN, "admin", answer_admin },
	{ ASK_SESSION, "session", answer_operator_session },
};

/* Questions of every user of this machine: looking at the queue, and flushing it, as far as they are authorized. */
static int answer_user(void *ctx, struct link_question *q) {
	struct core *c = ctx;
	struct admin_ask ask;
	struct slice *args = NULL;
	struct ucred who;
	socklen_t len = sizeof who;
	int r = unpack_admin(q, &ask, &args);
	if (r < 0) return r;
	if (getsockopt(q->channel, SOL_SOCKET, SO_PEERCRED, &who, &len) != 0) return fail_errno("whose question");
	bool of_queue = ask.args_count >= 2 && slice_eq(args[0], S("queue"));
	struct core_settings *s = hold(c);
	bool granted = (of_queue && slice_eq(args[1], S("mailq")) && submitters_allow(s->look, who.uid)) ||
		       (of_queue && slice_eq(args[1], S("flush")) && submitters_allow(s->flush, who.uid));
	drop(s);
	if (granted) return run_admin(c, q, args, &ask);
	admin_answer_pack(q->answer, &(struct admin_answer){ EX_NOPERM, S(""), S("") });
	return 0;
}

static const struct link_rule user_rules[] = { { ASK_ADMIN, "queue", answer_user } };

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
	struct core_settings *s = hold(c);
	care_step(&s->care, &s->flow.deliver, c->db, hourly);
	if (hourly) {
		c->purge_at = deadline_in(PURGE_EVERY_MS);
		pool_call(c->pool, make_dkim_keys, c);
		if (history_purge(c->db, wall_us() - s->history_us, NULL) < 0 || store_sweep(c->db) < 0 ||
		    purge_bin(c) < 0 || memo_sweep(c->db) < 0 || blob_sweep(c->db, SWEEP_AGE_S) < 0)
			say(L_WARN, "core", "clean-up: %s", fail_text());
	}
	drop(s);
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

/* A prefix ends with the delimiter. */
static struct slice prefix_of(struct slice said, struct arena *mem) {
	return said.len == 0 || slice_ends(said, S("/")) ? arena_slice(mem, said)
							 : arena_fmt(mem, "%.*s/", SLICE_ARG(said));
}

static bool same_imap(const struct imap_session_params *a, const struct imap_session_params *b) {
	return a->message_limit == b->message_limit && a->idle_limit == b->idle_limit &&
	       a->progress_interval == b->progress_interval && strcmp(a->host, b->host) == 0 &&
	       slice_eq(a->shared_prefix, b->shared_prefix) && slice_eq(a->public_prefix, b->public_prefix) &&
	       slice_eq(a->public_account, b->public_account) && a->acl_anyone == b->acl_anyone &&
	       slice_eq(a->masters, b->masters) && slice_eq(a->discard, b->discard) &&
	       a->command_messages == b->command_messages && a->command_saves == b->command_saves &&
	       memcmp(a->quota_levels, b->quota_levels, sizeof a->quota_levels) == 0;
}

static void set_imap(struct core *c, const struct conf_view *v) {
	struct arena mem = { 0 };
	const char *host = arena_text(&mem, conf_text(v, SET_myhostname));
	struct search_index *index = c->indexing ? c->index : NULL;
	int64_t progress = conf_time_ms(v, SET_imapd_progress_interval);
	struct imap_session_params p = {
		.spool_dir = c->dir,
		.host = host,
		.message_limit = conf_size(v, SET_message_size_limit),
		.idle_limit = conf_time_ms(v, SET_imapd_idle_timeout),
		.shared_prefix = prefix_of(conf_text(v, SET_imapd_shared_prefix), &mem),
		.public_prefix = prefix_of(conf_text(v, SET_imapd_public_prefix), &mem),
		.public_account = conf_text(v, SET_imapd_public_account),
		.acl_anyone = conf_bool(v, SET_imapd_acl_anyone),
		.command_messages = (uint64_t)conf_number(v, SET_imapd_message_limit),
		.command_saves = (uint64_t)conf_number(v, SET_imapd_save_limit),
		.progress_interval = progress != 0 ? progress : -1,
		.masters = conf_text(v, SET_auth_master_users),
		.discard = conf_text(v, SET_imapd_discard_capabilities),
	};
	care_levels(v, p.quota_levels);
	if (c->imap == NULL || c->imap->index != index || !same_imap(&c->imap->params, &p)) {
		struct imap_context *fresh = arena_get(&c->contexts, sizeof *fresh);
		struct slice *const texts[] = { &p.shared_prefix, &p.public_prefix, &p.public_account, &p.masters,
						&p.discard };
		for (size_t i = 0; i < LEN(texts); i++) *texts[i] = arena_slice(&c->contexts, *texts[i]);
		p.host = arena_text(&c->contexts, slice_of(p.host));
		*fresh = (struct imap_context){
			.db = c->db, .hub = c->hub, .index = index, .params = p, .presence = c->presence
		};
		c->imap = fresh;
	}
	arena_done(&mem);
}

static void set_pop3(struct core *c, const struct conf_view *v) {
	const char *format = conf_text(v, SET_pop3d_uidl_format).at;
	struct pop3_session_params p = {
		.idle_limit = conf_time_ms(v, SET_pop3d_idle_timeout),
		.login_delay_s = (unsigned)(conf_time_ms(v, SET_pop3d_login_delay) / 1000),
		.no_flag_updates = conf_bool(v, SET_pop3d_no_flag_updates),
		.uidl_format = format != NULL && pop3_uidl_good(format) ? format : NULL,
	};
	if (p.uidl_format == NULL)
		say(L_WARN, "core",
		    "pop3d_uidl_format: not understood, the usual form is taken (%%u must be in it; %%v, %%Xu, %%08Xv "
		    "may be)");
	const struct pop3_session_params *old = c->pop3 != NULL ? &c->pop3->params : NULL;
	if (old != NULL && old->idle_limit == p.idle_limit && old->login_delay_s == p.login_delay_s &&
	    old->no_flag_updates == p.no_flag_updates && slice_eq(slice_of(old->uidl_format), slice_of(p.uidl_format)))
		return;
	struct pop3_context *x = arena_get(&c->contexts, sizeof *x);
	if (p.uidl_format != NULL) p.uidl_format = arena_text(&c->contexts, slice_of(p.uidl_format));
	*x = (struct pop3_context){ .db = c->db, .drops = c->drops, .params = p, .presence = c->presence };
	c->pop3 = x;
}

static void set_index(struct core *c, const struct conf_view *v) {
	if (c->index != NULL && extracting_set(c->index, v, c->agent, &c->contexts, &c->extracting))
		c->indexing = false;
	bool wanted = conf_bool(v, SET_search_index) && c->index != NULL;
	if (wanted && !c->indexing && search_index_start(c->index) < 0) say(L_WARN, "core", "%s", fail_text());
	if (!wanted && c->indexing) search_index_stop(c->index);
	c->indexing = wanted;
	c->admin.index = wanted ? c->index : NULL;
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
	set_index(c, v);
	set_imap(c, v);
	set_pop3(c, v);
	if (store_bin_keep(c->db, conf_time_ms(v, SET_undelete_keep_time) * 1000) < 0)
		say(L_WARN, "core", "undelete: %s", fail_text());
	queue_id_form(conf_bool(v, SET_enable_long_queue_ids));
	s->history_us = conf_time_ms(v, SET_history_lifetime) * 1000;
	struct queue_params q = queue_params_of(v);
	if (c->queue != NULL) queue_set_params(c->queue, &q);
	current_set(&c->settings, &s->flow.generation);
	if (c->sender != NULL) {
		sender_end_rests(c->sender);
		sender_wake(c->sender);
	}
	if (c->pool != NULL) pool_call(c->pool, make_dkim_keys, c);
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
	c->admin = (struct admin){ .db = c->db, .ops = &admin_ops, .ctx = c };
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
	c->to_edge = (struct link_service){ .rules = edge_rules, .count = LEN(edge_rules), .ctx = c };
	c->to_operator = (struct link_service){ .rules = operator_rules, .count = LEN(operator_rules), .ctx = c };
	link_serve(c->pool, c->dials[LINK_EDGE_CORE], &c->to_edge);
	c->to_users = (struct link_service){ .rules = user_rules, .count = LEN(user_rules), .ctx = c };
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
	arena_done(&c->contexts);
}

const struct role role_core = {
	.name = "core", .seal_needs = SEAL_FILES, .start = start, .reload = reload, .stop = stop
};
