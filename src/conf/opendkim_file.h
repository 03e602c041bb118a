/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "conf/source.h"
/* The syntax of opendkim.conf(5) and opendmarc.conf(5), and of the data sets that their values name (opendkim(8), "DATA
 * SETS"). What the keys mean is for those who ask (adopt.h). */

/* "Key value" on each line; # begins a comment wherever it stands; keys ignore case. Include takes another file in,
 * five deep. Everything lives in the arena of the sources; broken lines are problems (warnings) and are left out. */
struct opendkim_line {
	struct slice key, value; /* trimmed; value may be empty */
	struct place where;
};
struct opendkim_file {
	struct opendkim_line *lines;
	size_t count;
};
enum { OPENDKIM_LINES_MAX = 10000, OPENDKIM_INCLUDE_MAX = 5, OPENDKIM_ENTRIES_MAX = 100000 };
/* SOURCE_FOUND or SOURCE_ABSENT (of path itself); <0: it cannot be read. */
int opendkim_file_read(struct sources *files, struct slice path, struct problems *problems,
		       struct opendkim_file *out) MUST_USE;
/* The last line of that key decides, as in the original; NULL: none. */
const struct opendkim_line *opendkim_find(const struct opendkim_file *f, const char *key);
/* By the first byte: T, Y, 1 or F, N, 0. False: none of these. */
bool opendkim_bool(struct slice value, bool *out);

/* A data set: "csl:a,b=c" or plain "a,b=c"; "file:/path" or "/path": a key and its value on each line; "refile:/path":
 * the keys are patterns with * for any text. Other kinds (db:, ldap:, lua:, …) cannot be read. */
struct opendkim_entry {
	struct slice key, value; /* value: the rest of the line, trimmed; may be empty */
	unsigned line;           /* 0 in a list */
};
struct opendkim_set {
	enum { OPENDKIM_LIST, OPENDKIM_FILE, OPENDKIM_PATTERNS } kind;
	struct slice path;       /* of the last two */
	struct opendkim_entry *at;
	size_t count;
};
/* SOURCE_FOUND; SOURCE_ABSENT: the file is not there, which is a problem already told, with the nearest file of the
 * same name; <0: fail(), a kind that cannot be read or a file that is not readable. key: whose value it is, for the
 * messages. */
int opendkim_set_read(struct sources *files, const struct opendkim_line *line, struct problems *problems,
		      struct opendkim_set *out) MUST_USE;

/* Tells that a file is not there, and where one of that name is (in a folder above, or beside the file that names it).
 */
void opendkim_tell_absent(struct sources *files, const struct opendkim_line *line, struct slice path,
			  struct problems *problems);
