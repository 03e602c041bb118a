/* SPDX-License-Identifier: Apache-2.0 */
/* Programs that call sendmail write what they like: text without a header, Unix or DOS line ends, a mailbox file's
 * first line. What leaves here is a message. */
#include "cli/sendmail.h"
#include "mime/address.h"

enum { PIECE = 65536 };

/* One line as it came, without its line end. False: this one is the end. */
static bool take_line(struct reading *r, struct slice line, bool dot_is_text, bool *leading) {
	bool dos = line.len != 0 && line.at[line.len - 1] == '\r';
	if (r->ends == SUBMIT_ENDS_STRICT)
		r->ends = dos ? SUBMIT_ENDS_ALWAYS : SUBMIT_ENDS_NEVER; /* the first line decides */
	if (dos && r->ends == SUBMIT_ENDS_ALWAYS) line.len--;
	if (!dot_is_text && slice_eq(line, S("."))) return false;
	if (*leading) {
		struct slice bare = line;
		while (bare.len != 0 && bare.at[0] == '>') bare = slice_skip(bare, 1);
		if (slice_starts(bare, S("From "))) return true;
		*leading = false;
	}
	if (memchr(line.at != NULL ? line.at : "", '\0', line.len) == NULL && slice_find(line, '\r') == line.len) {
		buf_add(&r->text, line);
	} else {
		for (size_t i = 0; i < line.len; i++)
			if (line.at[i] != '\0') buf_byte(&r->text, line.at[i] == '\r' ? ' ' : line.at[i]);
	}
	buf_add(&r->text, S("\r\n"));
	return true;
}

int reading_take(struct reading *r, int fd, bool dot_is_text, uint64_t limit) {
	AUTO_BUF struct buf in = BUF(SIZE_MAX / 2);
	r->text = BUF(SIZE_MAX / 2);
	bool more = true, leading = true;
	size_t looked = 0; /* no line end before */
	while (more) {
		char *at = buf_room(&in, PIECE);
		ssize_t n = read(fd, at, PIECE);
		if (n < 0 && errno == EINTR) continue;
		if (n < 0) return -1;
		if (n == 0) break;
		in.len += (size_t)n;
		size_t done = 0;
		for (;;) {
			const char *end = memchr(in.at + looked, '\n', in.len - looked);
			if (end == NULL) break;
			looked = (size_t)(end - in.at) + 1;
			more = take_line(r, slice_from(in.at + done, looked - done - 1), dot_is_text, &leading);
			if (!more) return 0;
			done = looked;
		}
		buf_eat(&in, done);
		looked = in.len;
		if (limit != 0 && r->text.len + in.len > limit) {
			r->too_big = true;
			return 0;
		}
	}
	if (in.len != 0) take_line(r, buf_slice(&in), dot_is_text, &leading);
	return 0;
}

/* Is this the first line of a header field? Its name; empty: no. */
static struct slice field_name(struct slice line) {
	size_t n = 0;
	while (n < line.len && line.at[n] > 32 && line.at[n] < 127 && line.at[n] != ':') n++;
	size_t colon = n;
	while (colon < line.len && ascii_blank(line.at[colon])) colon++;
	return n != 0 && colon < line.len && line.at[colon] == ':' ? slice_head(line, n) : SLICE_NONE;
}

static void add_recipients(struct reading *r, struct slice value) {
	struct address_list list = address_list_parse(value, &r->mem);
	struct slice *more = arena_array(&r->mem, r->to_count + list.count, sizeof *more);
	if (r->to_count != 0) memcpy(more, r->to, r->to_count * sizeof *more);
	for (size_t i = 0; i < list.count; i++) {
		const struct address *a = &list.at[i];
		if (a->kind == ADDRESS_MAILBOX && a->local.len != 0)
			more[r->to_count++] = mailbox_text(&r->mem, (struct mailbox){ a->local, a->domain });
	}
	r->to = more;
}

static bool is_any(struct slice name, const char *const *names) {
	for (; *names != NULL; names++)
		if (slice_same(name, slice_of(*names))) return true;
	return false;
}

static void take_field(struct reading *r, struct slice name, struct slice value, bool recipients) {
	static const char *const plain[] = { "To", "Cc", "Bcc", NULL }, *const again[] = { "Resent-To", "Resent-Cc",
											   "Resent-Bcc", NULL };
	if (slice_same(name, S("From"))) r->has_from = true;
	if (slice_same(name, S("Resent-From"))) r->has_resent_from = true;
	if (slice_starts_same(name, S("Resent-"))) r->resent = true;
	if (!slice_is_ascii(value)) r->eight_bit_header = true;
	if (!recipients) return;
	bool resent = is_any(name, again);
	if (resent && !r->has_resent) {
		r->has_resent = true;
		r->to_count = 0;
	}
	if (resent || (!r->has_resent && is_any(name, plain))) add_recipients(r, value);
}

/* The end of the header; where the text goes on without an empty line, one is put between. */
static void end_header(struct reading *r, size_t at) {
	r->header_end = at;
	struct slice rest = slice_skip(buf_slice(&r->text), at);
	if (rest.len == 0 || slice_starts(rest, S("\r\n"))) return;
	size_t len = rest.len;
	if (buf_room(&r->text, 2) == NULL) return;
	memmove(r->text.at + at + 2, r->text.at + at, len);
	memcpy(r->text.at + at, "\r\n", 2);
	r->text.len += 2;
}

void reading_header(struct reading *r, bool recipients) {
	size_t at = 0;
	while (at < r->text.len) {
		struct slice rest = slice_skip(buf_slice(&r->text), at),
			     name = field_name(slice_head(rest, slice_find(rest, '\n')));
		if (name.len == 0) break;
		size_t end = slice_find(rest, '\n') + 1;
		while (end < rest.len && ascii_blank(rest.at[end])) end += slice_find(slice_skip(rest, end), '\n') + 1;
		struct slice field = slice_head(rest, end);
		take_field(r, name, slice_skip(field, slice_find(field, ':') + 1), recipients);
		at += end;
	}
	end_header(r, at);
}

void reading_add_field(struct reading *r, struct slice field) {
	size_t size = field.len + 2, tail = r->text.len - r->header_end;
	if (buf_room(&r->text, size) == NULL) return;
	char *at = r->text.at + r->header_end;
	memmove(at + size, at, tail);
	memcpy(at, field.at, field.len);
	memcpy(at + field.len, "\r\n", 2);
	r->text.len += size;
	r->header_end += size;
}

void reading_done(struct reading *r) {
	buf_done(&r->text);
	arena_done(&r->mem);
}
