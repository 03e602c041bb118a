/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "local/copy.h"
/* A program that takes a message on its standard input. What it prints is kept for the notice; its exit status says
 * what became of the message, in the words of sysexits(3): 0 delivered, 75 later, 67 no such user, … as pipe_command of
 * Postfix. A line of output that begins with an enhanced status code ("4.2.2 over quota") counts more than the exit
 * status. */
struct command {
	const char *text;          /* for the shell when it needs one; else the words are run as they are */
	const char *const *args;   /* instead of text: run as it is; NULL at the end */
	const char *folder;        /* where it runs; NULL: where we are */
	char *const *environment;  /* all of it; NULL at the end */
	int64_t limit_ms;
	struct copy copy;
};
/* Waits for its end, at most limit_ms; then its process group (ours) loses it by SIGKILL. Delivered: text is what it
 * printed, perhaps empty. */
void command_run(const struct command *c, struct arena *mem, struct local_outcome *out);

/* Replaces descriptors 0, 1, 2 and the process by the program. Returns only when that fails, with a sysexits code. */
int command_exec(const char *text, const char *const *args, char *const *environment);

/* A command's environment: names and values, NULL behind the last. Bytes of a value outside filter (NULL: all allowed)
 * become "_". */
struct environment {
	char **at;
	size_t count, room;
	struct arena *mem;
};
void environment_add(struct environment *e, const char *name, struct slice value, const char *filter);
/* What every program gets: PATH, and export_environment: "NAME" hands ours on, "NAME=value" and
 * "{ NAME = value }" set it; MAIL_CONFIG is the folder of main.cf. */
struct exported {
	struct slice conf_dir;
	const struct slice *words;
	size_t count;
};
void environment_begin(struct environment *e, struct arena *mem, const struct exported *x);
struct slice filtered(struct arena *mem, struct slice value, const char *filter);
