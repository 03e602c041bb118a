/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/buf.h"
/* Mailbox names. The store keeps UTF-8; IMAP4rev1 clients say modified UTF-7 (RFC 3501 §5.1.3). */
enum { IMAP_NAME_MAX = 1024 }; /* bytes of UTF-8 */
/* Adds the name as UTF-8. Text that is UTF-8 already passes (RFC 9051 clients, UTF8=ACCEPT). False: not valid modified
 * UTF-7 (stray '&', overlong or superfluous encoding, lone surrogates), control characters; then out has what came
 * before. */
bool imap_name_read(struct buf *out, struct slice said);
bool imap_name_put(struct buf *out, struct slice utf8); /* the modified UTF-7 text itself, unquoted */
/* May a new mailbox have this name (UTF-8)? Net-Unicode without controls and line separators: RFC 9051 §5.1, RFC 6855
 * §3. */
bool imap_name_new(struct slice utf8);
/* LIST's match: '*' any run, '%' any run without the delimiter '/'. INBOX as first name matches in any case. Patterns
 * longer than a name may be match nothing. */
bool imap_name_match(struct slice pattern, struct slice name);
