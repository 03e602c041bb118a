/* SPDX-License-Identifier: Apache-2.0 */
/* Other programs' files become settings of ours before anything is evaluated, so that postconf shows them, `hato check`
 * explains them, and no other room knows that they exist. */
#include "conf/adopt.h"
#include "base/fail.h"
#include "net/addr.h"

static bool set(struct conf *c, const char *name, struct slice text, struct place where) {
	const struct param *p = param_find(c, slice_of(name));
	if (p == NULL || p->setting == NULL || p->setting->state != ACTED) return false;
	struct raw *raw = &c->main_raws[p->id];
	if (raw->text.at != NULL) {
		bool here = slice_eq(raw->where.file, where.file); /* twice in one file: nobody needs to be told */
		if (!here)
			problem_add(&c->problems, PROBLEM_INFO, where, "%s is set in %.*s, which counts", name,
				    SLICE_ARG(raw->where.file.len != 0 ? raw->where.file : S("main.cf")));
		return true;
	}
	AUTO_BUF struct buf escaped = BUF(2 * text.len + 1);
	for (size_t i = 0; i < text.len; i++) {
		if (text.at[i] == '$') buf_byte(&escaped, '$');
		buf_byte(&escaped, text.at[i]);
	}
	*raw = (struct raw){ arena_slice(&c->mem, buf_slice(&escaped)), where };
	return true;
}

static struct slice text_of(struct conf *c, enum setting_id id) {
	struct slice text;
	return evaluate(&c->main, c->params[id], &text) < 0 ? SLICE_NONE : text;
}

/* "unix:/path" or "inet:port" for hosts that are this one, "inet:port@host" else: one text for each socket, however it
 * is written by Postfix (inet:host:port) or libmilter (inet:port@host). */
static struct slice plain_socket(struct slice socket, struct slice folder, struct arena *mem) {
	struct slice where = socket, type = slice_cut(&where, ':'), host, port;
	if (slice_same(type, S("local")) || slice_same(type, S("unix")) || slice_starts(socket, S("/"))) {
		if (slice_starts(socket, S("/"))) where = socket;
		bool whole = slice_starts(where, S("/"));
		return whole ? arena_fmt(mem, "unix:%.*s", SLICE_ARG(where))
			     : arena_fmt(mem, "unix:%.*s/%.*s", SLICE_ARG(folder), SLICE_ARG(where));
	}
	size_t at = slice_find_last(where, '@'), colon = slice_find_last(where, ':');
	if (at < where.len) {
		port = slice_head(where, at);
		host = slice_skip(where, at + 1);
	} else {
		port = colon < where.len ? slice_skip(where, colon + 1) : where;
		host = colon < where.len ? slice_head(where, colon) : SLICE_NONE;
	}
	static const char *const here[] = { "",    "localhost", "127.0.0.1", "[127.0.0.1]",
					    "::1", "[::1]",     "0.0.0.0",   "[::]" };
	for (size_t i = 0; i < LEN(here); i++)
		if (slice_same(host, slice_of(here[i]))) return arena_fmt(mem, "inet:%.*s", SLICE_ARG(port));
	return arena_fmt(mem, "inet:%.*s@%.*s", SLICE_ARG(port), SLICE_ARG(host));
}

static bool list_names(struct conf *c, struct slice list, struct slice wanted) {
	struct slice folder = text_of(c, SET_queue_directory);
	for (struct slice word; (word = slice_word(&list, " \t\r\n,{}")).len != 0;)
		if (slice_find(word, ':') < word.len && slice_eq(plain_socket(word, folder, &c->mem), wanted))
			return true;
	return false;
}

static bool is_milters(struct slice name) {
	return slice_eq(name, S("smtpd_milters")) || slice_eq(name, S("non_smtpd_milters"));
}

static bool names_socket(struct conf *c, struct slice socket) {
	struct slice wanted = plain_socket(socket, text_of(c, SET_queue_directory), &c->mem);
	bool found = list_names(c, text_of(c, SET_smtpd_milters), wanted) ||
		     list_names(c, text_of(c, SET_non_smtpd_milters), wanted);
	for (size_t i = 0; i < c->services.count && !found; i++)
		for (size_t k = 0; k < c->services.at[i].overrides_count && !found; k++)
			found = is_milters(c->services.at[i].overrides[k].name) &&
				list_names(c, c->services.at[i].overrides[k].value, wanted);
	return found;
}

static bool any_milters(struct conf *c) {
	bool found = slice_trim(c->main_raws[SET_smtpd_milters].text).len != 0 ||
		     slice_trim(c->main_raws[SET_non_smtpd_milters].text).len != 0;
	for (size_t i = 0; i < c->services.count && !found; i++)
		for (size_t k = 0; k < c->services.at[i].overrides_count && !found; k++)
			found = is_milters(c->services.at[i].overrides[k].name);
	return found;
}

static void replace_socket(struct conf *c, struct slice socket) {
	if (c->replaced_count < LEN(c->replaced))
		c->replaced[c->replaced_count++] = plain_socket(socket, text_of(c, SET_queue_directory), &c->mem);
}

/* ---- a file ---- */

void adopt_warn(struct adoption *a, const char *text) {
	problem_add(&a->c->problems, PROBLEM_WARNING, a->line->where, "%.*s: %s", SLICE_ARG(a->line->key), text);
}

