/* SPDX-License-Identifier: Apache-2.0 */
/* An entry that is changed is written anew, folded; one that is replaced takes the place of the first it matches. */
#include "base/fail.h"
#include "cli/postconf.h"

struct editing {
	const struct postconf *p;
	struct request *requests;
	size_t count;
	struct buf *out;
};

static bool all_digits(struct slice s) {
	size_t i = 0;
	while (i < s.len && ascii_digit(s.at[i])) i++;
	return i == s.len && s.len != 0;
}

/* What a server would not start with must not get into the file. */
static bool field_fits(size_t field, struct slice value) {
	static const char *const types[] = { "inet", "unix", "fifo", "pass", "unix-dgram" };
	struct slice number = value;
	if (field == ENTRY_TYPE) return slice_among(value, types, LEN(types)) >= 0;
	if (field == ENTRY_SERVICE || field == ENTRY_COMMAND || slice_eq(value, S("-"))) return true;
	if (field == ENTRY_WAKEUP && slice_ends(number, S("?"))) number.len--;
	if (field == ENTRY_WAKEUP || field == ENTRY_PROCESS_LIMIT) return all_digits(number);
	return slice_eq(value, S("y")) || slice_eq(value, S("n"));
}

static int check_field(const struct postconf *p, size_t field, struct slice value, struct slice whole) {
	if (field_fits(field, value)) return POSTCONF_GOOD;
	return postconf_fatal(p, "invalid %s field \"%.*s\" in \"%.*s\"", entry_field_word(field), SLICE_ARG(value),
			      SLICE_ARG(whole));
}

static int read_request(const struct postconf *p, struct slice arg, struct request *r) {
	static const char *const forms[] = { [VIEW_ENTRIES] = "-Me, -MX or -M# requires service_name/type",
					     [VIEW_FIELDS] = "-Fe or -FX requires service_name/type/field_name",
					     [VIEW_PARAMETERS] = "-Pe or -PX requires service_name/type/parameter" };
	struct slice text = slice_trim(arg), name = text, value = SLICE_NONE;
	size_t parts = p->view == VIEW_ENTRIES ? 2 : 3, field;
	struct entry e;
	if (slice_find(arg, '\n') < arg.len)
		return postconf_fatal(p, "-Me, -Fe, -Pe, -X, or -# accept no multi-line input");
	if (text.len != 0 && text.at[0] == '#')
		return postconf_fatal(p, "-Me, -Fe, -Pe, -X, or -# accept no comment input");
	const char *wrong = p->act == ACT_EDIT ? request_cut(text, &name, &value) : NULL;
	if (wrong != NULL) return postconf_fatal(p, "%s: \"%.*s\"", wrong, SLICE_ARG(text));
	if (p->act != ACT_EDIT && slice_find(text, '=') < text.len)
		return postconf_fatal(p, "-X or -# requires names without value");
	if (!request_read(r, name, parts, parts)) return postconf_fatal(p, "%s", forms[p->view]);
	r->text = text;
	r->value = value;
	bool blanks = false;
	for (size_t i = 0; i < value.len; i++) blanks = blanks || ascii_space(value.at[i]);
	if (p->view == VIEW_ENTRIES && p->act == ACT_EDIT && entry_read(&e, value, p->mem) < 0)
		return postconf_fatal(p, "%s: \"%.*s\"", fail_text(), SLICE_ARG(text));
	for (size_t i = 0; p->view == VIEW_ENTRIES && p->act == ACT_EDIT && i < ENTRY_FIELDS; i++)
		if (check_field(p, i, e.fields[i], value) != POSTCONF_GOOD) return POSTCONF_FATAL;
	if (p->view == VIEW_ENTRIES) return POSTCONF_GOOD;
	if (slice_eq(r->parts[2], S("*")))
		return postconf_fatal(p, "-%ce does not accept wild-card %s name", p->view == VIEW_FIELDS ? 'F' : 'P',
				      p->view == VIEW_FIELDS ? "field" : "parameter");
	if (p->view == VIEW_PARAMETERS)
		return blanks ? postconf_fatal(p, "-Pe does not accept whitespace in parameter value") : POSTCONF_GOOD;
	field = entry_field(r->parts[2]);
	if (field == ENTRY_FIELDS)
		return postconf_fatal(p, "invalid service attribute name: \"%.*s\"", SLICE_ARG(r->parts[2]));
	if (p->act == ACT_EDIT && value.len == 0)
		return postconf_fatal(p, "-Fe does not accept an empty value: \"%.*s\"", SLICE_ARG(text));
	if (p->act == ACT_EDIT && blanks && field != ENTRY_COMMAND)
		return postconf_fatal(p, "-Fe does not accept whitespace in non-command field");
	if (p->act == ACT_EDIT) return check_field(p, field, value, value);
	return POSTCONF_GOOD;
}

/* Fields whose values need reading again become an entry by way of their text. */
static int set_field(const struct postconf *p, struct entry *e, const struct request *r) {
	size_t field = entry_field(r->parts[2]);
	AUTO_BUF struct buf text = BUF(SOURCE_LIMIT);
	e->fields[field] = r->value;
	for (size_t i = 0; i < ENTRY_FIELDS; i++) buf_addf(&text, "%.*s ", SLICE_ARG(e->fields[i]));
	for (size_t i = 0; field != ENTRY_COMMAND && i < e->count; i++) buf_addf(&text, "%.*s ", SLICE_ARG(e->args[i]));
	return entry_read(e, arena_slice(p->mem, buf_slice(&text)), p->mem);
}

