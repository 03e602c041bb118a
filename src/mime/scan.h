/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "mime/decode.h"
#include "mime/summary.h"
/* Inside of the scanner, for the files that make it up; the other rooms use summary.h. */

/* The preview: readable text of the first parts that have any, one line. Fed with the raw body of one text part at a
 * time. */
struct preview {
	struct text_decoder *decoder; /* open while a text part is read */
	struct buf decoded, line;
	unsigned characters, tried;
	size_t budget;                /* raw bytes that may still be looked at in this part */
	bool blank;                   /* a blank is due before the next word */
};
void preview_init(struct preview *p);
void preview_done(struct preview *p);
void preview_open(struct preview *p, const struct part *part); /* when it is a text part worth reading */
void preview_feed(struct preview *p, struct slice raw);
void preview_close(struct preview *p);

/* What a header block says. Everything kept is copied into mem. */
void scan_part_fields(struct slice block, bool in_digest, struct arena *mem, struct part *out);
void scan_envelope_fields(struct slice block, struct arena *mem, struct envelope *out);
/* Fields that count only in the message's own header: hints, dates, references. */
void scan_message_fields(struct slice block, struct arena *mem, struct summary *out);

/* Fills next and child from parent; false when the parents make no tree within the limits. */
bool summary_link(struct part *parts, size_t count);
static inline bool part_is_multipart(const struct part *p) { return slice_eq(p->type, S("multipart")); }
static inline bool part_is_global(const struct part *p) {
	return slice_eq(p->type, S("message")) && slice_eq(p->subtype, S("global"));
}
/* A message/global that was not read (it may be coded, RFC 6532 §3.7; or it was stored before it was) is a leaf. */
static inline bool part_is_message(const struct part *p) {
	return (slice_eq(p->type, S("message")) && slice_eq(p->subtype, S("rfc822"))) ||
	       (p->child != 0 && part_is_global(p));
}
static inline bool part_is_text(const struct part *p) { return slice_eq(p->type, S("text")); }
