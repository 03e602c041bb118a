/* SPDX-License-Identifier: Apache-2.0 */
/* mysql:, mysql_table(5), with MariaDB's client library. */
#include <mysql.h> /* first: it uses functions that base.h bans */
#include "conf/table/sql.h"
#include "base/library.h"

#define CALLS(F) \
	F(mysql_close) F(mysql_errno) F(mysql_error) F(mysql_fetch_lengths) F(mysql_fetch_row) F(mysql_free_result) \
	F(mysql_init) F(mysql_next_result) F(mysql_num_fields) F(mysql_options) F(mysql_real_connect) \
	F(mysql_real_escape_string) F(mysql_real_query) F(mysql_ssl_set) F(mysql_store_result) 

static struct {
	CALLS(LIBRARY_MEMBER)
} my;
#define CALL(function) { #function, (void **)(void *)&my.function },
static const struct library_call calls[] = { CALLS(CALL) };
static const char *const library_names[] = { "libmariadb.so.3", NULL };
static struct library library = { library_names, calls, LEN(calls), PTHREAD_MUTEX_INITIALIZER, false };

struct options {
	bool tls_verify, need_result;
};

static void disconnect(void *connection) {
	my.mysql_close(connection);
}

static int prepare(struct database *db) {
	struct options *o = arena_get(database_mem(db), sizeof *o);
	if (!database_yes(db, "tls_verify_cert", &o->tls_verify) ||
	    !database_yes(db, "require_result_set", &o->need_result))
		return -1;
	*database_own(db) = o;
	if (database_text(db, "hosts").len == 0) database_set(db, "hosts", S("localhost"));
	return sql_prepare(db);
}

static const char *or_null(struct database *db, const char *name) {
	struct slice v = database_text(db, name);
	return v.len > 0 ? v.at : NULL;
}

static void set_options(struct database *db, MYSQL *c, int64_t deadline) {
	const struct options *o = *database_own(db);
	unsigned seconds = (unsigned)MAX_OF((deadline - clock_ms()) / 1000, 1);
	my.mysql_options(c, MYSQL_OPT_CONNECT_TIMEOUT, &seconds);
	my.mysql_options(c, MYSQL_OPT_READ_TIMEOUT, &seconds);
	my.mysql_options(c, MYSQL_OPT_WRITE_TIMEOUT, &seconds);
	my.mysql_options(c, MYSQL_SET_CHARSET_NAME, database_string(db, "charset"));
	if (or_null(db, "option_file") != NULL)
		my.mysql_options(c, MYSQL_READ_DEFAULT_FILE, database_string(db, "option_file"));
	if (or_null(db, "option_group") != NULL)
		my.mysql_options(c, MYSQL_READ_DEFAULT_GROUP, database_string(db, "option_group"));
	if (or_null(db, "tls_cert_file") != NULL || or_null(db, "tls_CAfile") != NULL ||
	    or_null(db, "tls_CApath") != NULL || or_null(db, "tls_ciphers") != NULL ||
	    or_null(db, "tls_key_file") != NULL)
		my.mysql_ssl_set(c, or_null(db, "tls_key_file"), or_null(db, "tls_cert_file"),
				 or_null(db, "tls_CAfile"), or_null(db, "tls_CApath"), or_null(db, "tls_ciphers"));
	my_bool verify = o->tls_verify;
	my.mysql_options(c, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &verify);
}

static void *connect_mysql(struct database *db, struct slice host, int64_t deadline) {
	AUTO_ARENA struct arena mem = { 0 };
	const char *path = NULL, *name = NULL, *shown = arena_text(&mem, host);
	uint64_t port = 0;
	struct sql_host h = sql_host_of(host);
	if (h.local) path = arena_text(&mem, h.name);
	name = h.local ? "localhost" : arena_text(&mem, h.name); /* or the library does not look at the path */
	if (h.port.len != 0 && !slice_number(h.port, 65535, &port))
		return fail("host %s: the port is no number", shown), NULL;
	MYSQL *c = my.mysql_init(NULL);
	if (c == NULL) return fail("out of memory"), NULL;
	set_options(db, c, deadline);
	if (my.mysql_real_connect(c, name, or_null(db, "user"), or_null(db, "password"), or_null(db, "dbname"),
				  (unsigned)port, path, CLIENT_MULTI_RESULTS) != NULL)
		return c;
	fail("host %s: %s", shown, my.mysql_error(c));
	disconnect(c);
	return NULL;
}

