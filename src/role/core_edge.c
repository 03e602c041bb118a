/* SPDX-License-Identifier: Apache-2.0 */
/* What edge asks core. */
#include "access/pop3/session.h"
#include "base/fail.h"
#include "db/memo.h"
#include "flow/etrn.h"
#include "flow/verify.h"
#include "queue/history.h"
#include "report/outbox.h"
#include "role/core_present.h"
#include "role/core_private.h"
#include "role/settings.h"

static int answer_route(void *ctx, struct link_question *q) {
	struct core *c = ctx;
	struct route_ask ask;
	route_ask_unpack(&q->in, &ask);
	if (q->in.bad) return fail("broken question");
	AUTO_READ struct db_conn *conn = db_read(c->db);
	if (conn == NULL) return -1;
	struct core_settings *s = core_hold(c);
	struct route_answer answer;
	int r = route_judge(conn, &s->routing.route, ask.address, ask.sender, q->mem, &answer);
	if (r == 0) route_answer_pack(q->answer, &answer);
	core_drop(s);
	return r;
}

static int answer_account(void *ctx, struct link_question *q) {
	struct core *c = ctx;
	struct account_ask ask;
	account_ask_unpack(&q->in, &ask);
	if (q->in.bad) return fail("broken question");
	AUTO_READ struct db_conn *conn = db_read(c->db);
	struct account who, as;
	struct core_settings *s = core_hold(c);
	struct slice user = ask.login, wanted = ask.act_as;
	if (wanted.len == 0) care_master(&s->care, ask.login, &wanted, &user);
	int r = conn != NULL ? user_account_find(conn, q->mem, user, &who) : -1;
	bool known = r == 0, granted = known && !who.disabled;
	as = who;
	if (granted && wanted.len != 0) {
		r = user_account_find(conn, q->mem, wanted, &as);
		granted = r == 0 && !as.disabled && (who.id == as.id || care_is_master(&s->care, who.address));
	}
	core_drop(s);
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
	struct core_settings *s = core_hold(c);
	struct accept_answer answer;
	struct deliver_into into = { c->db, &s->flow, c->sender };
	deliver_accept(&into, &ask, ask.spooled != 0 ? q->ask->fds[0] : -1, q->mem, &answer);
	core_drop(s);
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
				    .handed = ask.handed,
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
			&(struct pop3_grant){ .account = ask.account,
					      .login = ask.login,
					      .remote = ask.remote,
					      .session = ask.session,
					      .tls = ask.tls,
					      .utf8 = ask.utf8,
					      .language = ask.language,
					      .offer = ask.offer });
	return 0;
}

static int add_evidence(struct db_conn *tx, void *arg) {
	return outbox_add(tx, arg, wall_us());
}

/* What was refused counts in the reports to others as well. */
static void report_refused(struct core *c, struct refused_ask *ask) {
	struct evidence_record *evidence = &ask->evidence;
	struct accept_recipient to = { .address = ask->recipient };
	struct core_settings *s = core_hold(c);
	if (s->flow.deliver.report_send && db_write(c->db, add_evidence, evidence) < 0)
		say(L_WARN, "core", "report: %s", fail_text());
	reporting_failed(c->reporter, evidence, s->flow.deliver.report_failures);
	dmarc_history_add(&s->flow.deliver.history, ask->queue_id, ask->sender, &to, 1, evidence);
	core_drop(s);
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

struct link_service core_for_edge(struct core *c) {
	return (struct link_service){ .rules = edge_rules, .count = LEN(edge_rules), .ctx = c };
}
