/* SPDX-License-Identifier: Apache-2.0 */
/* A canonical table that gives everybody one sender ("/./ me@example.com"): who refuses our mail reports to that
 * address, and a report that nobody takes is lost. Whether anybody does the server knows: tables, accounts, aliases. */
#include "cli/checking.h"
#include "conf/table.h"

/* What a sender becomes whom no table can know by name; empty: he stays. */
static struct slice everybodys_sender(struct slice list, struct tables *tables, struct arena *mem) {
	for (struct slice word; (word = slice_word(&list, ", \t\r\n")).len != 0;) {
		struct table *table;
		struct slice value;
		if (table_open(tables, word, 0, &table) != TABLE_BAD &&
		    table_find(table, S("hato-check@hato-check.invalid"), mem, &value) == TABLE_FOUND)
			return slice_trim(value);
	}
	return SLICE_NONE;
}

static bool names(struct slice list, struct slice wanted) {
	for (struct slice word; (word = slice_word(&list, ", \t\r\n")).len != 0;)
		if (slice_same(word, wanted)) return true;
	return false;
}

/* "returned: ADDRESS, WHY" of `hato route`; copies that bcc tables make are somebody else's. */
static struct slice why_returned(struct slice shown) {
	while (shown.at != NULL && shown.len != 0) {
		struct slice line = slice_cut(&shown, '\n');
		if (slice_search(line, S(", a copy (")) < line.len) continue;
		if (slice_starts(line, S("returned: "))) return slice_skip(line, slice_find(line, ',') + 1);
	}
	return SLICE_NONE;
}

void check_canonical(struct checking *c, struct tables *tables, struct arena *mem) {
	static const struct { enum setting_id maps, classes; } lists[] = {
		{ SET_sender_canonical_maps, SET_sender_canonical_classes },
		{ SET_canonical_maps, SET_canonical_classes },
	};
	const struct conf_view *v = conf_main(c->conf);
	for (size_t i = 0; i < LEN(lists) && c->running; i++) {
		AUTO_BUF struct buf out = BUF(KIB(64)), err = BUF(KIB(64));
		if (!names(conf_text(v, lists[i].classes), S("envelope_sender"))) continue;
		struct slice sender = everybodys_sender(conf_text(v, lists[i].maps), tables, mem);
		const struct slice ask[] = { S("route"), sender };
		struct conf_raw r;
		if (sender.len == 0 || slice_starts(sender, S("@")) ||
		    !ask_server(c->data, ask, LEN(ask), &out, &err) ||
		    !conf_raw_find(c->conf, slice_of(setting_of(lists[i].maps)->name), &r))
			continue;
		struct slice why = slice_trim(why_returned(buf_slice(&out)));
		if (why.len != 0)
			found_at(c, PROBLEM_WARNING, r.where,
				 "%.*s makes %.*s the sender of everybody's mail, and mail for that address is "
				 "returned (%.*s): who refuses mail reports to nobody (give it an account or a line in "
				 "virtual_alias_maps)",
				 SLICE_ARG(r.name), SLICE_ARG(sender), SLICE_ARG(why));
	}
}
