/* SPDX-License-Identifier: Apache-2.0 */
/* Questions and deadlines. libunbound resolves in a thread of its own and puts answers into a pipe; our second thread
 * takes them out and wakes whoever asked. An engine is one such pair; there are two at most: one that forwards to the
 * resolvers, and, when those are the system's and fail us (no DNSSEC, out of order), one that asks the root servers. */
#include "base/clock.h"
#include "base/fail.h"
#include "net/dns_private.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unbound.h>

#define RESOLVERS_MOST 8
#define SEARCH_MOST 6
#define FILE_MOST KIB(64)
#define SYSTEM_RESOLVERS "/etc/resolv.conf"
#define SYSTEM_ANCHOR "/usr/share/dns/root.key"

enum { LOOK_MS = 250 /* for the end, while a question waits */ };
/* A question without an answer has the resolvers asked whether they are there; while they are not, nobody waits for
 * long. */
enum { PATIENCE_MS = 1000, ALIVE_MS = 2000, KNOWN_MS = 10000, DEAD_WAIT_MS = 500 };

struct engine {
	struct dns *dns;
	struct ub_ctx *ctx;
	pthread_t dispatcher;
	int stop; /* eventfd */
	bool forward; /* to the resolvers */
};

struct dns {
	struct addr resolvers[RESOLVERS_MOST];
	size_t resolvers_count;
	bool own_resolvers;      /* not the system's: no fall-back */
	struct buf anchors;      /* one a line */
	struct arena mem;        /* of search */
	struct slice search[SEARCH_MOST];
	size_t search_count;
	int timeout_ms;
	_Atomic bool ending;
	_Atomic bool probing;    /* one thread asks whether the resolvers are there; what it found: */
	_Atomic int64_t alive_until, dead_until;
	struct dns_memory *memory;
	pthread_mutex_t lock;    /* of what follows */
	struct engine *forward, *full;
	int64_t full_first_until; /* the fall-back knew more than the system's resolvers */
	int64_t full_never_until; /* the fall-back cannot reach anybody */
	struct hint *hints;      /* under way */
};

/* A question that nobody waits for. */
struct hint {
	struct dns *dns;
	struct hint *before, *after;
	int type;
	char name[DNS_TEXT_ROOM];
};

struct question {
	struct engine *engine;
	int id;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool answered, timed_out, ended;
	bool alone; /* none of the resolvers is there */
	int error;
	struct ub_result *result;
};

/* ---- setting up ---- */

static int file_read(const char *path, struct buf *out) {
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : 1;
	while (n > 0) {
		char *room = buf_room(out, KIB(4));
		if (room == NULL) return fail("%s: too long", path);
		n = read(fd, room, KIB(4));
		if (n > 0) out->len += (size_t)n;
	}
	return n < 0 ? fail_errno("%s", path) : 0;
}

static int add_resolver(struct dns *d, struct slice text) {
	struct addr a;
	if (!addr_parse(text, &a)) return fail("DNS resolver \"%.*s\": not an address", SLICE_ARG(text));
	if (addr_port(&a) == 0) addr_set_port(&a, 53);
	if (d->resolvers_count < RESOLVERS_MOST) d->resolvers[d->resolvers_count++] = a;
	return 0;
}

static int read_resolvers(struct dns *d, const char *list) {
	struct slice rest = slice_of(list != NULL ? list : "");
	for (struct slice word = slice_word(&rest, " ,\t\n"); word.len != 0; word = slice_word(&rest, " ,\t\n"))
		if (add_resolver(d, word) < 0) return -1;
	d->own_resolvers = d->resolvers_count != 0;
	AUTO_BUF struct buf file = BUF(FILE_MOST);
	if (d->own_resolvers || file_read(SYSTEM_RESOLVERS, &file) < 0) return 0; /* no such file: the root servers */
	rest = buf_slice(&file);
	while (rest.at != NULL) {
		struct slice line = slice_cut(&rest, '\n');
		if (slice_eq(slice_word(&line, " \t"), S("nameserver")))
			(void)add_resolver(d, slice_word(&line, " \t\r"));
	}
	return 0;
}

/* As resolv.conf(5) has it: of several lines the last counts. */
static void read_search(struct dns *d) {
	AUTO_BUF struct buf file = BUF(FILE_MOST);
	if (file_read(SYSTEM_RESOLVERS, &file) < 0) return;
	struct slice rest = buf_slice(&file);
	while (rest.at != NULL) {
		struct slice line = slice_cut(&rest, '\n'), word = slice_word(&line, " \t"), name, ascii;
		if (!slice_eq(word, S("search")) && !slice_eq(word, S("domain"))) continue;
		d->search_count = 0;
		while (d->search_count < SEARCH_MOST && (name = slice_word(&line, " \t\r")).len != 0)
			if (dns_to_ascii(name, &d->mem, &ascii)) d->search[d->search_count++] = ascii;
	}
}

