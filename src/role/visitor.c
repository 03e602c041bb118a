/* SPDX-License-Identifier: Apache-2.0 */
/* What a connection is at the moment (its phase) is a small machine that is stepped; this file owns the socket, the
 * limits of the client, and the change from one machine to the next. */
#include "role/visitor.h"
#include "access/imap/login.h"
#include "access/pop3/login.h"
#include "flow/login.h"
#include "role/screen_talk.h"
#include "base/fail.h"
#include "base/log.h"
#include "net/descriptor.h"
#include "net/proxy_header.h"
#include "net/pump.h"

#include <sys/epoll.h>
#include <sys/socket.h>

/* SESSION_ROOM: who waits for room in a pair is woken when three quarters of it are free. With the kernel's usual room
 * core would wait for each page of a FETCH until edge has nothing left to send. */
enum { SESSION_ROOM = 256 * 1024, GOODBYE_MS = 2000 };
enum { IN_LIMIT = 65536, OUT_LIMIT = 1 << 20, FIRST_SESSION = 10000, LAST_SESSION = 9999999 };

struct visitor;
/* One step of a machine: true when the task has been parked, false when the visit is over. */
typedef bool (*phase_step)(struct visitor *v, enum wake why);

struct visitor {
	struct task task;
	struct visitors *all;
	struct edge_settings *settings;
	struct service *service;
	struct addr peer;
	uint64_t session;
	struct stream *stream;
	phase_step phase;
	bool counted; /* in rates */
	bool local;   /* a user of this machine */
	uid_t uid;
	/* SMTP */
	struct buf told;         /* by a proxy */
	int64_t until;           /* a proxy has time to tell; core has it to say goodbye */
	struct screen screen;
	struct screen_talk *talk;
	struct addr own;         /* our end; AF_UNSPEC: not an internet socket */
	struct admit *admit;
	struct smtp_server *smtp;
	/* IMAP, POP3 */
	struct gate *login;
	struct buf master;       /* who acts as the user */
	struct pump *pump;       /* NULL: core has the client's socket too, and reads and writes there */
	int inner;
	struct slice user; /* counted in users; owned */
};

/* Users' connections. */

static bool user_enter(struct visitor *v, struct slice name) {
	struct visitors *all = v->all;
	pthread_mutex_lock(&all->lock);
	uintptr_t now = (uintptr_t)map_get(&all->users, name);
	bool ok = v->service->user_limit == 0 || now < v->service->user_limit;
	if (ok) map_put(&all->users, name, (void *)(now + 1));
	pthread_mutex_unlock(&all->lock);
	if (ok) v->user = slice_from(slice_text(name), name.len);
	return ok;
}

static void user_leave(struct visitor *v) {
	if (v->user.at == NULL) return;
	pthread_mutex_lock(&v->all->lock);
	uintptr_t now = (uintptr_t)map_get(&v->all->users, v->user);
	if (now > 1) map_put(&v->all->users, v->user, (void *)(now - 1));
	else map_take(&v->all->users, v->user);
	pthread_mutex_unlock(&v->all->lock);
	free((void *)(uintptr_t)v->user.at);
}

static void uncount(struct visitor *v) {
	if (v->counted) rates_leave(v->all->outside.rates, &v->service->rates, &v->peer);
	v->counted = false;
}

static void leave(struct visitor *v) {
	buf_done(&v->told);
	buf_done(&v->master);
	screen_talk_free(&v->talk);
	smtp_server_free(&v->smtp);
	admit_free(&v->admit);
	gate_free(&v->login);
	pump_free(&v->pump);
	user_leave(v);
	task_end(&v->task);
	auto_fd(&v->inner);
	stream_part(&v->stream, v->all->pool);
	uncount(v);
	v->service->live--;
	pthread_mutex_lock(&v->all->lock);
	v->all->live--;
	pthread_mutex_unlock(&v->all->lock);
	generation_drop(&v->settings->generation);
	free(v);
}

/* SMTP. */

