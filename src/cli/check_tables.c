/* SPDX-License-Identifier: Apache-2.0 */
/* Tables are looked for as the server would, but only those made from files of this machine: a server that is asked for
 * a table is not asked just to see whether it is there. */
#include "base/fail.h"
#include "base/log.h"
#include "base/map.h"
#include "cli/checking.h"
#include "conf/table.h"
#include "net/tls.h"

#include <sys/mman.h>
#include <sys/stat.h>

static const struct slice file_types[] = {
	S("hash"), S("btree"),    S("dbm"),    S("sdbm"), S("lmdb"),
	S("cdb"),  S("texthash"), S("regexp"), S("pcre"), S("cidr"),
};
/* Types whose name is that of a file that says which server to ask. */
static const struct slice server_types[] = { S("ldap"),	  S("mysql"),   S("pgsql"),
					     S("sqlite"), S("mongodb"), S("memcache") };
/* What Sun's machines had. */
static const struct slice gone_types[] = { S("nis"), S("nisplus"), S("netinfo") };
/* Types whose names hold more tables, or what is no file; and those that Postfix has, whatever this build has. */
static const struct slice other_types[] = {
	S("proxy"),     S("static"),   S("inline"),  S("unionmap"), S("pipemap"), S("randmap"),
	S("environ"),   S("internal"), S("fail"),    S("debug"),    S("unix"),    S("tcp"),
	S("socketmap"), S("ldap"),     S("mysql"),   S("pgsql"),    S("sqlite"),  S("mongodb"),
	S("memcache"),  S("nis"),      S("nisplus"), S("netinfo"),
};

struct tables_check {
	struct checking *c;
	const struct conf_view *view;
	const struct conf_service *service; /* NULL: main.cf's */
	struct tables *tables;
	struct map seen;                    /* each table is told of once */
	struct arena *mem;
};

static bool is_one_of(struct slice word, const struct slice *words, size_t count) {
	for (size_t i = 0; i < count; i++)
		if (slice_eq(words[i], word)) return true;
	return false;
}

static struct place where_set(const struct tables_check *t, const struct conf_raw *r) {
	return t->service != NULL ? t->service->where : r->where;
}

/* A file with passwords that everybody on this machine can read. */
static void check_secret(struct tables_check *t, const struct conf_raw *r, struct slice path) {
	struct stat st;
	AUTO_FREE char *name = slice_text(path);
	if (stat(name, &st) == 0 && (st.st_mode & 0004) != 0)
		found_at(t->c, PROBLEM_WARNING, where_set(t, r),
			 "%.*s: %s holds passwords and can be read by everybody on this machine (chmod 600 %s)",
			 SLICE_ARG(r->name), name, name);
}

static bool is_secret(struct slice name) { return slice_ends(name, S("_sasl_password_maps")); }

static void check_file(struct tables_check *t, const struct conf_raw *r, struct slice word, struct slice path) {
	struct table *table;
	struct slice value;
	unsigned flags =
		slice_eq(r->name, S("alias_maps")) || slice_eq(r->name, S("alias_database")) ? TABLE_ALIASES : 0;
	if (is_secret(r->name)) check_secret(t, r, path);
	enum problem_level level = r->is_set ? PROBLEM_WARNING : PROBLEM_INFO;
	if (table_open(t->tables, word, flags, &table) == TABLE_BAD ||
	    table_find(table, S("hato-check"), t->mem, &value) == TABLE_LATER)
		found_at(t->c, level, where_set(t, r), "%.*s: %s", SLICE_ARG(r->name), fail_text());
}

static void check_server_file(struct tables_check *t, const struct conf_raw *r, struct slice word,
			      struct slice path) {
	AUTO_FREE char *name = slice_text(path);
	if (access(name, R_OK) == 0) return;
	found_at(t->c, r->is_set ? PROBLEM_WARNING : PROBLEM_INFO, where_set(t, r), "%.*s: %.*s: open %s: %s",
		 SLICE_ARG(r->name), SLICE_ARG(word), name, strerror(errno));
}

static void check_word(struct tables_check *t, const struct conf_raw *r, struct slice word, bool tables_only) {
	if (slice_starts(word, S("!"))) word = slice_skip(word, 1);
	struct slice path = word, type = slice_cut(&path, ':');
	while (slice_eq(type, S("proxy")) && path.at != NULL) word = path, type = slice_cut(&path, ':');
	if (tables_only && r->is_set && path.at != NULL && is_one_of(type, gone_types, LEN(gone_types)))
		found_at(t->c, PROBLEM_INFO, where_set(t, r),
			 "%.*s: %.*s:%.*s never has an entry: there is no NIS here", SLICE_ARG(r->name),
			 SLICE_ARG(type), SLICE_ARG(path));
	if (path.at == NULL || path.len == 0 || path.at[0] != '/' || map_get(&t->seen, word) != NULL) return;
	map_put(&t->seen, arena_slice(t->mem, word), t);
	if (is_one_of(type, file_types, LEN(file_types))) check_file(t, r, word, path);
	else if (is_one_of(type, server_types, LEN(server_types))) check_server_file(t, r, word, path);
	else if (tables_only && !is_one_of(type, other_types, LEN(other_types)))
		found_at(t->c, PROBLEM_WARNING, where_set(t, r),
			 "%.*s: unsupported dictionary type: %.*s: what needs this table will answer \"try later\"",
			 SLICE_ARG(r->name), SLICE_ARG(type));
}

