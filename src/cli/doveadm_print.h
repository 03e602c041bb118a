/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/buf.h"
/* Rows in the forms of doveadm's -f: table, flow, tab, pager, json. */
struct dove_print;
struct dove_print *dove_print_new(struct slice form); /* NULL: no such form. "formatted" is none of ours */
void dove_print_free(struct dove_print **p);          /* after dove_print_end */

enum {
	DOVE_RIGHT = 1,
	DOVE_HIDDEN = 2 /* no title in flow and pager */,
	DOVE_WIDE = 4 /* takes what the line has left */
};
/* Before the first value. key: of JSON. */
void dove_print_header(struct dove_print *p, const char *key, const char *title, unsigned how);
void dove_print_value(struct dove_print *p, struct slice value);
void dove_print_text(struct dove_print *p, struct slice text); /* of many lines */
void dove_print_end(struct dove_print *p);                     /* writes what is left to the standard output */
