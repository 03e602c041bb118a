/* SPDX-License-Identifier: Apache-2.0 */
/* conf/service.h says what an entry means; here it is kept as words, since what is shown and edited is the text. */
#include "cli/postconf.h"
#include "base/fail.h"

#define BLANKS " \t\r\n"

static const char *const field_words[] = { "service", "type",   "private",       "unprivileged",
					   "chroot",  "wakeup", "process_limit", "command" };

const char *entry_field_word(size_t field) { return field_words[field]; }

size_t entry_field(struct slice word) {
	size_t i = 0;
	while (i < ENTRY_FIELDS && !slice_eq(word, slice_of(field_words[i]))) i++;
	return i;
}

static struct slice skip_blanks(struct slice s) {
	while (s.len != 0 && ascii_space(s.at[0])) s = slice_skip(s, 1);
	return s;
}

/* The next word; "{ text }" is one, and comes without its braces and the blanks inside them. */
static int next_word(struct slice *rest, struct slice *out, bool *braced) {
	*rest = skip_blanks(*rest);
	*braced = rest->len != 0 && rest->at[0] == '{';
	if (!*braced) return *out = slice_word(rest, BLANKS), 0;
	size_t level = 0;
	for (size_t i = 0; i < rest->len; i++) {
		if (rest->at[i] == '{') level++;
		if (rest->at[i] != '}' || --level != 0) continue;
		*out = slice_trim(slice_from(rest->at + 1, i - 1));
		*rest = slice_skip(*rest, i + 1);
		return 0;
	}
	return fail("missing '}' in \"%.*s\"", SLICE_ARG(slice_head(*rest, 80)));
}

const char *request_cut(struct slice text, struct slice *name, struct slice *value) {
	size_t equals = slice_find(text, '=');
	*name = slice_trim(slice_head(text, equals));
	if (equals == text.len) return "missing '=' after attribute name";
	for (size_t i = 0; i < name->len; i++)
		if (ascii_space(name->at[i])) return "missing '=' after attribute name";
	if (name->len == 0) return "missing attribute name";
	*value = slice_trim(slice_skip(text, equals + 1));
	return NULL;
}

struct slice entry_option_text(struct slice name, struct slice value, struct arena *mem) {
	bool blanks = false;
	for (size_t i = 0; i < value.len; i++) blanks = blanks || ascii_space(value.at[i]);
	return arena_fmt(mem, blanks ? "{%.*s=%.*s}" : "%.*s=%.*s", SLICE_ARG(name), SLICE_ARG(value));
}

static int take_option(struct entry *e, struct slice text, struct arena *mem) {
	struct slice name, value;
	const char *wrong = request_cut(text, &name, &value);
	if (wrong != NULL) return fail("%s: \"%.*s\"", wrong, SLICE_ARG(slice_head(text, 80)));
	e->args[e->count++] = S("-o");
	e->args[e->count++] = entry_option_text(name, value, mem);
	return 0;
}

static int take_arguments(struct entry *e, struct slice rest, struct arena *mem) {
	bool options = true, braced;
	struct slice word;
	for (rest = skip_blanks(rest); rest.len != 0; rest = skip_blanks(rest)) {
		if (next_word(&rest, &word, &braced) < 0) return -1;
		options = options && !braced && word.len > 1 && word.at[0] == '-';
		if (options && slice_starts(word, S("-o"))) {
			struct slice text = slice_skip(word, 2);
			if (text.len == 0 && next_word(&rest, &text, &braced) < 0) return -1;
			if (take_option(e, text, mem) < 0) return -1;
		} else if (braced && memchr(word.at, ' ', word.len) != NULL)
			e->args[e->count++] = arena_fmt(mem, "{%.*s}", SLICE_ARG(word));
		else e->args[e->count++] = arena_slice(mem, word);
		if (options) e->options = e->count;
	}
	return 0;
}

