/* SPDX-License-Identifier: Apache-2.0 */
/* Fields and parts of messages we write ourselves. A field is first written on one line of pieces that must not be cut,
 * then the pieces are set: a fold comes before the piece that would pass column 78. */
#include "mime/compose.h"

#include "base/clock.h"
#include "base/encode.h"

enum { COLUMNS = 78, WORD_BYTES = 45, PIECE_MAX = 900 };

struct line {
	struct buf *out;
	size_t column;
};

static struct line field_start(struct buf *out, const char *name) {
	size_t before = out->len;
	buf_addf(out, "%s:", name);
	return (struct line){ out, out->len - before };
}

/* A piece with a blank before it. */
static void set_piece(struct line *l, struct slice piece) {
	bool fold = l->column + 1 + piece.len > COLUMNS && l->column > 1;
	buf_add(l->out, fold ? S("\r\n ") : S(" "));
	l->column = fold ? 1 + piece.len : l->column + 1 + piece.len;
	for (size_t i = 0; i < piece.len; i++) buf_byte(l->out, ascii_control(piece.at[i]) ? ' ' : piece.at[i]);
}

static void field_end(struct line *l) {
	buf_add(l->out, S("\r\n"));
}

void compose_field(struct buf *out, const char *name, struct slice value) {
	struct line l = field_start(out, name);
	struct slice piece;
	while ((piece = slice_word(&value, " \t\r\n")).len != 0) set_piece(&l, piece);
	field_end(&l);
}

/* As many whole characters as fit one RFC 2047 word of 75 bytes. */
static struct slice take_characters(struct slice *rest) {
	struct slice from = *rest, before = *rest;
	while (rest->len != 0) {
		before = *rest;
		utf8_next(rest);
		if (from.len - rest->len > WORD_BYTES) {
			*rest = before;
			break;
		}
	}
	return slice_head(from, from.len - rest->len);
}

/* What may stand in a Q word of a phrase (RFC 2047 §5.3). */
static bool q_plain(char c) { return ascii_alpha(c) || ascii_digit(c) || (c != '\0' && strchr("!*+-/", c) != NULL); }

static void add_q(struct buf *out, struct slice bytes) {
	for (size_t i = 0; i < bytes.len; i++) {
		if (q_plain(bytes.at[i])) buf_byte(out, bytes.at[i]);
		else if (bytes.at[i] == ' ') buf_byte(out, '_');
		else buf_addf(out, "=%02X", (unsigned char)bytes.at[i]);
	}
}

/* As many bytes as encode to `room`, and of UTF-8 no half characters. */
static struct slice take_bytes(struct slice *rest, bool utf8, bool q, size_t room) {
	struct slice from = *rest;
	for (size_t used = 0; rest->len != 0;) {
		struct slice next = *rest;
		if (utf8) utf8_next(&next);
		else next = slice_skip(next, 1);
		size_t n = rest->len - next.len, cost = 0;
		for (size_t i = 0; i < n; i++) cost += !q || q_plain(rest->at[i]) || rest->at[i] == ' ' ? 1 : 3;
		if (used + cost > room) break;
		used += cost;
		*rest = next;
	}
	return slice_head(from, from.len - rest->len);
}

bool compose_name_words(struct buf *out, const char *charset, struct slice name) {
	size_t prefix = strlen(charset) + 5, strange = 0; /* "=?" "?Q?" */
	if (prefix < 6 || prefix > 40) return false;
	for (const char *c = charset; *c != '\0'; c++)
		if (*c <= ' ' || *c >= 127 || strchr("()<>@,;:\\\"/[]?.=", *c) != NULL) return false;
	for (size_t i = 0; i < name.len; i++) strange += !q_plain(name.at[i]);
	bool q = name.len < 20 || strange < name.len / 2, utf8 = slice_same(slice_of(charset), S("utf-8"));
	while (name.len != 0) {
		struct slice part = take_bytes(&name, utf8, q, q ? 73 - prefix : (73 - prefix) / 4 * 3);
		buf_addf(out, "=?%s?%c?", charset, q ? 'Q' : 'B');
		if (q) add_q(out, part);
		else base64_add(out, part);
		buf_add(out, name.len != 0 ? S("?=\r\n ") : S("?="));
	}
	return true;
}

