/* SPDX-License-Identifier: Apache-2.0 */
/* Two ends of a link in one process: many askers, descriptors both ways, an answerer that dies and is replaced. */
#include "net/link.h"
#include "base/fail.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "base/test.h"

enum { ASK_TWICE = 1, ASK_FILE, ASK_BREAK, ASK_SECOND };

static int answer_twice(void *ctx, struct link_question *q) {
	(void)ctx;
	uint64_t v = wire_get_u64(&q->in);
	if (q->in.bad) return fail("bad question");
	wire_put_u64(q->answer, v * 2);
	return 0;
}

static int answer_file(void *ctx, struct link_question *q) {
	(void)ctx;
	char text[16] = { 0 };
	if (q->ask->fd_count != 1 || pread(q->ask->fds[0], text, sizeof text - 1, 0) < 0) return fail("no file");
	wire_put_text(q->answer, slice_of(text));
	q->answer_fds[q->answer_fd_count++] = dup(q->ask->fds[0]);
	return 0;
}

static int answer_break(void *ctx, struct link_question *q) {
	(void)ctx;
	(void)q;
	return fail("meant to");
}

/* As if it died of each other question, before it answered. */
static int answer_second(void *ctx, struct link_question *q) {
	static atomic_uint asked;
	(void)ctx;
	if (asked++ % 2 == 0) return fail("meant to");
	wire_put_u64(q->answer, 2);
	return 0;
}

static const struct link_rule rules[] = {
	{ ASK_TWICE, "twice", answer_twice },
	{ ASK_FILE, "file", answer_file },
	{ ASK_BREAK, "break", answer_break },
	{ ASK_SECOND, "second", answer_second },
};

static uint64_t twice(struct link *l, uint64_t v, int *result) {
	AUTO_BUF struct buf b = BUF(64);
	wire_put_u64(&b, v);
	struct link_received got = { 0 };
	*result = link_call(l, &(struct link_frame){ .kind = ASK_TWICE, .body = buf_slice(&b) }, &got,
			    deadline_in(SECONDS(5)));
	struct unwire w = UNWIRE(got.frame.body, NULL);
	uint64_t answer = *result == LINK_OK ? wire_get_u64(&w) : 0;
	link_received_done(&got);
	return answer;
}

static void *ask_often(void *arg) {
	for (uint64_t i = 0; i < 500; i++) {
		int r;
		must(twice(arg, i, &r) == i * 2 && r == LINK_OK);
	}
	return NULL;
}

static struct pool *serve(int fd) {
	struct pool *p = pool_new(&(struct pool_params){ .min_workers = 2, .max_workers = 16 });
	static const struct link_service service = { .rules = rules, .count = LEN(rules) };
	link_serve(p, fd, &service);
	return p;
}

static void stop(struct pool *p) {
	assert_int_equal(pool_stop(p, deadline_in(SECONDS(5))), 0);
	pool_free(&p);
}

static void many_askers(void **state) {
	(void)state;
	int pair[2];
	socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	struct pool *p = serve(pair[1]);
	struct link *l = link_new(pair[0]);
	pthread_t t[8];
	for (size_t i = 0; i < LEN(t); i++) pthread_create(&t[i], NULL, ask_often, l);
	for (size_t i = 0; i < LEN(t); i++) pthread_join(t[i], NULL);
	stop(p);
	link_free(&l);
}

static void files_travel(void **state) {
	(void)state;
	int pair[2];
	socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	struct pool *p = serve(pair[1]);
	struct link *l = link_new(pair[0]);
	char name[] = "/tmp/hato-link-XXXXXX";
	int fd = mkstemp(name);
	unlink(name);
	assert_int_equal(write(fd, "body", 4), 4);
	struct link_received got = { 0 };
	assert_int_equal(link_call(l, &(struct link_frame){ .kind = ASK_FILE, .fds = { fd }, .fd_count = 1 }, &got,
				   deadline_in(SECONDS(5))),
			 LINK_OK);
	struct unwire w = UNWIRE(got.frame.body, NULL);
	assert_true(slice_eq(wire_get_text(&w), S("body")));
	int back = link_frame_take_fd(&got.frame, 0);
	assert_true(back >= 0);
	close(back);
	link_received_done(&got);
	close(fd);
	/* a refused question ends the channel; the next one gets a new channel */
	assert_int_equal(link_call(l, &(struct link_frame){ .kind = ASK_BREAK }, &got, deadline_in(SECONDS(5))),
			 LINK_LATE);
	assert_int_equal(link_call(l, &(struct link_frame){ .kind = 99 }, &got, deadline_in(SECONDS(5))), LINK_LATE);
	int r;
	assert_int_equal(twice(l, 21, &r), 42);
	stop(p);
	link_free(&l);
}

static void *serve_soon(void *arg) {
	usleep(100000);
	return serve(*(int *)arg);
}

static void answerer_is_replaced(void **state) {
	(void)state;
	int pair[2], r;
	socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	struct link *l = link_new(pair[0]);
	struct pool *p = serve(pair[1]);
	assert_int_equal(twice(l, 1, &r), 2);
	stop(p);
	/* nobody serves: the question waits in the dial socket for the successor */
	pthread_t t;
	pthread_create(&t, NULL, serve_soon, &pair[1]);
	assert_int_equal(twice(l, 4, &r), 8);
	void *second;
	pthread_join(t, &second);
	stop(second);
	link_free(&l);
}

static void asked_again(void **state) {
	(void)state;
	int pair[2];
	socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	struct link *l = link_new(pair[0]);
	struct pool *p = serve(pair[1]);
	const struct link_frame ask = { .kind = ASK_SECOND }, hopeless = { .kind = ASK_BREAK };
	struct link_received got = { 0 };
	assert_int_equal(link_call(l, &ask, &got, deadline_in(SECONDS(5))), LINK_LATE);
	assert_int_equal(link_call(l, &ask, &got, deadline_in(SECONDS(5))), LINK_OK);
	link_received_done(&got);
	assert_int_equal(link_query(l, &ask, &got, deadline_in(SECONDS(5))), LINK_OK);
	link_received_done(&got);
	assert_int_equal(link_query(l, &hopeless, &got, deadline_in(SECONDS(5))), LINK_LATE); /* once, not for ever */
	stop(p);
	link_free(&l);
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(many_askers), cmocka_unit_test(files_travel),
					    cmocka_unit_test(answerer_is_replaced), cmocka_unit_test(asked_again) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
