/* SPDX-License-Identifier: Apache-2.0 */
/* One epoll set that every worker waits on, one descriptor armed once (EPOLLONESHOT) per parking.
 *
 * A task lives in a slot. Slots are never freed while the pool lives and carry a generation, so that an event or a wake
 * that comes too late finds a stranger's generation instead of freed memory. Who may step a task is decided under the
 * slot's lock: an event, a deadline and a wake all try to turn PARKED into RUNNING, and one of them wins.
 *
 * Deadlines sit in one heap. A task that parks again with a later deadline leaves its old entry where it is: when that
 * comes up it is put back further down. A busy connection so touches the heap once a minute, not once a command.
 *
 * A task that parks is not PARKED before its descriptors are armed, and they are armed without its lock: what comes in
 * between is noted, and the worker that parks it steps it again, instead of another that would first wait for the lock.
 *
 * Lock order: slot, then pool. */
#include "net/pool.h"
#include "base/base.h"
#include "base/log.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <stdatomic.h>
#include <sys/timerfd.h>

enum { SLOTS_A_CHUNK = 256, CHUNKS = 4096, IDLE_WORKER_MS = 10000, TURNS = 8 };
static const uint64_t EVENT_READY = UINT64_MAX, EVENT_TIMER = UINT64_MAX - 1;

/* An event: generation (32 bits), which of the slot's descriptors (2), index (30). */
enum { WHICH_SHIFT = 30, AWAITED = 2, INDEX_MASK = (1 << WHICH_SHIFT) - 1 };

/* Something a worker shall do: step a slot's task, or a call. */
struct ready {
	struct ready *next;
	struct task_slot *slot;
	enum wake why;
	void (*fn)(void *);
	void *arg;
};

enum slot_state { SLOT_FREE, SLOT_RUNNING, SLOT_PARKED };

struct watched {
	int fd;
	bool in_set, armed; /* armed: for events, and no event has been claimed since */
	uint32_t events;
};

struct task_slot {
	pthread_mutex_t lock;
	struct pool *pool;
	struct task *task;
	enum slot_state state;
	uint32_t index, generation;
	bool wake_again, told_to_stop;
	bool parking, missed; /* missed: an event came while parking */
	unsigned came;        /* bits by the place in watched */
	struct watched watched[2];
	int64_t deadline;
	struct ready ready;
	/* under the pool's lock */
	int64_t heap_time;
	size_t heap_place; /* counted from 1; 0: not in the heap */
	_Atomic bool in_heap;
	struct task_slot *next_free;
};

struct pool {
	struct pool_params params;
	int epoll, ready_fd, timer_fd;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct task_slot *chunks[CHUNKS];
	uint32_t slot_count;
	struct task_slot *free_slots;
	struct task_slot **heap;
	size_t heap_count, heap_room, task_count;
	int64_t timer_set;
	struct ready *first, **last;
	_Atomic unsigned workers;
	_Atomic unsigned idle;
	_Atomic bool stopping, quitting;
};

/* What this worker steps; again: it was parked too late, and has to be stepped once more. */
static _Thread_local struct {
	struct task_slot *slot;
	unsigned turns;
	bool again;
} here;

/* The heap of deadlines, under the pool's lock. */

static void heap_put(struct pool *p, size_t place, struct task_slot *s) {
	p->heap[place - 1] = s;
	s->heap_place = place;
}

static void heap_sift(struct pool *p, size_t place) {
	struct task_slot *s = p->heap[place - 1];
	for (; place > 1 && p->heap[place / 2 - 1]->heap_time > s->heap_time; place /= 2)
		heap_put(p, place, p->heap[place / 2 - 1]);
	for (size_t child = place * 2; child <= p->heap_count; child = place * 2) {
		if (child < p->heap_count && p->heap[child]->heap_time < p->heap[child - 1]->heap_time) child++;
		if (p->heap[child - 1]->heap_time >= s->heap_time) break;
		heap_put(p, place, p->heap[child - 1]);
		place = child;
	}
	heap_put(p, place, s);
}

