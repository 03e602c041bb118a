/* SPDX-License-Identifier: Apache-2.0 */
/* A connection begins with Dovecot's list of mechanisms; then each exchange is AUTH, CONT … and OK or FAIL, under a
 * number of ours. One that the other side has closed meanwhile is replaced before anything of an exchange was sent. */
#include "net/sasl_dovecot.h"
#include "net/connect.h"
#include "base/fail.h"
#include "base/log.h"
#include "net/stream.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { LINE_MOST = 16384, OUT_MOST = 32768, KEPT_MOST = 8, MECHANISMS_MOST = 64, NAME_MOST = 24, LINES_MOST = 1000 };

struct mechanism {
	char name[NAME_MOST];
	unsigned properties;
};
struct line { /* a connection */
	struct stream *stream;
	struct line *next;
};
struct dovecot {
	struct arena mem;
	const char *path; /* NULL: addr, or host */
	struct slice host;
	struct addr addr;
	const char *service;
	struct dns *dns;
	int64_t timeout_ms;
	_Atomic uint32_t next_id;
	pthread_mutex_t lock; /* of what follows */
	struct line *kept;
	size_t kept_count;
	struct mechanism mechanisms[MECHANISMS_MOST]; /* as the last connection told */
	size_t mechanism_count;
};
struct dovecot_exchange {
	struct dovecot *dovecot;
	struct line *line;  /* NULL: none was to be had */
	uint32_t id;
	int64_t until;      /* of the question under way */
	unsigned lines;     /* heard since it was asked */
	struct buf request; /* the question; wiped with the exchange */
	bool kept;          /* the line served before, and may be dead: another one may be asked */
	unsigned tries;
};

/* Lines. */

/* A tab, CR, LF and NUL inside of a value are \001 and a letter. */
static struct slice unescape(struct arena *mem, struct slice s) {
	char *out = arena_get(mem, s.len + 1);
	size_t n = 0;
	for (size_t i = 0; i < s.len; i++) {
		char c = s.at[i];
		if (c == '\1' && i + 1 < s.len) {
			c = s.at[++i];
			c = c == 't' ? '\t' : c == 'r' ? '\r' : c == 'n' ? '\n' : c == '0' ? '\0' : c;
		}
		out[n++] = c;
	}
	return slice_from(out, n);
}

static unsigned property_of(struct slice word) {
	static const struct { const char *name; unsigned bit; } names[] = {
		{ "anonymous", DOVECOT_ANONYMOUS },
		{ "plaintext", DOVECOT_PLAINTEXT },
		{ "dictionary", DOVECOT_DICTIONARY },
		{ "active", DOVECOT_ACTIVE },
		{ "forward-secrecy", DOVECOT_FORWARD_SECRECY },
		{ "mutual-auth", DOVECOT_MUTUAL_AUTH },
		{ "private", DOVECOT_PRIVATE },
	};
	for (size_t i = 0; i < LEN(names); i++)
		if (slice_eq(word, slice_of(names[i].name))) return names[i].bit;
	return 0;
}

static bool read_words(struct slice rest, struct arena *mem, struct dovecot_line *l) {
	while (rest.at != NULL) {
		struct slice word = slice_cut(&rest, '\t');
		if (l->word == DOVECOT_MECH) l->properties |= property_of(word);
		else if (slice_starts(word, S("user="))) l->text = unescape(mem, slice_skip(word, 5));
		else if (slice_eq(word, S("temp")) || slice_eq(word, S("code=temp_fail"))) l->temporary = true;
	}
	return l->word != DOVECOT_OK || (l->text.len != 0 && slice_find(l->text, '\0') == l->text.len);
}

