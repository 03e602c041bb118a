/* SPDX-License-Identifier: Apache-2.0 */
/* Not a browser: enough of HTML's lexer to leave the words a reader would see. What is not closed is forgiven. */
#include "base/encode.h"
#include "mime/decode.h"

/* Tags that end a line, and those whose inside is not text. */
static const char *const line_tags[] = { "p", "div", "br", "br/", "tr", "li", "ul", "ol", "table", "h1", "h2", "h3",
	"h4", "h5", "h6", "hr",
	"blockquote", "pre", "section", "article", "header", "footer", "td", "th", "dd", "dt", "title", "option" };
static const char *const silent_tags[][2] = { { "script", "/script" }, { "style", "/style" }, { "title", "/title" } };

/* 0: nothing is shown (soft hyphens and the joiners that senders fill previews with). */
static const struct entity {
	char name[8];
	unsigned short character;
} entities[] = {
	{ "amp", '&' },      { "lt", '<' },       { "gt", '>' },        { "quot", '"' },     { "apos", '\'' },
	{ "nbsp", ' ' },     { "ensp", ' ' },     { "emsp", ' ' },      { "thinsp", ' ' },   { "zwnj", 0 },
	{ "zwj", 0 },        { "shy", 0 },        { "lrm", 0 },         { "rlm", 0 },        { "copy", 0xa9 },
	{ "reg", 0xae },     { "trade", 0x2122 }, { "hellip", 0x2026 }, { "mdash", 0x2014 }, { "ndash", 0x2013 },
	{ "lsquo", 0x2018 }, { "rsquo", 0x2019 }, { "ldquo", 0x201c },  { "rdquo", 0x201d }, { "sbquo", 0x201a },
	{ "bdquo", 0x201e }, { "bull", 0x2022 },  { "middot", 0xb7 },   { "laquo", 0xab },   { "raquo", 0xbb },
	{ "euro", 0x20ac },  { "pound", 0xa3 },   { "yen", 0xa5 },      { "cent", 0xa2 },    { "sect", 0xa7 },
	{ "deg", 0xb0 },     { "times", 0xd7 },   { "rarr", 0x2192 },   { "larr", 0x2190 },  { "plusmn", 0xb1 },
	{ "frac12", 0xbd },  { "auml", 0xe4 },    { "ouml", 0xf6 },     { "uuml", 0xfc },    { "Auml", 0xc4 },
	{ "Ouml", 0xd6 },    { "Uuml", 0xdc },    { "szlig", 0xdf },    { "agrave", 0xe0 },  { "aacute", 0xe1 },
	{ "acirc", 0xe2 },   { "atilde", 0xe3 },  { "aring", 0xe5 },    { "aelig", 0xe6 },   { "ccedil", 0xe7 },
	{ "egrave", 0xe8 },  { "eacute", 0xe9 },  { "ecirc", 0xea },    { "euml", 0xeb },    { "igrave", 0xec },
	{ "iacute", 0xed },  { "icirc", 0xee },   { "iuml", 0xef },     { "ntilde", 0xf1 },  { "ograve", 0xf2 },
	{ "oacute", 0xf3 },  { "ocirc", 0xf4 },   { "otilde", 0xf5 },   { "oslash", 0xf8 },  { "ugrave", 0xf9 },
	{ "uacute", 0xfa },  { "ucirc", 0xfb },   { "Eacute", 0xc9 },   { "Aring", 0xc5 },   { "Oslash", 0xd8 },
	{ "Ccedil", 0xc7 },  { "Agrave", 0xc0 },  { "Egrave", 0xc8 },
};

static struct slice word_of(const struct html *h) {
	return slice_from(h->word, h->len);
}

static void show(const struct html *h, struct buf *out, struct slice s) {
	if (h->until == NULL) buf_add(out, s);
}

static void show_character(const struct html *h, struct buf *out, uint32_t c) {
	bool unseen = c == 0 || c == 0xad || c == 0x34f || (c >= 0x200b && c <= 0x200f) || c == 0x2060 || c == 0xfeff;
	if (c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) c = 0xfffd;
	if (h->until == NULL && !unseen) utf8_add(out, c == 0xa0 || c == 0x2007 ? ' ' : c);
}

static bool number_entity(struct slice digits, uint32_t *out) {
	bool hex = digits.len != 0 && ascii_lower(digits.at[0]) == 'x';
	uint32_t v = 0;
	if (hex) digits = slice_skip(digits, 1);
	if (digits.len == 0 || digits.len > 7) return false;
	for (size_t i = 0; i < digits.len; i++) {
		int d = ascii_hex(digits.at[i]);
		if (d < 0 || (!hex && d > 9)) return false;
		v = v * (hex ? 16 : 10) + (uint32_t)d;
	}
	*out = v;
	return true;
}

