/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "access/language.h"
#include "base/buf.h"
/* What both states of a POP3 connection say. */
enum { POP3_LINE = 512 }; /* RFC 2449 §4: 255; names and passwords may be longer */
/* The capabilities that do not change, each on its line (RFC 2449 §6, RFC 3206, RFC 6856). */
void pop3_put_capabilities(struct buf *out, unsigned login_delay_s);
/* "+OK Text." or "-ERR [CODE] Text.", in the language that was chosen. */
void pop3_say(struct buf *out, enum language l, bool good, const char *text);
/* LANG (RFC 6856 §3): what there is, or from now on this language. */
void pop3_lang(struct buf *out, struct slice args, enum language *l);
/* The command in capitals does not matter; *args is what follows one blank. */
struct slice pop3_word(struct slice *line);
