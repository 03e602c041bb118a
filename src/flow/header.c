/* SPDX-License-Identifier: Apache-2.0 */
/* Most headers leave as they came: they are copied in whole runs, and only address fields are looked at more closely.
 */
#include "flow/header.h"
#include "base/fail.h"
#include "mime/address.h"
#include "mime/date.h"
#include "mime/header.h"

/* Fields that matter here. */
enum known {
	KNOWN_NONE, KNOWN_FROM, KNOWN_DATE, KNOWN_MESSAGE_ID, KNOWN_RESENT_FROM, KNOWN_RESENT_DATE,
	KNOWN_RESENT_MESSAGE_ID, KNOWN_RESENT, KNOWN_VISIBLE, KNOWN_OTHER, KNOWN_RESENT_VISIBLE,
};
static const struct {
	struct slice name;
	enum known known;
	enum rewrite_class class;   /* 0: not rewritten */
} fields[] = {
	{ S("From"), KNOWN_FROM, REWRITE_HEADER_SENDER },
	{ S("To"), KNOWN_VISIBLE, REWRITE_HEADER_RECIPIENT },
	{ S("Cc"), KNOWN_VISIBLE, REWRITE_HEADER_RECIPIENT },
	{ S("Bcc"), KNOWN_OTHER, REWRITE_HEADER_RECIPIENT },
	{ S("Sender"), KNOWN_OTHER, REWRITE_HEADER_SENDER },
	{ S("Reply-To"), KNOWN_OTHER, REWRITE_HEADER_SENDER },
	{ S("Date"), KNOWN_DATE, 0 },
	{ S("Message-ID"), KNOWN_MESSAGE_ID, 0 },
	{ S("Errors-To"), KNOWN_OTHER, REWRITE_HEADER_SENDER },
	{ S("Return-Receipt-To"), KNOWN_OTHER, REWRITE_HEADER_SENDER },
	{ S("Disposition-Notification-To"), KNOWN_OTHER, REWRITE_HEADER_SENDER },
	{ S("Mail-Followup-To"), KNOWN_OTHER, REWRITE_HEADER_SENDER },
	{ S("Apparently-To"), KNOWN_OTHER, REWRITE_HEADER_RECIPIENT },
	{ S("Resent-From"), KNOWN_RESENT_FROM, REWRITE_HEADER_SENDER },
	{ S("Resent-Sender"), KNOWN_RESENT, REWRITE_HEADER_SENDER },
	{ S("Resent-Reply-To"), KNOWN_RESENT, REWRITE_HEADER_SENDER },
	{ S("Resent-To"), KNOWN_RESENT_VISIBLE, REWRITE_HEADER_RECIPIENT },
	{ S("Resent-Cc"), KNOWN_RESENT_VISIBLE, REWRITE_HEADER_RECIPIENT },
	{ S("Resent-Bcc"), KNOWN_RESENT, REWRITE_HEADER_RECIPIENT },
	{ S("Resent-Date"), KNOWN_RESENT_DATE, 0 },
	{ S("Resent-Message-ID"), KNOWN_RESENT_MESSAGE_ID, 0 },
};

static bool dropped(const struct header_params *p, struct slice name) {
	for (size_t i = 0; i < p->drop_count; i++)
		if (slice_same(p->drop[i], name)) return true;
	return false;
}

static void add_missing(const struct header_params *p, const struct header_facts *f, struct slice sender, uint32_t seen,
			struct buf *out) {
	const uint32_t any_resent = 1u << KNOWN_RESENT | 1u << KNOWN_RESENT_FROM | 1u << KNOWN_RESENT_DATE |
				    1u << KNOWN_RESENT_MESSAGE_ID | 1u << KNOWN_RESENT_VISIBLE;
	bool resent = (seen & any_resent) != 0;
	const char *prefix = resent ? "Resent-" : "";
	if ((seen & 1u << (resent ? KNOWN_RESENT_MESSAGE_ID : KNOWN_MESSAGE_ID)) == 0) {
		int64_t now = f->arrived_us / 1000000;
		int year, month, day, s = (int)(now % 86400);
		days_split(now / 86400, &year, &month, &day);
		buf_addf(out, "%sMessage-ID: <%04d%02d%02d%02d%02d%02d.%s@%s>\r\n", prefix, year, month, day, s / 3600,
			 s / 60 % 60, s % 60, f->queue_id, p->host);
	}
	if ((seen & 1u << (resent ? KNOWN_RESENT_DATE : KNOWN_DATE)) == 0) {
		buf_addf(out, "%sDate: ", prefix);
		date_add(out, date_local(f->arrived_us / 1000000));
		buf_add(out, S("\r\n"));
	}
	bool from = (seen & 1u << (resent ? KNOWN_RESENT_FROM : KNOWN_FROM)) != 0;
	if (!from && sender.len != 0) buf_addf(out, "%sFrom: %.*s\r\n", prefix, SLICE_ARG(sender));
	if (!from && sender.len == 0)
		buf_addf(out, "%sFrom: MAILER-DAEMON@%s (Mail Delivery System)\r\n", prefix, p->host);
	if ((seen & (1u << KNOWN_VISIBLE | 1u << KNOWN_RESENT_VISIBLE)) == 0 && p->undisclosed.len != 0) {
		buf_add(out, p->undisclosed);
		buf_add(out, S("\r\n"));
	}
}

