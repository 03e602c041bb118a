/* SPDX-License-Identifier: Apache-2.0 */
/* ENVELOPE and BODYSTRUCTURE. Where RFC 3501 leaves a mail unanswered that is not as RFC 5322 wants it, we say what
 * Dovecot says, because clients have learnt to live with that. */
#include "mime/address.h"
#include "mime/scan.h"

static bool fits_quotes(struct slice s) {
	for (size_t i = 0; i < s.len; i++)
		if ((unsigned char)s.at[i] >= 0x80 || (ascii_control(s.at[i]) && s.at[i] != '\t')) return false;
	return true;
}

/* A literal may hold anything but NUL. */
static void add_literal(struct buf *out, struct slice s) {
	size_t nuls = 0;
	for (size_t i = 0; i < s.len; i++) nuls += s.at[i] == '\0';
	buf_addf(out, "{%zu}\r\n", s.len - nuls);
	while (s.at != NULL) buf_add(out, slice_cut(&s, '\0'));
}

static void add_string(struct buf *out, struct slice s) {
	if (!fits_quotes(s)) {
		add_literal(out, s);
		return;
	}
	buf_byte(out, '"');
	while (s.len != 0) {
		size_t plain = 0;
		while (plain < s.len && s.at[plain] != '"' && s.at[plain] != '\\') plain++;
		buf_add(out, slice_head(s, plain));
		s = slice_skip(s, plain);
		if (s.len == 0) break;
		buf_byte(out, '\\');
		buf_byte(out, s.at[0]);
		s = slice_skip(s, 1);
	}
	buf_byte(out, '"');
}

static void add_nstring(struct buf *out, struct slice s) {
	if (s.len == 0) buf_add(out, S("NIL"));
	else add_string(out, s);
}

/* Absent is NIL, present and empty is "". */
static void add_field(struct buf *out, struct slice s, bool blank) {
	if (blank) buf_add(out, S("\"\""));
	else add_nstring(out, s);
}

static void add_address(struct buf *out, const struct address *a) {
	static const struct slice nil = { NULL, 0 };
	struct slice local = a->local.len != 0 ? a->local : S("MISSING_MAILBOX");
	struct slice domain = a->domain.len != 0 ? a->domain : S("MISSING_DOMAIN");
	const struct slice *columns[4] = { &a->name, &a->route, &local, &domain };
	if (a->kind != ADDRESS_MAILBOX) columns[0] = columns[1] = columns[3] = &nil;
	if (a->kind == ADDRESS_GROUP) columns[2] = &a->name;
	if (a->kind == ADDRESS_GROUP_END) columns[2] = &nil;
	buf_byte(out, '(');
	for (size_t i = 0; i < LEN(columns); i++) {
		if (i != 0) buf_byte(out, ' ');
		add_nstring(out, *columns[i]);
	}
	buf_byte(out, ')');
}

/* False: nobody is named. */
static bool add_addresses(struct buf *out, struct slice value) {
	AUTO_ARENA struct arena mem = { 0 };
	struct address_list list = address_list_parse(value, &mem);
	if (list.count == 0) return false;
	buf_byte(out, '(');
	for (size_t i = 0; i < list.count; i++) add_address(out, &list.at[i]);
	buf_byte(out, ')');
	return true;
}

/* From stands in for Sender and Reply-To; mostly all three are the same, and written once. */
static void add_authors(struct buf *out, const struct envelope *e) {
	const struct slice others[] = { e->sender, e->reply_to };
	size_t start = out->len, len;
	if (!add_addresses(out, e->from)) buf_add(out, S("NIL"));
	len = out->len - start;
	for (size_t i = 0; i < LEN(others); i++) {
		buf_byte(out, ' ');
		if (!slice_eq(others[i], e->from) && add_addresses(out, others[i])) continue;
		if (buf_room(out, len) != NULL) buf_add(out, slice_from(out->at + start, len));
	}
}

static void add_envelope(struct buf *out, const struct envelope *e) {
	const struct slice readers[] = { e->to, e->cc, e->bcc };
	buf_byte(out, '(');
	add_field(out, e->date, e->blank & 1);
	buf_byte(out, ' ');
	add_field(out, e->subject, e->blank & 2);
	buf_byte(out, ' ');
	add_authors(out, e);
	for (size_t i = 0; i < LEN(readers); i++) {
		buf_byte(out, ' ');
		if (!add_addresses(out, readers[i])) buf_add(out, S("NIL"));
	}
	buf_byte(out, ' ');
	add_field(out, e->in_reply_to, e->blank & 4);
	buf_byte(out, ' ');
	add_field(out, e->message_id, e->blank & 8);
	buf_byte(out, ')');
}

