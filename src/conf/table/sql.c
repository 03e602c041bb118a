/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/table/sql.h"

int sql_prepare(struct database *db) {
	struct slice function = database_text(db, "select_function"), table = database_text(db, "table");
	if (database_text(db, "query").len > 0) return 0;
	if (function.len > 0) {
		database_set(db, "query", arena_fmt(database_mem(db), "SELECT %.*s('%%s')", SLICE_ARG(function)));
		return 0;
	}
	struct slice field = database_text(db, "select_field"), where = database_text(db, "where_field");
	if (table.len == 0 || field.len == 0 || where.len == 0)
		return fail("query is missing (or table, select_field and where_field)");
	database_set(db, "query",
		     arena_fmt(database_mem(db), "SELECT %.*s FROM %.*s WHERE %.*s = '%%s' %s", SLICE_ARG(field),
			       SLICE_ARG(table), SLICE_ARG(where), database_string(db, "additional_conditions")));
	return 0;
}

struct sql_host sql_host_of(struct slice host) {
	if (slice_starts(host, S("unix:")))
		return (struct sql_host){ .local = true, .name = slice_skip(host, 5), .port = S("") };
	if (slice_starts(host, S("inet:"))) host = slice_skip(host, 5);
	size_t colon = slice_find_last(host, ':');
	return (struct sql_host){ .name = slice_head(host, colon), .port = slice_skip(host, colon + 1) };
}