/* From is the sender as the envelope names him: rewritten. */
static int make_complete(const struct header_params *p, const struct header_facts *f, uint32_t seen, struct buf *out) {
	AUTO_ARENA struct arena mem = { 0 };
	struct slice sender = f->sender;
	if (sender.len != 0 && p->local != NULL &&
	    rewrite_address(p->local, REWRITE_ENVELOPE_SENDER, sender, &mem, &sender) == REWRITE_LATER)
		return HEADER_LATER;
	add_missing(p, f, sender, seen, out);
	return HEADER_DONE;
}

static int rewrite_field(const struct rewrite_params *r, enum rewrite_class class, size_t token_limit,
			 const struct field *f, struct slice text, struct buf *out) {
	AUTO_ARENA struct arena mem = { 0 };
	struct slice value, whole = slice_from(text.at + f->start, f->end - f->start);
	int answer = header_rewrite_value(r, class, token_limit, f->value, &mem, &value);
	if (answer != HEADER_DONE) return answer;
	if (value.at == f->value.at) {
		buf_add(out, whole);
		return HEADER_DONE;
	}
	buf_add(out, slice_head(whole, (size_t)(f->value.at - whole.at)));
	buf_add(out, value);
	buf_add(out, slice_skip(whole, (size_t)(f->value.at + f->value.len - whole.at)));
	return HEADER_DONE;
}

int header_take(const struct header_params *p, const struct header_facts *facts, struct slice text, struct buf *out) {
	const struct rewrite_params *rewrite = facts->ours ? p->local : p->remote;
	struct fields walk = { .block = text };
	struct field f;
	uint32_t seen = 0;
	size_t copied = 0; /* of text; what is before f.start and not copied leaves in one run */
	while (fields_next(&walk, &f)) {
		enum rewrite_class class = 0;
		for (size_t i = 0; i < LEN(fields); i++)
			if (slice_same(f.name, fields[i].name)) {
				seen |= 1u << fields[i].known;
				class = fields[i].class;
				break;
			}
		bool drop = dropped(p, f.name);
		if (!drop && (class == 0 || rewrite == NULL)) continue;
		buf_add(out, slice_from(text.at + copied, f.start - copied));
		copied = f.end;
		if (drop) continue;
		int r = rewrite_field(rewrite, class, p->token_limit, &f, text, out);
		if (r != HEADER_DONE) return r;
	}
	buf_add(out, slice_skip(text, copied));
	bool complete = facts->complete || p->always_complete;
	if (complete && out->len != 0 && out->at[out->len - 1] != '\n') buf_add(out, S("\r\n"));
	return complete ? make_complete(p, facts, seen, out) : HEADER_DONE;
}

/* Addresses inside a value: only they are replaced, all else stays as the sender wrote it. */

struct span { size_t start, end; };

struct value_walk {
	struct slice text;
	size_t at;
	struct span bare;     /* of the entry under way: its words outside of comments; start == end: none */
	bool has_angle;
};

static size_t quoted_end(struct slice s, size_t at) {
	for (at++; at < s.len && s.at[at] != '"'; at++)
		if (s.at[at] == '\\') at++;
	return MIN_OF(at + 1, s.len);
}

static size_t comment_end(struct slice s, size_t at) {
	unsigned depth = 0;
	for (; at < s.len; at++) {
		if (s.at[at] == '\\') at++;
		else if (s.at[at] == '(') depth++;
		else if (s.at[at] == ')' && --depth == 0) return at + 1;
	}
	return s.len;
}

static size_t angle_end(struct slice s, size_t at) {
	while (at < s.len && s.at[at] != '>') at = s.at[at] == '"' ? quoted_end(s, at) : at + 1;
	return at;
}

static size_t literal_end(struct slice s, size_t at) {
	size_t n = slice_find(slice_skip(s, at), ']');
	return MIN_OF(at + n + 1, s.len);
}

