/* SPDX-License-Identifier: Apache-2.0 */
/* Whose records are looked at: the domains that mail is received for, and those that keys sign for. Tables made from
 * text are read; of what only answers questions (SQL, LDAP, patterns) the words are kept, to be told. */
#include "base/encode.h"
#include "base/fail.h"
#include "cli/dns.h"
#include "conf/table.h"
#include "role/core_dkim.h"

enum { UNLISTED_MAX = 20 };

void dns_domains_add(struct dns_domains *f, struct slice name, struct slice reports, bool received) {
	struct slice lower = arena_lower(f->mem, name);
	struct dns_domain *d = map_get(&f->seen, lower);
	if (d != NULL) {
		d->received |= received;
		return;
	}
	if (!keyring_name(lower) || slice_find(lower, '.') == lower.len || domain_of_this_machine(lower)) return;
	if (f->count == f->room) {
		f->room = MAX_OF(f->room * 2, (size_t)64);
		struct dns_domain **more = arena_array(f->mem, f->room, sizeof *more);
		if (f->count != 0) memcpy(more, f->at, f->count * sizeof *more);
		f->at = more;
	}
	f->at[f->count++] = d = arena_get(f->mem, sizeof *d);
	*d = (struct dns_domain){ .name = lower, .reports = reports, .received = received };
	map_put(&f->seen, lower, d);
}

static void not_listed(struct dns_domains *f, enum setting_id id, struct slice table) {
	if (f->unlisted == NULL) f->unlisted = arena_array(f->mem, UNLISTED_MAX, sizeof *f->unlisted);
	if (f->unlisted_count == UNLISTED_MAX) return;
	f->unlisted[f->unlisted_count++] =
		(struct dns_unlisted){ slice_of(setting_of(id)->name), arena_slice(f->mem, table),
				       arena_slice(f->mem, slice_of(fail_text())) };
}

static int add_entry(void *ctx, struct slice key, struct slice value) {
	(void)value;
	dns_domains_add(ctx, key, SLICE_NONE, true);
	return 0;
}

void dns_domains_add_settings(struct dns_domains *f, const struct conf_view *v) {
	static const enum setting_id lists[] = { SET_mydestination, SET_virtual_alias_domains,
						 SET_virtual_mailbox_domains };
	struct tables *tables = tables_new(
		&(struct table_params){ .queue_directory = conf_text(v, SET_queue_directory).at,
					.socketmap_most = (size_t)conf_number(v, SET_socketmap_max_reply_size) });
	for (size_t i = 0; i < LEN(lists); i++) {
		const struct domains *list = conf_domains(v, lists[i]);
		for (size_t k = 0; k < list->count; k++) {
			const struct domain_pattern *p = &list->at[k];
			struct table *t;
			if (p->except || p->below) continue;
			if (p->table.len == 0) dns_domains_add(f, p->name, SLICE_NONE, true);
			else if (table_open(tables, p->table, 0, &t) != 0 || table_each(t, add_entry, f) != 0)
				not_listed(f, lists[i], p->table);
		}
	}
	tables_free(&tables);
}

void dns_domains_find_parents(struct dns_domains *f) {
	for (size_t i = 0; i < f->count; i++)
		for (struct slice name = f->at[i]->name; slice_find(name, '.') < name.len && !f->at[i]->below;) {
			slice_cut(&name, '.');
			f->at[i]->below = map_get(&f->seen, name) != NULL;
		}
}

bool dns_key_next(struct slice *text, struct arena *mem, struct dns_key *out) {
	AUTO_BUF struct buf public_key = BUF(KIB(16));
	uint64_t algorithm = 0;
	if (text->len == 0) return false;
	struct slice line = slice_cut(text, '\n');
	*out = (struct dns_key){ 0 };
	out->domain = slice_word(&line, " ");
	out->selector = slice_word(&line, " ");
	slice_number(slice_word(&line, " "), 255, &algorithm);
	out->algorithm = (unsigned)algorithm;
	out->state = slice_word(&line, " ");
	hex_read(&public_key, slice_trim(line));
	out->public_key = arena_slice(mem, buf_slice(&public_key));
	return true;
}
