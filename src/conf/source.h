/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "conf/problem.h"
/* The files a configuration was made of: main.cf, master.cf and whatever they include (/etc/mailname, a file of
 * networks). Every file that was read is remembered with its text. So the configuration can be packed and built again
 * by a process that sees no file system, with the same result, and a watcher knows which files to watch. */
struct source {
	struct slice path, text;
	bool absent; /* looked for and not there: remembered as well */
};
struct sources {
	struct arena *mem;
	struct source *at;
	size_t count, room;
	bool sealed; /* only what is remembered: nothing is read from disk */
};
enum { SOURCE_FOUND, SOURCE_ABSENT };
#define SOURCE_LIMIT MIB(16) /* bytes in one file */
#define LOGICAL_LINE_MOST MIB(1)     /* bytes in one logical line of main.cf or master.cf */
/* The text of a file, from memory or disk. <0: there but not readable, or too large. */
int source_read(struct sources *s, struct slice path, struct slice *out) MUST_USE;
/* Puts a text under a path, as if it had been read. */
void source_put(struct sources *s, struct slice path, struct slice text, bool absent);

/* Logical lines of main.cf, master.cf and tables (compat 2.2): a line that starts with a blank continues the one
 * before, also across comments and empty lines, which are left out; there are no comments behind a value. */
struct logical_lines {
	struct slice rest;
	unsigned next; /* number of the line at rest; 0 to start */
};
/* The next one, its line end replaced by nothing, into *out (from mem), with the number of its first line. */
bool logical_line_next(struct logical_lines *l, struct arena *mem, struct slice *out, unsigned *line);
