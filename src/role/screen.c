/* SPDX-License-Identifier: Apache-2.0 */
#include "role/screen.h"
#include "base/fail.h"
#include "base/log.h"

#include <pthread.h>
#include <sys/socket.h>

enum { REMEMBERED_MAX = 100000, SHOWN = 100 };

struct screen_memory {
	pthread_mutex_t lock;
	struct map until; /* address → when it must wait again */
};

struct screen_memory *screen_memory_new(void) {
	struct screen_memory *m = mem_get(sizeof *m);
	pthread_mutex_init(&m->lock, NULL);
	return m;
}

static struct slice key_of(const struct addr *peer, struct addr_key *room) {
	*room = addr_key(peer, 128);
	return slice_from(room->bytes, sizeof room->bytes);
}

static bool remembered(struct screen_memory *m, const struct addr *peer) {
	struct addr_key room;
	struct slice key = key_of(peer, &room);
	pthread_mutex_lock(&m->lock);
	int64_t until = (int64_t)(intptr_t)map_get(&m->until, key);
	if (until != 0 && until <= clock_ms()) map_take(&m->until, key);
	pthread_mutex_unlock(&m->lock);
	return until > clock_ms();
}

static void remember(struct screen_memory *m, const struct addr *peer, int64_t ttl_ms) {
	struct addr_key room;
	struct slice key = key_of(peer, &room);
	pthread_mutex_lock(&m->lock);
	if (m->until.count >= REMEMBERED_MAX) map_done(&m->until, NULL); /* they wait once more: it is six seconds */
	map_put(&m->until, key, (void *)(intptr_t)deadline_in(ttl_ms));
	pthread_mutex_unlock(&m->lock);
}

void screen_settings_make(struct screen_params *out, const struct conf_view *v, struct tables *tables) {
	struct slice banner = conf_text(v, SET_postscreen_greet_banner);
	*out = (struct screen_params){
		.on = true,
		.wait_ms = conf_time_ms(v, SET_postscreen_greet_wait),
		.ttl_ms = conf_time_ms(v, SET_postscreen_greet_ttl),
		.banner = banner.len != 0 ? banner.at : NULL,
		.greet_action = conf_enum(v, SET_postscreen_greet_action),
		.deny_action = conf_enum(v, SET_postscreen_denylist_action),
		.networks = conf_networks(v, SET_mynetworks),
		.tables = tables,
		.log_name = "postscreen",
	};
	out->access = conf_list(v, SET_postscreen_access_list, &out->access_count);
}

static void tell(const struct screen *s, const char *word) {
	AUTO_BUF struct buf line = BUF(256);
	buf_addf(&line, "%s %s", word, s->name);
	log_line(L_INFO, s->params->log_name, 0, NULL, buf_text(&line), NULL, 0);
}

/* permit, reject or dunno, as a word of the list or as the result of a table. */
enum { ACCESS_DUNNO, ACCESS_PERMIT, ACCESS_REJECT };

static int meant_by(struct slice word) {
	if (slice_same(word, S("permit"))) return ACCESS_PERMIT;
	return slice_same(word, S("reject")) ? ACCESS_REJECT : ACCESS_DUNNO;
}

static int asked(const struct screen *s, struct slice name, const char *ip) {
	AUTO_ARENA struct arena mem = { 0 };
	struct lookup l;
	struct lookup_hit hit;
	if (lookup_open(s->params->tables, &name, 1, 0, &mem, &l) != TABLE_FOUND) {
		say(L_WARN, s->params->log_name, "postscreen_access_list: %s", fail_text());
		return ACCESS_DUNNO;
	}
	return lookup_ip(&l, slice_of(ip), &mem, &hit) == TABLE_FOUND ? meant_by(slice_trim(hit.value)) : ACCESS_DUNNO;
}

