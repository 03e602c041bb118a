/* SPDX-License-Identifier: Apache-2.0 */
#include "net/seal.h"
#include "base/fail.h"

#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/resource.h>

int user_drop(const char *user) {
	if (geteuid() != 0) return 0;
	errno = 0;
	struct passwd *pw = getpwnam(user);
	if (pw == NULL) return fail("user %s does not exist (create it, or start as an ordinary user)", user);
	if (initgroups(user, pw->pw_gid) != 0 || setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) != 0 ||
	    setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) != 0)
		return fail_errno("become user %s", user);
	if (pw->pw_uid != 0 && setuid(0) == 0) return fail("become user %s: root could be had again", user);
	return 0;
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
