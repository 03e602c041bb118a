/* SPDX-License-Identifier: Apache-2.0 */
/* The scanner lives on line starts. A line end is found with memchr; a body line is looked at only when it starts with
 * a dash while a boundary is awaited, and then held until it is known to be none. So a byte costs what memchr costs,
 * and the border between two pieces never matters. */
#include "mime/scan.h"

enum { HELD_MAX = SCAN_BOUNDARY_MAX + 4, OPEN_MAX = SCAN_DEPTH_MAX + 2 };

/* A part whose end has not come. */
struct level {
	uint32_t part;
	struct slice boundary;  /* empty: none awaited (leaf, message, or behind the closing delimiter) */
	uint64_t first_line;    /* number of line ends before the body */
};

struct summary_scan {
	struct arena mem;
	struct summary found;
	struct part *parts;
	struct envelope *envelopes;
	size_t parts_room, envelopes_room;
	struct level open[OPEN_MAX];
	size_t open_count, awaited;   /* levels; those with a boundary */
	bool in_header;               /* of the innermost open part */
	struct buf header;            /* the header under way, as far as the limit allows */
	size_t header_left;           /* bytes the headers of parts may still take */
	/* the line under way */
	uint64_t at, line_start, line_number;
	unsigned char line_end_len;   /* of the line before: 1 or 2 */
	bool after_cr;                /* the last byte of the piece before was CR */
	bool holding, delimiter;      /* undecided; decided to be a delimiter */
	bool closing;                 /* the delimiter ends its multipart */
	size_t matched;               /* level of the delimiter's multipart */
	char held[HELD_MAX];
	size_t held_len;
	struct preview preview;
};

static struct part *top_part(struct summary_scan *s) {
	return &s->parts[s->open[s->open_count - 1].part];
}

static struct part *part_add(struct summary_scan *s, uint32_t parent, uint64_t header_start) {
	size_t count = s->found.parts_count;
	if (count == s->parts_room) {
		s->parts_room = count == 0 ? 4 : count * 2;
		s->parts = mem_resize(s->parts, s->parts_room * sizeof *s->parts);
	}
	s->parts[count] = (struct part){ .parent = parent, .header_start = header_start };
	s->found.parts_count++;
	return &s->parts[count];
}

/* Opens a part whose header comes next. */
static void open_part(struct summary_scan *s, uint32_t parent, uint64_t header_start) {
	part_add(s, parent, header_start);
	s->open[s->open_count++] = (struct level){ .part = (uint32_t)(s->found.parts_count - 1) };
	s->in_header = true;
	buf_clear(&s->header);
}

struct summary_scan *summary_scan_new(void) {
	struct summary_scan *s = mem_get(sizeof *s);
	s->header = BUF(SCAN_HEADER_MAX);
	s->header_left = SCAN_HEADER_MAX;
	preview_init(&s->preview);
	open_part(s, 0, 0);
	return s;
}

void summary_scan_free(struct summary_scan **sp) {
	struct summary_scan *s = TAKE(*sp);
	if (s == NULL) return;
	preview_done(&s->preview);
	buf_done(&s->header);
	arena_done(&s->mem);
	free(s->parts);
	free(s->envelopes);
	free(s);
}

static void read_message_header(struct summary_scan *s, struct slice block) {
	size_t count = s->found.envelopes_count;
	if (count == s->envelopes_room) {
		s->envelopes_room = count == 0 ? 1 : count * 2;
		s->envelopes = mem_resize(s->envelopes, s->envelopes_room * sizeof *s->envelopes);
	}
	s->envelopes[count] = (struct envelope){ .blank = 0 };
	scan_envelope_fields(block, &s->mem, &s->envelopes[count]);
	top_part(s)->envelope = (uint32_t)++s->found.envelopes_count;
	if (s->open_count == 1) scan_message_fields(block, &s->mem, &s->found);
}

static void make_opaque(struct summary_scan *s, struct part *p) {
	p->type = S("application");
	p->subtype = S("octet-stream");
	s->found.flags |= SUMMARY_CUT;
}

static void await_boundary(struct summary_scan *s, struct part *p) {
	struct slice boundary = param_raw(p->params, p->params_count, S("boundary"));
	while (boundary.len != 0 && ascii_space(boundary.at[boundary.len - 1])) boundary.len--;
	s->open[s->open_count - 1].boundary = slice_head(boundary, SCAN_BOUNDARY_MAX);
	if (boundary.len != 0) s->awaited++;
}

static bool is_digest(const struct part *p) {
	return part_is_multipart(p) && slice_eq(p->subtype, S("digest"));
}

/* Does a message start behind its header? One that is coded against RFC 2046 §5.2.1 is an empty one; that of a
 * message/global may be coded, and is not looked into then. */
static bool opens_message(struct summary_scan *s, const struct part *p) {
	enum encoding how = encoding_of(p->encoding);
	if (!part_is_global(p)) return part_is_message(p);
	if (how == ENCODING_BASE64 || how == ENCODING_QP) return false;
	s->found.flags |= SUMMARY_GLOBAL;
	return true;
}

