/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "admin/admin.h"
#include "conf/conf.h"
#include "db/db.h"
#include "flow/ask.h"
/* Core's part in DKIM's keys: which domains are ours, so that vault makes keys for them; and the operator's wishes. */
struct dkim_domains {
	struct ask_text *at;
	size_t count;
};
/* Domains with accounts, aliases or `hato domain add`, those of mydestination, virtual_alias_domains and
 * virtual_mailbox_domains (without tables), and mydomain; without names that only this machine knows, and without those
 * that the keys of a domain above them sign for. <0 fail(). */
int dkim_domains_of(struct db_conn *c, const struct conf_view *v, struct arena *mem, struct dkim_domains *out);
/* A name that only this machine or its network knows: localhost, mail.lan. */
bool domain_of_this_machine(struct slice name);
/* admin_ops, by way of vault. */
int dkim_list_by(struct link *vault, struct slice domain, struct arena *mem, struct keyring_key **out, size_t *count);
int dkim_change_by(struct link *vault, const struct admin_dkim *what);
struct dkim_change_ask dkim_ask_of(const struct admin_dkim *what, struct ask_text *domain); /* domain: room for one */
