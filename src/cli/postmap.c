/* SPDX-License-Identifier: Apache-2.0 */
/* postmap(1) and postalias(1). Tables are read from their text, so there is nothing to compile: without -q and its kin
 * the file is checked and its faults are told; -i and -d change the text itself. */
#include "base/arena.h"
#include "base/encode.h"
#include "base/fail.h"
#include "base/log.h"
#include "cli/inside.h"
#include "cli/tool.h"
#include "conf/conf.h"
#include "conf/table_text.h"
#include "filter/checks.h"
#include "net/file.h"
#include <getopt.h>
#include <sysexits.h>

#define INPUT_MOST MIB(1024)
#define FATAL 1 /* Postfix's, where sysexits(3) would have others */

struct postmap {
	struct tool tool;
	bool aliases, list, add, header, body, mime, files;
	bool exact; /* -f */
	bool asks;  /* of tables that Postfix would have compiled, whose text was complained of then */
	enum table_text_clash clash;
	const char *query, *remove;
	struct conf *conf;
};

static int usage(const struct postmap *p) {
	return tool_fatal(&p->tool, FATAL, "usage: %s [%s] [-c config_dir] [-d key] [-q key] [map_type:]file...",
			  p->tool.name, p->aliases ? "-Nfinoprsuvw" : "-bfFhimnNoprsuUvw");
}

static void tell(void *ctx, int level, const char *text) {
	const struct postmap *p = ctx;
	static const char behind[] = " -- ignoring this line";
	struct slice t = slice_of(text);
	bool of_text = p->asks && slice_search(t, S(", line ")) < t.len;
	if ((level < L_WARN || of_text) && p->tool.verbose == 0) return;
	if (p->clash == TEXT_SKIP && slice_search(t, S(": duplicate entry: ")) < t.len) return; /* -w */
	if (slice_ends(t, slice_of(behind))) t.len -= sizeof behind - 1; /* the log's words, not postmap's */
	tool_warn(&p->tool, "%.*s", SLICE_ARG(t));
}

/* The configuration, when something in it is asked for; a broken one has its defaults. */
static const struct conf_view *settings(struct postmap *p) {
	struct conf_options options = { .dir = p->tool.conf_dir };
	if (p->conf == NULL && conf_load(&options, &p->conf) < 0) return NULL;
	return conf_main(p->conf);
}

/* "type:file", the type from default_database_type where it is missing. */
static struct slice full_name(struct postmap *p, const char *arg, struct arena *mem) {
	struct slice name = slice_of(arg), type = S("hash");
	if (slice_find(name, ':') < name.len) return name;
	const struct conf_view *v = settings(p);
	if (v != NULL) conf_text_named(v, S("default_database_type"), &type);
	return arena_fmt(mem, "%.*s:%s", SLICE_ARG(type), arg);
}

/* The file of a table that Postfix would compile; NULL: another type. */
static const char *source_of(struct slice name, struct arena *mem) {
	static const char *const types[] = { "hash", "btree", "dbm", "sdbm", "lmdb", "cdb" };
	size_t colon = slice_find(name, ':');
	for (size_t i = 0; i < LEN(types); i++)
		if (slice_eq(slice_head(name, colon), slice_of(types[i])))
			return arena_text(mem, slice_skip(name, colon + 1));
	return NULL;
}

static const char *source_or_die(const struct postmap *p, struct slice name, struct arena *mem, int *code) {
	const char *path = source_of(name, mem);
	struct slice type = slice_head(name, slice_find(name, ':'));
	if (path == NULL)
		*code = tool_fatal(&p->tool, FATAL,
				   "unsupported dictionary type: %.*s does not support bulk-mode creation.",
				   SLICE_ARG(type));
	else if (!p->add && access(path, R_OK) != 0)
		path = NULL, *code = tool_fatal(&p->tool, FATAL, "open %.*s: %s",
						SLICE_ARG(slice_skip(name, type.len + 1)), strerror(errno));
	return path;
}

/* Making. */

/* -F: the files that an entry names have to be there when its value is asked for. */
static int check_files(void *ctx, struct slice key, struct slice value) {
	const struct postmap *p = ctx;
	for (struct slice file; (file = slice_word(&value, " \t,")).len > 0;) {
		AUTO_ARENA struct arena mem = { 0 };
		if (access(arena_text(&mem, file), R_OK) != 0)
			tool_warn(&p->tool, "key %.*s: open %.*s: %s", SLICE_ARG(key), SLICE_ARG(file),
				  strerror(errno));
	}
	return 0;
}

