/* SPDX-License-Identifier: Apache-2.0 */
/* The paths in such files are those of the machine, or the container, where the other program ran: what begins with
 * /etc/opendkim/ is looked for in the folder of the KeyTable first. */
#include "role/dkim_files.h"
#include "base/fail.h"
#include "base/log.h"
#include "conf/opendkim_file.h"
#include "conf/ucl.h"
#include "net/file.h"
#include "trust/keyring.h"

#include <glob.h>
#include <sys/stat.h>

enum { FILES_MAX = 20000, PEM_MAX = 64 << 10, TEXT_MAX = 1 << 20 };

struct reading {
	struct arena *mem;
	struct sources sources;    /* of our own: nothing of it travels with the settings */
	struct problems problems;
	struct keyring_given given;
	size_t files_room, rules_room;
	uint64_t stamp;
	bool only_stamp;           /* no key is read */
	struct slice folder;       /* what /etc/opendkim/ stands for, and rspamd's own; empty: itself */
};

static void *grown(struct reading *r, void *at, size_t count, size_t *room, size_t size) {
	if (count < *room) return at;
	*room = *room == 0 ? 16 : *room * 2;
	void *fresh = arena_array(r->mem, *room, size);
	if (count != 0) memcpy(fresh, at, count * size);
	return fresh;
}

static void stamp_file(struct reading *r, const char *path) {
	struct stat st = { 0 };
	(void)!stat(path, &st);
	r->stamp = r->stamp * 31 + (uint64_t)st.st_mtim.tv_sec * 1000000007u + (uint64_t)st.st_mtim.tv_nsec +
		   (uint64_t)st.st_ino + (uint64_t)st.st_size;
}

/* ---- keys ---- */

static void add_file(struct reading *r, struct keyring_file file) {
	if (r->given.files_count == FILES_MAX) return;
	r->given.files = grown(r, r->given.files, r->given.files_count, &r->files_room, sizeof *r->given.files);
	r->given.files[r->given.files_count++] = file;
}

static void add_rule(struct reading *r, struct keyring_rule rule) {
	r->given.rules = grown(r, r->given.rules, r->given.rules_count, &r->rules_room, sizeof *r->given.rules);
	r->given.rules[r->given.rules_count++] = rule;
}

/* The path where it is now. */
static struct slice mapped(struct reading *r, struct slice path) {
	static const char *const prefixes[] = { "/etc/opendkim/", "/tmp/docker-mailserver/opendkim/",
						"/tmp/docker-mailserver/rspamd/" };
	for (size_t i = 0; i < LEN(prefixes) && r->folder.len != 0; i++)
		if (slice_starts(path, slice_of(prefixes[i])))
			return arena_fmt(r->mem, "%.*s/%.*s", SLICE_ARG(r->folder),
					 SLICE_ARG(slice_skip(path, strlen(prefixes[i]))));
	return arena_slice(r->mem, path);
}

/* A key that may be read by others is used all the same (RequireSafeKeys would refuse it), and told. */
static void add_key(struct reading *r, struct keyring_file file, struct slice path) {
	AUTO_BUF struct buf pem = BUF(PEM_MAX);
	struct stat st;
	file.path = mapped(r, path);
	stamp_file(r, file.path.at);
	if (r->only_stamp) return;
	if (file_read(file.path.at, &pem) < 0)
		say(L_ERROR, "/opendkim", "the key of %.*s cannot be read: %s", SLICE_ARG(file.domain), fail_text());
	else if (stat(file.path.at, &st) == 0 && (st.st_mode & 077) != 0)
		say(L_WARN, "/opendkim", "%.*s: a private key that others may read (chmod 600)", SLICE_ARG(file.path));
	file.pem = arena_slice(r->mem, buf_slice(&pem));
	mem_wipe(pem.at, pem.len);
	add_file(r, file);
}

/* "keys/%/mail.private": one file for each domain there is. */
static void add_keys_by_domain(struct reading *r, struct keyring_file file, struct slice path) {
	path = mapped(r, path);
	size_t mark = slice_find(path, '%');
	struct slice before = slice_head(path, mark), after = slice_skip(path, mark + 1);
	glob_t found = { 0 };
	if (glob(arena_fmt(r->mem, "%.*s*%.*s", SLICE_ARG(before), SLICE_ARG(after)).at, 0, NULL, &found) == 0)
		for (size_t i = 0; i < found.gl_pathc; i++) {
			struct slice one = slice_of(found.gl_pathv[i]);
			file.domain =
				arena_slice(r->mem, slice_from(one.at + before.len, one.len - before.len - after.len));
			add_key(r, file, one);
		}
	globfree(&found);
}

/* ---- OpenDKIM ---- */

