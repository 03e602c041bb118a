/* SPDX-License-Identifier: Apache-2.0 */
/* unix:passwd.byname and unix:group.byname: what the system knows of its users, as the line of passwd(5) or group(5).
 */
#include "conf/table/inside.h"
#include <grp.h>
#include <pwd.h>

#define RECORD_MOST MIB(1) /* a group may have many members */

static bool is_groups(const struct table *t) { return slice_eq(t->rest, S("group.byname")); }

static int open_unix(struct table *t) {
	if (is_groups(t) || slice_eq(t->rest, S("passwd.byname"))) return TABLE_FOUND;
	return fail("unknown table: %s (there are unix:passwd.byname and unix:group.byname)", t->name), TABLE_BAD;
}

static int ask_user(const char *name, char *room, size_t size, struct buf *line) {
	struct passwd entry, *found;
	int r = getpwnam_r(name, &entry, room, size, &found);
	if (found != NULL)
		buf_addf(line, "%s:%s:%u:%u:%s:%s:%s", found->pw_name, found->pw_passwd, (unsigned)found->pw_uid,
			 (unsigned)found->pw_gid, found->pw_gecos, found->pw_dir, found->pw_shell);
	return r;
}

static int ask_group(const char *name, char *room, size_t size, struct buf *line) {
	struct group entry, *found;
	int r = getgrnam_r(name, &entry, room, size, &found);
	if (found == NULL) return r;
	buf_addf(line, "%s:%s:%u:", found->gr_name, found->gr_passwd, (unsigned)found->gr_gid);
	for (char **m = found->gr_mem; *m != NULL; m++) buf_addf(line, "%s%s", m == found->gr_mem ? "" : ",", *m);
	return r;
}

static int find_unix(struct table *t, struct slice key, struct arena *mem, struct slice *value) {
	AUTO_BUF struct buf room = BUF(RECORD_MOST), line = BUF(RECORD_MOST);
	if (memchr(key.at, '\0', key.len) != NULL || key.len > 256) return TABLE_MISSING; /* no user has such a name */
	for (size_t size = KIB(4); size <= RECORD_MOST; size *= 4) {
		char *at = buf_room(&room, size);
		int r = (is_groups(t) ? ask_group : ask_user)(arena_text(mem, key), at, size, &line);
		if (r == ERANGE) continue;
		if (line.len == 0 && (r == 0 || r == ENOENT || r == ESRCH)) return TABLE_MISSING;
		if (line.len == 0) return errno = r, fail_errno("%s: \"%.*s\"", t->name, SLICE_ARG(key)), TABLE_LATER;
		*value = arena_slice(mem, buf_slice(&line));
		return TABLE_FOUND;
	}
	return fail("%s: the record of \"%.*s\" is larger than %zu bytes", t->name, SLICE_ARG(key), RECORD_MOST),
	       TABLE_LATER;
}

const struct table_type table_unix = { "unix", 0, open_unix, find_unix, NULL, NULL };
