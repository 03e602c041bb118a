/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of words become checks once, so that what is wrong with them is said when settings are loaded, and evaluation
 * only walks. A check that cannot be done is kept as broken: mail that gets to it is put off, as Postfix does. */
#include "filter/restrict_private.h"
#include "base/fail.h"
#include "base/log.h"

enum { WORDS_MAX = 10000, CLASSES_MAX = 1000, DEPTH_MOST = 20, STEPS_MOST = 100000 };

static bool separator(char c) {
	return c == ',' || ascii_space(c);
}

struct slice list_word(struct slice *rest) {
	size_t i = 0;
	while (i < rest->len && separator(rest->at[i])) i++;
	*rest = slice_skip(*rest, i);
	size_t depth = 0;
	for (i = 0; i < rest->len; i++) {
		char c = rest->at[i];
		if (depth == 0 && separator(c)) break;
		if (c == '{') depth++;
		if (c == '}' && depth > 0) depth--;
	}
	struct slice word = slice_head(*rest, i);
	*rest = slice_skip(*rest, i);
	return word;
}

struct parse {
	struct restrictions *r;
	const char *parameter;
	struct arena *mem;
	bool result;       /* of an access table: nothing is opened, nothing is reported at load time */
};

static void PRINTF_LIKE(3, 4) problem(const struct parse *p, bool fatal, const char *format, ...) {
	char text[600], whole[700];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	snprintf(whole, sizeof whole, "%s: %s", p->parameter, text);
	if (p->result) say(L_WARN, "restrict", "%s", whole);
	else if (p->r->p.problem != NULL) p->r->p.problem(p->r->p.ctx, fatal, whole);
}

static void open_table(const struct parse *p, struct check *c, struct slice name) {
	struct restrict_table *known = p->r->tables;
	while (known != NULL && !slice_eq(known->name, name)) known = known->next;
	if (known == NULL && p->result) {
		c->broken = true;
		problem(p, true, "access table has entry with lookup table: %.*s", SLICE_ARG(name));
		return;
	}
	if (known == NULL && p->r->p.tables != NULL) {
		known = arena_get(p->mem, sizeof *known);
		known->name = name;
		if (table_open(p->r->p.tables, name, 0, &known->table) != TABLE_FOUND) {
			c->broken = true;
			problem(p, true, "%.*s: %s", SLICE_ARG(name), fail_text());
			return;
		}
		known->next = p->r->tables;
		p->r->tables = known;
	}
	if (known == NULL) return;
	c->one = known->table;
	c->table = (struct lookup){ &c->one, 1 };
}

static void open_server(const struct parse *p, struct check *c, struct slice spec) {
	struct policy_servers *known = p->r->servers;
	while (known != NULL && !slice_eq(known->spec, spec)) known = known->next;
	if (known == NULL && p->result) {
		c->broken = true;
		problem(p, true, "check_policy_service: no client endpoint for server %.*s", SLICE_ARG(spec));
		return;
	}
	if (known == NULL) {
		struct policy_server *server;
		if (policy_open(spec, &p->r->p.policy, &server) < 0) {
			c->broken = true;
			problem(p, true, "check_policy_service %.*s: %s", SLICE_ARG(spec), fail_text());
			return;
		}
		known = arena_get(p->mem, sizeof *known);
		*known = (struct policy_servers){ spec, server, p->r->servers };
		p->r->servers = known;
	}
	c->server = known->server;
}

