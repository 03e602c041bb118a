/* SPDX-License-Identifier: Apache-2.0 */
/* agent: the rights of Unix users. Root when hato was started by root, it reads no byte of a message itself and listens
 * to nobody but core; each delivery is a child that has become the user. Started by another user, it can deliver as
 * that user only, and says so of all others. */
#include "base/fail.h"
#include "base/log.h"
#include "flow/ask.h"
#include "net/seal.h"
#include "role/agent_settings.h"
#include "role/status_filter.h"
#include "smtp/client.h"
#include "smtp/dsn.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum { STOP_MS = 15000, SPAWN_LOOK_MS = 1000, WORKERS = 100 };

struct agent {
	struct pool *pool;
	struct current settings;
	int dials[LINK_NAMES];
	struct link_service service;
	struct spawner *spawners;
};

/* Deliveries. */

static struct relay_outcome outcome_of(const struct local_outcome *o, const struct agent_service *sv, int64_t us,
				       struct arena *mem) {
	static const uint32_t fates[] = { [LOCAL_LATER] = SMTP_LATER, [LOCAL_DELIVERED] = SMTP_DELIVERED,
					  [LOCAL_NEVER] = SMTP_NEVER, [LOCAL_REDIRECTED] = RELAY_REDIRECTED };
	static const uint32_t kinds[] = { [TARGET_ADDRESS] = REDIRECT_ADDRESS, [TARGET_MAILBOX] = REDIRECT_MAILBOX,
					  [TARGET_COMMAND] = REDIRECT_COMMAND, [TARGET_FILE] = REDIRECT_FILE,
					  [TARGET_TRANSPORT] = REDIRECT_TRANSPORT };
	struct relay_outcome r = { .fate = fates[o->fate],
				   .status = o->status,
				   .text = o->text,
				   .relay = slice_of(sv->name),
				   .uses = 1,
				   .send_us = us,
				   .redirects_count = o->targets_count,
				   .rights = o->rights,
				   .prepend = o->prepend,
				   .final = sv->kind != AGENT_PIPE || sv->pipe.program.final };
	r.redirects = arena_array(mem, o->targets_count, sizeof *r.redirects);
	for (size_t i = 0; i < o->targets_count; i++)
		r.redirects[i] = (struct relay_redirect){ kinds[o->targets[i].kind], o->targets[i].text };
	return r;
}

static void deliver(const struct agent_service *sv, const struct relay_ask *ask, const struct local_message *m,
		    struct arena *mem, struct local_outcome *out) {
	static const uint32_t kinds[] = { [RELAY_ADDRESS] = LOCAL_ADDRESS, [RELAY_MAILBOX] = LOCAL_MAILBOX,
					  [RELAY_COMMAND] = LOCAL_COMMAND, [RELAY_FILE] = LOCAL_FILE };
	size_t n = ask->recipients_count;
	struct local_recipient *to = arena_array(mem, n, sizeof *to);
	for (size_t i = 0; i < n; i++) {
		const struct relay_recipient *r = &ask->recipients[i];
		to[i] = (struct local_recipient){ r->address, r->original, kinds[MIN_OF(r->kind, LEN(kinds) - 1)],
						  r->target,  r->rights,   r->delivered, r->below, r->named };
	}
	struct pipe_params program;
	const char *broken = sv->broken;
	if (broken == NULL && sv->kind == AGENT_PIPE && agent_program(sv, mem, &program) < 0) broken = fail_text();
	for (size_t i = 0; i < n && broken != NULL; i++)
		out[i] = local_said(mem, "4.3.5", "service %s: %s", sv->name, broken);
	if (broken != NULL) {
		say(L_ERROR, sv->log_name != NULL ? sv->log_name : "agent", "service %s: %s", sv->name, broken);
		return;
	}
	if (sv->kind == AGENT_PIPE) pipe_deliver(&program, m, to, n, ask->hop, mem, out);
	for (size_t i = 0; i < n && sv->kind == AGENT_LOCAL; i++) local_deliver(&sv->local, m, &to[i], mem, &out[i]);
	for (size_t i = 0; i < n && sv->kind == AGENT_VIRTUAL; i++)
		virtual_deliver(&sv->virtual_, m, &to[i], mem, &out[i]);
}

