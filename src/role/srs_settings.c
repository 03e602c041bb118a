/* SPDX-License-Identifier: Apache-2.0 */
/* Whoever knows a secret can have us send mail to anybody: the file is its owner's alone. */
#include "role/srs_settings.h"
#include "base/encode.h"
#include "base/fail.h"
#include "base/log.h"
#include "net/file.h"

#include <fcntl.h>
#include <sys/stat.h>

enum { SECRETS_MAX = 16, FILE_MAX = 1 << 16, SECRET_BYTES = 24 };

/* `hato route` may be root's, and the server's core not: what it makes is the server's. */
static int make_file(const char *path, const char *folder) {
	unsigned char bytes[SECRET_BYTES];
	AUTO_BUF struct buf line = BUF(KIB(1));
	struct stat st;
	AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 && errno == EEXIST) return 0;
	if (fd < 0) return fail_errno("%s", path);
	random_fill(bytes, sizeof bytes);
	base64_add(&line, slice_from(bytes, sizeof bytes));
	buf_byte(&line, '\n');
	if (geteuid() == 0 && stat(folder, &st) == 0 && fchown(fd, st.st_uid, st.st_gid) != 0)
		return fail_errno("%s", path);
	if (write(fd, line.at, line.len) != (ssize_t)line.len || fsync(fd) != 0) {
		fail_errno("%s", path);
		unlink(path);
		return -1;
	}
	return 0;
}

/* As PostSRSd reads it: one in each line, up to its end. */
static int read_file(const char *path, struct arena *mem, struct slice **out, size_t *count) {
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *room = arena_get(mem, FILE_MAX + 1);
	ssize_t n = fd < 0 ? -1 : read(fd, room, FILE_MAX);
	if (n < 0) return fail_errno("%s", path);
	struct slice rest = slice_from(room, (size_t)n);
	*out = arena_array(mem, SECRETS_MAX, sizeof **out);
	*count = 0;
	while (rest.at != NULL && *count < SECRETS_MAX) {
		struct slice line = slice_cut(&rest, '\n');
		if (slice_ends(line, S("\r"))) line.len--;
		if (line.len != 0) (*out)[(*count)++] = line;
	}
	return *count != 0 ? 0 : fail("%s: no secret in it (a line of random characters)", path);
}

/* myhostname = example.com makes mydomain = com. */
struct slice srs_domain_of(const struct conf_view *v) {
	static const enum setting_id names[] = { SET_mydomain, SET_myhostname };
	struct slice domain = conf_text(v, SET_srs_domain);
	for (size_t i = 0; i < LEN(names) && slice_find(domain, '.') == domain.len; i++) {
		if (conf_text(v, SET_srs_domain).len != 0) return domain; /* as its owner wants it */
		domain = conf_text(v, names[i]);
	}
	return slice_find(domain, '.') < domain.len && !slice_ends_same(domain, S(".localdomain")) ? domain
												   : SLICE_NONE;
}

const struct srs_params *srs_settings_make(const struct conf_view *v, struct arena *mem) {
	struct slice separator = conf_text(v, SET_srs_separator), file = conf_text(v, SET_srs_secrets);
	const char *folder = conf_text(v, SET_data_directory).at;
	struct slice *secrets = NULL;
	if (conf_enum(v, SET_srs) == SRS_NO) return NULL;
	if (srs_domain_of(v).len == 0) {
		say(L_INFO, "core",
		    "srs: neither srs_domain nor myhostname is a domain that others can find: forwarded mail keeps its "
		    "senders");
		return NULL;
	}
	struct srs_params *p = arena_get(mem, sizeof *p);
	const char *path = file.len != 0 ? arena_text(mem, file) : arena_fmt(mem, "%s/srs.secret", folder).at;
	int r = file.len == 0 && access(path, F_OK) != 0 ? make_file(path, folder) : 0;
	if (r == 0) r = read_file(path, mem, &secrets, &p->secrets_count);
	if (r == 0 && (separator.len != 1 || strchr("=+-", separator.at[0]) == NULL))
		r = fail("%.*s: must be =, + or -", SLICE_ARG(separator)), fail_add("srs_separator");
	if (r < 0) {
		say(L_ERROR, "core", "srs_secrets: %s (forwarded mail keeps its senders until this is repaired)",
		    fail_text());
		return NULL;
	}
	p->domain = srs_domain_of(v);
	p->secrets = secrets;
	p->separator = separator.at[0];
	p->hash_length = (unsigned)conf_number(v, SET_srs_hash_length);
	p->hash_min = (unsigned)conf_number(v, SET_srs_hash_min);
	p->max_age_days = (unsigned)(conf_time_ms(v, SET_srs_max_age) / 86400000);
	p->excluded = conf_list(v, SET_srs_exclude_domains, &p->excluded_count);
	return p;
}
