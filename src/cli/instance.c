/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the settings takes longer than everything else sendmail does. One line of main.cf is enough for it, and where
 * that line is not plain the caller loads them after all. */
#include "cli/instance.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { MAIN_MAX = 1 << 20 };

static const char fallback[] = "/var/lib/hato";

static bool read_main(const char *conf_dir, struct buf *out) {
	AUTO_BUF struct buf path = BUF(PATH_MAX);
	buf_addf(&path, "%s/main.cf", conf_dir);
	AUTO_FD int fd = open(buf_text(&path), O_RDONLY | O_CLOEXEC);
	if (fd < 0) return false;
	for (;;) {
		char *at = buf_room(out, KIB(16));
		ssize_t n = at != NULL ? read(fd, at, KIB(16)) : -1;
		if (n <= 0) return n == 0;
		out->len += (size_t)n;
	}
}

/* Is this line the setting's? Then *value is what stands behind the '='. */
static bool is_setting(struct slice line, struct slice *value) {
	static const struct slice name = S("data_directory");
	if (!slice_starts(line, name)) return false;
	line = slice_trim(slice_skip(line, name.len));
	if (line.len == 0 || line.at[0] != '=') return false;
	*value = slice_trim(slice_skip(line, 1));
	return true;
}

bool instance_data(const char *conf_dir, struct buf *out) {
	AUTO_BUF struct buf text = BUF(MAIN_MAX);
	if (!read_main(conf_dir, &text)) return false;
	struct slice rest = buf_slice(&text), found = slice_of(fallback), value;
	bool last = false; /* the setting's line was the last one that is not empty or a comment */
	while (rest.at != NULL) {
		struct slice line = slice_cut(&rest, '\n'), bare = slice_trim(line);
		if (bare.len == 0 || bare.at[0] == '#') continue;
		bool continued = ascii_space(line.at[0]);
		if (continued && last) return false;
		if (continued) continue;
		last = is_setting(line, &value);
		if (last) found = value;
	}
	if (found.len == 0 || found.at[0] != '/' || slice_find(found, '$') != found.len) return false;
	return buf_add(out, found);
}

int instance_connect(const char *data, const char *name) {
	/* sun_path is short: the folder is reached by its descriptor */
	AUTO_FD int folder = open(data, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0) return -1;
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	snprintf(a.sun_path, sizeof a.sun_path, "/proc/self/fd/%d/public/%s", folder, name);
	AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) != 0) return -1;
	return TAKE_FD(fd);
}
