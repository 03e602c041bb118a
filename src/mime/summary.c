/* SPDX-License-Identifier: Apache-2.0 */
/* Packing. A summary comes from the process that talks to strangers, so what is read back is checked to be a tree with
 * ranges inside the message before anyone walks it. Links between parts follow from `parent` and are not stored. */
#include "mime/scan.h"

/* A list with the fewest bytes an item packs into, and the most items there may be: a count must not take memory. */
#define WIRE_PUT_items(f, item, least, most) WIRE_PUT_list(f, item)
#define WIRE_GET_items(f, item, least, most) \
	v->f##_count = wire_get_count(w, least); \
	if (v->f##_count > (most)) w->bad = true; \
	v->f = w->bad || v->f##_count == 0 ? NULL : arena_array(w->mem, v->f##_count, sizeof(v->f[0])); \
	for (size_t i_ = 0; i_ < v->f##_count && !w->bad; i_++) item##_unpack(w, &v->f[i_]); \
	if (w->bad) v->f##_count = 0;

enum { DELIVERED_TO_MAX = 100 };

#define PARAM_FIELDS(F) F(text, name) F(text, value)
#define TEXT_FIELDS(F) F(text, text)
#define ID_FIELDS(F) F(u64, hash)
#define ENVELOPE_FIELDS(F) \
	F(text, date) \
	F(text, subject) F(text, from) F(text, sender) F(text, reply_to) F(text, to) F(text, cc) F(text, bcc) \
		F(text, in_reply_to) F(text, message_id) F(u32, blank)
#define PART_FIELDS(F) \
	F(u32, parent) F(u32, envelope) F(u64, header_start) F(u64, body_start) F(u64, body_end) F(u64, lines) \
	F(text, type) F(text, subtype) F(text, encoding) F(text, id) F(text, description) F(text, disposition) \
	F(text, language) F(text, location) F(text, md5) \
	F(items, params, param, 2, PARAMS_MAX) F(items, disposition_params, param, 2, PARAMS_MAX)
#define SUMMARY_FIELDS(F) \
	F(u64, size) F(u64, header_size) F(u64, body_lines) F(u64, longest_line) F(u32, flags) F(u32, received_count) \
	F(i64, sent) F(int_, zone) F(items, references, summary_id, 1, SCAN_REFERENCES_MAX) F(text, list_id) \
	F(items, delivered_to, summary_text, 1, DELIVERED_TO_MAX) F(text, preview) \
	F(items, envelopes, envelope, 11, SCAN_PARTS_MAX) F(items, parts, part, 17, SCAN_PARTS_MAX)

#define LOCAL_STRUCT(name, FIELDS) \
	static void name##_pack(struct buf *b, const struct name *v) { FIELDS(WIRE_PUT_) } \
	static void name##_unpack(struct unwire *w, struct name *v) { FIELDS(WIRE_GET_) }
LOCAL_STRUCT(param, PARAM_FIELDS)
LOCAL_STRUCT(summary_text, TEXT_FIELDS)
LOCAL_STRUCT(summary_id, ID_FIELDS)
LOCAL_STRUCT(envelope, ENVELOPE_FIELDS)
LOCAL_STRUCT(part, PART_FIELDS)

void summary_pack(struct buf *b, const struct summary *v) {
	wire_put_u64(b, SUMMARY_VERSION);
	SUMMARY_FIELDS(WIRE_PUT_)
}

bool summary_link(struct part *parts, size_t count) {
	uint32_t last[SCAN_PARTS_MAX] = { 0 }; /* the last child of each part, so far */
	unsigned char depth[SCAN_PARTS_MAX] = { 0 };
	if (count == 0 || count > SCAN_PARTS_MAX || parts[0].parent != 0) return false;
	for (uint32_t i = 0; i < count; i++) parts[i].next = parts[i].child = 0;
	for (uint32_t i = 1; i < count; i++) {
		uint32_t parent = parts[i].parent;
		if (parent >= i || depth[parent] > SCAN_DEPTH_MAX) return false;
		depth[i] = (unsigned char)(depth[parent] + 1);
		if (last[parent] == 0) parts[parent].child = i;
		else parts[last[parent]].next = i;
		last[parent] = i;
	}
	return true;
}

static bool part_sound(const struct summary *s, const struct part *p) {
	bool nests = part_is_multipart(p) || part_is_message(p);
	if (p->header_start > p->body_start || p->body_start > p->body_end || p->body_end > s->size) return false;
	if (p->envelope > s->envelopes_count || nests != (p->child != 0)) return false;
	if (part_is_message(p)) return s->parts[p->child].envelope != 0 && s->parts[p->child].next == 0;
	return true;
}

static bool sound(const struct summary *s) {
	if (!summary_link(s->parts, s->parts_count) || s->parts[0].envelope == 0) return false;
	for (size_t i = 0; i < s->parts_count; i++)
		if (!part_sound(s, &s->parts[i])) return false;
	return true;
}

void summary_pack_ready(struct buf *b, const struct summary *v) {
	AUTO_BUF struct buf text = BUF(b->limit);
	wire_put_u64(b, SUMMARY_VERSION_READY);
	wire_put_u64(b, v->flags);
	wire_put_u64(b, v->header_size);
	summary_imap_envelope(&text, v);
	wire_put_text(b, buf_slice(&text));
	b->full |= text.full;
	buf_clear(&text);
	summary_imap_bodystructure(&text, v, true, false);
	wire_put_text(b, buf_slice(&text));
	b->full |= text.full;
	wire_put_text(b, v->preview);
	summary_pack(b, v);
}

/* Returns the version of what follows. */
static uint64_t summary_ready_read(struct unwire *w, struct summary_ready *out) {
	uint64_t version = wire_get_u64(w);
	if (version != SUMMARY_VERSION_READY) return version;
	wire_get_u32_to(w, &out->flags);
	out->header_size = wire_get_u64(w);
	out->envelope = wire_get_text(w);
	out->structure = wire_get_text(w);
	out->preview = wire_get_text(w);
	return wire_get_u64(w);
}

bool summary_ready_get(struct slice stored, struct summary_ready *out) {
	struct unwire w = UNWIRE(stored, NULL);
	struct summary_ready read = { .flags = 0 };
	if (stored.len == 0 || stored.at[0] != SUMMARY_VERSION_READY) return false;
	if (summary_ready_read(&w, &read) != SUMMARY_VERSION || w.bad) return false;
	*out = read;
	return true;
}

void summary_unpack(struct unwire *w, struct summary *out) {
	struct summary read = { .size = 0 }, *v = &read;
	struct summary_ready ready;
	if (summary_ready_read(w, &ready) != SUMMARY_VERSION) w->bad = true;
	if (w->bad) return;
	SUMMARY_FIELDS(WIRE_GET_)
	if (!w->bad && !sound(v)) w->bad = true;
	if (!w->bad) *out = read;
}

void summary_shift(struct summary *s, int64_t by) {
	uint64_t add = (uint64_t)by;
	s->size += add;
	s->header_size += add;
	for (size_t i = 0; i < s->parts_count; i++) {
		if (i != 0) s->parts[i].header_start += add;
		s->parts[i].body_start += add;
		s->parts[i].body_end += add;
	}
}

/* The fields stand in the order of SUMMARY_FIELDS; what is not wanted is passed over. */
bool summary_head(struct slice packed, struct summary_head *out) {
	struct unwire u = UNWIRE(packed, NULL), *w = &u;
	struct summary_head h;
	struct summary_ready ready;
	if (summary_ready_read(w, &ready) != SUMMARY_VERSION) return false;
	wire_get_u64(w); /* size */
	h.header_size = wire_get_u64(w);
	wire_get_u64(w); /* body_lines, longest_line */
	wire_get_u64(w);
	wire_get_u32_to(w, &h.flags);
	wire_get_u64(w); /* received_count */
	h.sent = wire_get_i64(w);
	wire_get_int_to(w, &h.zone);
	size_t count = wire_get_count(w, 1);
	h.references = w->rest;
	for (size_t i = 0; i < count; i++) wire_get_u64(w);
	h.references.len -= w->rest.len;
	wire_get_text(w); /* list_id */
	count = wire_get_count(w, 1);
	for (size_t i = 0; i < count; i++) wire_get_text(w); /* delivered_to */
	wire_get_text(w); /* preview */
	if (wire_get_count(w, 11) == 0 || w->bad) return false;
	envelope_unpack(w, &h.envelope);
	if (!w->bad) *out = h;
	return !w->bad;
}

void summary_head_of(const struct summary *s, struct buf *references, struct summary_head *out) {
	*out = (struct summary_head){
		.header_size = s->header_size, .flags = s->flags, .sent = s->sent, .zone = s->zone
	};
	for (size_t i = 0; i < s->references_count; i++) wire_put_u64(references, s->references[i].hash);
	out->references = buf_slice(references);
	if (s->envelopes_count != 0) out->envelope = s->envelopes[0];
}

bool summary_reference_next(struct slice *references, uint64_t *hash) {
	struct unwire w = UNWIRE(*references, NULL);
	if (references->len == 0) return false;
	*hash = wire_get_u64(&w);
	*references = w.rest;
	return !w.bad;
}
