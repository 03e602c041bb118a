/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "local/place.h"
/* pipe(8) and spawn(8): the programs that master.cf names behind flags=, user=, argv= and so on. */
struct program {
	struct rights who;          /* user=; root and the user of the mail system are refused */
	struct slice user, group;   /* as written */
	unsigned flags;             /* enum copy_flags of B D F O R . > */
	bool final, lower_domain, lower_local, quoted; /* X h u q */
	const char *folder;         /* directory=; NULL: none is named */
	const char *chroot;         /* chroot=; the same */
	struct slice eol;           /* "\n" */
	struct slice null_sender;   /* "MAILER-DAEMON" */
	uint64_t size_limit;        /* size=; 0: none */
	const struct slice *argv;   /* as written; macros are expanded for each message */
	size_t argc;
};
/* Reads the arguments of a master.cf line; what it points to is in mem or borrowed from args. is_pipe: spawn knows
 * user= and argv= only. <0: fail() says what is wrong, as pipe(8) would. Users are not looked up: program_user does
 * that. */
int program_parse(const struct slice *args, size_t count, bool is_pipe, struct arena *mem, struct program *out);
/* Fills who. <0: there is no such user, or it is one that must not run programs: root, or a name in forbidden (NULL
 * behind the last). */
int program_user(struct program *p, const char *const *forbidden, struct arena *mem);

struct pipe_params {
	struct program program;
	const char *service;        /* its name in master.cf */
	struct slice queue_directory, delimiters;
	struct exported exported;   /* export_environment */
	int64_t limit_ms;           /* SERVICE_time_limit */
};
/* One run of the program for all recipients; for each recipient its own when flags say D or O. outcomes has count
 * places. */
void pipe_deliver(const struct pipe_params *p, const struct local_message *m, const struct local_recipient *to,
		  size_t count, struct slice nexthop, struct arena *mem, struct local_outcome *outcomes);
/* The program's arguments for these recipients, NULL behind the last; NULL: a macro is broken, fail_text() says which.
 */
const char *const *pipe_arguments(const struct pipe_params *p, const struct local_message *m,
				  const struct local_recipient *to, size_t count, struct slice nexthop,
				  struct arena *mem);

/* A client of a spawn service: the program takes its place at the other end of the connection, as its descriptors 0
 * to 2. Returns the process id, to be waited for (and killed at its time limit) by the caller; <0: cannot start. */
pid_t spawn_start(const struct pipe_params *p, int connection);
