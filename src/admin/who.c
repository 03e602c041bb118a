/* SPDX-License-Identifier: Apache-2.0 */
/* Who is logged in, and ending that. */
#include "admin/inside.h"
#include "net/addr.h"

#include <sysexits.h>

static const struct column columns[] = {
	{ "ACCOUNT", "account", COLUMN_TEXT },
	{ "PROTOCOL", "protocol", COLUMN_TEXT },
	{ "FROM", "remote", COLUMN_TEXT },
	{ "SINCE", "since", COLUMN_TIME },
	{ "SESSION", "session", COLUMN_COUNT },
};

struct wish {
	struct admin_call *c;
	struct table table;
	struct slice mask; /* of the account; empty: any */
	bool somewhere;    /* only from there: */
	struct addr from;
	unsigned bits;
};

static int read_wish(struct wish *w) {
	struct admin_call *c = w->c;
	struct slice from = SLICE_NONE;
	if (c->count != 0) w->mask = c->args[0];
	if (!call_option(c, "from", &from)) return EX_OK;
	struct slice bits = from, address = slice_cut(&bits, '/');
	uint64_t n = 128;
	if (!addr_parse(address, &w->from) || (bits.at != NULL && !slice_number(bits, 128, &n)))
		return refuse(c, EX_DATAERR, "%.*s: not an address or network (192.0.2.7, 192.0.2.0/24)",
			      SLICE_ARG(from));
	w->bits = (unsigned)MIN_OF(n, addr_family(&w->from) == AF_INET ? 32u : 128u);
	w->somewhere = true;
	return EX_OK;
}

static bool fits(void *ctx, const struct admin_session *s) {
	const struct wish *w = ctx;
	struct addr a;
	if (w->mask.len != 0 && !slice_matches(w->mask, s->login)) return false;
	if (!w->somewhere) return true;
	if (!addr_parse(s->remote, &a) || addr_family(&a) != addr_family(&w->from)) return false;
	struct addr_key wanted = addr_key(&w->from, w->bits), have = addr_key(&a, w->bits);
	return memcmp(&wanted, &have, sizeof have) == 0;
}

static void show(void *ctx, const struct admin_session *s) {
	struct wish *w = ctx;
	if (!fits(w, s)) return;
	table_text(&w->table, s->login);
	table_text(&w->table, slice_of(s->protocol));
	table_text(&w->table, s->remote);
	table_number(&w->table, s->since_us);
	table_number(&w->table, (int64_t)s->session);
}

int verb_who(struct admin_call *c) {
	struct wish w = { .c = c, .table = { .mem = c->mem, .columns = columns, .width = LEN(columns) } };
	int code = read_wish(&w);
	if (code != EX_OK) return code;
	if (c->a->ops->who != NULL) c->a->ops->who(c->a->ctx, show, &w);
	return show_table(c, &w.table, "nobody is logged in");
}

int verb_kick(struct admin_call *c) {
	struct wish w = { .c = c };
	int code = read_wish(&w);
	if (code != EX_OK) return code;
	if (w.mask.len == 0 && !w.somewhere)
		return refuse(c, EX_USAGE, "whom? (hato kick ACCOUNT, or --from NETWORK; hato who lists them)");
	size_t count = c->a->ops->kick != NULL ? c->a->ops->kick(c->a->ctx, fits, &w) : 0;
	if (count == 0) return refuse(c, EX_NOUSER, "nobody of that kind is logged in (hato who)");
	tell(c, "%zu session%s ended", count, count == 1 ? "" : "s");
	return EX_OK;
}