static void quote(void *ctx, struct buf *out, struct slice text) {
	char *room = buf_room(out, text.len * 2 + 1);
	if (room != NULL) out->len += my.mysql_real_escape_string(ctx, room, text.at, (unsigned long)text.len);
}

static int take_values(struct question *q, MYSQL_RES *result) {
	MYSQL_ROW row;
	while ((row = my.mysql_fetch_row(result)) != NULL) {
		const unsigned long *lengths = my.mysql_fetch_lengths(result);
		for (unsigned i = 0; i < my.mysql_num_fields(result); i++) {
			if (row[i] == NULL) continue;
			int r = database_value(q, slice_from(row[i], lengths[i]));
			if (r != TABLE_FOUND) return r;
		}
	}
	return TABLE_FOUND;
}

/* Errors of the server leave the connection in order; those of the client library do not. */
static int failed(MYSQL *c) {
	unsigned code = my.mysql_errno(c);
	fail("%s", my.mysql_error(c));
	return code >= 2000 && code < 3000 ? -1 : TABLE_LATER;
}

static int ask(struct question *q, void *connection) {
	MYSQL *c = connection;
	const struct options *o = *database_own(q->db);
	AUTO_BUF struct buf sql = BUF(MIB(1));
	int r = TABLE_FOUND, more;
	bool any = false;
	if (database_expand(q, database_text(q->db, "query"), quote, c, &sql) < 0) return TABLE_LATER;
	if (my.mysql_real_query(c, buf_text(&sql), (unsigned long)sql.len) != 0) return failed(c);
	do { /* a stored procedure sends its state behind its rows */
		MYSQL_RES *result = my.mysql_store_result(c);
		if (result == NULL && my.mysql_errno(c) != 0) return failed(c);
		if (result != NULL && any && r == TABLE_FOUND)
			r = (fail("the query gives more than one set of results"), TABLE_LATER);
		if (result != NULL && r == TABLE_FOUND) r = take_values(q, result);
		any = any || result != NULL;
		my.mysql_free_result(result);
	} while ((more = my.mysql_next_result(c)) == 0);
	if (more > 0) return failed(c);
	if (!any && o->need_result)
		return fail("the query gives no set of results (see require_result_set)"), TABLE_LATER;
	return r;
}

static const struct parameter parameters[] = {
	{ "hosts", NULL },
	{ "user", NULL },
	{ "password", NULL },
	{ "dbname", NULL },
	{ "charset", "utf8mb4" },
	{ "option_file", NULL },
	{ "option_group", "client" },
	{ "require_result_set", "yes" },
	{ "tls_cert_file", NULL },
	{ "tls_key_file", NULL },
	{ "tls_CAfile", NULL },
	{ "tls_CApath", NULL },
	{ "tls_ciphers", NULL },
	{ "tls_verify_cert", "no" },
	SQL_PARAMETERS,
	{ NULL, NULL },
};
static const struct database_kind kind = {
	.parameters = parameters,
	.prepare = prepare,
	.connect = connect_mysql,
	.disconnect = disconnect,
	.ask = ask,
	.hosts = "hosts",
	.templates = { "query" },
};

static int open_mysql(struct table *t) {
	if (library_load(&library) < 0) return fail_add("%s", t->name), TABLE_BAD;
	return database_open(t, &kind);
}

const struct table_type table_mysql = { "mysql", 0, open_mysql, database_find, NULL, database_close };