static struct span trimmed(struct slice s, size_t start, size_t end) {
	while (start < end && ascii_space(s.at[start])) start++;
	while (end > start && ascii_space(s.at[end - 1])) end--;
	return (struct span){ start, end };
}

static void entry_done(struct value_walk *w) {
	w->bare = (struct span){ 0 };
	w->has_angle = false;
}

static void bare_word(struct value_walk *w, size_t end) {
	if (w->bare.start == w->bare.end) w->bare.start = w->at;
	w->bare.end = end;
	w->at = end;
}

/* The next address; false: none is left. */
static bool next_address(struct value_walk *w, struct span *out) {
	struct slice s = w->text;
	while (w->at <= s.len) {
		char c = w->at < s.len ? s.at[w->at] : ',';
		if (c == ',' || c == ';' || c == ':') {
			struct span found = w->bare;
			bool is_address = c != ':' && !w->has_angle && found.start != found.end;
			w->at++;
			entry_done(w);
			if (!is_address) continue;
			*out = found;
			return true;
		}
		if (ascii_space(c)) w->at++;
		else if (c == '(') w->at = comment_end(s, w->at);
		else if (c == '"') bare_word(w, quoted_end(s, w->at));
		else if (c == '[') bare_word(w, literal_end(s, w->at));
		else if (c == '<') {
			size_t end = angle_end(s, w->at + 1);
			*out = trimmed(s, w->at + 1, end);
			w->at = MIN_OF(end + 1, s.len);
			w->has_angle = true;
			if (out->start != out->end) return true;
		} else bare_word(w, w->at + 1);
	}
	return false;
}

/* "a @ b . c" (RFC 5322 §4.4) is a@b.c; itself where there is nothing to do. */
static struct slice without_obsolete_blanks(struct slice s, struct arena *mem) {
	AUTO_BUF struct buf out = BUF(s.len);
	for (size_t i = 0, next; i < s.len; i = next) {
		next = s.at[i] == '"' ? quoted_end(s, i) : i + 1;
		while (ascii_space(s.at[i]) && next < s.len && ascii_space(s.at[next])) next++;
		char before = out.len != 0 ? out.at[out.len - 1] : ' ', after = next < s.len ? s.at[next] : ' ';
		bool joins = before == '@' || before == '.' || after == '@' || after == '.';
		if (!ascii_space(s.at[i]) || !joins) buf_add(&out, slice_from(s.at + i, next - i));
	}
	return out.len == s.len ? s : arena_slice(mem, buf_slice(&out));
}

/* Without blanks and comments inside, so that it is one address and no phrase. */
static bool is_one_word(struct slice s) {
	for (size_t i = 0; i < s.len; i++) {
		if (s.at[i] == '"') {
			size_t end = quoted_end(s, i);
			if (end < i + 2 || s.at[end - 1] != '"') return false;
			i = end - 1;
		} else if (ascii_space(s.at[i]) || s.at[i] == '(' || s.at[i] == ')' || s.at[i] == '<' || s.at[i] == '>')
			return false;
	}
	return s.len != 0;
}

/* "a.b"@c is what tables call a.b@c. */
static struct slice without_needless_quotes(struct slice s, struct arena *mem) {
	struct mailbox m;
	if (s.at[0] != '"' || address_parse(s, ADDRESS_UTF8 | ADDRESS_LONG_LOCAL, mem, &m) != ADDRESS_OK) return s;
	return mailbox_text(mem, m);
}

int header_rewrite_value(const struct rewrite_params *p, enum rewrite_class class, size_t token_limit,
			 struct slice value, struct arena *mem, struct slice *out) {
	struct value_walk w = { .text = value };
	AUTO_BUF struct buf made = BUF(value.len * 4 + KIB(64));
	AUTO_ARENA struct arena words = { 0 };
	struct span span;
	size_t copied = 0;
	for (size_t n = 0; n < token_limit && next_address(&w, &span); n++) {
		struct slice address = slice_from(value.at + span.start, span.end - span.start), now;
		address = without_obsolete_blanks(address, &words);
		if (!is_one_word(address)) continue;
		address = without_needless_quotes(address, &words);
		if (rewrite_address(p, class, address, mem, &now) != REWRITE_DONE) return HEADER_LATER;
		if (slice_eq(address, now)) continue;
		buf_add(&made, slice_from(value.at + copied, span.start - copied));
		buf_add(&made, now);
		copied = span.end;
	}
	buf_add(&made, slice_skip(value, copied));
	*out = copied == 0 || made.full ? value : arena_slice(mem, buf_slice(&made));
	return HEADER_DONE;
}
