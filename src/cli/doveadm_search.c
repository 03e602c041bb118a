/* SPDX-License-Identifier: Apache-2.0 */
/* search, and what is done with what it finds: expunge, move, copy, flags. */
#include "cli/doveadm_search.h"
#include "base/clock.h"

#include <sysexits.h>

enum { NAME_ROOM = 8 * 1024, QUERY_MAX = 8 << 20, UIDS_TEXT_MAX = 16 * 1024, UIDS_MAX = 1 << 30 };

int dove_query_of(struct doveadm *d, size_t from, const struct dove_query **out) {
	struct slice *words = arena_array(&d->mem, d->count + 1, sizeof *words);
	const char *problem = NULL;
	for (size_t i = from; i < d->count; i++) words[i - from] = dove_word(d, i);
	*out = dove_query_read(words, d->count - from, wall_s(), &d->mem, &problem);
	return *out != NULL ? EX_OK : dove_fatal(d, EX_TEMPFAIL, "%s", problem);
}

struct wanted {
	struct doveadm *d;
	struct dove_box *boxes;
	size_t count;
	int code;
};

static void must_be_there(void *ctx, struct slice name) {
	struct wanted *w = ctx;
	for (size_t i = 0; i < w->count; i++)
		if (slice_eq(w->boxes[i].name, name) || (slice_same(name, S("INBOX")) && w->boxes[i].own)) return;
	w->code = dove_error(w->d, EX_NOHOST, "Couldn't get mailbox '%.*s' GUID: Mailbox doesn't exist: %.*s",
			     SLICE_ARG(name), SLICE_ARG(name));
}

static void take_uids(void *ctx, struct slice rest) {
	struct buf *uids = ctx;
	uint64_t n;
	if (!slice_starts(rest, S("SEARCH"))) return;
	rest = slice_skip(rest, 6);
	for (struct slice word; (word = slice_word(&rest, " ")).len != 0;) {
		if (!slice_number(word, UINT32_MAX, &n)) break;
		uint32_t uid = (uint32_t)n;
		buf_add(uids, slice_from(&uid, sizeof uid));
	}
}

static int search_box(struct doveadm *d, const struct dove_box *b, enum dove_fit fit, struct slice query, bool writes,
		      struct buf *uids) {
	AUTO_BUF struct buf command = BUF(QUERY_MAX);
	int code = dove_open(d, b->name, writes);
	if (code != EX_OK) return code;
	buf_add(&command, S("UID SEARCH "));
	buf_add(&command, fit == DOVE_ALL ? S("ALL") : query);
	int r = dove_command_run(d, buf_slice(&command), take_uids, uids);
	if (r < 0) return EX_TEMPFAIL;
	return r == DOVE_OK ? EX_OK : dove_refused(d, "Search in %.*s", SLICE_ARG(b->name));
}

int dove_each_found(struct doveadm *d, const struct dove_query *q, bool writes,
		    int (*each)(struct doveadm *d, const struct dove_box *b, const uint32_t *uids, size_t count,
				void *state),
		    void *state) {
	AUTO_ARENA struct arena mem = { 0 };
	struct dove_box *boxes = NULL;
	size_t count = 0;
	int code = dove_enter(d);
	if (code == EX_OK) code = dove_boxes(d, &mem, &boxes, &count);
	if (code != EX_OK) return code;
	struct wanted w = { d, boxes, count, EX_OK };
	dove_query_mailboxes(q, must_be_there, &w);
	for (size_t i = 0; i < count && w.code != EX_TEMPFAIL; i++) {
		AUTO_BUF struct buf query = BUF(QUERY_MAX), uids = BUF(UIDS_MAX);
		const struct dove_box *b = &boxes[i];
		if (!b->selectable || (!b->own && !dove_query_names_mailbox(q))) continue;
		enum dove_fit fit = dove_query_put(q, b->name, b->guid, &query);
		if (fit == DOVE_NONE) continue;
		code = search_box(d, b, fit, buf_slice(&query), writes, &uids);
		if (code == EX_OK && (uids.len != 0 || writes))
			code = each(d, b, (const uint32_t *)(const void *)uids.at, uids.len / sizeof(uint32_t), state);
		if (code != EX_OK) w.code = code;
	}
	return w.code;
}

