/* SPDX-License-Identifier: Apache-2.0 */
/* A policy server is asked over connections that are kept: each is used by one thread at a time, and goes back to the
 * shelf when its answer has come. A kept connection may have been closed meanwhile by the other side: that does not
 * count as an attempt. */
#include "filter/policy.h"
#include "net/connect.h"
#include "base/fail.h"
#include "net/stream.h"

#include <pthread.h>
#include <sys/un.h>

enum { IN_LIMIT = 65536, OUT_LIMIT = 1 << 20, LINE_MOST = 8192, KEPT_MOST = 64 };

struct line { /* one connection */
	struct stream *stream;
	int64_t born, used;
	unsigned requests;
	struct line *next;
};
struct policy_server {
	struct arena mem;
	struct slice spec, host; /* host: a name, or empty */
	struct addr addr;        /* of inet: with its port */
	const char *path;        /* of unix: */
	struct policy_params params;
	pthread_mutex_t lock;    /* of what follows */
	struct line *kept;
	unsigned kept_count;
};

/* Reading the spec. */

static bool cut_word(struct slice *rest, struct slice *word) {
	size_t i = 0, depth = 0;
	while (i < rest->len && (rest->at[i] == ',' || ascii_space(rest->at[i]))) i++;
	*rest = slice_skip(*rest, i);
	for (i = 0; i < rest->len; i++) {
		char c = rest->at[i];
		if (depth == 0 && (c == ',' || ascii_space(c))) break;
		if (c == '{') depth++;
		if (c == '}' && depth > 0) depth--;
	}
	*word = slice_head(*rest, i);
	*rest = slice_skip(*rest, i);
	return word->len != 0;
}

static struct slice without_braces(struct slice s) {
	s = slice_trim(s);
	if (slice_starts(s, S("{")) && slice_ends(s, S("}"))) s = slice_trim(slice_from(s.at + 1, s.len - 2));
	return s;
}

static bool read_time(struct slice text, int64_t *ms) {
	static const struct { char unit; int64_t ms; } units[] = { { 's', 1000 }, { 'm', 60000 }, { 'h', 3600000 },
		                                                   { 'd', 86400000 }, { 'w', 604800000 } };
	int64_t unit = 1000;
	for (size_t i = 0; i < LEN(units); i++)
		if (text.len != 0 && ascii_lower(text.at[text.len - 1]) == units[i].unit) {
			unit = units[i].ms;
			text.len--;
			break;
		}
	uint64_t n;
	if (!slice_number(text, 1000000, &n)) return false;
	*ms = (int64_t)n * unit;
	return true;
}

static bool read_count(struct slice text, unsigned *out) {
	uint64_t n;
	if (!slice_number(text, 1000000, &n)) return false;
	*out = (unsigned)n;
	return true;
}

static int read_option(struct policy_server *p, struct slice word) {
	word = without_braces(word);
	size_t equals = slice_find(word, '=');
	struct slice name = slice_trim(slice_head(word, equals));
	struct slice value = without_braces(slice_skip(word, equals + 1));
	struct policy_params *q = &p->params;
	const struct { struct slice name; int64_t *time; unsigned *count; struct slice *text;
	} options[] = {
		{ S("timeout"), &q->timeout, NULL, NULL },
		{ S("max_idle"), &q->max_idle, NULL, NULL },
		{ S("max_ttl"), &q->max_ttl, NULL, NULL },
		{ S("retry_delay"), &q->retry_delay, NULL, NULL },
		{ S("request_limit"), NULL, &q->request_limit, NULL },
		{ S("try_limit"), NULL, &q->try_limit, NULL },
		{ S("default_action"), NULL, NULL, &q->default_action },
		{ S("policy_context"), NULL, NULL, &q->context },
	};
	for (size_t i = 0; i < LEN(options) && equals < word.len; i++) {
		if (!slice_eq(options[i].name, name)) continue;
		bool good = true;
		if (options[i].time != NULL) good = read_time(value, options[i].time);
		if (options[i].count != NULL) good = read_count(value, options[i].count);
		if (options[i].text != NULL) *options[i].text = value;
		return good ? 0 : fail("\"%.*s\": not a number or time", SLICE_ARG(word));
	}
	return fail("\"%.*s\": no option of a policy server (timeout, max_idle, max_ttl, request_limit, retry_delay, "
		    "try_limit, "
		    "default_action, policy_context)",
		    SLICE_ARG(word));
}

