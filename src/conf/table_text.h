/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "conf/table.h"
/* The source text of a table, for changing it: postmap -i and -d, which in Postfix change the compiled table. Comments
 * and the order of lines stay. Keys are compared without ASCII case. */
struct table_text;
/* flags: TABLE_ALIASES. A file that is not there is an empty one. tell: where broken lines are told, as in
 * table_params. <0: cannot be read. */
int table_text_read(const char *path, unsigned flags, void (*tell)(void *ctx, int level, const char *text), void *ctx,
		    struct table_text **out) MUST_USE;
void table_text_free(struct table_text **t);
bool table_text_remove(struct table_text *t, struct slice key); /* false: there was none */
/* Entries of a text in the same form, behind the others. What stands there already is kept and told (TEXT_KEEP), kept
 * silently (TEXT_SKIP) or replaced (TEXT_REPLACE). */
enum table_text_clash { TEXT_KEEP, TEXT_SKIP, TEXT_REPLACE };
void table_text_add(struct table_text *t, struct slice lines, enum table_text_clash clash);
/* Puts it in the file's place as a whole; mode and owner stay. <0: fail(). */
int table_text_write(const struct table_text *t) MUST_USE;
