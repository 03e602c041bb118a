/* SPDX-License-Identifier: Apache-2.0 */
/* Which fields of a header matter, as tables: a name and where its value goes, or what is done with it. */
#include "mime/scan.h"

enum { DELIVERED_TO_MAX = 100 };

/* Values are copied, because the block is used again for the next header. */
static struct slice kept(struct slice value, struct arena *mem) {
	return arena_slice(mem, header_unfold(value, mem));
}

static const struct slot {
	const char *name;
	size_t at;
	uint32_t blank; /* bit in envelope.blank */
} envelope_slots[] = {
	{ "date", offsetof(struct envelope, date), 1 }, { "subject", offsetof(struct envelope, subject), 2 },
	{ "from", offsetof(struct envelope, from) }, { "sender", offsetof(struct envelope, sender) },
	{ "reply-to", offsetof(struct envelope, reply_to) }, { "to", offsetof(struct envelope, to) },
	{ "cc", offsetof(struct envelope, cc) }, { "bcc", offsetof(struct envelope, bcc) },
	{ "in-reply-to", offsetof(struct envelope, in_reply_to), 4 },
	{ "message-id", offsetof(struct envelope, message_id), 8 },
}, part_slots[] = {
	{ "content-id", offsetof(struct part, id) }, { "content-description", offsetof(struct part, description) },
	{ "content-language", offsetof(struct part, language) },
	{ "content-location", offsetof(struct part, location) },
	{ "content-md5", offsetof(struct part, md5) },
};

static const struct slot *slot_of(const struct slot *slots, size_t count, struct slice name) {
	for (size_t i = 0; i < count; i++)
		if (slice_same(name, slice_of(slots[i].name))) return &slots[i];
	return NULL;
}

void scan_envelope_fields(struct slice block, struct arena *mem, struct envelope *out) {
	struct fields fields = { .block = block };
	struct field f;
	while (fields_next(&fields, &f)) {
		const struct slot *slot = slot_of(envelope_slots, LEN(envelope_slots), f.name);
		struct slice *value = slot != NULL ? (struct slice *)(void *)((char *)out + slot->at) : NULL;
		if (value == NULL || value->at != NULL) continue;
		*value = kept(f.value, mem);
		if (value->len == 0) out->blank |= slot->blank;
	}
}

static void default_type(struct part *p, bool in_digest) {
	p->type = in_digest ? S("message") : S("text");
	p->subtype = in_digest ? S("rfc822") : S("plain");
}

/* RFC 2045 §5.2: what does not read as a type is text/plain. So is a multipart that does not say its boundary. */
static void set_type(struct part *p, const struct structured *s) {
	struct slice rest = s->value, type = slice_cut(&rest, '/');
	struct slice subtype = slice_head(rest, slice_find(rest, '/'));
	bool multipart = slice_eq(type, S("multipart"));
	p->params = s->params;
	p->params_count = s->params_count;
	default_type(p, false);
	if (multipart && param_raw(s->params, s->params_count, S("boundary")).len == 0) return;
	if (multipart && subtype.len == 0) subtype = S("mixed");
	if (type.len == 0 || subtype.len == 0) return;
	p->type = type;
	p->subtype = subtype;
}

/* The block is not kept, so what structured_parse borrowed from it is copied. */
static void copy_params(struct structured *s, struct arena *mem) {
	for (size_t i = 0; i < s->params_count; i++) {
		s->params[i].name = arena_slice(mem, s->params[i].name);
		s->params[i].value = arena_slice(mem, s->params[i].value);
	}
}

static void set_disposition(struct part *p, struct slice value, struct arena *mem) {
	struct structured s;
	structured_parse(value, mem, &s);
	copy_params(&s, mem);
	p->disposition = s.value.len != 0 ? s.value : S("attachment");
	p->disposition_params = s.params;
	p->disposition_params_count = s.params_count;
}

void scan_part_fields(struct slice block, bool in_digest, struct arena *mem, struct part *out) {
	struct fields fields = { .block = block };
	struct field f;
	while (fields_next(&fields, &f)) {
		if (!slice_starts_same(f.name, S("content-"))) continue;
		const struct slot *slot = slot_of(part_slots, LEN(part_slots), f.name);
		struct slice *value = slot != NULL ? (struct slice *)(void *)((char *)out + slot->at) : NULL;
		if (value != NULL && value->at == NULL) {
			*value = kept(f.value, mem);
		} else if (out->type.at == NULL && slice_same(f.name, S("content-type"))) {
			struct structured s;
			structured_parse(f.value, mem, &s);
			copy_params(&s, mem);
			if (s.value.len != 0) set_type(out, &s);
		} else if (out->encoding.at == NULL && slice_same(f.name, S("content-transfer-encoding"))) {
			struct structured s;
			structured_parse(f.value, mem, &s);
			out->encoding = s.value;
		} else if (out->disposition.at == NULL && slice_same(f.name, S("content-disposition"))) {
			set_disposition(out, f.value, mem);
		}
	}
	if (out->type.at == NULL) default_type(out, in_digest);
}

struct gathered {
	struct summary *s;
	struct arena *mem;
	struct slice references, in_reply_to;
	uint32_t from_count;
	bool dated;
};