static int check(struct postmap *p, struct tables *tables, struct slice name, struct arena *mem) {
	int code = 0;
	struct table *t;
	if (slice_starts(name, S("fail:"))) return 0;
	const char *path = source_or_die(p, name, mem, &code);
	if (path == NULL) return code;
	/* as this program's own form, whatever the file looks like */
	struct slice as = arena_fmt(mem, "%s:%s", p->aliases ? "hash" : "texthash", path);
	int r = table_open(tables, as, p->aliases ? TABLE_ALIASES : 0, &t);
	if (r == TABLE_FOUND && (!p->files || table_each(t, check_files, p) == 0)) return 0;
	return tool_fatal(&p->tool, FATAL, "%s", fail_text());
}

static int read_input(const struct postmap *p, struct buf *out) {
	char part[KIB(16)];
	ssize_t n;
	while ((n = read(STDIN_FILENO, part, sizeof part)) > 0 || (n < 0 && errno == EINTR))
		if (n > 0 && !buf_add(out, slice_from(part, (size_t)n)))
			return tool_fatal(&p->tool, FATAL, "standard input: too long");
	return n < 0 ? tool_fatal(&p->tool, FATAL, "standard input: %s", strerror(errno)) : 0;
}

/* The keys of "-d KEY" or "-d -". */
static int keys_of(const struct postmap *p, const char *arg, struct buf *room, struct slice *out) {
	*out = slice_of(arg);
	if (strcmp(arg, "-") != 0) return 0;
	int code = read_input(p, room);
	*out = buf_slice(room);
	return code;
}

static int change(struct postmap *p, struct slice name, struct slice text, bool *found, struct arena *mem) {
	int code = 0;
	struct table_text *t;
	const char *path = source_or_die(p, name, mem, &code);
	if (path == NULL) return code;
	if (table_text_read(path, p->aliases ? TABLE_ALIASES : 0, tell, p, &t) < 0)
		return tool_fatal(&p->tool, FATAL, "%s", fail_text());
	bool changed = p->add;
	if (p->add) table_text_add(t, text, p->clash);
	while (!p->add && text.at != NULL) {
		struct slice key = slice_cut(&text, '\n');
		if (key.len > 0 && table_text_remove(t, key)) changed = *found = true;
	}
	if (changed && table_text_write(t) < 0) code = tool_fatal(&p->tool, FATAL, "%s", fail_text());
	table_text_free(&t);
	return code;
}

/* Asking. */

static bool take_files(const struct postmap *p, struct slice list, struct buf *out) {
	struct slice file;
	bool first = true;
	while ((file = slice_word(&list, " \t,")).len > 0) {
		AUTO_ARENA struct arena mem = { 0 };
		if (!first) buf_byte(out, '\n');
		first = false;
		if (file_read(arena_text(&mem, file), out) < 0)
			return tool_fatal(&p->tool, FATAL, "%s", fail_text()), false;
	}
	return true;
}

/* -F: what the value stands for: files it names where it is read from the text, base64 elsewhere. */
static bool value_of(const struct postmap *p, const struct table *t, struct slice *value, struct buf *room) {
	AUTO_ARENA struct arena mem = { 0 };
	if (!p->files) return true;
	bool text = source_of(slice_of(table_name(t)), &mem) != NULL || strncmp(table_name(t), "texthash:", 9) == 0;
	buf_clear(room);
	if (text && !take_files(p, *value, room)) return false;
	if (!text && !base64_read(room, *value))
		return tool_fatal(&p->tool, FATAL, "table %s: the value is no base64", table_name(t)), false;
	*value = buf_slice(room);
	return true;
}

/* -f: the keys of a compiled table are folded when it is made, and then asked for as they are. */
static bool cannot_be(const struct postmap *p, const struct table *t, struct slice key) {
	AUTO_ARENA struct arena mem = { 0 };
	bool upper = false;
	for (size_t i = 0; i < key.len; i++) upper = upper || ascii_lower(key.at[i]) != key.at[i];
	return p->exact && upper && source_of(slice_of(table_name(t)), &mem) != NULL;
}

