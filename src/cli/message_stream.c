/* SPDX-License-Identifier: Apache-2.0 */
/* `hato check-mail` and `hato forward check` read messages here. */
#include "cli/message_stream.h"
#include "mime/header.h"

enum { HEADER_MAX = 1 << 20, CHUNK = 1 << 16 };

struct reading {
	const struct message_stream *to;
	struct buf header;
	bool in_body, cr; /* cr: the last byte was one */
};

/* Is that the start of a message? */
static bool is_header(struct slice header) {
	struct fields f = { .block = header };
	struct field first;
	return fields_next(&f, &first) && first.start == 0 && memchr(header.at, '\0', header.len) == NULL;
}

static bool begin_body(struct reading *r, size_t length) {
	struct slice all = buf_slice(&r->header), header = slice_head(all, length);
	if (slice_starts(header, S("From "))) header = slice_skip(header, slice_find(header, '\n') + 1);
	if (!is_header(header)) return false;
	r->in_body = true;
	r->to->header(r->to->ctx, header);
	r->to->body(r->to->ctx, slice_skip(all, MIN_OF(length + 2, all.len)));
	buf_done(&r->header);
	return true;
}

static bool take(struct reading *r, struct slice text) {
	if (r->in_body) return r->to->body(r->to->ctx, text), true;
	size_t before = r->header.len;
	if (!buf_add(&r->header, text)) return false;
	struct slice all = buf_slice(&r->header), tail = slice_skip(all, before > 3 ? before - 3 : 0);
	size_t end = slice_search(tail, S("\r\n\r\n"));
	return end == tail.len || begin_body(r, (size_t)(tail.at - all.at) + end + 2);
}

/* Files of Unix have LF; what is signed has CRLF. */
static bool take_raw(struct reading *r, struct slice raw) {
	AUTO_BUF struct buf text = BUF(2 * CHUNK + 2);
	for (size_t i = 0; i < raw.len; i++) {
		if (raw.at[i] == '\n' && !r->cr) buf_byte(&text, '\r');
		buf_byte(&text, raw.at[i]);
		r->cr = raw.at[i] == '\r';
	}
	return take(r, buf_slice(&text));
}

enum message_streamed message_stream_read(const struct message_stream *s, FILE *f) {
	AUTO_FREE char *chunk = mem_get(CHUNK);
	struct reading r = { .to = s, .header = BUF(HEADER_MAX) };
	bool good = true, ends = true;
	for (size_t n; good && (n = fread(chunk, 1, CHUNK, f)) != 0;) {
		good = take_raw(&r, slice_from(chunk, n));
		ends = chunk[n - 1] == '\n';
	}
	bool failed = ferror(f) != 0;
	if (good && !ends) good = take(&r, S("\r\n"));
	if (good && !failed && !r.in_body) good = begin_body(&r, r.header.len);
	buf_done(&r.header);
	return failed ? MESSAGE_UNREADABLE : good ? MESSAGE_STREAMED : MESSAGE_NONE;
}
