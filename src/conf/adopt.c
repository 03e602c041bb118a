/* SPDX-License-Identifier: Apache-2.0 */
/* Other programs' files become settings of ours before anything is evaluated, so that postconf shows them, `hato check`
 * explains them, and no other room knows that they exist. */
#include "conf/opendmarc.h"

bool adopt_setting(struct conf *c, const char *name, struct slice text, struct place where) {
	const struct param *p = param_find(c, slice_of(name));
	if (p == NULL || p->setting == NULL || p->setting->state != ACTED) return false;
	struct raw *raw = &c->main_raws[p->id];
	if (raw->text.at != NULL) {
		problem_add(&c->problems, PROBLEM_INFO, where, "%s is set in main.cf, which counts", name);
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

/* "unix:/path" or "inet:port" for hosts that are this one, "inet:port@host" else: one text for each socket, however it is
 * written by Postfix (inet:host:port) or libmilter (inet:port@host). */
static struct slice plain_socket(struct slice socket, struct slice folder, struct arena *mem) {
	struct slice where = socket, type = slice_cut(&where, ':'), host, port;
	if (slice_same(type, S("local")) || slice_same(type, S("unix")) || slice_starts(socket, S("/"))) {
		if (slice_starts(socket, S("/"))) where = socket;
		bool whole = slice_starts(where, S("/"));
		return whole ? arena_fmt(mem, "unix:%.*s", SLICE_ARG(where)) : arena_fmt(mem, "unix:%.*s/%.*s", SLICE_ARG(folder), SLICE_ARG(where));
	}
	size_t at = slice_find_last(where, '@'), colon = slice_find_last(where, ':');
	if (at < where.len) {
		port = slice_head(where, at);
		host = slice_skip(where, at + 1);
	} else {
		port = colon < where.len ? slice_skip(where, colon + 1) : where;
		host = colon < where.len ? slice_head(where, colon) : SLICE_NONE;
	}
	static const char *const here[] = { "", "localhost", "127.0.0.1", "[127.0.0.1]", "::1", "[::1]", "0.0.0.0", "[::]" };
	for (size_t i = 0; i < LEN(here); i++)
		if (slice_same(host, slice_of(here[i]))) return arena_fmt(mem, "inet:%.*s", SLICE_ARG(port));
	return arena_fmt(mem, "inet:%.*s@%.*s", SLICE_ARG(port), SLICE_ARG(host));
}

static bool list_names(struct conf *c, struct slice list, struct slice wanted) {
	struct slice folder = text_of(c, SET_queue_directory);
	for (struct slice word; (word = slice_word(&list, " \t\r\n,{}")).len != 0;)
		if (slice_find(word, ':') < word.len && slice_eq(plain_socket(word, folder, &c->mem), wanted)) return true;
	return false;
}

static bool is_milters(struct slice name) {
	return slice_eq(name, S("smtpd_milters")) || slice_eq(name, S("non_smtpd_milters"));
}

bool adopt_names_socket(struct conf *c, struct slice socket) {
	struct slice wanted = plain_socket(socket, text_of(c, SET_queue_directory), &c->mem);
	bool found = list_names(c, text_of(c, SET_smtpd_milters), wanted) || list_names(c, text_of(c, SET_non_smtpd_milters), wanted);
	for (size_t i = 0; i < c->services.count && !found; i++)
		for (size_t k = 0; k < c->services.at[i].overrides_count && !found; k++)
			found = is_milters(c->services.at[i].overrides[k].name) && list_names(c, c->services.at[i].overrides[k].value, wanted);
	return found;
}

bool adopt_any_milters(struct conf *c) {
	bool found = slice_trim(c->main_raws[SET_smtpd_milters].text).len != 0 || slice_trim(c->main_raws[SET_non_smtpd_milters].text).len != 0;
	for (size_t i = 0; i < c->services.count && !found; i++)
		for (size_t k = 0; k < c->services.at[i].overrides_count && !found; k++) found = is_milters(c->services.at[i].overrides[k].name);
	return found;
}

void adopt_socket(struct conf *c, struct slice socket) {
	if (c->replaced_count < LEN(c->replaced))
		c->replaced[c->replaced_count++] = plain_socket(socket, text_of(c, SET_queue_directory), &c->mem);
}

bool conf_replaces_milter(const struct conf *c, struct slice endpoint) {
	AUTO_ARENA struct arena mem = {0};
	struct slice plain = plain_socket(endpoint, conf_text(conf_main(c), SET_queue_directory), &mem);
	for (size_t i = 0; i < c->replaced_count; i++)
		if (slice_eq(c->replaced[i], plain)) return true;
	return false;
}
