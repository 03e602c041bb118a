/* SPDX-License-Identifier: Apache-2.0 */
/* Nobody labels reports rightly: a gzip may be called application/octet-stream, zip or text. So the first bytes decide
 * what something is, and names and types only what is worth a look. */
#include "trust/report.h"
#include "mime/decode.h"
#include "mime/scan.h"
#include "mime/summary.h"

WIRE_STRUCT(report_text, REPORT_TEXT_FIELDS)
WIRE_STRUCT(report_reason, REPORT_REASON_FIELDS)
WIRE_STRUCT(report_dkim, REPORT_DKIM_FIELDS)
WIRE_STRUCT(report_spf, REPORT_SPF_FIELDS)
WIRE_STRUCT(report_record, REPORT_RECORD_FIELDS)
WIRE_STRUCT(report_dmarc, REPORT_DMARC_FIELDS)
WIRE_STRUCT(report_tls_failure, REPORT_TLS_FAILURE_FIELDS)
WIRE_STRUCT(report_tls_policy, REPORT_TLS_POLICY_FIELDS)
WIRE_STRUCT(report_tls, REPORT_TLS_FIELDS)
WIRE_STRUCT(report_arf, REPORT_ARF_FIELDS)
WIRE_STRUCT(report, REPORT_FIELDS)
WIRE_STRUCT(report_list, REPORT_LIST_FIELDS)

enum { ITEMS_MAX = 20 };

struct finding {
	struct arena *mem;
	struct report_list *out;
	struct slice name;   /* of the attachment or archive */
	size_t budget;
};

static struct report *add(struct finding *f, struct slice name) {
	if (f->out->items == NULL) f->out->items = arena_array(f->mem, ITEMS_MAX, sizeof *f->out->items);
	if (f->out->items_count == ITEMS_MAX) return NULL;
	struct report *r = &f->out->items[f->out->items_count++];
	r->file = arena_slice(f->mem, slice_head(name, 255));
	return r;
}

static void refuse(struct finding *f, struct slice name, struct slice reason) {
	struct report *r = add(f, name);
	if (r == NULL) return;
	r->kind = REPORT_REFUSED;
	r->reason = arena_slice(f->mem, reason);
}

/* The first bytes of XML or JSON, behind marks and blanks; 0: neither. */
static char first_of(struct slice s) {
	if (slice_starts(s, S("\xef\xbb\xbf"))) s = slice_skip(s, 3);
	if (slice_starts(s, S("\xff\xfe")) || slice_starts(s, S("\xfe\xff"))) return '<';
	if (s.len > 1 && s.at[0] == '\0' && s.at[1] == '<') return '<';
	while (s.len != 0 && ascii_space(s.at[0])) s = slice_skip(s, 1);
	return s.len != 0 && (s.at[0] == '<' || s.at[0] == '{' || s.at[0] == '[') ? s.at[0] : '\0';
}

/* A file that is no archive. */
static void read_plain(struct finding *f, struct slice name, struct slice bytes) {
	struct report r = { 0 };
	struct slice reason = S("");
	bool good = false;
	switch (first_of(bytes)) {
	case '<':
		r.kind = REPORT_DMARC;
		good = report_read_xml(bytes, f->mem, &r.dmarc, &reason);
		break;
	case '{':
		r.kind = REPORT_TLS;
		good = report_read_json(bytes, f->mem, &r.tls, &reason);
		break;
	default: reason = bytes.len == 0 ? S("the file is empty") : S("neither XML nor JSON");
	}
	if (!good) return refuse(f, name, reason);
	struct report *place = add(f, name);
	if (place == NULL) return;
	r.file = place->file;
	*place = r;
}

static void unpacked(void *ctx, struct slice name, struct slice bytes) {
	struct finding *f = ctx;
	struct slice whole = name.len != 0 ? name : f->name;
	if (report_archive_of(bytes) != REPORT_PLAIN)
		refuse(f, whole, S("an archive inside an archive: no report is sent like that"));
	else read_plain(f, whole, bytes);
}

static void read_file(struct finding *f, struct slice name, struct slice bytes) {
	struct slice reason;
	f->name = name;
	if (report_archive_of(bytes) == REPORT_PLAIN) return read_plain(f, name, bytes);
	if (!report_archive_each(bytes, &f->budget, &(struct report_archive_ops){ unpacked, f }, &reason))
		refuse(f, name, reason);
}

/* Mail. */

static struct slice part_bytes(struct slice mail, const struct part *p) {
	return slice_head(slice_skip(mail, (size_t)p->body_start), (size_t)(p->body_end - p->body_start));
}