/* The word behind a check that wants one. */
static void take_argument(const struct parse *p, struct check *c, struct slice *rest) {
	static const char *const wanted[] = { [ARG_TABLE] = "a lookup table (type:name)",
					      [ARG_DOMAIN] = "a domain name",
					      [ARG_NUMBER] = "a number of seconds",
					      [ARG_SERVER] = "inet:host:port or unix:path" };
	enum argument kind = c->word->argument;
	if (kind == ARG_NONE) return;
	struct slice before = *rest, word = list_word(rest);
	bool colon = slice_find(word, ':') < word.len;
	uint64_t n = 0;
	bool good = word.len != 0 && ((kind != ARG_TABLE && kind != ARG_SERVER) || colon) &&
	            (kind != ARG_NUMBER || slice_number(word, 100000, &n));
	if (!good) {
		*rest = before;
		c->broken = true;
		problem(p, true, "restriction %.*s must be followed by %s, not by \"%.*s\"", SLICE_ARG(c->word->name),
		        wanted[kind], SLICE_ARG(word));
		return;
	}
	c->argument = word;
	c->number = (unsigned)n;
	if (kind == ARG_TABLE) open_table(p, c, word);
	if (kind == ARG_SERVER) open_server(p, c, word);
	if (kind == ARG_DOMAIN && !dnsbl_zone_parse(word, false, &c->zone)) {
		c->broken = true;
		problem(p, true, "%.*s %.*s: %s", SLICE_ARG(c->word->name), SLICE_ARG(word), fail_text());
	}
}

static const struct check_list *find_class(const struct restrictions *r, struct slice name) {
	for (size_t i = 0; i < r->class_count; i++)
		if (slice_eq(r->classes[i].name, name)) return &r->classes[i];
	return NULL;
}

static void parse_word(const struct parse *p, struct check *c, struct slice word, struct slice *rest) {
	c->text = word;
	if (slice_find(word, ':') < word.len) {
		c->word = word_find(S("check_client_access"));
		c->bare = true;
		open_table(p, c, word);
		return;
	}
	c->word = word_find(word);
	if (c->word != NULL) {
		if (c->word->modern != NULL)
			problem(p, false, "%.*s is the old name of %s", SLICE_ARG(word), c->word->modern);
		take_argument(p, c, rest);
		return;
	}
	c->list = find_class(p->r, word);
	if (c->list != NULL) return;
	c->broken = true;
	problem(p, true, "unknown smtpd restriction: \"%.*s\"", SLICE_ARG(word));
}

static void parse_all(const struct parse *p, struct slice text, struct check_list *out) {
	size_t count = 0;
	struct slice rest = text;
	while (count < WORDS_MAX && list_word(&rest).len != 0) count++;
	out->at = arena_array(p->mem, MAX_OF(count, (size_t)1), sizeof *out->at);
	rest = text;
	for (out->count = 0; out->count < count;) {
		struct slice word = list_word(&rest);
		if (word.len == 0) break;
		parse_word(p, &out->at[out->count++], word, &rest);
	}
	for (size_t i = 0; i + 1 < out->count; i++) {
		const struct word *w = out->at[i].word;
		bool last = w != NULL && (w->run == check_permit || w->run == check_reject || w->run == check_defer ||
					  (w->run == check_destination && w->how == DESTINATION_RELAY));
		bool warned = i > 0 && out->at[i - 1].word != NULL && out->at[i - 1].word->run == NULL;
		if (!last || warned) continue;
		problem(p, false, "restriction `%.*s' after `%.*s' is ignored", SLICE_ARG(out->at[i + 1].text),
			SLICE_ARG(w->name));
		break;
	}
}

void list_parse(struct restrictions *r, const char *parameter, struct slice text, struct check_list *out) {
	struct parse p = { .r = r, .parameter = parameter, .mem = r->mem };
	parse_all(&p, arena_slice(r->mem, text), out);
}

void list_parse_result(const struct restrictions *r, struct slice text, struct arena *mem, struct check_list *out) {
	struct restrictions view = *r; /* nothing is added to it: results open nothing */
	struct parse p = { .r = &view, .parameter = "access table", .mem = mem, .result = true };
	parse_all(&p, text, out);
}

static void parse_classes(struct restrictions *r) {
	struct slice rest = r->p.classes;
	size_t count = 0;
	while (count < CLASSES_MAX && list_word(&rest).len != 0) count++;
	r->classes = arena_array(r->mem, MAX_OF(count, (size_t)1), sizeof *r->classes);
	rest = r->p.classes;
	for (r->class_count = 0; r->class_count < count; r->class_count++)
		r->classes[r->class_count].name = list_word(&rest);
	for (size_t i = 0; i < count; i++) {
		struct check_list *class = &r->classes[i];
		const char *name = arena_text(r->mem, class->name);
		struct slice text = S("");
		struct parse p = { .r = r, .parameter = "smtpd_restriction_classes", .mem = r->mem };
		if (r->p.text == NULL || !r->p.text(r->p.ctx, class->name, &text)) {
			problem(&p, true, "restriction class `%s' needs a definition (%s = …)", name, name);
			text = S("");
		}
		list_parse(r, name, text, class);
	}
}

