/* SPDX-License-Identifier: Apache-2.0 */
/* A faulty line is reported and left out, so that one slip does not close every port while the rest is looked at; since
 * the report is an error, hato does not start with it all the same. */
#include "conf/service.h"
#include "base/fail.h"
#include "conf/setting.h"

#define BLANKS " \t\r\n"

static const char *const type_words[] = { "inet", "unix", "fifo", "pass", "unix-dgram" };

const char *service_type_word(enum service_type type) { return type_words[type]; }

static const struct command {
	const char *word;
	enum service_role role;
} commands[] = {
	{ "smtpd", SERVICE_SMTPD },        { "postscreen", SERVICE_SMTPD },  { "imapd", SERVICE_IMAPD },
	{ "pop3d", SERVICE_POP3D },        { "sieved", SERVICE_LISTENER },   { "httpd", SERVICE_LISTENER },
	{ "lmtpd", SERVICE_SMTPD },        { "qmqpd", SERVICE_LISTENER },    { "smtp", SERVICE_CLIENT },
	{ "lmtp", SERVICE_CLIENT },        { "local", SERVICE_DELIVERY },    { "virtual", SERVICE_DELIVERY },
	{ "error", SERVICE_DELIVERY },     { "discard", SERVICE_DELIVERY },  { "pipe", SERVICE_PROGRAM },
	{ "spawn", SERVICE_PROGRAM },      { "pickup", SERVICE_INTERNAL },   { "cleanup", SERVICE_INTERNAL },
	{ "qmgr", SERVICE_INTERNAL },      { "oqmgr", SERVICE_INTERNAL },    { "nqmgr", SERVICE_INTERNAL },
	{ "tlsmgr", SERVICE_INTERNAL },    { "trivial-rewrite", SERVICE_INTERNAL }, { "bounce", SERVICE_INTERNAL },
	{ "verify", SERVICE_INTERNAL },    { "flush", SERVICE_INTERNAL },    { "proxymap", SERVICE_INTERNAL },
	{ "showq", SERVICE_INTERNAL },     { "anvil", SERVICE_INTERNAL },    { "scache", SERVICE_INTERNAL },
	{ "dnsblog", SERVICE_INTERNAL },   { "tlsproxy", SERVICE_INTERNAL }, { "postlogd", SERVICE_INTERNAL },
};

static const struct port {
	const char *word;
	uint16_t port;
} ports[] = {
	{ "smtp", 25 },   { "submission", 587 }, { "submissions", 465 }, { "smtps", 465 }, { "ssmtp", 465 },
	{ "lmtp", 24 },   { "imap", 143 },       { "imap2", 143 },       { "imaps", 993 }, { "pop3", 110 },
	{ "pop3s", 995 }, { "sieve", 4190 },     { "http", 80 },         { "https", 443 },
};

struct reader {
	struct sources *files;
	struct problems *p;
	struct place where;
	struct slice rest;
	struct conf_service s;
};

static bool bad_field(struct reader *r, const char *field, struct slice value, const char *expected) {
	problem_add_form(r->p, PROBLEM_ERROR, r->where, "field \"%s\": bad value: \"%.*s\" (expected %s)", field,
	            SLICE_ARG(value), expected);
	return false;
}

/* A port by the name that /etc/services gives it. */
static bool port_of_file(struct reader *r, struct slice name, uint16_t *out) {
	struct slice text = SLICE_NONE;
	if (source_read(r->files, S("/etc/services"), &text) != SOURCE_FOUND) return false;
	while (text.at != NULL) {
		struct slice line = slice_cut(&text, '\n');
		line = slice_head(line, slice_find(line, '#'));
		struct slice word = slice_word(&line, BLANKS), number = slice_word(&line, BLANKS);
		uint64_t port;
		bool named = slice_eq(word, name);
		while (!named && (word = slice_word(&line, BLANKS)).len > 0) named = slice_eq(word, name);
		struct slice digits = slice_cut(&number, '/');
		if (!named || !slice_eq(number, S("tcp")) || !slice_number(digits, UINT16_MAX, &port)) continue;
		*out = (uint16_t)port;
		return true;
	}
	return false;
}

static bool read_port(struct reader *r, struct slice word, uint16_t *out) {
	uint64_t number;
	if (slice_number(word, UINT16_MAX, &number)) return *out = (uint16_t)number, number != 0;
	for (size_t i = 0; i < LEN(ports); i++)
		if (slice_eq(word, slice_of(ports[i].word))) return *out = ports[i].port, true;
	return word.len > 0 && port_of_file(r, word, out);
}

