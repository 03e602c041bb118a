/* SPDX-License-Identifier: Apache-2.0 */
/* The C library takes a TZ that it does not know for UTC and says nothing; the times of a whole log are wrong then. */
#include "base/clock.h"
#include "base/arena.h"
#include "cli/inside.h"
#include "conf/setting.h"

#include <dirent.h>
#include <sys/stat.h>

#define ZONES "/usr/share/zoneinfo"
enum { DEPTH_MAX = 3, SLIPS_MAX = 3, NAME_MAX_BYTES = 100 };

/* "JST-9", "<+09>-9": a rule, not a name (POSIX, 8.3). */
static bool is_rule(struct slice text) {
	size_t i = 0;
	if (slice_starts(text, S("<"))) return slice_find(text, '>') < text.len;
	while (i < text.len && ascii_alpha(text.at[i])) i++;
	if (i >= 3 && i < text.len && (text.at[i] == '+' || text.at[i] == '-')) i++;
	return i >= 3 && i < text.len && ascii_digit(text.at[i]);
}

static bool is_known(struct slice name) {
	AUTO_BUF struct buf path = BUF(PATH_MAX);
	struct stat st;
	if (slice_starts(name, S("/")))
		buf_add(&path, name);
	else
		buf_addf(&path, ZONES "/%.*s", SLICE_ARG(name));
	return stat(buf_text(&path), &st) == 0 && S_ISREG(st.st_mode);
}

struct nearest {
	struct slice wanted;
	size_t slips;
	char name[NAME_MAX_BYTES];
};

static void compare(struct nearest *n, struct slice name) {
	size_t slips = word_distance(n->wanted, name, SLIPS_MAX);
	if (slips >= n->slips || name.len >= sizeof n->name) return;
	n->slips = slips;
	memcpy(n->name, name.at, name.len);
	n->name[name.len] = '\0';
}

static void walk(struct nearest *n, const char *below, unsigned depth) {
	AUTO_BUF struct buf path = BUF(PATH_MAX);
	buf_addf(&path, ZONES "/%s", below);
	DIR *dir = depth < DEPTH_MAX ? opendir(buf_text(&path)) : NULL;
	const struct dirent *e;
	while (dir != NULL && (e = readdir(dir)) != NULL) {
		AUTO_BUF struct buf name = BUF(PATH_MAX);
		if (!ascii_alpha(e->d_name[0])) continue; /* ., .. */
		buf_addf(&name, "%s%s%s", below, below[0] != '\0' ? "/" : "", e->d_name);
		if (e->d_type == DT_DIR)
			walk(n, buf_text(&name), depth + 1);
		else
			compare(n, buf_slice(&name));
	}
	if (dir != NULL) closedir(dir);
}

bool zone_unknown(struct buf *why) {
	const char *zone = getenv("TZ");
	struct slice name = slice_of(zone != NULL ? zone : "");
	if (slice_starts(name, S(":"))) name = slice_skip(name, 1);
	if (name.len == 0 || name.len >= NAME_MAX_BYTES || is_rule(name) || is_known(name)) return false;
	struct nearest n = { .wanted = name, .slips = SLIPS_MAX + 1 };
	walk(&n, "", 0);
	buf_addf(why, "TZ=%.*s: no such time zone", SLICE_ARG(name));
	if (access(ZONES, F_OK) != 0)
		buf_add(why, S(" (none is installed: the package tzdata)"));
	else if (n.slips <= SLIPS_MAX)
		buf_addf(why, " (did you mean %s?)", n.name);
	buf_add(why, S(": times are told in UTC"));
	return true;
}
