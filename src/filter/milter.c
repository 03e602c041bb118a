/* SPDX-License-Identifier: Apache-2.0 */
/* The conversation with one milter. All trouble ends in milter_fail: one warning, the connection closed, and from then
 * on the default action, so that nothing a milter does can stop the session. */
#include "filter/milter_private.h"
#include "base/clock.h"
#include "base/fail.h"
#include "base/log.h"

#include <poll.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { ADDRESSES_MAX = 8, COMPLAIN_EVERY_MS = 60000, PATIENCE = 10, GATHER = 1 << 16, OUT_MAX = MILTER_PACKET_MAX * 4 };

void milter_fail(struct milters *all, struct milter *m, const char *format, ...) {
	AUTO_BUF struct buf text = BUF(1024);
	va_list args;
	va_start(args, format);
	buf_addv(&text, format, args);
	va_end(args);
	int64_t now = clock_ms(), last = m->spec->complained;
	if ((last == 0 || now - last >= COMPLAIN_EVERY_MS) &&
	    atomic_compare_exchange_strong(&m->spec->complained, &last, MAX_OF(now, 1)))
		say(L_WARN, all->params->service, "%s", buf_text(&text));
	milter_close(m);
	m->state = MILTER_FAILED;
}

bool milter_close(struct milter *m) {
	stream_close(&m->wire);
	buf_done(&m->out);
	m->out = BUF(OUT_MAX);
	m->taken = 0;
	m->in_message = false;
	return false;
}

struct milter_verdict milter_default_verdict(const struct milter *m) {
	switch (m->spec->action) {
	case MILTER_DEFAULT_REJECT:
		return (struct milter_verdict){ MILTER_REFUSE, 550, "5.5.0", S("Service unavailable"), false };
	case MILTER_DEFAULT_TEMPFAIL:
		return (struct milter_verdict){ MILTER_REFUSE, 451, "4.7.1", S("Service unavailable - try again later"),
						false };
	case MILTER_DEFAULT_QUARANTINE: return (struct milter_verdict){ .kind = MILTER_GO_ON, .hold = true };
	case MILTER_DEFAULT_SHUTDOWN: return (struct milter_verdict){ .kind = MILTER_HANG_UP };
	case MILTER_DEFAULT_ACCEPT: break;
	}
	return (struct milter_verdict){ .kind = MILTER_GO_ON };
}

/* Opening. */

static int connect_to(const struct sockaddr *to, socklen_t len, int64_t deadline) {
	AUTO_FD int fd = socket(to->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) return -1;
	int error = connect(fd, to, len) == 0 ? 0 : errno;
	if (error == EINPROGRESS || error == EAGAIN) {
		struct pollfd p = { .fd = fd, .events = POLLOUT };
		socklen_t size = sizeof error;
		int n;
		do n = poll(&p, 1, deadline_left(deadline));
		while (n < 0 && errno == EINTR);
		if (n == 0) error = ETIMEDOUT;
		else if (n < 0 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0) error = errno;
	}
	errno = error;
	return error == 0 ? TAKE_FD(fd) : -1;
}

static int connect_unix(const char *path, int64_t deadline) {
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	size_t n = strlen(path);
	errno = ENAMETOOLONG;
	if (n >= sizeof to.sun_path) return -1;
	memcpy(to.sun_path, path, n + 1);
	return connect_to((const struct sockaddr *)&to, sizeof to, deadline);
}

static size_t addresses_of(const struct milters *all, const struct milter_spec *spec, int64_t deadline,
			   struct arena *mem, struct addr *out) {
	struct addr *found;
	size_t n = 0;
	if (addr_parse(spec->host, &out[0])) n = 1;
	else if (slice_same(spec->host, S("localhost"))) {
		if (spec->family != DNS_IPV6 && addr_parse(S("127.0.0.1"), &out[n])) n++;
		if (spec->family != DNS_IPV4 && addr_parse(S("::1"), &out[n])) n++;
	} else if (all->params->dns != NULL &&
		   dns_addresses(all->params->dns, spec->host, spec->family != 0 ? spec->family : DNS_IPV4 | DNS_IPV6,
				 deadline, mem, &found, &n, NULL) == DNS_OK) {
		n = MIN_OF(n, (size_t)ADDRESSES_MAX);
		memcpy(out, found, n * sizeof *out);
	} else n = 0;
	for (size_t i = 0; i < n; i++) addr_set_port(&out[i], spec->port);
	return n;
}

static int connect_any(struct milters *all, const struct milter_spec *spec, int64_t deadline) {
	AUTO_ARENA struct arena mem = { 0 };
	struct addr list[ADDRESSES_MAX];
	int fd = -1;
	errno = 0;
	if (spec->path != NULL) fd = connect_unix(spec->path, deadline);
	else {
		size_t n = addresses_of(all, spec, deadline, &mem, list);
		if (n == 0) return fail("host name %.*s not found", SLICE_ARG(spec->host));
		for (size_t i = 0; i < n && fd < 0; i++) fd = connect_to(&list[i].any, list[i].len, deadline);
	}
	if (fd >= 0) return fd;
	int error = errno;
	(void)fail("%s", strerror(error));
	errno = error;
	return -1;
}

