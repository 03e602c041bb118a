/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/buf.h"
#include "base/clock.h"
#include "base/fail.h"
#include "base/generation.h"
#include "base/log.h"
#include "conf/source.h"
#include "conf/table.h"
#include <fcntl.h>
/* The inside of lookup tables: what a type is, and what all tables made from files share. For this folder only. */

struct table {
	const struct table_type *type;
	struct tables *owner;
	char *name;          /* "hash:/etc/postfix/virtual", as it was named */
	struct slice rest;   /* behind the first colon, in name */
	unsigned flags, depth;
	unsigned traits;     /* of its type, or of the tables it is made of */
	void *state;         /* the type's */
};
enum {
	TRAIT_PATTERN = 1,   /* table_is_pattern; keys keep their case */
	TRAIT_FIXED = 2,     /* table_is_fixed */
};
struct table_type {
	const char *name;
	unsigned traits;
	int (*open)(struct table *t); /* TABLE_FOUND, or TABLE_BAD with fail_text(); then close is called as well */
	/* The key is in lower case unless the type is a pattern's. */
	int (*find)(struct table *t, struct slice key, struct arena *mem, struct slice *value);
	int (*each)(struct table *t, table_visit *visit, void *ctx); /* NULL: cannot be listed */
	void (*close)(struct table *t); /* frees state; NULL: nothing to free */
};
#define TABLE_DEPTH 8        /* tables within tables */
#define TABLE_NAME_MOST KIB(64)
#define TABLE_VALUE_MOST KIB(64) /* bytes of one answer that was put together or came from outside */

/* The types, each in the file of its name or as said. */
extern const struct table_type table_cidr, table_debug, table_environ, table_fail, table_inline, table_internal,
	table_pcre, table_pipemap, table_proxy, table_randmap, table_regexp, table_static, table_unionmap, table_unix,
	table_texthash, table_hash, table_btree, table_dbm, table_sdbm, table_lmdb, table_cdb, table_tcp,
	table_socketmap, table_sqlite, table_memcache, table_pgsql, table_mysql, table_ldap, table_nis, table_nisplus,
	table_netinfo;

/* table.c. A table that is part of another. */
int table_open_part(const struct table *whole, struct slice name, struct table **out) MUST_USE;
/* A line about a table in the log, or wherever table_params.tell leads. */
void table_tell(const struct table *t, enum log_level level, const char *format, ...) PRINTF_LIKE(3, 4);
const struct table_params *table_params_of(const struct table *t);
/* "{a, b}" or "a, b": the members of a list in a name, without the braces of the whole. <0: braces that do not pair. */
int table_members(struct slice list, struct arena *mem, struct slice **out, size_t *count) MUST_USE;

/* What a file said when it was read. */
struct report {
	const struct table *table;
	const char *path;
	size_t errors, told; /* lines that are left out; lines told about */
};
#define REPORT_MOST 20 /* lines told about one reading */
/* "FILE, line N: TEXT". An error is a line left out; a warning is told only. */
void report_error(struct report *r, unsigned line, const char *format, ...) PRINTF_LIKE(3, 4);
void report_warning(struct report *r, unsigned line, const char *format, ...) PRINTF_LIKE(3, 4);

/* watched.c: a file that is read whole, and again when it has changed. */
struct watched;
struct watched_kind {
	size_t limit; /* bytes of the file */
	/* Makes the contents from the text, which it may take over (text->at = NULL) and change. Lines it cannot use go
	 * to the report. NULL with fail_text(): nothing can be made of it. */
	struct generation *(*read)(const struct table *t, struct buf *text, struct report *r);
};
/* Reads it now; that it cannot be read is told and not an error. path NULL: t->rest. */
struct watched *watched_new(struct table *t, const struct watched_kind *kind, const char *path) NONNULL_RESULT;
/* The same from a text that never changes. NULL with fail_text(): it has errors. */
struct watched *watched_fixed(struct table *t, const struct watched_kind *kind, struct slice text);
void watched_free(struct watched **w);
/* The contents, held; generation_drop when done. NULL with fail_text(): never could be read. */
struct generation *watched_hold(struct watched *w);
/* Opens for reading through table_params; -1 with errno. */
int table_open_file(const struct table *t, const char *path);
/* "regexp:{{rule}, {rule}}" or "regexp:/file": the contents of a table of patterns. TABLE_BAD: broken rules in the
 * name. */
int watched_open(struct table *t, const struct watched_kind *kind, struct watched **out) MUST_USE;

#define TABLE_LINE_MOST MIB(1) /* bytes of a logical line */
/* The next logical line; one that is too long is told and left out. */
bool table_line_next(struct logical_lines *l, struct arena *mem, struct slice *line, unsigned *number,
		     struct report *r);

/* text.c: the halves of a logical line; *key as it is written but without an alias's quotes, in mem. False: told. */
bool text_split(struct slice line, bool aliases, struct arena *mem, struct slice *key, struct slice *value,
		struct report *r, unsigned number);
/* text.c: entries from "key LF value LF" each, which is taken over; count is at least how many there are. */
struct generation *entries_from_pairs(struct buf *pairs, size_t count, struct report *r);
extern const struct watched_kind cdb_kind, lmdb_kind; /* compiled tables; each in the file of its name */
/* cdb.c: the pairs of a compiled table. False: fail_text(). */
bool cdb_read(struct slice file, struct buf *pairs, size_t *count);
/* One pair of a compiled table: without NUL at the end, and without the marks that postalias leaves. */
bool compiled_add(struct buf *pairs, size_t *count, struct slice key, struct slice value);

/* Tables of patterns: "if" and "endif" lines. */
#define TABLE_CONDITIONS 64 /* within each other */
enum rule_kind { RULE_MATCH, RULE_IF, RULE_ENDIF };
/* Whether the line is "if …" or "endif …"; *rest is what follows. */
enum rule_kind rule_kind(struct slice line, struct slice *rest);
