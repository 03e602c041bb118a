/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the files of this room share. */
#include "base/slice.h"

bool address_is_atext(char c); /* RFC 5322 atext, and UTF-8 (RFC 6532) */

/* Blanks, line ends and (nested (comments)) at the start of *rest. */
static inline void skip_comment(struct slice *rest) {
	int depth = 0;
	do {
		char c = rest->at[0];
		depth += c == '(' ? 1 : c == ')' ? -1 : 0;
		*rest = slice_skip(*rest, c == '\\' ? 2 : 1);
	} while (depth > 0 && rest->len != 0);
}

static inline void skip_blanks(struct slice *rest) {
	while (rest->len != 0 && (ascii_space(rest->at[0]) || rest->at[0] == '(')) {
		if (rest->at[0] == '(') skip_comment(rest);
		else *rest = slice_skip(*rest, 1);
	}
}