/* A packet, or false with the reason told. */
static bool read_packet(struct milters *all, struct milter *m, const char *of, int64_t deadline, char *kind,
			struct slice *data) {
	stream_eat(m->wire, m->taken);
	m->taken = 0;
	for (;;) {
		struct slice in = stream_peek(m->wire);
		if (in.len >= 5) {
			uint32_t len = 0;
			for (size_t i = 0; i < 4; i++) len = len << 8 | (unsigned char)in.at[i];
			if (len == 0 || len > MILTER_PACKET_MAX) {
				milter_fail(all, m, "milter %s: unreasonable packet length: %u in reply to %s",
					    m->spec->name, len, of);
				return false;
			}
			if (in.len >= 4 + (size_t)len) {
				*kind = in.at[4];
				*data = slice_from(in.at + 5, len - 1);
				m->taken = 4 + (size_t)len;
				return true;
			}
		}
		int r = stream_wait_fill(m->wire, deadline);
		if (r == STREAM_OK) continue;
		const char *why = r == STREAM_LATE ? "Connection timed out" : r < 0 ? fail_text() : "connection closed";
		milter_fail(all, m, "milter %s: can't read %s reply: %s", m->spec->name, of, why);
		return false;
	}
}

static bool negotiate(struct milters *all, struct milter *m, int64_t deadline) {
	struct milter_offer ours = milter_offer_of(m->spec->version), theirs;
	char kind;
	struct slice data;
	milter_put_offer(&m->out, &ours);
	if (!milter_flush(all, m, deadline - clock_ms())) return false;
	if (!read_packet(all, m, "SMFIC_OPTNEG", deadline, &kind, &data)) return false;
	if (kind != MILTER_R_OFFER || !milter_offer_parse(data, &theirs)) {
		milter_fail(all, m, "milter %s: unexpected reply to SMFIC_OPTNEG (is that a milter?)", m->spec->name);
		return false;
	}
	if (theirs.version < 2 || theirs.version > ours.version || (theirs.actions & ~ours.actions) != 0) {
		milter_fail(all, m,
			    "milter %s: wants protocol version %u, actions 0x%x; version %u, actions 0x%x were offered "
			    "(set milter_protocol)",
			    m->spec->name, theirs.version, theirs.actions, ours.version, ours.actions);
		return false;
	}
	m->offer = theirs;
	m->offer.steps &= ours.steps;
	if (m->spec->no_header_reply) m->offer.steps |= MILTER_NR_HEADER;
	for (size_t i = 0; i < MILTER_STAGES; i++)
		m->offer.macros[i] =
			theirs.macros[i].at != NULL ? arena_slice(&all->mem, theirs.macros[i]) : SLICE_NONE;
	return true;
}

bool milter_open(struct milters *all, struct milter *m) {
	int64_t deadline = deadline_in(m->spec->connect_ms);
	int fd = connect_any(all, m->spec, deadline);
	if (fd < 0 && m->spec->stand_in && (errno == ENOENT || errno == ECONNREFUSED || errno == EACCES)) {
		int64_t last = 0;
		if (atomic_compare_exchange_strong(&m->spec->complained, &last, MAX_OF(clock_ms(), 1)))
			say(L_INFO, all->params->service, "milter %s cannot be reached (%s): its checks are built in",
			    m->spec->name, strerror(errno));
		m->state = MILTER_PLEASED;
		return false;
	}
	if (fd < 0) {
		milter_fail(all, m, "connect to Milter service %s: %s", m->spec->name, fail_text());
		return false;
	}
	m->wire = stream_new(fd, MILTER_PACKET_MAX + KIB(64), OUT_MAX);
	m->state = MILTER_ON;
	return negotiate(all, m, deadline);
}

/* Commands. */

static void put_macros(struct milters *all, struct milter *m, const struct milter_send *what, struct arena *mem) {
	if (what->stage == MILTER_STAGES) return;
	struct slice names = m->offer.macros[what->stage];
	if (names.at == NULL) names = all->params->macros[what->stage];
	size_t begun = milter_packet_begin(&m->out, MILTER_C_MACRO);
	buf_byte(&m->out, (char)what->command);
	for (struct slice name; (name = slice_word(&names, " \t\r\n,")).len != 0;) {
		struct slice value = all->ops->macro(all->ctx, name, mem);
		if (value.at == NULL) continue;
		milter_put_text(&m->out, name);
		milter_put_text(&m->out, slice_head(value, MILTER_TEXT_MAX));
	}
	milter_packet_end(&m->out, begun); /* also when there is none: those of the last message go */
}

