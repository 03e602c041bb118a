/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 2047. Neighbours of one charset go through one converter, because many programs cut characters in two between
 * words, and blanks inside the text of a word are let through, because others forget to encode them. */
#include "mime/decode.h"
#include "mime/header.h"

struct word {
	struct slice charset, text;
	enum encoding encoding;
	size_t len; /* of the whole word */
};

struct reader {
	struct slice line;
	size_t at;
	size_t close;            /* the next "?=" at or behind `at`, line.len for none; looked for once */
	struct charset *charset; /* open between neighbours */
	struct slice charset_name;
	struct buf *out;
};

/* A word that starts at r->at: =?charset?b?text?= */
static bool word_at(struct reader *r, struct word *out) {
	struct slice rest = slice_skip(r->line, r->at + 2);
	struct word w;
	w.charset = slice_head(rest, slice_find(slice_head(rest, 64), '?'));
	rest = slice_skip(rest, w.charset.len);
	if (w.charset.len == 0 || rest.len < 5 || rest.at[0] != '?' || rest.at[2] != '?') return false;
	char kind = ascii_lower(rest.at[1]);
	if (kind != 'b' && kind != 'q') return false;
	w.encoding = kind == 'b' ? ENCODING_BASE64 : ENCODING_QP;
	rest = slice_skip(rest, 3);
	size_t start = (size_t)(rest.at - r->line.at);
	if (r->close < start) r->close = start + slice_search(rest, S("?="));
	if (r->close >= r->line.len) return false;
	w.text = slice_head(rest, r->close - start);
	if (slice_search(w.text, S("=?")) < w.text.len) return false;
	w.len = r->close + 2 - r->at;
	*out = w;
	return true;
}

static void add_word(struct reader *r, const struct word *w) {
	if (r->charset != NULL && !slice_same(r->charset_name, w->charset)) charset_finish(&r->charset, r->out);
	if (r->charset == NULL) r->charset = charset_open(w->charset);
	r->charset_name = w->charset;
	AUTO_BUF struct buf bytes = BUF(MIB(1));
	struct transfer t = transfer_start(w->encoding);
	struct slice rest = w->text;
	while (rest.at != NULL && rest.len != 0) { /* an underscore is a blank in Q, nothing in B */
		struct slice part = w->encoding == ENCODING_QP ? slice_cut(&rest, '_') : rest;
		transfer_feed(&t, part, &bytes);
		if (w->encoding == ENCODING_BASE64) break;
		if (rest.at != NULL) transfer_feed(&t, S("=20"), &bytes);
	}
	if (w->encoding == ENCODING_QP) transfer_feed(&t, S("=0A"), &bytes); /* keeps blanks at the end */
	transfer_finish(&t, &bytes);
	if (w->encoding == ENCODING_QP) bytes.len--;
	charset_feed(r->charset, buf_slice(&bytes), r->out);
}

/* Text between words. Japanese programs of old put raw ISO-2022-JP here. */
static void add_plain(struct reader *r, struct slice text) {
	if (text.len == 0) return;
	charset_finish(&r->charset, r->out);
	bool japanese = slice_search(text, S("\x1b$")) < text.len;
	struct charset *c = charset_open(japanese ? S("iso-2022-jp") : S(""));
	charset_feed(c, text, r->out);
	charset_finish(&c, r->out);
}

static void add_line(struct reader *r) {
	size_t plain = 0; /* where text that is not written yet starts */
	while (r->at < r->line.len) {
		struct word w;
		r->at += slice_search(slice_skip(r->line, r->at), S("=?"));
		if (r->at >= r->line.len) break;
		if (!word_at(r, &w)) {
			r->at += 2;
			continue;
		}
		struct slice between = slice_skip(slice_head(r->line, r->at), plain);
		if (r->charset == NULL || slice_trim(between).len != 0) add_plain(r, between);
		add_word(r, &w);
		r->at += w.len;
		plain = r->at;
	}
	add_plain(r, slice_skip(r->line, plain));
	charset_finish(&r->charset, r->out);
}

void header_text_add(struct buf *out, struct slice value) {
	AUTO_ARENA struct arena mem = { 0 };
	AUTO_BUF struct buf text = BUF(MIB(4));
	struct reader r = { .line = header_unfold(value, &mem), .out = &text };
	add_line(&r);
	for (size_t i = 0; i < text.len; i++) /* what was hidden in a word must not break lines */
		if (ascii_control(text.at[i])) text.at[i] = ' ';
	buf_add(out, buf_slice(&text));
}

struct slice header_text(struct slice value, struct arena *mem) {
	AUTO_BUF struct buf text = BUF(MIB(4));
	header_text_add(&text, value);
	return arena_slice(mem, buf_slice(&text));
}
