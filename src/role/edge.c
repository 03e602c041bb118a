/* SPDX-License-Identifier: Apache-2.0 */
/* edge: strangers. Accepts, speaks SMTP and the log-in part of IMAP, ends TLS, and asks core and vault for everything
 * else. */
#include "base/fail.h"
#include "base/log.h"
#include "mime/decode.h"
#include "net/seal.h"
#include "role/pickup.h"
#include "role/settings.h"
#include "role/visitor.h"

#include <sys/epoll.h>
#include <sys/socket.h>

enum { ACCEPTS_A_STEP = 16, STOP_MS = 10000, SHORT_OF_DESCRIPTORS_MS = 1000, SERVICE_FULL_MS = 50 };

struct listening_task {
	struct task task;
	struct edge *edge;
	int fd;
	struct edge_settings *settings; /* held: they belong to this socket's service number */
	size_t service;
	task_ref name;
	_Atomic bool over; /* a reload has put another in its place */
	struct listening_task *next;
};

struct edge {
	struct pool *pool;
	struct visitors visitors;
	struct listening_task *listening;
	struct pickup *pickup;
	char *dir;
	int dials[LINK_NAMES];
};

static void welcome_user(struct listening_task *l, int fd) {
	struct ucred who;
	socklen_t len = sizeof who;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) != 0) {
		close(fd);
		return;
	}
	generation_hold(&l->settings->generation);
	visitor_welcome_user(&l->edge->visitors, fd, who.uid, l->settings);
}

static void accept_step(struct task *t, enum wake why) {
	struct listening_task *l = OWNER_OF(t, struct listening_task, task);
	if (why == WAKE_STOP || l->over) {
		int fd = l->fd;
		task_end(t);
		close(fd);
		generation_drop(&l->settings->generation);
		free(l);
		return;
	}
	int64_t deadline = NEVER;
	bool submit = l->service == LISTENER_SUBMIT;
	struct service *service = submit ? &l->settings->submit : &l->settings->services[l->service];
	for (int i = 0; i < ACCEPTS_A_STEP && !l->over; i++) {
		if (service->connection_limit != 0 && service->live >= service->connection_limit) {
			deadline = deadline_in(SERVICE_FULL_MS); /* they wait in the kernel's queue, as with Postfix */
			break;
		}
		struct sockaddr_storage from;
		socklen_t len = sizeof from;
		int fd = accept4(l->fd, (struct sockaddr *)&from, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0) {
			bool short_of = errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
			if (short_of) say(L_WARN, "edge", "cannot accept a connection: %s", strerror(errno));
			if (short_of) deadline = deadline_in(SHORT_OF_DESCRIPTORS_MS);
			break;
		}
		if (submit) {
			welcome_user(l, fd);
			continue;
		}
		struct addr peer = { 0 };
		if (from.ss_family == AF_UNIX) must(addr_parse(S("127.0.0.1"), &peer)); /* as Postfix names them */
		else addr_from_sockaddr((struct sockaddr *)&from, len, &peer);
		generation_hold(&l->settings->generation);
		visitor_welcome(&l->edge->visitors, fd, &peer, l->settings, l->service);
	}
	task_park(t, deadline == NEVER ? (uint32_t)EPOLLIN : 0, 0, deadline);
}

static void listen_all(struct edge *e, struct boot *b, struct edge_settings *s) {
	struct listening_task *old = e->listening;
	e->listening = NULL;
	for (size_t i = 0; i < b->listener_count; i++) {
		struct listening_task *l = mem_get(sizeof *l);
		*l = (struct listening_task){ .task.step = accept_step,
					      .edge = e,
					      .fd = TAKE_FD(b->listeners[i].fd),
					      .settings = s,
					      .service = b->listeners[i].service };
		generation_hold(&s->generation);
		l->next = e->listening;
		e->listening = l;
		pool_add(e->pool, &l->task, l->fd, -1);
		l->name = task_name(&l->task);
	}
	for (struct listening_task *next; old != NULL; old = next) {
		next = old->next;
		task_ref name = old->name;
		old->over = true; /* from here on its task frees it */
		task_wake(e->pool, name);
	}
}

static int reload(void *self, struct boot *b) {
	struct edge *e = self;
	struct edge_settings *s;
	if (edge_settings_make(b, &e->visitors.outside, &s) < 0) return -1;
	generation_hold(&s->generation);
	listen_all(e, b, s);
	pickup_reload(e->pickup, s);
	generation_drop(&s->generation);
	return 0;
}

/* Who was at his limit before a restart is so behind it. */
static void recall_rates(struct edge *e) {
	AUTO_ARENA struct arena mem = { 0 };
	struct recall_answer answer;
	struct recall_ask ask = { KEEP_RATES, S("edge") };
	int r = ask_recall(e->visitors.outside.core, &ask, &mem, &answer);
	if (r < 0) say(L_WARN, "edge", "client rates: %s", fail_text());
	if (r == ASK_OK && answer.found) rates_unpack(e->visitors.outside.rates, answer.value);
}

static void keep_rates(struct edge *e) {
	enum { DAY_US = 86400 };
	AUTO_ARENA struct arena mem = { 0 };
	AUTO_BUF struct buf packed = BUF(MIB(4));
	rates_pack(e->visitors.outside.rates, &packed);
	struct keep_ask ask = { KEEP_RATES, S("edge"), buf_slice(&packed), wall_us() + DAY_US * 1000000ll };
	if (packed.len != 0 && ask_keep(e->visitors.outside.core, &ask, &mem) < 0)
		say(L_WARN, "edge", "client rates: %s", fail_text());
}

static int start(struct boot *b, void **self) {
	struct edge *e = mem_get(sizeof *e);
	AUTO_ARENA struct arena mem = { 0 };
	const struct conf_view *v = conf_main(b->conf);
	e->dir = TAKE(b->dir);
	for (size_t i = 0; i < LINK_NAMES; i++) e->dials[i] = TAKE_FD(b->links[i]);
	struct dns *dns;
	struct dns_params params = dns_params_of(v, &mem);
	if (dns_open(&params, &dns) < 0) return fail_add("DNS");
	struct link *vault = link_new(e->dials[LINK_EDGE_VAULT]);
	e->visitors.outside = (struct edge_outside){ .core = link_new(e->dials[LINK_EDGE_CORE]),
						     .vault = vault,
						     .relay = link_new(e->dials[LINK_EDGE_RELAY]),
						     .dns = dns,
						     .known = known_new(&b->shared->directory),
						     .elsewhere = known_new(&b->shared->directory),
						     .rates = rates_new(),
						     .checks = check_memory_new(),
						     .notices = notice_memory_new(),
						     .signing = signing_new(vault),
						     .data_dir = e->dir };
	visitors_init(&e->visitors);
	recall_rates(e);
	e->pool = pool_new(&(struct pool_params){ .min_workers = 2,
						  .max_workers = (unsigned)conf_number(v, SET_edge_worker_limit) });
	e->visitors.pool = e->pool;
	e->pickup = pickup_start(&e->visitors, e->dir);
	charset_preload(); /* glibc loads its tables from files, which a sealed process may not open */
	*self = e;
	return reload(e, b);
}

static void stop(void *self) {
	struct edge *e = self;
	size_t left = pool_stop(e->pool, deadline_in(STOP_MS));
	if (left != 0) say(L_WARN, "edge", "%zu connections cut off", left);
	keep_rates(e);
}

const struct role role_edge = { .name = "edge",
				.groups_of = "postfix",
				.seal_needs = SEAL_CONNECT | SEAL_FILES,
				.start = start,
				.reload = reload,
				.stop = stop };
