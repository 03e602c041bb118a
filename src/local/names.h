/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "local/rights.h"
/* The names that may stand in forward_path, luser_relay, command_execution_directory and the like: $user, $home,
 * $shell, $recipient, $extension, $domain, $local, $recipient_delimiter, in every form of conf/expand.h. */
struct names {
	struct slice user, home, shell, recipient, extension, domain, local, delimiter;
};
/* Does the text speak of $extension or $recipient_delimiter where there is no extension, otherwise than to ask for it
 * with ? or :? Then Postfix leaves such a forward_path out. */
bool names_lack(const struct names *n, struct slice text);
/* Bytes of values outside filter (NULL: all allowed) become "_"; $home and $shell, which are not a stranger's, stay.
 * <0: malformed. */
int names_expand(const struct names *n, struct slice text, const char *filter, struct buf *out);
