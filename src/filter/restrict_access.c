/* SPDX-License-Identifier: Apache-2.0 */
/* Access tables (access(5)): how they are looked up for a name, an address or a mail address, and what their results
 * do. */
#include "filter/restrict_private.h"
#include "base/fail.h"

/* What a result does. */

struct deed {
	struct walk *w;
	const char *table;
	struct slice key;   /* the entry, for warnings */
	struct slice text;  /* behind the word */
	struct slice name;  /* in <> of a reply */
	enum item item;
};
#define NAMED "<%.*s>: %s rejected: "
#define NAMED_ARG(d) SLICE_ARG((d)->name), item_titles[(d)->item]

static struct slice text_or(struct slice text, struct slice other) {
	return text.len != 0 ? text : other;
}

static enum result refuse(const struct deed *d, int code, const char *standard) {
	struct slice text = d->text;
	const char *status = fix_status(d->w, split_status(d->w, &text, standard), d->item);
	text = text_or(text, S("Access denied"));
	return reject(d->w, code, status, NAMED "%.*s", NAMED_ARG(d), SLICE_ARG(text));
}

static enum result do_dunno(const struct deed *d) {
	(void)d;
	return DUNNO;
}

static enum result do_ok(const struct deed *d) {
	return permit(d->w, S("OK"), item_titles[d->item], d->name, d->table);
}

static enum result do_reject(const struct deed *d) {
	return refuse(d, d->w->p->codes.map_reject, "5.7.1");
}

static enum result do_defer(const struct deed *d) {
	return refuse(d, d->w->p->codes.map_defer, "4.7.1");
}

static enum result do_defer_if_permit(const struct deed *d) {
	struct slice text = d->text;
	const char *status = fix_status(d->w, split_status(d->w, &text, "4.7.1"), d->item);
	text = text_or(text, S("Service unavailable"));
	return defer_if_permit(d->w, TEMPFAIL_DEFER_IF_PERMIT, d->w->p->codes.map_defer, status, NAMED "%.*s",
			       NAMED_ARG(d), SLICE_ARG(text));
}

static enum result do_defer_if_reject(const struct deed *d) {
	struct slice text = d->text;
	const char *status = fix_status(d->w, split_status(d->w, &text, "4.7.1"), d->item);
	text = text_or(text, S("Service unavailable"));
	return defer_if_reject(d->w, d->w->p->codes.map_defer, status, NAMED "%.*s", NAMED_ARG(d), SLICE_ARG(text));
}

static enum result do_hangup(const struct deed *d) {
	log_what(d->w, "hangup", d->text);
	*d->w->out = (struct restrict_reply){ 0 };
	return REJECT;
}

static enum result do_info(const struct deed *d) {
	log_what(d->w, "info", d->text);
	return DUNNO;
}

static enum result do_warn(const struct deed *d) {
	log_what(d->w, "warn", d->text);
	return DUNNO;
}

static void log_deed(const struct deed *d, const char *what, const char *format, ...) PRINTF_LIKE(3, 4);
static void log_deed(const struct deed *d, const char *what, const char *format, ...) {
	AUTO_BUF struct buf text = BUF(KIB(4));
	buf_addf(&text, "<%.*s>: %s ", SLICE_ARG(d->name), item_titles[d->item]);
	va_list args;
	va_start(args, format);
	buf_addv(&text, format, args);
	va_end(args);
	log_what(d->w, what, buf_slice(&text));
}

static enum result useless(const struct deed *d, const char *why) {
	warn(d->w, "access table %s entry \"%.*s\" %s", d->table, SLICE_ARG(d->key), why);
	return DUNNO;
}

static enum result do_filter(const struct deed *d) {
	if (d->text.len == 0) return useless(d, "has FILTER entry without value");
	if (slice_find(d->text, ':') == d->text.len) return useless(d, "requires transport:destination");
	d->w->state->effects.filter = arena_slice(d->w->run->tx, d->text);
	log_deed(d, "filter", "triggers FILTER %.*s", SLICE_ARG(d->text));
	return DUNNO;
}

static enum result do_hold(const struct deed *d) {
	if (d->w->state->effects.hold) return DUNNO;
	struct slice text = text_or(d->text, S("triggers HOLD action"));
	log_deed(d, "hold", "%.*s", SLICE_ARG(text));
	d->w->state->effects.hold = true;
	return DUNNO;
}

static enum result do_discard(const struct deed *d) {
	struct slice text = text_or(d->text, S("triggers DISCARD action"));
	log_deed(d, "discard", "%.*s", SLICE_ARG(text));
	d->w->state->effects.discard = true;
	return permit(d->w, S("DISCARD"), item_titles[d->item], d->name, d->table);
}

