/* SPDX-License-Identifier: Apache-2.0 */
#include "access/imap/sort.h"
#include "access/imap/order.h"
#include "base/fail.h"

static const struct { const char *name; enum sort_by by; bool digest;
} words[] = {
	{ "ARRIVAL", SORT_ARRIVAL, false },
	{ "DATE", SORT_DATE, true },
	{ "SIZE", SORT_SIZE, false },
	{ "SUBJECT", SORT_SUBJECT, true },
	{ "FROM", SORT_FROM, true },
	{ "TO", SORT_TO, true },
	{ "CC", SORT_CC, true },
	{ "DISPLAYFROM", SORT_DISPLAYFROM, true },
	{ "DISPLAYTO", SORT_DISPLAYTO, true },
	{ "RELEVANCY", SORT_RELEVANCY, false },
};

/* One key of one message. Texts rest in their part's `text` until all are found. */
struct sort_field {
	uint64_t first;             /* the number, or the text's start */
	const char *at;             /* text; while collecting, its offset */
	size_t len;
};
struct sort_row {
	struct search_found found;
	struct sort_field fields[];
};

bool sort_parse(struct imap_parse *p, struct sort_keys *out) {
	*out = (struct sort_keys){ .count = 0 };
	if (!imap_parse_space(p) || !imap_parse_need(p, '(')) return false;
	do {
		bool reverse = imap_parse_take_word(p, "REVERSE");
		size_t i = 0;
		if (reverse && !imap_parse_space(p)) return false;
		while (i < LEN(words) && !imap_parse_take_word(p, words[i].name)) i++;
		if (i == LEN(words)) return imap_parse_fail(p, "Unknown sort key.");
		if (out->count == SORT_KEYS_MAX) return imap_parse_fail(p, "Too many sort keys.");
		out->at[out->count].by = words[i].by;
		out->at[out->count++].reverse = reverse;
	} while (imap_parse_take(p, ' '));
	return imap_parse_need(p, ')');
}

static bool wants_digest(const struct sort_keys *keys) {
	for (size_t i = 0; i < keys->count; i++)
		for (size_t j = 0; j < LEN(words); j++)
			if (words[j].by == keys->at[i].by && words[j].digest) return true;
	return false;
}

/* Collecting. */

int64_t sort_sent_date(const struct search_run *run) {
	return run->digest.sent != 0 ? run->digest.sent : run->m->received_us / 1000000;
}

static struct slice text_of(const struct digest *d, enum sort_by by) {
	switch (by) {
	case SORT_SUBJECT: return d->subject;
	case SORT_FROM: return d->from;
	case SORT_TO: return d->to;
	case SORT_CC: return d->cc;
	case SORT_DISPLAYFROM: return d->display_from;
	default: return d->display_to;
	}
}

static int collect(struct search_run *run) {
	const struct sort_keys *keys = run->scan->ctx;
	struct buf *rows = &run->part->rows, *text = &run->part->text;
	int r = run->scan->wants_digest ? search_need_digest(run) : 0;
	if (r != 0) return r;
	struct sort_row row = { search_found_of(run) };
	buf_add(rows, slice_from(&row, sizeof row));
	for (size_t i = 0; i < keys->count; i++) {
		struct sort_field f = { .at = NULL };
		switch (keys->at[i].by) {
		case SORT_ARRIVAL: f.first = order_of_number(run->m->received_us / 1000000); break;
		case SORT_DATE: f.first = order_of_number(sort_sent_date(run)); break;
		case SORT_SIZE: f.first = run->m->size; break;
		case SORT_RELEVANCY: f.first = ~(uint64_t)row.found.relevance; break; /* the best first */
		default:
			f.at = (const char *)text->len;
			buf_add(text, text_of(&run->digest, keys->at[i].by));
			f.len = text->len - (size_t)f.at;
			f.first = order_of_text(slice_from(text->at + (size_t)f.at, f.len));
		}
		buf_add(rows, slice_from(&f, sizeof f));
	}
	return rows->full || text->full ? fail("too many messages to sort") : 0;
}

/* Ordering. */

static int compare(const void *ctx, const void *a, const void *b) {
	const struct sort_keys *keys = ctx;
	const struct sort_row *x = a, *y = b;
	for (size_t i = 0; i < keys->count; i++) {
		const struct sort_field *f = &x->fields[i], *g = &y->fields[i];
		int r = f->first != g->first ? (f->first < g->first ? -1 : 1)
					     : slice_order(slice_from(f->at, f->len), slice_from(g->at, g->len));
		if (r != 0) return keys->at[i].reverse ? -r : r;
	}
	return 0;
}

int sort_find(struct search_scan *scan, const struct sort_keys *keys, struct search_result *out) {
	scan->collect = collect;
	scan->ctx = keys;
	scan->wants_digest = wants_digest(keys);
	int r = search_scan(scan);
	if (r != 0) return r;
	size_t size = sizeof(struct sort_row) + keys->count * sizeof(struct sort_field), count = 0;
	for (size_t i = 0; i < scan->part_count; i++) count += scan->parts[i].rows.len / size;
	AUTO_FREE struct order_entry *order = mem_array(count + 1, sizeof *order);
	size_t n = 0;
	for (size_t i = 0; i < scan->part_count; i++) {
		struct search_part *part = &scan->parts[i];
		for (size_t at = 0; at < part->rows.len; at += size) {
			struct sort_row *row = (struct sort_row *)(void *)(part->rows.at + at);
			for (size_t k = 0; k < keys->count; k++)
				if (row->fields[k].len != 0)
					row->fields[k].at = part->text.at + (size_t)row->fields[k].at;
			uint64_t first = row->fields[0].first;
			order[n++] = (struct order_entry){ keys->at[0].reverse ? ~first : first, row };
		}
	}
	order_sort(order, count, compare, keys);
	for (size_t i = 0; i < count; i++) {
		const struct sort_row *row = order[i].thing;
		if (!buf_add(&out->memory, slice_from(&row->found, sizeof row->found)))
			return fail("too many messages to sort");
	}
	out->at = (struct search_found *)(void *)out->memory.at;
	out->count = count;
	out->sorted = true;
	return 0;
}
