/* SPDX-License-Identifier: Apache-2.0 */
/* Text parts that turn out to have no words (an empty plain part beside HTML) make room for the next one. */
#include "base/encode.h"
#include "mime/scan.h"

enum { RAW_MAX = 64 * 1024, PARTS_TRIED_MAX = 4, PIECE = 512 };

void preview_init(struct preview *p) {
	*p = (struct preview){ .decoded = BUF(KIB(64)), .line = BUF(KIB(4)) };
}

void preview_done(struct preview *p) {
	preview_close(p);
	buf_done(&p->decoded);
	buf_done(&p->line);
}

void preview_open(struct preview *p, const struct part *part) {
	bool html = slice_eq(part->subtype, S("html"));
	bool readable = part_is_text(part) && (html || slice_eq(part->subtype, S("plain")));
	if (!readable || slice_eq(part->disposition, S("attachment")) || p->line.len != 0 ||
		p->tried == PARTS_TRIED_MAX) return;
	p->tried++;
	p->budget = RAW_MAX;
	p->decoder = text_decoder_open(part->encoding, param_raw(part->params, part->params_count, S("charset")), html);
}

static bool is_blank(uint32_t c) {
	return c <= 0x20 || c == 0x7f || (c >= 0x80 && c <= 0xa0) || c == 0x3000 || c == 0xfeff ||
		(c >= 0x2000 && c <= 0x200f) || c == 0x2028 || c == 0x2029;
}

static void fold(struct preview *p) {
	struct slice rest = buf_slice(&p->decoded);
	while (rest.len != 0 && p->characters < SUMMARY_PREVIEW) {
		uint32_t c = utf8_next(&rest);
		if (is_blank(c)) {
			p->blank = p->line.len != 0;
			continue;
		}
		if (p->blank && ++p->characters < SUMMARY_PREVIEW) buf_byte(&p->line, ' ');
		p->blank = false;
		if (p->characters < SUMMARY_PREVIEW) utf8_add(&p->line, c);
		p->characters++;
	}
	buf_clear(&p->decoded);
}

void preview_feed(struct preview *p, struct slice raw) {
	raw = slice_head(raw, p->budget);
	p->budget -= raw.len;
	for (; raw.len != 0 && p->characters < SUMMARY_PREVIEW; raw = slice_skip(raw, PIECE)) {
		text_decoder_feed(p->decoder, slice_head(raw, PIECE), &p->decoded);
		fold(p);
	}
}

void preview_close(struct preview *p) {
	if (p->decoder == NULL) return;
	text_decoder_finish(&p->decoder, &p->decoded);
	fold(p);
	p->blank = false;
}