const struct slice *dns_search_list(const struct dns *d, size_t *count) {
	*count = d->search_count;
	return d->search;
}

static int read_anchors(struct dns *d, const char *path) {
	bool given = path != NULL && path[0] != '\0';
	AUTO_BUF struct buf file = BUF(FILE_MOST);
	if (!given && (d->own_resolvers || access(SYSTEM_ANCHOR, R_OK) != 0)) return 0;
	if (file_read(given ? path : SYSTEM_ANCHOR, &file) < 0) return -1;
	struct slice rest = buf_slice(&file);
	while (rest.at != NULL) {
		struct slice line = slice_cut(&rest, '\n');
		line = slice_trim(slice_head(line, slice_find(line, ';')));
		if (line.len == 0) continue;
		buf_add(&d->anchors, line);
		buf_byte(&d->anchors, '\n');
	}
	return d->anchors.len != 0
		       ? 0
		       : fail("%s: no trust anchor in it (DS or DNSKEY records)", given ? path : SYSTEM_ANCHOR);
}

int dns_open(const struct dns_params *params, struct dns **out) {
	struct dns *d = mem_get(sizeof *d);
	d->anchors = BUF(FILE_MOST);
	d->timeout_ms = params->timeout_ms > 0 ? params->timeout_ms : (int)SECONDS(30);
	d->memory = dns_memory_new();
	pthread_mutex_init(&d->lock, NULL);
	if (read_resolvers(d, params->resolvers) < 0 || read_anchors(d, params->trust_anchor_file) < 0) {
		dns_close(&d);
		return -1;
	}
	read_search(d);
	*out = d;
	return 0;
}

/* ---- engines ---- */

static void *dispatch(void *arg) {
	struct engine *e = arg;
	struct pollfd fds[] = { { ub_fd(e->ctx), POLLIN, 0 }, { e->stop, POLLIN, 0 } };
	while (fds[1].revents == 0) {
		if (poll(fds, LEN(fds), -1) < 0 && errno != EINTR) break;
		if (fds[0].revents != 0) ub_process(e->ctx);
	}
	return NULL;
}

/* Sizes for a mail server's few questions; libunbound's own defaults are a resolver's for a whole site. */
static const struct { const char *name, *value; } options[] = {
	{ "msg-cache-size:", "512k" },
	{ "rrset-cache-size:", "1m" },
	{ "key-cache-size:", "256k" },
	{ "neg-cache-size:", "128k" },
	{ "infra-cache-numhosts:", "1000" },
	{ "msg-cache-slabs:", "1" },
	{ "rrset-cache-slabs:", "1" },
	{ "key-cache-slabs:", "1" },
	{ "infra-cache-slabs:", "1" },
	{ "num-queries-per-thread:", "512" },
	{ "outgoing-range:", "256" },
	{ "outgoing-num-tcp:", "8" },
	{ "edns-buffer-size:", "1232" },
	{ "target-fetch-policy:", "0 0 0 0 0" },
	{ "infra-keep-probing:", "yes" },
	{ "val-bogus-ttl:", "30" },
	{ "use-syslog:", "no" },
};

static bool engine_forwards(struct dns *d, struct ub_ctx *ctx) {
	bool ok = true, local = false;
	for (size_t i = 0; i < d->resolvers_count; i++) {
		char host[ADDR_TEXT_ROOM], text[ADDR_TEXT_ROOM + 8];
		snprintf(text, sizeof text, "%s@%u", addr_text(&d->resolvers[i], host), addr_port(&d->resolvers[i]));
		ok = ok && ub_ctx_set_fwd(ctx, text) == 0;
		local = local || addr_is_loopback(&d->resolvers[i]);
	}
	if (local) ok = ok && ub_ctx_set_option(ctx, "do-not-query-localhost:", "no") == 0;
	/* The resolvers may know names of the house, 10.in-addr.arpa or mail.test, which libunbound would answer
	 * itself. */
	return ok && ub_ctx_set_option(ctx, "unblock-lan-zones:", "yes") == 0 &&
	       ub_ctx_set_option(ctx, "insecure-lan-zones:", "yes") == 0 &&
	       ub_ctx_set_option(ctx, "domain-insecure:", "test.") == 0;
}

