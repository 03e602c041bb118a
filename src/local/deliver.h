/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "conf/lookup.h"
#include "conf/network.h"
#include "local/place.h"
/* local(8): mail for users of this machine. In this order, as in Postfix: ~/.forward; mailbox_transport;
 * mailbox_command; the mailbox in the user's home or in the spool. aliases(5) came before, in core (flow/route.h). Who
 * is no user: fallback_transport, luser_relay, or unknown.
 *
 * A command or file of somebody (local_recipient.rights) is refused unless he owns a file of alias_maps or it stands in
 * his
 * ~/.forward still: core, which talks with users, must not be able to run what it likes. */
struct local_params {
	struct slice host, delimiters; /* myhostname, recipient_delimiter */
	const struct domains *destinations; /* user@these is the user himself */
	struct slice queue_directory;
	struct exported exported;               /* export_environment */
	struct slice forward_path, forward_filter;
	bool forward_commands, forward_files, include_commands, include_files; /* allow_mail_to_… */
	bool delivered_command, delivered_file, delivered_forward; /* prepend_delivered_header */
	bool original_header;                   /* enable_original_recipient */
	bool home_needed, owner_needed;         /* require_home_directory, strict_mailbox_ownership */
	struct lookup transport_maps, fallback_maps, command_maps;
	struct slice transport, fallback, luser_relay;
	struct slice command, shell, command_filter, folder, folder_filter; /* folder: command_execution_directory */
	int64_t command_ms;
	struct slice home_mailbox, spool;
	struct mbox_locks locks;
	uint64_t size_limit;
	struct rights others;                   /* default_privs; uid 0: there is no such user */
	bool (*owns_aliases)(void *ctx, uid_t uid); /* one of alias_maps is a file of his */
	void *ctx;
};
void local_deliver(const struct local_params *p, const struct local_message *m, const struct local_recipient *to,
		   struct arena *mem, struct local_outcome *out);
