/* SPDX-License-Identifier: Apache-2.0 */
/* Lines, limits, waiting, and the change from clear text to TLS. */
#include "net/stream.h"
#include "base/fail.h"
#include "net/pool.h"
#include "net/pump.h"

#include <netinet/in.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/test.h"

static struct stream *pair_with(int *other, size_t in_limit) {
	int fds[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	*other = fds[1];
	return stream_new(fds[0], in_limit, 1 << 16);
}

static void say_to(int fd, const char *text) {
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static void lines(void **state) {
	(void)state;
	int other;
	struct stream *s = pair_with(&other, 4096);
	struct slice line;
	bool bare;
	assert_int_equal(stream_fill(s), STREAM_AGAIN);
	say_to(other, "one\r\ntwo\nthr");
	assert_int_equal(stream_fill(s), STREAM_OK);
	assert_int_equal(stream_line(s, 100, &line, &bare), STREAM_OK);
	assert_true(slice_eq(line, S("one")) && !bare);
	assert_int_equal(stream_line(s, 100, &line, &bare), STREAM_OK);
	assert_true(slice_eq(line, S("two")) && bare);
	assert_int_equal(stream_line(s, 100, &line, &bare), STREAM_AGAIN);
	say_to(other, "ee\r\n");
	assert_int_equal(stream_fill(s), STREAM_OK);
	assert_int_equal(stream_line(s, 100, &line, NULL), STREAM_OK);
	assert_true(slice_eq(line, S("three")));
	close(other);
	assert_int_equal(stream_fill(s), STREAM_CLOSED);
	stream_close(&s);
	assert_null(s);
}

static void long_lines(void **state) {
	(void)state;
	int other;
	struct stream *s = pair_with(&other, 64);
	struct slice line;
	say_to(other, "0123456789012345678901234567890123456789\r\n");
	assert_int_equal(stream_fill(s), STREAM_OK);
	assert_int_equal(stream_line(s, 10, &line, NULL), STREAM_LONG);
	assert_int_equal(stream_line(s, 60, &line, NULL), STREAM_OK);
	for (int i = 0; i < 10; i++) say_to(other, "xxxxxxxxxx");
	assert_int_equal(stream_fill(s), STREAM_OK);
	assert_int_equal(stream_fill(s), STREAM_OK); /* full: the owner must consume */
	assert_int_equal(stream_peek(s).len, 64);
	assert_int_equal(stream_line(s, 1000, &line, NULL), STREAM_LONG);
	stream_close(&s);
	close(other);
}

static void waiting_ends(void **state) {
	(void)state;
	int other;
	struct stream *s = pair_with(&other, 4096);
	struct slice line;
	int64_t before = clock_ms();
	assert_int_equal(stream_wait_line(s, 100, &line, deadline_in(50)), STREAM_LATE);
	assert_true(clock_ms() - before >= 50);
	char block[4096] = { 0 };
	int r = STREAM_OK;
	for (int i = 0; i < 1000 && r == STREAM_OK; i++)
		r = stream_wait_put(s, slice_from(block, sizeof block), deadline_in(50));
	assert_int_equal(r, STREAM_LATE); /* nobody reads */
	close(other);
	stream_close(&s);
}

/* Two ends of TLS, in two threads. */

struct end {
	struct stream *s;
	struct tls_server *server;
	struct tls_client *client;
};

static void *serve(void *arg) {
	struct end *e = arg;
	struct slice line;
	must(stream_wait_line(e->s, 100, &line, deadline_in(SECONDS(5))) == STREAM_OK && slice_eq(line, S("STARTTLS")));
	must(stream_put(e->s, S("220 go\r\n")));
	must(stream_start_tls_server(e->s, e->server) == 0);
	must(stream_put(e->s, S("secret greeting\r\n"))); /* must not leave in the clear */
	must(stream_wait_flush(e->s, deadline_in(SECONDS(5))) == STREAM_OK && stream_is_tls(e->s));
	must(stream_wait_line(e->s, 100, &line, deadline_in(SECONDS(5))) == STREAM_OK && slice_eq(line, S("hello")));
	return NULL;
}

static void starttls(void **state) {
	(void)state;
	AUTO_BUF struct buf chain = BUF(1 << 20);
	AUTO_BUF struct buf key = BUF(1 << 20);
	assert_int_equal(tls_make_self_signed("mail.example.test", &chain, &key), 0);
	struct tls_identity id = { .chain_pem = buf_slice(&chain), .key_pem = buf_slice(&key) };
	int other;
	struct end a = { .s = pair_with(&other, 4096) }, b = { .s = stream_new(other, 4096, 4096) };
	assert_int_equal(
		tls_server_new(&(struct tls_server_params){ .identities = &id, .identities_count = 1 }, &a.server), 0);
	assert_int_equal(tls_client_new(&(struct tls_client_params){ .ca_file = "" }, &b.client), 0);
	pthread_t t;
	pthread_create(&t, NULL, serve, &a);
	struct slice line;
	assert_true(stream_put(b.s, S("STARTTLS\r\n")));
	assert_int_equal(stream_wait_flush(b.s, deadline_in(SECONDS(5))), STREAM_OK);
	assert_int_equal(stream_wait_line(b.s, 100, &line, deadline_in(SECONDS(5))), STREAM_OK);
	assert_true(slice_eq(line, S("220 go")));
	assert_int_equal(stream_start_tls_client(b.s, b.client, "mail.example.test"), 0);
	assert_int_equal(stream_wait_handshake(b.s, deadline_in(SECONDS(5))), STREAM_OK);
	assert_true(stream_put(b.s, S("hello\r\n")));
	assert_int_equal(stream_wait_flush(b.s, deadline_in(SECONDS(5))), STREAM_OK);
	assert_int_equal(stream_wait_line(b.s, 100, &line, deadline_in(SECONDS(5))), STREAM_OK);
	assert_true(slice_eq(line, S("secret greeting")));
	pthread_join(t, NULL);
	stream_close(&a.s);
	stream_close(&b.s);
	tls_server_unref(&a.server);
	tls_client_unref(&b.client);
}

static void injection_is_refused(void **state) {
	(void)state;
	int other;
	struct stream *s = pair_with(&other, 4096);
	struct slice line;
	say_to(other, "STARTTLS\r\nEVIL\r\n");
	assert_int_equal(stream_fill(s), STREAM_OK);
	assert_int_equal(stream_line(s, 100, &line, NULL), STREAM_OK);
	assert_true(stream_start_tls_server(s, NULL) < 0);
	assert_non_null(strstr(fail_text(), "injection"));
	stream_close(&s);
	close(other);
}

/* A pump between a client and an inner socket, stepped by hand. */
static void pumping(void **state) {
	(void)state;
	int client, inner[2];
	struct stream *s = pair_with(&client, 65536);
	socketpair(AF_UNIX, SOCK_STREAM, 0, inner);
	struct pump *p = pump_new(s, inner[0], SECONDS(10));
	char got[32] = { 0 };
	say_to(client, "a1 NOOP\r\n");
	assert_int_equal(pump_step(p, PUMP_BOTH), PUMP_PARK);
	assert_int_equal(read(inner[1], got, sizeof got), 9);
	say_to(inner[1], "a1 OK\r\n");
	assert_int_equal(pump_step(p, PUMP_BOTH), PUMP_PARK);
	assert_int_equal(read(client, got, sizeof got), 7);
	/* who has not been heard of is not asked */
	say_to(client, "a2 NOOP\r\n");
	say_to(inner[1], "* news\r\n");
	assert_int_equal(pump_step(p, PUMP_INNER), PUMP_PARK);
	assert_int_equal(read(client, got, sizeof got), 8);
	assert_int_equal(recv(inner[1], got, sizeof got, MSG_DONTWAIT), -1);
	say_to(inner[1], "* more\r\n");
	assert_int_equal(pump_step(p, PUMP_CLIENT), PUMP_PARK);
	assert_int_equal(read(inner[1], got, sizeof got), 9);
	assert_int_equal(recv(client, got, sizeof got, MSG_DONTWAIT), -1);
	assert_int_equal(pump_step(p, PUMP_BOTH), PUMP_PARK);
	assert_int_equal(read(client, got, sizeof got), 8);
	/* a client that does not read stops the inner side from being read */
	char block[65536] = { 0 };
	size_t pushed = 0;
	for (int i = 0; i < 1000; i++) {
		ssize_t n = send(inner[1], block, sizeof block, MSG_DONTWAIT);
		if (n > 0) pushed += (size_t)n;
		assert_int_equal(pump_step(p, PUMP_BOTH), PUMP_PARK);
		if (n < 0) break;
	}
	assert_true(pushed > 0 && pushed < 50 * sizeof block);
	assert_true((pump_client_events(p) & EPOLLOUT) != 0);
	assert_int_equal(pump_inner_events(p) & EPOLLIN, 0);
	close(client);
	while (pump_step(p, PUMP_BOTH) == PUMP_PARK) {
	}
	pump_free(&p);
	stream_close(&s);
	close(inner[0]);
	close(inner[1]);
}

/* The served end goes without hearing the client out: what it said before still arrives. */
static void last_words(void **state) {
	(void)state;
	int client, inner[2];
	struct stream *s = pair_with(&client, 65536);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, inner), 0);
	struct pump *p = pump_new(s, inner[0], SECONDS(10));
	char got[32] = { 0 };
	say_to(client, "a LOGOUT\r\nb NO");
	assert_int_equal(pump_step(p, PUMP_BOTH), PUMP_PARK);
	assert_int_equal(read(inner[1], got, 10), 10);
	say_to(inner[1], "* BYE\r\n");
	close(inner[1]);
	say_to(client, "OP\r\n");
	assert_int_equal(pump_step(p, PUMP_BOTH), PUMP_OVER);
	assert_int_equal(read(client, got, sizeof got), 7);
	assert_memory_equal(got, "* BYE\r\n", 7);
	pump_free(&p);
	stream_close(&s);
	close(inner[0]);
	close(client);
}