int entry_read(struct entry *e, struct slice line, struct arena *mem) {
	*e = (struct entry){ 0 };
	for (size_t i = 0; i < ENTRY_FIELDS; i++) {
		e->fields[i] = slice_word(&line, BLANKS);
		if (e->fields[i].len == 0) return fail("bad field count");
	}
	size_t most = 3; /* a word ends at a blank or a brace, and "-oa=b" becomes two */
	for (size_t i = 0; i < line.len; i++)
		most += 2 * (size_t)(ascii_space(line.at[i]) || strchr("{}", line.at[i]) != NULL);
	e->args = arena_array(mem, most, sizeof e->args[0]);
	int r = take_arguments(e, line, mem);
	must(e->count <= most);
	return r;
}

bool entry_option(const struct entry *e, size_t i, struct slice *name, struct slice *value) {
	if (i == 0 || i >= e->options || !slice_eq(e->args[i - 1], S("-o"))) return false;
	struct slice text = e->args[i];
	if (text.len > 1 && text.at[0] == '{') text = slice_from(text.at + 1, text.len - 2);
	return request_cut(text, name, value) == NULL;
}

void entry_put_arguments(struct buf *out, const struct entry *e, size_t column, bool fold) {
	for (size_t i = 0; i < e->count; i++) {
		struct slice name, value;
		bool option = i + 1 < e->count && entry_option(e, i + 1, &name, &value),
		     behind = i > 0 && entry_option(e, i - 1, &name, &value);
		size_t len = e->args[i].len + (option ? 1 + e->args[i + 1].len : 0);
		bool breaks = fold && (option || behind || column + 1 + len >= 80);
		buf_addf(out, breaks ? "\n    " : " ");
		column = (breaks ? 4 : column + 1) + len;
		buf_add(out, e->args[i]);
		if (option) i++;
		if (option) buf_addf(out, " %.*s", SLICE_ARG(e->args[i]));
	}
}

void entry_put(struct buf *out, const struct entry *e, bool fold) {
	static const size_t columns[] = { 0, 11, 17, 25, 33, 41, 49, 57 };
	size_t column = 0;
	for (size_t i = 0; i < ENTRY_FIELDS; i++) {
		size_t blanks = i == 0 ? 0 : column < columns[i] ? columns[i] - column : 1;
		buf_addf(out, "%*s%.*s", (int)blanks, "", SLICE_ARG(e->fields[i]));
		column += blanks + e->fields[i].len;
	}
	entry_put_arguments(out, e, column, fold);
	buf_byte(out, '\n');
}

struct slice entry_command(const struct entry *e, struct arena *mem) {
	AUTO_BUF struct buf text = BUF(MIB(32));
	buf_add(&text, e->fields[ENTRY_COMMAND]);
	for (size_t i = 0; i < e->count; i++) buf_addf(&text, " %.*s", SLICE_ARG(e->args[i]));
	return arena_slice(mem, buf_slice(&text));
}

bool request_read(struct request *r, struct slice text, size_t least, size_t most) {
	*r = (struct request){ .text = text };
	for (struct slice rest = text; rest.at != NULL; r->parts_count++) {
		if (r->parts_count == most) return false;
		struct slice part = slice_cut(&rest, '/');
		r->parts[r->parts_count] = part.len == 0 ? S("*") : part;
	}
	return r->parts_count >= least;
}

bool request_matches(const struct request *r, struct slice service, struct slice type) {
	const struct slice words[] = { service, type };
	for (size_t i = 0; i < LEN(words) && i < r->parts_count; i++)
		if (!slice_eq(r->parts[i], S("*")) && !slice_eq(r->parts[i], words[i])) return false;
	return true;
}

bool line_next(struct slice *rest, struct slice *line, enum line_kind *kind) {
	if (rest->len == 0) return false;
	*line = slice_head(*rest, slice_find(*rest, '\n') + 1);
	*rest = slice_skip(*rest, line->len);
	struct slice text = slice_trim(*line);
	*kind = text.len == 0 || text.at[0] == '#' ? LINE_ASIDE : ascii_space(line->at[0]) ? LINE_MORE : LINE_START;
	return true;
}
