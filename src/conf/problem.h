/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/arena.h"
#include "base/buf.h"
/* What is wrong, or worth knowing, about a configuration. Loading never stops at the first fault: everything that is to
 * be said is collected here, in the order of the files, and said at once.
 *
 *   info     accepted, and has no effect because hato does not need it
 *   warning  hato runs, but something the file asks for does not happen
 *   error    hato must not run with this */
enum problem_level { PROBLEM_INFO, PROBLEM_WARNING, PROBLEM_ERROR };

/* FORM: of a line, which no program can read past unharmed. EXPANSION: of a value's $names. */
enum problem_about { PROBLEM_OTHER, PROBLEM_FORM, PROBLEM_EXPANSION };

struct problem {
	enum problem_level level;
	struct slice file; /* path, or empty when no file is to blame */
	unsigned line;     /* from 1; 0 when the whole file is meant */
	struct slice text;
	enum problem_about about;
};

/* Owned by the arena; a list in a zeroed struct with mem set is empty and ready. */
struct problems {
	struct arena *mem;
	struct problem *at;
	size_t count, room, errors;
};
/* Where a text came from. */
struct place {
	struct slice file;
	unsigned line;
};
#define PROBLEMS_KEPT 1000
/* At most PROBLEMS_KEPT are kept, so that a hostile file cannot fill memory; errors are counted beyond that. */
void problem_add(struct problems *p, enum problem_level level, struct place where, const char *format, ...)
	PRINTF_LIKE(4, 5);
void problem_add_about(struct problems *p, enum problem_about about, enum problem_level level, struct place where,
                       const char *format, ...) PRINTF_LIKE(5, 6);
#define problem_add_form(p, ...) problem_add_about(p, PROBLEM_FORM, __VA_ARGS__)
/* Of those from the given one on, what is said word for word before is taken out: services share what main.cf says. */
void problems_once(struct problems *p, size_t from);
/* "FILE, line N: TEXT", with "error: ", "warning: " or "info: " before it. */
void problem_line(struct buf *out, const struct problem *p);