static struct ub_ctx *engine_context(struct dns *d, bool forward) {
	struct ub_ctx *ctx = ub_ctx_create();
	bool ok = ctx != NULL && ub_ctx_async(ctx, 1) == 0 && ub_ctx_debugout(ctx, NULL) == 0;
	for (size_t i = 0; ok && i < LEN(options); i++)
		ok = ub_ctx_set_option(ctx, options[i].name, options[i].value) == 0;
	ok = ok && (!forward || engine_forwards(d, ctx));
	if (ok && d->anchors.len == 0) ok = ub_ctx_set_option(ctx, "module-config:", "iterator") == 0;
	struct slice rest = buf_slice(&d->anchors);
	while (ok && rest.len != 0) {
		AUTO_FREE char *line = slice_text(slice_cut(&rest, '\n'));
		ok = ub_ctx_add_ta(ctx, line) == 0;
	}
	ok = ok && (!forward || (ub_ctx_zone_remove(ctx, "127.in-addr.arpa.") == 0 &&
				 ub_ctx_zone_remove(ctx, "test.") == 0)); /* last: afterwards no option can be set */
	if (!ok && ctx != NULL) ub_ctx_delete(ctx);
	return ok ? ctx : NULL;
}

static struct engine *engine_start(struct dns *d, bool forward) {
	struct engine *e = mem_get(sizeof *e);
	e->dns = d;
	e->forward = forward;
	e->ctx = engine_context(d, forward);
	e->stop = e->ctx != NULL ? eventfd(0, EFD_CLOEXEC) : -1;
	if (e->stop >= 0 && pthread_create(&e->dispatcher, NULL, dispatch, e) == 0) return e;
	if (e->ctx != NULL) ub_ctx_delete(e->ctx);
	if (e->stop >= 0) close(e->stop);
	free(e);
	return NULL;
}

static void engine_stop(struct engine **ep) {
	struct engine *e = TAKE(*ep);
	if (e == NULL) return;
	must(write(e->stop, &(uint64_t){ 1 }, 8) == 8);
	pthread_join(e->dispatcher, NULL);
	ub_ctx_delete(e->ctx);
	close(e->stop);
	free(e);
}

static void hint_enter(struct hint *h) {
	pthread_mutex_lock(&h->dns->lock);
	h->after = h->dns->hints;
	if (h->after != NULL) h->after->before = h;
	h->dns->hints = h;
	pthread_mutex_unlock(&h->dns->lock);
}

static void hint_free(struct hint *h) {
	pthread_mutex_lock(&h->dns->lock);
	if (h->before != NULL) h->before->after = h->after;
	else h->dns->hints = h->after;
	if (h->after != NULL) h->after->before = h->before;
	pthread_mutex_unlock(&h->dns->lock);
	free(h);
}

void dns_end(struct dns *d) {
	d->ending = true;
}

void dns_close(struct dns **dp) {
	struct dns *d = TAKE(*dp);
	if (d == NULL) return;
	engine_stop(&d->forward);
	engine_stop(&d->full);
	while (d->hints != NULL) hint_free(d->hints); /* libunbound does not call back any more */
	buf_done(&d->anchors);
	arena_done(&d->mem);
	dns_memory_free(&d->memory);
	pthread_mutex_destroy(&d->lock);
	free(d);
}

/* ---- one question ---- */

static void answered(void *question, int error, struct ub_result *result) {
	struct question *q = question;
	pthread_mutex_lock(&q->lock);
	q->error = error;
	q->result = result;
	q->answered = true;
	pthread_cond_signal(&q->changed);
	pthread_mutex_unlock(&q->lock);
}

/* The first question starts libunbound's thread, which must not take the process's signals. */
static void question_start(struct question *q, struct engine *e, const char *name, int type) {
	pthread_condattr_t steady;
	sigset_t all, old;
	*q = (struct question){ .engine = e };
	pthread_mutex_init(&q->lock, NULL);
	pthread_condattr_init(&steady);
	pthread_condattr_setclock(&steady, CLOCK_MONOTONIC);
	pthread_cond_init(&q->changed, &steady);
	pthread_condattr_destroy(&steady);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int error = e != NULL ? ub_resolve_async(e->ctx, name, type, 1, q, answered, &q->id) : UB_INITFAIL;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (error != 0) answered(q, error, NULL);
}

static bool is_ending(const struct question *q) {
	return q->engine != NULL && q->engine->dns->ending;
}