static void parse_maps_rbl(struct restrictions *r) {
	struct parse p = { .r = r, .parameter = "maps_rbl_domains", .mem = r->mem };
	struct slice rest = r->p.maps_rbl;
	size_t count = 0;
	while (count < CLASSES_MAX && list_word(&rest).len != 0) count++;
	r->maps_rbl = arena_array(r->mem, MAX_OF(count, (size_t)1), sizeof *r->maps_rbl);
	rest = r->p.maps_rbl;
	for (size_t i = 0; i < count; i++) {
		if (dnsbl_zone_parse(list_word(&rest), false, &r->maps_rbl[r->maps_rbl_count])) r->maps_rbl_count++;
		else problem(&p, false, "%s", fail_text());
	}
}

static const char *const parameters[RESTRICT_STAGES] = {
	[RESTRICT_CLIENT] = "smtpd_client_restrictions",
	[RESTRICT_HELO] = "smtpd_helo_restrictions",
	[RESTRICT_SENDER] = "smtpd_sender_restrictions",
	[RESTRICT_RELAY] = "smtpd_relay_restrictions",
	[RESTRICT_RECIPIENT] = "smtpd_recipient_restrictions",
	[RESTRICT_DATA] = "smtpd_data_restrictions",
	[RESTRICT_END_OF_DATA] = "smtpd_end_of_data_restrictions",
	[RESTRICT_ETRN] = "smtpd_etrn_restrictions",
};

const char *restrict_parameter(enum restrict_stage stage) {
	return parameters[stage];
}

struct restrictions *restrict_new(const struct restrict_params *p, struct arena *mem) {
	struct restrictions *r = arena_get(mem, sizeof *r);
	r->p = *p;
	r->mem = mem;
	parse_classes(r);
	for (enum restrict_stage i = 0; i < RESTRICT_STAGES; i++)
		list_parse(r, parameters[i], p->lists[i], &r->stages[i]);
	parse_maps_rbl(r);
	return r;
}

void restrict_free(struct restrictions **rp) {
	struct restrictions *r = TAKE(*rp);
	if (r == NULL) return;
	for (struct policy_servers *s = r->servers; s != NULL; s = s->next) policy_close(&s->server);
}

bool restrict_is_empty(const struct restrictions *r, enum restrict_stage stage) {
	return r->stages[stage].count == 0;
}

/* Does a list, or a class it names, hold a check that keeps strangers from relaying? As smtpd does: the first level
 * only counts, and classes when they are named. */
static bool guards(const struct check_list *list, unsigned depth, unsigned *steps) {
	for (size_t i = 0; i < list->count && *steps > 0; i++) {
		const struct check *c = &list->at[i];
		(*steps)--;
		if (c->list != NULL && depth < DEPTH_MOST && guards(c->list, depth + 1, steps)) return true;
		if (c->word == NULL || c->broken) continue;
		if (c->word->run == check_reject || c->word->run == check_defer ||
		    c->word->run == check_defer_if_permit)
			return true;
		if (c->word->run == check_destination && c->word->how != DESTINATION_PERMIT) return true;
	}
	return false;
}

bool restrict_guards_relay(const struct restrictions *r) {
	unsigned steps = STEPS_MOST;
	if (guards(&r->stages[RESTRICT_RELAY], 0, &steps) || guards(&r->stages[RESTRICT_RECIPIENT], 0, &steps))
		return true;
	(void)fail(
		"in parameter smtpd_relay_restrictions or smtpd_recipient_restrictions, specify at least one working "
		"instance of: reject_unauth_destination, defer_unauth_destination, reject, defer, defer_if_permit or "
		"check_relay_domains");
	return false;
}