static void heap_remove(struct pool *p, struct task_slot *s) {
	size_t place = s->heap_place;
	if (place == 0) return;
	s->heap_place = 0;
	s->in_heap = false;
	struct task_slot *moved = p->heap[--p->heap_count];
	if (moved == s) return;
	heap_put(p, place, moved);
	heap_sift(p, place);
}

static void set_timer(struct pool *p) {
	int64_t first = p->heap_count != 0 ? p->heap[0]->heap_time : NEVER;
	if (first >= p->timer_set) return;
	p->timer_set = first;
	struct itimerspec when = { .it_value = { .tv_sec = (time_t)(first / 1000),
						 .tv_nsec = (long)(first % 1000) * 1000000 + 1 } };
	timerfd_settime(p->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

/* Under the slot's lock, too. Who takes it out of the heap looks at the slot after that: one that was seen in there is
 * put back when need be. */
static void heap_set(struct pool *p, struct task_slot *s, int64_t deadline) {
	if (deadline == NEVER || (s->in_heap && deadline >= s->heap_time)) return;
	pthread_mutex_lock(&p->lock);
	if (s->heap_place == 0 || deadline < s->heap_time) {
		if (s->heap_place == 0) {
			if (p->heap_count == p->heap_room) {
				p->heap_room = MAX_OF(p->heap_room * 2, (size_t)64);
				p->heap = mem_resize(p->heap, p->heap_room * sizeof(struct task_slot *));
			}
			heap_put(p, ++p->heap_count, s);
			s->in_heap = true;
		}
		s->heap_time = deadline;
		heap_sift(p, s->heap_place);
		set_timer(p);
	}
	pthread_mutex_unlock(&p->lock);
}

/* The list of what is ready without a descriptor. */

static void signal_ready(struct pool *p) {
	uint64_t one = 1;
	ssize_t n = write(p->ready_fd, &one, sizeof one);
	(void)n;
}

static void push_ready(struct pool *p, struct ready *r) {
	r->next = NULL;
	pthread_mutex_lock(&p->lock);
	*p->last = r;
	p->last = &r->next;
	pthread_mutex_unlock(&p->lock);
	signal_ready(p);
}

static void push_slot(struct task_slot *s, enum wake why) {
	s->ready.slot = s;
	s->ready.why = why;
	push_ready(s->pool, &s->ready);
}

static bool claim(struct task_slot *s, uint32_t generation, uint32_t which) {
	pthread_mutex_lock(&s->lock);
	bool meant = s->generation == generation, mine = meant && s->state == SLOT_PARKED;
	if (meant && which < LEN(s->watched)) {
		s->watched[which].armed = false;
		s->came |= 1u << which;
	}
	if (meant && s->parking) s->missed = true;
	if (mine) s->state = SLOT_RUNNING;
	pthread_mutex_unlock(&s->lock);
	return mine;
}

static void spawn_worker(struct pool *p);

static void step_here(struct task_slot *s, enum wake why) {
	here.slot = s;
	here.turns = 0;
	for (here.again = true; here.again; why = WAKE_IO) {
		here.again = false;
		s->task->step(s->task, why);
	}
	here.slot = NULL;
}

static void run(struct pool *p, struct ready what) {
	if (atomic_fetch_sub_explicit(&p->idle, 1, memory_order_relaxed) == 1 && p->workers < p->params.max_workers)
		spawn_worker(p);
	if (what.slot != NULL) step_here(what.slot, what.why);
	else what.fn(what.arg);
	atomic_fetch_add_explicit(&p->idle, 1, memory_order_relaxed);
}

static void run_first_ready(struct pool *p) {
	pthread_mutex_lock(&p->lock);
	struct ready *r = p->first, what = { 0 };
	if (r != NULL) {
		p->first = r->next;
		if (p->first == NULL) p->last = &p->first;
		what = *r;
		if (r->slot == NULL) free(r);
	}
	bool more = p->first != NULL;
	pthread_mutex_unlock(&p->lock);
	if (more) signal_ready(p);
	if (r != NULL) run(p, what);
}

static void expire_slot(struct task_slot *s, int64_t now) {
	pthread_mutex_lock(&s->lock);
	if (s->state == SLOT_PARKED && s->deadline <= now) {
		s->state = SLOT_RUNNING;
		push_slot(s, WAKE_DEADLINE);
	} else if (s->state == SLOT_PARKED) {
		heap_set(s->pool, s, s->deadline);
	}
	pthread_mutex_unlock(&s->lock);
}

static void run_timer(struct pool *p) {
	int64_t now = clock_ms();
	for (;;) {
		struct task_slot *due[64];
		size_t n = 0;
		pthread_mutex_lock(&p->lock);
		while (n < LEN(due) && p->heap_count != 0 && p->heap[0]->heap_time <= now) {
			due[n] = p->heap[0];
			heap_remove(p, due[n++]);
		}
		if (n < LEN(due)) {
			p->timer_set = NEVER;
			set_timer(p);
		}
		pthread_mutex_unlock(&p->lock);
		for (size_t i = 0; i < n; i++) expire_slot(due[i], now);
		if (n < LEN(due)) return;
	}
}

static struct task_slot *slot_at(struct pool *p, uint32_t index) {
	return &p->chunks[index / SLOTS_A_CHUNK][index % SLOTS_A_CHUNK];
}

static void run_event(struct pool *p, uint64_t event) {
	struct task_slot *s = slot_at(p, (uint32_t)event & INDEX_MASK);
	bool mine = claim(s, (uint32_t)(event >> 32), (uint32_t)event >> WHICH_SHIFT);
	if (mine) run(p, (struct ready){ .slot = s, .why = WAKE_IO });
}

/* Not the only one that is idle, though all others be busy and many: nobody would hear of what comes then. */
static bool may_leave(struct pool *p) {
	pthread_mutex_lock(&p->lock);
	bool leave = p->workers > p->params.min_workers;
	if (leave && atomic_fetch_sub(&p->idle, 1) == 1) {
		atomic_fetch_add(&p->idle, 1);
		leave = false;
	}
	if (leave) p->workers--;
	pthread_mutex_unlock(&p->lock);
	return leave;
}

static void *worker(void *arg) {
	struct pool *p = arg;
	while (!p->quitting) {
		struct epoll_event e;
		int n = epoll_wait(p->epoll, &e, 1, p->workers > p->params.min_workers ? p->params.idle_ms : -1);
		if (p->quitting) break;
		if (n == 0 && may_leave(p)) return NULL;
		if (n <= 0) continue;
		if (e.data.u64 == EVENT_READY) run_first_ready(p);
		else if (e.data.u64 == EVENT_TIMER) run_timer(p);
		else run_event(p, e.data.u64);
	}
	signal_ready(p); /* the next one shall see it too */
	pthread_mutex_lock(&p->lock);
	p->workers--;
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

static void spawn_worker(struct pool *p) {
	pthread_mutex_lock(&p->lock);
	bool may = p->workers < p->params.max_workers && !p->quitting;
	if (may) {
		p->workers++;
		atomic_fetch_add(&p->idle, 1);
	}
	pthread_mutex_unlock(&p->lock);
	if (!may) return;
	pthread_attr_t attr;
	pthread_t thread;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, p->params.stack);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	int error = pthread_create(&thread, &attr, worker, p);
	pthread_attr_destroy(&attr);
	if (error == 0) return;
	pthread_mutex_lock(&p->lock);
	p->workers--;
	atomic_fetch_sub(&p->idle, 1);
	bool none = p->workers == 0;
	pthread_mutex_unlock(&p->lock);
	if (none) die_now("cannot start a worker thread: %s", strerror(error));
}

static void watch_always(struct pool *p, int fd, uint64_t event) {
	struct epoll_event e = { .events = EPOLLIN | EPOLLET, .data.u64 = event };
	if (fd < 0 || epoll_ctl(p->epoll, EPOLL_CTL_ADD, fd, &e) != 0) die_now("poller: %m");
}

struct pool *pool_new(const struct pool_params *params) {
	struct pool *p = mem_get(sizeof *p);
	p->params = *params;
	if (p->params.stack == 0) p->params.stack = KIB(256);
	if (p->params.idle_ms == 0) p->params.idle_ms = IDLE_WORKER_MS;
	p->params.min_workers = MAX_OF(p->params.min_workers, 1u);
	p->params.max_workers = MAX_OF(p->params.max_workers, p->params.min_workers);
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->changed, NULL);
	p->last = &p->first;
	p->timer_set = NEVER;
	p->epoll = epoll_create1(EPOLL_CLOEXEC);
	p->ready_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	p->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (p->epoll < 0) die_now("poller: %m");
	watch_always(p, p->ready_fd, EVENT_READY);
	watch_always(p, p->timer_fd, EVENT_TIMER);
	for (unsigned i = 0; i < p->params.min_workers; i++) spawn_worker(p);
	return p;
}

static struct task_slot *slot_new(struct pool *p) {
	pthread_mutex_lock(&p->lock);
	if (p->free_slots == NULL) {
		uint32_t chunk = p->slot_count / SLOTS_A_CHUNK;
		if (chunk == CHUNKS) die_now("more than %d connections", CHUNKS * SLOTS_A_CHUNK);
		p->chunks[chunk] = mem_array(SLOTS_A_CHUNK, sizeof(struct task_slot));
		for (uint32_t i = 0; i < SLOTS_A_CHUNK; i++) {
			struct task_slot *s = &p->chunks[chunk][SLOTS_A_CHUNK - 1 - i];
			pthread_mutex_init(&s->lock, NULL);
			s->pool = p;
			s->index = p->slot_count + SLOTS_A_CHUNK - 1 - i;
			s->next_free = p->free_slots;
			p->free_slots = s;
		}
		p->slot_count += SLOTS_A_CHUNK;
	}
	struct task_slot *s = p->free_slots;
	p->free_slots = s->next_free;
	p->task_count++;
	pthread_mutex_unlock(&p->lock);
	return s;
}

/* With the slot's lock held. */
static struct task_slot *take_in(struct pool *p, struct task *t, int fd, int fd2) {
	struct task_slot *s = slot_new(p);
	pthread_mutex_lock(&s->lock);
	s->task = t;
	s->state = SLOT_RUNNING;
	s->wake_again = s->told_to_stop = s->parking = false;
	s->came = 0;
	s->watched[0] = (struct watched){ .fd = fd };
	s->watched[1] = (struct watched){ .fd = fd2 };
	t->slot = s;
	return s;
}

void pool_add(struct pool *p, struct task *t, int fd, int fd2) {
	struct task_slot *s = take_in(p, t, fd, fd2);
	s->told_to_stop = p->stopping;
	push_slot(s, p->stopping ? WAKE_STOP : WAKE_CALL);
	pthread_mutex_unlock(&s->lock);
}

void pool_add_running(struct pool *p, struct task *t, int fd, int fd2) {
	pthread_mutex_unlock(&take_in(p, t, fd, fd2)->lock);
}

static uint64_t event_of(const struct task_slot *s, uint32_t which) {
	return (uint64_t)s->generation << 32 | which << WHICH_SHIFT | s->index;
}

/* Under the slot's lock: notes what watched[which] is wanted for. The operation for epoll_ctl; 0: it is so already. */
static int want(struct task_slot *s, uint32_t which, uint32_t events) {
	struct watched *w = &s->watched[which];
	if (w->fd < 0) return 0;
	int operation = !w->in_set ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
	if (events == 0) { /* an armed descriptor with no events would still report its hang-up, again and again */
		operation = w->in_set ? EPOLL_CTL_DEL : 0;
		w->in_set = w->armed = false;
		return operation;
	}
	if (w->armed && w->events == events) return 0;
	w->in_set = w->armed = true;
	w->events = events;
	return operation;
}

static void watch(struct task_slot *s, uint32_t which, int operation) {
	const struct watched *w = &s->watched[which];
	if (operation == 0) return;
	struct epoll_event e = { .events = w->events | EPOLLONESHOT, .data.u64 = event_of(s, which) };
	if (epoll_ctl(s->pool->epoll, operation, w->fd, &e) != 0 && operation != EPOLL_CTL_DEL)
		die_now("poller: descriptor %d: %m", w->fd);
}

/* Under the slot's lock; false: it has to run again at once. */
static bool may_rest(struct task_slot *s) {
	if (s->pool->stopping && !s->told_to_stop) {
		s->told_to_stop = true;
		push_slot(s, WAKE_STOP);
		return false;
	}
	if (s->wake_again) {
		s->wake_again = false;
		push_slot(s, WAKE_CALL);
		return false;
	}
	return true;
}

static void rest(struct task_slot *s, int64_t deadline) {
	s->deadline = deadline;
	s->state = SLOT_PARKED;
	heap_set(s->pool, s, deadline);
}

/* Under the slot's lock: the end of parking. */
static void parked(struct task_slot *s, int64_t deadline) {
	s->parking = false;
	if (s->missed) {
		if (here.slot == s && ++here.turns < TURNS) here.again = true;
		else push_slot(s, WAKE_IO);
	} else if (may_rest(s)) {
		rest(s, deadline);
	}
}

void task_park(struct task *t, uint32_t events, uint32_t events2, int64_t deadline) {
	struct task_slot *s = t->slot;
	pthread_mutex_lock(&s->lock);
	if (!may_rest(s)) {
		pthread_mutex_unlock(&s->lock);
		return;
	}
	int first = want(s, 0, events), second = want(s, 1, events2);
	if (first == 0 && second == 0) {
		rest(s, deadline);
		pthread_mutex_unlock(&s->lock);
		return;
	}
	s->parking = true;
	s->missed = false;
	pthread_mutex_unlock(&s->lock);
	watch(s, 0, first);
	watch(s, 1, second);
	pthread_mutex_lock(&s->lock);
	parked(s, deadline);
	pthread_mutex_unlock(&s->lock);
}

unsigned task_came(const struct task *t) {
	struct task_slot *s = t->slot;
	pthread_mutex_lock(&s->lock);
	unsigned came = s->came;
	s->came = 0;
	pthread_mutex_unlock(&s->lock);
	return came;
}

void task_await(struct task *t, int fd, int64_t deadline) {
	struct task_slot *s = t->slot;
	struct epoll_event e = { .events = EPOLLIN | EPOLLONESHOT, .data.u64 = event_of(s, AWAITED) };
	pthread_mutex_lock(&s->lock);
	if (may_rest(s)) {
		for (uint32_t i = 0; i < LEN(s->watched); i++)
			if (s->watched[i].armed) watch(s, i, want(s, i, 0));
		rest(s, deadline);
		/* most were awaited before, and stay in the set until they are closed */
		int r = epoll_ctl(s->pool->epoll, EPOLL_CTL_MOD, fd, &e);
		if (r != 0) r = epoll_ctl(s->pool->epoll, EPOLL_CTL_ADD, fd, &e);
		if (r != 0) die_now("poller: descriptor %d: %m", fd);
	}
	pthread_mutex_unlock(&s->lock);
}

void task_watch(struct task *t, int fd, int fd2) {
	struct task_slot *s = t->slot;
	int fds[2] = { fd, fd2 };
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < 2; i++) {
		if (s->watched[i].fd == fds[i]) continue;
		watch(s, (uint32_t)i, want(s, (uint32_t)i, 0));
		s->came &= ~(1u << i);
		s->watched[i] = (struct watched){ .fd = fds[i] };
	}
	pthread_mutex_unlock(&s->lock);
}

