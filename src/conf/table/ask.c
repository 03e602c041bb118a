/* SPDX-License-Identifier: Apache-2.0 */
/* tcp: (tcp_table(5)) and socketmap: (socketmap_table(5)): somebody's program is asked, key by key. Keys go as they
 * are. */
#include "conf/table/peer.h"

#define TCP_LINE_MOST 4096        /* of the protocol */
#define SOCKETMAP_MOST 100000     /* as long as nobody said otherwise */

struct server {
	struct peer *peer;
	struct slice map; /* socketmap's name */
};
/* An answer under way. */
struct answer {
	const struct table *table;
	struct arena *mem;
	struct slice *value;
};

static void close_server(struct table *t) {
	struct server *s = t->state;
	peer_free(&s->peer);
	free(s);
}

static int open_tcp(struct table *t) {
	struct server *s = t->state = mem_get(sizeof *s);
	s->peer = peer_new(t, t->rest);
	return s->peer != NULL ? TABLE_FOUND : (fail_add("%s", t->name), TABLE_BAD);
}

static int open_socketmap(struct table *t) {
	struct server *s = t->state = mem_get(sizeof *s);
	size_t colon = slice_find_last(t->rest, ':');
	bool right = (slice_starts(t->rest, S("inet:")) || slice_starts(t->rest, S("unix:"))) && colon > 4 &&
		     colon + 1 < t->rest.len;
	if (!right)
		return fail("%s: expected socketmap:inet:host:port:name or socketmap:unix:pathname:name", t->name),
		       TABLE_BAD;
	s->map = slice_skip(t->rest, colon + 1);
	s->peer = peer_new(t, slice_head(t->rest, colon));
	return s->peer != NULL ? TABLE_FOUND : (fail_add("%s", t->name), TABLE_BAD);
}

/* %XX for what is no plain text. */
static void add_encoded(struct buf *out, struct slice key) {
	for (size_t i = 0; i < key.len; i++) {
		unsigned char c = (unsigned char)key.at[i];
		if (c <= ' ' || c == '%' || c >= 127) buf_addf(out, "%%%02X", c);
		else buf_byte(out, (char)c);
	}
}

static bool decode(struct slice text, struct arena *mem, struct slice *out) {
	char *room = arena_get(mem, text.len + 1);
	size_t n = 0;
	for (size_t i = 0; i < text.len; i++) {
		if (text.at[i] != '%') {
			room[n++] = text.at[i];
			continue;
		}
		int high = i + 2 < text.len ? ascii_hex(text.at[i + 1]) : -1,
		    low = i + 2 < text.len ? ascii_hex(text.at[i + 2]) : -1;
		if (high < 0 || low < 0) return false;
		room[n++] = (char)(high * 16 + low);
		i += 2;
	}
	*out = slice_from(room, n);
	return true;
}

static int read_tcp(void *ctx, struct stream *s, int64_t deadline) {
	struct answer *a = ctx;
	struct slice line;
	if (peer_result(stream_wait_line(s, TCP_LINE_MOST, &line, deadline)) < 0) return fail_add("%s", a->table->name);
	struct slice code = slice_head(line, 3), text = slice_skip(line, 4);
	bool formed = line.len >= 3 && (line.len == 3 || ascii_space(line.at[3]));
	if (formed && slice_eq(code, S("500"))) return TABLE_MISSING;
	if (formed && slice_eq(code, S("200")) && decode(text, a->mem, a->value)) return TABLE_FOUND;
	if (formed && slice_eq(code, S("400"))) return fail("%s: %.*s", a->table->name, SLICE_ARG(text)), TABLE_LATER;
	return fail("%s: malformed reply: \"%.*s\"", a->table->name, SLICE_ARG(line));
}

static int find_tcp(struct table *t, struct slice key, struct arena *mem, struct slice *value) {
	const struct server *s = t->state;
	AUTO_BUF struct buf request = BUF(KIB(256));
	struct answer a = { t, mem, value };
	buf_add(&request, S("get "));
	add_encoded(&request, key);
	buf_byte(&request, '\n');
	if (request.full || key.len == 0) return TABLE_MISSING; /* no table has a key like that */
	return peer_ask(s->peer, buf_slice(&request), read_tcp, &a, PEER_WAIT);
}

/* A netstring: "LENGTH:BYTES,". Its bytes stay in the stream's buffer until *eat are eaten. */
static int read_netstring(struct stream *s, size_t most, int64_t deadline, struct slice *out, size_t *eat) {
	for (;;) {
		struct slice seen = stream_peek(s);
		size_t colon = slice_find(slice_head(seen, 11), ':');
		uint64_t len = 0;
		bool number = colon < MIN_OF(seen.len, (size_t)11);
		if ((number && !slice_number(slice_head(seen, colon), most, &len)) ||
		    (!number && seen.len >= 11))
			return fail("the reply is no netstring of at most %zu bytes (see socketmap_max_reply_size)",
				    most);
		if (number && seen.len >= colon + 1 + len + 1) {
			if (seen.at[colon + 1 + len] != ',') return fail("the reply is no netstring");
			*out = slice_head(slice_skip(seen, colon + 1), (size_t)len);
			*eat = colon + 1 + (size_t)len + 1;
			return 0;
		}
		int r = peer_result(stream_wait_fill(s, deadline));
		if (r < 0) return r;
	}
}

static int read_socketmap(void *ctx, struct stream *s, int64_t deadline) {
	struct answer *a = ctx;
	struct slice reply;
	size_t eat = 0, most = table_params_of(a->table)->socketmap_most;
	if (read_netstring(s, most != 0 ? most : SOCKETMAP_MOST, deadline, &reply, &eat) < 0)
		return fail_add("%s", a->table->name);
	size_t blank = slice_find(reply, ' ');
	struct slice status = slice_head(reply, blank), text = slice_skip(reply, blank + 1);
	int r = TABLE_LATER;
	if (slice_eq(status, S("OK")) && text.len > 0) {
		*a->value = arena_slice(a->mem, text);
		r = TABLE_FOUND;
	} else if (slice_eq(status, S("NOTFOUND"))) {
		r = TABLE_MISSING;
	} else if (slice_eq(status, S("TEMP")) || slice_eq(status, S("TIMEOUT")) || slice_eq(status, S("PERM"))) {
		fail("%s: the server says %.*s", a->table->name, SLICE_ARG(reply));
	} else {
		r = fail("%s: unexpected reply: \"%.*s\"", a->table->name, SLICE_ARG(slice_head(reply, 100)));
	}
	stream_eat(s, eat);
	return r;
}

static int find_socketmap(struct table *t, struct slice key, struct arena *mem, struct slice *value) {
	const struct server *s = t->state;
	AUTO_BUF struct buf request = BUF(KIB(256));
	struct answer a = { t, mem, value };
	buf_addf(&request, "%zu:%.*s ", s->map.len + 1 + key.len, SLICE_ARG(s->map));
	buf_add(&request, key);
	buf_byte(&request, ',');
	if (request.full) return TABLE_MISSING;
	return peer_ask(s->peer, buf_slice(&request), read_socketmap, &a, PEER_WAIT);
}

const struct table_type table_tcp = { "tcp", TRAIT_PATTERN, open_tcp, find_tcp, NULL, close_server },
			table_socketmap = { "socketmap",    TRAIT_PATTERN, open_socketmap,
					    find_socketmap, NULL,          close_server };
