/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the checks of `hato check` share. */
#include "admin/json.h"
#include "cli/inside.h"

struct checking {
	const struct cli *cli;
	const struct conf *conf;
	const char *data;
	bool running;
	size_t counts[PROBLEM_ERROR + 1]; /* by level */
	bool json;
	struct json out;
};
void found_at(struct checking *c, enum problem_level level, struct place where, const char *format, ...)
	PRINTF_LIKE(4, 5);
/* check_tables.c: tables that are not there, or wrong, or readable by those they keep secrets from. */
void check_tables(struct checking *c);
void check_restrictions(struct checking *c, struct arena *mem); /* check_restrict.c: words in restriction lists */
/* check_access.c: tables that let relay whoever says the right word. */
int check_spf(struct cli *cli); /* check_spf.c: `hato check spf …` */
int check_ports_command(struct cli *cli); /* check_ports.c: `hato check ports …` */
struct tables;
void check_access(struct checking *c, struct tables *tables, struct arena *mem);
/* check_canonical.c: a sender given to everybody whom nobody can answer; only while the server runs. */
void check_canonical(struct checking *c, struct tables *tables, struct arena *mem);
