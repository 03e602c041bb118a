/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/arena.h"
#include "base/buf.h"
/* Comparing text as people mean it, whatever the language: i;unicode-casemap (RFC 5051), which I18NLEVEL=1 (RFC 5255)
 * wants for SEARCH, SORT and THREAD. Text becomes a key once; keys compare byte by byte (slice_order), and text holds
 * other text where its key holds the other's key: titlecased, then decomposed for compatibility (NFKD without putting
 * marks into order, as §4 has it), character by character: the key of two texts one behind the other is their keys one
 * behind the other. So "E" is in "É" (which is E and an accent), but "É" is not in "E". Broken UTF-8 counts as U+FFFD.
 * Thread-safe. */
void collate_casemap(struct buf *out, struct slice utf8);
/* The composed form (NFC), which Net-Unicode wants (RFC 5198 §2): utf8 itself where it is that already, else text of
 * mem. utf8 must be valid. */
struct slice collate_composed(struct arena *mem, struct slice utf8);
enum { COLLATE_VERSION = 2 }; /* of the keys: what keeps them makes them again when this has changed */