/* 1: found in one of the tables and printed; 0: in none; <0: told. with_key: "-q -". */
static int ask(struct postmap *p, struct table **tables, size_t count, struct slice key, bool with_key) {
	AUTO_ARENA struct arena mem = { 0 };
	AUTO_BUF struct buf room = BUF(INPUT_MOST);
	for (size_t i = 0; i < count; i++) {
		struct slice value;
		int r = cannot_be(p, tables[i], key) ? TABLE_MISSING : table_find(tables[i], key, &mem, &value);
		if (r == TABLE_MISSING) continue;
		if (r != TABLE_FOUND)
			return tool_fatal(&p->tool, FATAL, "table %s: query error: %s", table_name(tables[i]),
					  fail_text()),
			       -1;
		if (value.len == 0)
			tool_warn(&p->tool, "table %s: key %.*s: empty string result is not allowed",
				  table_name(tables[i]), SLICE_ARG(key));
		if (!value_of(p, tables[i], &value, &room)) return -1;
		if (with_key) printf("%.*s%s\t", SLICE_ARG(key), p->aliases ? ":" : "");
		printf("%.*s\n", SLICE_ARG(value));
		return 1;
	}
	return 0;
}

struct asking {
	struct postmap *p;
	struct table **tables;
	size_t count;
	int last; /* what ask() said */
	bool found;
};

static void see(void *ctx, struct slice subject, bool in_body) {
	struct asking *a = ctx;
	if (a->last < 0 || !(in_body ? a->p->body : a->p->header)) return;
	a->last = ask(a->p, a->tables, a->count, subject, true);
	a->found = a->found || a->last > 0;
}

static void put_nowhere(void *ctx, struct slice bytes) { (void)ctx, (void)bytes; }

/* -h: each header field, its lines joined by LF; -b: each line behind the header; -m: also in parts and attached
 * messages. */
static int ask_message(struct postmap *p, struct table **tables, size_t count, struct slice text) {
	const struct checks_params params = { .header_limit = MIB(1),
					      .line_limit = MIB(1),
					      .body_limit = UINT64_MAX,
					      .flat = !p->mime };
	const struct checks_ops ops = { .put = put_nowhere, .see = see };
	struct asking a = { .p = p, .tables = tables, .count = count };
	struct checks *c = checks_new(&params, &ops, &a);
	checks_feed(c, text);
	checks_end(c);
	checks_free(&c);
	return a.last < 0 ? FATAL : a.found ? 0 : 1;
}

static int ask_input(struct postmap *p, struct table **tables, size_t count) {
	AUTO_BUF struct buf text = BUF(INPUT_MOST);
	int found = 0, r = 0, code = read_input(p, &text);
	if (code != 0) return code;
	if (p->header || p->body) return ask_message(p, tables, count, buf_slice(&text));
	struct slice rest = buf_slice(&text);
	while (rest.len > 0 && r >= 0) {
		struct slice key = slice_cut(&rest, '\n');
		if (key.len > 0) r = ask(p, tables, count, key, true), found |= r > 0;
	}
	return r < 0 ? FATAL : found ? 0 : 1;
}

struct listing {
	const struct postmap *p;
	const struct table *table;
};

static int print_entry(void *ctx, struct slice key, struct slice value) {
	const struct listing *l = ctx;
	AUTO_BUF struct buf room = BUF(INPUT_MOST);
	if (!value_of(l->p, l->table, &value, &room)) return TABLE_LATER;
	printf("%.*s%s\t%.*s\n", SLICE_ARG(key), l->p->aliases ? ":" : "", SLICE_ARG(value));
	return 0;
}

static int list(struct postmap *p, struct table **tables, size_t count) {
	for (size_t i = 0; i < count; i++) {
		struct listing l = { p, tables[i] };
		int r = table_each(tables[i], print_entry, &l);
		if (r == TABLE_BAD)
			return tool_fatal(&p->tool, FATAL, "table %s: sequence operation is not supported",
					  table_name(tables[i]));
		if (r != 0) return tool_fatal(&p->tool, FATAL, "table %s: %s", table_name(tables[i]), fail_text());
	}
	return 0;
}

/* The text, or something that was made of it. */
static bool is_there(const char *path, struct arena *mem) {
	static const char *const endings[] = { "", ".db", ".lmdb", ".cdb" };
	for (size_t i = 0; i < LEN(endings); i++)
		if (access(arena_fmt(mem, "%s%s", path, endings[i]).at, F_OK) == 0) return true;
	return false;
}

static int open_all(struct postmap *p, struct tables *tables, const struct slice *names, size_t count,
		    struct arena *mem, struct table ***out) {
	*out = arena_array(mem, count, sizeof **out);
	for (size_t i = 0; i < count; i++) {
		const char *path = source_of(names[i], mem);
		p->asks = path != NULL;
		if (path != NULL && !is_there(path, mem))
			return tool_fatal(&p->tool, FATAL, "open %s: %s", path, strerror(ENOENT));
		if (table_open(tables, names[i], p->aliases ? TABLE_ALIASES : 0, &(*out)[i]) != TABLE_FOUND)
			return tool_fatal(&p->tool, FATAL, "%s", fail_text());
	}
	return 0;
}

