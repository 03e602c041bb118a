/* SPDX-License-Identifier: Apache-2.0 */
/* A table in a list of domains answers by having the key: virtual_alias_domains = $virtual_alias_maps is how most
 * people never have to write the list at all. */
#include "flow/domain_set.h"

int domain_set_open(struct tables *tables, const struct domains *list, struct arena *mem, struct domain_set *out) {
	int answer = TABLE_FOUND;
	*out = (struct domain_set){ .list = list };
	for (size_t i = 0; i < list->count; i++) {
		if (list->at[i].table.len == 0) continue;
		if (out->tables == NULL) out->tables = arena_array(mem, list->count, sizeof(struct table *));
		if (table_open(tables, list->at[i].table, 0, &out->tables[i]) == TABLE_BAD) answer = TABLE_BAD;
	}
	return answer;
}

int domain_set_match(const struct domain_set *set, struct slice domain, struct arena *mem) {
	if (set->list == NULL) return TABLE_MISSING;
	if (set->tables == NULL) return domains_match(set->list, domain) ? TABLE_FOUND : TABLE_MISSING;
	for (size_t i = 0; i < set->list->count; i++) {
		const struct domain_pattern *p = &set->list->at[i];
		bool here;
		if (p->table.len != 0) {
			struct slice value;
			int r = set->tables[i] != NULL ? table_find(set->tables[i], domain, mem, &value)
						       : TABLE_MISSING;
			if (r == TABLE_LATER) return r;
			here = r == TABLE_FOUND;
		} else {
			here = domain_pattern_match(p, set->list->parents, domain);
		}
		if (here) return p->except ? TABLE_MISSING : TABLE_FOUND;
	}
	return TABLE_MISSING;
}
