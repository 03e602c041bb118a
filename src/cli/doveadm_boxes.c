/* SPDX-License-Identifier: Apache-2.0 */
/* The mailboxes of a user, and what is done with them as a whole. */
#include "access/imap/name.h"
#include "base/clock.h"
#include "cli/doveadm.h"
#include "mime/date.h"

#include <sysexits.h>

enum { NAME_ROOM = 8 * 1024 };

bool dove_guid_of(struct slice id, char out[static 33]) {
	unsigned long long account, object;
	AUTO_FREE char *text = slice_text(id);
	if (sscanf(text, "F%llx-%llx", &account, &object) != 2) return false;
	snprintf(out, 33, "%016llx%016llx", account, object);
	return true;
}

struct listing {
	struct arena *mem;
	struct dove_box *at;
	size_t count, room;
};

static struct dove_box *find_box(struct listing *l, struct slice name) {
	for (size_t i = l->count; i > 0; i--)
		if (slice_eq(l->at[i - 1].name, name)) return &l->at[i - 1];
	return NULL;
}

/* LIST (\Subscribed) "/" name, STATUS name (MAILBOXID (F1-2)) */
static void take_box(void *ctx, struct slice rest) {
	struct listing *l = ctx;
	struct dove_word kind, flags, delimiter, name;
	if (!dove_next(&rest, &kind) || !dove_next(&rest, &flags)) return;
	if (slice_same(kind.text, S("STATUS"))) {
		struct dove_box *box = find_box(l, dove_unescape(l->mem, &flags));
		size_t at = slice_search(rest, S("MAILBOXID ("));
		char guid[33];
		if (box == NULL || !dove_guid_of(slice_skip(rest, at + 11), guid)) return;
		box->guid = arena_slice(l->mem, slice_of(guid));
		return;
	}
	if (!slice_same(kind.text, S("LIST")) || !dove_next(&rest, &delimiter) || !dove_next(&rest, &name)) return;
	if (l->count == l->room) {
		struct dove_box *more = arena_array(l->mem, l->room = l->room * 2 + 64, sizeof *more);
		if (l->count != 0) memcpy(more, l->at, l->count * sizeof *more);
		l->at = more;
	}
	AUTO_BUF struct buf lower = BUF(NAME_ROOM);
	for (size_t i = 0; i < flags.text.len; i++) buf_byte(&lower, ascii_lower(flags.text.at[i]));
	struct slice words = buf_slice(&lower);
	l->at[l->count++] = (struct dove_box){
		.name = dove_unescape(l->mem, &name),
		.selectable = slice_search(words, S("\\noselect")) == words.len &&
			      slice_search(words, S("\\nonexistent")) == words.len,
		.subscribed = slice_search(words, S("\\subscribed")) < words.len,
	};
}

static int by_name(const void *a, const void *b) {
	const struct dove_box *x = a, *y = b;
	return slice_order(x->name, y->name);
}

int dove_boxes(struct doveadm *d, struct arena *mem, struct dove_box **out, size_t *count) {
	struct listing l = { .mem = mem };
	int r = dove_command_run(d, S("LIST \"\" \"*\" RETURN (SUBSCRIBED STATUS (MAILBOXID))"), take_box, &l);
	if (r < 0) return EX_TEMPFAIL;
	if (r != DOVE_OK) return dove_refused(d, "Mailbox list");
	const struct dove_box *inbox = find_box(&l, S("INBOX"));
	for (size_t i = 0; i < l.count; i++) /* the first half of the guid is whose it is */
		l.at[i].own = inbox != NULL && slice_starts(l.at[i].guid, slice_head(inbox->guid, 16));
	if (l.count != 0) qsort(l.at, l.count, sizeof *l.at, by_name);
	*out = l.at;
	*count = l.count;
	return EX_OK;
}

int dove_open(struct doveadm *d, struct slice name, bool writes) {
	AUTO_BUF struct buf command = BUF(NAME_ROOM);
	buf_add(&command, writes ? S("SELECT ") : S("EXAMINE "));
	dove_quote(&command, name);
	int r = dove_command_run(d, buf_slice(&command), NULL, NULL);
	if (r == DOVE_OK) return EX_OK;
	return r < 0 ? EX_TEMPFAIL : dove_refused(d, "Can't open mailbox '%.*s'", SLICE_ARG(name));
}