/* The header of the innermost part ends; its body starts at `at`, behind `lines` line ends. */
static void header_end(struct summary_scan *s, uint64_t at, uint64_t lines) {
	struct part *p = top_part(s);
	struct part *parent = s->open_count > 1 ? &s->parts[p->parent] : NULL;
	struct slice block = buf_slice(&s->header);
	s->in_header = false;
	scan_part_fields(block, parent != NULL && is_digest(parent), &s->mem, p);
	if (parent == NULL || !part_is_multipart(parent)) read_message_header(s, block);
	p->body_start = at;
	s->open[s->open_count - 1].first_line = lines;
	bool message = opens_message(s, p), multipart = part_is_multipart(p);
	bool fits = s->open_count < SCAN_DEPTH_MAX && s->found.parts_count < SCAN_PARTS_MAX;
	if ((message || multipart) && !fits) {
		make_opaque(s, p);
	} else if (multipart) {
		await_boundary(s, p);
	} else if (message) {
		bool coded = encoding_of(p->encoding) == ENCODING_BASE64;
		open_part(s, s->open[s->open_count - 1].part, at);
		if (coded) header_end(s, at, lines); /* forbidden, done: there is no header to see in there */
	} else {
		preview_open(&s->preview, p);
	}
}

/* Ends the innermost part at `at`, which is behind `lines` line ends. */
static void close_top(struct summary_scan *s, uint64_t at, uint64_t lines) {
	if (s->in_header) {
		size_t level = s->open_count;
		header_end(s, at, lines);
		if (s->open_count != level) return; /* a message without anything: its inside ends first */
	}
	struct level *l = &s->open[s->open_count - 1];
	struct part *p = &s->parts[l->part];
	p->body_end = MAX_OF(at, p->body_start);
	p->lines = at > p->body_start ? lines - l->first_line : 0;
	bool childless = part_is_multipart(p) && s->found.parts_count == l->part + 1u;
	if (l->boundary.len != 0) s->awaited--;
	s->open_count--;
	preview_close(&s->preview);
	if (childless && s->found.parts_count == SCAN_PARTS_MAX) {
		make_opaque(s, p);
	} else if (childless) {
		uint64_t end = p->body_end;
		struct part *empty = part_add(s, l->part, end);
		empty->body_start = empty->body_end = end;
		empty->type = S("text");
		empty->subtype = S("plain");
	}
}

/* Without a boundary to wait for, the parts that are open run to the end of the message. */
static void await_nothing(struct summary_scan *s) {
	for (size_t i = 0; i < s->open_count; i++) s->open[i].boundary = SLICE_NONE;
	s->awaited = 0;
	s->found.flags |= SUMMARY_CUT;
}

/* The delimiter line is over: what was inside its multipart ends before it, a part may start behind it. */
static void delimiter_end(struct summary_scan *s) {
	s->delimiter = false;
	if (!s->closing && s->found.parts_count >= SCAN_PARTS_MAX) {
		await_nothing(s);
		return;
	}
	while (s->open_count > s->matched + 1) {
		const struct part *p = top_part(s);
		bool own_line_end = s->line_start > (s->in_header ? p->header_start : p->body_start);
		close_top(s, s->line_start - (own_line_end ? s->line_end_len : 0),
			  s->line_number - (own_line_end ? 1 : 0));
	}
	struct level *l = &s->open[s->matched];
	if (s->closing) {
		l->boundary = SLICE_NONE;
		s->awaited--;
	} else {
		open_part(s, l->part, s->at);
	}
}

/* RFC 2046 §5.1.1: a line that starts with the boundary is a delimiter, whatever follows. The longest one wins, because
 * one boundary may start with another. */
static bool match_delimiter(struct summary_scan *s) {
	struct slice line = slice_from(s->held, s->held_len);
	size_t best = 0;
	if (!slice_starts(line, S("--"))) return false;
	line = slice_skip(line, 2);
	for (size_t i = s->open_count; i-- > 0;) {
		struct slice boundary = s->open[i].boundary;
		if (boundary.len <= best || !slice_starts(line, boundary)) continue;
		best = boundary.len;
		s->matched = i;
	}
	if (best == 0) return false;
	s->closing = slice_starts(slice_skip(line, best), S("--"));
	return true;
}

/* Text of the line that is no delimiter. */
static void pass(struct summary_scan *s, struct slice text) {
	if (!s->in_header) {
		if (s->preview.decoder != NULL) preview_feed(&s->preview, text);
		return;
	}
	size_t left = s->open_count == 1 ? SCAN_HEADER_MAX - s->header.len : s->header_left;
	struct slice kept = slice_head(text, left);
	if (kept.len < text.len) s->found.flags |= SUMMARY_CUT;
	if (s->open_count != 1) s->header_left -= kept.len;
	buf_add(&s->header, kept);
}

static void decide(struct summary_scan *s) {
	s->holding = false;
	s->delimiter = match_delimiter(s);
	if (!s->delimiter) pass(s, slice_from(s->held, s->held_len));
}