/* None of the resolvers says anything: no use in waiting for them. waited: ms. Not for the root servers. */
static bool nobody_there(struct engine *e, int64_t waited) {
	struct dns *d = e->dns;
	int64_t now = clock_ms();
	if (!e->forward) return false;
	if (now < d->dead_until) return waited >= DEAD_WAIT_MS;
	if (waited < PATIENCE_MS || now < d->alive_until || atomic_exchange(&d->probing, true)) return false;
	bool alive = dns_any_alive(d->resolvers, d->resolvers_count, ALIVE_MS);
	*(alive ? &d->alive_until : &d->dead_until) = deadline_in(KNOWN_MS);
	d->probing = false;
	return !alive;
}

static bool given_up(struct question *q, int64_t began) {
	pthread_mutex_unlock(&q->lock); /* libunbound's thread must not wait for us */
	bool gone = nobody_there(q->engine, clock_ms() - began);
	pthread_mutex_lock(&q->lock);
	return gone;
}

static void question_wait(struct question *q, int64_t deadline) {
	int64_t began = clock_ms();
	pthread_mutex_lock(&q->lock);
	while (!q->answered && clock_ms() < deadline && !is_ending(q)) {
		q->alone = q->engine != NULL && given_up(q, began);
		if (q->alone || q->answered) break;
		int64_t look = MIN_OF(deadline, deadline_in(LOOK_MS));
		struct timespec until = { look / 1000, look % 1000 * 1000000 };
		pthread_cond_timedwait(&q->changed, &q->lock, &until);
	}
	q->ended = is_ending(q);
	bool late = !q->answered;
	pthread_mutex_unlock(&q->lock);
	if (!late) return;
	q->timed_out = true;
	if (ub_cancel(q->engine->ctx, q->id) == 0) return; /* now it will not be answered any more */
	pthread_mutex_lock(&q->lock);                      /* the answer is on its way to us this moment */
	while (!q->answered) pthread_cond_wait(&q->changed, &q->lock);
	pthread_mutex_unlock(&q->lock);
	q->timed_out = false;
}

static void question_done(struct question *q) {
	ub_resolve_free(q->result);
	pthread_cond_destroy(&q->changed);
	pthread_mutex_destroy(&q->lock);
}

static const char *type_name(int type, char room[16]) {
	static const struct { int type; const char *name;
	} names[] = {
		{ DNS_A, "A" },     { DNS_NS, "NS" },     { DNS_CNAME, "CNAME" }, { DNS_SOA, "SOA" },
		{ DNS_PTR, "PTR" }, { DNS_MX, "MX" },     { DNS_TXT, "TXT" },     { DNS_AAAA, "AAAA" },
		{ DNS_SRV, "SRV" }, { DNS_TLSA, "TLSA" }, { DNS_CAA, "CAA" },
	};
	for (size_t i = 0; i < LEN(names); i++)
		if (names[i].type == type) return names[i].name;
	snprintf(room, 16, "TYPE%d", type);
	return room;
}