static void filter(const struct agent_service *sv, struct relay_outcome *o, struct arena *mem) {
	if (o->fate == RELAY_REDIRECTED ||
	    !status_filter_apply(&sv->status_filter, sv->log_name, &o->status, &o->text, mem))
		return;
	if (o->status.at[0] != '2') o->fate = o->status.at[0] == '5' ? SMTP_NEVER : SMTP_LATER;
}

static int answer_deliver(void *ctx, struct link_question *q) {
	struct agent *a = ctx;
	struct relay_ask ask;
	AUTO_BUF struct buf envid = BUF(KIB(4));
	relay_ask_unpack(&q->in, &ask);
	size_t n = ask.recipients_count;
	if (q->in.bad || q->ask->fd_count != 1 || n == 0) return fail("broken question");
	const struct relay_client *c = &ask.client;
	xtext_decode_add(&envid, ask.envid);
	struct local_message m = { .queue_id = ask.queue_id,
				   .sender = ask.sender,
				   .envid = buf_slice(&envid),
				   .fd = q->ask->fds[0],
				   .offset = ask.offset,
				   .size = ask.size,
				   .client = { c->name, c->address, c->port, c->helo, c->protocol, c->sasl_method,
					       c->sasl_username, c->sasl_sender } };
	struct agent_settings *s = (struct agent_settings *)current_hold(&a->settings);
	static const struct agent_service none = { .name = "none", .broken = "mail transport unavailable" };
	const struct agent_service *sv = agent_service_find(s, ask.transport);
	struct local_outcome *outcomes = arena_array(q->mem, n, sizeof *outcomes);
	int64_t before = clock_us();
	deliver(sv != NULL ? sv : &none, &ask, &m, q->mem, outcomes);
	struct relay_answer answer = { .outcomes = arena_array(q->mem, n, sizeof(struct relay_outcome)),
				       .outcomes_count = n };
	for (size_t i = 0; i < n; i++) {
		answer.outcomes[i] = outcome_of(&outcomes[i], sv != NULL ? sv : &none, clock_us() - before, q->mem);
		if (sv != NULL) filter(sv, &answer.outcomes[i], q->mem);
	}
	relay_answer_pack(q->answer, &answer);
	generation_drop(&s->generation);
	return 0;
}

static int answer_extract(void *ctx, struct link_question *q) {
	struct agent *a = ctx;
	struct extract_ask ask;
	extract_ask_unpack(&q->in, &ask);
	if (q->in.bad || q->ask->fd_count != 1) return fail("broken question");
	struct agent_settings *s = (struct agent_settings *)current_hold(&a->settings);
	AUTO_BUF struct buf text = BUF(s->extract.text_limit + 1);
	struct local_outcome o;
	if (s->extract.argc != 0) extract_run(&s->extract, ask.type, ask.name, q->ask->fds[0], q->mem, &text, &o);
	else o = local_said(q->mem, "4.3.5", "%s", s->extract_broken != NULL ? s->extract_broken : "no program is set");
	static const uint32_t fates[] = { [LOCAL_LATER] = SMTP_LATER, [LOCAL_DELIVERED] = SMTP_DELIVERED,
					  [LOCAL_NEVER] = SMTP_NEVER, [LOCAL_REDIRECTED] = SMTP_LATER };
	struct extract_answer answer = { fates[o.fate], buf_slice(&text), o.text };
	extract_answer_pack(q->answer, &answer);
	generation_drop(&s->generation);
	return 0;
}

static const struct link_rule rules[] = { { ASK_RELAY, "deliver", answer_deliver },
					  { ASK_EXTRACT, "extract", answer_extract } };

/* spawn(8): a program for each connection. */

struct spawned {
	pid_t pid;
	int64_t deadline;
};
struct spawner {
	struct task task;
	struct agent *agent;
	struct agent_settings *settings; /* held */
	const struct agent_service *service;
	int fd;
	struct spawned *at;
	size_t count, room;
	task_ref name;
	_Atomic bool over;
	struct spawner *next;
};