/* The work of each option, on the tables named. */
static int run(struct postmap *p, struct tables *tables, const struct slice *names, size_t count, struct arena *mem) {
	AUTO_BUF struct buf input = BUF(INPUT_MOST);
	struct table **opened;
	int code = 0;
	if (p->query != NULL || p->list) {
		code = open_all(p, tables, names, count, mem, &opened);
		if (code != 0) return code;
		if (p->list) return list(p, opened, count);
		if (strcmp(p->query, "-") == 0) return ask_input(p, opened, count);
		int r = ask(p, opened, count, slice_of(p->query), false);
		return r < 0 ? FATAL : r > 0 ? 0 : 1;
	}
	bool found = false;
	struct slice text = S("");
	if (p->remove != NULL) code = keys_of(p, p->remove, &input, &text);
	else if (p->add) code = keys_of(p, "-", &input, &text);
	for (size_t i = 0; i < count && code == 0; i++)
		code = p->remove != NULL || p->add ? change(p, names[i], text, &found, mem)
						   : check(p, tables, names[i], mem);
	return code != 0 ? code : p->remove != NULL && !found ? 1 : 0;
}

static int take_options(struct postmap *p, int argc, char **argv) {
	const char *folder = NULL;
	int o, acts = 0;
	optind = 0; /* newaliases comes here with another command line read before */
	while ((o = getopt(argc, argv, p->aliases ? "+Nc:d:finopq:rsuUvw" : "+NFbc:d:fhimnopq:rsuUvw")) != -1)
		switch (o) {
		case 'c': folder = p->tool.conf_dir = optarg; break;
		case 'v': p->tool.verbose++; break;
		case 'd': p->remove = optarg, acts++; break;
		case 'q': p->query = optarg, acts++; break;
		case 's': acts += !p->list, p->list = true; break;
		case 'i': p->add = true; break;
		case 'b': p->body = true; break;
		case 'h': p->header = true; break;
		case 'm': p->mime = true; break;
		case 'F': p->files = true; break;
		case 'r': p->clash = TEXT_REPLACE; break;
		case 'w': p->clash = TEXT_SKIP; break;
		case 'f': p->exact = true; break;
		/* about compiled files: there are none */
		case 'N': case 'n': case 'o': case 'p': case 'u': case 'U': break;
		default: return usage(p);
		}
	if (folder != NULL && access(folder, X_OK) != 0)
		return tool_fatal(&p->tool, FATAL, "open %s/main.cf: %s", folder, strerror(errno));
	if (acts > 1) return tool_fatal(&p->tool, FATAL, "specify only one of -s -q or -d");
	if ((p->header || p->body || p->mime) && (p->query == NULL || strcmp(p->query, "-") != 0))
		return tool_fatal(&p->tool, FATAL, "specify -b -h or -m only with \"-q -\"");
	if (p->mime && !p->header && !p->body) tool_warn(&p->tool, "ignoring -m option without -b or -h");
	return optind == argc ? usage(p) : 0;
}

static int postmap(int argc, char **argv, bool aliases) {
	AUTO_ARENA struct arena mem = { 0 };
	struct postmap p = { .aliases = aliases };
	tool_begin(&p.tool, argc, argv);
	int code = take_options(&p, argc, argv);
	if (code != 0) return code;
	size_t count = (size_t)(argc - optind);
	bool sockets = false;
	struct slice *names = arena_array(&mem, count, sizeof *names);
	for (size_t i = 0; i < count; i++) {
		names[i] = full_name(&p, argv[optind + (int)i], &mem);
		sockets = sockets || slice_search(names[i], S("unix:")) < names[i].len ||
			  slice_search(names[i], S("socketmap:")) < names[i].len;
	}
	struct table_params params = { .tell = tell, .ctx = &p };
	struct slice queue;
	const struct conf_view *v = sockets ? settings(&p) : NULL;
	if (v != NULL && conf_text_named(v, S("queue_directory"), &queue)) params.queue_directory = queue.at;
	if (v != NULL) params.socketmap_most = (size_t)conf_number(v, SET_socketmap_max_reply_size);
	struct tables *tables = tables_new(&params);
	code = run(&p, tables, names, count, &mem);
	tables_free(&tables);
	conf_drop(&p.conf);
	return code;
}

int postmap_program(int argc, char **argv) { return postmap(argc, argv, false); }
int postalias_program(int argc, char **argv) { return postmap(argc, argv, true); }
