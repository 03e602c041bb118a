/* SPDX-License-Identifier: Apache-2.0 */
/* The tests before the greeting. While a client waits for it, the block lists are asked: the questions go out at once,
 * and the answers are looked at when the wait is over, so that no worker waits for them. */
#include "role/screen.h"
#include "base/fail.h"
#include "base/log.h"

#include <sys/socket.h>

enum { SHOWN = 100, LOOKS_FIRST_MS = 20 };

void screen_tell(const struct screen *s, const char *word) {
	AUTO_BUF struct buf line = BUF(256);
	buf_addf(&line, "%s %s", word, s->name);
	log_line(L_INFO, s->params->log_name, 0, NULL, buf_text(&line), NULL, 0);
}

struct footer_names {
	const struct screen *s;
	unsigned depth;
};

static int footer_name(void *ctx, struct slice name, struct buf *out) {
	const struct footer_names *f = ctx;
	char port[8];
	snprintf(port, sizeof port, "%u", addr_port(&f->s->peer));
	const struct { struct slice name, value;
	} known[] = {
		{ S("server_name"), slice_of(f->s->params->host) },
		{ S("client_address"), slice_of(f->s->ip) },
		{ S("client_port"), slice_of(port) },
	};
	for (size_t i = 0; i < LEN(known); i++) {
		if (!slice_eq(known[i].name, name)) continue;
		expand_filtered(out, &f->s->params->expansion, known[i].value);
		return EXPAND_KNOWN;
	}
	if (!slice_eq(name, S("localtime"))) return EXPAND_UNKNOWN;
	expand_local_time(out);
	return EXPAND_KNOWN;
}

/* Empty: none. */
static struct slice footer_of(const struct screen *s, struct slice reply, struct arena *mem) {
	const struct screen_params *p = s->params;
	struct footer_names names = { .s = s };
	struct expand_ops ops = { .value = footer_name, .ctx = &names, .depth = &names.depth };
	struct lookup_hit hit;
	struct slice template = p->footer;
	if (p->footer_maps.count != 0 && lookup_key(&p->footer_maps, reply, mem, &hit) == TABLE_FOUND)
		template = hit.value;
	return expand_footer(template, &ops, mem);
}

/* soft_bounce: the same, for now. */
static struct slice softened(struct slice reply, struct arena *mem) {
	if (!slice_starts(reply, S("5"))) return reply;
	char *at = arena_text(mem, reply);
	at[0] = '4';
	if (reply.len > 5 && at[4] == '5' && at[5] == '.') at[4] = '4';
	return slice_from(at, reply.len);
}

void screen_reply(const struct screen *s, struct stream *stream, struct slice reply) {
	AUTO_ARENA struct arena mem = { 0 };
	if (s->params->soft) reply = softened(reply, &mem);
	struct slice rest = reply, code = slice_word(&rest, " "), status = slice_word(&rest, " "), footer = SLICE_NONE;
	if (slice_starts(reply, S("4")) || slice_starts(reply, S("5"))) footer = footer_of(s, reply, &mem);
	if (footer.len == 0) {
		stream_putf(stream, "%.*s\r\n", SLICE_ARG(reply));
		return;
	}
	bool goes_on = slice_starts(footer, S("\\c"));
	bool has = status.len >= 5 && status.at[1] == '.' && status.at[0] == code.at[0];
	struct slice first = goes_on ? slice_skip(footer, 2) : SLICE_NONE, more = footer;
	if (goes_on) slice_cut(&more, '\n');
	first = slice_head(first, slice_find(first, '\n'));
	bool lines = more.at != NULL && more.len != 0;
	stream_putf(stream, "%.*s%c%.*s%.*s\r\n", SLICE_ARG(code), lines ? '-' : ' ',
		    SLICE_ARG(slice_skip(reply, code.len + 1)), SLICE_ARG(first));
	while (lines) {
		struct slice line = slice_cut(&more, '\n');
		lines = more.at != NULL;
		stream_putf(stream, "%.*s%c%.*s%s%.*s\r\n", SLICE_ARG(code), lines ? '-' : ' ',
			    SLICE_ARG(has ? status : SLICE_NONE), has ? " " : "", SLICE_ARG(line));
	}
}

void screen_drop(struct screen *s, struct stream *stream, const char *reply) {
	screen_reply(s, stream, slice_of(reply));
	(void)stream_flush(stream);
	char unread[4096]; /* what is left unread would make of the end a reset, which may overtake our words */
	while (recv(stream_fd(stream), unread, sizeof unread, MSG_DONTWAIT) == (ssize_t)sizeof unread) continue;
	screen_tell(s, "DISCONNECT");
}