static void set_encoded(struct line *l, struct slice text) {
	while (text.len != 0) {
		AUTO_BUF struct buf clean = BUF(KIB(1)), word = BUF(KIB(1));
		utf8_add_clean(&clean, take_characters(&text));
		buf_add(&word, S("=?utf-8?B?"));
		base64_add(&word, buf_slice(&clean));
		buf_add(&word, S("?="));
		set_piece(l, buf_slice(&word));
	}
}

/* Words of RFC 2047's look are encoded too: a reader would decode what was meant literally. */
static bool needs_encoding(struct slice text) {
	return !slice_is_ascii(text) || slice_search(text, S("=?")) < text.len;
}

static void set_words(struct line *l, struct slice text) {
	struct slice piece;
	while ((piece = slice_word(&text, " \t\r\n")).len != 0) {
		for (; piece.len > PIECE_MAX; piece = slice_skip(piece, PIECE_MAX))
			set_piece(l, slice_head(piece, PIECE_MAX));
		set_piece(l, piece);
	}
}

void compose_text_field(struct buf *out, const char *name, struct slice text) {
	struct line l = field_start(out, name);
	text = slice_trim(text);
	if (needs_encoding(text)) {
		AUTO_BUF struct buf one_line = BUF(MIB(1));
		for (size_t i = 0; i < text.len; i++) buf_byte(&one_line, ascii_control(text.at[i]) ? ' ' : text.at[i]);
		set_encoded(&l, buf_slice(&one_line));
	} else {
		set_words(&l, text);
	}
	field_end(&l);
}

static bool is_phrase(struct slice name) {
	for (size_t i = 0; i < name.len; i++) {
		char c = name.at[i];
		if (ascii_alpha(c) || ascii_digit(c)) continue;
		if (c == '\0' || strchr(" !#$%&'*+-/=?^_`{|}~", c) == NULL) return false;
	}
	return name.len != 0;
}

/* A display name as its first pieces: as it is, quoted, or encoded. */
static void set_name(struct line *l, struct slice name) {
	if (needs_encoding(name)) {
		set_encoded(l, name);
	} else if (is_phrase(name)) {
		set_words(l, name);
	} else if (name.len != 0) {
		AUTO_BUF struct buf quoted = BUF(MIB(1));
		buf_byte(&quoted, '"');
		for (size_t i = 0; i < name.len; i++) {
			if (name.at[i] == '"' || name.at[i] == '\\') buf_byte(&quoted, '\\');
			buf_byte(&quoted, name.at[i]);
		}
		buf_byte(&quoted, '"');
		set_piece(l, buf_slice(&quoted));
	}
}

static void set_address(struct line *l, const struct address *a, const char *behind) {
	AUTO_BUF struct buf text = BUF(KIB(64));
	if (a->kind == ADDRESS_MAILBOX) {
		bool angle = a->name.len != 0;
		set_name(l, a->name);
		if (angle) buf_byte(&text, '<');
		mailbox_add(&text, (struct mailbox){ a->local, a->domain });
		if (angle) buf_byte(&text, '>');
	} else if (a->kind == ADDRESS_GROUP) {
		set_name(l, a->name);
		buf_byte(&text, ':');
	} else {
		buf_byte(&text, ';');
	}
	buf_addf(&text, "%s", behind);
	set_piece(l, buf_slice(&text));
}

void compose_address_field(struct buf *out, const char *name, const struct address *list, size_t count) {
	struct line l = field_start(out, name);
	for (size_t i = 0; i < count; i++) {
		bool last = i + 1 == count || list[i + 1].kind == ADDRESS_GROUP_END || list[i].kind == ADDRESS_GROUP;
		set_address(&l, &list[i], last ? "" : ",");
	}
	field_end(&l);
}

void compose_mailbox_field(struct buf *out, const char *name, struct slice display, struct mailbox m) {
	struct address a = { .kind = ADDRESS_MAILBOX, .name = display, .local = m.local, .domain = m.domain };
	compose_address_field(out, name, &a, 1);
}

void compose_date_field(struct buf *out, struct date d) {
	buf_add(out, S("Date: "));
	date_add(out, d);
	buf_add(out, S("\r\n"));
}

struct slice compose_message_id(struct arena *mem, struct slice host) {
	uint64_t random[2];
	random_fill(random, sizeof random);
	return arena_fmt(mem, "<%llx.%016llx@%.*s>", (unsigned long long)wall_us(), (unsigned long long)random[0],
		SLICE_ARG(host));
}