static int read_place(struct policy_server *p, struct slice where) {
	if (slice_starts(where, S("unix:"))) {
		struct slice path = slice_skip(where, 5);
		bool absolute = slice_starts(path, S("/"));
		p->path = absolute ? arena_text(&p->mem, path)
		                   : arena_fmt(&p->mem, "%s/%.*s", p->params.queue_directory, SLICE_ARG(path)).at;
		struct sockaddr_un room;
		return path.len != 0 && strlen(p->path) < sizeof room.sun_path
			       ? 0
			       : fail("the name of the socket is too long or empty");
	}
	if (!slice_starts(where, S("inet:"))) return fail("must begin with inet: or unix:");
	struct slice rest = slice_skip(where, 5), host, port;
	uint64_t number;
	if (slice_number(rest, 65535, &number)) host = S("localhost"), port = rest;
	else if (!addr_split_host_port(rest, &host, &port)) return fail("must be inet:host:port");
	if (!slice_number(port, 65535, &number) || number == 0) return fail("the port must be a number");
	if (host.len == 0 || slice_same(host, S("localhost"))) host = S("127.0.0.1");
	if (addr_parse(host, &p->addr)) addr_set_port(&p->addr, (uint16_t)number);
	else if (p->params.dns == NULL) return fail("the host must be an address");
	else p->host = host, p->addr.v4.sin_port = htons((uint16_t)number);
	return 0;
}

static int read_spec(struct policy_server *p) {
	struct slice rest = without_braces(p->spec), word;
	bool options = slice_starts(p->spec, S("{"));
	if (!cut_word(&rest, &word) || read_place(p, word) < 0) return -1;
	while (options && cut_word(&rest, &word))
		if (read_option(p, word) < 0) return -1;
	return 0;
}

int policy_open(struct slice spec, const struct policy_params *params, struct policy_server **out) {
	struct policy_server *p = mem_get(sizeof *p);
	p->params = *params;
	p->spec = arena_slice(&p->mem, spec);
	p->params.default_action = arena_slice(&p->mem, params->default_action);
	p->params.context = arena_slice(&p->mem, params->context);
	pthread_mutex_init(&p->lock, NULL);
	if (read_spec(p) < 0) {
		policy_close(&p);
		return -1;
	}
	*out = p;
	return 0;
}

/* Connections. */

static void line_close(struct line *l) {
	stream_close(&l->stream);
	free(l);
}

void policy_close(struct policy_server **pp) {
	struct policy_server *p = TAKE(*pp);
	if (p == NULL) return;
	while (p->kept != NULL) {
		struct line *l = p->kept;
		p->kept = l->next;
		line_close(l);
	}
	pthread_mutex_destroy(&p->lock);
	arena_done(&p->mem);
	free(p);
}

static bool worn(const struct policy_server *p, const struct line *l) {
	int64_t now = clock_ms();
	const struct policy_params *q = &p->params;
	return (q->max_idle > 0 && now - l->used >= q->max_idle) || (q->max_ttl > 0 && now - l->born >= q->max_ttl) ||
	       (q->request_limit != 0 && l->requests >= q->request_limit);
}

static struct line *take_kept(struct policy_server *p) {
	struct line *found = NULL, *old = NULL;
	pthread_mutex_lock(&p->lock);
	while (p->kept != NULL && found == NULL) {
		struct line *l = p->kept;
		p->kept = l->next;
		p->kept_count--;
		if (!worn(p, l)) found = l;
		else l->next = old, old = l;
	}
	pthread_mutex_unlock(&p->lock);
	for (struct line *next; old != NULL; old = next) {
		next = old->next;
		line_close(old);
	}
	return found;
}

static void keep(struct policy_server *p, struct line *l) {
	l->used = clock_ms();
	l->requests++;
	pthread_mutex_lock(&p->lock);
	bool stays = !worn(p, l) && p->kept_count < KEPT_MOST;
	if (stays) {
		l->next = p->kept;
		p->kept = l;
		p->kept_count++;
	}
	pthread_mutex_unlock(&p->lock);
	if (!stays) line_close(l);
}

static int find_address(const struct policy_server *p, int64_t deadline, struct addr *out) {
	*out = p->addr;
	if (p->host.len == 0) return 0;
	AUTO_ARENA struct arena mem = { 0 };
	struct addr *addresses;
	size_t n;
	if (dns_addresses(p->params.dns, p->host, DNS_IPV4 | DNS_IPV6, deadline, &mem, &addresses, &n, NULL) !=
		    DNS_OK ||
	    n == 0)
		return fail("%.*s: the host has no address", SLICE_ARG(p->host));
	uint16_t port = ntohs(p->addr.v4.sin_port);
	*out = addresses[0];
	addr_set_port(out, port);
	return 0;
}

