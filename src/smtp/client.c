/* SPDX-License-Identifier: Apache-2.0 */
/* The opening is a list of steps; each says OK, or fills in why there is no conversation. */
#include "smtp/client_private.h"
#include "base/fail.h"

enum { SLOWEST_REPLY = 10 }; /* a reply in pieces takes so many times its limit at most */

void smtp_client_lose(struct smtp_client *c, int stream_result) {
	if (c->over) return;
	c->over = true;
	const char *format = stream_result < 0 ? "lost connection with %.*s (%s)"
	                   : stream_result == STREAM_LATE ? "conversation with %.*s timed out"
	                   : stream_result == STREAM_CLOSED ? "lost connection with %.*s"
	                   : "host %.*s broke the protocol with a reply that is none";
	c->lost = arena_fmt(&c->mem, format, SLICE_ARG(c->who), fail_text());
}

bool smtp_client_flush(struct smtp_client *c, int64_t timeout) {
	if (c->over) return false;
	smtp_talk_said(c, buf_slice(stream_out(c->stream)));
	int r = stream_wait_flush(c->stream, deadline_in(timeout));
	if (r != STREAM_OK) smtp_client_lose(c, r);
	return r == STREAM_OK;
}

/* Each piece of a reply may take the whole time, as in Postfix, where smtp_per_request_deadline does not say otherwise;
 * but a server that sends a byte now and then does not keep us for ever. */
static int wait_line(struct smtp_client *c, struct slice *line, int64_t timeout, int64_t end) {
	for (;;) {
		int r = stream_line(c->stream, SMTP_REPLY_LINE_MAX, line, NULL);
		if (r != STREAM_AGAIN) return r;
		r = stream_wait_answer(c->stream, MIN_OF(deadline_in(timeout), end));
		if (r != STREAM_OK) return r;
	}
}

bool smtp_client_hear(struct smtp_client *c, int64_t timeout, struct arena *mem, struct smtp_heard *out) {
	int64_t end = deadline_in(c->params.min_data_rate != 0 ? timeout : timeout * SLOWEST_REPLY);
	enum smtp_reply_result got = SMTP_REPLY_MORE;
	while (!c->over && got == SMTP_REPLY_MORE) {
		struct slice line;
		int r = wait_line(c, &line, timeout, end);
		if (r == STREAM_OK) smtp_talk_heard(c, line);
		if (r == STREAM_OK && c->params.filter != NULL)
			line = c->params.filter(c->params.filter_ctx, line, mem);
		if (r == STREAM_OK) got = smtp_reply_read(&c->reader, line, mem, out);
		if (r == STREAM_OK && got == SMTP_REPLY_BROKEN) smtp_talk_trouble(c, SMTP_TROUBLE_PROTOCOL);
		if (r != STREAM_OK || got == SMTP_REPLY_BROKEN) smtp_client_lose(c, r);
	}
	return !c->over;
}

bool smtp_client_ask(
	struct smtp_client *c, int64_t timeout, struct arena *mem, struct smtp_heard *out, const char *format, ...) {
	va_list args;
	va_start(args, format);
	struct buf *to = stream_out(c->stream);
	bool fits = buf_addv(to, format, args) && buf_add(to, S("\r\n"));
	va_end(args);
	if (!fits) smtp_client_lose(c, fail("command: too long"));
	return smtp_client_flush(c, timeout) && smtp_client_hear(c, timeout, mem, out);
}

static enum smtp_client_result lost(
	struct smtp_client *c, struct arena *mem, struct smtp_outcome *why, enum smtp_stage stage) {
	smtp_outcome_lost(c, mem, why, stage);
	return SMTP_CLIENT_OVER;
}

static enum smtp_client_result refused(struct smtp_client *c, struct arena *mem, struct smtp_outcome *why,
	enum smtp_stage stage, const struct smtp_heard *heard, bool later) {
	smtp_outcome_heard(c, mem, why, stage, heard, later || heard->reply.code == 421,
	                   "host %.*s refused to talk to me: %.*s", SLICE_ARG(c->who), SLICE_ARG(heard->said));
	return SMTP_CLIENT_OVER;
}

