/* SPDX-License-Identifier: Apache-2.0 */
/* Opening and leaving a mailbox, and asking about one that is not open: all of it from the mailbox's row. */
#include "access/imap/place.h"
#include "access/imap/status.h"
#include "store/quota.h"

static uint64_t count_messages(struct db_conn *c, const struct mailbox *m) { (void)c; return m->exists; }
static uint64_t count_unseen(struct db_conn *c, const struct mailbox *m) { (void)c; return m->unseen; }
static uint64_t count_deleted(struct db_conn *c, const struct mailbox *m) { (void)c; return m->deleted; }
static uint64_t count_bytes(struct db_conn *c, const struct mailbox *m) { (void)c; return m->bytes; }
static uint64_t next_uid(struct db_conn *c, const struct mailbox *m) { (void)c; return m->uidnext; }
static uint64_t validity(struct db_conn *c, const struct mailbox *m) { (void)c; return m->uidvalidity; }
static uint64_t count_recent(struct db_conn *c, const struct mailbox *m) {
	AUTO_BUF struct buf uids = BUF((size_t)1 << 30);
	if (m->recent_from < m->uidnext) (void)store_uids(c, m->box, m->recent_from, &uids);
	return uids.len / sizeof(uint32_t);
}

static uint64_t deleted_bytes(struct db_conn *c, const struct mailbox *m) {
	uint64_t bytes = 0;
	if (m->deleted != 0) (void)store_deleted_bytes(c, m->box, &bytes);
	return bytes;
}

static const struct { const char *name; uint64_t (*of)(struct db_conn *c, const struct mailbox *m); } items[] = {
	{ "MESSAGES", count_messages },
	{ "RECENT", count_recent },
	{ "UIDNEXT", next_uid },
	{ "UIDVALIDITY", validity },
	{ "UNSEEN", count_unseen },
	{ "SIZE", count_bytes },
	{ "DELETED", count_deleted },
	{ "DELETED-STORAGE", deleted_bytes },
};

bool imap_parse_status_items(struct imap_parse *p, unsigned *out) {
	unsigned asked = 0;
	if (!imap_parse_need(p, '(')) return false;
	while (!imap_parse_take(p, ')')) {
		size_t i = 0;
		if (asked != 0 && !imap_parse_space(p)) return false;
		while (i < LEN(items) && !imap_parse_take_word(p, items[i].name)) i++;
		if (i == LEN(items)) return imap_parse_fail(p, "Unknown status item.");
		asked |= 1U << i;
	}
	*out = asked;
	return asked != 0 || imap_parse_fail(p, "No status items.");
}

void imap_put_status(struct imap_session *s, struct db_conn *c, const struct mailbox *m, unsigned asked) {
	const char *before = " (";
	buf_add(imap_out(s), S("* STATUS "));
	imap_put_mailbox(s, m->name);
	for (size_t i = 0; i < LEN(items); i++) {
		if ((asked & 1U << i) == 0) continue;
		buf_addf(imap_out(s), "%s%s %llu", before, items[i].name, (unsigned long long)items[i].of(c, m));
		before = " ";
	}
	buf_add(imap_out(s), S(")\r\n"));
}

IMAP_COMMAND(imap_do_status) {
	struct imap_parse *p = &call->p;
	struct slice name;
	unsigned asked;
	struct imap_found f;
	if (!imap_parse_space(p) || !imap_parse_mailbox(s, p, &name) || !imap_parse_space(p) ||
	    !imap_parse_status_items(p, &asked) || !imap_parse_end(p))
		return imap_bad(p);
	AUTO_READ struct db_conn *c = db_read(s->context->db);
	int r = c == NULL ? -1 : imap_find_with(s, c, name, ACL_READ, &f);
	if (r != 0) return imap_refused(s, r, "status");
	imap_put_status(s, c, &f.m, asked);
	return imap_ok("Status completed.");
}

static struct imap_answer open_named(struct imap_session *s, struct imap_parse *p, bool read_only) {
	struct slice name;
	if (!imap_parse_space(p) || !imap_parse_mailbox(s, p, &name) || !imap_parse_end(p)) return imap_bad(p);
	return imap_select(s, name, read_only);
}

IMAP_COMMAND(imap_do_select) {
	return open_named(s, &call->p, false);
}

IMAP_COMMAND(imap_do_examine) {
	return open_named(s, &call->p, true);
}

IMAP_COMMAND(imap_do_check) {
	(void)s;
	return imap_parse_end(&call->p) ? imap_ok("Check completed.") : imap_bad(&call->p);
}

IMAP_COMMAND(imap_do_unselect) {
	if (!imap_parse_end(&call->p)) return imap_bad(&call->p);
	imap_deselect(s);
	return imap_ok("Unselect completed.");
}
