/* SPDX-License-Identifier: Apache-2.0 */
/* A file is read whole (a mapping would end the process when the file is cut in place) and looked at again at most once
 * a second, by whichever look-up comes first; the others go on with the contents there are. A file that was young when
 * it was read is read once more, for its time stamp may not show the next change. */
#include "conf/table/inside.h"
#include <stdatomic.h>
#include <sys/stat.h>

#define LOOK_AGAIN 100 /* ms */
#define YOUNG_S 2

struct stamp {
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec changed, touched;
};
struct watched {
	struct table *table;
	const struct watched_kind *kind;
	char *path;               /* NULL: never changes */
	struct current now;
	pthread_mutex_t looking;  /* the members below */
	struct stamp stamp;
	bool known, young;        /* there is a stamp; the file may have changed since without a sign */
	char *reason;             /* why it cannot be read at present, said once; NULL: it can */
	_Atomic int64_t next_look;
};

int table_open_file(const struct table *t, const char *path) {
	const struct table_params *p = table_params_of(t);
	return p->open != NULL ? p->open(p->ctx, path) : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
}

static bool same_time(struct timespec a, struct timespec b) { return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec; }

static bool stamp_same(const struct stamp *a, const struct stamp *b) {
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size && same_time(a->changed, b->changed) &&
	       same_time(a->touched, b->touched);
}

static void stamp_take(const struct stat *st, struct stamp *out) {
	*out = (struct stamp){ st->st_dev, st->st_ino, st->st_size, st->st_mtim, st->st_ctim };
}

static int read_all(int fd, const char *path, size_t size, struct buf *out) {
	size_t step = MAX_OF(size + 1, KIB(4)); /* all at once when the size is true, with no room to spare */
	for (;;) {
		char *room = buf_room(out, step);
		if (room == NULL) return fail("%s: larger than %zu bytes", path, out->limit);
		ssize_t got = read(fd, room, step);
		if (got < 0 && errno == EINTR) continue;
		if (got < 0) return fail_errno("%s", path);
		if (got == 0) return 0;
		out->len += (size_t)got;
		step = MAX_OF(out->len >= size ? 1 : size + 1 - out->len, KIB(4));
	}
}

/* 1: *text is new; 0: nothing changed; <0: cannot be read. */
static int read_changed(struct watched *w, struct buf *text) {
	struct stat st;
	struct stamp stamp;
	if (w->known && !w->young && stat(w->path, &st) == 0) { /* the usual case costs one stat(2) */
		stamp_take(&st, &stamp);
		if (stamp_same(&stamp, &w->stamp)) return 0;
	}
	AUTO_FD int fd = table_open_file(w->table, w->path);
	if (fd < 0) return fail_errno("open %s", w->path);
	if (fstat(fd, &st) != 0) return fail_errno("%s", w->path);
	if (S_ISDIR(st.st_mode)) return fail("%s: is a folder", w->path);
	stamp_take(&st, &stamp);
	if (w->known && !w->young && stamp_same(&stamp, &w->stamp)) return 0;
	if ((uint64_t)st.st_size > w->kind->limit) return fail("%s: larger than %zu bytes", w->path, w->kind->limit);
	if (read_all(fd, w->path, (size_t)st.st_size, text) < 0) return -1;
	w->young = wall_s() - st.st_mtim.tv_sec < YOUNG_S;
	w->stamp = stamp;
	w->known = true;
	return 1;
}

static void tell_reason(struct watched *w, bool keeps) {
	if (w->reason != NULL && strcmp(w->reason, fail_text()) == 0) return;
	free(w->reason);
	w->reason = mem_text(fail_text());
	table_tell(w->table, L_ERROR, "%s: %s%s", w->table->name, w->reason,
		   keeps ? "; what was read before stays in use" : "");
}

static void look(struct watched *w) {
	AUTO_BUF struct buf text = BUF(w->kind->limit + KIB(8));
	struct report r = { .table = w->table, .path = w->path };
	bool has = w->now.now != NULL; /* only changed by us, under the lock `looking` */
	bool was_young = w->young, had_errors = w->reason != NULL;
	struct stamp before = w->stamp;
	int changed = read_changed(w, &text);
	if (changed == 0) return;
	if (changed < 0) {
		w->known = false;
		tell_reason(w, has);
		return;
	}
	if (was_young && had_errors && stamp_same(&before, &w->stamp))
		return; /* as broken as a moment ago: said already */
	struct generation *fresh = w->kind->read(w->table, &text, &r);
	if (fresh != NULL && r.errors > 0 && has) {
		generation_drop(generation_hold(fresh));
		fresh = NULL;
		fail("%s has %zu broken lines", w->path, r.errors);
	}
	if (fresh == NULL) {
		tell_reason(w, has);
		return;
	}
	if (has && !(was_young && stamp_same(&before, &w->stamp)))
		table_tell(w->table, L_INFO, "%s: %s has changed and was read again", w->table->name, w->path);
	free(TAKE(w->reason));
	current_set(&w->now, fresh);
}

