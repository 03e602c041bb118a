/* SPDX-License-Identifier: Apache-2.0 */
/* memcache:, memcache_table(5): a cache in front of another table (backup), or alone. */
#include "conf/table/database.h"
#include "conf/table/peer.h"

#define KEY_MOST 250 /* bytes, of memcached's protocol.txt */

struct limits {
	uint64_t flags, ttl, data, line, timeout;
};

static int prepare(struct database *db) {
	struct limits *l = arena_get(database_mem(db), sizeof *l);
	if (!database_number(db, "flags", 0, UINT32_MAX, &l->flags) ||
	    !database_number(db, "ttl", 0, UINT32_MAX, &l->ttl) ||
	    !database_number(db, "data_size_limit", 1, TABLE_VALUE_MOST, &l->data) ||
	    !database_number(db, "line_size_limit", 64, KIB(64), &l->line) ||
	    !database_number(db, "timeout", 1, 60, &l->timeout))
		return -1;
	*database_own(db) = l;
	struct slice backup = database_text(db, "backup");
	struct table *t;
	if (backup.len > 0 && table_open_part(database_table(db), backup, &t) != TABLE_FOUND) return fail_add("backup");
	return 0;
}

/* Without a stream (NULL inside) when the cache is away and there is a backup to go on with. */
struct cache {
	struct stream *stream;
	struct slice host;
	int64_t again; /* when to connect again */
};
#define TRY_AGAIN SECONDS(10)

static void disconnect(void *connection) {
	struct cache *c = connection;
	stream_close(&c->stream);
	free(c);
}

static bool dial(struct database *db, struct cache *c, int64_t deadline) {
	const struct limits *l = *database_own(db);
	bool used;
	struct peer *p = peer_new(database_table(db), c->host);
	c->stream = p != NULL ? peer_take(p, true, MIN_OF(deadline, deadline_in(SECONDS((int64_t)l->timeout))), &used)
			      : NULL;
	peer_free(&p);
	c->again = deadline_in(TRY_AGAIN);
	return c->stream != NULL;
}

static void *connect_cache(struct database *db, struct slice host, int64_t deadline) {
	struct cache *c = mem_get(sizeof *c);
	c->host = host;
	if (dial(db, c, deadline) || database_text(db, "backup").len > 0) return c;
	disconnect(c);
	return NULL;
}

static int line_of(struct cache *c, const struct limits *l, int64_t deadline, struct slice *line) {
	return peer_result(stream_wait_line(c->stream, (size_t)l->line, line, deadline));
}

static int put(struct cache *c, struct slice text, int64_t deadline) {
	int r = peer_result(stream_wait_put(c->stream, text, deadline));
	return r < 0 ? r : peer_result(stream_wait_flush(c->stream, deadline));
}

/* "VALUE key flags bytes" and the data. TABLE_FOUND, TABLE_MISSING, <0. */
static int get(struct question *q, struct cache *c, struct slice key, int64_t deadline, struct slice *data) {
	const struct limits *l = *database_own(q->db);
	AUTO_BUF struct buf ask = BUF(KIB(1));
	struct slice line;
	buf_addf(&ask, "get %.*s\r\n", SLICE_ARG(key));
	if (put(c, buf_slice(&ask), deadline) < 0 || line_of(c, l, deadline, &line) < 0) return -1;
	if (slice_eq(line, S("END"))) return TABLE_MISSING;
	struct slice word = slice_word(&line, " "), name = slice_word(&line, " ");
	uint64_t bytes;
	slice_word(&line, " ");
	if (!slice_eq(word, S("VALUE")) || !slice_eq(name, key) ||
	    !slice_number(slice_word(&line, " "), l->data, &bytes))
		return fail("memcache: unexpected reply \"%.*s\" (or longer than data_size_limit)", SLICE_ARG(word));
	while (stream_peek(c->stream).len < bytes + 2)
		if (peer_result(stream_wait_fill(c->stream, deadline)) < 0) return -1;
	*data = arena_slice(q->mem, slice_head(stream_peek(c->stream), (size_t)bytes));
	stream_eat(c->stream, (size_t)bytes + 2);
	if (line_of(c, l, deadline, &line) < 0) return -1;
	return slice_eq(line, S("END")) ? TABLE_FOUND : fail("memcache: unexpected reply \"%.*s\"", SLICE_ARG(line));
}

