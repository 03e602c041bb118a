/* SPDX-License-Identifier: Apache-2.0 */
/* Parking, waking, deadlines, growth and stopping, with many tasks at once; run under TSan too. */
#include "net/pool.h"
#include "base/encode.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/test.h"

struct echo {
	struct task task;
	int fd;
	_Atomic int *steps, *stepping;
};

static void echo_step(struct task *t, enum wake why) {
	struct echo *e = OWNER_OF(t, struct echo, task);
	char bytes[64];
	ssize_t n = why == WAKE_STOP ? 0 : recv(e->fd, bytes, sizeof bytes, MSG_DONTWAIT);
	if (n == 0) {
		int fd = e->fd;
		task_end(t);
		close(fd);
		free(e);
		return;
	}
	if (n > 0) must(send(e->fd, bytes, (size_t)n, MSG_NOSIGNAL) == n);
	task_park(t, EPOLLIN, 0, deadline_in(MINUTES(5)));
}

static int add_echo(struct pool *p) {
	int pair[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	struct echo *e = mem_get(sizeof *e);
	e->task.step = echo_step;
	e->fd = pair[1];
	pool_add(p, &e->task, e->fd, -1);
	return pair[0];
}

static void many_connections(void **state) {
	(void)state;
	struct pool *p = pool_new(&(struct pool_params){ .min_workers = 2, .max_workers = 8 });
	int fds[200];
	for (size_t i = 0; i < LEN(fds); i++) fds[i] = add_echo(p);
	for (int round = 0; round < 20; round++) {
		for (size_t i = 0; i < LEN(fds); i++) assert_int_equal(write(fds[i], "ping", 4), 4);
		for (size_t i = 0; i < LEN(fds); i++) {
			char b[4];
			assert_int_equal(recv(fds[i], b, 4, MSG_WAITALL), 4);
		}
	}
	for (size_t i = 0; i < LEN(fds) / 2; i++) close(fds[i]);
	assert_int_equal(pool_stop(p, deadline_in(SECONDS(5))), 0);
	for (size_t i = LEN(fds) / 2; i < LEN(fds); i++) close(fds[i]);
	pool_free(&p);
	assert_null(p);
}

/* Carries bytes both ways, one piece of each in a step, as a pump does. */
struct carrier {
	struct task task;
	int fds[2];
};

static bool carry(int from, int to) {
	char bytes[16];
	ssize_t n = recv(from, bytes, sizeof bytes, MSG_DONTWAIT);
	if (n > 0) must(send(to, bytes, (size_t)n, MSG_NOSIGNAL) == n);
	return n != 0;
}

static void carrier_step(struct task *t, enum wake why) {
	struct carrier *c = OWNER_OF(t, struct carrier, task);
	if (why == WAKE_STOP || !carry(c->fds[0], c->fds[1]) || !carry(c->fds[1], c->fds[0])) {
		int fds[2] = { c->fds[0], c->fds[1] };
		task_end(t);
		close(fds[0]);
		close(fds[1]);
		free(c);
		return;
	}
	task_park(t, EPOLLIN, EPOLLIN, deadline_in(MINUTES(5)));
}

struct talker {
	pthread_t thread;
	int fd;
};

/* Says a byte and hears one, with both ends of its carrier at it in the same instant. */
static void *talk(void *arg) {
	struct talker *t = arg;
	for (int i = 0; i < 3000; i++) {
		char c = 'x';
		must(send(t->fd, &c, 1, MSG_NOSIGNAL) == 1);
		must(recv(t->fd, &c, 1, MSG_WAITALL) == 1);
	}
	return NULL;
}

static void both_descriptors_at_once(void **state) {
	(void)state;
	struct pool *p = pool_new(&(struct pool_params){ .min_workers = 2, .max_workers = 4 });
	struct talker talkers[6];
	for (size_t i = 0; i < LEN(talkers); i += 2) {
		struct carrier *c = mem_get(sizeof *c);
		c->task.step = carrier_step;
		for (size_t k = 0; k < 2; k++) {
			int pair[2];
			assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
			c->fds[k] = pair[0];
			talkers[i + k].fd = pair[1];
		}
		pool_add(p, &c->task, c->fds[0], c->fds[1]);
	}
	for (size_t i = 0; i < LEN(talkers); i++)
		assert_int_equal(pthread_create(&talkers[i].thread, NULL, talk, &talkers[i]), 0);
	for (size_t i = 0; i < LEN(talkers); i++) pthread_join(talkers[i].thread, NULL); /* a lost event: never */
	assert_int_equal(pool_stop(p, deadline_in(SECONDS(5))), 0);
	for (size_t i = 0; i < LEN(talkers); i++) close(talkers[i].fd);
	pool_free(&p);
}

struct sleeper {
	struct task task;
	_Atomic int deadlines, calls;
	_Atomic int64_t woken_at;
	int64_t until;
};

static void sleeper_step(struct task *t, enum wake why) {
	struct sleeper *s = OWNER_OF(t, struct sleeper, task);
	if (why == WAKE_STOP) {
		task_end(t);
		return;
	}
	if (why == WAKE_DEADLINE) {
		s->woken_at = clock_ms();
		s->deadlines++;
		s->until = NEVER;
	}
	if (why == WAKE_CALL) s->calls++;
	task_park(t, 0, 0, s->until);
}

static void deadlines_in_order(void **state) {
	(void)state;
	struct pool *p = pool_new(&(struct pool_params){ .min_workers = 1, .max_workers = 4 });
	struct sleeper s[50] = { 0 };
	int64_t now = clock_ms();
	for (size_t i = 0; i < LEN(s); i++) {
		s[i].task.step = sleeper_step;
		s[i].until = now + 20 + (int64_t)((i * 37) % 50) * 4;
		pool_add(p, &s[i].task, -1, -1);
	}
	usleep(400000);
	for (size_t i = 0; i < LEN(s); i++) {
		assert_int_equal(s[i].deadlines, 1);
		assert_true(s[i].woken_at >= now + 20 + (int64_t)((i * 37) % 50) * 4);
	}
	assert_int_equal(pool_stop(p, deadline_in(SECONDS(5))), 0);
	pool_free(&p);
}

struct waker {
	struct pool *pool;
	task_ref ref;
};

static void *wake_often(void *arg) {
	struct waker *w = arg;
	for (int i = 0; i < 5000; i++) task_wake(w->pool, w->ref);
	return NULL;
}

static void wakes_from_everywhere(void **state) {
	(void)state;
	struct pool *p = pool_new(&(struct pool_params){ .min_workers = 2, .max_workers = 4 });
	struct sleeper s = { .task.step = sleeper_step, .until = NEVER };
	pool_add(p, &s.task, -1, -1);
	usleep(20000);
	struct waker w = { p, task_name(&s.task) };
	pthread_t threads[4];
	for (size_t i = 0; i < LEN(threads); i++) pthread_create(&threads[i], NULL, wake_often, &w);
	for (size_t i = 0; i < LEN(threads); i++) pthread_join(threads[i], NULL);
	usleep(20000);
	int before = s.calls;
	assert_true(before > 1);
	task_wake(p, w.ref);
	usleep(20000);
	assert_int_equal(s.calls, before + 1); /* none is lost when it is quiet */
	assert_int_equal(pool_stop(p, deadline_in(SECONDS(5))), 0);
	task_wake(p, w.ref);                   /* too late: nothing happens */
	pool_free(&p);
}

static _Atomic int running, most;

static void block(void *arg) {
	(void)arg;
	int now = ++running, seen = most;
	while (now > seen && !atomic_compare_exchange_weak(&most, &seen, now)) {}
	usleep(100000);
	running--;
}

static void grows_when_all_wait(void **state) {
	(void)state;
	struct pool *p = pool_new(&(struct pool_params){ .min_workers = 1, .max_workers = 10 });
	for (int i = 0; i < 30; i++) pool_call(p, block, NULL);
	usleep(600000);
	assert_int_equal(running, 0);
	assert_true(most >= 9 && most <= 10);
	assert_int_equal(pool_stop(p, deadline_in(SECONDS(5))), 0);
	pool_free(&p);
}

static void block_long(void *arg) {
	(void)arg;
	usleep(600000);
}

static void tell_time(void *arg) { *(_Atomic int64_t *)arg = clock_ms(); }

/* One waits long; the other one, idle for longer than it would stay, has to be there for what comes then. */
static void somebody_listens(void **state) {
	(void)state;
	struct pool *p = pool_new(&(struct pool_params){ .min_workers = 1, .max_workers = 4, .idle_ms = 20 });
	_Atomic int64_t ran = 0;
	int64_t started = clock_ms();
	pool_call(p, block_long, NULL);
	usleep(200000);
	pool_call(p, tell_time, (void *)&ran);
	usleep(200000);
	assert_true(ran != 0 && ran < started + 600);
	assert_int_equal(pool_stop(p, deadline_in(SECONDS(5))), 0);
	pool_free(&p);
}

struct asker {
	struct task task;
	int client, channel;
	bool awaiting;
	_Atomic int steps;
};

static void asker_step(struct task *t, enum wake why) {
	struct asker *a = OWNER_OF(t, struct asker, task);
	char byte;
	if (why == WAKE_STOP) {
		task_end(t);
		return;
	}
	a->steps++;
	if (a->awaiting && recv(a->channel, &byte, 1, MSG_DONTWAIT) == 1) {
		a->awaiting = false;
		must(send(a->client, &byte, 1, MSG_NOSIGNAL) == 1);
	}
	if (!a->awaiting && recv(a->client, &byte, 1, MSG_DONTWAIT) == 1) a->awaiting = true;
	if (a->awaiting) task_await(t, a->channel, deadline_in(MINUTES(5)));
	else task_park(t, EPOLLIN, 0, deadline_in(MINUTES(5)));
}

/* While an answer is awaited the client is not listened to; the channel goes from one task to the next. */
static void awaits_a_channel(void **state) {
	(void)state;
	struct pool *p = pool_new(&(struct pool_params){ .min_workers = 2, .max_workers = 4 });
	int channel[2], clients[2][2];
	struct asker asker[2] = { 0 };
	char got;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, channel), 0);
	for (size_t i = 0; i < LEN(asker); i++) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, clients[i]), 0);
		asker[i].task.step = asker_step;
		asker[i].client = clients[i][1];
		asker[i].channel = channel[1];
		pool_add(p, &asker[i].task, asker[i].client, -1);
	}
	for (int round = 0; round < 50; round++) {
		size_t i = (size_t)round % 2;
		assert_int_equal(write(clients[i][0], "q", 1), 1);
		for (int n = 0; n < 5000 && recv(clients[i][1], &got, 1, MSG_PEEK | MSG_DONTWAIT) == 1; n++)
			usleep(1000);
		int before = asker[i].steps;
		assert_int_equal(write(clients[i][0], "n", 1), 1); /* the next question, too early */
		if (round < 4) usleep(20000);
		assert_int_equal(asker[i].steps, before);
		for (const char *answer = "an"; *answer != 0; answer++) {
			assert_int_equal(write(channel[0], answer, 1), 1);
			assert_int_equal(recv(clients[i][0], &got, 1, MSG_WAITALL), 1);
			assert_int_equal(got, *answer);
		}
	}
	assert_int_equal(pool_stop(p, deadline_in(SECONDS(5))), 0);
	pool_free(&p);
	for (size_t i = 0; i < 2; i++) {
		close(channel[i]);
		close(clients[0][i]);
		close(clients[1][i]);
	}
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(many_connections),
		cmocka_unit_test(both_descriptors_at_once),
		cmocka_unit_test(deadlines_in_order),
		cmocka_unit_test(wakes_from_everywhere),
		cmocka_unit_test(grows_when_all_wait),
		cmocka_unit_test(somebody_listens),
		cmocka_unit_test(awaits_a_channel),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
