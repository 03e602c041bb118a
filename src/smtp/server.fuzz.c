/* SPDX-License-Identifier: Apache-2.0 */
/* A session fed with what a client may send, in pieces. The first byte chooses settings, the second the size of
 * pieces. Checked: the promises that ops are given, and that the session always parks or ends. */
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include "smtp/server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct owner {
	bool open, texting; /* a transaction; its text is coming */
	uint64_t bytes;
	unsigned rcpts;
	char last;
};

static struct smtp_reply on_connect(void *owner, struct arena *mem) {
	(void)owner;
	return smtp_reply_fmt(mem, 220, NULL, "%s ESMTP", "fuzz");
}

static enum sasl_verdict on_auth(void *owner, const struct sasl_ask *ask, struct arena *mem, struct sasl_found *found) {
	(void)owner, (void)mem;
	if (ask->means == SASL_BY_SALT) {
		*found = (struct sasl_found){ .salt = S("salt"), .rounds = 4096 };
		return SASL_YES;
	}
	must(ask->user.len != 0 && ask->secret.len != 0);
	found->name = ask->user;
	return ask->secret.at[0] == 's' ? SASL_YES : SASL_NO;
}

static struct smtp_reply on_mail(void *owner, const struct smtp_mail *mail, struct arena *mem) {
	struct owner *o = owner;
	(void)mem;
	must(!o->open && mail->kind != ADDRESS_BAD);
	o->rcpts = 0;
	o->open = !slice_starts(mail->text, S("no"));
	return o->open ? smtp_reply(250, "2.1.0", S("Ok")) : smtp_reply(550, "5.7.1", S("no"));
}

static struct smtp_reply on_rcpt(void *owner, const struct smtp_rcpt *rcpt, struct arena *mem) {
	struct owner *o = owner;
	must(o->open && !o->texting);
	if (slice_starts(rcpt->text, S("no")))
		return smtp_reply_fmt(mem, 550, "5.1.1", "<%.*s>: no", SLICE_ARG(rcpt->text));
	o->rcpts++;
	return smtp_reply(250, "2.1.5", S("Ok"));
}

static struct smtp_reply on_data_begin(void *owner, struct arena *mem) {
	struct owner *o = owner;
	(void)mem;
	must(o->open && o->rcpts > 0);
	o->texting = true;
	o->bytes = 0;
	o->last = '\n';
	return smtp_reply(354, NULL, S("go"));
}

static void on_data_bytes(void *owner, struct slice bytes) {
	struct owner *o = owner;
	must(o->open && o->texting && bytes.len != 0);
	o->bytes += bytes.len;
	o->last = bytes.at[bytes.len - 1];
	must(slice_find(bytes, '\0') == bytes.len);
}

static void on_data_end(void *owner, const struct smtp_content *content, struct smtp_reply *replies, size_t count,
                        struct arena *mem) {
	struct owner *o = owner;
	(void)mem;
	must(o->open && o->texting && content->size == o->bytes && o->last == '\n' &&
	     (count == 1 || count == o->rcpts));
	for (size_t i = 0; i < count; i++) replies[i] = smtp_reply(250, "2.0.0", S("Ok: queued"));
	o->open = o->texting = false;
}

static void on_reset(void *owner) {
	struct owner *o = owner;
	must(o->open);
	o->open = o->texting = false;
}

static void on_note(void *owner, const struct smtp_note *note) {
	(void)owner;
	AUTO_BUF struct buf text = BUF(KIB(64));
	smtp_note_add(&text, note, S("h[192.0.2.1]"));
	must(smtp_session_with(note->session) != NULL && smtp_note_level(note) <= L_WARN);
}

static const struct smtp_server_ops ops = {
	.connect = on_connect, .auth = on_auth, .mail = on_mail, .rcpt = on_rcpt, .data_begin = on_data_begin,
	.data_bytes = on_data_bytes, .data_end = on_data_end, .reset = on_reset, .note = on_note,
};

static void drain(int fd) {
	char room[4096];
	while (recv(fd, room, sizeof room, MSG_DONTWAIT) > 0) { }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	int pair[2];
	if (size < 2 || size > 1 << 18) return 0;
	must(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	struct smtp_server_params params = smtp_server_defaults;
	params.lmtp = data[0] & 1;
	params.auth_clear = data[0] & 2 ? SASL_USUAL | SASL_OAUTHBEARER : 0;
	params.strict_pipelining = data[0] & 4;
	params.helo_required = data[0] & 8;
	params.strict_paths = data[0] & 16;
	params.size_limit = (data[0] & 32) != 0 ? 100 : 0;
	params.text_line_limit = (data[0] & 64) != 0 ? 64 : 0;
	params.offer |= OFFER_VRFY;
	params.error_delay = 0;
	size_t piece = data[1] == 0 ? 30000 : data[1];
	struct owner owner = { 0 };
	struct stream *stream = stream_new(pair[0], KIB(32), KIB(600));
	struct smtp_server *s = smtp_server_new(stream, &params, &ops, &owner);
	enum smtp_next next = smtp_server_step(s, WAKE_CALL);
	for (size_t at = 2; next == SMTP_PARK && at < size; at += piece) {
		must(send(pair[1], data + at, MIN_OF(piece, size - at), MSG_NOSIGNAL) > 0);
		do next = smtp_server_step(s, WAKE_IO);
		while (next == SMTP_PARK && smtp_server_deadline(s) == 0);
		drain(pair[1]);
	}
	shutdown(pair[1], SHUT_WR);
	for (int i = 0; next == SMTP_PARK; i++) {
		must(i < 1000);
		drain(pair[1]);
		next = smtp_server_step(s, WAKE_IO);
	}
	smtp_server_free(&s);
	must(!owner.open);
	stream_close(&stream);
	close(pair[1]);
	return 0;
}
