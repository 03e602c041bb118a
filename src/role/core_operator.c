/* SPDX-License-Identifier: Apache-2.0 */
/* What the operator asks, through the control socket, and every user of this machine, through the one of the queue. */
#include "base/fail.h"
#include "flow/submitters.h"
#include "queue/history.h"
#include "role/core_dkim.h"
#include "role/core_present.h"
#include "role/core_private.h"
#include "role/forward_tell.h"
#include "role/settings.h"
#include "user/secret.h"

#include <sysexits.h>

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
	struct core_settings *s = core_hold(c);
	int r = routing_tell(&s->routing, c->db, address, sender, way);
	core_drop(s);
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
	struct core_settings *s = core_hold(c);
	int r = forward_tell(&s->routing, s->flow.send.srs_always, c->db, address, input, way);
	core_drop(s);
	return r;
}

static void who_op(void *ctx, void (*each)(void *each_ctx, const struct admin_session *s), void *each_ctx) {
	present_who(((struct core *)ctx)->presence, each, each_ctx);
}

static size_t kick_op(void *ctx, bool (*chosen)(void *chosen_ctx, const struct admin_session *s), void *chosen_ctx) {
	return present_kick(((struct core *)ctx)->presence, chosen, chosen_ctx);
}

const struct admin_ops core_admin_ops = { .who = who_op,
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
void core_make_dkim_keys(void *arg) {
	struct core *c = arg;
	AUTO_ARENA struct arena mem = { 0 };
	AUTO_READ struct db_conn *conn = db_read(c->db);
	struct core_settings *s = core_hold(c);
	struct dkim_domains domains;
	struct dkim_change_answer answer;
	const struct conf_view *v = conf_main(s->conf);
	bool wanted = conf_bool(v, SET_dkim_sign) && conn != NULL;
	if (wanted && dkim_domains_of(conn, v, &mem, &domains) < 0) {
		say(L_WARN, "core", "DKIM keys: %s", fail_text());
		wanted = false;
	}
	int64_t before = wall_s() - conf_time_ms(v, SET_dkim_retire_time) / 1000;
	core_drop(s);
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
	if (logins_flush(c->logins, c->db) < 0) say(L_WARN, "core", "log-ins: %s", fail_text());
	atomic_fetch_add(&c->shared->directory, 1); /* before, for who asks while it is done, and after */
	int code = admin_run(&c->admin,
			     &(struct admin_request){ .args = args, .count = ask->args_count, .input = ask->input },
			     &out, &err);
	atomic_fetch_add(&c->shared->directory, 1);
	admin_answer_pack(q->answer, &(struct admin_answer){ code, buf_slice(&out), buf_slice(&err) });
	if (code == EX_OK && makes_domains(args, ask->args_count)) pool_call(c->pool, core_make_dkim_keys, c);
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
	struct core_settings *s = core_hold(c);
	bool granted = (of_queue && slice_eq(args[1], S("mailq")) && submitters_allow(s->look, who.uid)) ||
		       (of_queue && slice_eq(args[1], S("flush")) && submitters_allow(s->flush, who.uid));
	core_drop(s);
	if (granted) return run_admin(c, q, args, &ask);
	admin_answer_pack(q->answer, &(struct admin_answer){ EX_NOPERM, S(""), S("") });
	return 0;
}

static const struct link_rule user_rules[] = { { ASK_ADMIN, "queue", answer_user } };

struct link_service core_for_operator(struct core *c) {
	return (struct link_service){ .rules = operator_rules, .count = LEN(operator_rules), .ctx = c };
}

struct link_service core_for_users(struct core *c) {
	return (struct link_service){ .rules = user_rules, .count = LEN(user_rules), .ctx = c };
}
