/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/wire.h"
#include "mime/date.h"
#include "mime/header.h"
/* The summary is all that listing, sorting and threading need to know of a message, made once, while it comes in, and
 * stored beside it: IMAP's ENVELOPE and BODYSTRUCTURE, sizes, a preview, hints. A typical one packs into some 600
 * bytes.
 *
 *   struct summary_scan *scan = summary_scan_new();
 *   while (…) summary_scan_feed(scan, piece);       pieces of any size: the result is the same
 *   summary_scan_finish(scan, &summary);            valid until summary_scan_free(&scan)
 *
 * Lines end in CRLF; a lone LF is a line end too. Memory is bounded, time is linear, nothing is refused: fields beyond
 * SCAN_HEADER_MAX are not seen, structure beyond SCAN_DEPTH_MAX or SCAN_PARTS_MAX is one opaque part. */
enum {
	/* bytes of the message's own header, and once more for the headers of all parts together */
	SCAN_HEADER_MAX = 256 * 1024,
	SCAN_DEPTH_MAX = 50,
	SCAN_PARTS_MAX = 1000,
	SCAN_REFERENCES_MAX = 100,
	SCAN_BOUNDARY_MAX = 200,      /* longer boundaries are compared that far (RFC 2046 allows 70) */
	SUMMARY_PREVIEW = 200,        /* characters */
};

/* The fields of ENVELOPE, raw and unfolded; empty when absent. The first of each name counts. `blank` has a bit for
 * those of date, subject, in_reply_to and message_id (1, 2, 4, 8) that are there but empty: IMAP tells that from
 * absent. */
struct envelope {
	struct slice date, subject, from, sender, reply_to, to, cc, bcc, in_reply_to, message_id;
	uint32_t blank;
};

/* One part of the body: a header and a body. parts[0] is the message itself. The children of a multipart are its parts,
 * the one child of a message/rfc822, and of a message/global that is not coded, is the message in it. A multipart
 * always has a child: one without any part gets an empty text/plain. Order is that of the text: a part stands before
 * its children. Type, subtype, encoding, disposition and names of parameters are lower case; defaults of RFC 2045 are
 * filled in (text/plain; message/rfc822 in a digest), `encoding` and all below stay empty when the field is absent.
 * Parameters as in header.h. */
struct part {
	uint32_t parent;       /* index; of parts[0]: 0 */
	/* index of the next part with the same parent, or 0 (links are not packed: parent says all) */
	uint32_t next;
	uint32_t child;        /* index of the first child, or 0 */
	uint32_t envelope;     /* index into envelopes + 1, or 0: only messages have one */
	struct slice type, subtype, encoding, id, description, disposition, language, location, md5;
	struct param *params, *disposition_params;
	size_t params_count, disposition_params_count;
	/* From the start of the message. The header runs from header_start to body_start, empty line included; the line
	 * end before a boundary belongs to the boundary, not to the body. */
	uint64_t header_start, body_start, body_end;
	uint64_t lines;        /* line ends in the body */
};

enum summary_flag {
	SUMMARY_HAS_ATTACHMENT = 1 << 0,
	SUMMARY_HAS_DATE = 1 << 1,
	SUMMARY_HAS_MESSAGE_ID = 1 << 2,
	SUMMARY_HAS_FROM = 1 << 3,
	SUMMARY_8BIT_HEADER = 1 << 4,     /* any header, of parts too: needs SMTPUTF8 */
	SUMMARY_8BIT_BODY = 1 << 5,       /* needs 8BITMIME */
	SUMMARY_NUL = 1 << 6,             /* a NUL byte anywhere */
	SUMMARY_BARE_LF = 1 << 7,         /* a line end without CR */
	SUMMARY_MIME = 1 << 8,            /* has MIME-Version */
	SUMMARY_BULK = 1 << 9,            /* Precedence: bulk, junk or list */
	SUMMARY_AUTO_SUBMITTED = 1 << 10,
		/* Auto-Submitted other than "no", or X-Auto-Response-Suppress with OOF, AutoReply or All */
	SUMMARY_LIST = 1 << 11,           /* any List-* field or a Mailing-List field */
	SUMMARY_MANY_FROM = 1 << 12,      /* more than one From field (RFC 5322 allows one) */
	SUMMARY_CUT = 1 << 13,            /* a limit was reached */
	SUMMARY_GLOBAL = 1 << 14,         /* a message/global was looked into: BODYSTRUCTURE has two forms */
};

struct summary_text { struct slice text; };
struct summary_id { uint64_t hash; };

