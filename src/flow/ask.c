/* SPDX-License-Identifier: Apache-2.0 */
#include "flow/ask.h"
#include "base/fail.h"

#define ASK_TEXT_FIELDS(F) F(text, text)
WIRE_STRUCT(ask_text, ASK_TEXT_FIELDS)
WIRE_STRUCT(route_ask, ROUTE_ASK_FIELDS)
WIRE_STRUCT(route_answer, ROUTE_ANSWER_FIELDS)
WIRE_STRUCT(account_ask, ACCOUNT_ASK_FIELDS)
WIRE_STRUCT(account_answer, ACCOUNT_ANSWER_FIELDS)
WIRE_STRUCT(accept_recipient, ACCEPT_RECIPIENT_FIELDS)
WIRE_STRUCT(relay_client, RELAY_CLIENT_FIELDS)
WIRE_STRUCT(accept_ask, ACCEPT_ASK_FIELDS)
WIRE_STRUCT(accept_answer, ACCEPT_ANSWER_FIELDS)
WIRE_STRUCT(session_ask, SESSION_ASK_FIELDS)
WIRE_STRUCT(session_answer, SESSION_ANSWER_FIELDS)
WIRE_STRUCT(refused_ask, REFUSED_ASK_FIELDS)
WIRE_STRUCT(flush_ask, FLUSH_ASK_FIELDS)
WIRE_STRUCT(verify_ask, VERIFY_ASK_FIELDS)
WIRE_STRUCT(verify_answer, VERIFY_ANSWER_FIELDS)
WIRE_STRUCT(empty_answer, EMPTY_ANSWER_FIELDS)
WIRE_STRUCT(recall_ask, RECALL_ASK_FIELDS)
WIRE_STRUCT(recall_answer, RECALL_ANSWER_FIELDS)
WIRE_STRUCT(keep_ask, KEEP_ASK_FIELDS)
WIRE_STRUCT(password_ask, PASSWORD_ASK_FIELDS)
WIRE_STRUCT(password_answer, PASSWORD_ANSWER_FIELDS)
WIRE_STRUCT(scram_ask, SCRAM_ASK_FIELDS)
WIRE_STRUCT(scram_answer, SCRAM_ANSWER_FIELDS)
WIRE_STRUCT(token_ask, TOKEN_ASK_FIELDS)
WIRE_STRUCT(token_answer, TOKEN_ANSWER_FIELDS)
WIRE_STRUCT(app_ask, APP_ASK_FIELDS)
WIRE_STRUCT(app_row, APP_ROW_FIELDS)
WIRE_STRUCT(app_answer, APP_ANSWER_FIELDS)
WIRE_STRUCT(sign_ask, SIGN_ASK_FIELDS)
WIRE_STRUCT(sign_answer, SIGN_ANSWER_FIELDS)
WIRE_STRUCT(secret_ask, SECRET_ASK_FIELDS)
WIRE_STRUCT(secret_answered, SECRET_ANSWERED_FIELDS)
WIRE_STRUCT(relay_recipient, RELAY_RECIPIENT_FIELDS)
WIRE_STRUCT(relay_redirect, RELAY_REDIRECT_FIELDS)
WIRE_STRUCT(relay_ask, RELAY_ASK_FIELDS)
WIRE_STRUCT(relay_outcome, RELAY_OUTCOME_FIELDS)
WIRE_STRUCT(relay_answer, RELAY_ANSWER_FIELDS)
WIRE_STRUCT(extract_ask, EXTRACT_ASK_FIELDS)
WIRE_STRUCT(extract_answer, EXTRACT_ANSWER_FIELDS)
WIRE_STRUCT(permission_ask, PERMISSION_ASK_FIELDS)
WIRE_STRUCT(permission_answer, PERMISSION_ANSWER_FIELDS)
WIRE_STRUCT(name_ask, NAME_ASK_FIELDS)
WIRE_STRUCT(name_answer, NAME_ANSWER_FIELDS)
WIRE_STRUCT(targets_ask, TARGETS_ASK_FIELDS)
WIRE_STRUCT(targets_answer, TARGETS_ANSWER_FIELDS)
WIRE_STRUCT(admin_ask, ADMIN_ASK_FIELDS)
WIRE_STRUCT(admin_answer, ADMIN_ANSWER_FIELDS)
WIRE_STRUCT(dkim_keys_ask, DKIM_KEYS_ASK_FIELDS)
WIRE_STRUCT(dkim_keys_key, DKIM_KEYS_KEY_FIELDS)
WIRE_STRUCT(dkim_keys_answer, DKIM_KEYS_ANSWER_FIELDS)
WIRE_STRUCT(dkim_sign_one, DKIM_SIGN_ONE_FIELDS)
WIRE_STRUCT(dkim_signed, DKIM_SIGNED_FIELDS)
WIRE_STRUCT(dkim_sign_ask, DKIM_SIGN_ASK_FIELDS)
WIRE_STRUCT(dkim_sign_answer, DKIM_SIGN_ANSWER_FIELDS)
WIRE_STRUCT(dkim_list_ask, DKIM_LIST_ASK_FIELDS)
WIRE_STRUCT(dkim_list_answer, DKIM_LIST_ANSWER_FIELDS)
WIRE_STRUCT(dkim_seen_ask, DKIM_SEEN_ASK_FIELDS)
WIRE_STRUCT(dkim_change_ask, DKIM_CHANGE_ASK_FIELDS)
WIRE_STRUCT(dkim_change_answer, DKIM_CHANGE_ANSWER_FIELDS)

