/* SPDX-License-Identifier: Apache-2.0 */
/* Where in a message a line stands: RFC 2045 to 2049 as far as boundaries, headers of parts and attached messages go. A
 * message that breaks these rules is text like any other; nothing is refused here. */
#include "filter/checks.h"
#include "mime/header.h"

enum { BOUNDARY_MAX = 2048, DEPTH_MAX = 100, FIELD_ROOM = 1 << 20, QUOTED_MAX = 72 };

enum place { IN_HEADER, IN_PART_HEADER, IN_NESTED_HEADER, IN_BODY };

struct checks {
	const struct checks_params *params;
	const struct checks_ops *ops;
	void *ctx;
	struct arena mem;          /* of one look-up */
	enum place place;
	struct buf line;           /* the line under way, with its line end when that has come */
	struct buf field;          /* the field under way, whole lines; empty: none */
	bool long_field;           /* more than is looked at: its rest goes by unseen */
	bool continued;            /* what comes is the rest of a long line */
	bool pass;                 /* PASS: nothing more is looked up */
	uint64_t seen;             /* bytes of the body of this part */
	/* the header under way */
	bool multipart, message, nested, encoded; /* message: a composite type that is none of multipart */
	bool eight;                /* declared: 8bit or binary */
	struct buf quoted;         /* convert: the line of quoted-printable under way */
	unsigned told;             /* faults, each once */
	struct slice boundary;     /* of the multipart that this header begins; in names */
	/* boundaries that are open, the innermost last */
	struct slice open[DEPTH_MAX];
	unsigned depth;
	struct arena names;
};

struct checks *checks_new(const struct checks_params *params, const struct checks_ops *ops, void *ctx) {
	struct checks *c = mem_get(sizeof *c);
	*c = (struct checks){ .params = params, .ops = ops, .ctx = ctx };
	c->line = BUF(FIELD_ROOM);
	c->field = BUF(FIELD_ROOM);
	c->quoted = BUF(QUOTED_MAX + 8);
	return c;
}

void checks_free(struct checks **cp) {
	struct checks *c = *cp;
	if (c == NULL) return;
	*cp = NULL;
	buf_done(&c->line);
	buf_done(&c->field);
	buf_done(&c->quoted);
	arena_done(&c->mem);
	arena_done(&c->names);
	free(c);
}

/* Look-ups. */

static void put_line(struct checks *c, struct slice text) {
	c->ops->put(c->ctx, text);
	c->ops->put(c->ctx, S("\r\n"));
}

/* Text of a table, in which \n may stand for a line end of a folded field. */
static void put_text(struct checks *c, struct slice text) {
	while (text.at != NULL) put_line(c, slice_cut(&text, '\n'));
}

static struct slice without_end(struct slice line) {
	if (slice_ends(line, S("\n"))) line.len--;
	if (slice_ends(line, S("\r"))) line.len--;
	return line;
}

/* whole: what is looked up, as it stands in the message. */
static void look_up(struct checks *c, const struct lookup *l, const char *name, struct slice subject,
		    struct slice whole, bool in_body) {
	struct checks_hit hit = { .action = CHECKS_NOTHING };
	if (c->ops->see != NULL) c->ops->see(c->ctx, subject, in_body);
	if (l->count != 0 && !c->pass) {
		arena_reset(&c->mem);
		checks_find(l, name, subject, c->params->outgoing, &c->mem, &hit);
		hit.in_body = in_body;
	}
	if (hit.action != CHECKS_NOTHING && hit.action != CHECKS_DROP) c->ops->act(c->ctx, &hit);
	if (hit.action == CHECKS_PASS) c->pass = true;
	if (hit.action == CHECKS_DROP || hit.action == CHECKS_STRIP) return;
	if (hit.action == CHECKS_PREPEND) put_text(c, hit.text);
	if (hit.action == CHECKS_REPLACE) put_text(c, hit.text);
	else c->ops->put(c->ctx, whole);
}

/* Faults. */

enum { FAULT_HEADER = 1, FAULT_BODY = 2, FAULT_ENCODING = 4, FAULT_END = 8 };

