/* SPDX-License-Identifier: Apache-2.0 */
/* Flags are bits, so a range of any length is one UPDATE: new = (old & keep) | add. Keywords are text; rows without
 * any (nearly all) are done by the same statement, the others by one for each set of words there is; where there are
 * many such sets, row by row. What changed is found again by its modseq, which is new. */
#include "store/inside.h"

struct flagging {
	struct db_conn *tx;
	struct box box;
	const struct flag_change *change;
	struct slice keywords;   /* normal form */
	int64_t keep, add, newest; /* newest: rows with a higher modseq are left alone */
	uint64_t modseq;
	struct delta delta;
	uint64_t count;          /* rows changed */
	bool bits_only;          /* no keywords, no condition */
	uint32_t single;         /* the one flag that is set or taken away, when it is one and no keyword: 0: more */
};
enum { WORD_SETS_MAX = 16 };

static int run_counted(struct flagging *f, struct db_stmt *s) {
	int r = db_run(s);
	if (r == 0) f->count += (uint64_t)db_changed(f->tx);
	return r;
}

/* Whether the keywords of a row with some have to be worked out one by one. */
static bool word_by_word(const struct flagging *f) {
	return f->change->how != FLAGS_REPLACE && f->keywords.len != 0;
}

/* What the change will do to the counters, found in one look ahead: rows it does not alter count the same before and
 * after. */
static int foresee(struct flagging *f, struct uid_range range) {
	if (((~f->keep | f->add) & (FLAG_SEEN | FLAG_DELETED)) == 0 || f->single != 0) return 0;
	AUTO_STMT struct db_stmt *s = db_sql(
		f->tx,
		"SELECT SUM((((flags & ?) | ?) & 1) - (flags & 1)), SUM((((flags & ?) | ?) & 8) - (flags & 8))"
		" FROM message WHERE account_id = ? AND mailbox_id = ? AND uid BETWEEN ? AND ? AND modseq <= ?");
	for (int i = 0; i < 2; i++) {
		db_bind_int(s, f->keep);
		db_bind_int(s, f->add);
	}
	bind_range(s, f->box, range);
	db_bind_int(s, f->newest);
	int r = db_step(s);
	if (r < 0) return r;
	f->delta.unseen -= db_int(s, 0) / FLAG_SEEN;
	f->delta.deleted += db_int(s, 1) / FLAG_DELETED;
	return 0;
}

/* The usual change, with the fewest words: it is run for each of a hundred thousand rows. */
static int change_bits(struct flagging *f, struct uid_range range) {
	AUTO_STMT struct db_stmt *s =
		db_sql(f->tx, "UPDATE message SET flags = (flags & ?) | ?, modseq = ? WHERE account_id = ?"
			      " AND mailbox_id = ? AND uid BETWEEN ? AND ? AND ((flags & ?) | ?) <> flags");
	db_bind_int(s, f->keep);
	db_bind_int(s, f->add);
	db_bind_int(s, (int64_t)f->modseq);
	bind_range(s, f->box, range);
	db_bind_int(s, f->keep);
	db_bind_int(s, f->add);
	return run_counted(f, s);
}

static int change_range(struct flagging *f, struct uid_range range) {
	if (f->bits_only) return change_bits(f, range);
	if (f->change->how == FLAGS_REMOVE && f->keep == -1) return 0; /* keywords only: rows without any stay */
	bool set_words = (f->change->how == FLAGS_REPLACE && !f->change->words_fixed) ||
			 (f->change->how == FLAGS_ADD && f->keywords.len != 0);
	AUTO_STMT struct db_stmt *s =
		db_sql(f->tx, "UPDATE message SET flags = (flags & ?) | ?, keywords = CASE ? WHEN 1 THEN ? ELSE "
			      "keywords END, modseq = ?"
			      " WHERE account_id = ? AND mailbox_id = ? AND uid BETWEEN ? AND ? AND modseq <= ?"
			      " AND (? = 0 OR keywords IS NULL)"
			      " AND (((flags & ?) | ?) <> flags OR (? = 1 AND keywords IS DISTINCT FROM ?))");
	db_bind_int(s, f->keep);
	db_bind_int(s, f->add);
	db_bind_int(s, set_words);
	db_bind_text(s, f->keywords);
	db_bind_int(s, (int64_t)f->modseq);
	bind_range(s, f->box, range);
	db_bind_int(s, f->newest);
	db_bind_int(s, word_by_word(f));
	db_bind_int(s, f->keep);
	db_bind_int(s, f->add);
	db_bind_int(s, set_words);
	db_bind_text(s, f->keywords);
	return run_counted(f, s);
}

