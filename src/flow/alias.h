/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "conf/lookup.h"
/* aliases(5): what a name that would go to local(8) stands for. Addresses begin anew; commands and files go to the
 * agent with the rights of whoever owns the table, :include: files are read here. owner-NAME becomes the sender of what
 * NAME expands to. */
struct alias_params {
	struct lookup maps;           /* alias_maps */
	const struct slice *
		rights; /* one for each table: the Unix user who owns it; empty: root or nobody knows (default_privs) */
	bool expand_owner;            /* expand_owner_alias */
	bool frozen;                  /* frozen_delivered_to: Delivered-To keeps the alias's address */
	bool commands, files;         /* allow_mail_to_commands, allow_mail_to_files: alias */
	bool include_commands, include_files; /* the same: include */
};
enum { ALIAS_DEPTH = 100, ALIAS_INCLUDE_MAX = 4 << 20 };