/* port, host:port, [address]:port; a bare colon in front means every interface. */
static void read_endpoint(struct reader *r) {
	struct slice name = r->s.name, host = SLICE_NONE, port = name;
	size_t colon = slice_find_last(name, ':');
	if (colon < name.len) {
		host = slice_head(name, colon);
		port = slice_skip(name, colon + 1);
		if (host.len > 1 && host.at[0] == '[' && host.at[host.len - 1] == ']')
			host = slice_from(host.at + 1, host.len - 2);
		if (slice_find(host, '[') < host.len || slice_find(host, ']') < host.len) port = SLICE_NONE;
	}
	r->s.host = host;
	if (!read_port(r, port, &r->s.port))
		problem_add(r->p, PROBLEM_ERROR, r->where,
			    "bad hostname or network address: %.*s (expected port, host:port or [address]:port)",
			    SLICE_ARG(name));
}

static bool read_yes_no(struct reader *r, const char *field, char *out) {
	struct slice word = slice_word(&r->rest, BLANKS);
	if (word.len != 1 || strchr("yn-", word.at[0]) == NULL) return bad_field(r, field, word, "y, n or -");
	*out = word.at[0];
	return true;
}

static bool read_type(struct reader *r) {
	struct slice word = slice_word(&r->rest, BLANKS);
	for (size_t i = 0; i < LEN(type_words); i++) {
		if (!slice_eq(word, slice_of(type_words[i]))) continue;
		r->s.type = (enum service_type)i;
		return true;
	}
	return bad_field(r, "type", word, "inet, unix, fifo, pass or unix-dgram");
}

static bool read_wakeup(struct reader *r) {
	struct slice word = slice_word(&r->rest, BLANKS), digits = word;
	uint64_t seconds;
	r->s.wakeup = word;
	if (digits.len > 1 && digits.at[digits.len - 1] == '?') digits.len--;
	if (slice_eq(word, S("-")) || slice_number(digits, INT_MAX, &seconds)) return true;
	return bad_field(r, "wakeup", word, "seconds, with or without ?, or -");
}

static bool read_maxproc(struct reader *r) {
	struct slice word = slice_word(&r->rest, BLANKS);
	uint64_t number;
	r->s.maxproc = -1;
	if (slice_eq(word, S("-"))) return true;
	if (!slice_number(word, INT_MAX, &number)) return bad_field(r, "maxproc", word, "a number or -");
	r->s.maxproc = (int)number;
	return true;
}

static bool read_command(struct reader *r) {
	struct slice word = r->s.command = slice_word(&r->rest, BLANKS);
	r->s.role = SERVICE_UNKNOWN;
	size_t best = 3;
	const char *near = NULL;
	for (size_t i = 0; i < LEN(commands) && best > 0; i++) {
		size_t distance = word_distance(word, slice_of(commands[i].word), best - 1);
		if (distance < best) near = commands[i].word, best = distance;
		if (distance == 0) r->s.role = commands[i].role;
	}
	if (r->s.role == SERVICE_UNKNOWN)
		problem_add(r->p, PROBLEM_WARNING, r->where,
			    "unknown command \"%.*s\"%s%s%s: the service %.*s/%s is left out", SLICE_ARG(word),
			    near != NULL ? " (did you mean \"" : "", near != NULL ? near : "",
			    near != NULL ? "\"?)" : "", SLICE_ARG(r->s.name), type_words[r->s.type]);
	return true;
}

/* The next argument; { text } is one, without its braces. */
static struct slice next_argument(struct reader *r) {
	while (r->rest.len > 0 && ascii_space(r->rest.at[0])) r->rest = slice_skip(r->rest, 1);
	if (r->rest.len == 0 || r->rest.at[0] != '{') return slice_word(&r->rest, BLANKS);
	size_t level = 0;
	for (size_t i = 0; i < r->rest.len; i++) {
		if (r->rest.at[i] == '{') level++;
		if (r->rest.at[i] != '}' || --level > 0) continue;
		struct slice inside = slice_trim(slice_from(r->rest.at + 1, i - 1));
		r->rest = slice_skip(r->rest, i + 1);
		return inside.len > 0 ? inside : slice_from(r->rest.at, 0);
	}
	problem_add_form(r->p, PROBLEM_ERROR, r->where, "missing '}' in \"%.*s\"", SLICE_ARG(slice_head(r->rest, 80)));
	r->rest = SLICE_NONE;
	return SLICE_NONE;
}

static void read_override(struct reader *r, struct slice text, struct conf_override *out, size_t *count) {
	size_t equals = slice_find(text, '=');
	struct slice name = slice_trim(slice_head(text, equals));
	if (name.len == 0)
		problem_add_form(r->p, PROBLEM_ERROR, r->where, "missing attribute name: \"%.*s\"",
				 SLICE_ARG(slice_head(text, 80)));
	else if (equals == text.len)
		problem_add_form(r->p, PROBLEM_ERROR, r->where, "missing '=' after attribute name: \"%.*s\"",
		            SLICE_ARG(slice_head(text, 80)));
	else out[(*count)++] = (struct conf_override){ name, slice_trim(slice_skip(text, equals + 1)) };
}