/* mailbox list */

int dove_mailbox_list_prepare(struct doveadm *d, void **state) {
	(void)state;
	int code = dove_print_begin(d);
	if (code == EX_OK) dove_print_header(d->out, "mailbox", "mailbox", DOVE_HIDDEN);
	return code;
}

int dove_mailbox_list(struct doveadm *d, void *state) {
	AUTO_ARENA struct arena mem = { 0 };
	struct dove_box *boxes;
	size_t count = 0;
	(void)state;
	int code = dove_enter(d);
	if (code == EX_OK) code = dove_boxes(d, &mem, &boxes, &count);
	for (size_t i = 0; i < count; i++) {
		const struct dove_box *b = &boxes[i];
		AUTO_BUF struct buf name = BUF(NAME_ROOM);
		bool fits = d->count == 0;
		for (size_t k = 0; k < d->count; k++)
			fits = fits || imap_name_match(dove_word(d, k), b->name);
		if (!fits || (d->given['s'] && !b->subscribed)) continue;
		if (d->given['7']) imap_name_put(&name, b->name);
		else buf_add(&name, b->name);
		dove_row(d);
		dove_print_value(d->out, buf_slice(&name));
	}
	return code;
}

/* mailbox create, delete, rename, subscribe, unsubscribe */

int dove_mailbox_change_prepare(struct doveadm *d, void **state) {
	(void)state;
	if (strcmp(d->name, "mailbox rename") == 0 && d->count != 2)
		return dove_fatal(d, EX_USAGE, "doveadm %s %s", d->name, d->args);
	return EX_OK;
}

static int do_one(struct doveadm *d, const char *verb, struct slice name, struct slice other) {
	AUTO_BUF struct buf command = BUF(NAME_ROOM * 2);
	buf_addf(&command, "%s ", verb);
	dove_quote(&command, name);
	if (other.len != 0) {
		buf_byte(&command, ' ');
		dove_quote(&command, other);
	}
	return dove_command_run(d, buf_slice(&command), NULL, NULL);
}

/* -e: only when nothing is in it. */
static void take_messages(void *ctx, struct slice rest) {
	size_t at = slice_search(rest, S("MESSAGES "));
	if (at < rest.len) *(bool *)ctx = slice_starts(slice_skip(rest, at + 9), S("0"));
}

static int delete_one(struct doveadm *d, struct slice name) {
	AUTO_BUF struct buf command = BUF(NAME_ROOM);
	bool empty = false;
	if (d->given['e']) {
		buf_add(&command, S("STATUS "));
		dove_quote(&command, name);
		buf_add(&command, S(" (MESSAGES)"));
		int r = dove_command_run(d, buf_slice(&command), take_messages, &empty);
		if (r != DOVE_OK) return r;
		if (!empty) {
			dove_error(d, 0, "Can't delete mailbox %.*s: Mailbox isn't empty", SLICE_ARG(name));
			return -1;
		}
	}
	return do_one(d, "DELETE", name, S(""));
}

/* -r: those below it first. */
static int delete_all(struct doveadm *d, struct slice name) {
	AUTO_ARENA struct arena mem = { 0 };
	struct dove_box *boxes;
	size_t count = 0;
	int code = dove_boxes(d, &mem, &boxes, &count);
	struct slice prefix = arena_fmt(&mem, "%.*s/", SLICE_ARG(name));
	if (code != EX_OK) return -1;
	for (size_t i = count; i > 0; i--) {
		if (!slice_starts(boxes[i - 1].name, prefix) || !boxes[i - 1].selectable) continue;
		int r = delete_one(d, boxes[i - 1].name);
		if (r != DOVE_OK) return r;
		if (d->given['s']) do_one(d, "UNSUBSCRIBE", boxes[i - 1].name, S(""));
	}
	return delete_one(d, name);
}

