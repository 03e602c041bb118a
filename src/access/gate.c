/* SPDX-License-Identifier: Apache-2.0 */
/* A gate's only states are: gathering a command, waiting for a line of a log-in, and holding back the "no" to a wrong
 * one. Holding back means being parked without reading: it costs the guesser time and us nothing. */
#include "access/gate_private.h"
#include "base/log.h"
#include "net/tls_peer.h"

#include <sys/epoll.h>

bool gate_secured(const struct gate *g) {
	return stream_tls(g->wire) != NULL;
}

bool gate_may_login(const struct gate *g) {
	return g->params->clear_text || g->params->trusted_path || gate_secured(g);
}

unsigned gate_offer(const struct gate *g) {
	unsigned all = g->params->mechanisms != 0 ? g->params->mechanisms : SASL_USUAL;
	const struct tls *tls = stream_tls(g->wire);
	if (!(g->params->any_certificate ? tls_peer_shown(tls) : tls_peer_trusted(tls)))
		all &= ~(unsigned)SASL_EXTERNAL;
	return gate_may_login(g) ? sasl_offer(all, gate_secured(g), true) : 0;
}

void gate_end(struct gate *g, const char *why) {
	g->over = true;
	if (g->ending == NULL) g->ending = why;
}

void gate_bad(struct gate *g) {
	unsigned limit = g->params->bad_limit != 0 ? g->params->bad_limit : 10;
	if (++g->bad < limit) return;
	g->kind->bye(g, GATE_BYE_BAD);
	gate_end(g, "Too many invalid commands");
}

static void log_login(struct gate *g, enum log_level level, const char *text) {
	note(level, g->kind->service, g->session, NULL, text, FA("user", buf_slice(&g->user)),
	     F("method", slice_of(sasl_name(&g->sasl))), F("rip", buf_slice(&g->remote)),
	     F("lip", buf_slice(&g->local)),
	     F(gate_secured(g) ? "TLS" : "secured", gate_secured(g) ? S("yes") : S("no")));
}

static void keep(struct buf *b, struct slice s) {
	buf_clear(b);
	buf_add(b, slice_head(s, GATE_NAME_MAX));
}

static void refuse_later(struct gate *g) {
	int64_t delay = g->params->failure_delay != 0 ? g->params->failure_delay : SECONDS(2);
	g->failures++;
	log_login(g, L_INFO, "Authentication failed: ");
	g->mode = GATE_DELAY;
	g->delay_until = delay < 0 ? clock_ms() : deadline_in(delay * g->failures);
}

static void refuse_now(struct gate *g) {
	unsigned limit = g->params->failure_limit != 0 ? g->params->failure_limit : 5;
	g->mode = GATE_COMMAND;
	g->kind->refused(g, SASL_REFUSED);
	if (g->failures < limit) return;
	g->kind->bye(g, GATE_BYE_FAILURES);
	gate_end(g, "Too many failed log-ins");
}

static void settle(struct gate *g, enum sasl_answer answer, struct slice challenge) {
	g->mode = answer == SASL_MORE ? GATE_SASL : GATE_COMMAND;
	if (answer == SASL_MORE) {
		g->kind->challenge(g, challenge);
		return;
	}
	keep(&g->user, answer == SASL_DONE ? g->sasl.found.name : g->sasl.user);
	if (answer == SASL_DONE) {
		g->account = g->sasl.found.account;
		g->granted = true;
		if (g->sasl.authzid.len != 0)
			note(L_INFO, g->kind->service, g->session, NULL,
			     "acting for another:", FA("user", g->sasl.user), FA("as", buf_slice(&g->user)));
		log_login(g, L_INFO, "Login: ");
	} else if (answer == SASL_REFUSED) {
		refuse_later(g);
	} else {
		g->kind->refused(g, answer);
	}
	/* its name is wanted for the log until the next one begins; nothing in it is secret any more */
}

bool gate_sasl(struct gate *g, struct slice mechanism, struct slice initial) {
	struct slice challenge = S("");
	if (!sasl_begin(&g->sasl, mechanism, gate_offer(g), stream_tls(g->wire), g->ops, g->owner)) return false;
	enum sasl_answer answer = sasl_take(&g->sasl, initial, &challenge);
	settle(g, answer, challenge);
	return true;
}

void gate_response(struct gate *g, struct slice line) {
	struct slice challenge = S("");
	enum sasl_answer answer = sasl_take(&g->sasl, slice_from(line.at != NULL ? line.at : "", line.len), &challenge);
	settle(g, answer, challenge);
}