/* Takes away who has ended, and ends whose time is up. */
static void reap(struct spawner *s, bool all) {
	for (size_t i = 0; i < s->count;) {
		struct spawned *p = &s->at[i];
		int status;
		if (all || clock_ms() >= p->deadline) {
			if (!all) say(L_WARN, "spawn", "service %s: command time limit exceeded", s->service->name);
			kill(-p->pid, SIGKILL);
			kill(p->pid, SIGKILL);
			p->deadline = NEVER;
		}
		pid_t done = waitpid(p->pid, &status, all ? 0 : WNOHANG);
		if (done == 0) {
			i++;
			continue;
		}
		if (done == p->pid && !all && status != 0)
			say(L_WARN, "spawn", "service %s: command %.*s: %s %d", s->service->name,
			    SLICE_ARG(s->service->pipe.program.argv[0]), WIFSIGNALED(status) ? "signal" : "exit status",
			    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
		*p = s->at[--s->count];
	}
}

static void begin_one(struct spawner *s, int connection) {
	AUTO_ARENA struct arena mem = { 0 };
	struct pipe_params program;
	pid_t pid = agent_program(s->service, &mem, &program) == 0 ? spawn_start(&program, connection) : -1;
	close(connection);
	if (pid < 0) {
		say(L_ERROR, "spawn", "service %s: %s", s->service->name, fail_text());
		return;
	}
	if (s->count == s->room) {
		s->room = MAX_OF(s->room * 2, (size_t)8);
		s->at = mem_resize(s->at, s->room * sizeof *s->at);
	}
	s->at[s->count++] = (struct spawned){ pid, deadline_in(s->service->pipe.limit_ms) };
}

static void spawner_step(struct task *t, enum wake why) {
	struct spawner *s = OWNER_OF(t, struct spawner, task);
	reap(s, why == WAKE_STOP);
	if (why == WAKE_STOP || (s->over && s->count == 0)) {
		int fd = s->fd;
		task_end(t);
		auto_fd(&fd);
		generation_drop(&s->settings->generation);
		free(s->at);
		free(s);
		return;
	}
	size_t limit = s->service->process_limit != 0 ? s->service->process_limit : SIZE_MAX;
	while (!s->over && s->count < limit) {
		int connection = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC);
		if (connection < 0) break;
		begin_one(s, connection);
	}
	bool more = !s->over && s->count < limit;
	task_park(t, more ? (uint32_t)EPOLLIN : 0, 0, s->count != 0 ? deadline_in(SPAWN_LOOK_MS) : NEVER);
}

/* The connections of before go on; new ones are for the new settings. */
static void spawn_all(struct agent *a, struct boot *b, struct agent_settings *settings) {
	struct spawner *old = a->spawners;
	a->spawners = NULL;
	for (size_t i = 0; i < b->listener_count; i++) {
		if (b->listeners[i].service >= settings->count) continue;
		struct spawner *s = mem_get(sizeof *s);
		*s = (struct spawner){ .task.step = spawner_step, .agent = a, .settings = settings,
				       .service = &settings->services[b->listeners[i].service],
				       .fd = TAKE_FD(b->listeners[i].fd), .next = a->spawners };
		generation_hold(&settings->generation);
		a->spawners = s;
		pool_add(a->pool, &s->task, s->fd, -1);
		s->name = task_name(&s->task);
	}
	for (struct spawner *next; old != NULL; old = next) {
		next = old->next;
		task_ref name = old->name;
		old->over = true;
		task_wake(a->pool, name);
	}
}

/* Start, reload, stop. */

static int reload(void *self, struct boot *b) {
	struct agent *a = self;
	struct agent_settings *s = agent_settings_make(b);
	generation_hold(&s->generation);
	current_set(&a->settings, &s->generation);
	spawn_all(a, b, s);
	generation_drop(&s->generation);
	return 0;
}

static int start(struct boot *b, void **self) {
	struct agent *a = mem_get(sizeof *a);
	a->settings = CURRENT_NONE;
	for (size_t i = 0; i < LINK_NAMES; i++) a->dials[i] = TAKE_FD(b->links[i]);
	a->pool = pool_new(&(struct pool_params){ .min_workers = 1, .max_workers = WORKERS });
	reload(a, b);
	a->service = (struct link_service){ .rules = rules, .count = LEN(rules), .ctx = a };
	link_serve(a->pool, a->dials[LINK_CORE_AGENT], &a->service);
	*self = a;
	return 0;
}

static void stop(void *self) {
	struct agent *a = self;
	size_t left = pool_stop(a->pool, deadline_in(STOP_MS));
	if (left != 0) say(L_WARN, "agent", "%zu deliveries cut off: they will be tried again", left);
}

const struct role role_agent = {
	.name = "agent", .seal_needs = SEAL_FILES | SEAL_SPAWN, .start = start, .reload = reload, .stop = stop
};
