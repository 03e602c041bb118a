/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "local/local.h"
/* A Unix user: the rights that a delivery happens with. */
struct rights {
	uid_t uid;
	gid_t gid;
	struct slice name, home, shell; /* name empty: a bare pair of numbers */
};
enum { RIGHTS_OK, RIGHTS_UNKNOWN };
/* RIGHTS_UNKNOWN: no such user. Below zero: the user database does not answer. */
int rights_find(struct slice name, struct arena *mem, struct rights *out);
int rights_find_uid(uid_t uid, struct arena *mem, struct rights *out);
int rights_find_group(struct slice name, struct arena *mem, gid_t *out); /* the same results */
/* Could this process become him? Only root can become somebody else. */
bool rights_within_reach(const struct rights *who);
/* For good: groups (none but gid, as in Postfix), gid, uid; in a process group of its own, with a small umask, the
 * usual signals and no descriptor but those in keep. <0: still who we were; the process should end. */
int rights_become(const struct rights *who, const int *keep, size_t count);

/* Work that is done by a child process which has become somebody. What it writes to *out it has given to us; what is
 * not to be believed (a huge answer, none at all, a fate that does not exist) becomes LOCAL_LATER. */
struct rights_task {
	const struct rights *who;
	const char *root;        /* chroot there first; NULL: no */
	int keep[4];             /* descriptors that stay open; ended by the count */
	size_t keep_count;
	bool new_privileges;     /* a program that is run may gain rights by its set-user-id bit (else it may not) */
	uint64_t file_limit;     /* of every file written, RLIMIT_FSIZE; 0: none */
	int64_t limit_ms;        /* then all its processes are killed */
	void (*run)(void *ctx, struct arena *mem, struct local_outcome *out);
	void *ctx;
};
void rights_run(const struct rights_task *task, struct arena *mem, struct local_outcome *out);
