/* SPDX-License-Identifier: Apache-2.0 */
/* pgsql:, pgsql_table(5). Everything is done without blocking calls of libpq, because only so is there a limit on the
 * time that a server may take which accepted the connection and says nothing. */
#include "conf/table/sql.h"
#include "base/library.h"
#include <libpq-fe.h>
#include <poll.h>

#define CALLS(F) \
	F(PQclear) F(PQconnectPoll) F(PQconnectStartParams) F(PQconsumeInput) F(PQerrorMessage) \
	F(PQescapeStringConn) F(PQfinish) F(PQflush) F(PQgetResult) F(PQgetisnull) F(PQgetlength) F(PQgetvalue) \
	F(PQisBusy) F(PQnfields) F(PQntuples) F(PQresultStatus) F(PQsendQuery) F(PQsetnonblocking) F(PQsocket) \
	F(PQstatus)

static struct {
	CALLS(LIBRARY_MEMBER)
} pq;
#define CALL(function) { #function, (void **)(void *)&pq.function },
static const struct library_call calls[] = { CALLS(CALL) };
static const char *const library_names[] = { "libpq.so.5", NULL };
static struct library library = { library_names, calls, LEN(calls), PTHREAD_MUTEX_INITIALIZER, false };

static void disconnect(void *connection) { pq.PQfinish(connection); }

static void fail_pg(PGconn *c) {
	struct slice text = slice_trim(slice_of(pq.PQerrorMessage(c)));
	fail("%.*s", SLICE_ARG(text));
}

/* False: time is over, or fail_text(). */
static bool wait_for(PGconn *c, short events, int64_t deadline) {
	struct pollfd p = { .fd = pq.PQsocket(c), .events = events };
	int ready;
	do ready = poll(&p, 1, deadline_left(deadline));
	while (ready < 0 && errno == EINTR);
	if (ready > 0) return true;
	if (ready == 0) fail("the server does not answer in time");
	else fail_errno("waiting for the server");
	return false;
}

static PGconn *finish_connecting(PGconn *c, int64_t deadline) {
	if (c == NULL) return fail("out of memory"), NULL;
	PostgresPollingStatusType state =
		pq.PQstatus(c) == CONNECTION_BAD ? PGRES_POLLING_FAILED : PGRES_POLLING_WRITING;
	while (state == PGRES_POLLING_READING || state == PGRES_POLLING_WRITING) {
		if (!wait_for(c, state == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline))
			return pq.PQfinish(c), NULL;
		state = pq.PQconnectPoll(c);
	}
	if (state == PGRES_POLLING_OK && pq.PQsetnonblocking(c, 1) == 0) return c;
	fail_pg(c);
	pq.PQfinish(c);
	return NULL;
}

static PGconn *start(struct database *db, struct slice host) {
	AUTO_ARENA struct arena mem = { 0 };
	if (slice_starts(host, S("postgresql://")) || slice_starts(host, S("postgres://"))) {
		const char *keys[] = { "dbname", "client_encoding", NULL },
			   *values[] = { arena_text(&mem, host), "UTF8", NULL };
		return pq.PQconnectStartParams(keys, values, 1);
	}
	struct sql_host h = sql_host_of(host);
	struct slice port = h.port;
	size_t name = h.local ? slice_search(h.name, S("/.s.PGSQL.")) : h.name.len;
	host = slice_head(h.name, name);
	if (h.local) port = slice_skip(h.name, name + 10); /* libpq wants the folder and the port of ".s.PGSQL.5432" */
	if (host.len >= 2 && host.at[0] == '[' && host.at[host.len - 1] == ']')
		host = slice_head(slice_skip(host, 1), host.len - 2);
	const char *keys[] = { "host", "port", "user", "password", "dbname", "client_encoding", NULL };
	const char *values[] = { arena_text(&mem, host),
				 arena_text(&mem, port),
				 database_string(db, "user"),
				 database_string(db, "password"),
				 database_string(db, "dbname"),
				 database_string(db, "encoding"),
				 NULL };
	return pq.PQconnectStartParams(keys, values, 0);
}