/* The entity in word is complete; terminated: by its semicolon. */
static void entity_end(struct html *h, bool terminated, struct buf *out) {
	struct slice word = word_of(h);
	uint32_t c;
	h->state = HTML_TEXT;
	if (word.len > 1 && word.at[0] == '#' && number_entity(slice_skip(word, 1), &c)) {
		show_character(h, out, c);
		return;
	}
	for (size_t i = 0; i < LEN(entities); i++) {
		if (!slice_eq(word, slice_of(entities[i].name))) continue;
		show_character(h, out, entities[i].character);
		return;
	}
	show(h, out, S("&"));
	show(h, out, word);
	if (terminated) show(h, out, S(";"));
}

static void tag_end(struct html *h, struct buf *out) {
	struct slice name = word_of(h);
	h->state = HTML_TEXT;
	if (h->until != NULL) {
		if (slice_eq(name, slice_of(h->until))) h->until = NULL;
		return;
	}
	for (size_t i = 0; i < LEN(silent_tags); i++)
		if (slice_eq(name, slice_of(silent_tags[i][0]))) h->until = silent_tags[i][1];
	if (name.len != 0 && name.at[0] == '/') name = slice_skip(name, 1);
	for (size_t i = 0; i < LEN(line_tags); i++)
		if (slice_eq(name, slice_of(line_tags[i]))) buf_byte(out, '\n');
}

static void html_byte(struct html *h, char c, struct buf *out);

/* Behind <: a name follows, or it was a sign of its own. */
static void open_byte(struct html *h, char c, struct buf *out) {
	bool starts = ascii_alpha(c) || c == '/' || c == '!' || c == '?';
	bool inside = ascii_alpha(c) || ascii_digit(c) || c == '/' || c == '-';
	if (h->len == 0 && !starts) {
		show(h, out, S("<"));
		h->state = HTML_TEXT;
		html_byte(h, c, out);
	} else if ((h->len == 0 || inside) && h->len < sizeof h->word) {
		h->word[h->len++] = ascii_lower(c);
		h->dashes = 0;
		if (slice_eq(word_of(h), S("!--"))) h->state = h->until == NULL ? HTML_COMMENT : HTML_TEXT;
	} else if (h->until != NULL && !slice_eq(word_of(h), slice_of(h->until))) {
		h->state = HTML_TEXT;
		html_byte(h, c, out);
	} else {
		h->state = HTML_TAG;
		h->last = ' ';
		html_byte(h, c, out);
	}
}

static void tag_byte(struct html *h, char c, struct buf *out) {
	if (c == '>') {
		tag_end(h, out);
	} else if ((c == '"' || c == '\'') && h->last == '=') {
		h->quote = c;
		h->state = HTML_QUOTED;
	}
	if (!ascii_space(c)) h->last = c;
}

static void text_byte(struct html *h, char c, struct buf *out) {
	h->len = 0;
	if (c == '<') h->state = HTML_OPEN;
	else if (c == '&') h->state = HTML_ENTITY;
	else show(h, out, slice_from(&c, 1));
}

static void html_byte(struct html *h, char c, struct buf *out) {
	switch (h->state) {
	case HTML_TEXT:
		text_byte(h, c, out);
		break;
	case HTML_OPEN:
		open_byte(h, c, out);
		break;
	case HTML_TAG:
		tag_byte(h, c, out);
		break;
	case HTML_QUOTED:
		if (c == h->quote) h->state = HTML_TAG;
		break;
	case HTML_COMMENT:
		if (c == '>' && h->dashes >= 2) h->state = HTML_TEXT;
		h->dashes = c == '-' ? MIN_OF(h->dashes + 1, 2u) : 0;
		break;
	case HTML_ENTITY:
		if ((ascii_alpha(c) || ascii_digit(c) || c == '#') && h->len < sizeof h->word) {
			h->word[h->len++] = c;
			break;
		}
		entity_end(h, c == ';', out);
		if (c != ';') text_byte(h, c, out);
		break;
	}
}

void html_feed(struct html *h, struct slice in, struct buf *out) {
	for (size_t i = 0; i < in.len;) {
		size_t n = i;
		if (h->state == HTML_TEXT)
			while (n < in.len && in.at[n] != '<' && in.at[n] != '&') n++;
		show(h, out, slice_from(in.at + i, n - i));
		if (n < in.len) html_byte(h, in.at[n++], out);
		i = n;
	}
}

void html_finish(struct html *h, struct buf *out) {
	if (h->state == HTML_ENTITY) entity_end(h, false, out);
	*h = (struct html){ .len = 0 };
}