void task_end(struct task *t) {
	struct task_slot *s = t->slot;
	struct pool *p = s->pool;
	pthread_mutex_lock(&s->lock);
	must(s->state == SLOT_RUNNING);
	for (uint32_t i = 0; i < LEN(s->watched); i++) watch(s, i, want(s, i, 0));
	s->state = SLOT_FREE;
	s->generation++;
	s->task = NULL;
	t->slot = NULL;
	pthread_mutex_lock(&p->lock);
	heap_remove(p, s);
	s->next_free = p->free_slots;
	p->free_slots = s;
	p->task_count--;
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
	pthread_mutex_unlock(&s->lock);
}

task_ref task_name(const struct task *t) {
	return (uint64_t)t->slot->generation << 32 | t->slot->index;
}

/* Under the slot's lock. */
static void wake_slot(struct task_slot *s, enum wake why) {
	if (s->state == SLOT_PARKED) {
		s->state = SLOT_RUNNING;
		if (why == WAKE_STOP) s->told_to_stop = true;
		push_slot(s, why);
	} else if (s->state == SLOT_RUNNING && why == WAKE_CALL) {
		s->wake_again = true;
	}
}

void task_wake(struct pool *p, task_ref ref) {
	struct task_slot *s = slot_at(p, (uint32_t)ref);
	pthread_mutex_lock(&s->lock);
	if (s->generation == (uint32_t)(ref >> 32)) wake_slot(s, WAKE_CALL);
	pthread_mutex_unlock(&s->lock);
}

