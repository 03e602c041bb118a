/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/base.h"
/* What a role gives up after its start-up. */
enum seal_need {
	SEAL_CONNECT = 1, /* opens outgoing connections */
	SEAL_FILES = 2,   /* opens files in its data folder */
	SEAL_SPAWN = 4, /* starts programs of others, which may gain rights by their set-id bits (sendmail, procmail) */
};
/* Becomes the Unix user and its groups for good (only as root; otherwise does nothing). */
int user_drop(const char *user);
/* The same, and joins the groups that another user was added to beside its own; nothing more when there is no such
 * user. */
int user_drop_with(const char *user, const char *groups_of);
/* Locks the process in: no_new_privs, no core dumps of secrets, not traceable. Landlock and seccomp stand here. */
int seal(unsigned needs);
/* For a program that is about to be run: from now on this process, and all that it starts, can reach nobody by
 * socket. Connecting is refused, and so are all sockets but streams of AF_UNIX (which may then only be made in pairs or
 * listened at), and looking into other processes. Needs no rights; takes those of set-id bits away. Linux on x86-64 and
 * arm64; <0 elsewhere. */
int seal_offline(void);