static void on_received(struct gathered *g, struct slice value) {
	(void)value;
	g->s->received_count++;
}

static void on_delivered_to(struct gathered *g, struct slice value) {
	struct summary *s = g->s;
	if (s->delivered_to_count == DELIVERED_TO_MAX) {
		s->flags |= SUMMARY_CUT;
		return;
	}
	if (s->delivered_to == NULL) s->delivered_to = arena_array(g->mem, DELIVERED_TO_MAX, sizeof *s->delivered_to);
	s->delivered_to[s->delivered_to_count++].text = kept(value, g->mem);
}

static void on_date(struct gathered *g, struct slice value) {
	struct date d;
	if (g->dated) return;
	g->dated = true;
	g->s->flags |= SUMMARY_HAS_DATE;
	if (date_parse(value, &d) != DATE_OK) return;
	g->s->sent = d.utc;
	g->s->zone = d.zone;
}

static void on_message_id(struct gathered *g, struct slice value) {
	if (slice_trim(value).len != 0) g->s->flags |= SUMMARY_HAS_MESSAGE_ID;
}

static void on_from(struct gathered *g, struct slice value) {
	(void)value;
	g->s->flags |= g->from_count++ == 0 ? SUMMARY_HAS_FROM : SUMMARY_MANY_FROM;
}

static void on_references(struct gathered *g, struct slice value) {
	if (g->references.at == NULL) g->references = value;
}

static void on_in_reply_to(struct gathered *g, struct slice value) {
	if (g->in_reply_to.at == NULL) g->in_reply_to = value;
}

static void on_precedence(struct gathered *g, struct slice value) {
	value = slice_trim(value);
	if (slice_same(value, S("bulk")) || slice_same(value, S("junk")) ||
		slice_same(value, S("list"))) g->s->flags |= SUMMARY_BULK;
}

static void on_auto_submitted(struct gathered *g, struct slice value) {
	if (!slice_starts_same(slice_trim(value), S("no"))) g->s->flags |= SUMMARY_AUTO_SUBMITTED;
}

static void on_suppress(struct gathered *g, struct slice value) {
	while (value.at != NULL) {
		struct slice word = slice_trim(slice_cut(&value, ','));
		if (slice_same(word, S("OOF")) || slice_same(word, S("AutoReply")) ||
			slice_same(word, S("All"))) g->s->flags |= SUMMARY_AUTO_SUBMITTED;
	}
}

static void on_list_id(struct gathered *g, struct slice value) {
	struct slice id;
	g->s->flags |= SUMMARY_LIST;
	if (g->s->list_id.at == NULL && msgid_next(&value, &id)) g->s->list_id = kept(id, g->mem);
}

static void on_mailing_list(struct gathered *g, struct slice value) {
	(void)value;
	g->s->flags |= SUMMARY_LIST;
}

static void on_mime_version(struct gathered *g, struct slice value) {
	(void)value;
	g->s->flags |= SUMMARY_MIME;
}

static const struct rule {
	const char *name;
	void (*act)(struct gathered *g, struct slice value);
} rules[] = {
	{ "received", on_received }, { "delivered-to", on_delivered_to }, { "date", on_date },
	{ "message-id", on_message_id },
	{ "from", on_from }, { "references", on_references }, { "in-reply-to", on_in_reply_to },
	{ "precedence", on_precedence },
	{ "auto-submitted", on_auto_submitted }, { "x-auto-response-suppress", on_suppress }, { "list-id", on_list_id },
	{ "list-unsubscribe", on_mailing_list }, { "list-post", on_mailing_list }, { "list-help", on_mailing_list },
	{ "list-owner", on_mailing_list }, { "list-subscribe", on_mailing_list }, { "list-archive", on_mailing_list },
	{ "mailing-list", on_mailing_list }, { "mime-version", on_mime_version },
};

/* The first one is where it all began, the last ones are the nearest ancestors. */
static void set_references(struct gathered *g, struct slice value, size_t most) {
	struct summary *s = g->s;
	struct slice id;
	size_t count = 0;
	s->references = arena_array(g->mem, SCAN_REFERENCES_MAX, sizeof *s->references);
	for (; count < most && msgid_next(&value, &id); count++) {
		if (s->references_count == SCAN_REFERENCES_MAX) {
			memmove(s->references + 1, s->references + 2,
				(SCAN_REFERENCES_MAX - 2) * sizeof *s->references);
			s->references_count--;
		}
		s->references[s->references_count++].hash = msgid_hash(id);
	}
}

void scan_message_fields(struct slice block, struct arena *mem, struct summary *out) {
	struct gathered g = { .s = out, .mem = mem };
	struct fields fields = { .block = block };
	struct field f;
	while (fields_next(&fields, &f))
		for (size_t i = 0; i < LEN(rules); i++)
			if (slice_same(f.name, slice_of(rules[i].name))) rules[i].act(&g, f.value);
	if (g.references.at != NULL) set_references(&g, g.references, SIZE_MAX);
	if (out->references_count == 0 && g.in_reply_to.at != NULL) set_references(&g, g.in_reply_to, 1);
}
