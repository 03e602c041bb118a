/* SPDX-License-Identifier: Apache-2.0 */
/* Bringing expunged mail back. Nothing is asked: what comes back can be expunged again. */
#include "admin/inside.h"
#include "admin/text.h"
#include "base/clock.h"
#include "mime/summary.h"
#include "store/bin.h"
#include "user/user.h"

#include <sysexits.h>
#include <time.h>

static const struct column columns[] = {
	{ "EXPUNGED", "expunged", COLUMN_TIME }, { "MAILBOX", "mailbox", COLUMN_TEXT },
	{ "UID", "uid", COLUMN_COUNT },          { "SIZE", "bytes", COLUMN_SIZE },
	{ "FROM", "from", COLUMN_TEXT },         { "SUBJECT", "subject", COLUMN_TEXT },
};

/* "90s", "15m", "3h", "2d", "1w" ago; "2026-11-22", "2026-11-22 13:30", where this machine is. */
static bool read_time(struct admin_call *c, struct slice text, int64_t *us) {
	static const char units[] = "smhdw";
	static const int64_t seconds[] = { 1, 60, 3600, 86400, 604800 };
	const char *unit = text.len > 1 ? strchr(units, text.at[text.len - 1]) : NULL;
	uint64_t n;
	if (unit != NULL && *unit != '\0' && slice_number(slice_head(text, text.len - 1), 100000000, &n)) {
		*us = wall_us() - (int64_t)n * seconds[unit - units] * 1000000;
		return true;
	}
	static const char *const forms[] = { "%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S",
					     "%Y-%m-%dT%H:%M:%S" };
	const char *whole = arena_text(c->mem, text);
	for (size_t i = 0; i < LEN(forms); i++) {
		struct tm tm = { .tm_isdst = -1 };
		const char *end = strptime(whole, forms[i], &tm);
		if (end == NULL || *end != '\0') continue;
		*us = (int64_t)mktime(&tm) * 1000000;
		return true;
	}
	return false;
}

static int order(const void *a, const void *b) {
	const struct uid_range *x = a, *y = b;
	return (x->first > y->first) - (x->first < y->first);
}

/* "7", "3:9,12" */
static bool read_uids(struct admin_call *c, struct uid_set *out) {
	size_t room = 0, count = 0;
	for (size_t i = 1; i < c->count; i++)
		for (size_t k = 0; k <= c->args[i].len; k++) room += k == c->args[i].len || c->args[i].at[k] == ',';
	struct uid_range *ranges = arena_array(c->mem, room + 1, sizeof *ranges);
	for (size_t i = 1; i < c->count; i++) {
		struct slice rest = c->args[i];
		while (rest.at != NULL) {
			struct slice last = slice_cut(&rest, ','), first = slice_cut(&last, ':');
			uint64_t a, b;
			if (!slice_number(first, UINT32_MAX, &a) ||
			    !slice_number(last.at != NULL ? last : first, UINT32_MAX, &b))
				return false;
			ranges[count++] = (struct uid_range){ (uint32_t)MIN_OF(a, b), (uint32_t)MAX_OF(a, b) };
		}
	}
	qsort(ranges, count, sizeof *ranges, order);
	*out = (struct uid_set){ ranges, count };
	return true;
}

struct listing { struct table table; struct arena *mem; };

static int list_one(void *ctx, const struct bin_row *row) {
	struct listing *l = ctx;
	struct summary s = { 0 };
	struct slice from = SLICE_NONE, subject = SLICE_NONE;
	struct unwire w = UNWIRE(row->summary, l->mem);
	if (row->summary.len != 0) summary_unpack(&w, &s);
	if (!w.bad && s.envelopes_count != 0) {
		from = header_text(s.envelopes[0].from, l->mem);
		subject = header_text(s.envelopes[0].subject, l->mem);
	}
	table_number(&l->table, row->expunged_us);
	table_text(&l->table, row->mailbox);
	table_number(&l->table, row->uid);
	table_number(&l->table, (int64_t)row->size);
	table_text(&l->table, from);
	table_text(&l->table, subject);
	return 0;
}

static int list(struct admin_call *c, const struct bin_wish *wish) {
	struct db_conn *conn AUTO_READ = db_read(c->a->db);
	struct listing l = { { .mem = c->mem, .columns = columns, .width = LEN(columns) }, c->mem };
	if (conn == NULL || store_bin_each(conn, wish, list_one, &l) < 0) return broken(c);
	return show_table(c, &l.table, "nothing that could be brought back");
}

static int restore(struct admin_call *c, const struct bin_wish *wish) {
	struct bin_sum sum;
	int r = store_bin_restore(c->a->db, wish, &sum);
	if (r < 0) return broken(c);
	if (r > 0)
		return refuse(c, EX_DATAERR,
			      "%llu messages were brought back, then a mailbox could take no more of them",
			      (unsigned long long)sum.messages);
	AUTO_BUF struct buf size = BUF(64);
	text_size(&size, sum.bytes);
	if (sum.messages == 0) remark(c, "nothing that could be brought back");
	else tell(c, sum.messages == 1 ? "%llu message (%s) is back" : "%llu messages (%s) are back",
		  (unsigned long long)sum.messages, buf_text(&size));
	return sum.messages == 0 ? EX_DATAERR : EX_OK;
}

int verb_undelete(struct admin_call *c) {
	struct account account;
	struct slice since = SLICE_NONE;
	struct bin_wish wish = { 0 };
	struct db_conn *conn = db_read(c->a->db);
	int r = conn == NULL ? -1 : user_account_find(conn, c->mem, c->args[0], &account);
	db_release(&conn);
	if (r < 0) return broken(c);
	if (r != 0) return refuse(c, EX_NOUSER, "%.*s: no such account (hato account list)", SLICE_ARG(c->args[0]));
	wish.account = account.id;
	call_option(c, "mailbox", &wish.mailbox);
	if (slice_same(wish.mailbox, S("INBOX"))) wish.mailbox = S("INBOX");
	if (call_option(c, "since", &since) && !read_time(c, since, &wish.since_us))
		return refuse(c, EX_USAGE, "--since %.*s: must be like 3h, 2d, 2026-11-22 or \"2026-11-22 13:30\"",
			      SLICE_ARG(since));
	if (!read_uids(c, &wish.uids)) return refuse(c, EX_USAGE, "UIDs are numbers: 7, or 3:9,12");
	if (wish.uids.count != 0 && wish.mailbox.len == 0)
		return refuse(c, EX_USAGE, "UIDs are those of a mailbox: --mailbox says of which");
	if (store_sweep(c->a->db) < 0) return broken(c); /* what deleted mailboxes left goes into the bin now */
	return call_option(c, "list", NULL) ? list(c, &wish) : restore(c, &wish);
}
