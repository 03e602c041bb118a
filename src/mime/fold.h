/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/collate.h"
/* Folding makes text that people take for the same the same bytes: whoever looks for words folds both sides. It is the
 * collation of RFC 5051, so that SEARCH and SORT agree, and adds valid UTF-8 to out; broken bytes become U+FFFD. */
static inline void text_fold(struct buf *out, struct slice utf8) { collate_casemap(out, utf8); }
enum { TEXT_FOLD_VERSION = COLLATE_VERSION };
size_t text_ascii(struct slice s); /* how many bytes at its start are ASCII */
/* How much of a text that goes on may be folded by itself: up to its last blank or line end, else to its last whole
 * character. */
size_t text_fold_whole(struct slice utf8);
