/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "local/local.h"
/* The right-hand side of aliases(5), which is also what a ~/.forward holds: destinations separated by commas and line
 * ends. # begins a comment at the start of a line; "…" keeps blanks and commas together; a comment in brackets and the
 * words before <address> are dropped. */
enum forward_kind { FORWARD_ADDRESS, FORWARD_SELF, FORWARD_COMMAND, FORWARD_FILE, FORWARD_INCLUDE };
struct forward_item {
	enum forward_kind kind;
	struct slice text; /* without quotes, "|", "\" or ":include:" */
};
struct forward_list {
	struct forward_item *at;
	size_t count;
	bool too_many; /* more than LOCAL_TARGETS_MAX: the rest is left out */
};
/* FORWARD_SELF: written with a backslash, or one of the names the user goes by. Nothing is refused: what cannot be read
 * is left out. Linear. */
struct forward_list forward_parse(struct slice text, struct arena *mem);
