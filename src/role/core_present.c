/* SPDX-License-Identifier: Apache-2.0 */
/* doveadm searches, fetches and moves mail as IMAP clients do, with the same words and the same code behind them; it
 * only need not know anybody's password. */
#include "role/core_present.h"
#include "base/fail.h"
#include "base/log.h"
#include "flow/ask.h"
#include "user/user.h"

int present_answer_operator(struct db *db, struct pool *pool, const struct imap_context *context,
			    struct link_question *q) {
	struct session_ask ask;
	struct account account;
	session_ask_unpack(&q->in, &ask);
	AUTO_FD int fd = link_frame_take_fd((struct link_frame *)(uintptr_t)q->ask, 0);
	if (q->in.bad || fd < 0 || ask.protocol != SESSION_IMAP) return fail("broken question");
	AUTO_READ struct db_conn *conn = db_read(db);
	int r = conn != NULL ? user_account_find(conn, q->mem, ask.login, &account) : -1;
	if (r < 0) return r;
	if (r == 0) {
		struct imap_grant grant = { .account = account.id,
					    .login = account.address,
					    .tag = ask.tag,
					    .remote = S("local"),
					    .tls = true,
					    .master = S("operator") };
		note(L_INFO, "imap", 0, NULL, "Master session: ", FA("user", account.address),
		     F("master_user", S("operator")), F("rip", S("local")));
		imap_session_start(pool, context, TAKE_FD(fd), &grant);
	}
	session_answer_pack(q->answer, &(struct session_answer){ .open = r == 0 });
	return 0;
}

static struct admin_session as_told(const struct present *who) {
	return (struct admin_session){ .login = who->login,
				       .remote = who->remote,
				       .protocol = who->protocol,
				       .since_us = who->since_us,
				       .session = who->session };
}

struct telling {
	void (*each)(void *ctx, const struct admin_session *s);
	bool (*chosen)(void *ctx, const struct admin_session *s);
	void *ctx;
};

static void tell(void *ctx, const struct present *who) {
	const struct telling *t = ctx;
	struct admin_session s = as_told(who);
	t->each(t->ctx, &s);
}

static bool choose(void *ctx, const struct present *who) {
	const struct telling *t = ctx;
	struct admin_session s = as_told(who);
	return t->chosen(t->ctx, &s);
}

void present_who(struct presence *p, void (*each)(void *ctx, const struct admin_session *s), void *ctx) {
	presence_each(p, tell, &(struct telling){ .each = each, .ctx = ctx });
}

size_t present_kick(struct presence *p, bool (*chosen)(void *ctx, const struct admin_session *s), void *ctx) {
	return presence_kick(p, choose, &(struct telling){ .chosen = chosen, .ctx = ctx });
}