static int access_of(const struct screen *s, const char *ip) {
	const struct screen_params *p = s->params;
	for (size_t i = 0; i < p->access_count; i++) {
		struct slice word = p->access[i];
		int r = meant_by(word);
		if (slice_same(word, S("permit_mynetworks")))
			r = networks_match_sockaddr(p->networks, &s->peer.any) ? ACCESS_PERMIT : ACCESS_DUNNO;
		else if (slice_find(word, ':') < word.len) r = asked(s, word, ip);
		if (r != ACCESS_DUNNO) return r;
	}
	return ACCESS_DUNNO;
}

/* What an action means for the rest of the visit; ignored: it goes on as if nothing had been. */
static enum screen_verdict act(struct screen *s, struct stream *stream, int action, enum screen_verdict ignored) {
	if (action == SCREEN_IGNORE) return ignored;
	if (action == SCREEN_ENFORCE) return SCREEN_REFUSE;
	stream_put(stream, S("521 " SCREEN_REFUSAL_STATUS " " SCREEN_REFUSAL_TEXT "\r\n"));
	(void)stream_flush(stream);
	char unread[4096]; /* what is left unread would make of the end a reset, which may overtake our words */
	while (recv(stream_fd(stream), unread, sizeof unread, MSG_DONTWAIT) == (ssize_t)sizeof unread) continue;
	tell(s, "DISCONNECT");
	return SCREEN_GONE;
}

enum screen_verdict screen_begin(struct screen *s, const struct screen_params *params, struct screen_memory *memory,
				 struct stream *stream, const struct addr *peer) {
	char ip[ADDR_TEXT_ROOM], own_ip[ADDR_TEXT_ROOM] = "unknown";
	struct addr own = { 0 };
	*s = (struct screen){ .params = params, .memory = memory, .peer = *peer, .started = clock_ms() };
	snprintf(s->name, sizeof s->name, "[%s]:%u", addr_text(peer, ip), addr_port(peer));
	if (addr_of_socket(stream_fd(stream), &own)) addr_text(&own, own_ip);
	AUTO_BUF struct buf line = BUF(512);
	buf_addf(&line, "CONNECT from %s to [%s]:%u", s->name, own_ip, addr_port(&own));
	log_line(L_INFO, params->log_name, 0, NULL, buf_text(&line), NULL, 0);
	int access = access_of(s, ip);
	if (access == ACCESS_PERMIT) return tell(s, "ALLOWLISTED"), SCREEN_PASSED;
	if (access == ACCESS_REJECT) {
		tell(s, "DENYLISTED");
		enum screen_verdict r = act(s, stream, params->deny_action, SCREEN_WAIT);
		if (r != SCREEN_WAIT) return r;
	} else if (remembered(memory, peer)) {
		return tell(s, "PASS OLD"), SCREEN_PASSED;
	}
	if (params->wait_ms <= 0) return SCREEN_PASSED;
	if (params->banner != NULL) {
		stream_putf(stream, "220-%s\r\n", params->banner);
		(void)stream_flush(stream);
	}
	s->deadline = deadline_in(params->wait_ms);
	return SCREEN_WAIT;
}

static void show(struct buf *out, struct slice bytes) {
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
	show(&line, bytes);
	log_line(L_INFO, s->params->log_name, 0, NULL, buf_text(&line), NULL, 0);
}

enum screen_verdict screen_step(struct screen *s, struct stream *stream, bool io) {
	if (io && !s->failed) {
		char bytes[512];
		ssize_t n = recv(stream_fd(stream), bytes, sizeof bytes, MSG_PEEK | MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR)) return SCREEN_WAIT;
		if (n <= 0) {
			tell_early(s, "HANGUP", 0, SLICE_NONE);
			return tell(s, "DISCONNECT"), SCREEN_GONE;
		}
		tell_early(s, "PREGREET", n, slice_from(bytes, (size_t)n));
		s->failed = true;
		return act(s, stream, s->params->greet_action, SCREEN_WAIT);
	}
	if (clock_ms() < s->deadline) return SCREEN_WAIT;
	if (!s->failed) {
		remember(s->memory, &s->peer, s->params->ttl_ms);
		tell(s, "PASS NEW");
	}
	return SCREEN_PASSED;
}
