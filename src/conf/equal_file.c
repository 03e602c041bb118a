/* SPDX-License-Identifier: Apache-2.0 */
/* Three programs with nearly one syntax. Nothing is executed: a value with $ or ` in it is told of and taken as it
 * stands. */
#include "conf/equal_file.h"
#include "base/fail.h"

/* Up to a comment. */
static struct slice without_comment(struct slice line) {
	char quote = 0;
	for (size_t i = 0; i < line.len; i++) {
		char c = line.at[i];
		if (quote != 0) quote = c == quote ? 0 : quote;
		else if (c == '"' || c == '\'') quote = c;
		else if (c == '#') return slice_head(line, i);
	}
	return line;
}

static struct slice bare(struct slice word) {
	word = slice_trim(word);
	bool quoted = word.len >= 2 && (word.at[0] == '"' || word.at[0] == '\'') && word.at[word.len - 1] == word.at[0];
	return quoted ? slice_from(word.at + 1, word.len - 2) : word;
}

/* "a", "b" of a list, in braces or not. */
static struct slice value_of(struct slice text, struct arena *mem) {
	text = slice_trim(text);
	if (!slice_starts(text, S("{"))) return bare(text);
	AUTO_BUF struct buf out = BUF(text.len + 1);
	text = slice_skip(text, 1);
	text = slice_head(text, slice_find(text, '}'));
	while (text.at != NULL) {
		struct slice word = bare(slice_cut(&text, ','));
		if (word.len != 0) buf_addf(&out, "%s%.*s", out.len != 0 ? "," : "", SLICE_ARG(word));
	}
	return arena_slice(mem, buf_slice(&out));
}

static void add(struct opendkim_file *f, size_t *room, struct arena *mem, struct opendkim_line l) {
	if (f->count == *room) {
		struct opendkim_line *more = arena_array(mem, *room = *room * 2 + 32, sizeof *more);
		for (size_t i = 0; i < f->count; i++) more[i] = f->lines[i];
		f->lines = more;
	}
	f->lines[f->count++] = l;
}

int equal_file_read(struct sources *files, struct slice path, struct problems *problems, struct opendkim_file *out) {
	struct slice text;
	struct opendkim_file f = { 0 };
	size_t room = 0;
	int found = source_read(files, path, &text);
	if (found != SOURCE_FOUND) return found;
	struct place where = { .file = path };
	while (text.at != NULL && f.count < OPENDKIM_LINES_MAX) {
		struct slice line = slice_trim(without_comment(slice_cut(&text, '\n')));
		where.line++;
		if (slice_starts(line, S("export "))) line = slice_trim(slice_skip(line, 7));
		if (line.len == 0) continue;
		struct opendkim_line l = { .where = where };
		if (slice_find(line, '=') == line.len) {
			problem_add(problems, PROBLEM_WARNING, where, "\"%.*s\" is no setting (key = value): left out",
				    SLICE_ARG(slice_head(line, 60)));
			continue;
		}
		l.key = slice_trim(slice_cut(&line, '='));
		bool list = slice_starts(slice_trim(line), S("{"));
		while (list && slice_find(line, '}') == line.len && text.at != NULL) {
			struct slice more = without_comment(slice_cut(&text, '\n'));
			line = arena_fmt(files->mem, "%.*s %.*s", SLICE_ARG(line), SLICE_ARG(more));
			where.line++;
			if (line.len > KIB(256)) break;
		}
		l.value = value_of(line, files->mem);
		if (slice_find(l.value, '$') < l.value.len || slice_find(l.value, '`') < l.value.len)
			problem_add(problems, PROBLEM_WARNING, l.where, "%.*s: nothing is put in for $ and `",
				    SLICE_ARG(slice_head(l.key, 60)));
		add(&f, &room, files->mem, l);
	}
	*out = f;
	return SOURCE_FOUND;
}
