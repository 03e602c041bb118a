/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/buf.h"
/* Comparing text as people mean it, whatever the language: i;unicode-casemap (RFC 5051), which I18NLEVEL=1 (RFC 5255)
 * wants for sorting. Text becomes a key once; keys compare byte by byte (slice_order): titlecased, then decomposed for
 * compatibility (NFKD). Broken UTF-8 counts as U+FFFD. */
void collate_casemap(struct buf *out, struct slice utf8);
