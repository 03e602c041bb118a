/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "conf/opendkim_file.h"
/* The syntax of policyd-spf.conf(5), of PostSRSd 2 (libconfuse) and of /etc/default/postsrsd (shell), as far as those
 * files use it: "key = value" on a line, # begins a comment outside of quotes, values may be quoted or a list in braces
 * over several lines. Values come without quotes, those of a list with commas between them. */
int equal_file_read(struct sources *files, struct slice path, struct problems *problems,
		    struct opendkim_file *out) MUST_USE;
/* The policies of SPF, with policyd_spf_config; senders of forwarded mail, with postsrsd_config. Called as
 * opendkim_adopt. */
struct conf;
void policyd_spf_adopt(struct conf *c);
void postsrsd_adopt(struct conf *c);
