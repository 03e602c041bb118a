/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/arena.h"
#include "base/buf.h"
/* A mailbox is who mail goes to or comes from: a local part and a domain (RFC 5321 §4.1.2, RFC 5322 §3.4, RFC 6531).
 *
 * `local` is what is meant, without the quotes and backslashes of the wire; mailbox_add puts them back where they are
 * needed and only there, so that "john"@x and john@x are one text. `domain` is as it was written, without a final dot;
 * an address literal keeps its brackets. Two mailboxes are the same when mailbox_same says so: domains ignore case. */
struct mailbox {
	struct slice local, domain;
};

/* The path of MAIL FROM: and RCPT TO:, that is the text behind the colon. Leading blanks are skipped; <> may be missing
 * unless STRICT; a source route (@a,@b:) is dropped. Limits of RFC 5321 §4.5.3.1: local part 64, domain 255, whole
 * mailbox 254 bytes. Everything the mailbox points to is in `mem` or in `text`.
 *
 * `rest` gets what follows the path (" SIZE=100"); with rest NULL anything but blanks behind the path is bad. */
enum address_answer {
	ADDRESS_OK,
	ADDRESS_EMPTY,       /* <>: the null reverse-path; *out is empty */
	ADDRESS_POSTMASTER,  /* <postmaster> in any case, without domain (RFC 5321 §4.5.1); local is set */
	ADDRESS_LOCAL_ONLY,  /* any other local part without domain; local is set */
	ADDRESS_BAD,         /* not a path; *out and *rest untouched, as is their habit */
};
enum address_flag {
	ADDRESS_UTF8 = 1,       /* SMTPUTF8: UTF-8 in local part and domain */
	ADDRESS_STRICT = 2,     /* <> required, no a..b or .a or a. outside quotes (strict_rfc821_envelopes) */
	ADDRESS_LONG_LOCAL = 4, /* local part limited by the 254 only: VERP and SRS make such addresses */
};
enum address_answer address_parse_path(struct slice text, unsigned flags, struct arena *mem, struct mailbox *out,
	struct slice *rest);
/* The same for a bare mailbox that stands alone (settings, aliases, command lines): never a route. */
enum address_answer address_parse(struct slice text, unsigned flags, struct arena *mem, struct mailbox *out);

/* The canonical text local@domain, quoted where RFC 5321 needs it; only the local part when there is no domain, nothing
 * for the null path. */
void mailbox_add(struct buf *out, struct mailbox m);
struct slice mailbox_text(struct arena *mem, struct mailbox m);
bool mailbox_same(struct mailbox a, struct mailbox b); /* local part exact, domain without case */

/* A host or mail domain: labels of letters, digits, hyphens inside and underscores, 1 to 63 bytes each, 255 together;
 * not digits and dots only. With utf8 also valid UTF-8 labels. An address literal is no domain. */
bool domain_valid(struct slice domain, bool utf8);
/* [192.0.2.1] or [IPv6:2001:db8::1] */
bool domain_is_literal(struct slice domain);
/* The form for DNS and for comparing: lower case, U-labels as A-labels (IDNA 2008, UTS 46). False for what is none. */
bool domain_ascii(struct slice domain, struct arena *mem, struct slice *out);

/* An address field of a header (From, To, Cc, …; RFC 5322 §3.4 and §4.4), in reading order. Nothing is refused: what
 * can be read is read, the rest is skipped. Linear; at most ADDRESS_LIST_MAX entries are kept.
 *
 * A group is its name between two markers, as IMAP's ENVELOPE wants it. `name` has quotes, backslashes, folds and
 * comments removed; RFC 2047 words in it stay as they are (header_text makes UTF-8 of them). A mailbox without display
 * name takes its last comment: joe@x (Joe). `local` is without quotes; `domain` empty when the text has none. */
enum { ADDRESS_LIST_MAX = 10000 };
struct address {
	enum { ADDRESS_MAILBOX, ADDRESS_GROUP, ADDRESS_GROUP_END } kind;
	struct slice name, route, local, domain; /* route: "@a,@b", obsolete */
};
struct address_list {
	struct address *at;
	size_t count;
};
struct address_list address_list_parse(struct slice value, struct arena *mem);