static bool smtp_phase(struct visitor *v, enum wake why) {
	if (smtp_server_step(v->smtp, why) == SMTP_OVER) return false;
	int awaited = smtp_server_awaits(v->smtp);
	if (awaited >= 0) task_await(&v->task, awaited, smtp_server_deadline(v->smtp));
	else task_park(&v->task, smtp_server_events(v->smtp), 0, smtp_server_deadline(v->smtp));
	return true;
}

static bool start_smtp(struct visitor *v, const struct smtp_server_ops *ops) {
	v->admit = v->local ? admit_new_local(&v->service->admit, v->uid, v->session)
			    : admit_new(&v->service->admit, &v->peer, v->session);
	if (!v->local && addr_family(&v->own) != AF_UNSPEC) admit_daemon(v->admit, &v->own);
	v->smtp = smtp_server_new(v->stream, &v->service->smtp, ops, v->admit);
	admit_socket(v->admit, stream_fd(v->stream));
	admit_attach(v->admit, v->smtp);
	v->phase = smtp_phase;
	return smtp_phase(v, WAKE_CALL);
}

/* Tests before the greeting. */

static bool talk_phase(struct visitor *v, enum wake why) {
	if (!screen_talk_step(v->talk, why)) return false;
	task_park(&v->task, screen_talk_events(v->talk), 0, screen_talk_deadline(v->talk));
	return true;
}

static bool start_talk(struct visitor *v) {
	v->talk = screen_talk_new(&v->screen, v->stream);
	v->phase = talk_phase;
	return talk_phase(v, WAKE_CALL);
}

static bool go_on(struct visitor *v, enum screen_verdict verdict) {
	switch (verdict) {
	case SCREEN_WAIT:
		/* what has come stays there: it is not news */
		task_park(&v->task, v->screen.spoke ? 0 : (uint32_t)EPOLLIN, 0, v->screen.deadline);
		return true;
	case SCREEN_PASSED: return start_smtp(v, &admit_ops);
	case SCREEN_TALK: return start_talk(v);
	default: return false;
	}
}

static bool screen_phase(struct visitor *v, enum wake why) {
	return why != WAKE_STOP && go_on(v, screen_step(&v->screen, v->stream, why == WAKE_IO));
}

static bool start_screen(struct visitor *v) {
	v->phase = screen_phase;
	return go_on(v, screen_begin(&v->screen, &v->service->screen, v->all->screened, v->stream, &v->peer, &v->own));
}

/* IMAP and POP3. */

static bool start_gate(struct visitor *v, bool again);
static bool within_limits(struct visitor *v);

/* UNAUTHENTICATE (RFC 8437): core has ended the session and gives its client back, who is a stranger again. */
static bool take_back(struct visitor *v) {
	pump_free(&v->pump);
	user_leave(v);
	v->user = SLICE_NONE;
	task_watch(&v->task, stream_fd(v->stream), -1);
	close(TAKE_FD(v->inner));
	return within_limits(v) && start_gate(v, true);
}

static bool pump_phase(struct visitor *v, enum wake why) {
	if (why == WAKE_STOP) pump_end(v->pump, GOODBYE_MS);
	if (pump_step(v->pump, why == WAKE_IO ? task_came(&v->task) : PUMP_BOTH) == PUMP_OVER)
		return v->service->protocol == SERVES_IMAP && pump_given_back(v->pump) && take_back(v);
	task_park(&v->task, pump_client_events(v->pump), pump_inner_events(v->pump), pump_deadline(v->pump));
	return true;
}

/* Core talks to the client; this end waits for the end of that. */
static bool handed_phase(struct visitor *v, enum wake why) {
	char byte;
	int mark;
	if (why == WAKE_STOP) {
		shutdown(v->inner, SHUT_WR);
		v->until = deadline_in(GOODBYE_MS);
	}
	ssize_t n = descriptor_receive(v->inner, &byte, 1, &mark);
	bool given_back = mark >= 0, waits = n < 0 && (errno == EAGAIN || errno == EINTR);
	auto_fd(&mark);
	if (given_back) return v->until == NEVER && take_back(v);
	if (!waits || clock_ms() >= v->until) return false;
	task_park(&v->task, 0, EPOLLIN, v->until);
	return true;
}