void pool_call(struct pool *p, void (*fn)(void *arg), void *arg) {
	struct ready *r = mem_get(sizeof *r);
	r->fn = fn;
	r->arg = arg;
	push_ready(p, r);
}

size_t pool_tasks(struct pool *p) {
	pthread_mutex_lock(&p->lock);
	size_t n = p->task_count;
	pthread_mutex_unlock(&p->lock);
	return n;
}

/* Waits until what() is true or the deadline is over, under the pool's lock. */
static void wait_changed(struct pool *p, bool (*what)(struct pool *), int64_t deadline) {
	while (!what(p) && deadline_left(deadline) != 0) {
		struct timespec until;
		clock_gettime(CLOCK_REALTIME, &until);
		int64_t ns = until.tv_nsec + 50 * 1000000;
		until.tv_sec += ns / 1000000000;
		until.tv_nsec = ns % 1000000000;
		pthread_cond_timedwait(&p->changed, &p->lock, &until);
	}
}

static bool no_tasks(struct pool *p) {
	return p->task_count == 0;
}

static bool no_workers(struct pool *p) {
	return p->workers == 0;
}

size_t pool_stop(struct pool *p, int64_t deadline) {
	p->stopping = true;
	pthread_mutex_lock(&p->lock);
	uint32_t count = p->slot_count;
	pthread_mutex_unlock(&p->lock);
	for (uint32_t i = 0; i < count; i++) {
		struct task_slot *s = slot_at(p, i);
		pthread_mutex_lock(&s->lock);
		wake_slot(s, WAKE_STOP);
		pthread_mutex_unlock(&s->lock);
	}
	pthread_mutex_lock(&p->lock);
	wait_changed(p, no_tasks, deadline);
	size_t left = p->task_count;
	pthread_mutex_unlock(&p->lock);
	return left;
}

void pool_free(struct pool **pp) {
	struct pool *p = *pp;
	if (p == NULL) return;
	*pp = NULL;
	p->quitting = true;
	signal_ready(p);
	pthread_mutex_lock(&p->lock);
	wait_changed(p, no_workers, NEVER);
	pthread_mutex_unlock(&p->lock);
	for (uint32_t i = 0; i < p->slot_count; i += SLOTS_A_CHUNK) free(p->chunks[i / SLOTS_A_CHUNK]);
	for (struct ready *r = p->first, *next; r != NULL; r = next) {
		next = r->next;
		if (r->slot == NULL) free(r);
	}
	close(p->epoll);
	close(p->ready_fd);
	close(p->timer_fd);
	free(p->heap);
	free(p);
}
