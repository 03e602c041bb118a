/* SPDX-License-Identifier: Apache-2.0 */
/* The grammar of RFC 5256 §5 peeled from both ends until nothing more comes off. Each round takes at least one byte,
 * and looks at a "[blob]" once, so that a subject made of brackets costs no more than another. */
#include "mime/subject.h"
#include "mime/header.h"

static bool blank(char c) { return c == ' ' || c == '\t'; }

static struct slice skip_blank(struct slice s) {
	while (s.len != 0 && blank(s.at[0])) s = slice_skip(s, 1);
	return s;
}

/* subj-blob: "[" without brackets inside "]", and blanks behind. The length, 0 for none. */
static size_t blob_length(struct slice s) {
	if (s.len == 0 || s.at[0] != '[') return 0;
	for (size_t i = 1; i < s.len; i++) {
		if (s.at[i] == '[') return 0;
		if (s.at[i] == ']') return s.len - skip_blank(slice_skip(s, i + 1)).len;
	}
	return 0;
}

/* subj-refwd: "re", "fw" or "fwd", a blob perhaps, a colon. */
static size_t refwd_length(struct slice s) {
	struct slice rest = slice_skip(s, 2);
	if (slice_starts_same(s, S("fwd"))) rest = slice_skip(s, 3);
	else if (!slice_starts_same(s, S("re")) && !slice_starts_same(s, S("fw"))) return 0;
	rest = skip_blank(rest);
	rest = slice_skip(rest, blob_length(rest));
	return rest.len != 0 && rest.at[0] == ':' ? s.len - rest.len + 1 : 0;
}

static bool drop_trailers(struct slice *s, bool *reply) {
	size_t before = s->len;
	for (;;) {
		if (s->len != 0 && blank(s->at[s->len - 1])) {
			s->len--;
		} else if (slice_ends_same(*s, S("(fwd)"))) {
			s->len -= 5;
			*reply = true;
		} else {
			return s->len != before;
		}
	}
}

/* subj-leader: any blobs and then a "re:", or a blank. A blob alone is not one. */
static bool drop_leader(struct slice *s, bool *reply) {
	struct slice rest = *s;
	size_t n;
	if (rest.len != 0 && blank(rest.at[0])) {
		*s = skip_blank(rest);
		return true;
	}
	while ((n = blob_length(rest)) != 0) rest = slice_skip(rest, n);
	if ((n = refwd_length(rest)) == 0) return false;
	*s = slice_skip(rest, n);
	return *reply = true;
}

/* All blobs in front at once: behind none of them is a leader, drop_leader has looked. The last stays if it is all. */
static bool drop_blobs(struct slice *s) {
	bool dropped = false;
	size_t n;
	while ((n = blob_length(*s)) != 0 && n != s->len) {
		*s = slice_skip(*s, n);
		dropped = true;
	}
	return dropped;
}

struct slice subject_base(struct slice text, bool *reply) {
	*reply = false;
	for (;;) {
		drop_trailers(&text, reply);
		while (drop_leader(&text, reply)) continue;
		if (drop_blobs(&text)) continue;
		if (!slice_starts_same(text, S("[fwd:")) || !slice_ends(text, S("]"))) return text;
		text = slice_head(slice_skip(text, 5), text.len - 6);
		*reply = true;
	}
}

/* Nothing in it has to be decoded: true of most. */
static bool is_plain(struct slice raw) {
	for (size_t i = 0; i < raw.len; i++)
		if ((unsigned char)raw.at[i] >= 127 || ((unsigned char)raw.at[i] < 32 && raw.at[i] != '\t'))
			return false;
	return slice_search(raw, S("=?")) == raw.len;
}

void subject_add_base(struct buf *out, struct slice raw, bool *reply) {
	AUTO_BUF struct buf text = BUF(MIB(1));
	if (is_plain(raw)) buf_add(&text, raw);
	else header_text_add(&text, raw);
	size_t len = 0;
	for (size_t i = 0; i < text.len; i++) {
		char c = blank(text.at[i]) ? ' ' : text.at[i];
		if (c != ' ' || (len != 0 && text.at[len - 1] != ' ')) text.at[len++] = c;
	}
	buf_add(out, subject_base(slice_from(text.at, len), reply));
}