static int change_row(struct flagging *f, struct arena *mem, uint32_t uid, int64_t old, struct slice have) {
	int64_t flags = (old & f->keep) | f->add;
	struct slice words = f->change->how == FLAGS_ADD ? keywords_add(mem, have, f->keywords)
							 : keywords_remove(mem, have, f->keywords);
	if (flags == old && slice_eq(words, have)) return 0;
	if (words.len > KEYWORDS_MAX) return STORE_LIMIT;
	AUTO_STMT struct db_stmt *s = db_sql(
		f->tx,
		"UPDATE message SET flags = ?, keywords = ?, modseq = ?"
		" WHERE account_id = ? AND mailbox_id = ? AND uid = ?");
	db_bind_int(s, flags);
	db_bind_text(s, words);
	db_bind_int(s, (int64_t)f->modseq);
	bind_box(s, f->box);
	db_bind_int(s, uid);
	return run_counted(f, s);
}

/* All rows of the range that have just these words. */
static int change_word_set(struct flagging *f, struct arena *mem, struct uid_range range, struct slice have) {
	struct slice words = f->change->how == FLAGS_ADD ? keywords_add(mem, have, f->keywords)
							 : keywords_remove(mem, have, f->keywords);
	if (words.len > KEYWORDS_MAX) return STORE_LIMIT;
	AUTO_STMT struct db_stmt *s =
		db_sql(f->tx, "UPDATE message SET flags = (flags & ?) | ?, keywords = ?, modseq = ?"
			      " WHERE account_id = ? AND mailbox_id = ? AND uid BETWEEN ? AND ? AND modseq <= ? AND "
			      "modseq <> ? AND keywords = ?"
			      " AND (((flags & ?) | ?) <> flags OR ? = 1)");
	db_bind_int(s, f->keep);
	db_bind_int(s, f->add);
	db_bind_text(s, words);
	db_bind_int(s, (int64_t)f->modseq);
	bind_range(s, f->box, range);
	db_bind_int(s, f->newest);
	db_bind_int(s, (int64_t)f->modseq);
	db_bind_text(s, have);
	db_bind_int(s, f->keep);
	db_bind_int(s, f->add);
	db_bind_int(s, !slice_eq(words, have));
	return run_counted(f, s);
}

/* The sets of words in the range, when they are few; else *count is WORD_SETS_MAX + 1. */
static int word_sets(struct flagging *f, struct arena *mem, struct uid_range range, struct slice *sets, size_t *count) {
	AUTO_STMT struct db_stmt *s = db_sql(
		f->tx,
		"SELECT DISTINCT keywords FROM message WHERE account_id = ? AND mailbox_id = ? AND uid BETWEEN ? AND ?"
		" AND modseq <= ? AND keywords IS NOT NULL AND modseq <> ? LIMIT 17");
	_Static_assert(WORD_SETS_MAX == 16, "LIMIT is one more");
	bind_range(s, f->box, range);
	db_bind_int(s, f->newest);
	db_bind_int(s, (int64_t)f->modseq); /* those the statement for the range has just done */
	int r;
	for (*count = 0; (r = db_step(s)) == DB_ROW; ++*count)
		if (*count < WORD_SETS_MAX) sets[*count] = arena_slice(mem, db_text(s, 0));
	return r;
}

static int change_worded_rows(struct flagging *f, struct uid_range range) {
	AUTO_ARENA struct arena mem = {0}, kept = {0};
	struct slice sets[WORD_SETS_MAX];
	size_t count;
	int found = word_sets(f, &kept, range, sets, &count);
	if (found != 0) return found;
	for (size_t i = 0; i < count && count <= WORD_SETS_MAX; i++) {
		int r = change_word_set(f, &mem, range, sets[i]);
		if (r != 0) return r;
	}
	if (count <= WORD_SETS_MAX) return 0;
	AUTO_STMT struct db_stmt *s = db_sql(
		f->tx,
		"SELECT uid, flags, keywords FROM message WHERE account_id = ? AND mailbox_id = ?"
		" AND uid BETWEEN ? AND ? AND modseq <= ? AND keywords IS NOT NULL AND modseq <> ? ORDER BY uid");
	bind_range(s, f->box, range);
	db_bind_int(s, f->newest);
	db_bind_int(s, (int64_t)f->modseq); /* those the statement for the range has just done */
	int r;
	while ((r = db_step(s)) == DB_ROW) {
		r = change_row(f, &mem, (uint32_t)db_int(s, 0), db_int(s, 1), db_text(s, 2));
		if (r != 0) return r;
		arena_reset(&mem);
	}
	return r;
}

