/* SPDX-License-Identifier: Apache-2.0 */
/* Files are read whole and kept, since the same bytes must be seen by every process that builds the configuration. */
#include "conf/source.h"
#include "base/fail.h"
#include <fcntl.h>
#include <sys/stat.h>

void source_put(struct sources *s, struct slice path, struct slice text, bool absent) {
	if (s->count == s->room) {
		size_t room = s->room == 0 ? 8 : s->room * 2;
		struct source *at = arena_array(s->mem, room, sizeof(*at));
		if (s->count > 0) memcpy(at, s->at, s->count * sizeof(*at));
		s->at = at;
		s->room = room;
	}
	s->at[s->count++] = (struct source){ arena_slice(s->mem, path), arena_slice(s->mem, text), absent };
}

/* The bytes of a file that is there; its size is only a hint, for it may be a pipe or grow while we read. */
static int read_whole(int fd, const char *path, struct buf *out) {
	for (;;) {
		char *room = buf_room(out, KIB(16));
		if (room == NULL) return fail("%s: larger than %zu bytes", path, SOURCE_LIMIT);
		ssize_t got = read(fd, room, KIB(16));
		if (got < 0 && errno == EINTR) continue;
		if (got < 0) return fail_errno("%s", path);
		if (got == 0) return 0;
		out->len += (size_t)got;
	}
}

int source_read(struct sources *s, struct slice path, struct slice *out) {
	for (size_t i = 0; i < s->count; i++) {
		if (!slice_eq(s->at[i].path, path)) continue;
		if (!s->at[i].absent) *out = s->at[i].text;
		return s->at[i].absent ? SOURCE_ABSENT : SOURCE_FOUND;
	}
	if (s->sealed) return SOURCE_ABSENT;
	AUTO_FREE char *name = slice_text(path);
	AUTO_FD int fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) {
		source_put(s, path, SLICE_NONE, true);
		return SOURCE_ABSENT;
	}
	if (fd < 0) return fail_errno("%s", name);
	struct stat st;
	if (fstat(fd, &st) != 0) return fail_errno("%s", name);
	if (!S_ISREG(st.st_mode)) return fail("%s: not a file", name);
	AUTO_BUF struct buf text = BUF(SOURCE_LIMIT + KIB(16));
	if (read_whole(fd, name, &text) < 0) return -1;
	source_put(s, path, buf_slice(&text), false);
	*out = s->at[s->count - 1].text;
	return SOURCE_FOUND;
}

static bool is_skipped(struct slice line) {
	struct slice text = slice_trim(line);
	return text.len == 0 || text.at[0] == '#';
}

bool logical_line_next(struct logical_lines *l, struct arena *mem, struct slice *out, unsigned *line) {
	struct slice first = SLICE_NONE;
	AUTO_BUF struct buf joined = BUF(SOURCE_LIMIT * 2);
	bool found = false;
	if (l->next == 0) l->next = 1;
	while (l->rest.at != NULL && l->rest.len > 0) {
		struct slice after = l->rest, part = slice_cut(&after, '\n');
		bool skipped = is_skipped(part);
		if (!skipped && found && !ascii_blank(part.at[0])) break;
		l->rest = after;
		unsigned number = l->next++;
		if (skipped) continue;
		if (part.len > 0 && part.at[part.len - 1] == '\r') part.len--;
		if (!found) {
			first = part;
			*line = number;
			found = true;
			continue;
		}
		if (joined.len == 0) buf_add(&joined, first);
		buf_add(&joined, part);
	}
	if (!found) return false;
	*out = joined.len > 0 ? arena_slice(mem, buf_slice(&joined)) : first;
	return true;
}