static int dial(struct policy_server *p, int64_t deadline, struct line **out) {
	struct sockaddr_un local = { .sun_family = AF_UNIX };
	struct addr to;
	if (p->path != NULL) memcpy(local.sun_path, p->path, strlen(p->path) + 1);
	else if (find_address(p, deadline, &to) < 0) return -1;
	const struct sockaddr *name = p->path != NULL ? (const struct sockaddr *)&local : &to.any;
	AUTO_FD int fd = socket(name->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) return fail_errno("socket");
	int error = connect_until(fd, name, p->path != NULL ? (socklen_t)sizeof local : to.len, deadline);
	if (error != 0) return fail("connect to %.*s: %s", SLICE_ARG(p->spec), strerror(error));
	struct line *l = mem_get(sizeof *l);
	l->stream = stream_new(TAKE_FD(fd), IN_LIMIT, OUT_LIMIT);
	l->born = l->used = clock_ms();
	*out = l;
	return 0;
}

/* Asking. */

int policy_parse_reply(struct slice in, struct slice *action) {
	size_t used = 0;
	struct slice found = SLICE_NONE;
	for (;;) {
		struct slice rest = slice_skip(in, used);
		size_t end = slice_find(rest, '\n');
		if (end == rest.len) return in.len > LINE_MOST ? -1 : 0;
		struct slice line = slice_head(rest, end);
		used += end + 1;
		if (slice_ends(line, S("\r"))) line.len--;
		if (line.len == 0) break;
		size_t equals = slice_find(line, '=');
		if (equals == line.len) return -1;
		if (slice_eq(slice_head(line, equals), S("action"))) found = slice_trim(slice_skip(line, equals + 1));
	}
	if (found.at == NULL) return -1;
	*action = found;
	return (int)used;
}

static int exchange(const struct policy_server *p, struct line *l, struct slice request, int64_t deadline,
                    struct arena *mem, struct slice *action) {
	int r = stream_wait_put(l->stream, request, deadline);
	if (r == STREAM_OK) r = stream_wait_flush(l->stream, deadline);
	if (r != STREAM_OK)
		return fail("%.*s: %s", SLICE_ARG(p->spec), r == STREAM_LATE ? "no answer in time" : "connection lost");
	for (;;) {
		struct slice answer;
		int used = policy_parse_reply(stream_peek(l->stream), &answer);
		if (used < 0) return fail("%.*s: malformed answer", SLICE_ARG(p->spec));
		if (used > 0) {
			*action = arena_slice(mem, answer);
			stream_eat(l->stream, (size_t)used);
			return 0;
		}
		r = stream_wait_fill(l->stream, deadline);
		if (r != STREAM_OK)
			return fail("%.*s: %s", SLICE_ARG(p->spec),
				    r == STREAM_LATE ? "no answer in time" : "connection lost");
	}
}

static int attempt(struct policy_server *p, struct slice request, struct arena *mem, struct slice *action) {
	int64_t deadline = deadline_in(p->params.timeout);
	struct line *l;
	while ((l = take_kept(p)) != NULL) {
		if (exchange(p, l, request, deadline, mem, action) == 0) {
			keep(p, l);
			return 0;
		}
		bool late = clock_ms() >= deadline;
		line_close(l);
		if (late) return -1;
	}
	if (dial(p, deadline, &l) < 0) return -1;
	int r = exchange(p, l, request, deadline, mem, action);
	if (r == 0) keep(p, l);
	else line_close(l);
	return r;
}

int policy_ask(struct policy_server *p, struct slice request, struct arena *mem, struct slice *action) {
	for (unsigned i = 0; i < MAX_OF(p->params.try_limit, 1u); i++) {
		struct timespec pause = { p->params.retry_delay / 1000, p->params.retry_delay % 1000 * 1000000 };
		if (i > 0) nanosleep(&pause, NULL);
		if (attempt(p, request, mem, action) == 0) return 0;
	}
	return -1;
}

struct slice policy_default_action(const struct policy_server *p) {
	return p->params.default_action;
}

struct slice policy_context(const struct policy_server *p) {
	return p->params.context;
}

void policy_add(struct buf *out, const char *name, struct slice value) {
	buf_addf(out, "%s=", name);
	for (size_t i = 0; i < value.len; i++)
		buf_byte(out, value.at[i] == '\n' || value.at[i] == '\r' || value.at[i] == '\0' ? '?' : value.at[i]);
	buf_byte(out, '\n');
}

bool policy_spf_is_absent(const struct policy_server *p) {
	if (p->path == NULL) return false;
	struct slice name = slice_of(p->path);
	name = slice_skip(name, slice_find_last(name, '/') + 1);
	if (slice_search(name, S("spf")) == name.len) return false;
	AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	memcpy(to.sun_path, p->path, strlen(p->path));
	return fd >= 0 && connect(fd, (const struct sockaddr *)&to, sizeof to) < 0 &&
	       (errno == ENOENT || errno == ECONNREFUSED || errno == EACCES);
}