/* An end that comes when a step has carried its share is acted on at once, whoever speaks next. */
static void end_behind_a_share(void **state) {
	(void)state;
	int client, inner[2];
	struct stream *s = pair_with(&client, 65536);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, inner), 0); /* a piece is a packet */
	struct pump *p = pump_new(s, inner[0], SECONDS(10));
	for (int i = 0; i < 7; i++) say_to(inner[1], "* news\r\n");
	close(inner[1]);
	assert_int_equal(pump_step(p, PUMP_BOTH), PUMP_PARK);
	assert_true(pump_deadline(p) <= clock_ms());
	assert_int_equal(pump_step(p, PUMP_CLIENT), PUMP_OVER);
	pump_free(&p);
	stream_close(&s);
	close(inner[0]);
	close(client);
}

static struct stream *tcp_pair(int *client) {
	struct sockaddr_in here = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof here;
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	*client = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&here, len), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&here, &len), 0);
	assert_int_equal(connect(*client, (struct sockaddr *)&here, len), 0);
	struct stream *s = stream_new(accept(listener, NULL, NULL), 4096, 4096);
	close(listener);
	return s;
}

/* Fewer bytes than are wanted wake nobody, until the peer ends. */
static void waiting_for_bytes(void **state) {
	(void)state;
	int client;
	struct stream *s = tcp_pair(&client);
	say_to(client, "a");
	assert_int_equal(stream_wait_fill(s, clock_ms() + SECONDS(5)), STREAM_OK);
	assert_true(stream_is_drained(s));
	stream_eat(s, 1);
	say_to(client, "four");
	assert_int_equal(stream_wait_bytes(s, 10, clock_ms() + 20), STREAM_LATE);
	say_to(client, "and six");
	assert_int_equal(stream_wait_bytes(s, 10, clock_ms() + SECONDS(5)), STREAM_OK);
	assert_true(slice_eq(stream_peek(s), S("fourand six")));
	stream_eat(s, 11);
	say_to(client, "x");
	assert_int_equal(stream_wait_fill(s, clock_ms() + SECONDS(5)), STREAM_OK); /* one is enough again */
	stream_eat(s, 1);
	say_to(client, "end");
	shutdown(client, SHUT_WR);
	assert_int_equal(stream_wait_bytes(s, 10, clock_ms() + SECONDS(5)), STREAM_OK);
	assert_true(slice_eq(stream_peek(s), S("end")));
	assert_int_equal(stream_wait_bytes(s, 7, clock_ms() + SECONDS(5)), STREAM_CLOSED);
	stream_close(&s);
	close(client);
}