/* The next word of a list. Braces count as blanks, since tables and lists are written into them, but what stands in the
 * braces of these types is no name: "regexp:{{/^X-A:/ IGNORE}}" is one word. */
static struct slice next_word(struct slice *text) {
	static const struct slice with_content[] = { S("inline"), S("static"), S("regexp"), S("pcre"), S("cidr") };
	struct slice before = *text, word = slice_word(text, ", \t\r\n{}"), type = word;
	if (!slice_ends(word, S(":"))) return word;
	type.len--;
	const char *behind = word.at + word.len;
	if (!is_one_of(type, with_content, LEN(with_content)) || behind == before.at + before.len || *behind != '{')
		return word;
	size_t i = (size_t)(behind - before.at), depth = 0;
	do depth += before.at[i] == '{', depth -= before.at[i] == '}';
	while (++i < before.len && depth > 0);
	*text = slice_skip(before, i);
	return word;
}

/* Settings that hold nothing but tables. */
static bool holds_tables(const struct conf_raw *r) {
	struct slice name = r->name;
	enum setting_kind kind = r->setting->kind;
	return kind == KIND_DOMAINS || kind == KIND_NETWORKS || slice_ends(name, S("_maps")) ||
	       slice_ends(name, S("_checks")) || slice_eq(name, S("alias_database"));
}

/* Whom to prove certificates from. Without it TLS that needs a proof fails, which is told when mail waits. */
static bool check_roots(struct tables_check *t, const struct conf_raw *r) {
	bool is_file = slice_ends(r->name, S("_tls_CAfile"));
	if (!is_file && !slice_ends(r->name, S("_tls_CApath"))) return false;
	struct slice path = conf_text(t->view, setting_id_of(r->setting));
	if (path.len == 0 || path.at[0] != '/' || map_get(&t->seen, path) != NULL) return true;
	map_put(&t->seen, path, t);
	if (tls_roots_check(is_file ? path.at : NULL, is_file ? NULL : path.at) < 0)
		found_at(t->c, PROBLEM_WARNING, where_set(t, r), "%.*s: no certificate can be proved: %s",
			 SLICE_ARG(r->name), fail_text());
	return true;
}

static void check_setting(struct tables_check *t, const struct conf_raw *r) {
	static const struct slice not_looked_at[] = { S("proxy_read_maps"), S("proxy_write_maps"),
						      S("postscreen_cache_map"), S("address_verify_map") };
	if (r->setting == NULL || is_one_of(r->name, not_looked_at, LEN(not_looked_at)) ||
	    r->setting->state == UNNEEDED || check_roots(t, r))
		return;
	struct slice text = conf_text(t->view, setting_id_of(r->setting));
	for (struct slice word; (word = next_word(&text)).len != 0;)
		check_word(t, r, word, holds_tables(r));
}

/* Those that are set come first: defaults often name the same tables. */
static void check_view(struct tables_check *t) {
	size_t count = conf_raw_count(t->c->conf);
	for (size_t i = 0; i < 2 * count; i++) {
		struct conf_raw r = conf_raw_at(t->c->conf, i % count);
		if (r.is_set != (i < count)) continue;
		if (r.class == CONF_BUILTIN || (r.setting != NULL && setting_find(r.name) == r.setting))
			check_setting(t, &r);
	}
}

static void look_at_tables(struct checking *c) {
	AUTO_ARENA struct arena mem = { 0 };
	struct tables_check t = { .c = c, .view = conf_main(c->conf), .mem = &mem };
	t.tables = tables_new(
		&(struct table_params){ .queue_directory = conf_text(t.view, SET_queue_directory).at,
					.socketmap_most = (size_t)conf_number(t.view, SET_socketmap_max_reply_size) });
	check_view(&t);
	size_t count;
	const struct conf_service *services = conf_services(c->conf, &count);
	for (size_t i = 0; i < count; i++) {
		t.service = &services[i];
		t.view = conf_service_view(c->conf, t.service);
		if (t.view != conf_main(c->conf)) check_view(&t);
	}
	check_restrictions(c, &mem);
	check_access(c, t.tables, &mem);
	check_canonical(c, t.tables, &mem);
	map_done(&t.seen, NULL);
	tables_free(&t.tables);
}

/* What tables log about their lines is a finding here. That one is not there at all was told where it is named. */
static void tell_log(struct checking *c, int fd) {
	AUTO_BUF struct buf text = BUF(MIB(16));
	char *room = buf_room(&text, MIB(8));
	ssize_t n = room != NULL ? pread(fd, room, MIB(8), 0) : -1;
	struct slice rest = slice_from(room, n > 0 ? (size_t)n : 0);
	while (rest.at != NULL && rest.len != 0) {
		struct slice line = slice_cut(&rest, '\n'), mark = S("]: warning: ");
		size_t at = slice_search(line, mark);
		if (at < line.len)
			found_at(c, PROBLEM_WARNING, (struct place){ SLICE_NONE, 0 }, "%.*s",
				 SLICE_ARG(slice_skip(line, at + mark.len)));
	}
}

void check_tables(struct checking *c) {
	AUTO_FD int log = memfd_create("log", MFD_CLOEXEC);
	if (log >= 0) log_open(&(struct log_target){ .fd = log, .least = L_WARN, .name = "hato" });
	look_at_tables(c);
	log_open(&(struct log_target){ .fd = STDERR_FILENO, .least = L_INFO, .name = "hato" });
	if (log >= 0) tell_log(c, log);
}