static enum result do_redirect(const struct deed *d) {
	if (slice_find(d->text, '@') == d->text.len) return useless(d, "requires user@domain target");
	d->w->state->effects.redirect = arena_slice(d->w->run->tx, d->text);
	log_deed(d, "redirect", "triggers REDIRECT %.*s", SLICE_ARG(d->text));
	return DUNNO;
}

/* One more text at the end of a list that lives with the transaction. */
static void append(const struct deed *d, struct slice **at, size_t *count) {
	struct slice *more = arena_array(d->w->run->tx, *count + 1, sizeof *more);
	if (*count != 0) memcpy(more, *at, *count * sizeof *more);
	more[(*count)++] = arena_slice(d->w->run->tx, d->text);
	*at = more;
}

static enum result do_bcc(const struct deed *d) {
	if (slice_find(d->text, '@') == d->text.len) return useless(d, "requires user@domain target");
	struct restrict_effects *e = &d->w->state->effects;
	if (e->bcc_count < EFFECTS_MAX) append(d, &e->bcc, &e->bcc_count);
	log_deed(d, "bcc", "triggers BCC %.*s", SLICE_ARG(d->text));
	return DUNNO;
}

static bool is_header(struct slice text) {
	size_t i = 0;
	while (i < text.len && text.at[i] > ' ' && text.at[i] < 127 && text.at[i] != ':') i++;
	size_t colon = i;
	while (colon < text.len && ascii_blank(text.at[colon])) colon++;
	return i != 0 && colon < text.len && text.at[colon] == ':';
}

static enum result do_prepend(const struct deed *d) {
	if (d->w->stage == ITEM_END) {
		warn(d->w, "access table %s: action PREPEND must be used before END-OF-MESSAGE", d->table);
		return DUNNO;
	}
	if (!is_header(d->text)) return useless(d, "requires header: text");
	struct restrict_effects *e = &d->w->state->effects;
	if (e->prepend_count < EFFECTS_MAX) append(d, &e->prepend, &e->prepend_count);
	return DUNNO;
}

static const struct {
	struct slice word;
	enum result (*run)(const struct deed *d);
} deeds[] = {
	{ S("DUNNO"), do_dunno },
	{ S("OK"), do_ok },
	{ S("RELAY"), do_ok },
	{ S("REJECT"), do_reject },
	{ S("DEFER"), do_defer },
	{ S("DEFER_IF_PERMIT"), do_defer_if_permit },
	{ S("DEFER_IF_REJECT"), do_defer_if_reject },
	{ S("HANGUP"), do_hangup },
	{ S("INFO"), do_info },
	{ S("WARN"), do_warn },
	{ S("FILTER"), do_filter },
	{ S("HOLD"), do_hold },
	{ S("DELAY"), do_dunno },
	{ S("DISCARD"), do_discard },
	{ S("REDIRECT"), do_redirect },
	{ S("BCC"), do_bcc },
	{ S("PREPEND"), do_prepend },
};

static bool all_digits(struct slice s) {
	for (size_t i = 0; i < s.len; i++)
		if (!ascii_digit(s.at[i])) return false;
	return s.len != 0;
}

static enum result as_list(struct walk *w, const char *table, struct slice value, struct slice key, struct slice name,
                           enum item item) {
	struct check_list list = { 0 };
	list_parse_result(w->rules, value, w->run->mem, &list);
	if (list.count == 0) {
		warn(w, "access table %s entry %.*s has empty value", table, SLICE_ARG(key));
		return PERMIT;
	}
	struct slice outer = w->reply_name;
	enum item outer_item = w->item;
	w->reply_name = name;
	w->item = item;
	enum result r = walk_list(w, &list);
	w->reply_name = outer;
	w->item = outer_item;
	return r;
}

enum result access_result(struct walk *w, const char *table, struct slice value, struct slice key, struct slice name,
                          enum item item) {
	size_t end = 0;
	while (end < value.len && !ascii_space(value.at[end])) end++;
	struct slice word = slice_head(value, end);
	struct deed d = { w, table, key, slice_trim(slice_skip(value, end)), name, item };
	for (size_t i = 0; i < LEN(deeds); i++)
		if (slice_same(word, deeds[i].word)) return deeds[i].run(&d);
	if (all_digits(value)) return do_ok(&d);
	bool coded = word.len == 3 && all_digits(word) && d.text.len != 0 && (word.at[0] == '4' || word.at[0] == '5');
	if (coded) {
		int code = (word.at[0] - '0') * 100 + (word.at[1] - '0') * 10 + word.at[2] - '0';
		return refuse(&d, code, word.at[0] == '4' ? "4.7.1" : "5.7.1");
	}
	return as_list(w, table, value, key, name, item);
}