static enum smtp_client_result start_tls(struct smtp_client *c, struct arena *mem, struct smtp_outcome *why) {
	const char *name = c->params.tls_name != NULL ? c->params.tls_name : c->host.name.at;
	struct tls_client *client =
		c->tlsa_found && c->params.tls_dane != NULL ? c->params.tls_dane : c->params.tls_client;
	if (c->dane_name.len != 0 && c->params.tls_name == NULL) name = arena_text(&c->mem, c->dane_name);
	int r = stream_start_tls_client(c->stream, client, name);
	if (r >= 0 && smtp_client_demand(c, stream_tls(c->stream)) < 0) r = -1;
	if (r >= 0) r = stream_wait_handshake(c->stream, deadline_in(c->params.timeouts.starttls));
	if (r != STREAM_OK) {
		c->over = true;
		const char *words = r < 0 ? fail_text() : r == STREAM_LATE ? "handshake timed out" : "lost connection";
		smtp_outcome_of(c, mem, why, SMTP_LATER, "4.7.5", "Cannot start TLS with host %.*s: %s",
			SLICE_ARG(c->who), words);
		bool clear_will_do = c->params.tls == SMTP_TLS_MAY && !c->params.tls_wrapper &&
				     c->params.require < SMTP_REQUIRE_STARTTLS;
		return clear_will_do ? SMTP_CLIENT_TLS_BROKEN : SMTP_CLIENT_OVER;
	}
	struct tls_info info;
	tls_info(stream_tls(c->stream), &info);
	c->tls = arena_fmt(&c->mem, "%s with cipher %s", info.protocol, info.cipher);
	return SMTP_CLIENT_OK;
}

static enum smtp_client_result wrap(struct smtp_client *c, struct arena *mem, struct smtp_outcome *why) {
	return c->params.tls_wrapper ? start_tls(c, mem, why) : SMTP_CLIENT_OK;
}

static enum smtp_client_result greet(struct smtp_client *c, struct arena *mem, struct smtp_outcome *why) {
	struct smtp_heard heard;
	if (!smtp_client_hear(c, c->params.timeouts.helo, mem, &heard)) return lost(c, mem, why, SMTP_STAGE_GREETING);
	struct slice rest = heard.reply.text, word;
	c->extended = !c->params.ehlo_if_named;
	while ((word = slice_word(&rest, " \t\n")).len != 0) c->extended = c->extended || slice_same(word, S("ESMTP"));
	if (smtp_reply_ok(&heard.reply)) return SMTP_CLIENT_OK;
	return refused(c, mem, why, SMTP_STAGE_GREETING, &heard, !c->params.greeting_is_final);
}

static const struct {
	struct slice word;
	unsigned offer;
} keywords[] = {
	{ { "PIPELINING", 10 }, SMTP_OFFERS_PIPELINING },
	{ { "SIZE", 4 }, SMTP_OFFERS_SIZE },
	{ { "8BITMIME", 8 }, SMTP_OFFERS_8BITMIME },
	{ { "SMTPUTF8", 8 }, SMTP_OFFERS_SMTPUTF8 },
	{ { "DSN", 3 }, SMTP_OFFERS_DSN },
	{ { "STARTTLS", 8 }, SMTP_OFFERS_STARTTLS },
	{ { "AUTH", 4 }, SMTP_OFFERS_AUTH },
	{ { "REQUIRETLS", 10 }, SMTP_OFFERS_REQUIRETLS },
}, forwards[] = {
	{ { "NAME", 4 }, SMTP_OFFERS_XFORWARD_NAME },
	{ { "ADDR", 4 }, SMTP_OFFERS_XFORWARD_ADDR },
	{ { "PORT", 4 }, SMTP_OFFERS_XFORWARD_PORT },
	{ { "PROTO", 5 }, SMTP_OFFERS_XFORWARD_PROTO },
	{ { "HELO", 4 }, SMTP_OFFERS_XFORWARD_HELO },
	{ { "IDENT", 5 }, SMTP_OFFERS_XFORWARD_IDENT },
	{ { "SOURCE", 6 }, SMTP_OFFERS_XFORWARD_SOURCE },
};

static bool discarded(const struct smtp_client *c, struct slice word) {
	struct slice rest = c->discard, own;
	while ((own = slice_word(&rest, ", \t")).len != 0)
		if (slice_same(own, word)) return true;
	if (c->discard_own) return false;
	for (size_t i = 0; i < c->params.discard_count; i++)
		if (slice_same(c->params.discard[i], word)) return true;
	return false;
}

