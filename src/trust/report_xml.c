/* SPDX-License-Identifier: Apache-2.0 */
/* Aggregate reports. The elements are told one by one, no tree is built. Real reports are broken in many ways: elements
 * may stand in the wrong place, be missing or unknown, have any namespace; what can be read is read. A document type is
 * refused at its first character: without it there are no entities but the five of XML. */
#include "trust/report.h"
#include "base/encode.h"
#include "base/fail.h"
#include "base/library.h"

#include <libxml/parser.h>
#include <libxml/parserInternals.h>

#define CALLS(F) F(xmlCtxtReadMemory) F(xmlFreeDoc) F(xmlFreeParserCtxt) F(xmlNewParserCtxt) F(xmlStopParser)
static struct {
	CALLS(LIBRARY_MEMBER)
} xml;
#define CALL(function) { #function, (void **)(void *)&xml.function },
static const struct library_call calls[] = { CALLS(CALL) };
static const char *const library_names[] = { "libxml2.so.2", "libxml2.so.16", NULL };
static struct library library = { library_names, calls, LEN(calls), PTHREAD_MUTEX_INITIALIZER, false };

enum node {
	OUTSIDE,
	FEEDBACK,
	METADATA,
	RANGE,
	POLICY,
	RECORD,
	ROW,
	EVALUATED,
	REASON,
	IDENTIFIERS,
	AUTH,
	DKIM,
	SPF,
	LEAF,
	UNKNOWN
};

/* The leaf's text goes into one of these. */
enum home { IN_REPORT, IN_RECORD, IN_REASON, IN_DKIM, IN_SPF, IN_RAW, IN_ERRORS };
struct raw { struct slice begin, end, count; };

#define REPORT(field) IN_REPORT, offsetof(struct report_dmarc, field)
#define ROW_OF(field) IN_RECORD, offsetof(struct report_record, field)
static const struct leaf {
	enum node parent;
	const char *name;
	enum home home;
	size_t offset;
	bool word; /* one of a fixed set: lower case */
} leaves[] = {
	{ FEEDBACK, "version", REPORT(version), false },
	{ METADATA, "org_name", REPORT(org), false },
	{ METADATA, "email", REPORT(email), false },
	{ METADATA, "extra_contact_info", REPORT(contact), false },
	{ METADATA, "report_id", REPORT(id), false },
	{ METADATA, "generator", REPORT(generator), false },
	{ METADATA, "error", IN_ERRORS, 0, false },
	{ RANGE, "begin", IN_RAW, offsetof(struct raw, begin), false },
	{ RANGE, "end", IN_RAW, offsetof(struct raw, end), false },
	{ POLICY, "domain", REPORT(domain), true },
	{ POLICY, "adkim", REPORT(adkim), true },
	{ POLICY, "aspf", REPORT(aspf), true },
	{ POLICY, "p", REPORT(p), true },
	{ POLICY, "sp", REPORT(sp), true },
	{ POLICY, "np", REPORT(np), true },
	{ POLICY, "pct", REPORT(percent), false },
	{ POLICY, "fo", REPORT(fo), false },
	{ POLICY, "testing", REPORT(testing), true },
	{ POLICY, "discovery_method", REPORT(discovery), true },
	{ ROW, "source_ip", ROW_OF(source), true },
	{ ROW, "count", IN_RAW, offsetof(struct raw, count), false },
	{ EVALUATED, "disposition", ROW_OF(disposition), true },
	{ EVALUATED, "dkim", ROW_OF(dkim), true },
	{ EVALUATED, "spf", ROW_OF(spf), true },
	{ REASON, "type", IN_REASON, offsetof(struct report_reason, type), true },
	{ REASON, "comment", IN_REASON, offsetof(struct report_reason, comment), false },
	{ IDENTIFIERS, "header_from", ROW_OF(header_from), true },
	{ IDENTIFIERS, "envelope_from", ROW_OF(envelope_from), true },
	{ IDENTIFIERS, "envelope_to", ROW_OF(envelope_to), true },
	{ DKIM, "domain", IN_DKIM, offsetof(struct report_dkim, domain), true },
	{ DKIM, "selector", IN_DKIM, offsetof(struct report_dkim, selector), false },
	{ DKIM, "result", IN_DKIM, offsetof(struct report_dkim, result), true },
	{ DKIM, "human_result", IN_DKIM, offsetof(struct report_dkim, human), false },
	{ SPF, "domain", IN_SPF, offsetof(struct report_spf, domain), true },
	{ SPF, "scope", IN_SPF, offsetof(struct report_spf, scope), true },
	{ SPF, "result", IN_SPF, offsetof(struct report_spf, result), true },
	{ SPF, "human_result", IN_SPF, offsetof(struct report_spf, human), false },
};
/* anywhere: known by its name alone, wherever broken tags have brought it. */
static const struct branch {
	enum node parent;
	const char *name;
	enum node self;
	bool anywhere;
} branches[] = {
	{ FEEDBACK, "report_metadata", METADATA, true },
	{ METADATA, "date_range", RANGE, true },
	{ FEEDBACK, "policy_published", POLICY, true },
	{ FEEDBACK, "record", RECORD, true },
	{ RECORD, "row", ROW, true },
	{ ROW, "policy_evaluated", EVALUATED, true },
	{ EVALUATED, "reason", REASON, false },
	{ RECORD, "identifiers", IDENTIFIERS, true },
	{ RECORD, "identities", IDENTIFIERS, true }, /* of an early draft */
	{ RECORD, "auth_results", AUTH, true },
	{ AUTH, "dkim", DKIM, false },
	{ AUTH, "spf", SPF, false },
};