static void decode(struct slice raw, struct slice encoding, struct buf *out) {
	struct transfer t = transfer_start(encoding_of(encoding));
	transfer_feed(&t, raw, out);
	transfer_finish(&t, out);
}

static struct slice name_of(const struct part *p, struct arena *mem) {
	struct slice name = param_text(p->disposition_params, p->disposition_params_count, S("filename"), mem);
	return name.len != 0 ? name : param_text(p->params, p->params_count, S("name"), mem);
}

/* Text for people is a report only when it plainly is one. */
static bool worth_reading(const struct part *p, struct slice bytes, struct slice name) {
	if (report_archive_of(bytes) != REPORT_PLAIN) return true;
	if (slice_ends_same(name, S(".xml")) || slice_ends_same(name, S(".json")) || slice_ends_same(name, S(".gz")) ||
	    slice_ends_same(name, S(".zip")))
		return true;
	bool tlsrpt = slice_starts(p->subtype, S("tlsrpt")) || slice_eq(p->subtype, S("json"));
	if (tlsrpt || slice_search(slice_head(bytes, 4096), S("<feedback")) < MIN_OF(bytes.len, (size_t)4096))
		return first_of(bytes) != '\0';
	return false;
}

static void read_part(struct finding *f, struct slice mail, const struct part *p) {
	AUTO_BUF struct buf bytes = BUF(REPORT_FILE_MAX);
	decode(part_bytes(mail, p), p->encoding, &bytes);
	struct slice name = name_of(p, f->mem);
	if (bytes.len != 0 && worth_reading(p, buf_slice(&bytes), name)) read_file(f, name, buf_slice(&bytes));
}

static void read_feedback(struct finding *f, struct slice mail, const struct summary *s, const struct part *p) {
	AUTO_BUF struct buf fields = BUF(MIB(1));
	struct slice original = S(""), reason;
	struct report r = { .kind = REPORT_ARF };
	for (size_t i = 0; i < s->parts_count; i++) {
		const struct part *q = &s->parts[i];
		if (q->parent != p->parent || !(part_is_message(q) || slice_eq(q->subtype, S("rfc822-headers"))))
			continue;
		original = part_bytes(mail, q);
	}
	decode(part_bytes(mail, p), p->encoding, &fields);
	if (!report_read_arf(buf_slice(&fields), original, f->mem, &r.arf, &reason)) return refuse(f, S(""), reason);
	struct report *place = add(f, S(""));
	if (place != NULL) *place = r;
}

static bool is_feedback(const struct part *p) {
	return slice_eq(p->type, S("message")) && slice_eq(p->subtype, S("feedback-report"));
}

static void read_mail(struct finding *f, struct slice mail) {
	struct summary_scan *scan = summary_scan_new();
	struct summary s;
	bool feedback = false;
	summary_scan_feed(scan, mail);
	summary_scan_finish(scan, &s);
	for (size_t i = 0; i < s.parts_count && !feedback; i++) {
		feedback = is_feedback(&s.parts[i]);
		if (feedback) read_feedback(f, mail, &s, &s.parts[i]);
	}
	for (size_t i = 0; i < s.parts_count && !feedback; i++)
		if (s.parts[i].child == 0) read_part(f, mail, &s.parts[i]);
	summary_scan_free(&scan);
	if (f->out->items_count == 0) f->out->nothing = S("no report in this mail");
}

/* mbox's first line is not part of the mail. */
static struct slice without_from_line(struct slice s) {
	size_t end = slice_find(s, '\n');
	return slice_starts(s, S("From ")) && end < s.len ? slice_skip(s, end + 1) : s;
}

static bool looks_like_mail(struct slice s) {
	struct fields walk = { .block = slice_head(s, SCAN_HEADER_MAX) };
	struct field f;
	return fields_next(&walk, &f) && f.start == 0;
}

void report_read(struct slice bytes, struct arena *mem, struct report_list *out) {
	struct finding f = { .mem = mem, .out = out, .budget = REPORT_UNPACKED_MAX };
	*out = (struct report_list){ 0 };
	if (bytes.len > REPORT_FILE_MAX) return refuse(&f, S(""), S("larger than any report"));
	struct slice mail = without_from_line(bytes);
	bool is_file = report_archive_of(bytes) != REPORT_PLAIN || first_of(bytes) != '\0';
	if (!is_file && looks_like_mail(mail)) return read_mail(&f, mail);
	read_file(&f, S(""), bytes);
}
