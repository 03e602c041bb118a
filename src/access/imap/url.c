/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of a path are found by their ";WORD=", first those at its end; decoding comes last, so that an encoded
 * semicolon is none. */
#include "access/imap/url.h"
#include "base/encode.h"

static int digit_of(char c) {
	if (ascii_digit(c)) return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool decode(struct arena *mem, struct slice s, struct slice *out) {
	char *to = arena_get(mem, s.len + 1);
	size_t n = 0;
	for (size_t i = 0; i < s.len; i++) {
		char c = s.at[i];
		if (c == '%') {
			if (s.len - i < 3 || digit_of(s.at[i + 1]) < 0 || digit_of(s.at[i + 2]) < 0) return false;
			c = (char)(digit_of(s.at[i + 1]) * 16 + digit_of(s.at[i + 2]));
			i += 2;
		}
		if (ascii_control(c)) return false;
		to[n++] = c;
	}
	*out = slice_from(to, n);
	return utf8_valid(*out);
}

/* Cuts ";WORD=value" off the end of *path. False: it is not there, or its value has another part behind it. */
static bool cut_word(struct slice *path, const char *word, struct slice *value) {
	size_t len = strlen(word);
	for (size_t at = path->len; at-- > 0;) {
		struct slice rest = slice_skip(*path, at);
		if (!slice_starts_same(rest, slice_from(word, len))) continue;
		*value = slice_skip(rest, len);
		*path = slice_head(*path, at);
		if (path->len != 0 && path->at[path->len - 1] == '/') path->len--;
		if (value->len != 0 && value->at[value->len - 1] == '/') value->len--;
		return true;
	}
	return false;
}

static bool number(struct slice s, uint64_t least, uint64_t *out) {
	return slice_number(s, UINT32_MAX, out) && *out >= least;
}

static bool parse_partial(struct slice s, struct imap_url *u) {
	struct slice rest = s;
	u->partial = true;
	if (!number(slice_cut(&rest, '.'), 0, &u->from)) return false;
	return rest.at == NULL || number(rest, 1, &u->count);
}

/* What stands before the path; iserver of RFC 5092. */
static bool parse_server(struct arena *mem, struct slice *text, struct imap_url *u) {
	if (!slice_starts_same(*text, S("imap://"))) return true;
	*text = slice_skip(*text, 7);
	size_t end = slice_find(*text, '/');
	struct slice server = slice_head(*text, end), user = SLICE_NONE;
	*text = slice_skip(*text, end);
	size_t at = slice_find_last(server, '@');
	if (at < server.len) {
		user = slice_head(server, at);
		server = slice_skip(server, at + 1);
		user = slice_head(user, slice_find(user, ';')); /* ;AUTH=… does not matter: the user has logged in */
	}
	size_t port = slice_find_last(server, ':');
	if (port < server.len && (server.at[0] != '[' || slice_find_last(server, ']') < port)) server.len = port;
	u->absolute = true;
	return server.len != 0 && text->len != 0 && decode(mem, server, &u->host) && decode(mem, user, &u->user);
}

bool imap_url_parse(struct arena *mem, struct slice text, struct imap_url *out) {
	struct imap_url u = { .absolute = false };
	struct slice value;
	uint64_t n = 0;
	if (!parse_server(mem, &text, &u)) return false;
	if (cut_word(&text, ";URLAUTH=", &value) || cut_word(&text, ";EXPIRE=", &value)) return false;
	if (cut_word(&text, ";PARTIAL=", &value) && !parse_partial(value, &u)) return false;
	if (cut_word(&text, ";SECTION=", &value) && (!decode(mem, value, &u.section) || u.section.len == 0))
		return false;
	if (!cut_word(&text, ";UID=", &value) || !number(value, 1, &n)) return false;
	u.uid = (uint32_t)n;
	if (cut_word(&text, ";UIDVALIDITY=", &value)) {
		if (!number(value, 1, &n)) return false;
		u.uidvalidity = (uint32_t)n;
	}
	if (text.len != 0 && text.at[0] == '/') text = slice_skip(text, 1);
	else if (text.len != 0) return false;
	if (!decode(mem, text, &u.mailbox) || (u.absolute && u.mailbox.len == 0)) return false;
	*out = u;
	return true;
}
