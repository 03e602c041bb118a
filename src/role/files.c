/* SPDX-License-Identifier: Apache-2.0 */
#include "role/files.h"
#include "base/clock.h"
#include "base/fail.h"
#include "net/link.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>

enum { FILES_ASK = 1, FILES_ANSWER };

static int open_plainly(const char *path) {
	return open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

/* In a role. */

static struct {
	pthread_mutex_t lock;
	int fd;
} asker = { PTHREAD_MUTEX_INITIALIZER, -1 };

void files_take(int fd) {
	auto_fd(&asker.fd);
	asker.fd = fd;
}

static int ask_master(const char *path) {
	struct link_received got;
	int fd = -1;
	pthread_mutex_lock(&asker.lock);
	if (asker.fd >= 0) {
		link_send(asker.fd, &(struct link_frame){ .kind = FILES_ASK, .body = slice_of(path) });
		if (link_receive(asker.fd, &got, deadline_in(SECONDS(20))) == LINK_OK) {
			fd = link_frame_take_fd(&got.frame, 0);
			link_received_done(&got);
		} else {
			auto_fd(&asker.fd); /* a late answer would be taken for that to another question */
		}
	}
	pthread_mutex_unlock(&asker.lock);
	if (fd < 0) errno = EACCES;
	return fd;
}

int files_open(void *ctx, const char *path) {
	(void)ctx;
	int fd = open_plainly(path);
	return fd >= 0 || errno != EACCES ? fd : ask_master(path);
}

/* In master. */

/* "type:PATH" with nothing of a name around it. */
static bool names(struct slice value, struct slice path) {
	while (value.len > path.len) {
		size_t at = slice_search(value, path);
		if (at >= value.len) return false;
		char after = at + path.len < value.len ? value.at[at + path.len] : ' ';
		bool ends = ascii_space(after) || after == ',' || after == '}' || after == ')';
		if (at > 0 && value.at[at - 1] == ':' && ends) return true;
		value = slice_skip(value, at + 1);
	}
	return false;
}

static bool in_value(const struct conf_view *v, struct slice name, struct slice raw, struct slice path, bool relay) {
	bool outgoing = slice_starts(name, S("smtp_")) || slice_starts(name, S("lmtp_"));
	if (outgoing != relay) return false;
	AUTO_BUF struct buf value = BUF(MIB(1));
	return conf_expand(v, raw, &value) >= 0 && names(buf_slice(&value), path);
}

bool files_named(const struct conf *conf, struct slice path, bool relay) {
	static const struct slice compiled[] = { S(".lmdb"), S(".cdb") };
	for (size_t i = 0; i < LEN(compiled); i++)
		if (slice_ends(path, compiled[i]) &&
		    files_named(conf, slice_head(path, path.len - compiled[i].len), relay))
			return true;
	if (!slice_starts(path, S("/")) || slice_search(path, S("/../")) < path.len) return false;
	for (size_t i = 0; i < path.len; i++) /* else a stretch of a list would be the name of a file */
		if (ascii_space(path.at[i]) || path.at[i] == '\0' || strchr(",{}()", path.at[i]) != NULL) return false;
	for (size_t i = 0; i < conf_raw_count(conf); i++) {
		struct conf_raw r = conf_raw_at(conf, i);
		if (r.is_set && in_value(conf_main(conf), r.name, r.value, path, relay)) return true;
	}
	size_t count;
	const struct conf_service *s = conf_services(conf, &count);
	for (size_t i = 0; i < count; i++)
		for (size_t k = 0; k < s[i].overrides_count; k++)
			if (in_value(conf_service_view(conf, &s[i]), s[i].overrides[k].name, s[i].overrides[k].value,
				     path, relay))
				return true;
	return false;
}

bool files_answer(int fd, const struct conf *conf, bool relay) {
	struct link_received got;
	AUTO_ARENA struct arena mem = { 0 };
	AUTO_FD int file = -1;
	struct stat st;
	if (link_receive(fd, &got, deadline_in(SECONDS(1))) != LINK_OK) return false;
	struct slice path = arena_slice(&mem, got.frame.body);
	if (files_named(conf, path, relay)) file = open_plainly(arena_text(&mem, path));
	if (file >= 0 && (fstat(file, &st) != 0 || !S_ISREG(st.st_mode))) auto_fd(&file);
	link_received_done(&got);
	struct link_frame answer = { .kind = FILES_ANSWER, .fd_count = file >= 0 };
	if (file >= 0) answer.fds[0] = file;
	return link_send(fd, &answer) == LINK_OK;
}
