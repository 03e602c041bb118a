/* SPDX-License-Identifier: Apache-2.0 */
/* Two texts grow side by side: one for programs (no codes), one to be shown to people exactly as it was said. */
#include "smtp/client_reply.h"
#include "base/encode.h"

void smtp_reply_reader_done(struct smtp_reply_reader *r) {
	buf_done(&r->text);
	buf_done(&r->said);
}

static size_t digits(struct slice s, size_t from, size_t most) {
	size_t n = 0;
	while (n < most && from + n < s.len && ascii_digit(s.at[from + n])) n++;
	return n;
}

size_t smtp_status_length(struct slice text, char class) {
	if (text.len < 5 || text.at[0] != class || text.at[1] != '.') return 0;
	size_t subject = digits(text, 2, 3), at = 2 + subject;
	if (subject == 0 || at >= text.len || text.at[at] != '.') return 0;
	size_t detail = digits(text, ++at, 3);
	at += detail;
	return detail > 0 && (at == text.len || ascii_blank(text.at[at])) ? at : 0;
}

static void add_clean(struct buf *out, struct slice s) {
	while (s.len > 0) {
		const char *from = s.at;
		uint32_t c = utf8_next(&s);
		size_t len = (size_t)(s.at - from);
		if (c < 32 || c == 127 || (c == 0xFFFD && len == 1)) buf_byte(out, '?');
		else buf_add(out, slice_from(from, len));
	}
}

static enum smtp_reply_result finish(struct smtp_reply_reader *r, struct arena *mem, struct smtp_heard *out) {
	*out = (struct smtp_heard){ .reply = { .code = r->code, .text = arena_slice(mem, buf_slice(&r->text)) },
	                            .said = arena_slice(mem, buf_slice(&r->said)) };
	memcpy(out->reply.status, r->status, sizeof r->status);
	r->lines = 0;
	return SMTP_REPLY_WHOLE;
}

static void begin(struct smtp_reply_reader *r, int code) {
	r->code = code;
	r->status[0] = '\0';
	buf_clear(&r->text);
	buf_clear(&r->said);
	r->text.limit = SMTP_REPLY_TEXT_MAX;
	r->said.limit = SMTP_REPLY_SAID_MAX;
}

enum smtp_reply_result smtp_reply_read(
	struct smtp_reply_reader *r, struct slice line, struct arena *mem, struct smtp_heard *out) {
	if (digits(line, 0, 4) != 3 || line.len > SMTP_REPLY_LINE_MAX) return SMTP_REPLY_BROKEN;
	int code = (line.at[0] - '0') * 100 + (line.at[1] - '0') * 10 + (line.at[2] - '0');
	if (code < 200 || code > 599 || r->lines >= SMTP_REPLY_LINES_MAX) return SMTP_REPLY_BROKEN;
	if (r->lines == 0) begin(r, code);
	if (code != r->code) return SMTP_REPLY_BROKEN;
	bool more = line.len > 3 && line.at[3] == '-';
	struct slice text = slice_skip(line, 3);
	if (text.len > 0 && (more || ascii_blank(text.at[0]))) text = slice_skip(text, 1);
	while (text.len > 0 && ascii_space(text.at[text.len - 1])) text.len--;
	if (r->lines++ > 0) {
		buf_byte(&r->text, '\n');
		buf_byte(&r->said, ' ');
	}
	buf_addf(&r->said, "%d%s", code, more ? "-" : text.len > 0 ? " " : "");
	add_clean(&r->said, text);
	size_t status = smtp_status_length(text, line.at[0]);
	if (status > 0) {
		snprintf(r->status, sizeof r->status, "%.*s", (int)status, text.at);
		text = slice_skip(text, status + 1);
	}
	add_clean(&r->text, text);
	return more ? SMTP_REPLY_MORE : finish(r, mem, out);
}
