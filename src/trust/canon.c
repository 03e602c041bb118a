/* SPDX-License-Identifier: Apache-2.0 */
/* Most text is canonical already. So bodies are not rewritten: long runs go to the hash where they lie, and only what
 * deviates (runs of blanks, tabs) passes through a small room. Blank ends of lines and empty lines at the end of what
 * was seen are held back as numbers, until it is known whether text follows.
 *
 * The digest is OpenSSL's plain struct (low level, since 3.0 not recommended) because it needs no clean-up: a message
 * may be given up at any byte, and then only its arena is freed. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "trust/canon.h"
#include "base/encode.h"
#include <openssl/sha.h>

enum { ROOM = 2048, DIRECT = 256 /* runs from here on are hashed where they lie */, BLOCK = 64 };

struct canon_body {
	SHA256_CTX hash;
	int64_t limit, size;
	uint64_t breaks;   /* CRLFs held back */
	bool space, cr;    /* behind them: blanks (relaxed), and a CR that may become a CRLF */
	bool relaxed;
	size_t used;
	char room[ROOM];
};

struct canon_body *canon_body_new(enum canon c, int64_t limit, struct arena *mem) {
	struct canon_body *b = arena_get(mem, sizeof *b);
	b->limit = limit < 0 ? INT64_MAX : limit;
	b->relaxed = c == CANON_RELAXED;
	SHA256_Init(&b->hash);
	return b;
}

int64_t canon_body_size(const struct canon_body *b) {
	return b->size;
}

void sha256(struct slice bytes, uint8_t digest[32]) {
	SHA256((const unsigned char *)(bytes.len != 0 ? bytes.at : ""), bytes.len, digest);
}

/* ---- what comes out ---- */

static void room_flush(struct canon_body *b) {
	if (b->used != 0) SHA256_Update(&b->hash, b->room, b->used);
	b->used = 0;
}

static void emit(struct canon_body *b, const char *at, size_t len) {
	int64_t left = b->limit - MIN_OF(b->size, b->limit);
	b->size += (int64_t)len;
	len = (size_t)MIN_OF((int64_t)len, left);
	if (len == 0) return;
	if (len >= DIRECT || len > ROOM - b->used) room_flush(b);
	if (len >= DIRECT) {
		SHA256_Update(&b->hash, at, len);
		return;
	}
	memcpy(b->room + b->used, at, len);
	b->used += len;
}

static void emit_breaks(struct canon_body *b) {
	static const char crlfs[] = "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n";
	while (b->breaks != 0) {
		uint64_t n = MIN_OF(b->breaks, (sizeof crlfs - 1) / 2);
		emit(b, crlfs, (size_t)n * 2);
		b->breaks -= n;
	}
}

/* Text follows: what was held back belongs to the body after all. */
static void emit_held(struct canon_body *b) {
	emit_breaks(b);
	if (b->space) emit(b, " ", 1);
	if (b->cr) emit(b, "\r", 1);
	b->space = b->cr = false;
}

/* ---- what goes in ---- */

static void take_byte(struct canon_body *b, char c) {
	if (b->cr && c == '\n') {
		b->breaks++;
		b->space = b->cr = false;
		return;
	}
	if (b->cr) emit_held(b);
	if (c == '\r') {
		b->cr = true;
	} else if (b->relaxed && ascii_blank(c)) {
		b->space = true;
	} else {
		emit_held(b);
		emit(b, &c, 1);
	}
}

/* No byte of it is followed by what makes it deviate. Plain enough to be vectorised; reads one byte behind the block.
 */
static bool block_clean(const char *at) {
	unsigned char bad = 0;
	for (size_t i = 0; i < BLOCK; i++)
		bad |= (unsigned char)((at[i] == '\t') | ((at[i] == ' ') & ((at[i + 1] == ' ') | (at[i + 1] == '\t') |
									    (at[i + 1] == '\r'))));
	return bad == 0;
}

static bool deviates(const char *at) {
	return at[0] == '\t' || (at[0] == ' ' && (ascii_blank(at[1]) || at[1] == '\r'));
}

/* Nothing is held back, and the last byte is neither blank nor part of a line end. */
static void take_relaxed(struct canon_body *b, const char *at, size_t len) {
	size_t from = 0, i = 0;
	while (i < len) {
		size_t end = len;
		if (len - i > BLOCK) {
			end = i + BLOCK;
			if (block_clean(at + i)) {
				i = end;
				continue;
			}
		}
		while (i < end) {
			if (i + 1 >= len || !deviates(at + i)) {
				i++;
				continue;
			}
			emit(b, at + from, i - from);
			while (ascii_blank(at[i])) i++;
			if (at[i] != '\r' || at[i + 1] != '\n') emit(b, " ", 1);
			from = i;
		}
	}
	emit(b, at + from, len - from);
}

static bool endable(char c, bool relaxed) {
	return c == '\r' || c == '\n' || (relaxed && ascii_blank(c));
}

