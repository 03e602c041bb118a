/* SPDX-License-Identifier: Apache-2.0 */
/* acl: Dovecot's words for RFC 4314's letters and names. */
#include "cli/doveadm.h"

#include <sysexits.h>

static const struct { const char *name; char letter; } rights[] = {
	{ "lookup", 'l' },	  { "read", 'r' },  { "write", 'w' },  { "write-seen", 's' }, { "write-deleted", 't' },
	{ "insert", 'i' },	  { "post", 'p' },  { "expunge", 'e' }, { "create", 'k' },     { "delete", 'x' },
	{ "admin", 'a' },
};

enum { ROOM = 8 * 1024 };

/* "user=bob@example.com" ↔ bob@example.com, "group=x" ↔ $x; a '-' before it takes away. */
static bool id_read(struct buf *out, struct slice id) {
	if (slice_starts(id, S("-"))) {
		buf_byte(out, '-');
		id = slice_skip(id, 1);
	}
	if (slice_starts(id, S("user="))) return buf_add(out, slice_skip(id, 5));
	if (slice_starts(id, S("group="))) return buf_byte(out, '$') && buf_add(out, slice_skip(id, 6));
	return (slice_eq(id, S("anyone")) || slice_eq(id, S("authenticated"))) && buf_add(out, id);
}

static void id_put(struct buf *out, struct slice id) {
	if (slice_starts(id, S("-"))) {
		buf_byte(out, '-');
		id = slice_skip(id, 1);
	}
	if (slice_starts(id, S("$"))) buf_addf(out, "group=%.*s", SLICE_ARG(slice_skip(id, 1)));
	else if (slice_eq(id, S("anyone")) || slice_eq(id, S("authenticated"))) buf_add(out, id);
	else buf_addf(out, "user=%.*s", SLICE_ARG(id));
}

static void rights_put(struct buf *out, struct slice letters) {
	size_t start = out->len;
	for (size_t i = 0; i < LEN(rights); i++)
		if (slice_find(letters, rights[i].letter) < letters.len)
			buf_addf(out, "%s%s", out->len != start ? " " : "", rights[i].name);
}

int dove_acl_show_prepare(struct doveadm *d, void **state) {
	(void)state;
	int code = dove_print_begin(d);
	if (code != EX_OK) return code;
	if (strcmp(d->name, "acl rights") != 0) {
		dove_print_header(d->out, "id", "ID", 0);
		dove_print_header(d->out, "global", "Global", 0);
	}
	dove_print_header(d->out, "rights", "Rights", 0);
	return EX_OK;
}

static void take_acl(void *ctx, struct slice rest) {
	struct doveadm *d = ctx;
	AUTO_ARENA struct arena mem = { 0 };
	struct dove_word kind, mailbox, id, letters;
	if (!dove_next(&rest, &kind) || !dove_next(&rest, &mailbox)) return;
	bool mine = slice_same(kind.text, S("MYRIGHTS"));
	if (!mine && !slice_same(kind.text, S("ACL"))) return;
	while ((mine || dove_next(&rest, &id)) && dove_next(&rest, &letters)) {
		AUTO_BUF struct buf name = BUF(ROOM), words = BUF(ROOM);
		struct slice who = mine ? S("") : dove_unescape(&mem, &id);
		if (!mine && slice_same(who, d->user)) continue; /* the owner, who may do everything anyway */
		rights_put(&words, dove_unescape(&mem, &letters));
		dove_row(d);
		if (!mine) {
			id_put(&name, who);
			dove_print_value(d->out, buf_slice(&name));
			dove_print_value(d->out, S(""));
		}
		dove_print_value(d->out, buf_slice(&words));
	}
}

static int run(struct doveadm *d, struct slice command, void (*each)(void *ctx, struct slice rest)) {
	int r = dove_command_run(d, command, each, d);
	if (r == DOVE_OK) return EX_OK;
	return r < 0 ? EX_TEMPFAIL : dove_refused(d, "%s %.*s", d->name, SLICE_ARG(dove_word(d, 0)));
}

int dove_acl_show(struct doveadm *d, void *state) {
	AUTO_BUF struct buf command = BUF(ROOM);
	int code = dove_enter(d);
	(void)state;
	if (code != EX_OK) return code;
	buf_add(&command, strcmp(d->name, "acl rights") == 0 ? S("MYRIGHTS ") : S("GETACL "));
	dove_quote(&command, dove_word(d, 0));
	return run(d, buf_slice(&command), take_acl);
}

int dove_acl_change_prepare(struct doveadm *d, void **state) {
	AUTO_BUF struct buf letters = BUF(100), id = BUF(ROOM);
	struct slice *words = *state = arena_array(&d->mem, 2, sizeof *words);
	if (!id_read(&id, dove_word(d, 1)))
		return dove_fatal(d, EX_USAGE, "Invalid ID: %.*s", SLICE_ARG(dove_word(d, 1)));
	for (size_t i = 2; i < d->count; i++) {
		size_t k = 0;
		while (k < LEN(rights) && !slice_eq(dove_word(d, i), slice_of(rights[k].name))) k++;
		if (k == LEN(rights) && slice_eq(dove_word(d, i), S("all"))) buf_add(&letters, S("lrwstipekxa"));
		else if (k == LEN(rights))
			return dove_fatal(d, EX_USAGE, "Invalid right '%.*s'", SLICE_ARG(dove_word(d, i)));
		else buf_byte(&letters, rights[k].letter);
	}
	words[0] = arena_slice(&d->mem, buf_slice(&id));
	words[1] = arena_slice(&d->mem, buf_slice(&letters));
	return EX_OK;
}

int dove_acl_change(struct doveadm *d, void *state) {
	const struct slice *words = state;
	AUTO_BUF struct buf command = BUF(ROOM * 2), change = BUF(100);
	int code = dove_enter(d);
	if (code != EX_OK) return code;
	bool deletes = strcmp(d->name, "acl delete") == 0;
	buf_add(&command, deletes ? S("DELETEACL ") : S("SETACL "));
	dove_quote(&command, dove_word(d, 0));
	buf_byte(&command, ' ');
	dove_quote(&command, words[0]);
	if (!deletes) {
		if (strcmp(d->name, "acl add") == 0) buf_byte(&change, '+');
		if (strcmp(d->name, "acl remove") == 0) buf_byte(&change, '-');
		buf_add(&change, words[1]);
		buf_byte(&command, ' ');
		dove_quote(&command, buf_slice(&change));
	}
	return run(d, buf_slice(&command), NULL);
}
