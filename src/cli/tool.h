/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/buf.h"
/* What the programs with Postfix's names share: their options, and how they complain. Each is a function like main(),
 * named in names.def. */
struct tool {
	const char *name;      /* "postqueue": for errors and the log */
	const char *conf_dir;  /* -c DIR, or tool_conf_dir() */
	unsigned verbose;      /* how often -v was given */
};
/* The folder when nobody said -c: what the environment says by one of these names, or the first of hato's and Postfix's
 * usual ones (/etc/hato, /etc/postfix, …) that has a main.cf, or /etc/hato. */
const char *tool_conf_dir(const char *first, const char *second);
/* name is argv[0] without its folders. */
void tool_begin(struct tool *t, int argc, char **argv);
/* "NAME: fatal: TEXT" on the standard error, control characters replaced; returns code (sysexits(3)). */
int tool_fatal(const struct tool *t, int code, const char *format, ...) PRINTF_LIKE(3, 4);
void tool_warn(const struct tool *t, const char *format, ...) PRINTF_LIKE(2, 3);
/* "NAME: TEXT" */
void tool_say(const struct tool *t, const char *format, ...) PRINTF_LIKE(2, 3);
/* May it be one? Letters and digits. */
bool tool_queue_id(struct slice id);

/* What takes the whole configuration to know; errors are told. EX_OK or a code. */
struct submit_hello;
int tool_data(const struct tool *t, struct buf *data);                  /* data_directory */
int tool_hello(const struct tool *t, struct submit_hello *out);         /* what the server would say */
int tool_fast_flush(const struct tool *t, struct slice domain, bool *allowed); /* is it in fast_flush_domains? */
int tool_log(const struct tool *t);                                     /* opens the log, where the server's lines go */
int tool_newaliases(const struct tool *t, const char *file); /* file: instead of alias_database; may be NULL */

/* Runs the program argv[0] names, as if it had been called by that name. */
int tool_run(int argc, char **argv);

#define NAME(name, function, folder) int function(int argc, char **argv); /* some more than once */
#include "cli/names.def"
#undef NAME
