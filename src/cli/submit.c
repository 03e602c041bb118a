/* SPDX-License-Identifier: Apache-2.0 */
/* Everything is said in one write and heard in one reading: the server's answers are few and small, and who hands in a
 * thousand messages waits a thousand times. */
#include "cli/submit.h"
#include "cli/instance.h"
#include "flow/submit_words.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>

enum { PATIENCE_S = 300, REPLIES_MAX = 4 << 20, COMPLETE = 0744, BANNER_TEXT = 4 };

/* Replies, as they come in. */
struct hearing {
	int fd;
	struct buf in;
	size_t from; /* of the next reply */
};

/* The code of the next reply, and its last line; 0: the server is gone, errno says how. */
static unsigned hear(struct hearing *h, struct slice *line) {
	for (;;) {
		struct slice rest = slice_skip(buf_slice(&h->in), h->from);
		size_t end = slice_find(rest, '\n');
		if (end != rest.len) {
			uint64_t code = 0;
			*line = slice_trim(slice_head(rest, end));
			h->from += end + 1;
			if (line->len >= 4 && line->at[3] == '-') continue;
			slice_number(slice_head(*line, 3), 999, &code);
			return (unsigned)code;
		}
		char *at = buf_room(&h->in, 4096);
		errno = EPIPE; /* for a plain end */
		ssize_t n = at != NULL ? recv(h->fd, at, 4096, 0) : 0;
		if (n < 0 && errno == EINTR) continue;
		if (n <= 0) return 0;
		h->in.len += (size_t)n;
	}
}

/* "220 HOST ESMTP hato (origin ORIGIN, size N[, from obsolete][, names in CHARSET][, line ends strict|never])" */
static void read_hello(struct slice line, struct submit_hello *out) {
	line = slice_skip(line, BANNER_TEXT);
	struct slice host = slice_head(line, slice_find(line, ' '));
	static const struct slice origin_is = S("(origin "), size_is = S(", size ");
	struct slice origin = slice_skip(line, slice_search(line, origin_is) + origin_is.len);
	struct slice size = slice_skip(origin, slice_search(origin, size_is) + size_is.len);
	*out = (struct submit_hello){ 0 };
	snprintf(out->host, sizeof out->host, "%.*s", SLICE_ARG(host));
	snprintf(out->origin, sizeof out->origin, "%.*s", SLICE_ARG(slice_head(origin, slice_find(origin, ','))));
	struct slice wishes = slice_skip(size, slice_find(size, ','));
	size = slice_head(size, size.len - wishes.len);
	slice_number(slice_head(size, slice_find(size, ')')), UINT64_MAX, &out->size_limit);
	out->obsolete_from = slice_search(wishes, S(SUBMIT_SAYS_OBSOLETE)) < wishes.len;
	struct slice names = slice_skip(wishes, slice_search(wishes, S(SUBMIT_SAYS_CHARSET)));
	names = slice_skip(names, sizeof SUBMIT_SAYS_CHARSET - 1);
	names = slice_head(names, MIN_OF(slice_find(names, ','), slice_find(names, ')')));
	snprintf(out->charset, sizeof out->charset, "%.*s", SLICE_ARG(names.len != 0 ? names : S("utf-8")));
	if (slice_search(wishes, S(SUBMIT_SAYS_STRICT)) < wishes.len) out->ends = SUBMIT_ENDS_STRICT;
	if (slice_search(wishes, S(SUBMIT_SAYS_NEVER)) < wishes.len) out->ends = SUBMIT_ENDS_NEVER;
}

int submit_open(const char *data, struct submit_hello *hello) {
	AUTO_FD int fd = instance_connect(data, "submit");
	if (fd < 0) return -1;
	struct timeval patience = { .tv_sec = PATIENCE_S };
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
	struct hearing h = { .fd = fd, .in = BUF(REPLIES_MAX) };
	struct slice line = SLICE_NONE;
	bool greeted = hear(&h, &line) == 220;
	if (greeted) read_hello(line, hello);
	buf_done(&h.in);
	return greeted ? TAKE_FD(fd) : -1;
}

/* A client's half of the session, but for the text itself and what follows it. */
static const char goodbye[] = "QUIT\r\n";
static void add_parameter(struct buf *out, const char *name, struct slice value) {
	if (value.len != 0) buf_addf(out, " %s=%.*s", name, SLICE_ARG(value));
}