static void learn_forwards(struct smtp_client *c, struct slice rest) {
	struct slice word;
	while ((word = slice_word(&rest, " ")).len > 0)
		for (size_t i = 0; i < LEN(forwards); i++)
			if (slice_same(word, forwards[i].word)) c->offers |= forwards[i].offer;
}

/* One line of the answer to EHLO; "AUTH=LOGIN" is how servers older than RFC 2554 wrote it. */
static void learn(struct smtp_client *c, struct slice line) {
	struct slice word = slice_word(&line, " =");
	unsigned offer = 0;
	if (discarded(c, word)) return;
	if (slice_same(word, S("XFORWARD"))) learn_forwards(c, line);
	for (size_t i = 0; i < LEN(keywords); i++)
		if (slice_same(word, keywords[i].word)) offer = keywords[i].offer;
	c->offers |= offer;
	if (offer == SMTP_OFFERS_SIZE) slice_number(slice_word(&line, " "), UINT64_MAX, &c->size_limit);
	if (offer != SMTP_OFFERS_AUTH) return;
	while ((word = slice_word(&line, " =")).len > 0) c->mechanisms |= smtp_mechanism_of(word);
}

static bool is_ourselves(const struct smtp_client *c, struct slice name) {
	if (c->params.lmtp || c->host.named_port || c->host.path.len > 0) return false;
	for (size_t i = 0; i < c->params.own_names_count; i++)
		if (slice_same(name, c->params.own_names[i])) return true;
	return false;
}

static enum smtp_client_result hello(struct smtp_client *c, struct arena *mem, struct smtp_outcome *why) {
	const struct smtp_client_params *p = &c->params;
	struct smtp_heard heard;
	enum smtp_stage stage = p->lmtp ? SMTP_STAGE_LHLO : SMTP_STAGE_EHLO;
	c->offers = 0;
	c->mechanisms = 0;
	c->size_limit = 0;
	bool asked = p->lmtp || (c->extended && !p->never_ehlo);
	if (asked && !smtp_client_ask(
		    c, p->timeouts.helo, mem, &heard, "%s %.*s", p->lmtp ? "LHLO" : "EHLO", SLICE_ARG(p->helo_name)))
		return lost(c, mem, why, stage);
	bool extended = asked && smtp_reply_ok(&heard.reply);
	if (!asked || (smtp_reply_never(&heard.reply) && !p->lmtp)) {
		stage = SMTP_STAGE_HELO;
		if (!smtp_client_ask(c, p->timeouts.helo, mem, &heard, "HELO %.*s", SLICE_ARG(p->helo_name)))
			return lost(c, mem, why, stage);
	}
	if (!smtp_reply_ok(&heard.reply)) return refused(c, mem, why, stage, &heard, false);
	struct slice rest = heard.reply.text, first = slice_cut(&rest, '\n');
	if (is_ourselves(c, slice_word(&first, " "))) {
		smtp_outcome_of(c, mem, why, SMTP_NEVER, "5.4.6",
			"host %.*s greeted me with my own host name: mail loops back to myself", SLICE_ARG(c->who));
		return SMTP_CLIENT_OVER;
	}
	while (extended && rest.at != NULL) learn(c, slice_cut(&rest, '\n'));
	return SMTP_CLIENT_OK;
}

static enum smtp_client_result no_tls(
	struct smtp_client *c, struct arena *mem, struct smtp_outcome *why, const struct smtp_heard *heard) {
	c->no_starttls = true;
	if (c->params.tls == SMTP_TLS_MAY && c->params.require < SMTP_REQUIRE_STARTTLS) return SMTP_CLIENT_OK;
	if (heard != NULL)
		smtp_outcome_heard(c, mem, why, SMTP_STAGE_STARTTLS, heard, true,
			"TLS is required, but host %.*s refused to start TLS: %.*s", SLICE_ARG(c->who),
			SLICE_ARG(heard->said));
	else
		smtp_outcome_of(c, mem, why, SMTP_LATER, "4.7.4", "TLS is required, but was not offered by host %.*s",
			SLICE_ARG(c->who));
	snprintf(why->status, sizeof why->status, "4.7.4");
	if (c->params.require >= SMTP_REQUIRE_STARTTLS)
		smtp_client_required_tls(c, mem, why, heard != NULL ? "4.7.10" : "4.7.30");
	return SMTP_CLIENT_OVER;
}