/* Takes the setting out, and puts the new value where the first stood, or first of all. */
static void set_option(const struct postconf *p, struct entry *e, const struct request *r) {
	struct slice *args = arena_array(p->mem, e->count + 2, sizeof *args), name, value;
	size_t count = 0, place = 0;
	bool found = false;
	for (size_t i = 0; i < e->count; i++) {
		bool option = i + 1 < e->count && entry_option(e, i + 1, &name, &value);
		if (option && slice_eq(name, r->parts[2])) {
			if (!found) place = count;
			found = true;
			i++;
			continue;
		}
		args[count++] = e->args[i];
		if (option) args[count++] = e->args[++i];
	}
	size_t removed = e->count - count;
	if (p->act == ACT_EDIT) {
		if (!found) place = MIN_OF(e->options, count);
		memmove(args + place + 2, args + place, (count - place) * sizeof *args);
		args[place] = S("-o");
		args[place + 1] = entry_option_text(r->parts[2], r->value, p->mem);
		count += 2;
		e->options += 2;
	}
	e->options -= removed;
	e->args = args;
	e->count = count;
}

/* One logical line: what becomes of it. */
static int edit_entry(struct editing *ed, struct slice logical, struct slice physical) {
	const struct postconf *p = ed->p;
	struct entry e, new;
	bool matched = false, changed = false;
	if (entry_read(&e, logical, p->mem) < 0)
		return postconf_fatal(p, "file %s/master.cf: %s", p->tool.conf_dir, fail_text());
	for (size_t i = 0; i < ed->count; i++) {
		struct request *r = &ed->requests[i];
		bool whole = p->view == VIEW_ENTRIES,
		     same = request_matches(r, e.fields[ENTRY_SERVICE], e.fields[ENTRY_TYPE]);
		if (whole && p->act == ACT_EDIT) {
			if (entry_read(&new, r->value, p->mem) < 0) return postconf_fatal(p, "%s", fail_text());
			same = same || (slice_eq(new.fields[ENTRY_SERVICE], e.fields[ENTRY_SERVICE]) &&
					slice_eq(new.fields[ENTRY_TYPE], e.fields[ENTRY_TYPE]));
		}
		if (!same) continue;
		matched = true;
		if (++r->matches == 1 && whole && p->act == ACT_EDIT) changed = true, e = new;
		if (whole || p->act == ACT_COMMENT) continue;
		changed = true;
		if (p->view == VIEW_PARAMETERS) set_option(p, &e, r);
		else if (set_field(p, &e, r) < 0) return postconf_fatal(p, "%s", fail_text());
	}
	if (changed) entry_put(ed->out, &e, true);
	else if (!matched) buf_add(ed->out, physical);
	enum line_kind kind;
	for (struct slice line; matched && line_next(&physical, &line, &kind);) {
		bool aside = kind == LINE_ASIDE;
		if (p->act == ACT_COMMENT && !aside) buf_byte(ed->out, '#');
		if (p->act == ACT_COMMENT || aside) buf_add(ed->out, line);
	}
	return POSTCONF_GOOD;
}

static int edit_all(struct editing *ed, struct slice rest) {
	enum line_kind kind;
	int code = POSTCONF_GOOD;
	struct slice line;
	while (code == POSTCONF_GOOD && line_next(&rest, &line, &kind)) {
		if (kind != LINE_START) {
			buf_add(ed->out, line);
			continue;
		}
		AUTO_BUF struct buf logical = BUF(SOURCE_LIMIT);
		struct slice physical = line, ahead = rest;
		buf_add(&logical, slice_trim(line));
		while (line_next(&ahead, &line, &kind) && kind != LINE_START) {
			if (kind == LINE_ASIDE)
				continue; /* behind the last line of this entry it belongs to the next */
			rest = ahead;
			physical.len = (size_t)(line.at + line.len - physical.at);
			buf_addf(&logical, " %.*s", SLICE_ARG(slice_trim(line)));
		}
		code = edit_entry(ed, arena_slice(ed->p->mem, buf_slice(&logical)), physical);
	}
	return code;
}

int postconf_edit_master(const struct postconf *p, struct slice old, struct buf *out) {
	struct editing ed = { .p = p, .requests = arena_array(p->mem, p->count, sizeof(struct request)), .out = out };
	int code = POSTCONF_GOOD;
	if (p->view == VIEW_FIELDS && p->act != ACT_EDIT)
		return postconf_fatal(p, "with option -F, do not specify -%c", p->act == ACT_COMMENT ? '#' : 'X');
	if (p->view == VIEW_PARAMETERS && p->act == ACT_COMMENT)
		return postconf_fatal(p, "with option -P, do not specify -#");
	for (; code == POSTCONF_GOOD && ed.count < p->count; ed.count++)
		code = read_request(p, p->args[ed.count], &ed.requests[ed.count]);
	if (code == POSTCONF_GOOD) code = edit_all(&ed, old);
	for (size_t i = 0; code == POSTCONF_GOOD && i < ed.count; i++) {
		struct entry e;
		struct request *r = &ed.requests[i];
		if (r->matches != 0) continue;
		if (out->len != 0 && out->at[out->len - 1] != '\n') buf_byte(out, '\n');
		if (p->view == VIEW_ENTRIES && p->act == ACT_EDIT) {
			if (entry_read(&e, r->value, p->mem) < 0) return postconf_fatal(p, "%s", fail_text());
			entry_put(out, &e, true);
		} else if (p->view != VIEW_ENTRIES)
			postconf_warn(p, "unmatched service_name/type: \"%.*s\"", SLICE_ARG(r->text));
	}
	return code;
}