/* To the core that has just opened a session for it. Failed: that one is gone, and the client would not be served. */
static bool give_socket(struct visitor *v) {
	if (descriptor_send(v->inner, 0, stream_fd(v->stream), deadline_in(GOODBYE_MS)) < 0) {
		say(L_ERROR, v->service->log_name, "%s", fail_text());
		return false;
	}
	v->until = NEVER;
	stream_relax(v->stream);
	v->phase = handed_phase;
	return handed_phase(v, WAKE_CALL);
}

/* With a socket pair of its own for each try: who died may have written to the last one. */
static int open_session(struct visitor *v, const struct session_ask *ask) {
	AUTO_ARENA struct arena mem = { 0 };
	struct session_answer answer = { 0 };
	int pair[2];
	static const int room = SESSION_ROOM;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0) pair[0] = pair[1] = -1;
	else if (!ask->handed) setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
	int r = pair[0] < 0 ? fail_errno("socket pair")
			    : ask_session(v->all->outside.core, ask, pair[1], &mem, &answer);
	auto_fd(&pair[1]);
	if (r == ASK_OK && answer.open) v->inner = TAKE_FD(pair[0]);
	auto_fd(&pair[0]);
	if (r < 0) say(L_ERROR, v->service->log_name, "session of %.*s: %s", SLICE_ARG(ask->login), fail_text());
	return r;
}

/* The client has proved who he is: core takes over, and this end becomes a pump. */
static bool hand_over(struct visitor *v) {
	struct gate_result who = gate_result(v->login);
	char ip[ADDR_TEXT_ROOM];
	struct session_ask ask = { .protocol = v->service->protocol == SERVES_POP3 ? SESSION_POP3 : SESSION_IMAP,
				   .account = who.account,
				   .session = v->session,
				   .login = who.login,
				   .tag = who.tag,
				   .remote = slice_of(addr_text(&v->peer, ip)),
				   .tls = who.tls,
				   .utf8 = who.utf8,
				   .language = who.language,
				   .offer = who.offer,
				   .no_uidonly = who.no_uidonly,
				   .handed = v->service->protocol == SERVES_IMAP && stream_is_bare(v->stream),
				   .master = buf_slice(&v->master) };
	bool room = user_enter(v, who.login);
	if (room) {
		/* a core that is restarted turns nobody away: its successor is asked */
		for (int tries = 0, r = ASK_LATER; r == ASK_LATER && tries < 2; tries++) r = open_session(v, &ask);
	} else {
		note(L_WARN, v->service->log_name, v->session, NULL, "too many connections", F("user", who.login),
		     FN("limit", v->service->user_limit));
	}
	if (v->inner < 0) {
		user_leave(v);
		v->user = SLICE_NONE;
		gate_sorry(v->login, room ? 0 : v->service->user_limit);
		/* what stands behind the log-in has come already: the poller would not tell of it */
		task_park(&v->task, gate_events(v->login), 0,
			  stream_has_input(v->stream) ? clock_ms() : gate_deadline(v->login));
		return true;
	}
	gate_free(&v->login);
	uncount(v); /* no stranger any more: users have a limit of their own */
	task_watch(&v->task, stream_fd(v->stream), v->inner);
	if (ask.handed) return give_socket(v);
	v->pump = pump_new(v->stream, v->inner, v->service->idle_ms + MINUTES(1));
	v->phase = pump_phase;
	return pump_phase(v, WAKE_CALL);
}

static bool login_phase(struct visitor *v, enum wake why) {
	switch (gate_step(v->login, why)) {
	case GATE_DONE: return hand_over(v);
	case GATE_OVER: return false;
	default: task_park(&v->task, gate_events(v->login), 0, gate_deadline(v->login)); return true;
	}
}

