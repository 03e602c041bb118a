/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/arena.h"
#include "conf/expand.h"
/* Templates of replies (smtpd_reject_footer, default_rbl_reply), whose $names are filled with what clients say. */

/* The bytes that a $name may bring in (smtpd_expansion_filter: the bytes themselves, C's escapes for some); others
 * become '_'. */
struct expand_filter {
	bool allowed[256];
};
void expand_filter_parse(struct expand_filter *f, struct slice text);
void expand_filtered(struct buf *out, const struct expand_filter *f, struct slice value); /* f NULL: all may come in */
void expand_local_time(struct buf *out); /* $localtime */

/* The footer's lines, LF between them, where the template has "\n"; "\c" in front stays for whoever sends it. Empty:
 * there is none, or it is malformed. */
struct slice expand_footer(struct slice template, const struct expand_ops *ops, struct arena *mem);
