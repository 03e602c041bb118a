/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "conf/table/inside.h"
/* Tables whose answers come from a database: pgsql, mysql, sqlite, ldap, memcache. A file of parameters in main.cf's
 * form says where and what to ask; when it changes, the next look-up uses the new one (and new connections). For this
 * folder only.
 *
 * Common to all (pgsql_table(5) and its kin): templates with %s %u %d %1…%9, quoted as the database wants it;
 * result_format; domain; expansion_limit; the hosts in random order, Unix sockets first, one that failed left alone for
 * a minute. */
struct database;

/* What a file may set. */
struct parameter {
	const char *name, *fallback; /* fallback NULL: empty, and there is a difference to "set to nothing" in none */
};

/* One look-up under way. */
struct question {
	struct database *db;
	struct slice key;
	struct arena *mem;
	struct buf *values;  /* what was found, formatted, joined by commas */
	size_t count;        /* values so far */
	int64_t deadline;
};

struct database_kind {
	const struct parameter *parameters; /* ends with a NULL name */
	/* Parameters are read: checks them and keeps what it makes of them (database_own). <0 fail(). NULL: nothing to
	 * do. */
	int (*prepare)(struct database *db);
	/* A connection to a host as it stands in `hosts` (empty when the kind has none). NULL with fail_text(). */
	void *(*connect)(struct database *db, struct slice host, int64_t deadline);
	void (*disconnect)(void *connection);
	/* Asks and hands each value to database_value. 0; TABLE_LATER with fail_text(), connection in order; <0 fail():
	 * the connection is of no use any more. */
	int (*ask)(struct question *q, void *connection);
	const char *hosts;      /* the parameter with the servers; NULL: one, of no name */
	const char *templates[4]; /* parameters that must be possible for the key; NULL behind the last */
};

/* The types' functions. */
int database_open(struct table *t, const struct database_kind *kind) MUST_USE;
int database_find(struct table *t, struct slice key, struct arena *mem, struct slice *value) MUST_USE;
void database_close(struct table *t);

/* For kinds. Parameters live as long as the database. */
struct slice database_text(const struct database *db, const char *name);
const char *database_string(const struct database *db, const char *name) NONNULL_RESULT;
bool database_number(const struct database *db, const char *name, uint64_t least, uint64_t most,
		     uint64_t *out) MUST_USE;                                       /* false: fail_text() */
bool database_yes(const struct database *db, const char *name, bool *out) MUST_USE; /* false: fail_text() */
struct arena *database_mem(struct database *db);
const struct table *database_table(const struct database *db);
void **database_own(struct database *db); /* the kind's own, in database_mem; NULL at first */
void database_set(struct database *db, const char *name, struct slice value);

/* Adds the template to out, pieces of the key quoted by `quote` (NULL: as they are). <0: fail(). */
typedef void quote_text(void *ctx, struct buf *out, struct slice text);
int database_expand(const struct question *q, struct slice template, quote_text *quote, void *ctx, struct buf *out);
/* One value that was found: through result_format into q->values. TABLE_FOUND, or TABLE_LATER: more than
 * expansion_limit. */
int database_value(struct question *q, struct slice value) MUST_USE;
#define DATABASE_WAIT SECONDS(20) /* for one look-up, all hosts together */