bool dovecot_line_read(struct slice line, struct arena *mem, struct dovecot_line *out) {
	static const struct { const char *name; enum dovecot_word word; bool numbered;
	} words[] = {
		{ "VERSION", DOVECOT_VERSION, true }, { "MECH", DOVECOT_MECH, false }, { "DONE", DOVECOT_DONE, false },
		{ "OK", DOVECOT_OK, true },           { "CONT", DOVECOT_CONT, true },  { "FAIL", DOVECOT_FAIL, true },
	};
	struct dovecot_line l = { .word = DOVECOT_OTHER, .text = S("") };
	struct slice name = slice_cut(&line, '\t');
	bool numbered = false;
	for (size_t i = 0; i < LEN(words); i++)
		if (slice_eq(name, slice_of(words[i].name))) l.word = words[i].word, numbered = words[i].numbered;
	if (numbered && (line.at == NULL || !slice_number(slice_cut(&line, '\t'), UINT32_MAX, &l.id))) return false;
	if (l.word == DOVECOT_CONT) l.text = line.at != NULL ? slice_cut(&line, '\t') : S("");
	else if (l.word == DOVECOT_MECH) {
		if (line.at == NULL) return false;
		l.text = slice_cut(&line, '\t');
		for (size_t i = 0; i < l.text.len; i++) {
			char c = ascii_upper(l.text.at[i]);
			if (!(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') && c != '-' && c != '_') return false;
		}
		if (l.text.len == 0) return false;
	}
	bool good = l.word == DOVECOT_MECH || l.word == DOVECOT_OK || l.word == DOVECOT_FAIL ? read_words(line, mem, &l)
											   : true;
	if (good) *out = l;
	return good;
}

bool dovecot_wanted(const struct dovecot_wish *wish, struct slice mechanism, unsigned properties) {
	/* EXTERNAL and bindings would be about a TLS connection that Dovecot does not see */
	if (slice_same(mechanism, S("EXTERNAL")) || slice_ends(mechanism, S("-PLUS"))) return false;
	if ((properties & (wish->forbidden | DOVECOT_PRIVATE)) != 0 || (wish->needed & ~properties) != 0) return false;
	for (size_t i = 0; i < wish->filter_count; i++) {
		struct slice word = wish->filter[i];
		bool not = word.len > 1 && word.at[0] == '!';
		if (not) word = slice_skip(word, 1);
		if (slice_same(word, mechanism) || slice_same(word, S("static:rest")) ||
		    slice_same(word, S("static:all")) || slice_same(word, S("static:any")))
			return !not;
	}
	return wish->filter_count == 0;
}

/* Connections. */

static void line_close(struct line *l) {
	stream_close(&l->stream);
	free(l);
}

static int connect_path(int fd, const char *path, int64_t deadline) {
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	snprintf(to.sun_path, sizeof to.sun_path, "%s", path);
	return connect_until(fd, (const struct sockaddr *)&to, sizeof to, deadline);
}

static int dial_path(const struct dovecot *d, int64_t deadline) {
	AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) return fail_errno("socket");
	int error = connect_path(fd, d->path, deadline);
	if (error == EACCES)
		return fail("%s: %s (let the group postfix, or everybody, write to this socket of Dovecot's)", d->path,
			    strerror(error));
	return error == 0 ? TAKE_FD(fd) : fail("%s: %s", d->path, strerror(error));
}

static int dial_inet(const struct dovecot *d, int64_t deadline) {
	struct addr to = d->addr;
	if (d->host.len != 0) {
		AUTO_ARENA struct arena mem = { 0 };
		struct addr *list;
		size_t n = 0;
		if (dns_addresses(d->dns, d->host, DNS_IPV4 | DNS_IPV6, deadline, &mem, &list, &n, NULL) != DNS_OK ||
		    n == 0)
			return fail("%.*s: the host has no address", SLICE_ARG(d->host));
		uint16_t port = ntohs(d->addr.v4.sin_port);
		to = list[0];
		addr_set_port(&to, port);
	}
	AUTO_FD int fd = socket(to.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) return fail_errno("socket");
	int error = connect_until(fd, &to.any, to.len, deadline);
	return error == 0 ? TAKE_FD(fd) : fail("connect: %s", strerror(error));
}

static int lost(int r) {
	return fail("Dovecot's auth service: %s", r == STREAM_LATE ? "no answer in time"
						  : r == STREAM_LONG ? "a line is too long"
								     : "connection lost");
}

static int put(struct line *l, struct slice bytes, int64_t deadline) {
	int r = stream_wait_put(l->stream, bytes, deadline);
	if (r == STREAM_OK) r = stream_wait_flush(l->stream, deadline);
	return r == STREAM_OK ? 0 : lost(r);
}

/* Until DONE. */
static int greet(struct dovecot *d, struct line *l, int64_t deadline) {
	AUTO_ARENA struct arena mem = { 0 };
	char hello[64];
	int n = snprintf(hello, sizeof hello, "VERSION\t1\t1\nCPID\t%d\n", (int)getpid());
	struct mechanism found[MECHANISMS_MOST];
	size_t count = 0;
	if (put(l, slice_from(hello, (size_t)n), deadline) < 0) return -1;
	for (int i = 0; i < LINES_MOST; i++) {
		struct slice text;
		struct dovecot_line line;
		int r = stream_wait_line(l->stream, LINE_MOST, &text, deadline);
		if (r != STREAM_OK) return lost(r);
		if (!dovecot_line_read(text, &mem, &line) || (line.word == DOVECOT_VERSION && line.id != 1))
			return fail("this is no auth service of Dovecot's (protocol 1)");
		if (line.word == DOVECOT_MECH && count < MECHANISMS_MOST && line.text.len < NAME_MOST) {
			snprintf(found[count].name, NAME_MOST, "%.*s", SLICE_ARG(line.text));
			found[count++].properties = line.properties;
		}
		if (line.word != DOVECOT_DONE) continue;
		pthread_mutex_lock(&d->lock);
		memcpy(d->mechanisms, found, count * sizeof found[0]);
		d->mechanism_count = count;
		pthread_mutex_unlock(&d->lock);
		return 0;
	}
	return fail("Dovecot's auth service does not come to an end with its greeting");
}

/* One that is still open: who has something to say unasked is gone, or out of step. */
static struct line *take_kept(struct dovecot *d) {
	for (;;) {
		pthread_mutex_lock(&d->lock);
		struct line *l = d->kept;
		if (l != NULL) d->kept = l->next, d->kept_count--;
		pthread_mutex_unlock(&d->lock);
		if (l == NULL) return NULL;
		struct pollfd p = { .fd = stream_fd(l->stream), .events = POLLIN };
		if (poll(&p, 1, 0) == 0 && !stream_has_input(l->stream)) return l;
		line_close(l);
	}
}

static void keep(struct dovecot *d, struct line *l) {
	pthread_mutex_lock(&d->lock);
	bool stays = d->kept_count < KEPT_MOST;
	if (stays) {
		l->next = d->kept;
		d->kept = l;
		d->kept_count++;
	}
	pthread_mutex_unlock(&d->lock);
	if (!stays) line_close(l);
}

/* kept: one that served before. */
static struct line *take_line(struct dovecot *d, int64_t deadline, bool *kept) {
	struct line *l = take_kept(d);
	*kept = l != NULL;
	if (l != NULL) return l;
	int fd = d->path != NULL ? dial_path(d, deadline) : dial_inet(d, deadline);
	if (fd < 0) return NULL;
	l = mem_get(sizeof *l);
	l->stream = stream_new(fd, LINE_MOST * 2, OUT_MOST);
	if (greet(d, l, deadline) == 0) return l;
	line_close(l);
	return NULL;
}

/* The place. */

static int read_inet(struct dovecot *d, struct slice where) {
	struct slice host, port;
	uint64_t number;
	if (!addr_split_host_port(where, &host, &port) || !slice_number(port, 65535, &number) || number == 0)
		return fail("must be inet:host:port");
	if (host.len == 0 || slice_same(host, S("localhost"))) host = S("127.0.0.1");
	if (addr_parse(host, &d->addr)) addr_set_port(&d->addr, (uint16_t)number);
	else if (d->dns == NULL) return fail("the host must be an address");
	else d->host = arena_slice(&d->mem, host), d->addr.v4.sin_port = htons((uint16_t)number);
	return 0;
}

static int read_place(struct dovecot *d, const struct dovecot_params *p) {
	struct sockaddr_un room;
	struct slice path = p->place;
	if (slice_starts(path, S("inet:"))) return read_inet(d, slice_skip(path, 5));
	if (slice_starts(path, S("unix:"))) path = slice_skip(path, 5);
	d->path = slice_starts(path, S("/")) ? arena_text(&d->mem, path)
					     : arena_fmt(&d->mem, "%s/%.*s", p->queue_directory, SLICE_ARG(path)).at;
	return path.len != 0 && strlen(d->path) < sizeof room.sun_path
		       ? 0
		       : fail("the name of the socket is too long or empty");
}

int dovecot_open(const struct dovecot_params *params, struct dovecot **out) {
	struct dovecot *d = mem_get(sizeof *d);
	d->service = arena_text(&d->mem, slice_of(params->service));
	d->dns = params->dns;
	d->timeout_ms = params->timeout_ms;
	pthread_mutex_init(&d->lock, NULL);
	if (read_place(d, params) < 0) {
		dovecot_close(&d);
		return -1;
	}
	*out = d;
	return 0;
}

void dovecot_close(struct dovecot **dp) {
	struct dovecot *d = TAKE(*dp);
	if (d == NULL) return;
	for (struct line *next, *l = d->kept; l != NULL; l = next) {
		next = l->next;
		line_close(l);
	}
	pthread_mutex_destroy(&d->lock);
	arena_done(&d->mem);
	free(d);
}

int dovecot_absent(const struct dovecot *d) {
	struct stat st;
	if (d->path == NULL) return 0;
	if (stat(d->path, &st) != 0) return errno;
	return S_ISSOCK(st.st_mode) ? 0 : ENOENT;
}

void dovecot_offer(struct dovecot *d, const struct dovecot_wish *wish, struct buf *out) {
	bool kept;
	struct line *l = take_line(d, deadline_in(d->timeout_ms), &kept);
	if (l == NULL) say(L_WARN, "auth", "smtpd_sasl_path: %s", fail_text());
	else keep(d, l);
	pthread_mutex_lock(&d->lock);
	for (size_t i = 0; i < d->mechanism_count; i++) /* of old, if need be: who tries now hears "later" */
		if (dovecot_wanted(wish, slice_of(d->mechanisms[i].name), d->mechanisms[i].properties))
			buf_addf(out, " %s", d->mechanisms[i].name);
	pthread_mutex_unlock(&d->lock);
}

/* Exchanges. */

void dovecot_exchange_free(struct dovecot_exchange **xp) {
	struct dovecot_exchange *x = TAKE(*xp);
	if (x == NULL) return;
	if (x->line != NULL)
		line_close(x->line); /* in the middle of something: Dovecot forgets it with the connection */
	mem_wipe(x->request.at, x->request.len);
	buf_done(&x->request);
	free(x);
}

static bool plain_word(const char *s) {
	return s != NULL && strpbrk(s, "\t\r\n\1") == NULL;
}

static void add_request(const struct dovecot_exchange *x, struct slice mechanism, const struct dovecot_client *client,
			struct slice response, struct buf *out) {
	buf_addf(out, "AUTH\t%u\t%.*s\tservice=%s\tnologin", x->id, SLICE_ARG(mechanism), x->dovecot->service);
	if (plain_word(client->local)) buf_addf(out, "\tlip=%s", client->local);
	if (plain_word(client->remote)) buf_addf(out, "\trip=%s", client->remote);
	if (client->secured) buf_add(out, S("\tsecured"));
	if (response.at != NULL) /* the last, by the protocol */
		buf_addf(out, "\tresp=%.*s", SLICE_ARG(response.len != 0 ? response : S("=")));
	buf_byte(out, '\n');
}

/* A line of an exchange that was given up, or of no interest: SASL_WAIT. */
static enum sasl_answer read_line(const struct dovecot_exchange *x, struct slice text, struct arena *mem,
				  struct slice *challenge, struct slice *user) {
	struct dovecot_line line;
	if (!dovecot_line_read(text, mem, &line))
		return fail("Dovecot's auth service: malformed answer"), SASL_DEFERRED;
	if (line.word != DOVECOT_OK && line.word != DOVECOT_CONT && line.word != DOVECOT_FAIL) return SASL_WAIT;
	if (line.id != x->id) return SASL_WAIT;
	if (line.word == DOVECOT_CONT) {
		*challenge = arena_slice(mem, line.text);
		return SASL_MORE;
	}
	*user = arena_slice(mem, line.text);
	if (line.word == DOVECOT_OK) return SASL_DONE;
	if (line.temporary) return fail("Dovecot cannot tell now (see its log)"), SASL_DEFERRED;
	return SASL_REFUSED;
}

/* What has come so far; SASL_WAIT: the answer is not among it. */
static enum sasl_answer read_answer(struct dovecot_exchange *x, struct arena *mem, struct slice *challenge,
				    struct slice *user) {
	*user = SLICE_NONE;
	if (x->line == NULL) return SASL_DEFERRED;
	for (;;) {
		struct slice text;
		int r = stream_line(x->line->stream, LINE_MOST, &text, NULL);
		if (r == STREAM_AGAIN) r = stream_fill(x->line->stream);
		else if (r == STREAM_OK) {
			enum sasl_answer answer = read_line(x, text, mem, challenge, user);
			if (answer != SASL_WAIT) return answer;
			if (++x->lines >= LINES_MOST)
				return fail("Dovecot's auth service: no answer to the question"), SASL_DEFERRED;
		}
		if (r == STREAM_AGAIN && clock_ms() < x->until) return SASL_WAIT;
		if (r != STREAM_OK) return lost(r == STREAM_AGAIN ? STREAM_LATE : r), SASL_DEFERRED;
	}
}

static void ask(struct dovecot_exchange *x) {
	x->lines = 0;
	if (x->line != NULL && put(x->line, buf_slice(&x->request), x->until) < 0) line_close(TAKE(x->line));
}

enum sasl_answer dovecot_go_on(struct dovecot_exchange **xp, struct arena *mem, struct slice *challenge,
			       struct slice *user) {
	struct dovecot_exchange *x = *xp;
	enum sasl_answer answer = read_answer(x, mem, challenge, user);
	/* a Dovecot that restarts closes them, or cannot tell any more, just when it is asked: its successor can */
	while (x->kept && answer == SASL_DEFERRED && x->tries++ <= KEPT_MOST) {
		if (x->line != NULL) line_close(TAKE(x->line));
		x->line = take_line(x->dovecot, x->until, &x->kept);
		ask(x);
		answer = read_answer(x, mem, challenge, user);
	}
	if (answer == SASL_WAIT) return answer;
	if (answer == SASL_DEFERRED) say(L_WARN, "auth", "smtpd_sasl_path: %s", fail_text());
	if (answer == SASL_DONE || answer == SASL_REFUSED) keep(x->dovecot, TAKE(x->line));
	if (answer != SASL_MORE) dovecot_exchange_free(xp);
	return answer;
}

enum sasl_answer dovecot_take(struct dovecot *d, struct dovecot_exchange **xp, struct slice mechanism,
			      const struct dovecot_client *client, struct slice response, struct arena *mem,
			      struct slice *challenge, struct slice *user) {
	struct dovecot_exchange *x = *xp;
	if (x == NULL) {
		x = *xp = mem_get(sizeof *x);
		*x = (struct dovecot_exchange){
			.dovecot = d, .id = ++d->next_id, .until = deadline_in(d->timeout_ms), .request = BUF(OUT_MOST)
		};
		x->line = take_line(d, x->until, &x->kept);
		add_request(x, mechanism, client, response, &x->request);
	} else {
		x->kept = false; /* in the middle of an exchange nobody else can go on */
		x->until = deadline_in(d->timeout_ms);
		mem_wipe(x->request.at, x->request.len);
		buf_clear(&x->request);
		buf_addf(&x->request, "CONT\t%u\t%.*s\n", x->id, SLICE_ARG(response));
	}
	*user = SLICE_NONE;
	if (x->request.full) {
		dovecot_exchange_free(xp);
		return SASL_MALFORMED;
	}
	ask(x);
	return dovecot_go_on(xp, mem, challenge, user);
}

int dovecot_awaits(const struct dovecot_exchange *x) {
	return stream_fd(x->line->stream);
}

int64_t dovecot_until(const struct dovecot_exchange *x) {
	return x->until;
}