static int change_one(struct doveadm *d, size_t i) {
	static const struct { const char *name, *verb, *failed; } verbs[] = {
		{ "mailbox create", "CREATE", "Can't create mailbox" },
		{ "mailbox delete", "DELETE", "Can't delete mailbox" },
		{ "mailbox rename", "RENAME", "Can't rename mailbox" },
		{ "mailbox subscribe", "SUBSCRIBE", "Can't subscribe mailbox" },
		{ "mailbox unsubscribe", "UNSUBSCRIBE", "Can't unsubscribe mailbox" },
	};
	struct slice name = dove_word(d, i), other = S("");
	size_t k = 0;
	while (strcmp(verbs[k].name, d->name) != 0) k++;
	bool deletes = k == 1, renames = k == 2;
	if (renames) other = dove_word(d, 1);
	int r = !deletes        ? do_one(d, verbs[k].verb, name, other)
		: d->given['r'] ? delete_all(d, name)
				: delete_one(d, name);
	if (r < 0) return EX_TEMPFAIL;
	if (r != DOVE_OK)
		return dove_refused(d, "%s %.*s%s%.*s", verbs[k].failed, SLICE_ARG(name), renames ? " to " : "",
				    SLICE_ARG(other));
	if (d->given['s'] && k <= 2) {
		if (k != 0) do_one(d, "UNSUBSCRIBE", name, S(""));
		if (k != 1) do_one(d, "SUBSCRIBE", renames ? other : name, S(""));
	}
	return EX_OK;
}

int dove_mailbox_change(struct doveadm *d, void *state) {
	int worst = dove_enter(d);
	size_t count = strcmp(d->name, "mailbox rename") == 0 ? 1 : d->count;
	(void)state;
	if (worst != EX_OK) return worst;
	for (size_t i = 0; i < count && worst != EX_TEMPFAIL; i++) {
		int code = change_one(d, i);
		if (code != EX_OK) worst = code;
	}
	return worst;
}

/* mailbox status */

enum { FIRST_SAVED = 8, GUID = 7, FIELDS = 9 };
static const struct { const char *name, *item; } fields[FIELDS] = {
	{ "messages", "MESSAGES" }, { "recent", "RECENT" }, { "uidnext", "UIDNEXT" }, { "uidvalidity", "UIDVALIDITY" },
	{ "unseen", "UNSEEN" },	    { "highestmodseq", "HIGHESTMODSEQ" }, { "vsize", "SIZE" }, { "guid", "MAILBOXID" },
	{ "firstsaved", "" },
};

struct status {
	bool wanted[FIELDS];
	unsigned long long sums[FIELDS];
	struct slice values[FIELDS];
	struct arena mem; /* of the mailbox at hand */
};

int dove_mailbox_status_prepare(struct doveadm *d, void **state) {
	struct status *s = *state = arena_get(&d->mem, sizeof *s);
	struct slice rest = dove_word(d, 0);
	for (struct slice word; (word = slice_word(&rest, " ")).len != 0;) {
		bool known = slice_eq(word, S("all"));
		for (size_t i = 0; i < FIELDS; i++) {
			bool this = slice_eq(word, slice_of(fields[i].name));
			s->wanted[i] = s->wanted[i] || this || slice_eq(word, S("all"));
			known = known || this;
		}
		if (!known) return dove_fatal(d, EX_USAGE, "Unknown status field: %.*s", SLICE_ARG(word));
	}
	int code = dove_print_begin(d);
	if (code != EX_OK) return code;
	if (!d->given['t']) dove_print_header(d->out, "mailbox", "mailbox", DOVE_HIDDEN);
	for (size_t i = 0; i < FIELDS; i++)
		if (s->wanted[i]) dove_print_header(d->out, fields[i].name, fields[i].name, 0);
	return EX_OK;
}

static void take_status(void *ctx, struct slice rest) {
	struct status *s = ctx;
	struct dove_word kind, name, list, item, value;
	if (!dove_next(&rest, &kind) || !slice_same(kind.text, S("STATUS")) || !dove_next(&rest, &name) ||
	    !dove_next(&rest, &list) || list.text.len < 2)
		return;
	struct slice items = slice_head(slice_skip(list.text, 1), list.text.len - 2);
	while (dove_next(&items, &item) && dove_next(&items, &value)) {
		for (size_t i = 0; i < FIELDS; i++) {
			uint64_t n = 0;
			if (!slice_same(item.text, slice_of(fields[i].item))) continue;
			s->values[i] = arena_slice(&s->mem, value.text);
			if (slice_number(value.text, UINT64_MAX, &n)) s->sums[i] += n;
		}
	}
}