void canon_body_bytes(struct canon_body *b, struct slice bytes) {
	size_t i = 0, end = bytes.len;
	while (i < end && (b->breaks != 0 || b->space || b->cr)) take_byte(b, bytes.at[i++]);
	while (end > i && endable(bytes.at[end - 1], b->relaxed)) end--;
	if (end > i && b->relaxed) take_relaxed(b, bytes.at + i, end - i);
	else if (end > i) emit(b, bytes.at + i, end - i);
	for (i = MAX_OF(i, end); i < bytes.len; i++) take_byte(b, bytes.at[i]);
}

void canon_body_end(struct canon_body *b, uint8_t digest[32]) {
	if (b->cr) emit_held(b); /* a lone CR is text */
	b->space = false;
	if (!b->relaxed || b->size != 0) emit(b, "\r\n", 2); /* a simple body is never empty (RFC 6376 §3.4.3) */
	room_flush(b);
	SHA256_Final(digest, &b->hash);
}

/* ---- header fields ---- */

static struct slice without_line_end(struct slice field) {
	if (slice_ends(field, S("\n"))) field.len--;
	if (slice_ends(field, S("\r"))) field.len--;
	return field;
}

static void relaxed_field(struct buf *out, struct slice field) {
	char *to = buf_room(out, field.len + 2);
	if (to == NULL) return;
	size_t n = 0, colon = slice_find(field, ':');
	for (size_t i = 0; i < colon; i++) to[n++] = ascii_lower(field.at[i]);
	while (n != 0 && ascii_blank(to[n - 1])) n--;
	if (colon < field.len) to[n++] = ':';
	bool blank = false;
	size_t first = n;
	for (size_t i = colon + 1; i < field.len; i++) {
		char c = field.at[i];
		if (c == '\r' && i + 1 < field.len && field.at[i + 1] == '\n') {
			i++;
		} else if (ascii_blank(c)) {
			blank = true;
		} else {
			if (blank && n != first) to[n++] = ' ';
			blank = false;
			to[n++] = c;
		}
	}
	to[n++] = '\r';
	to[n++] = '\n';
	out->len += n;
}

void canon_field(struct buf *out, enum canon c, struct slice field) {
	field = without_line_end(field);
	if (c == CANON_RELAXED) {
		relaxed_field(out, field);
		return;
	}
	buf_add(out, field);
	buf_add(out, S("\r\n"));
}

/* ---- tag lists ---- */

/* Letters first, then also digits and underlines (§3.2, tag-name). */
static bool tag_name_good(struct slice name) {
	if (name.len == 0 || !ascii_alpha(name.at[0])) return false;
	for (size_t i = 1; i < name.len; i++)
		if (!ascii_alpha(name.at[i]) && !ascii_digit(name.at[i]) && name.at[i] != '_') return false;
	return true;
}

/* Printable, with blanks and folds; UTF-8 is allowed since RFC 8616. */
static bool tag_value_good(struct slice value) {
	for (size_t i = 0; i < value.len; i++)
		if (ascii_control(value.at[i]) && !ascii_space(value.at[i])) return false;
	return slice_is_ascii(value) || utf8_valid(value);
}

int tags_parse(struct slice text, struct tag tags[static TAGS_MAX]) {
	int count = 0;
	for (struct slice rest = text; rest.at != NULL;) {
		struct slice spec = slice_cut(&rest, ';');
		if (rest.at == NULL && slice_trim(spec).len == 0 && count != 0) break; /* behind the last semicolon */
		size_t equal = slice_find(spec, '=');
		if (equal == spec.len || count == TAGS_MAX) return -1;
		struct tag t = { slice_trim(slice_head(spec, equal)),
				 slice_trim(slice_from(spec.at + equal + 1, spec.len - equal - 1)) };
		if (!tag_name_good(t.name) || !tag_value_good(t.value) || tag_find(tags, count, t.name) != NULL)
			return -1;
		tags[count++] = t;
	}
	return count != 0 ? count : -1;
}

const struct tag *tag_find(const struct tag *tags, int count, struct slice name) {
	for (int i = 0; i < count; i++)
		if (slice_eq(tags[i].name, name)) return &tags[i];
	return NULL;
}

bool tag_next(struct slice *rest, struct slice *name, struct slice *value) {
	if (rest->at == NULL) return false;
	*value = slice_cut(rest, ';');
	bool pair = slice_find(*value, '=') < value->len;
	*name = pair ? slice_trim(slice_cut(value, '=')) : SLICE_NONE;
	*value = slice_trim(*value);
	return true;
}

bool tag_base64(struct slice value, struct arena *mem, struct slice *out) {
	char *packed = arena_get(mem, value.len + 4);
	size_t n = 0;
	for (size_t i = 0; i < value.len; i++)
		if (!ascii_space(value.at[i])) packed[n++] = value.at[i];
	AUTO_BUF struct buf bytes = BUF(n + 4);
	if (!base64_read(&bytes, slice_from(packed, n))) return false;
	*out = arena_slice(mem, buf_slice(&bytes));
	return true;
}
