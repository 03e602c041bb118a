/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "conf/table/database.h"
/* What pgsql, mysql and sqlite share: the query, also as releases before 2.2 wrote it. For this folder only. */
#define SQL_PARAMETERS \
	{ "query", NULL }, { "table", NULL }, { "select_field", NULL }, { "where_field", NULL }, \
		{ "additional_conditions", NULL }, { \
		"select_function", NULL \
	}
int sql_prepare(struct database *db); /* puts together `query` from the old parameters; <0: there is none */

/* A server as it stands in `hosts`: "unix:/path", "inet:name:port" or "name:port"; the port is digits, or empty. */
struct sql_host {
	bool local;
	struct slice name, port; /* local: name is the path */
};
struct sql_host sql_host_of(struct slice host);
