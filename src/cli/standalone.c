/* SPDX-License-Identifier: Apache-2.0 */
/* The same session as the server's (smtp/server.h), played here: no policy, and what comes in goes to the maildrop
 * folder, from where the server takes it when it is back. */
#include "cli/standalone.h"
#include "cli/submit.h"
#include "base/fail.h"
#include "mime/address.h"
#include "smtp/dsn.h"
#include "smtp/server.h"

#include <poll.h>
#include <sys/epoll.h>

enum { ROOM = 1 << 16, RECIPIENTS_MOST = 1000 };

struct standalone {
	const char *data;
	const struct submit_hello *hello;
	struct arena mem; /* of the transaction */
	struct submission m;
	struct slice *recipients, *parameters;
	struct buf text;
};

static struct smtp_reply on_connect(void *owner, struct arena *mem) {
	const struct standalone *s = owner;
	return smtp_reply_fmt(mem, 220, NULL, "%s ESMTP", s->hello->host);
}

static void on_reset(void *owner) {
	struct standalone *s = owner;
	arena_reset(&s->mem);
	buf_done(&s->text);
	s->m = (struct submission){ 0 };
	s->recipients = s->parameters = NULL;
}

static bool on_verp(void *owner) {
	(void)owner;
	return true;
}

static struct smtp_reply on_mail(void *owner, const struct smtp_mail *mail, struct arena *mem) {
	struct standalone *s = owner;
	(void)mem;
	on_reset(s);
	s->recipients = arena_array(&s->mem, RECIPIENTS_MOST, sizeof *s->recipients);
	s->parameters = arena_array(&s->mem, RECIPIENTS_MOST, sizeof *s->parameters);
	s->m = (struct submission){ .mode = "submit",
				    .sender = arena_slice(&s->mem, mail->text),
				    .envid = arena_slice(&s->mem, mail->envid),
				    .ret = mail->ret == SMTP_RET_FULL   ? S("FULL")
					   : mail->ret == SMTP_RET_HDRS ? S("HDRS")
									: S(""),
				    .body = mail->body == SMTP_BODY_8BITMIME ? S("8BITMIME") : S(""),
				    .verp = mail->verp.len != 0
						    ? arena_fmt(&s->mem, "XVERP=%.*s", SLICE_ARG(mail->verp))
						    : S(""),
				    .utf8 = mail->utf8,
				    .recipients = s->recipients,
				    .each = s->parameters };
	return smtp_reply(250, "2.1.0", S("Ok"));
}

static struct smtp_reply on_rcpt(void *owner, const struct smtp_rcpt *rcpt, struct arena *mem) {
	struct standalone *s = owner;
	(void)mem;
	AUTO_BUF struct buf parameters = BUF(KIB(8));
	smtp_notify_add(&parameters, rcpt->notify);
	if (rcpt->orcpt.len != 0) buf_addf(&parameters, " ORCPT=%.*s", SLICE_ARG(rcpt->orcpt));
	s->parameters[s->m.count] = arena_slice(&s->mem, buf_slice(&parameters));
	s->recipients[s->m.count++] = arena_slice(&s->mem, rcpt->text);
	return smtp_reply(250, "2.1.5", S("Ok"));
}

static struct smtp_reply on_data(void *owner, struct arena *mem) {
	struct standalone *s = owner;
	(void)mem;
	s->text = BUF(SIZE_MAX / 2);
	return smtp_reply(354, NULL, S(""));
}

static void on_bytes(void *owner, struct slice bytes) {
	struct standalone *s = owner;
	buf_add(&s->text, bytes);
}

static void on_end(void *owner, const struct smtp_content *content, struct smtp_reply *replies, size_t count,
		   struct arena *mem) {
	struct standalone *s = owner;
	AUTO_BUF struct buf said = BUF(KIB(4));
	(void)content, (void)count;
	s->m.text = buf_slice(&s->text);
	enum submit_result r = s->text.full ? SUBMIT_LATER : submit_drop(s->data, &s->m, &said);
	if (r == SUBMIT_DONE) replies[0] = smtp_reply(250, "2.0.0", S("Ok: queued as maildrop"));
	else replies[0] = smtp_reply_fmt(mem, 451, "4.3.0", "Error: queue file write error");
	on_reset(s);
}

static void on_note(void *owner, const struct smtp_note *n) {
	(void)owner, (void)n; /* nobody reads a log of ours now */
}

void standalone_serve(int fd, const char *data, const struct submit_hello *hello) {
	static const struct smtp_server_ops ops = { .connect = on_connect,
						    .mail = on_mail,
						    .rcpt = on_rcpt,
						    .data_begin = on_data,
						    .data_bytes = on_bytes,
						    .data_end = on_end,
						    .reset = on_reset,
						    .note = on_note,
						    .may_verp = on_verp };
	struct standalone owner = { .data = data, .hello = hello };
	struct smtp_server_params p = smtp_server_defaults;
	p.host = hello->host;
	p.offer = OFFER_USUAL | OFFER_XVERP;
	p.verp_delimiters = "+=";
	p.verp_filter = "-=+";
	p.strict_pipelining = false;
	p.recipient_limit = RECIPIENTS_MOST;
	p.size_limit = hello->size_limit;
	p.error_delay = 0;
	struct stream *stream = stream_new(fd, ROOM, ROOM);
	struct smtp_server *server = smtp_server_new(stream, &p, &ops, &owner);
	enum wake why = WAKE_CALL;
	while (smtp_server_step(server, why) == SMTP_PARK) {
		uint32_t events = smtp_server_events(server);
		struct pollfd f = { .fd = fd,
				    .events = (short)(((events & EPOLLIN) != 0 ? POLLIN : 0) |
						      ((events & EPOLLOUT) != 0 ? POLLOUT : 0)) };
		why = poll(&f, 1, deadline_left(smtp_server_deadline(server))) == 0 ? WAKE_DEADLINE : WAKE_IO;
	}
	smtp_server_free(&server);
	stream_close(&stream);
	on_reset(&owner);
	arena_done(&owner.mem);
}