static void tell_fault(struct checks *c, unsigned fault, struct slice where) {
	if ((c->told & fault) != 0) return;
	c->told |= fault;
	const char *text = fault == FAULT_HEADER ? "improper use of 8-bit data in message header"
			   : fault == FAULT_END  ? "primary header was terminated with non-empty line"
			   : fault == FAULT_BODY ? "improper use of 8-bit data in message body"
						 : "invalid message/* or multipart/* encoding domain";
	AUTO_BUF struct buf said = BUF(100);
	buf_addf(&said, "5.6.0 %s", text);
	struct checks_hit hit = { .action = CHECKS_REJECT,
				  .word = "reject",
				  .text = buf_slice(&said),
				  .subject = where,
				  .in_body = fault == FAULT_BODY,
				  .fault = text };
	c->ops->act(c->ctx, &hit);
}

/* Fields. */

static void note_type(struct checks *c, struct slice value) {
	struct structured s;
	structured_parse(value, &c->names, &s);
	c->multipart = slice_starts(s.value, S("multipart/"));
	c->nested = slice_eq(s.value, S("message/rfc822")) || slice_eq(s.value, S("message/global"));
	/* not encoded either, but what is in them is no message: a piece of one, which may begin anywhere (RFC 2046
	 * §5.2.2), or a header without a body (§5.2.3). To Postfix, too, their lines are body */
	c->message = c->nested || slice_eq(s.value, S("message/partial")) ||
		     slice_eq(s.value, S("message/external-body"));
	size_t most = c->params->boundary_limit != 0 ? c->params->boundary_limit : BOUNDARY_MAX;
	struct slice boundary = slice_head(param_raw(s.params, s.params_count, S("boundary")), most);
	/* where it needs no unquoting it stands in the field, whose room the next field takes */
	c->boundary = c->multipart ? arena_slice(&c->names, boundary) : SLICE_NONE;
}

static void note_field(struct checks *c, struct slice field) {
	struct slice value = field, name = slice_trim(slice_cut(&value, ':'));
	if (c->params->flat) return;
	if (slice_same(name, S("Content-Type"))) note_type(c, value);
	if (slice_same(name, S("Content-Transfer-Encoding"))) {
		value = slice_trim(value);
		value = slice_word(&value, " \t\r\n;("); /* comments follow now and then */
		c->encoded = slice_same(value, S("base64")) || slice_same(value, S("quoted-printable"));
		c->eight = slice_same(value, S("8bit")) || slice_same(value, S("binary"));
	}
}

/* header_checks(5): wherever they stand, these are mime_header_checks' alone. */
static bool is_mime_field(struct slice field) {
	static const struct slice names[] = { S("Content-Description"), S("Content-Disposition"), S("Content-ID"),
		S("Content-Transfer-Encoding"), S("Content-Type"), S("MIME-Version") };
	struct slice name = slice_trim(slice_cut(&field, ':'));
	for (size_t i = 0; i < LEN(names); i++)
		if (slice_same(name, names[i])) return true;
	return false;
}

static bool is_encoding_field(struct slice field) {
	return slice_same(slice_trim(slice_cut(&field, ':')), S("Content-Transfer-Encoding"));
}

static void field_done(struct checks *c) {
	static const char *const names[] = { "header_checks", "mime_header_checks", "nested_header_checks" };
	const struct lookup *tables[] = { &c->params->header, &c->params->mime, &c->params->nested };
	struct slice whole = buf_slice(&c->field);
	if (whole.len == 0) return;
	note_field(c, whole);
	if (c->params->strict_header && !slice_is_ascii(whole)) tell_fault(c, FAULT_HEADER, without_end(whole));
	if (c->params->convert && c->eight && is_encoding_field(whole)) { /* say_encoding writes another */
		buf_clear(&c->field);
		return;
	}
	AUTO_BUF struct buf subject = BUF(FIELD_ROOM);
	struct slice text = without_end(whole);
	size_t colon = slice_find(text, ':');
	buf_add(&subject, slice_trim(slice_head(text, colon))); /* patterns see "Name:", also where it is "Name :" */
	text = slice_skip(text, MIN_OF(colon, text.len));
	for (size_t i = 0; i < text.len; i++) /* its lines are separated by LF in what patterns see */
		if (text.at[i] != '\r' || i + 1 == text.len || text.at[i + 1] != '\n') buf_byte(&subject, text.at[i]);
	size_t which = is_mime_field(whole) ? IN_PART_HEADER : c->place;
	look_up(c, tables[which], names[which], buf_slice(&subject), whole, false);
	buf_clear(&c->field);
}

