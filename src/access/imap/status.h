/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "access/imap/state.h"
/* The items of STATUS (RFC 3501 §6.3.10, RFC 9051), also as asked for in LIST's RETURN (STATUS (…)) (RFC 5819). */
bool imap_parse_status_items(struct imap_parse *p, unsigned *items); /* "(MESSAGES UNSEEN)" as a bit set */
uint64_t imap_append_limit(const struct imap_session *s); /* the largest message APPEND takes (RFC 7889) */
/* The whole untagged response. c may be borrowed for reading. */
void imap_put_status(struct imap_session *s, struct db_conn *c, const struct mailbox *m, unsigned items);
void imap_put_special_use(struct buf *out, uint32_t use); /* each with a blank before it */
bool imap_read_special_use(struct slice words,
			   uint32_t *use); /* "\\Sent \\Junk"; empty: none. False: a word that is none */
/* Lines of LIST: what one may do with it, and what is noted about it (names: as they were parsed; c: borrowed for
 * reading). */
/* The line of one mailbox that was opened (RFC 9051 §6.3.2), with OLDNAME where what was said is not composed. */
void imap_put_list(struct imap_session *s, const struct mailbox *m, struct slice said);
/* Mailbox names are kept composed (RFC 9051 §5.1): tells who said name, or the old name said, otherwise (§6.3.9.7). */
void imap_tell_composed(struct imap_session *s, struct slice name, struct slice said, const char *attributes);
void imap_put_myrights(struct imap_session *s, struct slice name, uint32_t rights);
struct metadata;
bool imap_parse_metadata_names(struct imap_session *s, struct imap_parse *p, struct metadata **out);
int imap_put_metadata(struct metadata *names, struct db_conn *c, const struct mailbox *m, uint32_t rights);
