/* SPDX-License-Identifier: Apache-2.0 */
#include "net/seal.h"
#include "base/fail.h"

#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/resource.h>

enum { GROUPS_MOST = 100 };

/* The groups of a user, without its own; how many. */
static int other_groups(const char *user, gid_t *out, int room) {
	struct passwd *pw = getpwnam(user);
	gid_t all[GROUPS_MOST];
	int n = GROUPS_MOST, kept = 0;
	if (pw == NULL || getgrouplist(user, pw->pw_gid, all, &n) < 0) return 0;
	for (int i = 0; i < n && kept < room; i++)
		if (all[i] != pw->pw_gid) out[kept++] = all[i];
	return kept;
}

int user_drop_with(const char *user, const char *groups_of) {
	if (geteuid() != 0) return 0;
	gid_t groups[GROUPS_MOST * 2 + 1];
	int n = groups_of != NULL ? other_groups(groups_of, groups, GROUPS_MOST) : 0;
	n += other_groups(user, groups + n, GROUPS_MOST);
	errno = 0;
	struct passwd *pw = getpwnam(user);
	if (pw == NULL) return fail("user %s does not exist (create it, or start as an ordinary user)", user);
	uid_t uid = pw->pw_uid;
	gid_t gid = pw->pw_gid;
	groups[n++] = gid;
	if (setgroups((size_t)n, groups) != 0 || setresgid(gid, gid, gid) != 0 || setresuid(uid, uid, uid) != 0)
		return fail_errno("become user %s", user);
	if (uid != 0 && setuid(0) == 0) return fail("become user %s: root could be had again", user);
	return 0;
}

int user_drop(const char *user) {
	return user_drop_with(user, NULL);
}

int seal(unsigned needs) {
	struct rlimit none = { 0, 0 }; /* Landlock and seccomp will ask for the other needs */
	if ((needs & SEAL_SPAWN) == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return fail_errno("no_new_privs");
	if (setrlimit(RLIMIT_CORE, &none) != 0) return fail_errno("no core dumps");
#ifndef __SANITIZE_ADDRESS__ /* the leak checker must be able to trace its own process */
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
	return 0;
}