/* Takes a part of a line; whole: it ends with the line's LF. */
static void hold(struct summary_scan *s, struct slice text, bool whole) {
	size_t n = MIN_OF(text.len, HELD_MAX - s->held_len);
	memcpy(s->held + s->held_len, text.at, n);
	s->held_len += n;
	bool dashes = s->held_len < 2 || s->held[1] == '-';
	if (!whole && dashes && s->held_len < HELD_MAX) return;
	decide(s);
	if (!s->delimiter) pass(s, slice_skip(text, n));
}

static void line_end(struct summary_scan *s, struct slice piece) {
	bool cr = piece.len >= 2 ? piece.at[piece.len - 2] == '\r' : s->after_cr;
	uint64_t len = s->at - s->line_start;
	unsigned char end_len = cr && len >= 2 ? 2 : 1;
	s->found.longest_line = MAX_OF(s->found.longest_line, len - end_len);
	if (end_len == 1) s->found.flags |= SUMMARY_BARE_LF;
	if (s->delimiter) delimiter_end(s);
	s->line_number++;
	if (s->in_header && len == end_len) header_end(s, s->at, s->line_number);
	s->line_start = s->at;
	s->line_end_len = end_len;
}

/* Words at a time: the scan must not be slower than the copy. */
static bool has_8bit(struct slice s) {
	uint64_t all = 0, word;
	size_t i = 0;
	for (; i + 4 * sizeof word <= s.len; i += 4 * sizeof word) {
		uint64_t words[4];
		memcpy(words, s.at + i, sizeof words);
		all |= words[0] | words[1] | words[2] | words[3];
	}
	for (; i < s.len; i++) all |= (unsigned char)s.at[i] & 0x80u;
	return (all & 0x8080808080808080u) != 0;
}

void summary_scan_feed(struct summary_scan *s, struct slice piece) {
	bool some_8bit = has_8bit(piece);
	if (piece.len != 0 && memchr(piece.at, '\0', piece.len) != NULL) s->found.flags |= SUMMARY_NUL;
	while (piece.len != 0) {
		const char *lf = memchr(piece.at, '\n', piece.len);
		struct slice text = slice_head(piece, lf != NULL ? (size_t)(lf - piece.at) + 1 : piece.len);
		if (s->at == s->line_start) {
			s->holding = s->awaited != 0 && text.at[0] == '-';
			s->held_len = 0;
		}
		uint32_t flag = s->in_header ? SUMMARY_8BIT_HEADER : SUMMARY_8BIT_BODY;
		if (some_8bit && (s->found.flags & flag) == 0 && has_8bit(text)) s->found.flags |= flag;
		s->at += text.len;
		if (s->holding) hold(s, text, lf != NULL);
		else if (!s->delimiter) pass(s, text);
		if (lf != NULL) line_end(s, text);
		s->after_cr = text.at[text.len - 1] == '\r';
		piece = slice_skip(piece, text.len);
	}
}

static bool is_named(const struct part *p) {
	static const struct slice names[] = { { "filename", 8 }, { "filename*", 9 }, { "name", 4 }, { "name*", 5 } };
	for (size_t i = 0; i < LEN(names); i++) {
		if (param_raw(p->disposition_params, p->disposition_params_count, names[i]).len != 0) return true;
		if (param_raw(p->params, p->params_count, names[i]).len != 0) return true;
	}
	return false;
}

/* What a client should offer to save: named or declared so, or of a kind that is not shown; not what belongs to the
 * form. */
static bool is_attachment(const struct part *p, const struct part *parent) {
	bool form = slice_ends(p->subtype, S("-signature")) || slice_eq(p->subtype, S("pgp-encrypted"));
	bool embedded = !slice_eq(parent->subtype, S("mixed")) && p->id.len != 0;
	if (part_is_multipart(p) || form || slice_eq(p->subtype, S("delivery-status"))) return false;
	if (slice_eq(p->disposition, S("attachment"))) return true;
	return !slice_eq(parent->subtype, S("report")) && !embedded && (is_named(p) || !part_is_text(p));
}

static struct summary *last_touches(struct summary_scan *s) {
	struct summary *f = &s->found;
	f->size = s->at;
	f->header_size = s->parts[0].body_start;
	f->body_lines = s->parts[0].lines;
	f->preview = buf_slice(&s->preview.line);
	f->parts = s->parts;
	f->envelopes = s->envelopes;
	must(summary_link(f->parts, f->parts_count));
	for (size_t i = 0; i < f->parts_count; i++)
		if (is_attachment(&f->parts[i], &f->parts[f->parts[i].parent])) f->flags |= SUMMARY_HAS_ATTACHMENT;
	return f;
}

void summary_scan_finish(struct summary_scan *s, struct summary *out) {
	if (s->at != s->line_start) s->found.longest_line = MAX_OF(s->found.longest_line, s->at - s->line_start);
	if (s->holding) decide(s);
	if (s->delimiter) delimiter_end(s);
	while (s->open_count != 0) close_top(s, s->at, s->line_number);
	*out = *last_touches(s);
}
