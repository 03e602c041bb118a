/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "conf/lookup.h"
#include "conf/network.h"
/* A list of domains that may name tables: mydestination, relay_domains, virtual_alias_domains (postconf(5)). The names
 * and files in it are conf's; a word "type:table" matches when the table has the domain as a key, whatever its value.
 * The first word that matches decides. */
struct domain_set {
	const struct domains *list;   /* NULL: nothing matches */
	struct table **tables; /* one for each pattern of list; NULL where that is a name. NULL: no tables at all */
};
/* Opens the tables that a list names. TABLE_FOUND, or TABLE_BAD with fail_text(): the others work all the same. */
int domain_set_open(struct tables *tables, const struct domains *list, struct arena *mem, struct domain_set *out);
/* TABLE_FOUND, TABLE_MISSING or TABLE_LATER. */
int domain_set_match(const struct domain_set *set, struct slice domain, struct arena *mem);
