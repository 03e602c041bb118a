/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/buf.h"
/* Folding makes text that people take for the same the same bytes: case, width and composition do not matter (Unicode
 * case folding and NFKC). Whoever looks for words folds both sides. Adds valid UTF-8 to out; broken bytes become
 * U+FFFD. */
void text_fold(struct buf *out, struct slice utf8);
size_t text_ascii(struct slice s); /* how many bytes at its start are ASCII */
/* How much of a text that goes on may be folded by itself: up to its last blank or line end, else to its last whole
 * character. */
size_t text_fold_whole(struct slice utf8);
