/* SPDX-License-Identifier: Apache-2.0 */
/* People bring these files along from machines where they worked. So what is odd in them is told with its line and left
 * out, and the rest counts. */
#include "conf/opendkim_file.h"
#include "base/fail.h"

struct reader {
	struct sources *files;
	struct problems *problems;
	struct opendkim_file out;
	size_t room;
	unsigned depth;
};

static int read_file(struct reader *r, struct slice path);

static void include(struct reader *r, const struct opendkim_line *l) {
	int found = 0;
	if (r->depth == OPENDKIM_INCLUDE_MAX)
		problem_add(r->problems, PROBLEM_WARNING, l->where, "Include: more than %d files deep: left out",
			    OPENDKIM_INCLUDE_MAX);
	else found = read_file(r, l->value);
	if (found < 0) problem_add(r->problems, PROBLEM_WARNING, l->where, "Include: %s", fail_text());
	if (found == SOURCE_ABSENT) opendkim_tell_absent(r->files, l, l->value, r->problems);
}

static void add_line(struct reader *r, struct slice text, struct place where) {
	text = slice_trim(slice_head(text, slice_find(text, '#')));
	if (text.len == 0) return;
	size_t n = 0;
	while (n < text.len && !ascii_blank(text.at[n])) n++;
	struct opendkim_line l = { slice_head(text, n), slice_trim(slice_skip(text, n)), where };
	if (l.value.len == 0) {
		problem_add(r->problems, PROBLEM_WARNING, where, "%.*s has no value: left out",
			    SLICE_ARG(slice_head(l.key, 80)));
		return;
	}
	if (slice_same(l.key, S("Include"))) {
		include(r, &l);
		return;
	}
	if (r->out.count == r->room) {
		struct opendkim_line *more = arena_array(r->files->mem, r->room = r->room * 2 + 32, sizeof *more);
		for (size_t i = 0; i < r->out.count; i++) more[i] = r->out.lines[i];
		r->out.lines = more;
	}
	r->out.lines[r->out.count++] = l;
}

static int read_file(struct reader *r, struct slice path) {
	struct slice text;
	int found = source_read(r->files, path, &text);
	if (found != SOURCE_FOUND) return found;
	struct place where = { .file = path };
	r->depth++;
	while (text.at != NULL) {
		struct slice line = slice_cut(&text, '\n');
		where.line++;
		if (r->out.count == OPENDKIM_LINES_MAX) {
			problem_add(r->problems, PROBLEM_WARNING, where, "more than %d settings: the rest is left out",
				    OPENDKIM_LINES_MAX);
			break;
		}
		add_line(r, line, where);
	}
	r->depth--;
	return SOURCE_FOUND;
}

int opendkim_file_read(struct sources *files, struct slice path, struct problems *problems, struct opendkim_file *out) {
	struct reader r = { .files = files, .problems = problems };
	int found = read_file(&r, path);
	if (found == SOURCE_FOUND) *out = r.out;
	return found;
}

const struct opendkim_line *opendkim_find(const struct opendkim_file *f, const char *key) {
	for (size_t i = f->count; i > 0; i--)
		if (slice_same(f->lines[i - 1].key, slice_of(key))) return &f->lines[i - 1];
	return NULL;
}

bool opendkim_bool(struct slice value, bool *out) {
	char c = value.len != 0 ? ascii_lower(value.at[0]) : '\0';
	if (c == 't' || c == 'y' || c == '1') return *out = true;
	if (c != 'f' && c != 'n' && c != '0') return false;
	*out = false;
	return true;
}

/* ---- data sets ---- */

static void add_entry(struct opendkim_set *set, size_t *room, struct arena *mem, struct opendkim_entry e) {
	if (set->count == *room) {
		struct opendkim_entry *more = arena_array(mem, *room = *room * 2 + 16, sizeof *more);
		for (size_t i = 0; i < set->count; i++) more[i] = set->at[i];
		set->at = more;
	}
	set->at[set->count++] = e;
}

static void read_list(struct slice text, struct arena *mem, struct opendkim_set *set) {
	size_t room = 0;
	while (text.at != NULL && set->count < OPENDKIM_ENTRIES_MAX) {
		struct slice value = slice_cut(&text, ',');
		bool pair = slice_find(value, '=') < value.len;
		struct slice key = pair ? slice_cut(&value, '=') : value;
		struct opendkim_entry e = { slice_trim(key), pair ? slice_trim(value) : SLICE_NONE, 0 };
		if (e.key.len != 0) add_entry(set, &room, mem, e);
	}
}

