/* SPDX-License-Identifier: Apache-2.0 */
#include "access/imap/login.h"
#include "access/imap/play.h"
#include "base/log.h"

struct one { struct gate *login; struct stream *wire; int state; };

static enum sasl_verdict prove(void *owner, const struct sasl_ask *ask, struct arena *mem, struct sasl_found *found) {
	(void)owner;
	if (slice_eq(ask->user, S("later"))) return SASL_LATER;
	if (ask->authzid.len != 0 || !slice_eq(ask->user, S("user")) || !slice_eq(ask->secret, S("se\"cret")))
		return SASL_NO;
	found->account = 7;
	found->name = arena_slice(mem, S("user@example.test"));
	return SASL_YES;
}

static const struct sasl_ops ops = { prove };

static void turn(struct play *p) {
	struct one *o = p->ctx;
	struct pollfd poll_for = { stream_fd(o->wire), POLLIN, 0 };
	while (o->state == GATE_PARK && (poll(&poll_for, 1, 0) > 0 || gate_events(o->login) == 0))
		o->state = gate_step(o->login, WAKE_IO);
	if (o->state == GATE_PARK) o->state = gate_step(o->login, WAKE_DEADLINE);
	if (o->state == GATE_OVER) shutdown(stream_fd(o->wire), SHUT_WR);
	if (o->state != GATE_DONE) return;
	struct gate_result r = gate_result(o->login);
	assert_int_equal(r.account, 7);
	stream_putf(o->wire, "%.*s OK %.*s\r\n", SLICE_ARG(r.tag), SLICE_ARG(r.login));
	stream_flush(o->wire);
	o->state = GATE_OVER;
}

static const struct gate_params clear_params = { .clear_text = true,
						 .mechanisms = SASL_PLAIN | SASL_LOGIN,
						 .failure_delay = -1,
						 .failure_limit = 3,
						 .bad_limit = 5 };
static const struct gate_params safe_params = { .failure_delay = -1 };

static const struct { const char *file; const struct gate_params *params; } scripts[] = {
	{ "login-commands.txt", &clear_params },   { "login-plain.txt", &clear_params },
	{ "login-literal.txt", &clear_params },    { "login-sasl.txt", &clear_params },
	{ "login-sasl-login.txt", &clear_params }, { "login-refused.txt", &clear_params },
	{ "login-bad.txt", &clear_params },        { "login-disabled.txt", &safe_params },
	{ "login-too-long.txt", &clear_params },   { "login-too-large.txt", &clear_params },
};

static int make(struct one *o) {
	int fds[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	o->wire = stream_new(fds[1], 32768, 32768);
	return fds[0];
}

static void play_one(size_t i, bool dripped) {
	char folder[512];
	struct one o = { 0 };
	struct play p = { .dripped = dripped, .turn = turn, .ctx = &o };
	const struct gate_peer peer = { S("192.0.2.1"), S("192.0.2.2"), 4711 };
	PLAY_FOLDER(folder);
	p.first = make(&o);
	o.login = imap_login_new(o.wire, scripts[i].params, &ops, NULL, &peer);
	play(&p, folder, scripts[i].file);
	gate_free(&o.login);
	stream_close(&o.wire);
}

static void test_scripts(void **state) {
	(void)state;
	for (size_t i = 0; i < LEN(scripts); i++) {
		play_one(i, false);
		play_one(i, true);
	}
}

static void test_time_limit(void **state) {
	const struct gate_params params = { .clear_text = true, .time_limit = 1 };
	const struct gate_peer peer = { S("192.0.2.1"), S("192.0.2.2"), 4711 };
	int fds[2];
	char text[2000];
	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	struct stream *wire = stream_new(fds[1], 32768, 32768);
	struct gate *l = imap_login_new(wire, &params, &ops, NULL, &peer);
	usleep(5000);
	assert_int_equal(gate_step(l, WAKE_DEADLINE), GATE_OVER);
	ssize_t n = recv(fds[0], text, sizeof(text), 0);
	assert_true(n > 0 &&
		    slice_search(slice_from(text, (size_t)n), S("* BYE Disconnected for inactivity")) < (size_t)n);
	gate_free(&l);
	stream_close(&wire);
	close(fds[0]);
}

int main(void) {
	log_open(&(struct log_target){ .fd = STDERR_FILENO, .least = L_FATAL, .name = "hato", .host = "test" });
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_scripts), cmocka_unit_test(test_time_limit) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