enum { QUICK_MS = 20000, ACCEPT_MS = 120000, USUAL = 512 };

/* The answer's text is copied into mem, so that the frame can go. */
static struct unwire keep_answer(const struct link_received *got, struct arena *mem) {
	return UNWIRE(arena_slice(mem, got->frame.body), mem);
}

/* One function for each question: pack, call, unpack. */
#define ASK_BODY(...) ASK_WITH(link_call, __VA_ARGS__)
/* Those that change nothing may be asked twice: a process that is restarted keeps nobody from logging in. */
#define QUERY_BODY(...) ASK_WITH(link_query, __VA_ARGS__)
#define ASK_WITH(call_, link_, kind_, name, answer_name, fd_, ms_, usual_) \
	AUTO_BUF struct buf packed = BUF(LINK_FRAME_MAX); \
	buf_room(&packed, usual_); /* one allocation, not one for each doubling */ \
	name##_pack(&packed, ask); \
	struct link_frame frame = { \
		.kind = kind_, .body = buf_slice(&packed), .fds = { fd_ }, .fd_count = (fd_) >= 0 \
	}; \
	struct link_received got = { 0 }; \
	int r = call_(link_, &frame, &got, deadline_in(ms_)); \
	mem_wipe(packed.at, packed.len <= 4096 ? packed.len : 0); \
	if (r != LINK_OK) return r < 0 ? r : ASK_LATER; \
	struct unwire in = keep_answer(&got, mem); \
	link_received_done(&got); \
	answer_name##_unpack(&in, answer); \
	return in.bad ? fail("broken answer from another process") : ASK_OK;

int ask_route(struct link *core, const struct route_ask *ask, struct arena *mem, struct route_answer *answer) {
	QUERY_BODY(core, ASK_ROUTE, route_ask, route_answer, -1, QUICK_MS, USUAL)
}

int ask_account(struct link *core, const struct account_ask *ask, struct arena *mem, struct account_answer *answer) {
	QUERY_BODY(core, ASK_ACCOUNT, account_ask, account_answer, -1, QUICK_MS, USUAL)
}

int ask_accept_begin(struct link *core, const struct accept_ask *ask, int spool, struct accept_wait *wait) {
	AUTO_BUF struct buf packed = BUF(LINK_FRAME_MAX);
	buf_room(&packed, ask->head.len + ask->body.len + ask->summary.len + USUAL);
	accept_ask_pack(&packed, ask);
	struct link_frame frame = {
		.kind = ASK_ACCEPT, .body = buf_slice(&packed), .fds = { spool }, .fd_count = spool >= 0
	};
	wait->until = deadline_in(ACCEPT_MS);
	int r = link_ask(core, &frame, &wait->channel);
	return r == LINK_OK ? ASK_OK : r < 0 ? r : ASK_LATER;
}

int ask_accept_end(struct link *core, struct accept_wait *wait, struct arena *mem, struct accept_answer *answer) {
	struct link_received got = { 0 };
	int r = link_answered(core, TAKE_FD(wait->channel), &got, wait->until);
	if (r != LINK_OK) return r < 0 ? r : ASK_LATER;
	struct unwire in = keep_answer(&got, mem);
	link_received_done(&got);
	accept_answer_unpack(&in, answer);
	return in.bad ? fail("broken answer from another process") : ASK_OK;
}

