/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* postconf(1) as Postfix 3.11 has it: what its files share. Everything is told as "postconf: warning: …" or, before an
 * exit with status 1, as "postconf: fatal: …". */
#include "base/buf.h"
#include "cli/tool.h"
#include "conf/conf.h"

enum { POSTCONF_GOOD = 0, POSTCONF_FATAL = 1 };
enum postconf_view { VIEW_MAIN, VIEW_ENTRIES, VIEW_FIELDS, VIEW_PARAMETERS }; /* -p, -M, -F, -P */
enum postconf_act { ACT_SHOW, ACT_EDIT, ACT_COMMENT, ACT_EXCLUDE };           /* -e, -#, -X */

struct postconf {
	struct tool tool;
	bool dir_given;      /* -c */
	enum postconf_view view;
	enum postconf_act act;
	char list;           /* a, A, b, l, m, t, T: not about main.cf and master.cf at all */
	const char *tls_mode; /* -T */
	bool defaults, set_only, no_names, no_values, fold, expand, json, quiet;
	bool classes[3];     /* by enum conf_class */
	struct slice *settings; /* -o */
	size_t settings_count;
	const struct slice *args; /* NUL behind each */
	size_t count;
	struct arena *mem;
	struct conf *conf;   /* only where it is shown */
};
#define postconf_warn(p, ...) tool_warn(&(p)->tool, __VA_ARGS__)
#define postconf_fatal(p, ...) tool_fatal(&(p)->tool, POSTCONF_FATAL, __VA_ARGS__)

/* postconf_show.c */
int postconf_main(const struct postconf *p);
void postconf_tell_undefined(const struct postconf *p); /* names in main.cf's values that nobody knows */
void postconf_tell_unused(const struct postconf *p);    /* settings that nobody knows; old names */
/* One setting as a line: "label = value", or as the options ask. view: where $names are looked up with -x; NULL:
 * nowhere. */
int postconf_put(const struct postconf *p, struct slice label, struct slice value, const struct conf_view *view);
/* Words with one blank between; folded at 80 columns with -f. */
void postconf_words(struct buf *out, struct slice text, bool fold);
void postconf_json(struct slice label, struct slice value);

/* postconf_entry.c: one entry of master.cf, as words. */
enum { ENTRY_SERVICE, ENTRY_TYPE, ENTRY_WAKEUP = 5, ENTRY_PROCESS_LIMIT, ENTRY_COMMAND, ENTRY_FIELDS };
struct entry {
	struct slice fields[ENTRY_FIELDS];
	struct slice *args; /* behind the command; "-oname=value" and "-o { name = value }" as "-o" and "name=value" */
	size_t count, options; /* behind the first word that is none, -o belongs to the program */
};
/* <0 with fail_text(): not an entry. */
int entry_read(struct entry *e, struct slice line, struct arena *mem) MUST_USE;
void entry_put(struct buf *out, const struct entry *e, bool fold);
/* What stands behind the command, as it goes on from that column; each -o has a line of its own with fold. */
void entry_put_arguments(struct buf *out, const struct entry *e, size_t column, bool fold);
struct slice entry_command(const struct entry *e, struct arena *mem); /* with its arguments */
/* Is args[i] the value of a -o? Its name and value then. */
bool entry_option(const struct entry *e, size_t i, struct slice *name, struct slice *value);
struct slice entry_option_text(struct slice name, struct slice value, struct arena *mem); /* braces where blanks are */
const char *entry_field_word(size_t field);
size_t entry_field(struct slice word); /* ENTRY_FIELDS: there is none */

/* service[/type[/third]], with * for anything. */
struct request {
	struct slice text, parts[3];
	size_t parts_count;
	struct slice value; /* behind =; at == NULL: none */
	size_t matches;
};
/* false: more than `most` or less than `least` parts. */
bool request_read(struct request *r, struct slice text, size_t least, size_t most);
bool request_matches(const struct request *r, struct slice service, struct slice type);
/* Cuts "name = value" at its =. NULL, or what is wrong. */
const char *request_cut(struct slice text, struct slice *name, struct slice *value);

/* postconf_master.c */
int postconf_master(const struct postconf *p);
/* postconf_edit.c */
int postconf_edit(const struct postconf *p);
/* postconf_edit_master.c: the new text of master.cf. */
int postconf_edit_master(const struct postconf *p, struct slice old, struct buf *out);
/* postconf_list.c */
int postconf_list(const struct postconf *p);
/* postconf_template.c */
int postconf_templates(const struct postconf *p);

/* Physical lines, with what each is. Comments and empty lines belong to no logical line, wherever they stand. */
enum line_kind { LINE_ASIDE, LINE_START, LINE_MORE };
bool line_next(struct slice *rest, struct slice *line, enum line_kind *kind); /* line with its line end */
