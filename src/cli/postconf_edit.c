/* SPDX-License-Identifier: Apache-2.0 */
/* A file is read, changed in memory and put in place of the old one at once; whoever edits at the same time waits.
 * Comments, and lines that nobody asked about, stay as they are, byte for byte. */
#include "base/fail.h"
#include "cli/postconf.h"
#include "net/file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

struct wish {
	struct slice name, value;
	size_t found;
};

static int read_wishes(const struct postconf *p, struct wish *wishes, size_t *count) {
	*count = 0;
	for (size_t i = 0; i < p->count; i++) {
		struct slice text = slice_trim(p->args[i]);
		struct wish w = { .name = text };
		if (slice_find(p->args[i], '\n') < p->args[i].len)
			return postconf_fatal(p, "-e, -X, or -# accepts no multi-line input");
		if (text.len != 0 && text.at[0] == '#')
			return postconf_fatal(p, "-e, -X, or -# accepts no comment input");
		const char *wrong = p->act == ACT_EDIT ? request_cut(text, &w.name, &w.value) : NULL;
		if (wrong != NULL) return postconf_fatal(p, "%s: \"%.*s\"", wrong, SLICE_ARG(text));
		if (text.len == 0) return postconf_fatal(p, "-X or -# requires non-blank parameter names");
		if (p->act != ACT_EDIT && slice_find(text, '=') < text.len)
			return postconf_fatal(p, "-X or -# requires parameter names without value");
		size_t k = 0;
		while (k < *count && !slice_eq(wishes[k].name, w.name)) k++;
		if (k < *count && !slice_eq(wishes[k].value, w.value))
			postconf_warn(p, "ignoring earlier request: '%.*s = %.*s'", SLICE_ARG(w.name),
				      SLICE_ARG(wishes[k].value));
		wishes[k] = w;
		*count = MAX_OF(*count, k + 1);
	}
	return POSTCONF_GOOD;
}

static struct wish *find_wish(struct wish *wishes, size_t count, struct slice line) {
	size_t len = 0;
	while (len < line.len && !ascii_space(line.at[len]) && line.at[len] != '=') len++;
	for (size_t i = 0; i < count; i++)
		if (slice_eq(wishes[i].name, slice_head(line, len))) return &wishes[i];
	return NULL;
}

static void put_assignment(struct buf *out, const struct wish *w) {
	buf_addf(out, "%.*s = %.*s\n", SLICE_ARG(w->name), SLICE_ARG(w->value));
}

static int by_name(const void *a, const void *b) {
	return slice_order(((const struct wish *)a)->name, ((const struct wish *)b)->name);
}

static int edit_main(const struct postconf *p, struct slice old, struct buf *out) {
	struct wish *wishes = arena_array(p->mem, p->count, sizeof *wishes), *w = NULL;
	size_t count;
	int code = read_wishes(p, wishes, &count);
	if (code != POSTCONF_GOOD) return code;
	enum line_kind kind;
	for (struct slice line; line_next(&old, &line, &kind);) {
		if (kind == LINE_START && (w = find_wish(wishes, count, line)) != NULL && w->found++ == 1)
			postconf_warn(p, "%s/main.cf: multiple entries for \"%.*s\"", p->tool.conf_dir,
				      SLICE_ARG(w->name));
		bool ours = kind != LINE_ASIDE && w != NULL;
		if (ours && p->act == ACT_EDIT && kind == LINE_START) put_assignment(out, w);
		if (ours && p->act == ACT_COMMENT) buf_byte(out, '#');
		if (!ours || p->act == ACT_COMMENT) buf_add(out, line);
	}
	if (out->len != 0 && out->at[out->len - 1] != '\n') buf_byte(out, '\n');
	qsort(wishes, count, sizeof *wishes, by_name);
	for (size_t i = 0; i < count; i++)
		if (p->act == ACT_EDIT && wishes[i].found == 0) put_assignment(out, &wishes[i]);
	return POSTCONF_GOOD;
}

static int replace(const struct postconf *p, const char *path) {
	AUTO_BUF struct buf old = BUF(SOURCE_LIMIT), new = BUF(2 * SOURCE_LIMIT);
	struct stat st;
	if (stat(path, &st) != 0) return postconf_fatal(p, "open %s for reading: %s", path, strerror(errno));
	if (file_read(path, &old) < 0) return postconf_fatal(p, "%s", fail_text());
	int code = p->view == VIEW_MAIN ? edit_main(p, buf_slice(&old), &new)
					: postconf_edit_master(p, buf_slice(&old), &new);
	if (code != POSTCONF_GOOD) return code;
	if (new.full || new.len > SOURCE_LIMIT)
		return postconf_fatal(p, "%s: larger than %zu bytes", path, SOURCE_LIMIT);
	if (slice_eq(buf_slice(&old), buf_slice(&new))) return POSTCONF_GOOD;
	return file_write(path, buf_slice(&new), st.st_mode & 0777) < 0 ? postconf_fatal(p, "%s", fail_text())
									: POSTCONF_GOOD;
}

int postconf_edit(const struct postconf *p) {
	AUTO_BUF struct buf path = BUF(PATH_MAX);
	AUTO_FD int lock = open(p->tool.conf_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (lock < 0) return postconf_fatal(p, "open %s: %s", p->tool.conf_dir, strerror(errno));
	while (flock(lock, LOCK_EX) != 0)
		if (errno != EINTR) return postconf_fatal(p, "lock %s: %s", p->tool.conf_dir, strerror(errno));
	buf_addf(&path, "%s/%s", p->tool.conf_dir, p->view == VIEW_MAIN ? "main.cf" : "master.cf");
	return replace(p, buf_text(&path));
}