static int set(struct question *q, struct cache *c, struct slice key, struct slice data, int64_t deadline) {
	const struct limits *l = *database_own(q->db);
	AUTO_BUF struct buf ask = BUF(TABLE_VALUE_MOST + KIB(1));
	struct slice line;
	if (data.len > l->data) return 0;
	buf_addf(&ask, "set %.*s %llu %llu %zu\r\n", SLICE_ARG(key), (unsigned long long)l->flags,
		 (unsigned long long)l->ttl, data.len);
	buf_add(&ask, data);
	buf_add(&ask, S("\r\n"));
	if (put(c, buf_slice(&ask), deadline) < 0 || line_of(c, l, deadline, &line) < 0) return -1;
	return 0; /* not stored is no loss */
}

static bool can_be_key(struct slice key) {
	for (size_t i = 0; i < key.len; i++)
		if (ascii_control(key.at[i]) || key.at[i] == ' ') return false;
	return key.len > 0 && key.len <= KEY_MOST;
}

/* From the backup, into the cache as well. */
static int ask_backup(struct question *q, struct cache *c, struct slice key, int64_t deadline) {
	struct table *t;
	struct slice data;
	if (database_text(q->db, "backup").len == 0) return TABLE_FOUND; /* without values: nothing was found */
	int r = table_open_part(database_table(q->db), database_text(q->db, "backup"), &t);
	if (r == TABLE_FOUND) r = table_find(t, q->key, q->mem, &data);
	if (r != TABLE_FOUND) return r == TABLE_MISSING ? TABLE_FOUND : TABLE_LATER;
	r = database_value(q, data);
	if (r != TABLE_FOUND || c->stream == NULL || !can_be_key(key)) return r;
	if (set(q, c, key, data, deadline) < 0) stream_close(&c->stream);
	return r;
}

static int ask(struct question *q, void *connection) {
	struct cache *c = connection;
	const struct limits *l = *database_own(q->db);
	AUTO_BUF struct buf key = BUF(KIB(4));
	struct slice data;
	int64_t deadline = MIN_OF(q->deadline, deadline_in(SECONDS((int64_t)l->timeout)));
	int r = TABLE_MISSING;
	bool had = c->stream != NULL || (clock_ms() >= c->again && dial(q->db, c, q->deadline));
	if (database_expand(q, database_text(q->db, "key_format"), NULL, NULL, &key) < 0) return TABLE_LATER;
	if (had && can_be_key(buf_slice(&key))) r = get(q, c, buf_slice(&key), deadline, &data);
	if (r < 0 && database_text(q->db, "backup").len == 0) return -1;
	if (r < 0) stream_close(&c->stream);
	return r == TABLE_FOUND ? database_value(q, data) : ask_backup(q, c, buf_slice(&key), deadline);
}

static const struct parameter parameters[] = {
	{ "memcache", "inet:localhost:11211" },
	{ "backup", NULL },
	{ "flags", "0" },
	{ "ttl", "3600" },
	{ "key_format", "%s" },
	{ "data_size_limit", "10240" },
	{ "line_size_limit", "1024" },
	{ "timeout", "2" },
	{ NULL, NULL },
};
static const struct database_kind kind = {
	.parameters = parameters,
	.prepare = prepare,
	.connect = connect_cache,
	.disconnect = disconnect,
	.ask = ask,
	.hosts = "memcache",
	.templates = { "key_format" },
};

static int open_memcache(struct table *t) { return database_open(t, &kind); }

const struct table_type table_memcache = { "memcache", 0, open_memcache, database_find, NULL, database_close };