int ask_accept(struct link *core, const struct accept_ask *ask, int spool, struct arena *mem,
	       struct accept_answer *answer) {
	struct accept_wait wait;
	int r = ask_accept_begin(core, ask, spool, &wait);
	return r == ASK_OK ? ask_accept_end(core, &wait, mem, answer) : r;
}

int ask_session(struct link *core, const struct session_ask *ask, int wire, struct arena *mem,
		struct session_answer *answer) {
	ASK_BODY(core, ASK_SESSION, session_ask, session_answer, wire, QUICK_MS, USUAL)
}

int ask_refused(struct link *core, const struct refused_ask *ask, struct arena *mem) {
	struct empty_answer nothing, *answer = &nothing;
	ASK_BODY(core, ASK_REFUSED, refused_ask, empty_answer, -1, QUICK_MS, USUAL)
}

int ask_flush(struct link *core, const struct flush_ask *ask, struct arena *mem) {
	struct empty_answer nothing, *answer = &nothing;
	ASK_BODY(core, ASK_FLUSH, flush_ask, empty_answer, -1, QUICK_MS, USUAL)
}

int ask_verify(struct link *core, const struct verify_ask *ask, struct arena *mem, struct verify_answer *answer) {
	ASK_BODY(core, ASK_VERIFY, verify_ask, verify_answer, -1, QUICK_MS, USUAL)
}

int ask_token(struct link *relay, const struct token_ask *ask, struct arena *mem, struct token_answer *answer) {
	ASK_BODY(relay, ASK_TOKEN, token_ask, token_answer, -1, QUICK_MS, USUAL)
}

int ask_recall(struct link *core, const struct recall_ask *ask, struct arena *mem, struct recall_answer *answer) {
	QUERY_BODY(core, ASK_RECALL, recall_ask, recall_answer, -1, QUICK_MS, USUAL)
}

int ask_keep(struct link *core, const struct keep_ask *ask, struct arena *mem) {
	struct empty_answer nothing, *answer = &nothing;
	ASK_BODY(core, ASK_KEEP, keep_ask, empty_answer, -1, QUICK_MS, ask->value.len + USUAL)
}

int ask_password(struct link *vault, const struct password_ask *ask, struct arena *mem,
		 struct password_answer *answer) {
	QUERY_BODY(vault, ASK_PASSWORD, password_ask, password_answer, -1, QUICK_MS, USUAL)
}

int ask_scram(struct link *vault, const struct scram_ask *ask, struct arena *mem, struct scram_answer *answer) {
	QUERY_BODY(vault, ASK_SCRAM, scram_ask, scram_answer, -1, QUICK_MS, USUAL)
}

int ask_app(struct link *vault, const struct app_ask *ask, struct arena *mem, struct app_answer *answer) {
	ASK_BODY(vault, ASK_APP, app_ask, app_answer, -1, QUICK_MS, USUAL)
}

int ask_sign(struct link *vault, const struct sign_ask *ask, struct arena *mem, struct sign_answer *answer) {
	QUERY_BODY(vault, ASK_SIGN, sign_ask, sign_answer, -1, QUICK_MS, USUAL)
}

int ask_secret(struct link *vault, const struct secret_ask *ask, struct arena *mem, struct secret_answered *answer) {
	ASK_BODY(vault, ASK_SECRET, secret_ask, secret_answered, -1, QUICK_MS, USUAL)
}

int ask_dkim_keys(struct link *vault, const struct dkim_keys_ask *ask, struct arena *mem,
		  struct dkim_keys_answer *answer) {
	QUERY_BODY(vault, ASK_DKIM_KEYS, dkim_keys_ask, dkim_keys_answer, -1, QUICK_MS, USUAL)
}

int ask_dkim_sign(struct link *vault, const struct dkim_sign_ask *ask, struct arena *mem,
		  struct dkim_sign_answer *answer) {
	QUERY_BODY(vault, ASK_DKIM_SIGN, dkim_sign_ask, dkim_sign_answer, -1, QUICK_MS, USUAL)
}

int ask_dkim_list(struct link *vault, const struct dkim_list_ask *ask, struct arena *mem,
		  struct dkim_list_answer *answer) {
	QUERY_BODY(vault, ASK_DKIM_LIST, dkim_list_ask, dkim_list_answer, -1, QUICK_MS, USUAL)
}