size_t dove_set_put(struct buf *out, const uint32_t *uids, size_t count) {
	size_t i = 0, start = out->len;
	while (i < count && out->len - start < UIDS_TEXT_MAX) {
		size_t last = i;
		while (last + 1 < count && uids[last + 1] == uids[last] + 1) last++;
		buf_addf(out, "%s%u", i != 0 ? "," : "", (unsigned)uids[i]);
		if (last != i) buf_addf(out, ":%u", (unsigned)uids[last]);
		i = last + 1;
	}
	return i;
}

/* search */

int dove_search_prepare(struct doveadm *d, void **state) {
	const struct dove_query *q = NULL;
	int code = dove_query_of(d, 0, &q);
	*state = (void *)(uintptr_t)q;
	if (code == EX_OK) code = dove_print_begin(d);
	if (code != EX_OK) return code;
	dove_print_header(d->out, "mailbox-guid", "mailbox-guid", DOVE_HIDDEN);
	dove_print_header(d->out, "uid", "uid", DOVE_HIDDEN);
	return EX_OK;
}

static int show_found(struct doveadm *d, const struct dove_box *b, const uint32_t *uids, size_t count, void *state) {
	(void)state;
	for (size_t i = 0; i < count; i++) {
		char number[16];
		dove_row(d);
		dove_print_value(d->out, b->guid);
		snprintf(number, sizeof number, "%u", (unsigned)uids[i]);
		dove_print_value(d->out, slice_of(number));
	}
	return EX_OK;
}

int dove_search(struct doveadm *d, void *state) {
	return dove_each_found(d, state, false, show_found, NULL);
}

/* expunge, move, copy, flags */

struct change {
	enum { EXPUNGE, MOVE, COPY, FLAGS } what;
	const struct dove_query *query;
	struct slice target;  /* a mailbox */
	struct slice before, after; /* of the set, in STORE */
};

/* "\Seen $Work" */
static int read_flags(struct doveadm *d, struct change *c) {
	static const char *const system[] = { "\\Answered", "\\Deleted", "\\Draft", "\\Flagged", "\\Seen" };
	static const struct { const char *name, *word;
	} hows[] = { { "flags add", "+FLAGS.SILENT" },
		     { "flags remove", "-FLAGS.SILENT" },
		     { "flags replace", "FLAGS.SILENT" } };
	struct slice rest = dove_word(d, 0);
	size_t k = 0;
	for (struct slice word; (word = slice_word(&rest, " ")).len != 0;) {
		bool known = word.at[0] != '\\';
		for (size_t i = 0; i < LEN(system); i++) known = known || slice_same(word, slice_of(system[i]));
		for (size_t i = 0; i < word.len; i++)
			if (strchr("(){%*\"]", word.at[i]) != NULL || ascii_control(word.at[i])) known = false;
		if (!known) return dove_fatal(d, EX_TEMPFAIL, "Invalid system flag: %.*s", SLICE_ARG(word));
	}
	while (strcmp(hows[k].name, d->name) != 0) k++;
	c->before = S("UID STORE ");
	c->after = arena_fmt(&d->mem, " %s (%.*s)", hows[k].word, SLICE_ARG(slice_trim(dove_word(d, 0))));
	return EX_OK;
}