static void read_lines(struct slice text, struct arena *mem, struct problems *problems, struct opendkim_set *set) {
	size_t room = 0;
	for (unsigned line = 1; text.at != NULL; line++) {
		struct slice rest = slice_cut(&text, '\n');
		rest = slice_trim(slice_head(rest, slice_find(rest, '#')));
		if (rest.len == 0) continue;
		if (set->count == OPENDKIM_ENTRIES_MAX) {
			problem_add(problems, PROBLEM_WARNING, (struct place){ set->path, line },
				    "more than %d lines: the rest is left out", OPENDKIM_ENTRIES_MAX);
			return;
		}
		struct slice key = slice_word(&rest, " \t");
		add_entry(set, &room, mem, (struct opendkim_entry){ key, slice_trim(rest), line });
	}
}

static bool take_kind(struct slice *value, struct slice kind) {
	if (!slice_starts_same(*value, kind)) return false;
	*value = slice_trim(slice_skip(*value, kind.len));
	return true;
}

static bool foreign_kind(struct slice value) {
	static const char *const kinds[] = { "db:",  "bdb:", "dsn:",      "ldap:",   "ldaps:",  "ldapi:",
					     "lua:", "mdb:", "memcache:", "erlang:", "repute:", "socket:" };
	for (size_t i = 0; i < LEN(kinds); i++)
		if (slice_starts_same(value, slice_of(kinds[i]))) return true;
	return false;
}

int opendkim_set_read(struct sources *files, const struct opendkim_line *line, struct problems *problems,
		      struct opendkim_set *out) {
	struct opendkim_set set = { .kind = OPENDKIM_LIST };
	struct slice value = line->value, text;
	if (take_kind(&value, S("refile:"))) set.kind = OPENDKIM_PATTERNS;
	else if (take_kind(&value, S("file:")) || value.at[0] == '/') set.kind = OPENDKIM_FILE;
	else if (foreign_kind(value)) {
		struct slice kind = slice_cut(&value, ':');
		return fail("%.*s: data sets of the kind %.*s: cannot be read (put them into a file)",
			    SLICE_ARG(line->key), SLICE_ARG(kind));
	}
	if (set.kind == OPENDKIM_LIST) {
		take_kind(&value, S("csl:"));
		read_list(value, files->mem, &set);
		*out = set;
		return SOURCE_FOUND;
	}
	set.path = value;
	int found = source_read(files, value, &text);
	if (found < 0) return fail_add("%.*s", SLICE_ARG(line->key));
	if (found == SOURCE_ABSENT) {
		opendkim_tell_absent(files, line, value, problems);
		return SOURCE_ABSENT;
	}
	read_lines(text, files->mem, problems, &set);
	*out = set;
	return SOURCE_FOUND;
}

/* ---- a file that is not where it should be ---- */

static bool is_there(struct sources *files, struct slice folder, struct slice name, struct slice *out) {
	struct slice text;
	*out = arena_fmt(files->mem, "%.*s/%.*s", SLICE_ARG(folder), SLICE_ARG(name));
	return source_read(files, *out, &text) == SOURCE_FOUND;
}

static struct slice folder_of(struct slice path) {
	size_t slash = slice_find_last(path, '/');
	return slash == path.len ? SLICE_NONE : slice_head(path, slash);
}

void opendkim_tell_absent(struct sources *files, const struct opendkim_line *line, struct slice path,
			  struct problems *problems) {
	struct slice name = slice_skip(path, folder_of(path).len + 1), found, folder = folder_of(path);
	bool there = is_there(files, folder_of(line->where.file), name, &found);
	while (!there && folder.len != 0) {
		folder = folder_of(folder);
		there = folder.len != 0 && is_there(files, folder, name, &found);
	}
	if (there)
		problem_add(problems, PROBLEM_WARNING, line->where,
			    "%.*s: %.*s: no such file (but there is %.*s: move it, or change this line)",
			    SLICE_ARG(line->key), SLICE_ARG(path), SLICE_ARG(found));
	else
		problem_add(problems, PROBLEM_WARNING, line->where, "%.*s: %.*s: no such file", SLICE_ARG(line->key),
			    SLICE_ARG(path));
}