int ask_dkim_seen(struct link *vault, const struct dkim_seen_ask *ask, struct arena *mem) {
	struct empty_answer nothing, *answer = &nothing;
	ASK_BODY(vault, ASK_DKIM_SEEN, dkim_seen_ask, empty_answer, -1, QUICK_MS, USUAL)
}

int ask_dkim_change(struct link *vault, const struct dkim_change_ask *ask, struct arena *mem,
		    struct dkim_change_answer *answer) {
	ASK_BODY(vault, ASK_DKIM_CHANGE, dkim_change_ask, dkim_change_answer, -1, ACCEPT_MS, USUAL)
}

int ask_relay_send(int channel, const struct relay_ask *ask, int body) {
	AUTO_BUF struct buf packed = BUF(LINK_FRAME_MAX);
	relay_ask_pack(&packed, ask);
	struct link_frame frame = { .kind = ASK_RELAY, .body = buf_slice(&packed) };
	if (body >= 0) frame.fds[frame.fd_count++] = body;
	int r = link_send(channel, &frame);
	return r == LINK_OK ? ASK_OK : r < 0 ? r : ASK_LATER;
}

int ask_relay_receive(int channel, struct arena *mem, struct relay_answer *answer) {
	struct link_received got = { 0 };
	int r = link_receive_answer(channel, &got);
	if (r != LINK_OK) return r < 0 ? r : ASK_LATER;
	struct unwire in = keep_answer(&got, mem);
	link_received_done(&got);
	relay_answer_unpack(&in, answer);
	return in.bad ? fail("broken answer from relay") : ASK_OK;
}

static void nothing_pack(struct buf *b, const void *ask) {
	(void)b, (void)ask;
}

int ask_report(struct link *relay, int body, struct arena *mem, struct report_list *answer) {
	const void *ask = NULL;
	ASK_BODY(relay, ASK_REPORT, nothing, report_list, body, ACCEPT_MS, USUAL)
}

int ask_extract(struct link *agent, const struct extract_ask *ask, int file, struct arena *mem,
		struct extract_answer *answer) {
	ASK_BODY(agent, ASK_EXTRACT, extract_ask, extract_answer, file, ACCEPT_MS, USUAL)
}

int ask_permission(struct link *relay, const struct permission_ask *ask, struct arena *mem,
		   struct permission_answer *answer) {
	QUERY_BODY(relay, ASK_PERMISSION, permission_ask, permission_answer, -1, QUICK_MS, USUAL)
}

int ask_name(struct link *relay, const struct name_ask *ask, struct arena *mem, struct name_answer *answer) {
	QUERY_BODY(relay, ASK_NAME, name_ask, name_answer, -1, QUICK_MS, USUAL)
}

int ask_targets(struct link *relay, const struct targets_ask *ask, struct arena *mem, struct targets_answer *answer) {
	QUERY_BODY(relay, ASK_TARGETS, targets_ask, targets_answer, -1, QUICK_MS, USUAL)
}

int ask_admin(int channel, const struct admin_ask *ask, struct arena *mem, struct admin_answer *answer) {
	AUTO_BUF struct buf packed = BUF(LINK_FRAME_MAX);
	admin_ask_pack(&packed, ask);
	int r = link_send(channel, &(struct link_frame){ .kind = ASK_ADMIN, .body = buf_slice(&packed) });
	mem_wipe(packed.at, packed.len);
	struct link_received got = { 0 };
	if (r == LINK_OK) r = link_receive(channel, &got, NEVER);
	if (r != LINK_OK) return r < 0 ? r : ASK_LATER;
	struct unwire in = keep_answer(&got, mem);
	link_received_done(&got);
	admin_answer_unpack(&in, answer);
	return in.bad ? fail("broken answer from the server") : ASK_OK;
}

int ask_session_at(int channel, const struct session_ask *ask, int wire, struct arena *mem,
		   struct session_answer *answer) {
	AUTO_BUF struct buf packed = BUF(KIB(64));
	struct link_received got = { 0 };
	session_ask_pack(&packed, ask);
	int r = link_send(channel,
			  &(struct link_frame){
				  .kind = ASK_SESSION, .body = buf_slice(&packed), .fds = { wire }, .fd_count = 1 });
	if (r == LINK_OK) r = link_receive(channel, &got, deadline_in(QUICK_MS));
	if (r != LINK_OK) return r < 0 ? r : ASK_LATER;
	struct unwire in = keep_answer(&got, mem);
	link_received_done(&got);
	session_answer_unpack(&in, answer);
	return in.bad ? fail("broken answer from the server") : ASK_OK;
}