void milter_send(struct milters *all, struct milter *m, const struct milter_send *what, struct slice data,
		 struct arena *mem) {
	put_macros(all, m, what, mem);
	size_t begun = milter_packet_begin(&m->out, what->command);
	buf_add(&m->out, data);
	milter_packet_end(&m->out, begun);
}

bool milter_flush(struct milters *all, struct milter *m, int64_t ms) {
	int r = m->out.full ? fail("too much text") : stream_wait_put(m->wire, buf_slice(&m->out), deadline_in(ms));
	if (r == STREAM_OK) r = stream_wait_flush(m->wire, deadline_in(ms));
	buf_clear(&m->out);
	if (r == STREAM_OK) return true;
	milter_fail(all, m, "milter %s: write error: %s", m->spec->name,
		    r == STREAM_LATE ? "Connection timed out" : r < 0 ? fail_text() : "connection closed");
	return false;
}

bool milter_receive(struct milters *all, struct milter *m, const struct milter_send *what, struct arena *mem,
		    struct milter_reply *out) {
	const char *of = milter_command_name((char)what->command);
	int64_t end = deadline_in(what->ms * PATIENCE); /* even for one that makes progress all the time */
	for (;;) {
		char kind;
		struct slice data;
		if (!read_packet(all, m, of, MIN_OF(end, deadline_in(what->ms)), &kind, &data)) return false;
		if (!milter_reply_parse(kind, data, mem, out)) {
			milter_fail(all, m, "milter %s: malformed reply 0x%02x of %zu bytes to %s", m->spec->name,
				    (unsigned char)kind, data.len, of);
			return false;
		}
		if (out->kind != MILTER_R_PROGRESS) return true;
	}
}

static bool of_session(const struct milter_send *what) {
	return what->command == MILTER_C_CONNECT || what->command == MILTER_C_HELO;
}

static struct milter_verdict refusal(const struct milter_reply *r) {
	struct milter_verdict v = { MILTER_REFUSE, 451, "4.7.1", S("Service unavailable - try again later"), false };
	if (r->kind == MILTER_R_REJECT)
		v = (struct milter_verdict){ MILTER_REFUSE, 550, "5.7.1", S("Command rejected"), false };
	if (r->kind == MILTER_R_REPLY_CODE) {
		v.code = r->code;
		memcpy(v.status, r->status, sizeof v.status);
		v.text = r->value;
	}
	return v;
}

struct milter_verdict milter_judge(struct milters *all, struct milter *m, const struct milter_send *what,
				   const struct milter_reply *r) {
	struct milter_verdict v = { .kind = MILTER_GO_ON };
	switch (r->kind) {
	case MILTER_R_CONTINUE: return v;
	case MILTER_R_SKIP:
		if (what->command == MILTER_C_BODY || what->command == MILTER_C_HEADER) return v;
		break;
	case MILTER_R_ACCEPT: m->state = of_session(what) ? MILTER_PLEASED : MILTER_PLEASED_MESSAGE; return v;
	case MILTER_R_DISCARD:
		if (of_session(what)) break;
		m->state = MILTER_PLEASED_MESSAGE;
		v.kind = MILTER_DISCARD;
		return v;
	case MILTER_R_SHUTDOWN:
	case MILTER_R_CONN_FAIL: v.kind = MILTER_HANG_UP; return v;
	case MILTER_R_REJECT:
	case MILTER_R_TEMPFAIL:
	case MILTER_R_REPLY_CODE:
		v = refusal(r);
		if (!of_session(what)) return v;
		m->state = MILTER_REFUSES;
		v.text = arena_slice(&all->mem, v.text);
		m->kept = v;
		return v;
	default: break;
	}
	milter_fail(all, m, "milter %s: unexpected reply '%c' to %s", m->spec->name, r->kind,
		    milter_command_name((char)what->command));
	return milter_default_verdict(m);
}

struct milter_verdict milter_step(struct milters *all, struct milter *m, const struct milter_send *what,
				  struct slice data, struct arena *mem) {
	struct milter_verdict go_on = { .kind = MILTER_GO_ON };
	struct milter_reply reply;
	if (m->state == MILTER_FAILED) return milter_default_verdict(m);
	if (m->state == MILTER_REFUSES) return m->kept;
	if (m->state != MILTER_ON || (m->offer.steps & what->unwanted) != 0) return go_on;
	milter_send(all, m, what, data, mem);
	if (!of_session(what) && what->command != MILTER_C_UNKNOWN) m->in_message = true;
	bool silent = (m->offer.steps & what->silent) != 0;
	if (silent && m->out.len < GATHER) return go_on;
	if (!milter_flush(all, m, what->ms)) return milter_default_verdict(m);
	if (silent) return go_on;
	if (!milter_receive(all, m, what, mem, &reply)) return milter_default_verdict(m);
	return milter_judge(all, m, what, &reply);
}