static void add_commands(struct buf *out, const struct submission *s) {
	buf_addf(out, "EHLO %s\r\nMAIL FROM:<%.*s> SIZE=%zu", s->mode, SLICE_ARG(s->sender), s->text.len);
	add_parameter(out, "BODY", s->body);
	add_parameter(out, "RET", s->ret);
	add_parameter(out, "ENVID", s->envid);
	if (s->verp.len != 0) buf_addf(out, " %.*s", SLICE_ARG(s->verp));
	buf_add(out, s->utf8 ? S(" SMTPUTF8\r\n") : S("\r\n"));
	for (size_t i = 0; i < s->count; i++) {
		buf_addf(out, "RCPT TO:<%.*s>", SLICE_ARG(s->recipients[i]));
		add_parameter(out, "NOTIFY", s->notify);
		if (s->each != NULL) buf_add(out, s->each[i]);
		buf_add(out, S("\r\n"));
	}
	buf_addf(out, "BDAT %zu LAST\r\n", s->text.len);
}

static bool write_parts(int fd, bool socket, struct slice commands, struct slice text) {
	struct iovec parts[] = { { (void *)(uintptr_t)commands.at, commands.len },
				 { (void *)(uintptr_t)text.at, text.len },
				 { (void *)(uintptr_t)goodbye, sizeof goodbye - 1 } };
	size_t first = 0;
	while (first < LEN(parts)) {
		struct msghdr m = { .msg_iov = parts + first, .msg_iovlen = LEN(parts) - first };
		ssize_t n =
			socket ? sendmsg(fd, &m, MSG_NOSIGNAL) : writev(fd, parts + first, (int)(LEN(parts) - first));
		if (n < 0 && errno == EINTR) continue;
		if (n < 0) return false;
		for (size_t done = (size_t)n; first < LEN(parts); first++) {
			size_t step = MIN_OF(done, parts[first].iov_len);
			parts[first].iov_base = (char *)parts[first].iov_base + step;
			parts[first].iov_len -= step;
			done -= step;
			if (parts[first].iov_len != 0) break;
		}
	}
	return true;
}

/* The answers, in the order of the commands. */
static enum submit_result judge(struct hearing *h, const struct submission *s, struct buf *said) {
	enum { AT_EHLO, AT_MAIL, AT_RCPT };
	enum submit_result worst = SUBMIT_DONE;
	for (size_t i = 0; i < AT_RCPT + s->count + 1; i++) {
		struct slice line = SLICE_NONE;
		unsigned code = hear(h, &line);
		if (code >= 200 && code < 300) continue;
		if (said->len == 0) buf_add(said, code != 0 ? line : slice_of(strerror(errno)));
		if (code == 0 || code == 421) return SUBMIT_LATER;
		bool denied = i == AT_MAIL && slice_starts(line, S("550 5.7.1"));
		if (denied) return SUBMIT_DENIED;
		worst = code >= 500 || worst == SUBMIT_REFUSED ? SUBMIT_REFUSED : SUBMIT_LATER;
	}
	return worst;
}

enum submit_result submit_send(int fd, const struct submission *s, struct buf *said) {
	AUTO_BUF struct buf commands = BUF(SIZE_MAX / 2);
	add_commands(&commands, s);
	struct hearing h = { .fd = fd, .in = BUF(REPLIES_MAX) };
	/* who is refused early may find the door shut: the reason stands in the answers */
	write_parts(fd, true, buf_slice(&commands), s->text);
	enum submit_result r = judge(&h, s, said);
	buf_done(&h.in);
	return r;
}

/* The folder cannot be listed, so that the name is a secret between us and edge. */
static int create_in(const char *data, struct buf *path) {
	uint64_t mark[2];
	if (getrandom(mark, sizeof mark, 0) != (ssize_t)sizeof mark) return -1;
	buf_addf(path, "%s/maildrop/%016llx%016llx", data, (unsigned long long)mark[0], (unsigned long long)mark[1]);
	return open(buf_text(path), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
}

enum submit_result submit_drop(const char *data, const struct submission *s, struct buf *said) {
	AUTO_BUF struct buf commands = BUF(SIZE_MAX / 2);
	AUTO_BUF struct buf path = BUF(PATH_MAX);
	add_commands(&commands, s);
	AUTO_FD int fd = create_in(data, &path);
	/* the mode says "complete": it must not reach the disk before what it speaks of */
	if (fd >= 0 && write_parts(fd, false, buf_slice(&commands), s->text) && fsync(fd) == 0 &&
	    fchmod(fd, COMPLETE) == 0 && fsync(fd) == 0)
		return SUBMIT_DONE;
	buf_addf(said, "%s/maildrop: %s", data, strerror(errno));
	if (fd >= 0) unlink(buf_text(&path));
	return SUBMIT_LATER;
}
