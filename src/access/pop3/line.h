/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/buf.h"
/* What both states of a POP3 connection say. */
enum { POP3_LINE = 512 }; /* RFC 2449 §4: 255; names and passwords may be longer */
/* The capabilities that do not change, each on its line (RFC 2449 §6, RFC 3206, RFC 6856). */
void pop3_put_capabilities(struct buf *out, unsigned login_delay_s);
/* The command in capitals does not matter; *args is what follows one blank. */
struct slice pop3_word(struct slice *line);