int dove_change_prepare(struct doveadm *d, void **state) {
	struct change *c = *state = arena_get(&d->mem, sizeof *c);
	c->what = strcmp(d->name, "expunge") == 0 ? EXPUNGE
		  : strcmp(d->name, "move") == 0  ? MOVE
		  : strcmp(d->name, "copy") == 0  ? COPY
						  : FLAGS;
	bool from_other = (c->what == MOVE || c->what == COPY) && slice_same(dove_word(d, 1), S("user"));
	if (from_other)
		return dove_fatal(d, EX_USAGE, "%s from another user: hato export and hato import, or a shared mailbox",
				  d->name);
	c->target = dove_word(d, 0);
	int code = dove_query_of(d, c->what == EXPUNGE ? 0 : 1, &c->query);
	if (code == EX_OK && c->what == FLAGS) code = read_flags(d, c);
	if (code == EX_OK && c->what == EXPUNGE && !dove_query_names_mailbox(c->query))
		return dove_fatal(
			d, EX_USAGE,
			"expunge: To avoid accidents, search query must contain MAILBOX in all search branches");
	return code;
}

static int run_set(struct doveadm *d, struct slice before, const uint32_t *uids, size_t count, struct slice after,
		   size_t *done) {
	AUTO_BUF struct buf command = BUF(UIDS_TEXT_MAX + NAME_ROOM);
	buf_add(&command, before);
	*done = dove_set_put(&command, uids, count);
	buf_add(&command, after);
	return dove_command_run(d, buf_slice(&command), NULL, NULL);
}

static int change_found(struct doveadm *d, const struct dove_box *b, const uint32_t *uids, size_t count, void *state) {
	struct change *c = state;
	AUTO_BUF struct buf target = BUF(NAME_ROOM);
	buf_byte(&target, ' ');
	dove_quote(&target, c->target);
	for (size_t at = 0, done = 0; at < count; at += done) {
		const uint32_t *from = uids + at;
		int r = DOVE_OK;
		switch (c->what) {
		case EXPUNGE:
			r = run_set(d, S("UID STORE "), from, count - at, S(" +FLAGS.SILENT (\\Deleted)"), &done);
			if (r == DOVE_OK) r = run_set(d, S("UID EXPUNGE "), from, count - at, S(""), &done);
			break;
		case MOVE: r = run_set(d, S("UID MOVE "), from, count - at, buf_slice(&target), &done); break;
		case COPY: r = run_set(d, S("UID COPY "), from, count - at, buf_slice(&target), &done); break;
		case FLAGS: r = run_set(d, c->before, from, count - at, c->after, &done); break;
		}
		if (r < 0) return EX_TEMPFAIL;
		if (r == DOVE_OK) continue;
		if (c->what == MOVE || c->what == COPY)
			return dove_refused(d, "Can't open mailbox '%.*s'", SLICE_ARG(c->target));
		return dove_refused(d, "%s in %.*s", d->name, SLICE_ARG(b->name));
	}
	return EX_OK;
}

/* expunge -d: a mailbox that is searched and empty now goes, as long as it is not INBOX. */
static int delete_empty(struct doveadm *d, const struct dove_box *b, const uint32_t *uids, size_t count, void *state) {
	AUTO_BUF struct buf command = BUF(NAME_ROOM), left = BUF(UIDS_MAX);
	int code = change_found(d, b, uids, count, state);
	if (code != EX_OK || slice_eq(b->name, S("INBOX"))) return code;
	if (dove_command_run(d, S("UID SEARCH ALL"), take_uids, &left) != DOVE_OK) return EX_TEMPFAIL;
	if (left.len != 0) return EX_OK;
	buf_add(&command, S("DELETE "));
	dove_quote(&command, b->name);
	int r = dove_command_run(d, S("UNSELECT"), NULL, NULL);
	if (r == DOVE_OK) r = dove_command_run(d, buf_slice(&command), NULL, NULL);
	if (r < 0) return EX_TEMPFAIL;
	return r == DOVE_OK ? EX_OK : dove_refused(d, "Can't delete mailbox %.*s", SLICE_ARG(b->name));
}

int dove_change(struct doveadm *d, void *state) {
	struct change *c = state;
	return dove_each_found(d, c->query, true, d->given['d'] ? delete_empty : change_found, c);
}