/* True: it is to be dropped. */
static bool act(struct screen *s, struct stream *stream, int action, const char *text) {
	char reply[512];
	switch (action) {
	case SCREEN_IGNORE: s->ignored = true; return false;
	case SCREEN_ENFORCE:
		snprintf(s->refusal, sizeof s->refusal, "550 %s", text);
		if (s->params->soft) s->refusal[0] = s->refusal[4] = '4';
		return false;
	default:
		snprintf(reply, sizeof reply, "521 %s", text);
		screen_drop(s, stream, reply);
		return true;
	}
}

bool screen_fail(struct screen *s, struct stream *stream, enum screen_test_id test, const char *text) {
	s->todo[test] = false;
	return act(s, stream, s->params->tests[test].action, text);
}

/* The access list: permit, reject or dunno, as a word of the list or as the result of a table. */
enum { ACCESS_DUNNO, ACCESS_PERMIT, ACCESS_REJECT };

static int meant_by(struct slice word) {
	if (slice_same(word, S("permit"))) return ACCESS_PERMIT;
	return slice_same(word, S("reject")) ? ACCESS_REJECT : ACCESS_DUNNO;
}

static int asked(const struct screen *s, struct slice name) {
	AUTO_ARENA struct arena mem = { 0 };
	struct lookup l;
	struct lookup_hit hit;
	if (lookup_open(s->params->tables, &name, 1, 0, &mem, &l) != TABLE_FOUND) {
		say(L_WARN, s->params->log_name, "postscreen_access_list: %s", fail_text());
		return ACCESS_DUNNO;
	}
	return lookup_ip(&l, slice_of(s->ip), &mem, &hit) == TABLE_FOUND ? meant_by(slice_trim(hit.value))
									 : ACCESS_DUNNO;
}

static int access_of(const struct screen *s) {
	const struct screen_params *p = s->params;
	for (size_t i = 0; i < p->access_count; i++) {
		struct slice word = p->access[i];
		int r = meant_by(word);
		if (slice_same(word, S("permit_mynetworks")))
			r = networks_match_sockaddr(p->networks, &s->peer.any) ? ACCESS_PERMIT : ACCESS_DUNNO;
		else if (slice_find(word, ':') < word.len) r = asked(s, word);
		if (r != ACCESS_DUNNO) return r;
	}
	return ACCESS_DUNNO;
}

/* Memory. */

static bool recall(struct screen *s) {
	struct screen_record r = { 0 };
	int64_t now = wall_s();
	bool needed = false;
	s->known = screen_memory_find(s->memory, &s->peer, &r);
	for (size_t i = 0; i < SCREEN_TESTS; i++) {
		s->todo[i] = s->params->tests[i].on && r.until[i] <= now;
		needed |= s->todo[i];
	}
	return !needed;
}

void screen_remember(struct screen *s) {
	struct screen_record r = { 0 };
	int64_t now = wall_s();
	bool any = false, all = !s->ignored;
	for (size_t i = 0; i < SCREEN_TESTS; i++) {
		all &= !s->todo[i] || !s->params->tests[i].on;
		if (!s->passed[i]) continue;
		r.until[i] = now + (i == SCREEN_DNSBL ? s->score.ttl_s : s->params->tests[i].ttl_s);
		any = true;
	}
	if (!any || s->veto || s->refusal[0] != '\0') return;
	screen_memory_add(s->memory, &s->peer, &r);
	if (all) screen_tell(s, s->known ? "PASS OLD" : "PASS NEW");
}

/* Block lists. */

static void ask_lists(const struct screen *s) {
	AUTO_ARENA struct arena mem = { 0 };
	for (size_t i = 0; i < s->params->site_count; i++)
		dns_hint(s->params->dns, dnsbl_address_name(&s->params->sites[i], &s->peer, &mem), DNS_A);
}

static bool fits(const struct dnsbl_zone *zone, const struct slice *records, size_t n) {
	for (size_t i = 0; i < n; i++) {
		const uint8_t *o = (const uint8_t *)records[i].at;
		if (records[i].len != 4) continue;
		if (zone->filtered ? dnsbl_pattern_match(&zone->pattern, o)
				   : !(o[0] == 127 && o[1] == 255 && o[2] == 255))
			return true;
	}
	return false;
}