void adopt_put(struct adoption *a, const char *setting, struct slice text) {
	if (!set(a->c, setting, text, a->line->where)) adopt_warn(a, "this version of hato does not do it");
}

bool adopt_truth(struct adoption *a, bool *out) {
	if (opendkim_bool(a->line->value, out)) return true;
	adopt_warn(a, "neither true nor false: left out");
	return false;
}

void adopt_text(struct adoption *a) {
	adopt_put(a, a->setting, a->line->value);
}

void adopt_bool(struct adoption *a) {
	bool yes;
	if (adopt_truth(a, &yes)) adopt_put(a, a->setting, yes ? S("yes") : S("no"));
}

void adopt_silently(struct adoption *a UNUSED) {}

void adopt_warn_always(struct adoption *a) {
	adopt_warn(a, a->setting);
}

void adopt_warn_if_true(struct adoption *a) {
	bool yes;
	if (adopt_truth(a, &yes) && yes) adopt_warn(a, a->setting);
}

/* In our form: "192.0.2.0/24", IPv6 in brackets. False: no address. */
bool adopt_network(struct buf *out, struct slice word) {
	struct addr a, whole;
	char room[ADDR_TEXT_ROOM];
	struct slice mask = word, address = slice_cut(&mask, '/');
	if (address.len == 0 || slice_find(address, '%') < address.len || !addr_parse(address, &a) ||
	    addr_port(&a) != 0)
		return false;
	bool v6 = addr_family(&a) == AF_INET6;
	uint64_t bits = v6 ? 128 : 32;
	if (mask.at != NULL && !slice_number(mask, bits, &bits)) return false;
	struct addr_key key = addr_key(&a, (unsigned)bits);
	if (!addr_from_bytes(v6 ? slice_from(key.bytes, 16) : slice_from(key.bytes + 12, 4), 0, &whole)) return false;
	if (addr_family(&whole) != addr_family(&a)) v6 = false;
	buf_addf(out, v6 ? "[%s]/%u " : "%s/%u ", addr_text(&whole, room), (unsigned)bits);
	return true;
}

static void take_line(struct adoption *a, const struct adopted_program *p, const struct opendkim_line *l) {
	a->line = l;
	for (size_t i = 0; i < p->keys_count; i++) {
		if (!slice_same(l->key, slice_of(p->keys[i].key))) continue;
		a->setting = p->keys[i].setting;
		if (opendkim_find(&a->file, p->keys[i].key) == l)
			p->keys[i].take(a); /* an earlier line does not count */
		return;
	}
	if (p->other != NULL && p->other(a)) return;
	problem_add(&a->c->problems, PROBLEM_WARNING, l->where, "%.*s: no such setting of %s: left out",
		    SLICE_ARG(l->key), p->name);
}

/* The file's lines; false: it is not to be used. */
static bool read_lines(struct adoption *a, const struct adopted_program *p, struct slice path) {
	struct conf *c = a->c;
	bool told = path.len != 0;
	struct problems later = { .mem = &c->mem }, *problems = told ? &c->problems : &later;
	if (!told && (p->usual == NULL || !any_milters(c))) return false;
	int found = (p->read != NULL ? p->read : opendkim_file_read)(&c->files, told ? path : slice_of(p->usual),
								     problems, &a->file);
	struct place where = c->main_raws[p->id].where;
	if (found < 0 && told) problem_add(&c->problems, PROBLEM_ERROR, where, "%s: %s", p->setting, fail_text());
	if (found == SOURCE_ABSENT && told)
		problem_add(&c->problems, PROBLEM_ERROR, where, "%s: %.*s: no such file", p->setting, SLICE_ARG(path));
	if (found != SOURCE_FOUND) return false;
	const struct opendkim_line *socket = opendkim_find(&a->file, "Socket");
	if (!told && (socket == NULL || !names_socket(c, socket->value))) return false;
	if (!told)
		problem_add(&c->problems, PROBLEM_INFO, socket->where,
			    "hato does itself what %s does, as this file says (%s = none: not)", p->name, p->setting);
	for (size_t i = 0; i < later.count; i++)
		problem_add(&c->problems, later.at[i].level, (struct place){ later.at[i].file, later.at[i].line },
			    "%.*s", SLICE_ARG(later.at[i].text));
	if (socket != NULL) replace_socket(c, socket->value);
	return true;
}

void adopt_file(struct conf *c, const struct adopted_program *p) {
	struct adoption a = { .c = c };
	struct slice path;
	if (evaluate(&c->main, c->params[p->id], &path) < 0 || slice_same(path, S("none"))) return;
	if (!read_lines(&a, p, path)) return;
	for (size_t i = 0; i < a.file.count; i++) take_line(&a, p, &a.file.lines[i]);
	p->defaults(&a, path.len != 0 ? path : slice_of(p->usual));
}

bool conf_replaces_milter(const struct conf *c, struct slice endpoint) {
	AUTO_ARENA struct arena mem = {0};
	struct slice plain = plain_socket(endpoint, conf_text(conf_main(c), SET_queue_directory), &mem);
	for (size_t i = 0; i < c->replaced_count; i++)
		if (slice_eq(c->replaced[i], plain)) return true;
	return false;
}
