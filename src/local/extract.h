/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "local/rights.h"
/* A program that says what is written in a file (search_text_program): it gets the file on its standard input and two
 * arguments more, its media type ("application/pdf") and its name (may be empty; no '/' and no control characters in
 * it), and says the text in UTF-8. It runs as a Unix user without rights, in "/", with a bare environment (PATH, LANG,
 * HOME, TMPDIR), cannot call anybody by socket (seal_offline), and what it started ends with it. */
struct extract_program {
	const char *const *argv;
	size_t argc;
	struct rights who;
	int64_t limit_ms;
	uint64_t memory_limit; /* of its addresses (RLIMIT_AS) */
	size_t text_limit;     /* what comes behind is cut off */
};
/* Delivered: text has it. Never (5.): it has none; text of the outcome says why. Later (4.): the program does not run
 * at all. */
void extract_run(const struct extract_program *p, struct slice type, struct slice name, int file, struct arena *mem,
		 struct buf *text, struct local_outcome *out);