static void look_at_list(struct screen *s, size_t i, struct arena *mem) {
	const struct dnsbl_zone *zone = &s->params->sites[i];
	struct screen_score *score = &s->score;
	struct slice *records;
	size_t n = 0;
	struct dns_facts facts = { .ttl = UINT32_MAX };
	int r = dns_query(s->params->dns, dnsbl_address_name(zone, &s->peer, mem), DNS_A, clock_ms() + 1, mem, &records,
			  &n, &facts);
	if (r == DNS_LATER) return;
	score->answered |= 1ull << i;
	int64_t ttl = MAX_OF(MIN_OF((int64_t)facts.ttl, s->params->max_ttl_s), s->params->min_ttl_s);
	score->ttl_s = MIN_OF(score->ttl_s, ttl);
	if (r != DNS_OK || !fits(zone, records, n)) return;
	score->sum += zone->weight;
	if (score->worst != NULL && zone->weight <= score->weight) return;
	score->worst = zone;
	score->weight = zone->weight;
}

/* True: all have answered. */
static bool look_at_lists(struct screen *s) {
	AUTO_ARENA struct arena mem = { 0 };
	bool all = true;
	for (size_t i = 0; i < s->params->site_count; i++) {
		bool known = (s->score.answered & 1ull << i) != 0;
		if (!known) look_at_list(s, i, &mem);
		all &= (s->score.answered & 1ull << i) != 0;
	}
	return all;
}

static struct slice name_for_clients(const struct screen *s, struct slice list, struct arena *mem) {
	struct lookup_hit hit;
	if (s->params->replies.count == 0 || lookup_key(&s->params->replies, list, mem, &hit) != TABLE_FOUND)
		return list;
	return hit.value;
}

static enum screen_verdict judge_lists(struct screen *s, struct stream *stream) {
	AUTO_ARENA struct arena mem = { 0 };
	const struct screen_score *score = &s->score;
	if (score->sum < s->params->threshold || score->worst == NULL) {
		s->passed[SCREEN_DNSBL] = true;
		s->todo[SCREEN_DNSBL] = false;
		return SCREEN_WAIT;
	}
	AUTO_BUF struct buf line = BUF(256), text = BUF(480);
	buf_addf(&line, "DNSBL rank %d for %s", score->sum, s->name);
	log_line(L_INFO, s->params->log_name, 0, NULL, buf_text(&line), NULL, 0);
	buf_addf(&text, "5.7.1 Service unavailable; client [%s] blocked using %.*s", s->ip,
		 SLICE_ARG(name_for_clients(s, score->worst->domain, &mem)));
	return screen_fail(s, stream, SCREEN_DNSBL, buf_text(&text)) ? SCREEN_GONE : SCREEN_WAIT;
}

/* A list of good clients spares them everything else, as long as that result counts. */
static void spare(struct screen *s) {
	const struct screen_params *p = s->params;
	const struct screen_score *score = &s->score;
	bool trusted = p->allow_threshold < 0 && score->sum <= p->allow_threshold && score->sum < p->threshold;
	if (!trusted || s->refusal[0] != '\0' || s->ignored) return;
	struct screen_record r = { 0 };
	for (size_t i = 0; i < SCREEN_TESTS; i++) {
		if (i == SCREEN_DNSBL) continue;
		r.until[i] = wall_s() + score->ttl_s;
		s->todo[i] = false;
	}
	if (!s->veto) screen_memory_add(s->memory, &s->peer, &r);
}

/* The tests. */

static bool any_todo(const struct screen *s, enum screen_test_id from) {
	for (size_t i = from; i < SCREEN_TESTS; i++)
		if (s->todo[i]) return true;
	return false;
}

static enum screen_verdict conclude(struct screen *s) {
	if (s->refusal[0] != '\0' || s->veto || any_todo(s, SCREEN_PIPELINING)) return SCREEN_TALK;
	screen_remember(s);
	return SCREEN_PASSED;
}

/* Looks seldom, and less and less so; a client that need not be watched for early talk goes on when all lists have
 * answered. */
static enum screen_verdict look(struct screen *s, struct stream *stream) {
	bool late = clock_ms() >= s->greeted, complete = !s->todo[SCREEN_DNSBL] || look_at_lists(s);
	if (s->todo[SCREEN_DNSBL] && (complete || late)) spare(s);
	bool watched = s->todo[SCREEN_GREET] || s->spoke;
	if (!late && (watched || !complete)) {
		int64_t next = (int64_t)LOOKS_FIRST_MS << MIN_OF(s->looks++, 6u);
		s->deadline = complete ? s->greeted : MIN_OF(s->greeted, clock_ms() + next);
		return SCREEN_WAIT;
	}
	if (s->todo[SCREEN_GREET]) s->passed[SCREEN_GREET] = true;
	s->todo[SCREEN_GREET] = false;
	if (s->todo[SCREEN_DNSBL] && judge_lists(s, stream) == SCREEN_GONE) return SCREEN_GONE;
	return conclude(s);
}