struct watched *watched_new(struct table *t, const struct watched_kind *kind, const char *path) {
	struct watched *w = mem_get(sizeof *w);
	*w = (struct watched){ .table = t,
			       .kind = kind,
			       .path = path != NULL ? mem_text(path) : slice_text(t->rest),
			       .now = CURRENT_NONE,
			       .looking = PTHREAD_MUTEX_INITIALIZER };
	look(w);
	atomic_store(&w->next_look, clock_ms() + LOOK_AGAIN);
	return w;
}

struct watched *watched_fixed(struct table *t, const struct watched_kind *kind, struct slice text) {
	AUTO_BUF struct buf copy = BUF(KIB(256));
	struct report r = { .table = t, .path = "in its name" };
	buf_add(&copy, text);
	struct generation *g = kind->read(t, &copy, &r);
	if (g == NULL) return NULL;
	struct watched *w = mem_get(sizeof *w);
	*w = (struct watched){
		.table = t, .kind = kind, .now = CURRENT_NONE, .looking = PTHREAD_MUTEX_INITIALIZER, .next_look = NEVER
	};
	current_set(&w->now, g);
	return w;
}

void watched_free(struct watched **wp) {
	struct watched *w = *wp;
	if (w == NULL) return;
	*wp = NULL;
	current_set(&w->now, NULL);
	pthread_mutex_destroy(&w->looking);
	free(w->path);
	free(w->reason);
	free(w);
}

struct generation *watched_hold(struct watched *w) {
	if (clock_ms() >= atomic_load_explicit(&w->next_look, memory_order_relaxed) &&
	    pthread_mutex_trylock(&w->looking) == 0) {
		if (clock_ms() >= atomic_load(&w->next_look)) look(w);
		atomic_store(&w->next_look, clock_ms() + LOOK_AGAIN);
		pthread_mutex_unlock(&w->looking);
	}
	struct generation *g = current_hold(&w->now);
	if (g != NULL) return g;
	pthread_mutex_lock(&w->looking);
	fail("%s: %s", w->table->name, w->reason != NULL ? w->reason : "not read yet");
	pthread_mutex_unlock(&w->looking);
	return NULL;
}

/* The rules of "{ {rule}, {rule} }", one on a line. */
static int inline_rules(struct slice list, struct buf *out) {
	AUTO_ARENA struct arena mem = { 0 };
	struct slice *rules;
	size_t count;
	if (table_members(list, &mem, &rules, &count) < 0) return TABLE_BAD;
	for (size_t i = 0; i < count; i++) {
		struct slice r = rules[i];
		if (r.len < 2 || r.at[0] != '{' || r.at[r.len - 1] != '}')
			return fail("expected \"{rule}\" and found \"%.*s\"", SLICE_ARG(r)), TABLE_BAD;
		buf_add(out, slice_trim(slice_head(slice_skip(r, 1), r.len - 2)));
		buf_byte(out, '\n');
	}
	return TABLE_FOUND;
}

int watched_open(struct table *t, const struct watched_kind *kind, struct watched **out) {
	if (t->rest.at[0] != '{') {
		*out = watched_new(t, kind, NULL);
		return TABLE_FOUND;
	}
	AUTO_BUF struct buf rules = BUF(KIB(128));
	if (inline_rules(t->rest, &rules) != TABLE_FOUND) return fail_add("%s", t->name), TABLE_BAD;
	*out = watched_fixed(t, kind, buf_slice(&rules));
	return *out != NULL ? TABLE_FOUND : TABLE_BAD;
}

enum rule_kind rule_kind(struct slice line, struct slice *rest) {
	struct slice after = line, word = slice_word(&after, " \t");
	*rest = line;
	if (slice_same(word, S("endif"))) return *rest = slice_trim(after), RULE_ENDIF;
	bool condition = slice_starts_same(line, S("if")) && line.len > 2 && !ascii_alpha(line.at[2]) &&
			 !ascii_digit(line.at[2]);
	if (!condition) return RULE_MATCH;
	*rest = slice_trim(slice_skip(line, 2));
	return RULE_IF;
}
