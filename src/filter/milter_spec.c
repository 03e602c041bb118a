/* SPDX-License-Identifier: Apache-2.0 */
/* What stands in smtpd_milters: MILTER_README, "Plumbing" and "Different settings for different Milter applications".
 */
#include "base/clock.h"
#include "base/fail.h"
#include "filter/milter.h"

#include <netdb.h>

enum { MILTERS_MAX = 50 };

int milter_protocol_parse(struct slice text, unsigned *version, bool *no_header_reply) {
	struct slice rest = text, word;
	unsigned v = 0;
	bool quiet = false;
	while ((word = slice_word(&rest, " \t,")).len != 0) {
		if (slice_same(word, S("no_header_reply"))) quiet = true;
		else if (word.len == 1 && slice_find(S("2346"), word.at[0]) < 4) v = (unsigned)(word.at[0] - '0');
		else return fail("milter_protocol: \"%.*s\" is no version (use 2, 3, 4 or 6)", SLICE_ARG(word));
	}
	if (v == 0) return fail("milter_protocol: no version is given (use 6)");
	*version = v;
	*no_header_reply = quiet;
	return 0;
}

bool milter_action_parse(struct slice text, enum milter_default *out) {
	static const struct slice names[] = { [MILTER_DEFAULT_ACCEPT] = S("accept"),
					      [MILTER_DEFAULT_REJECT] = S("reject"),
					      [MILTER_DEFAULT_TEMPFAIL] = S("tempfail"),
					      [MILTER_DEFAULT_QUARANTINE] = S("quarantine"),
					      [MILTER_DEFAULT_SHUTDOWN] = S("shutdown") };
	for (size_t i = 0; i < LEN(names); i++)
		if (slice_same(text, names[i])) {
			*out = (enum milter_default)i;
			return true;
		}
	return false;
}

/* "10s", "5m", "300": main.cf's times, seconds without a letter. */
static bool parse_time(struct slice text, int64_t *out) {
	static const struct { char unit; int64_t ms; } units[] = { { 's', 1000 }, { 'm', 60000 }, { 'h', 3600000 },
								  { 'd', 86400000 }, { 'w', 604800000 } };
	uint64_t n;
	int64_t each = 1000;
	if (text.len == 0) return false;
	char last = ascii_lower(text.at[text.len - 1]);
	for (size_t i = 0; i < LEN(units); i++)
		if (units[i].unit == last) each = units[i].ms;
	if (!ascii_digit(last)) {
		if (slice_find(S("smhdw"), last) == 5) return false;
		text.len--;
	}
	if (!slice_number(text, 1000000, &n) || n == 0) return false;
	*out = (int64_t)n * each;
	return true;
}

static int parse_inet(struct slice where, struct milter_spec *s, struct arena *mem) {
	struct slice host, port;
	size_t at = slice_find_last(where, '@');
	uint64_t number;
	if (at < where.len) { /* Sendmail's inet:port@host */
		port = slice_head(where, at);
		host = slice_skip(where, at + 1);
		if (slice_starts(host, S("[")) && slice_ends(host, S("]")))
			host = slice_from(host.at + 1, host.len - 2);
	} else if (!addr_split_host_port(where, &host, &port)) return fail("milter %s: no host and port", s->name);
	if (!slice_number(port, 65535, &number)) {
		struct servent entry, *found = NULL;
		char room[1024];
		if (port.len == 0 ||
		    getservbyname_r(arena_text(mem, port), "tcp", &entry, room, sizeof room, &found) != 0 ||
		    found == NULL)
			return fail("milter %s: no port \"%.*s\" (write inet:host:port)", s->name, SLICE_ARG(port));
		number = ntohs((uint16_t)found->s_port);
	}
	if (number == 0 || host.len == 0) return fail("milter %s: no host and port (write inet:host:port)", s->name);
	s->host = arena_slice(mem, host);
	s->port = (uint16_t)number;
	return 0;
}