/* "domain:selector:/path", or the key itself in place of the path. */
static void add_key_entry(struct reading *r, struct slice name, struct slice value) {
	struct keyring_file file = { .name = arena_slice(r->mem, name) };
	file.domain = slice_trim(slice_cut(&value, ':'));
	file.selector = slice_trim(slice_cut(&value, ':'));
	struct slice where = slice_trim(value);
	if (where.len == 0 || file.selector.len == 0) {
		if (!r->only_stamp)
			say(L_ERROR, "/opendkim", "KeyTable: %.*s: domain:selector:key is wanted", SLICE_ARG(name));
		return;
	}
	bool path = slice_starts(where, S("/")) || slice_starts(where, S("./")) || slice_starts(where, S("../"));
	if (!path) {
		file.path = S("KeyTable");
		file.pem = where;
		if (!r->only_stamp) add_file(r, file);
	} else if (slice_find(where, '%') < where.len) {
		add_keys_by_domain(r, file, where);
	} else {
		add_key(r, file, where);
	}
}

static bool read_set(struct reading *r, const char *key, struct slice value, struct opendkim_set *set) {
	struct opendkim_line line = { .key = slice_of(key), .value = value };
	int found = opendkim_set_read(&r->sources, &line, &r->problems, set);
	if (found < 0 && !r->only_stamp) say(L_ERROR, "/opendkim", "%s: %s", key, fail_text());
	if (found == SOURCE_ABSENT && !r->only_stamp)
		say(L_ERROR, "/opendkim", "%s %.*s: there is no such file", key, SLICE_ARG(value));
	if (found == SOURCE_FOUND && set->path.len != 0) stamp_file(r, arena_text(r->mem, set->path));
	return found == SOURCE_FOUND;
}

static void read_tables(struct reading *r, struct slice key_table, struct slice signing_table) {
	struct opendkim_set keys, rules;
	if (key_table.len == 0 || !read_set(r, "KeyTable", key_table, &keys)) return;
	bool ruled = signing_table.len != 0 && read_set(r, "SigningTable", signing_table, &rules);
	for (size_t i = 0; i < keys.count; i++) add_key_entry(r, ruled ? keys.at[i].key : SLICE_NONE, keys.at[i].value);
	for (size_t i = 0; ruled && i < rules.count; i++) {
		struct slice rest = rules.at[i].value, name = slice_word(&rest, " \t");
		add_rule(r, (struct keyring_rule){ arena_slice(r->mem, rules.at[i].key), arena_slice(r->mem, name),
						   rules.kind == OPENDKIM_PATTERNS });
	}
}

/* Domain, Selector, KeyFile. Without Domain OpenDKIM signs nothing at all; here the server's own are meant. */
static void read_single(struct reading *r, const struct conf_view *v) {
	struct slice path = conf_text(v, SET_dkim_key_file);
	size_t n;
	const struct slice *domains = conf_list(v, SET_dkim_key_domains, &n);
	const struct slice own[] = { conf_text(v, SET_mydomain), conf_text(v, SET_myhostname) };
	if (path.len == 0 || conf_text(v, SET_dkim_key_table).len != 0) return;
	for (size_t i = 0; i < (n != 0 ? n : LEN(own)); i++)
		add_key(r,
			(struct keyring_file){ .domain = n != 0 ? domains[i] : own[i],
					       .selector = conf_text(v, SET_dkim_key_selector) },
			path);
}

/* ---- rspamd ---- */

static bool is_digits(struct slice s) {
	for (size_t i = 0; i < s.len; i++)
		if (!ascii_digit(s.at[i])) return false;
	return s.len != 0;
}

/* "rsa-2048-mail-example.com.private.txt", "ed25519-mail-example.com.private.txt": selectors have no hyphen there. */
static void add_rspamd_file(struct reading *r, const char *path) {
	struct slice whole = slice_of(path), name = slice_skip(whole, slice_find_last(whole, '/') + 1);
	struct slice rest = slice_head(name, name.len - strlen(".private.txt")), kind = slice_cut(&rest, '-');
	struct slice bits = rest;
	if (slice_eq(kind, S("rsa")) && is_digits(slice_cut(&bits, '-'))) rest = bits;
	struct slice selector = slice_cut(&rest, '-');
	if (rest.len != 0 && keyring_name(rest))
		add_key(r,
			(struct keyring_file){ .domain = arena_slice(r->mem, rest),
					       .selector = arena_slice(r->mem, selector) },
			whole);
}

static void add_ucl_key(void *ctx, const struct ucl_key *key) {
	struct reading *r = ctx;
	add_key(r,
		(struct keyring_file){ .domain = arena_slice(r->mem, key->domain),
				       .selector = arena_slice(r->mem, key->selector) },
		arena_slice(r->mem, key->path));
}

