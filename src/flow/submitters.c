/* SPDX-License-Identifier: Apache-2.0 */
/* Asked for each message, so names of users are looked for in memory; who came to be after the list was made is asked
 * of the system, where that can be asked. */
#include "flow/submitters.h"
#include "base/buf.h"
#include "base/fail.h"
#include "net/file.h"

#include <pwd.h>

enum { FILE_MOST = 1 << 20, DEPTH_MOST = 5, USERS_MOST = 100000, NAME_ROOM = 256 };

struct rule {
	bool allow;
	struct slice name;
	struct table *table; /* NULL: the name */
	struct rule *next;
};
struct user {
	uid_t uid;
	struct slice name;
};
struct submitters {
	struct rule *rules;
	struct user *users; /* by uid */
	size_t user_count;
};

struct making {
	struct rule **end;
	struct tables *tables;
	struct arena *mem;
	struct slice problem;
};

static void add_words(struct making *m, struct slice text, bool allow, unsigned depth);

/* One word, without its !. */
static bool add_word(struct making *m, struct slice word, bool allow, unsigned depth) {
	if (slice_starts(word, S("/"))) {
		AUTO_BUF struct buf text = BUF(FILE_MOST);
		if (depth == DEPTH_MOST || file_read(arena_text(m->mem, word), &text) < 0) return false;
		struct slice lines = arena_slice(m->mem, buf_slice(&text));
		for (struct slice line; lines.at != NULL;) {
			line = slice_trim(slice_cut(&lines, '\n'));
			if (!slice_starts(line, S("#"))) add_words(m, line, allow, depth + 1);
		}
		return true;
	}
	struct rule *r = arena_get(m->mem, sizeof *r);
	*r = (struct rule){ .allow = allow, .name = word };
	if (slice_find(word, ':') < word.len && table_open(m->tables, word, 0, &r->table) != TABLE_FOUND) return false;
	*m->end = r;
	m->end = &r->next;
	return true;
}

/* first: what a word without ! says; !/file turns all of the file's around. */
static void add_words(struct making *m, struct slice text, bool first, unsigned depth) {
	for (struct slice word; (word = slice_word(&text, ", \t\r\n")).len != 0;) {
		bool allow = first;
		struct slice whole = word;
		while (slice_starts(word, S("!"))) {
			allow = !allow;
			word = slice_skip(word, 1);
		}
		if (!add_word(m, word, allow, depth) && m->problem.at == NULL) m->problem = whole;
	}
}

static int by_uid(const void *a, const void *b) {
	uid_t x = ((const struct user *)a)->uid, y = ((const struct user *)b)->uid;
	return x < y ? -1 : x > y;
}

static void read_users(struct submitters *s, struct arena *mem) {
	size_t room = 0;
	setpwent();
	for (struct passwd *pw; s->user_count < USERS_MOST && (pw = getpwent()) != NULL; s->user_count++) {
		if (s->user_count == room) {
			struct user *more = arena_array(mem, room = MAX_OF(room * 2, (size_t)64), sizeof *more);
			if (s->user_count != 0) memcpy(more, s->users, s->user_count * sizeof *more);
			s->users = more;
		}
		s->users[s->user_count] = (struct user){ pw->pw_uid, arena_slice(mem, slice_of(pw->pw_name)) };
	}
	endpwent();
	if (s->user_count != 0) qsort(s->users, s->user_count, sizeof *s->users, by_uid);
}

const struct submitters *submitters_make(const struct slice *words, size_t count, struct tables *tables,
					 struct arena *mem, struct slice *problem) {
	struct submitters *s = arena_get(mem, sizeof *s);
	struct making m = { .end = &s->rules, .tables = tables, .mem = mem };
	*s = (struct submitters){ 0 };
	for (size_t i = 0; i < count; i++) add_words(&m, words[i], true, 0);
	*problem = m.problem;
	bool by_name = false;
	for (const struct rule *r = s->rules; r != NULL; r = r->next)
		by_name |= r->table == NULL || !table_is_fixed(r->table);
	if (by_name) read_users(s, mem); /* static:anyone, as by default, needs nobody's name */
	return s;
}

static struct slice name_of(const struct submitters *s, uid_t uid, char room[NAME_ROOM]) {
	struct user key = { .uid = uid };
	const struct user *u = s->user_count != 0 ? bsearch(&key, s->users, s->user_count, sizeof key, by_uid) : NULL;
	if (u != NULL) return u->name;
	char text[4096];
	struct passwd pw, *found = NULL;
	if (getpwuid_r(uid, &pw, text, sizeof text, &found) != 0 || found == NULL) return S("unknown");
	snprintf(room, NAME_ROOM, "%s", pw.pw_name);
	return slice_of(room);
}

bool submitters_allow(const struct submitters *s, uid_t uid) {
	char room[NAME_ROOM];
	if (s == NULL) return true;
	if (s->rules == NULL) return false;
	struct slice name = name_of(s, uid, room);
	AUTO_ARENA struct arena mem = { 0 };
	for (const struct rule *r = s->rules; r != NULL; r = r->next) {
		struct slice value;
		bool match = r->table != NULL ? table_find(r->table, name, &mem, &value) == TABLE_FOUND
					      : slice_eq(r->name, name);
		if (match) return r->allow;
	}
	return false;
}

struct slice submitters_name(const struct submitters *s, uid_t uid, struct arena *mem) {
	char room[NAME_ROOM];
	return arena_slice(mem, name_of(s, uid, room));
}