static enum sasl_verdict prove(void *owner, const struct sasl_ask *ask, struct arena *mem, struct sasl_found *found) {
	struct visitor *v = owner;
	bool limited =
		ask->means != SASL_BY_PROOF && !networks_match_sockaddr(v->service->rate_exceptions, &v->peer.any);
	if (limited && !rates_count(v->all->outside.rates, &v->service->rates, &v->peer, RATE_AUTH))
		return SASL_TOO_OFTEN;
	const struct login_way way = { .core = v->all->outside.core,
				       .vault = v->all->outside.vault,
				       .relay = v->all->outside.relay,
				       .certificates = v->service->certificates,
				       .tls = stream_tls(v->stream) };
	enum sasl_verdict verdict = login_prove(&way, ask, mem, found);
	buf_done(&v->master);
	v->master = BUF(KIB(1));
	buf_add(&v->master, found->master);
	return verdict;
}

static const struct sasl_ops sasl_ops = { .prove = prove };

static bool start_gate(struct visitor *v, bool again) {
	if (v->service->tls_wrapper && !again &&
	    (v->service->tls == NULL || stream_start_tls_server(v->stream, v->service->tls) < 0))
		return false;
	char here[ADDR_TEXT_ROOM] = "", there[ADDR_TEXT_ROOM];
	struct addr local;
	if (addr_of_socket(stream_fd(v->stream), &local)) addr_text(&local, here);
	struct gate_peer peer = { slice_of(addr_text(&v->peer, there)), slice_of(here), v->session, again };
	v->login = (v->service->protocol == SERVES_POP3 ? pop3_login_new : imap_login_new)(v->stream, &v->service->gate,
											   &sasl_ops, v, &peer);
	v->phase = login_phase;
	return login_phase(v, WAKE_CALL);
}

/* Arrival. */

static bool within_limits(struct visitor *v) {
	struct rates *rates = v->all->outside.rates;
	if (networks_match_sockaddr(v->service->rate_exceptions, &v->peer.any)) return true;
	v->counted = rates_enter(rates, &v->service->rates, &v->peer);
	return v->counted && (v->service->protocol != SERVES_SMTP ||
			      rates_count(rates, &v->service->rates, &v->peer, RATE_CONNECTION));
}

static void turn_away(struct visitor *v) {
	char ip[ADDR_TEXT_ROOM];
	addr_text(&v->peer, ip);
	note(L_WARN, v->service->log_name, v->session, NULL, "too many connections", F("from", slice_of(ip)));
	if (v->service->tls_wrapper) return; /* a handshake would cost more than it is worth */
	if (v->service->protocol == SERVES_SMTP)
		stream_putf(v->stream, "421 4.7.0 %s Error: too many connections from %s\r\n", v->service->smtp.host,
			    ip);
	else
		stream_putf(v->stream, v->service->protocol == SERVES_POP3
					       ? "-ERR [SYS/TEMP] too many connections from your address\r\n"
					       : "* BYE too many connections from your address\r\n");
	(void)stream_flush(v->stream);
}

static bool arrive(struct visitor *v) {
	if (!v->local && !within_limits(v)) {
		turn_away(v);
		return false;
	}
	if (v->service->screen.on && !v->local) return start_screen(v);
	return v->service->protocol == SERVES_SMTP ? start_smtp(v, &admit_ops) : start_gate(v, false);
}

/* A proxy tells first whom it speaks for. Not a byte of what follows may be taken with it: that belongs to TLS or SMTP.
 */