static void read_rspamd(struct reading *r, struct slice folder) {
	AUTO_BUF struct buf text = BUF(TEXT_MAX);
	struct slice path = arena_fmt(r->mem, "%.*s/override.d/dkim_signing.conf", SLICE_ARG(folder));
	stamp_file(r, path.at);
	size_t before = r->given.files_count;
	if (access(path.at, F_OK) == 0) {
		if (file_read(path.at, &text) < 0) say(L_ERROR, "/opendkim", "%s", fail_text());
		buf_byte(&text, '\n');
		ucl_keys_each(slice_of(buf_text(&text)), add_ucl_key, r);
		if (r->given.files_count != before || r->only_stamp) return;
	}
	static const char *const places[] = { "dkim/", "" };
	for (size_t i = 0; i < LEN(places); i++) {
		glob_t found = { 0 };
		if (glob(arena_fmt(r->mem, "%.*s/%s*.private.txt", SLICE_ARG(folder), places[i]).at, 0, NULL, &found) ==
		    0)
			for (size_t k = 0; k < found.gl_pathc; k++) add_rspamd_file(r, found.gl_pathv[k]);
		globfree(&found);
	}
}

/* ---- all ---- */

/* DOMAIN/SELECTOR.private, as opendkim-genkey leaves them. */
static void read_plain(struct reading *r, struct slice folder) {
	static const char *const forms[] = { "keys/*/*.private", "*/*.private" };
	for (size_t i = 0; i < LEN(forms); i++) {
		glob_t found = { 0 };
		if (glob(arena_fmt(r->mem, "%.*s/%s", SLICE_ARG(folder), forms[i]).at, 0, NULL, &found) == 0)
			for (size_t k = 0; k < found.gl_pathc; k++) {
				struct slice path = slice_of(found.gl_pathv[k]),
					     above = slice_head(path, slice_find_last(path, '/'));
				struct slice file = slice_skip(path, above.len + 1),
					     domain = slice_skip(above, slice_find_last(above, '/') + 1);
				struct slice selector = slice_head(file, file.len - strlen(".private"));
				if (!keyring_name(domain) || !keyring_name(selector)) continue;
				add_key(r,
					(struct keyring_file){ .domain = arena_slice(r->mem, domain),
							       .selector = arena_slice(r->mem, selector) },
					path);
			}
		globfree(&found);
	}
}

static void read_folder(struct reading *r, struct slice folder) {
	struct slice table = arena_fmt(r->mem, "%.*s/KeyTable", SLICE_ARG(folder)),
		     rules = arena_fmt(r->mem, "refile:%.*s/SigningTable", SLICE_ARG(folder));
	r->folder = folder;
	stamp_file(r, arena_text(r->mem, folder));
	size_t before = r->given.files_count;
	if (access(table.at, F_OK) == 0) read_tables(r, table, rules);
	else read_rspamd(r, folder);
	if (r->given.files_count == before) read_plain(r, folder);
	r->folder = SLICE_NONE;
}

static void read_all(struct reading *r, const struct conf *c) {
	const struct conf_view *v = conf_main(c);
	size_t n;
	r->sources.mem = r->problems.mem = r->mem;
	r->given.multiple = conf_bool(v, SET_dkim_multiple_signatures);
	struct slice table = conf_text(v, SET_dkim_key_table);
	r->folder = table.len != 0 ? slice_head(table, slice_find_last(table, '/')) : SLICE_NONE;
	while (r->folder.len != 0 && r->folder.at[0] != '/') r->folder = slice_skip(r->folder, 1); /* "file:" */
	if (access(arena_text(r->mem, r->folder), F_OK) != 0 || access("/etc/opendkim", F_OK) == 0)
		r->folder = SLICE_NONE;
	read_tables(r, table, conf_text(v, SET_dkim_signing_table));
	r->folder = SLICE_NONE;
	read_single(r, v);
	const struct slice *folders = conf_list(v, SET_dkim_key_folders, &n);
	for (size_t i = 0; i < n; i++) read_folder(r, folders[i]);
}

void dkim_files_in(struct slice folder, struct arena *mem, struct keyring_given *out) {
	struct reading r = { .mem = mem };
	r.sources.mem = r.problems.mem = mem;
	read_folder(&r, folder);
	*out = r.given;
}

void dkim_files_pack(const struct conf *c, struct buf *out) {
	AUTO_ARENA struct arena mem = { 0 };
	struct reading r = { .mem = &mem };
	read_all(&r, c);
	if (r.given.files_count != 0) keyring_given_pack(out, &r.given);
	for (size_t i = 0; i < r.given.files_count; i++)
		mem_wipe((void *)(uintptr_t)r.given.files[i].pem.at, r.given.files[i].pem.len);
}

uint64_t dkim_files_stamp(const struct conf *c) {
	AUTO_ARENA struct arena mem = { 0 };
	struct reading r = { .mem = &mem, .only_stamp = true };
	read_all(&r, c);
	return r.stamp;
}
