/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/buf.h"
/* Work on the store with the rights of its owner, and on a folder with those of the caller. The caller (often root)
 * only opens and makes files below the folder, never behind a symbolic link, and looks into none of them; the worker, a
 * process of its own that has become hato-core, reads strangers' bytes and asks for each file. */
struct cli;
/* Runs work(hands, ctx) in the worker and gives the exit status it returns. apart: the worker becomes user. */
int hands_run(const struct cli *cli, const char *folder, const char *user, int (*work)(int hands, void *ctx),
	      void *ctx);

/* In the worker. Paths are relative to the folder. A descriptor, or -1 with errno. */
int hands_list(int hands, struct slice path);   /* a folder: for fdopendir */
int hands_open(int hands, struct slice path);   /* a regular file, for reading */
int hands_create(int hands, struct slice path); /* anew, for writing */
/* 0, or -1 with errno. */
int hands_make_dir(int hands, struct slice path); /* fine when it is there */
int hands_place(int hands, struct slice from, struct slice to,
		int64_t time_us); /* sets its time (0: now) and renames it */