static bool proxy_phase(struct visitor *v, enum wake why) {
	char room[PROXY_HEADER_MAX];
	struct addr client = v->peer, own = v->own;
	size_t used = 0, had = v->told.len;
	int fd = stream_fd(v->stream);
	if (why == WAKE_STOP) return false;
	ssize_t n = recv(fd, room, sizeof room, MSG_PEEK | MSG_DONTWAIT);
	bool waits = n < 0 && (errno == EAGAIN || errno == EINTR);
	if (n > 0) buf_add(&v->told, slice_from(room, (size_t)n));
	enum proxy_header_answer answer = waits ? PROXY_HEADER_MORE : PROXY_HEADER_BAD;
	if (n > 0) answer = proxy_header_parse(buf_slice(&v->told), &client, &own, &used);
	if (answer == PROXY_HEADER_BAD || v->told.full || (waits && clock_ms() >= v->until)) {
		char ip[ADDR_TEXT_ROOM];
		say(L_WARN, v->service->log_name, "haproxy read: %s from [%s]",
		    n == 0  ? "lost connection"
		    : waits ? "timeout error"
			    : "unexpected text",
		    addr_text(&v->peer, ip));
		return false;
	}
	size_t take = answer == PROXY_HEADER_MORE ? v->told.len - had : used - had;
	if (take != 0 && recv(fd, room, take, MSG_DONTWAIT) != (ssize_t)take) return false;
	if (answer == PROXY_HEADER_MORE) {
		task_park(&v->task, (uint32_t)EPOLLIN, 0, v->until);
		return true;
	}
	v->peer = client;
	v->own = own;
	v->phase = NULL;
	return arrive(v);
}

static bool start_proxy(struct visitor *v) {
	v->told = BUF(2 * PROXY_HEADER_MAX);
	v->until = deadline_in(v->service->proxy_ms);
	v->phase = proxy_phase;
	return proxy_phase(v, WAKE_CALL);
}

static void step(struct task *t, enum wake why) {
	struct visitor *v = OWNER_OF(t, struct visitor, task);
	bool stays;
	if (v->phase != NULL) stays = v->phase(v, why);
	else if (why == WAKE_STOP) stays = false;
	else stays = v->service->proxy && !v->local ? start_proxy(v) : arrive(v);
	if (!stays) leave(v);
}

/* What postscreen knows of clients outlives this process in core's database. */

static bool recall(void *ctx, struct slice address, struct arena *mem, struct slice *packed) {
	struct recall_answer answer;
	int r = ask_recall(ctx, &(struct recall_ask){ KEEP_SCREEN, address }, mem, &answer);
	if (r < 0) say(L_WARN, "postscreen", "%s", fail_text());
	if (r == ASK_OK && answer.found) *packed = answer.value;
	return r == ASK_OK && answer.found;
}

static void keep(void *ctx, struct slice address, struct slice packed, int64_t until_s) {
	AUTO_ARENA struct arena mem = { 0 };
	struct keep_ask ask = { KEEP_SCREEN, address, packed, until_s * 1000000 };
	if (ask_keep(ctx, &ask, &mem) < 0) say(L_WARN, "postscreen", "%s", fail_text());
}

void visitors_init(struct visitors *all) {
	pthread_mutex_init(&all->lock, NULL);
	all->screened = screen_memory_new(&(struct screen_keep){ recall, keep, all->outside.core });
}

static void welcome(const struct visitor *first, int fd) {
	struct visitors *all = first->all;
	struct visitor *v = mem_get(sizeof *v);
	*v = *first;
	v->task.step = step;
	v->inner = -1;
	v->service->live++;
	addr_of_socket(fd, &v->own);
	v->stream = stream_new(fd, IN_LIMIT, OUT_LIMIT);
	pthread_mutex_lock(&all->lock);
	v->session = FIRST_SESSION + all->next_session++ % (LAST_SESSION - FIRST_SESSION);
	all->live++;
	pthread_mutex_unlock(&all->lock);
	pool_add(all->pool, &v->task, fd, -1);
}

void visitor_welcome(struct visitors *all, int fd, const struct addr *peer, struct edge_settings *settings,
		     size_t service) {
	welcome(
		&(struct visitor){
			.all = all, .settings = settings, .service = &settings->services[service], .peer = *peer },
		fd);
}

void visitor_welcome_user(struct visitors *all, int fd, uid_t uid, struct edge_settings *settings) {
	welcome(
		&(struct visitor){
			.all = all, .settings = settings, .service = &settings->submit, .local = true, .uid = uid },
		fd);
}