void summary_imap_envelope(struct buf *out, const struct summary *s) {
	add_envelope(out, &s->envelopes[0]);
}

/* Text without a charset is us-ascii (RFC 2046 §4.1.2), and clients are told so. */
static void add_params(struct buf *out, const struct param *params, size_t count, bool text) {
	bool say_charset = text && param_raw(params, count, S("charset")).len == 0;
	if (count == 0 && !say_charset) {
		buf_add(out, S("NIL"));
		return;
	}
	buf_byte(out, '(');
	for (size_t i = 0; i < count; i++) {
		if (i != 0) buf_byte(out, ' ');
		add_string(out, params[i].name);
		buf_byte(out, ' ');
		add_string(out, params[i].value);
	}
	if (say_charset) buf_add(out, count != 0 ? S(" \"charset\" \"us-ascii\"") : S("\"charset\" \"us-ascii\""));
	buf_byte(out, ')');
}

static void add_languages(struct buf *out, struct slice value) {
	size_t count = 0;
	for (struct slice word; (word = slice_word(&value, ", \t")).len != 0; count++) {
		buf_byte(out, count == 0 ? '(' : ' ');
		add_string(out, word);
	}
	buf_add(out, count == 0 ? S("NIL") : S(")"));
}

/* body-ext-mpart and body-ext-1part share their tail: disposition, language, location. */
static void add_extension(struct buf *out, const struct part *p) {
	buf_byte(out, ' ');
	if (p->disposition.len == 0) {
		buf_add(out, S("NIL"));
	} else {
		buf_byte(out, '(');
		add_string(out, p->disposition);
		buf_byte(out, ' ');
		add_params(out, p->disposition_params, p->disposition_params_count, false);
		buf_byte(out, ')');
	}
	buf_byte(out, ' ');
	add_languages(out, p->language);
	buf_byte(out, ' ');
	add_nstring(out, p->location);
}

struct form {
	const struct summary *s;
	bool extended, rev2;
};

static void add_body(struct buf *out, const struct form *f, const struct part *p);

static void add_multipart(struct buf *out, const struct form *f, const struct part *p) {
	for (uint32_t i = p->child; i != 0; i = f->s->parts[i].next) add_body(out, f, &f->s->parts[i]);
	buf_byte(out, ' ');
	add_string(out, p->subtype);
	if (!f->extended) return;
	buf_byte(out, ' ');
	add_params(out, p->params, p->params_count, false);
	add_extension(out, p);
}

static void add_single(struct buf *out, const struct form *f, const struct part *p) {
	bool text = part_is_text(p), message = part_is_message(p) && (f->rev2 || !part_is_global(p));
	add_string(out, p->type);
	buf_byte(out, ' ');
	add_string(out, p->subtype);
	buf_byte(out, ' ');
	add_params(out, p->params, p->params_count, text);
	buf_byte(out, ' ');
	add_nstring(out, p->id);
	buf_byte(out, ' ');
	add_nstring(out, p->description);
	buf_byte(out, ' ');
	add_string(out, p->encoding.len != 0 ? p->encoding : S("7bit"));
	buf_addf(out, " %llu", (unsigned long long)(p->body_end - p->body_start));
	if (message) {
		const struct part *inside = &f->s->parts[p->child];
		buf_byte(out, ' ');
		add_envelope(out, &f->s->envelopes[inside->envelope - 1]);
		buf_byte(out, ' ');
		add_body(out, f, inside);
	}
	if (text || message) buf_addf(out, " %llu", (unsigned long long)p->lines);
	if (!f->extended) return;
	buf_byte(out, ' ');
	add_nstring(out, p->md5);
	add_extension(out, p);
}

/* The depth of the tree is limited by the scanner and checked when a summary is unpacked. */
static void add_body(struct buf *out, const struct form *f, const struct part *p) {
	buf_byte(out, '(');
	if (part_is_multipart(p)) add_multipart(out, f, p);
	else add_single(out, f, p);
	buf_byte(out, ')');
}

void summary_imap_bodystructure(struct buf *out, const struct summary *s, bool extended, bool rev2) {
	add_body(out, &(struct form){ s, extended, rev2 }, &s->parts[0]);
}
