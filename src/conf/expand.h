/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/buf.h"
/* The expressions inside a value, as Postfix has them (compat 2.2):
 *
 *   $name ${name} $(name)                     the value of a parameter, empty when there is none
 *   ${name?text} ${name?{text}}               text when the value is not empty
 *   ${name:text} ${name:{text}}               text when the value is empty
 *   ${name?{text}:{text}}                     one or the other
 *   ${{a} == {b} ? {text} : {text}}           == != < <= >= >: as numbers when both are digits only, else as text
 *   ${{a} <level {b} ? {text} : {text}}       the same six on versions such as 3.11
 *   ${domain_to_ascii{text}}                  a domain in its ASCII form
 *   $$                                        one $
 *
 * The text of a branch is expanded only when it is taken. */
struct expand_ops {
	/* Adds the value, fully expanded, and says whether there is such a parameter. <0 ends the expansion. */
	int (*value)(void *ctx, struct slice name, struct buf *out);
	void *ctx;
	unsigned *depth; /* shared by expansions that value() starts: names within names count like braces within braces
			  */
};
enum { EXPAND_KNOWN, EXPAND_UNKNOWN };
#define EXPAND_DEPTH 100            /* references within references, as in Postfix */
#define EXPAND_LIMIT KIB(256)       /* bytes of one expanded value */

/* Adds the expanded text to out. <0: malformed, too deep or too long; fail_text() says what and shows the place. */
int expand(struct slice text, const struct expand_ops *ops, struct buf *out) MUST_USE;
/* Calls visit for each parameter name that the text mentions, taken or not, also inside braces. */
void expand_names(struct slice text, void (*visit)(void *ctx, struct slice name), void *ctx);
