/* SPDX-License-Identifier: Apache-2.0 */
/* XCLIENT and XFORWARD (XCLIENT_README, XFORWARD_README): a filter or proxy before us tells whom it speaks for. Who may
 * do so, and what the values are good for, is the owner's matter; what is about the session itself is kept here. */
#include "smtp/command.h"
#include "smtp/dsn.h"
#include "smtp/server_private.h"

enum { ATTRIBUTES_MOST = 16, VALUE_MOST = 255 };

static const struct slice client_names[] = { S("NAME"), S("ADDR"), S("PORT"), S("PROTO"), S("HELO"), S("REVERSE_NAME"),
	                                     S("LOGIN"), S("DESTADDR"), S("DESTPORT") };
static const struct slice forward_names[] = { S("NAME"), S("ADDR"), S("PORT"), S("PROTO"), S("HELO"), S("IDENT"),
	                                      S("SOURCE") };

/* xtext (RFC 3461 §4) into mem; false: it is none. */
static bool decode(struct slice in, struct arena *mem, struct slice *out) {
	char *at = arena_get(mem, in.len + 1);
	size_t n = 0;
	for (size_t i = 0; i < in.len; i++) {
		if (in.at[i] != '+') {
			at[n++] = in.at[i];
			continue;
		}
		int high = i + 2 < in.len ? ascii_hex(in.at[i + 1]) : -1,
		    low = i + 2 < in.len ? ascii_hex(in.at[i + 2]) : -1;
		if (high < 0 || low < 0) return false;
		at[n++] = (char)(high << 4 | low);
		i += 2;
	}
	*out = slice_from(at, n);
	return true;
}

static bool is_name(const struct slice *names, size_t count, struct slice name) {
	for (size_t i = 0; i < count; i++)
		if (slice_same(names[i], name)) return true;
	return false;
}

/* "NAME=xtext": code 0, or what is wrong with it. */
static struct smtp_reply read_one(struct smtp_server *s, struct slice word, const char *verb, const struct slice *names,
                                  size_t count, struct smtp_attribute *out) {
	size_t equals = slice_find(word, '=');
	struct slice name = slice_head(word, equals), value = slice_skip(word, equals + 1);
	if (equals == word.len || name.len == 0) return smtp_reply(501, "5.5.4", S("Error: attribute=value expected"));
	if (value.len > VALUE_MOST) return smtp_reply(501, "5.5.4", S("Error: attribute value too long"));
	struct slice plain;
	bool unknown = slice_same(value, S("[UNAVAILABLE]")), later = slice_same(value, S("[TEMPUNAVAIL]"));
	if (!is_name(names, count, name)) {
		return smtp_reply_fmt(&s->mem, 501, "5.5.4", "Bad %s attribute name: %.*s", verb, SLICE_ARG(name));
	}
	if (!decode(value, &s->mem, &plain)) {
		return smtp_reply_fmt(&s->mem, 501, "5.5.4", "Bad %s attribute value syntax: %.*s", verb,
				      SLICE_ARG(value));
	}
	*out = (struct smtp_attribute){ name, unknown || later ? SLICE_NONE : plain, later };
	return (struct smtp_reply){ 0 };
}

static struct smtp_reply read_all(struct smtp_server *s, struct slice args, const char *verb, const struct slice *names,
                                  size_t names_count, struct smtp_attribute *out, size_t *count) {
	struct smtp_reply r = { 0 };
	for (*count = 0; *count < ATTRIBUTES_MOST && r.code == 0; (*count)++) {
		struct slice word = command_word(&args);
		if (word.len == 0) break;
		r = read_one(s, word, verb, names, names_count, &out[*count]);
	}
	if (r.code == 0 && *count == 0)
		r = smtp_reply_fmt(&s->mem, 501, "5.5.4", "Syntax: %s attribute=value...", verb);
	return r;
}

static struct smtp_reply denied(void) {
	return smtp_reply(550, "5.7.0", S("Error: insufficient authorization"));
}

/* What is the session's own: greeting, protocol, log-in. */
static bool take(struct smtp_server *s, const struct smtp_attribute *a) {
	if (slice_same(a->name, S("HELO"))) server_set_helo(s, a->value);
	if (slice_same(a->name, S("LOGIN"))) server_set_login(s, a->value, S("XCLIENT"));
	if (!slice_same(a->name, S("PROTO"))) return true;
	if (slice_same(a->value, S("SMTP"))) s->facts.proto = "SMTP";
	else if (slice_same(a->value, S("ESMTP"))) s->facts.proto = "ESMTP";
	else return false;
	return true;
}

struct smtp_reply server_xclient(struct smtp_server *s, struct slice args) {
	struct smtp_attribute attributes[ATTRIBUTES_MOST];
	size_t count;
	if (s->in_tx) return smtp_reply(503, "5.5.1", S("Error: MAIL transaction in progress"));
	if (slice_trim(args).len == 0) return smtp_reply(501, "5.5.4", S("Syntax: XCLIENT attribute=value..."));
	if (s->ops->xclient == NULL || (s->params->offer & OFFER_XCLIENT) == 0 || !s->ops->may_forward(s->owner, false))
		return denied();
	struct smtp_reply r = read_all(s, args, "XCLIENT", client_names, LEN(client_names), attributes, &count);
	for (size_t i = 0; i < count && r.code == 0; i++)
		if (!take(s, &attributes[i]))
			r = smtp_reply_fmt(&s->mem, 501, "5.5.4", "Bad PROTO syntax: %.*s",
					   SLICE_ARG(attributes[i].value));
	if (r.code == 0) r = s->ops->xclient(s->owner, attributes, count, &s->mem);
	if (r.code != 0) return r;
	server_tx_end(s);
	s->where = "CONNECT";
	return server_greet(s);
}

struct smtp_reply server_xforward(struct smtp_server *s, struct slice args) {
	struct smtp_attribute attributes[ATTRIBUTES_MOST];
	size_t count;
	if (s->in_tx) return smtp_reply(503, "5.5.1", S("Error: MAIL transaction in progress"));
	if (slice_trim(args).len == 0) return smtp_reply(501, "5.5.4", S("Syntax: XFORWARD attribute=value..."));
	if (s->ops->xforward == NULL || (s->params->offer & OFFER_XFORWARD) == 0 ||
	    !s->ops->may_forward(s->owner, true))
		return denied();
	struct smtp_reply r = read_all(s, args, "XFORWARD", forward_names, LEN(forward_names), attributes, &count);
	if (r.code == 0) r = s->ops->xforward(s->owner, attributes, count, &s->mem);
	return r.code != 0 ? r : smtp_reply(250, "2.0.0", S("Ok"));
}