static int parse_endpoint(struct slice text, const char *queue_directory, struct milter_spec *s, struct arena *mem) {
	struct slice where = text, type = slice_cut(&where, ':');
	s->name = arena_text(mem, text);
	s->path = NULL;
	if (slice_same(type, S("unix")) || slice_same(type, S("local"))) {
		if (where.len == 0) return fail("milter %s: no path", s->name);
		s->path = where.at[0] == '/' ? arena_text(mem, where)
					     : arena_fmt(mem, "%s/%.*s", queue_directory, SLICE_ARG(where)).at;
		return 0;
	}
	if (slice_same(type, S("inet6"))) s->family = DNS_IPV6;
	else if (!slice_same(type, S("inet")))
		return fail("milter %s: no kind of socket (write inet:host:port or unix:path)", s->name);
	return parse_inet(where, s, mem);
}

/* name=value of a { … } entry. */
static int parse_option(struct slice text, struct milter_spec *s) {
	struct slice value = text, name = slice_trim(slice_cut(&value, '='));
	value = slice_trim(value);
	bool ok;
	if (slice_eq(name, S("connect_timeout"))) ok = parse_time(value, &s->connect_ms);
	else if (slice_eq(name, S("command_timeout"))) ok = parse_time(value, &s->command_ms);
	else if (slice_eq(name, S("content_timeout"))) ok = parse_time(value, &s->content_ms);
	else if (slice_eq(name, S("default_action"))) ok = milter_action_parse(value, &s->action);
	else if (slice_eq(name, S("protocol"))) return milter_protocol_parse(value, &s->version, &s->no_header_reply);
	else
		return fail("milter %s: no such option as \"%.*s\" (connect_timeout, command_timeout, content_timeout, "
			    "default_action, protocol)",
			    s->name, SLICE_ARG(name));
	return ok ? 0 : fail("milter %s: bad value in \"%.*s\"", s->name, SLICE_ARG(text));
}

/* The next item: words end at blanks and commas, { … } is one item (its inside), nested ones stay as they are. */
static int next_item(struct slice *rest, struct slice *item, bool *braces) {
	while (rest->len != 0 && (ascii_space(rest->at[0]) || rest->at[0] == ',')) *rest = slice_skip(*rest, 1);
	*item = SLICE_NONE;
	*braces = rest->len != 0 && rest->at[0] == '{';
	size_t n = 0, depth = 0;
	if (!*braces) {
		while (n < rest->len && !ascii_space(rest->at[n]) && rest->at[n] != ',') n++;
		*item = slice_head(*rest, n);
		*rest = slice_skip(*rest, n);
		return 0;
	}
	do {
		if (rest->at[n] == '{') depth++;
		if (rest->at[n] == '}') depth--;
		n++;
	} while (n < rest->len && depth != 0);
	if (depth != 0) return fail("a { has no }");
	*item = slice_trim(slice_from(rest->at + 1, n - 2));
	*rest = slice_skip(*rest, n);
	return 0;
}

static int parse_entry(struct slice text, const char *queue_directory, struct milter_spec *s, struct arena *mem) {
	struct slice item;
	bool braces;
	if (next_item(&text, &item, &braces) < 0) return -1;
	if (item.len == 0 || braces) return fail("an empty { } names no milter");
	if (parse_endpoint(item, queue_directory, s, mem) < 0) return -1;
	for (;;) {
		if (next_item(&text, &item, &braces) < 0) return -1;
		if (item.len == 0) return 0;
		if (parse_option(item, s) < 0) return -1;
	}
}

int milter_set_parse(struct slice text, const struct milter_spec *defaults, const char *queue_directory,
		     struct arena *mem, struct milter_set *out) {
	struct milter_set set = { .specs = arena_array(mem, MILTERS_MAX, sizeof *set.specs) };
	for (;;) {
		struct slice item;
		bool braces;
		if (next_item(&text, &item, &braces) < 0) return -1;
		if (item.len == 0 && !braces) break;
		if (set.count == MILTERS_MAX) return fail("more than %d milters", MILTERS_MAX);
		struct milter_spec *s = &set.specs[set.count++];
		*s = *defaults;
		if (!braces && parse_endpoint(item, queue_directory, s, mem) < 0) return -1;
		if (braces && parse_entry(item, queue_directory, s, mem) < 0) return -1;
	}
	*out = set;
	return 0;
}