struct summary {
	uint64_t size, header_size, body_lines, longest_line; /* bytes; longest without its line end */
	uint32_t flags;
	uint32_t received_count;
	int64_t sent;                      /* Date field, seconds UTC; 0 without SUMMARY_HAS_DATE or when unreadable */
	int zone;                          /* of the Date field, minutes */
	/* msgid_hash of References, else of In-Reply-To; oldest first; when too many, the first and the last ones */
	struct summary_id *references;
	size_t references_count;
	struct slice list_id;              /* inside <>, RFC 2919 */
	struct summary_text *delivered_to; /* mail loop check; at most 100 */
	size_t delivered_to_count;
	struct slice preview;              /* UTF-8, one line */
	struct envelope *envelopes;        /* [0] is the message's own */
	size_t envelopes_count;
	struct part *parts;
	size_t parts_count;
};

struct summary_scan;
struct summary_scan *summary_scan_new(void) NONNULL_RESULT;
void summary_scan_feed(struct summary_scan *scan, struct slice piece);
void summary_scan_finish(struct summary_scan *scan, struct summary *out);
void summary_scan_free(struct summary_scan **scan); /* NULL is fine */

/* As it is stored: what FETCH answers most, ready to be sent, stands before the packed fields, so that listing a
 * mailbox formats nothing. Only who stores a summary makes this form (the text is believed); summary_unpack reads both.
 */
struct summary_ready {
	struct slice envelope,
		structure; /* as summary_imap_envelope and summary_imap_bodystructure (extended, not rev2) make them */
	struct slice preview;
	uint32_t flags;
	uint64_t header_size;
};
void summary_pack_ready(struct buf *b, const struct summary *v);
bool summary_ready_get(struct slice stored, struct summary_ready *out); /* false: stored without, or broken */

/* A version byte and the fields. Reading copies nothing but arrays: text points into the packed bytes. Broken or newer
 * packing sets w->bad; indices are checked, so that what was read can be walked safely. */
enum { SUMMARY_VERSION = 1, SUMMARY_VERSION_READY = 2 };
void summary_pack(struct buf *b, const struct summary *v);
void summary_unpack(struct unwire *w, struct summary *v);

/* The message's own header got so many bytes more (or less) at its start: where things are moves along. */
void summary_shift(struct summary *s, int64_t by);

/* IMAP's text forms, RFC 3501 §7.4.2, with their outer parentheses and without the item's name. Text that a quoted
 * string cannot hold is a literal {n}CRLF. */
void summary_imap_envelope(struct buf *out, const struct summary *s);
/* extended: BODYSTRUCTURE; else BODY. rev2: a message/global nests like a message/rfc822 (RFC 9051 §9, media-message),
 * which RFC 3501 did not know: there it is a leaf. */
void summary_imap_bodystructure(struct buf *out, const struct summary *s, bool extended, bool rev2);

/* A section of BODY[…] (RFC 3501 §6.4.5) as byte range of the message. Numbers count from 1: of a message that is no
 * multipart, 1 is its body; of a message/rfc822 or message/global part, numbers go on in the message inside.
 * HEADER.FIELDS is the range of HEADER, which the caller filters. */
enum section_kind { SECTION_BODY, SECTION_HEADER, SECTION_TEXT, SECTION_MIME, SECTION_HEADER_FIELDS,
	SECTION_HEADER_FIELDS_NOT };
struct section {
	enum section_kind kind;
	uint32_t part;         /* index of the part the range lies in: its type and encoding are those of the range */
	uint64_t start, end;
	struct slice fields;   /* HEADER.FIELDS: what follows it, "(Date From)" */
};
enum section_answer {
	SECTION_OK,
	SECTION_ABSENT,        /* well formed, but this message has no such part: NIL or an empty text */
	SECTION_BAD,           /* no section at all */
};
/* text: what stands in the brackets: "", "TEXT", "1.2.MIME", "2.HEADER.FIELDS (From)". */
enum section_answer summary_section(const struct summary *s, struct slice text, struct section *out);

/* What digests (digest.h) and searching in fields want of a packed summary, read without unpacking the rest: a tenth of
 * the cost. Text points into `packed`. False: no summary that we know. */
struct summary_head {
	uint64_t header_size;
	uint32_t flags;
	int64_t sent;
	int zone;
	struct slice references;   /* for summary_reference_next */
	struct envelope envelope;  /* the message's own */
};
bool summary_head(struct slice packed, struct summary_head *out);
void summary_head_of(const struct summary *s, struct buf *references, struct summary_head *out); /* of one unpacked */
/* The hashes, oldest first. False: no more. */
bool summary_reference_next(struct slice *references, uint64_t *hash);