/* STARTTLS (RFC 3207), and EHLO again: nothing said in clear text counts. A server that breaks anywhere in between gets
 * its second chance in clear text where that is allowed. */
static enum smtp_client_result secure(struct smtp_client *c, struct arena *mem, struct smtp_outcome *why) {
	if (c->params.tls == SMTP_TLS_NONE || stream_is_tls(c->stream)) return SMTP_CLIENT_OK;
	if (!(c->offers & SMTP_OFFERS_STARTTLS)) return no_tls(c, mem, why, NULL);
	struct smtp_heard heard;
	enum smtp_client_result r;
	if (!smtp_client_ask(c, c->params.timeouts.starttls, mem, &heard, "STARTTLS"))
		r = lost(c, mem, why, SMTP_STAGE_STARTTLS);
	else if (heard.reply.code != 220) return no_tls(c, mem, why, &heard);
	else if ((r = start_tls(c, mem, why)) == SMTP_CLIENT_OK) r = hello(c, mem, why);
	bool clear_will_do = c->params.tls == SMTP_TLS_MAY && c->params.require < SMTP_REQUIRE_STARTTLS;
	return r == SMTP_CLIENT_OVER && clear_will_do && c->lost.len > 0 ? SMTP_CLIENT_TLS_BROKEN : r;
}

static void set_timeouts(struct smtp_timeouts *t) {
	static const struct smtp_timeouts standard = {
		.connect = SECONDS(30),
		.helo = SECONDS(300),
		.starttls = SECONDS(300),
		.mail = SECONDS(300),
		.rcpt = SECONDS(300),
		.data_init = SECONDS(120),
		.data_xfer = SECONDS(180),
		.data_done = SECONDS(600),
		.rset = SECONDS(20),
		.quit = SECONDS(5),
		.xforward = SECONDS(300),
	};
#define T(field) if (t->field <= 0) t->field = standard.field;
	T(connect)
	T(helo) T(starttls) T(mail) T(rcpt) T(data_init) T(data_xfer) T(data_done) T(rset) T(quit) T(xforward)
#undef T
}

static const struct slice *copy_list(struct arena *mem, const struct slice *list, size_t count) {
	struct slice *copy = arena_array(mem, count, sizeof *copy);
	for (size_t i = 0; i < count; i++) copy[i] = arena_slice(mem, list[i]);
	return copy;
}

static struct smtp_client *client_new(const struct smtp_client_params *params, const struct smtp_host *host) {
	struct smtp_client *c = mem_get(sizeof *c);
	struct arena *mem = &c->mem;
	c->params = *params;
	c->params.helo_name = arena_slice(mem, params->helo_name);
	c->params.user = arena_slice(mem, params->user);
	c->params.password = arena_slice(mem, params->password);
	if (params->tls_name != NULL) c->params.tls_name = arena_text(mem, slice_of(params->tls_name));
	must(params->tls_client != NULL || (params->tls != SMTP_TLS_ENCRYPT && !params->tls_wrapper));
	if (params->tls_client != NULL) c->params.tls_client = tls_client_ref(params->tls_client);
	else c->params.tls = SMTP_TLS_NONE;
	if (params->tls_dane != NULL) c->params.tls_dane = tls_client_ref(params->tls_dane);
	c->params.proofs = copy_list(mem, params->proofs, params->proofs_count);
	c->params.discard = copy_list(mem, params->discard, params->discard_count);
	c->params.mx_patterns = copy_list(mem, params->mx_patterns, params->mx_patterns_count);
	c->params.anchors = arena_slice(mem, params->anchors);
	if (params->level != NULL) c->params.level = arena_text(mem, slice_of(params->level));
	if (params->digest != NULL) c->params.digest = arena_text(mem, slice_of(params->digest));
	c->params.own_names = copy_list(mem, params->own_names, params->own_names_count);
	if (params->line_limit < 100) c->params.line_limit = 998;
	set_timeouts(&c->params.timeouts);
	c->host = *host;
	c->host.name = arena_slice(mem, host->name);
	c->host.path = arena_slice(mem, host->path);
	c->host.domain = arena_slice(mem, host->domain);
	c->host.canonical = arena_slice(mem, host->canonical);
	char ip[ADDR_TEXT_ROOM];
	if (params->discard_for != NULL && host->path.len == 0)
		c->discard_own = params->discard_for(params->discard_ctx, slice_of(addr_text(&host->addr, ip)), mem,
						     &c->discard);
	c->since = clock_ms();
	c->who = host->path.len > 0 ? arena_fmt(mem, "%.*s[%.*s]", SLICE_ARG(params->helo_name), SLICE_ARG(host->path))
	                            : arena_fmt(mem, "%.*s[%s]", SLICE_ARG(host->name), addr_text(&host->addr, ip));
	c->relay = host->path.len > 0 ? c->who : arena_fmt(mem, "%.*s:%u", SLICE_ARG(c->who), addr_port(&host->addr));
	return c;
}