/* FETCH (SAVEDATE "23-Nov-2026 02:10:25 +0000") */
static void take_saved(void *ctx, struct slice rest) {
	struct status *s = ctx;
	struct date date;
	size_t quote = slice_find(rest, '"');
	struct slice text = slice_skip(rest, quote + 1);
	if (slice_search(rest, S(" FETCH ")) == rest.len) return;
	text = slice_head(text, slice_find(text, '"'));
	if (date_parse_internal(text, &date) == DATE_OK)
		s->values[FIRST_SAVED] = arena_fmt(&s->mem, "%lld", (long long)date.utc);
}

static int ask_status(struct doveadm *d, struct status *s, const struct dove_box *b) {
	AUTO_BUF struct buf command = BUF(NAME_ROOM);
	char guid[33];
	arena_reset(&s->mem);
	memset(s->values, 0, sizeof s->values);
	buf_add(&command, S("STATUS "));
	dove_quote(&command, b->name);
	buf_add(&command, S(" (MESSAGES"));
	for (size_t i = 1; i < FIRST_SAVED; i++)
		if (s->wanted[i]) buf_addf(&command, " %s", fields[i].item);
	buf_byte(&command, ')');
	int r = dove_command_run(d, buf_slice(&command), take_status, s);
	if (r < 0) return EX_TEMPFAIL;
	if (r != DOVE_OK) return dove_refused(d, "Mailbox %.*s: Failed to lookup mailbox status", SLICE_ARG(b->name));
	if (s->wanted[GUID] && dove_guid_of(slice_skip(s->values[GUID], 1), guid))
		s->values[GUID] = arena_slice(&s->mem, slice_of(guid));
	if (!s->wanted[FIRST_SAVED]) return EX_OK;
	s->values[FIRST_SAVED] = S("never");
	int code = dove_open(d, b->name, false);
	if (code == EX_OK && !slice_eq(s->values[0], S("0")) &&
	    dove_command_run(d, S("FETCH 1 (SAVEDATE)"), take_saved, s) < 0)
		code = EX_TEMPFAIL;
	return code;
}

int dove_mailbox_status(struct doveadm *d, void *state) {
	AUTO_ARENA struct arena mem = { 0 };
	struct status *s = state;
	struct dove_box *boxes;
	size_t count = 0;
	memset(s->sums, 0, sizeof s->sums);
	int code = dove_enter(d);
	if (code == EX_OK) code = dove_boxes(d, &mem, &boxes, &count);
	for (size_t i = 0; i < count && code == EX_OK; i++) {
		bool fits = false;
		for (size_t k = 1; k < d->count; k++)
			fits = fits || imap_name_match(dove_word(d, k), boxes[i].name);
		if (!fits || !boxes[i].selectable) continue;
		code = ask_status(d, s, &boxes[i]);
		if (code != EX_OK || d->given['t']) continue;
		dove_row(d);
		dove_print_value(d->out, boxes[i].name);
		for (size_t k = 0; k < FIELDS; k++)
			if (s->wanted[k]) dove_print_value(d->out, s->values[k]);
	}
	if (d->given['t'] && code == EX_OK) {
		dove_row(d);
		for (size_t k = 0; k < FIELDS; k++)
			if (s->wanted[k]) dove_print_value(d->out, arena_fmt(&mem, "%llu", s->sums[k]));
	}
	arena_done(&s->mem);
	return code;
}

int dove_mutf7(struct doveadm *d, void **state) {
	(void)state;
	for (size_t i = 0; i < d->count; i++) {
		AUTO_BUF struct buf name = BUF(NAME_ROOM);
		bool good =
			d->given['7'] ? imap_name_read(&name, dove_word(d, i)) : imap_name_put(&name, dove_word(d, i));
		if (!good) return dove_error(d, EX_DATAERR, "Mailbox name not valid: %.*s", SLICE_ARG(dove_word(d, i)));
		puts(buf_text(&name));
	}
	return EX_OK;
}