static enum screen_verdict begin_tests(struct screen *s, struct stream *stream) {
	if (s->params->banner != NULL && s->todo[SCREEN_GREET]) {
		stream_putf(stream, "220-%s\r\n", s->params->banner);
		(void)stream_flush(stream);
	}
	bool waits = s->todo[SCREEN_GREET] || s->todo[SCREEN_DNSBL];
	s->greeted = deadline_in(!waits                  ? 0
				 : s->todo[SCREEN_GREET] ? s->params->wait_ms
							 : MIN_OF(s->params->wait_ms, s->params->dnsbl_ms));
	s->deadline = s->greeted;
	if (s->todo[SCREEN_DNSBL]) {
		ask_lists(s);
		s->score.ttl_s = s->params->max_ttl_s;
		s->deadline = MIN_OF(s->greeted, clock_ms() + LOOKS_FIRST_MS);
	}
	return waits ? SCREEN_WAIT : conclude(s);
}

enum screen_verdict screen_begin(struct screen *s, const struct screen_params *params, struct screen_memory *memory,
				 struct stream *stream, const struct addr *peer, const struct addr *own) {
	char own_ip[ADDR_TEXT_ROOM];
	*s = (struct screen){ .params = params, .memory = memory, .peer = *peer, .started = clock_ms() };
	addr_text(peer, s->ip);
	snprintf(s->name, sizeof s->name, "[%s]:%u", s->ip, addr_port(peer));
	AUTO_BUF struct buf line = BUF(512);
	buf_addf(&line, "CONNECT from %s to [%s]:%u", s->name, addr_text(own, own_ip), addr_port(own));
	log_line(L_INFO, params->log_name, 0, NULL, buf_text(&line), NULL, 0);
	int access = access_of(s);
	if (access == ACCESS_PERMIT)
		return screen_tell(s, s->params->old_words ? "WHITELISTED" : "ALLOWLISTED"), SCREEN_PASSED;
	if (access == ACCESS_REJECT) {
		screen_tell(s, "DENYLISTED");
		if (act(s, stream, params->deny_action, "5.3.2 Service currently unavailable")) return SCREEN_GONE;
	}
	bool passed = recall(s);
	if (passed && access != ACCESS_REJECT) return screen_tell(s, "PASS OLD"), SCREEN_PASSED;
	if (params->interfaces != NULL && !networks_match_sockaddr(params->interfaces, &own->any)) {
		s->veto = true;
		screen_tell(s, s->params->old_words ? "WHITELIST VETO" : "ALLOWLIST VETO");
	}
	return begin_tests(s, stream);
}

void screen_show(struct buf *out, struct slice bytes) {
	bytes = slice_head(bytes, SHOWN);
	for (size_t i = 0; i < bytes.len; i++) {
		unsigned char c = (unsigned char)bytes.at[i];
		if (c == '\r') buf_add(out, S("\\r"));
		else if (c == '\n') buf_add(out, S("\\n"));
		else if (c == '\\') buf_add(out, S("\\\\"));
		else if (c < 32 || c > 126) buf_addf(out, "\\%03o", c);
		else buf_byte(out, (char)c);
	}
}

static void tell_early(const struct screen *s, const char *what, ssize_t n, struct slice bytes) {
	AUTO_BUF struct buf line = BUF(KIB(2));
	double after = (double)(clock_ms() - s->started) / 1000;
	if (n > 0) buf_addf(&line, "%s %zd after %.2g from %s: ", what, n, after, s->name);
	else buf_addf(&line, "%s after %.2g from %s in tests before SMTP handshake", what, after, s->name);
	screen_show(&line, bytes);
	log_line(L_INFO, s->params->log_name, 0, NULL, buf_text(&line), NULL, 0);
}

enum screen_verdict screen_step(struct screen *s, struct stream *stream, bool io) {
	if (io && !s->spoke) {
		char bytes[512];
		ssize_t n = recv(stream_fd(stream), bytes, sizeof bytes, MSG_PEEK | MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR)) return SCREEN_WAIT;
		if (n <= 0) {
			tell_early(s, "HANGUP", 0, SLICE_NONE);
			return screen_tell(s, "DISCONNECT"), SCREEN_GONE;
		}
		s->spoke = true;
		if (!s->todo[SCREEN_GREET]) return SCREEN_WAIT;
		tell_early(s, "PREGREET", n, slice_from(bytes, (size_t)n));
		return screen_fail(s, stream, SCREEN_GREET, "5.5.1 Protocol error") ? SCREEN_GONE : SCREEN_WAIT;
	}
	if (clock_ms() < s->deadline) return SCREEN_WAIT;
	return look(s, stream);
}