/* All fields of a header have come. What was declared as 8-bit text becomes something else: the field that says so is
 * the last one, as in Postfix. */
static void say_encoding(struct checks *c) {
	if (!c->params->convert || !c->eight) return;
	c->eight = false; /* our own field is not to be left out */
	buf_addf(&c->field, "Content-Transfer-Encoding: %s\r\n",
		 c->multipart || c->message ? "7bit" : "quoted-printable");
	field_done(c);
	c->eight = true;
}

static void begin_header(struct checks *c, enum place place) {
	c->place = place;
	c->multipart = c->message = c->nested = c->encoded = c->eight = false;
	c->boundary = SLICE_NONE;
}

static void begin_body(struct checks *c) {
	c->place = IN_BODY;
	c->seen = 0;
}

/* The header is over: what comes now? */
static void header_done(struct checks *c) {
	c->long_field = false;
	if (c->params->strict_encoding && c->encoded && (c->multipart || c->message))
		tell_fault(c, FAULT_ENCODING, S("Content-Transfer-Encoding"));
	/* nobody opens parts that lie deeper */
	if (c->boundary.len != 0 && c->depth < DEPTH_MAX) c->open[c->depth++] = c->boundary;
	if (c->multipart) c->eight = false; /* what counts is what each part declares */
	if (c->nested && !c->encoded) begin_header(c, IN_NESTED_HEADER);
	else begin_body(c);
}

static bool is_field(struct slice line) {
	size_t n = 0;
	while (n < line.len && line.at[n] != ':' && line.at[n] != ' ' && !ascii_control(line.at[n])) n++;
	size_t name = n;
	while (n < line.len && ascii_blank(line.at[n])) n++;
	return name != 0 && n < line.len && line.at[n] == ':';
}

/* Is this line a boundary that is open? Then those inside of it are closed. */
enum boundary { BOUNDARY_NONE, BOUNDARY_PART, BOUNDARY_END };
static enum boundary boundary_of(struct checks *c, struct slice line) {
	if (c->depth == 0 || !slice_starts(line, S("--"))) return BOUNDARY_NONE;
	struct slice name = slice_skip(without_end(line), 2);
	for (unsigned i = c->depth; i-- > 0;) {
		if (!slice_starts(name, c->open[i])) continue;
		struct slice rest = slice_skip(name, c->open[i].len);
		bool end = slice_starts(rest, S("--"));
		if (!end && slice_trim(rest).len != 0) continue;
		c->depth = end ? i : i + 1;
		return end ? BOUNDARY_END : BOUNDARY_PART;
	}
	return BOUNDARY_NONE;
}

/* Lines. */

static void checked_line(struct checks *c, struct slice line) {
	bool looked_at = c->seen < c->params->body_limit;
	c->seen += line.len;
	if (!looked_at) c->ops->put(c->ctx, line);
	else look_up(c, &c->params->body, "body_checks", without_end(line), line, true);
}

static void quoted_byte(struct buf *out, char byte) {
	buf_addf(out, "=%02X", (unsigned char)byte);
}

static void quoted_line(struct checks *c, struct slice end) {
	buf_add(&c->quoted, end);
	checked_line(c, buf_slice(&c->quoted));
	buf_clear(&c->quoted);
}