void gate_password(struct gate *g, const char *mechanism, struct slice user, struct slice password) {
	settle(g, sasl_password(&g->sasl, mechanism, user, password, g->ops, g->owner), S(""));
}

void gate_tls(struct gate *g) {
	if (stream_start_tls_server(g->wire, g->params->tls) < 0) gate_end(g, "TLS failed");
}

static int finish(struct gate *g) {
	int r = stream_flush(g->wire);
	if (r == STREAM_CLOSED || r < 0) gate_end(g, "Connection closed");
	if (g->over && r == STREAM_AGAIN && clock_ms() < g->over_at) return GATE_PARK; /* let the last words leave */
	if (g->over) return GATE_OVER;
	if (g->granted) return GATE_DONE;
	stream_relax(g->wire);
	return GATE_PARK;
}

int gate_step(struct gate *g, enum wake why) {
	if (g->over) return clock_ms() >= g->over_at || why == WAKE_STOP ? GATE_OVER : finish(g);
	if (why == WAKE_STOP) {
		g->kind->bye(g, GATE_BYE_STOP);
		gate_end(g, "Server shutting down");
		return finish(g);
	}
	if (g->mode == GATE_DELAY) {
		if (clock_ms() < g->delay_until) return GATE_PARK;
		refuse_now(g);
	}
	if (clock_ms() >= g->over_at) {
		g->kind->bye(g, GATE_BYE_TIME);
		gate_end(g, "Inactivity");
		g->over_at = deadline_in(SECONDS(5));
		return finish(g);
	}
	int r = stream_fill(g->wire);
	while (!g->over && !g->granted && g->mode != GATE_DELAY) {
		if (g->kind->take(g)) continue;
		/* a fill takes one read's worth; what waits behind it must not wait for the poller */
		if (r != STREAM_OK || !stream_has_input(g->wire)) break;
		r = stream_fill(g->wire);
	}
	if ((r == STREAM_CLOSED || r < 0) && !g->granted) gate_end(g, r < 0 ? "Connection lost" : "Connection closed");
	return finish(g);
}

uint32_t gate_events(const struct gate *g) {
	if (g->mode == GATE_DELAY) return 0;
	return g->over ? (uint32_t)EPOLLOUT : stream_events(g->wire);
}

int64_t gate_deadline(const struct gate *g) {
	return g->mode == GATE_DELAY ? MIN_OF(g->delay_until, g->over_at) : g->over_at;
}

struct gate_result gate_result(const struct gate *g) {
	return (struct gate_result){ g->account, buf_slice(&g->user), buf_slice(&g->tag), gate_secured(g), g->utf8,
				     g->language, gate_offer(g), g->no_uidonly };
}

int gate_sorry(struct gate *g, unsigned limit) {
	g->granted = false;
	if (limit != 0) g->kind->crowded(g, limit);
	else g->kind->refused(g, SASL_DEFERRED);
	return finish(g);
}

void gate_init(struct gate *g, const struct gate_kind *kind, struct stream *wire, const struct gate_params *params,
	       const struct sasl_ops *ops, void *owner, const struct gate_peer *peer) {
	*g = (struct gate){ .kind = kind,
			    .wire = wire,
			    .params = params,
			    .ops = ops,
			    .owner = owner,
			    .session = peer->session,
			    .user = BUF(GATE_NAME_MAX),
			    .tag = BUF(GATE_NAME_MAX),
			    .remote = BUF(GATE_NAME_MAX),
			    .local = BUF(GATE_NAME_MAX),
			    .started = clock_ms() };
	g->over_at = deadline_in(params->time_limit != 0 ? params->time_limit : MINUTES(3));
	keep(&g->remote, peer->remote);
	keep(&g->local, peer->local);
}

void gate_free(struct gate **gp) {
	struct gate *g = TAKE(*gp);
	if (g == NULL) return;
	if (!g->granted) {
		AUTO_BUF struct buf why = BUF(512);
		buf_addf(&why, "Disconnected: %s (", g->ending != NULL ? g->ending : "Closed");
		if (g->failures != 0) buf_addf(&why, "auth failed, %u attempts in ", g->failures);
		else buf_add(&why, S("no auth attempts in "));
		buf_addf(&why, "%lld secs): ", (long long)((clock_ms() - g->started) / 1000));
		log_login(g, L_INFO, buf_text(&why));
	}
	g->kind->done(g);
	sasl_done(&g->sasl);
	struct buf *bufs[] = { &g->user, &g->tag, &g->remote, &g->local };
	for (size_t i = 0; i < LEN(bufs); i++) buf_done(bufs[i]);
	free(g);
}