static void *connect_pg(struct database *db, struct slice host, int64_t deadline) {
	PGconn *c = finish_connecting(start(db, host), deadline);
	if (c == NULL && host.len > 0)
		fail_add("host %.*s", SLICE_ARG(slice_starts(host, S("postgres")) ? S("postgresql://") : host));
	return c;
}

static void quote(void *ctx, struct buf *out, struct slice text) {
	char *room = buf_room(out, text.len * 2 + 1);
	int error = 0;
	if (room == NULL) return;
	size_t n = pq.PQescapeStringConn(ctx, room, text.at, text.len, &error);
	if (error == 0) out->len += n;
	else out->full = true; /* the query is not asked then */
}

static int send_query(PGconn *c, const char *sql, int64_t deadline) {
	if (pq.PQsendQuery(c, sql) != 1) return fail_pg(c), -1;
	int left;
	while ((left = pq.PQflush(c)) == 1)
		if (!wait_for(c, POLLOUT, deadline)) return -1;
	return left == 0 ? 0 : (fail_pg(c), -1);
}

static int next_result(PGconn *c, int64_t deadline, PGresult **out) {
	while (pq.PQisBusy(c)) {
		if (!wait_for(c, POLLIN, deadline)) return -1;
		if (pq.PQconsumeInput(c) != 1) return fail_pg(c), -1;
	}
	*out = pq.PQgetResult(c);
	return 0;
}

static int take_values(struct question *q, const PGresult *result) {
	for (int row = 0; row < pq.PQntuples(result); row++)
		for (int field = 0; field < pq.PQnfields(result); field++) {
			if (pq.PQgetisnull(result, row, field)) continue;
			int r = database_value(q, slice_from(pq.PQgetvalue(result, row, field),
							     (size_t)pq.PQgetlength(result, row, field)));
			if (r != TABLE_FOUND) return r;
		}
	return TABLE_FOUND;
}

static int ask(struct question *q, void *connection) {
	PGconn *c = connection;
	AUTO_BUF struct buf sql = BUF(MIB(1));
	if (database_expand(q, database_text(q->db, "query"), quote, c, &sql) < 0) return TABLE_LATER;
	if (send_query(c, buf_text(&sql), q->deadline) < 0) return -1;
	int r = TABLE_FOUND;
	for (;;) { /* all results must be taken, or the connection cannot be used again */
		PGresult *result = NULL;
		if (next_result(c, q->deadline, &result) < 0) return -1;
		if (result == NULL) break;
		ExecStatusType state = pq.PQresultStatus(result);
		if (state == PGRES_TUPLES_OK) {
			if (r == TABLE_FOUND) r = take_values(q, result);
		} else if (state == PGRES_COPY_OUT || state == PGRES_COPY_IN || state == PGRES_COPY_BOTH) {
			r = fail("the query is a COPY");
		} else if (state != PGRES_COMMAND_OK) {
			fail_pg(c);
			r = pq.PQstatus(c) == CONNECTION_OK ? TABLE_LATER : -1;
		}
		pq.PQclear(result);
		if (r < 0) return -1;
	}
	return pq.PQstatus(c) == CONNECTION_OK ? r : (fail_pg(c), -1);
}

static int prepare(struct database *db) {
	if (database_text(db, "hosts").len == 0) database_set(db, "hosts", S("localhost"));
	return sql_prepare(db);
}

static const struct parameter parameters[] = {
	{ "hosts", NULL },      { "user", NULL }, { "password", NULL }, { "dbname", NULL },
	{ "encoding", "UTF8" }, SQL_PARAMETERS,   { NULL, NULL },
};
static const struct database_kind kind = {
	.parameters = parameters,
	.prepare = prepare,
	.connect = connect_pg,
	.disconnect = disconnect,
	.ask = ask,
	.hosts = "hosts",
	.templates = { "query" },
};

static int open_pgsql(struct table *t) {
	if (library_load(&library) < 0) return fail_add("%s", t->name), TABLE_BAD;
	return database_open(t, &kind);
}

const struct table_type table_pgsql = { "pgsql", 0, open_pgsql, database_find, NULL, database_close };