/* A line, or a piece of one, as quoted-printable (RFC 2045 §6.7). */
static void convert_line(struct checks *c, struct slice line) {
	struct slice text = without_end(line);
	for (size_t i = 0; i < text.len; i++) {
		char b = text.at[i];
		if (c->quoted.len > QUOTED_MAX) quoted_line(c, S("=\r\n"));
		if ((b >= ' ' && b <= '~' && b != '=') || b == '\t') buf_byte(&c->quoted, b);
		else quoted_byte(&c->quoted, b);
	}
	if (!slice_ends(line, S("\n"))) return;
	struct slice so_far = buf_slice(&c->quoted);
	if (so_far.len != 0 && ascii_blank(so_far.at[so_far.len - 1])) { /* blanks at an end get lost on the way */
		char blank = so_far.at[so_far.len - 1];
		c->quoted.len--;
		quoted_byte(&c->quoted, blank);
	}
	quoted_line(c, S("\r\n"));
}

static void body_line(struct checks *c, struct slice line) {
	if (c->params->strict_body && !c->eight && !slice_is_ascii(line)) tell_fault(c, FAULT_BODY, without_end(line));
	if (c->params->convert && c->eight && !c->message) convert_line(c, line);
	else checked_line(c, line);
}

static void whole_body_line(struct checks *c, struct slice line) {
	enum boundary b = boundary_of(c, line);
	if (b != BOUNDARY_NONE) c->eight = false; /* that was the part before it */
	body_line(c, line);
	if (b == BOUNDARY_PART) begin_header(c, IN_PART_HEADER);
	if (b == BOUNDARY_END) begin_body(c);
}

static void header_line(struct checks *c, struct slice line) {
	bool more = ascii_blank(line.at[0]) && (c->field.len != 0 || c->long_field);
	if (more && !c->long_field && c->field.len + line.len <= c->params->header_limit) {
		buf_add(&c->field, line);
		return;
	}
	field_done(c);
	c->long_field = more;
	if (more) { /* the rest of a field that is too long */
		c->ops->put(c->ctx, line);
	} else if (is_field(line)) {
		buf_add(&c->field, line);
	} else if (without_end(line).len == 0) {
		say_encoding(c);
		c->ops->put(c->ctx, line); /* stays, whatever body_checks say of it */
		look_up(c, &c->params->body, "body_checks", S(""), S(""), true);
		header_done(c);
	} else { /* a body begins with an empty line, also where the message lacks it */
		if (c->params->strict_end && c->place == IN_HEADER && !slice_starts(line, S("From ")))
			tell_fault(c, FAULT_END, slice_head(without_end(line), 100));
		say_encoding(c);
		if (c->place == IN_HEADER) look_up(c, &c->params->body, "body_checks", S(""), S(""), true);
		c->nested = false;
		header_done(c);
		whole_body_line(c, line);
	}
}

/* A line, or a piece of a long one; continued: not its first piece. */
static void take(struct checks *c, struct slice piece, bool continued) {
	if (c->place == IN_BODY && continued) body_line(c, piece);
	else if (c->place == IN_BODY) whole_body_line(c, piece);
	else if (!continued) header_line(c, piece);
	else {
		field_done(c);
		c->long_field = true;
		c->ops->put(c->ctx, piece);
	}
}

void checks_feed(struct checks *c, struct slice bytes) {
	while (bytes.len != 0) {
		size_t most = c->place == IN_BODY ? c->params->line_limit : c->params->header_limit;
		size_t n = MIN_OF(slice_find(bytes, '\n') + 1, MIN_OF(bytes.len, most - c->line.len));
		struct slice piece = slice_head(bytes, n);
		bytes = slice_skip(bytes, n);
		bool complete = piece.at[n - 1] == '\n' || c->line.len + n == most;
		if (c->line.len != 0 || !complete) { /* most lines come whole and are not copied */
			buf_add(&c->line, piece);
			piece = buf_slice(&c->line);
		}
		if (!complete) return;
		take(c, piece, c->continued);
		c->continued = piece.at[piece.len - 1] != '\n';
		buf_clear(&c->line);
	}
}

void checks_end(struct checks *c) {
	if (c->line.len != 0) take(c, buf_slice(&c->line), c->continued);
	buf_clear(&c->line);
	if (c->quoted.len != 0) quoted_line(c, S(""));
	if (c->place == IN_BODY) return;
	field_done(c);
	say_encoding(c);
}