static int tell_stale(struct flagging *f, struct uid_range range, int (*stale)(void *ctx, uint32_t uid), void *ctx) {
	if (!f->change->conditional || stale == NULL) return 0;
	AUTO_STMT struct db_stmt *s =
		db_sql(f->tx, "SELECT uid FROM message WHERE account_id = ? AND mailbox_id = ? AND uid BETWEEN ? AND ?"
	                  " AND modseq > ? ORDER BY uid");
	bind_range(s, f->box, range);
	db_bind_int(s, f->newest);
	int r;
	while ((r = db_step(s)) == DB_ROW) {
		r = stale(ctx, (uint32_t)db_int(s, 0));
		if (r != 0) return r;
	}
	return r;
}

/* Those are the rows with our modseq. */
static int tell_changed(struct flagging *f, struct uid_range range, int (*changed)(void *ctx, const struct message *m),
			void *ctx) {
	AUTO_STMT struct db_stmt *s =
		db_sql(f->tx, "SELECT " MESSAGE_COLUMNS " FROM message WHERE account_id = ? AND mailbox_id = ?"
			      " AND uid BETWEEN ? AND ? AND modseq = ? ORDER BY uid");
	bind_range(s, f->box, range);
	db_bind_int(s, (int64_t)f->modseq);
	int r;
	while ((r = db_step(s)) == DB_ROW) {
		struct message m = message_of(s);
		r = changed(ctx, &m);
		if (r != 0) return r;
	}
	return r;
}

static void count_single(struct flagging *f, uint64_t rows) {
	int64_t sign = f->add != 0 ? 1 : -1;
	if (f->single == FLAG_SEEN) f->delta.unseen -= sign * (int64_t)rows;
	if (f->single == FLAG_DELETED) f->delta.deleted += sign * (int64_t)rows;
}

static int flag_range(struct flagging *f, struct uid_range range) {
	uint64_t before = f->count;
	int r = foresee(f, range);
	if (r == 0) r = change_range(f, range);
	if (r == 0 && word_by_word(f)) r = change_worded_rows(f, range);
	count_single(f, f->count - before);
	return r == 0 ? changed_note(f->tx, f->box, range, f->modseq, f->count - before) : r;
}

static void plan(struct flagging *f, int64_t bits) {
	const struct flag_change *change = f->change;
	f->newest = change->conditional && change->unchanged_since < INT64_MAX ? (int64_t)change->unchanged_since
									       : INT64_MAX;
	f->keep = change->how == FLAGS_ADD ? -1 : change->how == FLAGS_REMOVE ? ~bits : (int64_t)change->fixed;
	f->add = change->how == FLAGS_REMOVE ? 0 : bits;
	f->bits_only = f->newest == INT64_MAX && f->keywords.len == 0 &&
		       (change->how != FLAGS_REPLACE || change->words_fixed);
	if (f->bits_only && change->how != FLAGS_REPLACE && (bits & (bits - 1)) == 0) f->single = (uint32_t)bits;
}

int store_flags(struct db_conn *tx, struct box box, struct uid_set set, const struct flag_change *change,
                int (*changed)(void *ctx, const struct message *m), int (*stale)(void *ctx, uint32_t uid), void *ctx,
                uint64_t *modseq) {
	AUTO_ARENA struct arena mem = {0};
	struct flagging f = { .tx = tx, .box = box, .change = change };
	int r = keywords_normal(&mem, change->words_fixed ? SLICE_NONE : change->keywords, &f.keywords);
	plan(&f, change->flags & FLAG_ALL & ~change->fixed);
	if (r == 0)
		r = f.keywords.len != 0 && change->how != FLAGS_REMOVE ? mailbox_keywords_add(tx, box, f.keywords)
		                                                       : mailbox_exists(tx, box);
	for (size_t i = 0; i < set.count && r == 0; i++) r = tell_stale(&f, set.at[i], stale, ctx);
	if (r == 0) r = modseq_next(tx, box.account, &f.modseq);
	for (size_t i = 0; i < set.count && r == 0; i++) r = flag_range(&f, set.at[i]);
	for (size_t i = 0; i < set.count && r == 0 && changed != NULL && f.count != 0; i++)
		r = tell_changed(&f, set.at[i], changed, ctx);
	if (r == 0 && f.count != 0) r = count_change(tx, box, &f.delta, f.modseq);
	if (r == 0 && modseq != NULL) *modseq = f.count != 0 ? f.modseq : 0;
	return r;
}