enum smtp_client_result smtp_client_open(const struct smtp_client_params *params, const struct smtp_host *host,
	struct arena *mem, struct smtp_client **out, struct smtp_outcome *why) {
	static enum smtp_client_result (*const steps[])(struct smtp_client *, struct arena *, struct smtp_outcome *) = {
		smtp_client_check_host, smtp_client_find_tlsa, smtp_client_may_require, smtp_client_connect,
		wrap, greet, hello, secure, smtp_client_require, smtp_client_log_in,
	};
	struct smtp_client *c = client_new(params, host);
	c->params.talk = NULL; /* the caller's, for now */
	smtp_talk_begin(c, params->talk);
	for (size_t i = 0; i < LEN(steps); i++) {
		enum smtp_client_result r = steps[i](c, mem, why);
		if (r == SMTP_CLIENT_OK) continue;
		smtp_talk_code(c, why->code);
		smtp_talk_end(c);
		if (r == SMTP_CLIENT_TLS_BROKEN) smtp_client_close(&c);
		else smtp_client_quit(&c);
		return r;
	}
	smtp_talk_end(c);
	*out = c;
	return SMTP_CLIENT_OK;
}

bool smtp_client_alive(struct smtp_client *c) {
	return !c->over && stream_peek(c->stream).len == 0 && stream_fill(c->stream) == STREAM_AGAIN;
}

/* Everything is done by then: a server that says nothing must not keep us, who may be ending, for minutes. */
enum { QUIT_WAIT_MS = 5000 };

void smtp_client_quit(struct smtp_client **cp) {
	struct smtp_client *c = *cp;
	if (c != NULL && !c->over && c->stream != NULL && stream_put(c->stream, S("QUIT\r\n"))) {
		AUTO_ARENA struct arena mem = { 0 };
		struct smtp_heard heard;
		if (smtp_client_flush(c, c->params.timeouts.quit) && c->params.quit_waits)
			smtp_client_hear(c, MIN_OF(c->params.timeouts.quit, (int64_t)QUIT_WAIT_MS), &mem, &heard);
	}
	smtp_client_close(cp);
}

void smtp_client_close(struct smtp_client **cp) {
	struct smtp_client *c = *cp;
	if (c == NULL) return;
	*cp = NULL;
	if (c->stream != NULL) stream_close(&c->stream);
	tls_client_unref(&c->params.tls_client);
	tls_client_unref(&c->params.tls_dane);
	smtp_reply_reader_done(&c->reader);
	mem_wipe((char *)(uintptr_t)c->params.password.at, c->params.password.len);
	arena_done(&c->mem);
	free(c);
}

const struct smtp_client_params *smtp_client_params(const struct smtp_client *c) { return &c->params; }
const struct smtp_host *smtp_client_host(const struct smtp_client *c) { return &c->host; }
int64_t smtp_client_age_ms(const struct smtp_client *c) { return clock_ms() - c->since; }
unsigned smtp_client_uses(const struct smtp_client *c) { return c->uses; }
struct slice smtp_client_relay(const struct smtp_client *c) { return c->relay; }
struct tls *smtp_client_tls(const struct smtp_client *c) {
	return stream_is_tls(c->stream) ? stream_tls(c->stream) : NULL;
}
bool smtp_client_half_proved(const struct smtp_client *c) { return c->half_proved; }
bool smtp_client_offers_tls(const struct smtp_client *c) {
	return (c->offers & SMTP_OFFERS_STARTTLS) != 0 && !stream_is_tls(c->stream);
}
