/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/clock.h"
/* How work runs: connections are parked or stepped.
 *
 * A pool is one poller and a few worker threads that all wait on it. A task (a connection, a channel, a timer) is
 * either parked: in the poller, with a deadline, holding no thread; or being stepped by exactly one worker. A step
 * consumes what has arrived, runs whole commands in straight-line code, and ends with exactly one of task_park,
 * task_await and task_end, after which it must not touch the task again (another worker may already have it).
 *
 * A step may wait for us (DNS, another of our processes, the disk); never for a stranger who has not logged in.
 * The pool starts another worker when all are busy, up to max_workers, and lets idle ones go after some seconds; the
 * only idle one stays, to hear of what comes while the others wait. */
struct pool;
struct pool_params {
	unsigned min_workers, max_workers;
	size_t stack; /* bytes of a worker's stack; 0: 256 KiB */
	int idle_ms;  /* how long a worker that is not needed stays; 0: 10 seconds */
};
struct pool *pool_new(const struct pool_params *params);
/* Wakes every task with WAKE_STOP (now, or as soon as its step parks) and waits for all of them to end. After deadline
 * gives up on those that have not; returns how many. No task may be added from then on (pool_add ends it again). */
size_t pool_stop(struct pool *p, int64_t deadline);
void pool_free(struct pool **p); /* after pool_stop returned 0 */
size_t pool_tasks(struct pool *p);

enum wake {
	WAKE_IO,       /* a descriptor is ready for what it was parked for (or has an error: the next read tells) */
	WAKE_DEADLINE, /* the time it was parked until has come */
	WAKE_CALL,     /* pool_add, or somebody's task_wake */
	WAKE_STOP,     /* the process ends: finish the reply under way, then task_end */
};

/* Embedded in the struct that it stands for (OWNER_OF gets back to it). */
struct task {
	void (*step)(struct task *t, enum wake why);
	struct task_slot *slot;
};
/* Takes the task in and steps it once with WAKE_CALL, from a worker. fd2 may be -1: most tasks watch one descriptor, a
 * pump watches two; both may be -1 for a timer. Descriptors stay the owner's: they must stay open until task_end.
 * Only a parked task is stepped for them. */
void pool_add(struct pool *p, struct task *t, int fd, int fd2);
/* The same for a task whose first step is under way already: the caller takes it, now. */
void pool_add_running(struct pool *p, struct task *t, int fd, int fd2);
/* events of poll(2)/epoll: EPOLLIN, EPOLLOUT or 0 for either descriptor. */
void task_park(struct task *t, uint32_t events, uint32_t events2, int64_t deadline);
/* Parks until fd can be read, which is the task's for this once: a channel on which an answer comes. What the task
 * watches itself rests meanwhile. Once its step has begun, fd may be closed or another's. */
void task_await(struct task *t, int fd, int64_t deadline);
/* For a task with two descriptors, from within its step: which of them something has come on since it was last asked
 * (bit 0: fd, bit 1: fd2; what a descriptor was parked for, or its end). */
unsigned task_came(const struct task *t);
/* The last thing a step does with a task. The owner's memory may be freed right after. Descriptors are closed after it.
 */
void task_end(struct task *t);
/* Changes what is watched. Only from within the task's step. */
void task_watch(struct task *t, int fd, int fd2);

/* A name for a task that may outlive it. task_wake of a task that has ended does nothing, so that a notice may be late.
 */
typedef uint64_t task_ref;
task_ref task_name(const struct task *t);
/* From any thread: steps the task with WAKE_CALL now, or once more right after the step that is under way. */
void task_wake(struct pool *p, task_ref ref);
/* Runs fn(arg) once in a worker. */
void pool_call(struct pool *p, void (*fn)(void *arg), void *arg);
