/* SPDX-License-Identifier: Apache-2.0 */
/* backup, sync and import between accounts and Maildirs: what `hato export` and `hato import` do, under the names and
 * with the words that scripts written for Dovecot have. Other places than maildir:DIR are refused with what to use
 * instead. */
#include "cli/doveadm.h"
#include "cli/inside.h"
#include "cli/transfer.h"

#include <sysexits.h>

/* maildir:/backup/%d/%n: %u the address, %n and %d its halves. SLICE_NONE: another letter. */
static struct slice path_for(struct doveadm *d, struct slice form, struct slice user) {
	AUTO_BUF struct buf path = BUF(PATH_MAX);
	size_t at = slice_find(user, '@');
	for (size_t i = 0; i < form.len; i++) {
		if (form.at[i] != '%') {
			buf_byte(&path, form.at[i]);
			continue;
		}
		char letter = ++i < form.len ? form.at[i] : '\0';
		if (letter == 'u') buf_add(&path, user);
		else if (letter == 'n') buf_add(&path, slice_head(user, at));
		else if (letter == 'd') buf_add(&path, slice_skip(user, MIN_OF(at + 1, user.len)));
		else if (letter == '%') buf_byte(&path, '%');
		else return SLICE_NONE;
	}
	return arena_slice(&d->mem, buf_slice(&path));
}

static int instead(const struct doveadm *d) {
	return dove_fatal(d, EX_UNAVAILABLE,
			  "doveadm %s: only maildir:DIR here (%%u, %%n and %%d stand for the user and his halves; "
			  "between servers imapsync or mbsync)", d->name);
}

static int one(struct doveadm *d, struct slice form, struct slice user, bool in) {
	struct slice path = path_for(d, form, user);
	if (path.len == 0) return instead(d);
	struct slice words[] = { S("maildir"), path, S("--account"), user, S("-q") };
	struct cli cli = { .conf_dir = d->tool.conf_dir, .command = d->name, .args = words, .count = LEN(words) };
	return (in ? run_import : run_export)(&cli);
}

static bool is_everything(const struct doveadm *d) {
	struct slice query = dove_word(d, 2);
	return dove_word(d, 1).len == 0 && d->count == 3 && slice_same(query, S("all"));
}

int dove_transfer(struct doveadm *d, void **state) {
	struct slice where = dove_word(d, 0), mask = d->given['A'] ? S("*") : slice_of(d->value['u']), *users = &mask;
	size_t count = 1;
	bool in = strcmp(d->name, "import") == 0;
	int code = EX_OK;
	(void)state;
	if (!slice_starts(where, S("maildir:"))) return instead(d);
	where = slice_skip(where, 8);
	if (where.len == 0 || slice_find(where, ':') != where.len) return instead(d);
	if (strcmp(d->name, "sync") == 0 && !d->given['1'])
		return dove_fatal(d, EX_UNAVAILABLE,
				  "doveadm sync: one way only (say -1); the other is doveadm import");
	if (in && !is_everything(d))
		return dove_fatal(d, EX_UNAVAILABLE, "doveadm import: only all of it, to where it was (\"\" ALL)");
	if (d->given['u'] + d->given['A'] != 1)
		return dove_fatal(d, EX_USAGE, "doveadm %s: whose mail? (one of -u USER, -A)", d->name);
	bool several = d->given['A'] || strpbrk(d->value['u'], "*?") != NULL;
	if (several && slice_find(where, '%') == where.len)
		return dove_fatal(d, EX_USAGE, "doveadm %s: %.*s would be that of several users (say %%u in it)",
				  d->name, SLICE_ARG(where));
	if (several) code = dove_users(d, mask, &users, &count);
	for (size_t i = 0; i < count && code == EX_OK; i++) code = one(d, where, users[i], in);
	return code;
}
