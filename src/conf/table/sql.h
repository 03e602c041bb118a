/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "conf/table/database.h"
/* What pgsql, mysql and sqlite share: the query, also as releases before 2.2 wrote it. For this folder only. */
#define SQL_PARAMETERS \
	{ "query", NULL }, { "table", NULL }, { "select_field", NULL }, { "where_field", NULL }, { "additional_conditions", NULL }, \
	{ "select_function", NULL }
int sql_prepare(struct database *db); /* puts together `query` from the old parameters; <0: there is none */
