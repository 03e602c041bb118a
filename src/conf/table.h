/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/arena.h"
/* A lookup table: a key in, a text out. What main.cf names "type:name" (DATABASE_README, compat.md §2.3).
 *
 * The tables of a process are kept together, so that one named twice is open once. A table made from a file sees
 * changes of the file by itself, as a whole: a look-up gets the old contents or the new, and a file that cannot be read
 * or has errors keeps the old ones, with one line in the log. All functions may be called from many threads. */
struct tables;
struct table;

struct table_params {
	const char *queue_directory; /* where relative socket names start */
	size_t socketmap_most;       /* bytes of a socketmap reply (socketmap_max_reply_size); 0: 100000 */
	/* Opens a file for reading; -1 with errno. NULL: open(2). */
	int (*open)(void *ctx, const char *path);
	/* Where a table tells that its file changed or is broken; level is enum log_level. NULL: the log. */
	void (*tell)(void *ctx, int level, const char *text);
	void *ctx;
	const char *service; /* in log lines, must stay; NULL: "table" */
};
struct tables *tables_new(const struct table_params *params) NONNULL_RESULT; /* params are copied */
void tables_free(struct tables **t); /* nobody may use its tables any more */

enum {
	TABLE_ALIASES = 1,   /* source text is "name: value" (aliases(5)) */
	TABLE_PATTERNS_ONLY = 2, /* header_checks and the like: see table_is_pattern */
};
/* The table of this name, opened when it is not yet; lives as long as `t`. Without "type:" it is a texthash. A table
 * that cannot be opened now is given all the same: its look-ups say TABLE_LATER until it can, and the reason is logged
 * once. TABLE_BAD: not the name of a table, a type that this build does not have, or one that was never any;
 * fail_text() says which. */
enum table_answer { TABLE_FOUND, TABLE_MISSING, TABLE_LATER, TABLE_BAD };
int table_open(struct tables *t, struct slice name, unsigned flags, struct table **out) MUST_USE;

/* The value, in mem. TABLE_FOUND, TABLE_MISSING, or TABLE_LATER with fail_text() (a server that does not answer, a file
 * that never could be read). Keys of all but pattern tables are compared without ASCII case. */
int table_find(struct table *t, struct slice key, struct arena *mem, struct slice *value) MUST_USE;

const char *table_name(const struct table *t); /* "hash:/etc/postfix/virtual", as it was named */
/* regexp, pcre, cidr, tcp, socketmap, static, …: only whole keys are asked, never parts of an address or domain. */
bool table_is_pattern(const struct table *t);
bool table_is_fixed(const struct table *t); /* static, inline: the answer never changes */

/* All entries, in the order of the source; only of tables made from text. Stops when each returns other than 0 and
 * returns that. TABLE_BAD: the type cannot be listed. For postmap -s. */
typedef int table_visit(void *ctx, struct slice key, struct slice value);
int table_each(struct table *t, table_visit *each, void *ctx) MUST_USE;

/* The types this build has, ordered by name, NULL behind the last: postconf -m. */
const char *const *table_types(void);