/* A client that talks on behind its farewell still reads the answer to it. */
static void parting(void **state) {
	(void)state;
	struct pool *pool = pool_new(&(struct pool_params){ 1, 2, 0 });
	int client;
	struct stream *s = tcp_pair(&client);
	say_to(client, "QUIT\r\nmore");
	assert_int_equal(stream_wait_fill(s, clock_ms() + SECONDS(5)), STREAM_OK);
	assert_true(stream_putf(s, "221 Bye\r\n"));
	assert_int_equal(stream_flush(s), STREAM_OK);
	say_to(client, "and more");
	stream_part(&s, pool);
	assert_null(s);
	say_to(client, "and still more");
	char got[64];
	assert_int_equal(recv(client, got, sizeof got, MSG_WAITALL), 9); /* and its end, not a reset */
	assert_memory_equal(got, "221 Bye\r\n", 9);
	assert_int_equal(pool_stop(pool, clock_ms() + SECONDS(5)), 0);
	pool_free(&pool);
	close(client);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines),    cmocka_unit_test(long_lines),           cmocka_unit_test(waiting_ends),
		cmocka_unit_test(starttls), cmocka_unit_test(injection_is_refused), cmocka_unit_test(pumping),
		cmocka_unit_test(parting),  cmocka_unit_test(last_words), cmocka_unit_test(waiting_for_bytes),
		cmocka_unit_test(end_behind_a_share),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