/* How a table is asked. */

/* found: did the table say anything? */
static enum result use(struct walk *w, const struct check *c, int answer, const struct lookup_hit *hit,
		       struct slice key, struct slice name, enum item item, bool *found) {
	*found = answer != TABLE_MISSING;
	if (answer == TABLE_MISSING) return DUNNO;
	const char *table = table_name(c->one);
	if (answer == TABLE_FOUND) return access_result(w, table, slice_trim(hit->value), hit->key, name, item);
	warn(w, "%s lookup error for \"%.*s\": %s", table, SLICE_ARG(key), fail_text());
	return access_result(w, table, S("451 4.3.5 Server configuration error"), key, name, item);
}

enum result access_domain(struct walk *w, const struct check *c, struct slice domain, struct slice name, enum item item,
                          bool *found) {
	struct lookup_hit hit;
	struct addr a;
	bool numeric = addr_parse(domain, &a); /* no parts of an address */
	domain = arena_lower(w->run->mem, domain);
	int r = numeric ? lookup_key(&c->table, domain, w->run->mem, &hit)
	                : lookup_domain(&c->table, domain, !w->p->parents_by_name, w->run->mem, &hit);
	return use(w, c, r, &hit, domain, name, item, found);
}

enum result access_ip(struct walk *w, const struct check *c, struct slice ip, struct slice name, enum item item,
                      bool *found) {
	struct lookup_hit hit;
	int r = lookup_ip(&c->table, ip, w->run->mem, &hit);
	return use(w, c, r, &hit, ip, name, item, found);
}

static enum result access_mail(struct walk *w, const struct check *c, struct slice address, enum item item) {
	unsigned forms =
		LOOKUP_WHOLE | LOOKUP_DOMAIN | LOOKUP_USER_AT | (w->p->parents_by_name ? 0 : LOOKUP_DOT_PARENTS);
	struct lookup_hit hit;
	bool found;
	int r = lookup_address(&c->table, arena_lower(w->run->mem, whole_address(w, address)), forms, w->p->delimiters,
			       false, w->run->mem, &hit);
	return use(w, c, r, &hit, address, address, item, &found);
}

static enum result access_key(struct walk *w, const struct check *c, struct slice key, struct slice name,
			      enum item item) {
	struct lookup_hit hit;
	bool found;
	int r = lookup_key(&c->table, key, w->run->mem, &hit);
	return use(w, c, r, &hit, key, name, item, &found);
}

/* The host, its parents, then the address and its networks. */
static enum result access_client(struct walk *w, const struct check *c, struct slice name, struct slice shown,
                                 enum item item) {
	bool found;
	enum result r = access_domain(w, c, name, shown, item, &found);
	return found ? r : access_ip(w, c, w->f->client->ip, shown, item, &found);
}

static enum result access_certificate(struct walk *w, const struct check *c) {
	const struct restrict_tls *t = w->f->tls;
	if (t == NULL || !t->has_certificate) return DUNNO;
	const struct slice prints[] = { t->certificate, t->key };
	for (size_t i = 0; i < LEN(prints); i++) {
		struct lookup_hit hit;
		bool found;
		if (prints[i].len == 0) continue;
		int answer = lookup_key(&c->table, prints[i], w->run->mem, &hit);
		enum result r = use(w, c, answer, &hit, prints[i], t->subject, ITEM_CCERT, &found);
		if (found) return r;
	}
	return DUNNO;
}

enum result check_table(struct walk *w, const struct check *c) {
	enum item item = c->bare ? w->stage : c->word->item;
	const struct restrict_facts *f = w->f;
	bool found;
	switch (item) {
	case ITEM_CLIENT: return access_client(w, c, f->client->name, f->client->shown, item);
	case ITEM_REVERSE: return access_client(w, c, f->client->reverse, f->client->reverse, item);
	case ITEM_HELO: return f->helo.at != NULL ? access_domain(w, c, f->helo, f->helo, item, &found) : DUNNO;
	case ITEM_ETRN: return f->etrn.at != NULL ? access_domain(w, c, f->etrn, f->etrn, item, &found) : DUNNO;
	case ITEM_RECIPIENT: return f->recipient.len != 0 ? access_mail(w, c, f->recipient, item) : DUNNO;
	case ITEM_SENDER:
		if (f->sender.at == NULL) return DUNNO;
		return f->sender.len != 0 ? access_mail(w, c, f->sender, item)
					  : access_key(w, c, w->p->null_key, S(""), item);
	case ITEM_SASL:
		return w->p->auth_enabled && f->login.len != 0 ? access_key(w, c, f->login, f->login, item) : DUNNO;
	case ITEM_CCERT: return access_certificate(w, c);
	default: return server_error(w);
	}
}