static void read_arguments(struct reader *r) {
	size_t most = 1; /* arguments end at a blank or a brace */
	for (size_t i = 0; i < r->rest.len; i++)
		most += ascii_space(r->rest.at[i]) || strchr("{}", r->rest.at[i]) != NULL;
	struct conf_override *overrides = arena_array(r->p->mem, most, sizeof(*overrides));
	struct slice *args = arena_array(r->p->mem, most, sizeof(*args));
	bool options = true; /* behind the first word that is none, -o belongs to the command */
	for (struct slice word; (word = next_argument(r)).at != NULL;) {
		if (word.len == 0 && r->rest.len == 0) break;
		must(r->s.args_count + r->s.overrides_count < most);
		options = options && word.len > 1 && word.at[0] == '-';
		if (options && slice_eq(word, S("-o")))
			read_override(r, next_argument(r), overrides, &r->s.overrides_count);
		else if (options && slice_starts(word, S("-o")))
			read_override(r, slice_skip(word, 2), overrides, &r->s.overrides_count);
		else args[r->s.args_count++] = word;
	}
	r->s.overrides = overrides;
	r->s.args = args;
}

static bool read_service(struct reader *r) {
	struct slice probe = r->s.text;
	size_t fields = 0;
	while (fields < 8 && slice_word(&probe, BLANKS).len > 0) fields++;
	if (fields < 8) {
		problem_add_form(r->p, PROBLEM_ERROR, r->where,
				 "bad field count: %zu instead of service, type, private, unprivileged, chroot, "
				 "wakeup, maxproc, command",
				 fields);
		return false;
	}
	r->rest = r->s.text;
	r->s.name = slice_word(&r->rest, BLANKS);
	if (!read_type(r) || !read_yes_no(r, "private", &r->s.private_) ||
	    !read_yes_no(r, "unprivileged", &r->s.unprivileged) || !read_yes_no(r, "chroot", &r->s.chroot) ||
	    !read_wakeup(r) || !read_maxproc(r) || !read_command(r))
		return false;
	/* a name that means no port is an error, but its line is there for postconf, as in Postfix */
	if (r->s.type == SERVICE_INET) read_endpoint(r);
	read_arguments(r);
	return true;
}

/* The later line of the same service takes the place of the earlier. */
static bool add_service(struct services *out, const struct conf_service *s, struct problems *p) {
	for (size_t i = 0; i < out->count; i++) {
		if (out->at[i].type != s->type || !slice_eq(out->at[i].name, s->name)) continue;
		problem_add_form(p, PROBLEM_WARNING, s->where,
				 "duplicate master.cf entry for service \"%.*s\" (%s) -- using the last entry",
				 SLICE_ARG(s->name), type_words[s->type]);
		out->at[i] = *s;
		out->at[i].index = i;
		return true;
	}
	if (out->count == SERVICES_LIMIT) return false;
	out->at[out->count] = *s;
	out->at[out->count].index = out->count;
	out->count++;
	return true;
}

void services_read(struct services *out, struct slice text, struct slice path, struct sources *files,
                   struct problems *p) {
	*out = (struct services){ arena_array(p->mem, SERVICES_LIMIT, sizeof(out->at[0])), 0 };
	struct logical_lines lines = { .rest = text };
	struct reader r = { .files = files, .p = p, .where = { .file = path } };
	while (logical_line_next(&lines, p->mem, &r.s.text, &r.where.line)) {
		r.s = (struct conf_service){ .text = r.s.text, .where = r.where };
		if (ascii_blank(r.s.text.at[0])) {
			problem_add_form(p, PROBLEM_WARNING, r.where,
					 "logical line must not start with whitespace: \"%.*s\"",
					 SLICE_ARG(slice_head(r.s.text, 80)));
			continue;
		}
		if (r.s.text.len > LOGICAL_LINE_MOST) {
			problem_add_form(p, PROBLEM_ERROR, r.where,
					 "logical line of %zu bytes: \"%.*s…\" (at most %zu are taken)", r.s.text.len,
					 SLICE_ARG(slice_head(r.s.text, 40)), LOGICAL_LINE_MOST);
			continue;
		}
		if (!read_service(&r) || add_service(out, &r.s, p)) continue;
		problem_add(p, PROBLEM_ERROR, r.where, "more than %d services", SERVICES_LIMIT);
		return;
	}
}