struct reading {
	xmlParserCtxtPtr parser;
	struct arena *mem;
	struct report_dmarc *out;
	struct slice reason;             /* set: refused */
	enum node stack[REPORT_DEPTH_MAX];
	const struct leaf *leaf;         /* that is open */
	size_t depth, leaf_depth;
	struct buf text;
	struct raw raw;
	size_t records_room, reasons_room, dkims_room, spfs_room, errors_room;
	bool seen;                       /* <feedback> */
};

static void refuse(struct reading *r, struct slice why) {
	if (r->reason.len == 0) r->reason = why;
	xml.xmlStopParser(r->parser);
}

/* One more item of a list in the arena; NULL: enough of them. */
static void *grow(struct arena *mem, void *list, size_t *count, size_t *room, size_t size, size_t most) {
	void *at;
	memcpy(&at, list, sizeof at);
	if (*count == most) return NULL;
	if (*count == *room) {
		size_t more = *room == 0 ? 4 : MIN_OF(*room * 2, most);
		void *fresh = arena_array(mem, more, size);
		if (*count != 0) memcpy(fresh, at, *count * size);
		at = fresh;
		*room = more;
		memcpy(list, &at, sizeof at);
	}
	return (char *)at + (*count)++ * size;
}
#define GROW(r, owner, list, most) \
	grow((r)->mem, &(owner)->list, &(owner)->list##_count, &(r)->list##_room, sizeof *(owner)->list, most)

static struct report_record *record_of(struct reading *r) {
	return r->out->records_count != 0 ? &r->out->records[r->out->records_count - 1] : NULL;
}

static void record_end(struct reading *r) {
	struct report_record *record = record_of(r);
	uint64_t n = 0;
	struct slice digits = r->raw.count;
	if (record == NULL || record->count != 0) return;
	digits = slice_head(digits, slice_find(digits, '.'));
	record->count = slice_number(digits, INT64_MAX, &n) ? n : 0;
	r->raw.count = SLICE_NONE;
}

static void branch_open(struct reading *r, enum node self) {
	if (self == RECORD) {
		record_end(r);
		r->reasons_room = r->dkims_room = r->spfs_room = 0;
		if (GROW(r, r->out, records, REPORT_RECORDS_MAX) == NULL) refuse(r, S("more records than are read"));
		return;
	}
	struct report_record *record = record_of(r);
	if (record == NULL) return;
	if (self == REASON && GROW(r, record, reasons, REPORT_LIST_MAX) == NULL)
		refuse(r, S("more reasons in a record than any report has"));
	if (self == DKIM && GROW(r, record, dkims, REPORT_LIST_MAX) == NULL)
		refuse(r, S("more signatures in a record than any report has"));
	if (self == SPF && GROW(r, record, spfs, REPORT_LIST_MAX) == NULL)
		refuse(r, S("more SPF results in a record than any report has"));
}

static enum node node_of(struct reading *r, enum node parent, const char *name, const struct leaf **leaf) {
	if (parent == OUTSIDE) return strcmp(name, "feedback") == 0 && !r->seen ? FEEDBACK : OUTSIDE;
	for (size_t i = 0; i < LEN(leaves); i++) {
		if (leaves[i].parent != parent || strcmp(leaves[i].name, name) != 0) continue;
		*leaf = &leaves[i];
		return LEAF;
	}
	for (size_t i = 0; i < LEN(branches); i++)
		if (strcmp(branches[i].name, name) == 0 && (branches[i].parent == parent || branches[i].anywhere))
			return branches[i].self;
	/* a leaf that was not closed, since its tag is broken: what follows it is known by its name, if only one place
	 * has it */
	size_t same = 0;
	for (size_t i = 0; i < LEN(leaves) && parent == LEAF; i++) {
		if (strcmp(leaves[i].name, name) != 0) continue;
		*leaf = &leaves[i];
		same++;
	}
	return same == 1 ? LEAF : UNKNOWN;
}

static void on_start(void *ctx, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri, int ns_count,
		     const xmlChar **ns, int count, int defaulted, const xmlChar **attributes) {
	struct reading *r = ctx;
	(void)prefix, (void)uri, (void)ns_count, (void)ns, (void)count, (void)defaulted, (void)attributes;
	enum node parent = r->depth != 0 ? r->stack[r->depth - 1] : OUTSIDE, self;
	const struct leaf *leaf = NULL;
	if (r->reason.len != 0) return;
	if (r->depth == REPORT_DEPTH_MAX) return refuse(r, S("elements are nested deeper than in any report"));
	self = node_of(r, parent, (const char *)name, &leaf);
	if (self == FEEDBACK) r->seen = true;
	if (self == LEAF) {
		r->leaf = leaf;
		r->leaf_depth = r->depth + 1;
		buf_clear(&r->text);
	} else if (self != OUTSIDE && self != UNKNOWN && self != FEEDBACK) {
		branch_open(r, self);
	}
	r->stack[r->depth++] = self;
}

static struct slice *place_of(struct reading *r, const struct leaf *leaf) {
	struct report_record *record = record_of(r);
	char *at = NULL;
	switch (leaf->home) {
	case IN_REPORT: at = (char *)r->out; break;
	case IN_RAW: at = (char *)&r->raw; break;
	case IN_RECORD: at = (char *)record; break;
	case IN_REASON:
		at = record != NULL && record->reasons_count != 0 ? (char *)&record->reasons[record->reasons_count - 1]
								  : NULL;
		break;
	case IN_DKIM:
		at = record != NULL && record->dkims_count != 0 ? (char *)&record->dkims[record->dkims_count - 1]
								: NULL;
		break;
	case IN_SPF:
		at = record != NULL && record->spfs_count != 0 ? (char *)&record->spfs[record->spfs_count - 1] : NULL;
		break;
	case IN_ERRORS: at = GROW(r, r->out, errors, REPORT_LIST_MAX); break;
	}
	return at != NULL ? (struct slice *)(void *)(at + leaf->offset) : NULL;
}

static void leaf_end(struct reading *r) {
	const struct leaf *leaf = TAKE(r->leaf);
	struct slice text = slice_trim(buf_slice(&r->text)), *place = place_of(r, leaf);
	if (place == NULL) return;
	*place = leaf->word ? arena_lower(r->mem, text) : arena_slice(r->mem, text);
	if (leaf->home == IN_RAW && leaf->offset == offsetof(struct raw, count)) record_end(r);
}

static void on_end(void *ctx, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri) {
	struct reading *r = ctx;
	(void)name, (void)prefix, (void)uri;
	if (r->reason.len != 0 || r->depth == 0) return;
	if (r->leaf != NULL && r->depth == r->leaf_depth) leaf_end(r);
	r->depth--;
}

static void on_text(void *ctx, const xmlChar *text, int len) {
	struct reading *r = ctx;
	if (r->leaf == NULL || r->depth != r->leaf_depth || len <= 0) return;
	buf_add(&r->text, slice_from(text, MIN_OF((size_t)len, r->text.limit - r->text.len)));
}

static void on_doctype(void *ctx, const xmlChar *name, const xmlChar *id, const xmlChar *system) {
	(void)name, (void)id, (void)system;
	refuse(ctx, S("the XML has a document type, where entities could be defined: no report needs one"));
}

/* A time: seconds, perhaps with a fraction. */
static int64_t seconds_of(struct slice text) {
	uint64_t n = 0;
	text = slice_head(text, slice_find(text, '.'));
	return slice_number(text, (uint64_t)1 << 40, &n) ? (int64_t)n : 0;
}

/* What declares another charset than UTF-8 and is none is left to the library. */
static bool declares_other(struct slice text) {
	struct slice head = slice_head(text, 200);
	size_t at = slice_search(head, S("encoding="));
	if (at == head.len) return false;
	head = slice_skip(head, at + 10);
	return !slice_starts_same(head, S("utf-8")) && !slice_starts_same(head, S("utf8"));
}

static void parse(struct reading *r, struct slice text) {
	AUTO_BUF struct buf clean = BUF((size_t)REPORT_FILE_MAX * 3);
	bool wide = text.len >= 2 && (text.at[0] == '\0' || text.at[1] == '\0' || slice_starts(text, S("\xff\xfe")) ||
				      slice_starts(text, S("\xfe\xff")));
	const char *charset = "UTF-8";
	if (wide) {
		charset = NULL;
	} else if (!utf8_valid(text)) {
		if (declares_other(text)) charset = NULL;
		else if (utf8_add_clean(&clean, text)) text = buf_slice(&clean);
	}
	xmlSAXHandler told = { .initialized = XML_SAX2_MAGIC,
			       .startElementNs = on_start,
			       .endElementNs = on_end,
			       .characters = on_text,
			       .cdataBlock = on_text,
			       .internalSubset = on_doctype };
	r->parser = xml.xmlNewParserCtxt();
	if (r->parser == NULL) die_now("out of memory");
	*r->parser->sax = told;
	r->parser->userData = r;
	xmlDocPtr tree =
		xml.xmlCtxtReadMemory(r->parser, text.at, (int)text.len, NULL, charset,
				      XML_PARSE_RECOVER | XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
	r->out->repaired = !r->parser->wellFormed;
	if (tree != NULL) xml.xmlFreeDoc(tree);
	if (r->parser->myDoc != NULL) xml.xmlFreeDoc(r->parser->myDoc);
	r->parser->myDoc = NULL;
	xml.xmlFreeParserCtxt(r->parser);
}

bool report_read_xml(struct slice text, struct arena *mem, struct report_dmarc *out, struct slice *reason) {
	struct report_dmarc report = { 0 };
	struct reading r = { .mem = mem, .out = &report, .text = BUF(REPORT_TEXT_MAX) };
	if (slice_starts(text, S("\xef\xbb\xbf"))) text = slice_skip(text, 3);
	text = slice_trim(text);
	if (text.len == 0) return *reason = S("the file is empty"), false;
	if (text.len > REPORT_FILE_MAX) return *reason = S("the XML is larger than any report"), false;
	if (library_load(&library) < 0) return *reason = arena_slice(mem, slice_of(fail_text())), false;
	parse(&r, text);
	record_end(&r);
	buf_done(&r.text);
	report.begin_s = seconds_of(r.raw.begin);
	report.end_s = seconds_of(r.raw.end);
	if (r.reason.len != 0) return *reason = r.reason, false;
	if (!r.seen) return *reason = S("the XML is no report: it has no <feedback>"), false;
	if (report.repaired && !slice_ends_same(text, S("feedback>")))
		return *reason = S("the XML ends in the middle, or is damaged"), false;
	if (report.domain.len == 0 && report.records_count == 0)
		return *reason = S("the report says nothing: no domain and no record"), false;
	*out = report;
	return true;
}
