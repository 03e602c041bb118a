/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/buf.h"
#include "mime/address.h"
#include "mime/date.h"
/* Building messages: bounces, reports, notices, vacation answers. Everything is appended to a buf, in the order of the
 * message; lines end in CRLF. Text is UTF-8. Control bytes in values become blanks: no value can start a field of its
 * own. */

/* Unstructured text (Subject): folded at 78 columns, RFC 2047 words where it is not ASCII. */
void compose_text_field(struct buf *out, const char *name, struct slice text);
/* A structured value that is right as it is (Content-Type, Auto-Submitted, the fields of RFC 3464): folded at blanks,
 * not encoded. */
void compose_field(struct buf *out, const char *name, struct slice value);
/* An address field; names are quoted or encoded as they need. */
void compose_address_field(struct buf *out, const char *name, const struct address *list, size_t count);
void compose_mailbox_field(struct buf *out, const char *name, struct slice display, struct mailbox m);
/* A name in any charset as RFC 2047 words of at most 75 bytes with "CR LF blank" between them, for a phrase or a
 * comment. False, and nothing is added: the charset is no word that could stand there. */
bool compose_name_words(struct buf *out, const char *charset, struct slice name);
void compose_date_field(struct buf *out, struct date d);
/* <time.random@host>, without the field's name */
struct slice compose_message_id(struct arena *mem, struct slice host);

/* A text part: Content-Type, Content-Transfer-Encoding, empty line, body. Any line ends become CRLF. 7bit when it is
 * ASCII with lines up to 998; else 8bit when eight_bit allows it; else quoted-printable. subtype: "plain", "html". */
void compose_text(struct buf *out, const char *subtype, struct slice text, bool eight_bit);
void compose_quoted_printable(struct buf *out, struct slice bytes);
void compose_base64(struct buf *out, struct slice bytes); /* lines of 76 */

/* A multipart. type is the whole start of the value: "multipart/report; report-type=delivery-status".
 *
 *   struct multipart m = multipart_begin(&b, "multipart/mixed");   ends the fields with an empty line
 *   multipart_part(&b, &m);                                        then fields and body of the part
 *   multipart_end(&b, &m); */
struct multipart {
	char boundary[40]; /* random: cannot be in any part */
};
struct multipart multipart_begin(struct buf *out, const char *type);
void multipart_part(struct buf *out, const struct multipart *m);
void multipart_end(struct buf *out, const struct multipart *m);

/* A part that holds another message, whole or only its header (RFC 3462), declared 8bit where it is. */
void compose_message_part(struct buf *out, struct slice message);
void compose_headers_part(struct buf *out, struct slice message);
/* The start of a message/delivery-status part (RFC 3464): then compose_field for the message group, compose_group,
 * compose_field for each recipient group, … */
void compose_status_part(struct buf *out);
void compose_group(struct buf *out);