static void answer_later(
	const struct question *q, const char *name, int type, struct arena *mem, struct dns_answer *out) {
	static const char *const rcodes[] = { "no error", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED" };
	const struct ub_result *r = q->result;
	char room[16];
	const char *why = q->ended   ? "no answer before this server was stopped"
			  : q->alone ? "no resolver answers"
				     : "no answer in time";
	if (!q->timed_out && q->error != 0) why = ub_strerror(q->error);
	else if (r != NULL && r->bogus) why = r->why_bogus != NULL ? r->why_bogus : "DNSSEC signatures are bogus";
	else if (r != NULL) why = (size_t)r->rcode < LEN(rcodes) ? rcodes[r->rcode] : "server failure";
	*out = (struct dns_answer){ .result = DNS_LATER };
	out->why = arena_fmt(mem, "DNS %s %s: %s%s", name, type_name(type, room),
			     r != NULL && r->bogus ? "DNSSEC: " : "", why)
			   .at;
}

static void answer_read(
	const struct question *q, const char *name, int type, struct arena *mem, struct dns_answer *out) {
	const struct ub_result *r = q->result;
	bool known = r != NULL && !r->bogus && (r->rcode == 0 || r->rcode == 3);
	if (!known) {
		answer_later(q, name, type, mem, out);
		return;
	}
	struct dns_answer a = { .result = r->havedata                    ? DNS_OK
					  : r->nxdomain || r->rcode == 3 ? DNS_NXDOMAIN
									 : DNS_NODATA };
	a.facts = (struct dns_facts){ .secure = r->secure, .ttl = r->ttl > 0 ? (uint32_t)r->ttl : 0 };
	struct slice canonical = slice_of(r->canonname != NULL ? r->canonname : name);
	if (slice_ends(canonical, S("."))) canonical.len--;
	a.facts.canonical = arena_lower(mem, canonical);
	if (a.result == DNS_OK) {
		size_t most = type == DNS_TXT ? SIZE_MAX : DNS_RECORDS_MAX; /* a message of DNS holds 64 KiB */
		while (a.count < most && r->data[a.count] != NULL) a.count++;
		a.rdata = arena_array(mem, a.count, sizeof *a.rdata);
		for (size_t i = 0; i < a.count; i++)
			a.rdata[i] = arena_slice(mem, slice_from(r->data[i], (size_t)MAX_OF(r->len[i], 0)));
	}
	*out = a;
}

/* ---- asking ---- */

static struct engine *engine_get(struct dns *d, bool forward) {
	pthread_mutex_lock(&d->lock);
	struct engine **e = forward ? &d->forward : &d->full;
	if (*e == NULL) *e = engine_start(d, forward);
	struct engine *got = *e;
	pthread_mutex_unlock(&d->lock);
	return got;
}

/* True: a question had no answer in time, as against a bad one. */
static bool ask_engine(struct engine *e, const char *name, const int *types, size_t count, int64_t deadline,
	struct arena *mem, struct dns_answer *out) {
	struct question q[2];
	bool timed_out = false;
	must(count <= LEN(q));
	for (size_t i = 0; i < count; i++) question_start(&q[i], e, name, types[i]);
	for (size_t i = 0; i < count; i++) {
		question_wait(&q[i], deadline);
		answer_read(&q[i], name, types[i], mem, &out[i]);
		timed_out = timed_out || q[i].timed_out;
		question_done(&q[i]);
	}
	return timed_out;
}

static bool all_later(const struct dns_answer *a, size_t count) {
	for (size_t i = 0; i < count; i++)
		if (a[i].result != DNS_LATER) return false;
	return true;
}

static void ask_engines(struct dns *d, const char *name, const int *types, size_t count, int64_t deadline,
			struct arena *mem, struct dns_answer *out) {
	int64_t now = clock_ms();
	deadline = MIN_OF(deadline, now + d->timeout_ms);
	pthread_mutex_lock(&d->lock);
	bool full_first = d->resolvers_count == 0 || now < d->full_first_until;
	bool may_fall_back = !d->own_resolvers && !full_first && now >= d->full_never_until;
	pthread_mutex_unlock(&d->lock);
	/* a third of the time for the system's resolvers, so that some is left */
	ask_engine(engine_get(d, !full_first), name, types, count,
		   may_fall_back ? now + (deadline - now) / 3 : deadline, mem, out);
	if (!may_fall_back || !all_later(out, count)) return;
	struct dns_answer again[2];
	bool timed_out = ask_engine(engine_get(d, false), name, types, count, deadline, mem, again);
	bool better = !all_later(again, count);
	pthread_mutex_lock(&d->lock);
	if (better) d->full_first_until = clock_ms() + MINUTES(10);
	else if (timed_out) d->full_never_until = clock_ms() + MINUTES(1);
	pthread_mutex_unlock(&d->lock);
	if (better) memcpy(out, again, count * sizeof *out);
}

void dns_ask(struct dns *d, const char *name, const int *types, size_t count, int64_t deadline, struct arena *mem,
	struct dns_answer *out) {
	size_t known = 0;
	while (known < count && dns_memory_get(d->memory, name, types[known], mem, &out[known])) known++;
	if (known == count) return;
	ask_engines(d, name, types + known, count - known, deadline, mem, out + known);
	for (size_t i = known; i < count; i++) dns_memory_keep(d->memory, name, types[i], &out[i]);
}

/* Kept here as well: what is hinted at for each message of a sender need not go through libunbound's thread each time.
 */
static void hint_answered(void *ctx, int error, struct ub_result *result) {
	AUTO_ARENA struct arena mem = {0};
	struct hint *h = ctx;
	const struct question q = { .error = error, .result = result };
	struct dns_answer answer;
	answer_read(&q, h->name, h->type, &mem, &answer);
	dns_memory_keep(h->dns->memory, h->name, h->type, &answer);
	ub_resolve_free(result);
	hint_free(h);
}

void dns_hint(struct dns *d, struct slice name, int type) {
	struct engine *e = engine_get(d, d->resolvers_count != 0);
	sigset_t all, old;
	char text[DNS_TEXT_ROOM];
	if (e == NULL || !dns_name_check(name, text) || dns_memory_get(d->memory, text, type, NULL, NULL)) return;
	struct hint *h = mem_get(sizeof *h);
	h->dns = d;
	h->type = type;
	memcpy(h->name, text, strlen(text) + 1);
	hint_enter(h);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	if (ub_resolve_async(e->ctx, h->name, type, 1, h, hint_answered, NULL) != 0) hint_free(h);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}
