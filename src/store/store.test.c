/* SPDX-License-Identifier: Apache-2.0 */
/* Random operations on the store and on a model that is too simple to be wrong; after each, both must say the same. */
#include "db/testing.h"
#include "base/encode.h"
#include "db/blob.h"
#include "store/change.h"
#include "store/store.h"

static struct db *db;
static struct box the_box;

static int create_account(struct db_conn *tx, void *arg) {
	return store_account_create(tx, *(int64_t *)arg);
}

static struct db *open_with_account(const char *dir, int64_t account) {
	db = testing_db(dir, NULL);
	assert_done(db_write(db, create_account, &account));
	return db;
}

static struct mailbox find(int64_t account, const char *name) {
	static struct arena mem;
	struct mailbox m = {0};
	struct db_conn *c = db_read(db);
	assert_done(store_find(c, &mem, account, slice_of(name), &m));
	db_release(&c);
	return m;
}

static int64_t ask(const char *sql) {
	AUTO_READ struct db_conn *c = db_read(db);
	AUTO_STMT struct db_stmt *s = db_sql(c, sql);
	return db_step(s) == DB_ROW ? db_int(s, 0) : -1;
}

/* Mailboxes. */

struct naming {
	int (*fn)(struct db_conn *tx, const struct naming *n);
	const char *name, *other;
	int want;
};

static int do_create(struct db_conn *tx, const struct naming *n) {
	struct box box;
	return store_create(tx, 1, slice_of(n->name), 0, &box);
}
static int do_delete(struct db_conn *tx, const struct naming *n) {
	return store_delete(tx, 1, slice_of(n->name));
}
static int do_rename(struct db_conn *tx, const struct naming *n) {
	return store_rename(tx, 1, slice_of(n->name), slice_of(n->other));
}
static int do_subscribe(struct db_conn *tx, const struct naming *n) {
	return store_subscribe(tx, 1, slice_of(n->name), n->other == NULL);
}
static int do_naming(struct db_conn *tx, void *arg) {
	const struct naming *n = arg;
	return n->fn(tx, n);
}

static int join_list(void *ctx, const struct mailbox *m) {
	buf_addf(ctx, "%.*s%s%s%s ", SLICE_ARG(m->name), m->nonexistent ? "?" : "", m->has_children ? "/" : "",
	         m->subscribed ? "+" : "");
	return 0;
}

static void test_names(void **state UNUSED) {
	static struct naming cases[] = {
		{ do_create, "Work/2026/May", NULL, 0 },
		{ do_create, "Work", NULL, STORE_EXISTS },
		{ do_create, "inbox", NULL, STORE_EXISTS },
		{ do_create, "inbox/sub/", NULL, 0 },
		{ do_create, "", NULL, STORE_BAD_NAME },
		{ do_create, "a//b", NULL, STORE_BAD_NAME },
		{ do_create, "/a", NULL, STORE_BAD_NAME },
		{ do_create, "a\nb", NULL, STORE_BAD_NAME },
		{ do_create, "\xff", NULL, STORE_BAD_NAME },
		{ do_create, "Work 1", NULL, 0 },
		{ do_create, "\xe6\x97\xa5\xe6\x9c\xac", NULL, 0 },
		{ do_delete, "INBOX", NULL, STORE_IS_INBOX },
		{ do_delete, "none", NULL, STORE_NO_MAILBOX },
		{ do_delete, "Work/2026", NULL, 0 },
		{ do_rename, "Work", "INBOX", STORE_EXISTS },
		{ do_rename, "Work", "Work/deep", STORE_BAD_NAME },
		{ do_rename, "none", "x", STORE_NO_MAILBOX },
		{ do_rename, "Sent", "Old/Sent", 0 },
		{ do_rename, "Work", "Job", 0 },
		{ do_create, "u\xcc\x88", NULL, 0 }, /* kept composed */
		{ do_create, "\xc3\xbc", NULL, STORE_EXISTS },
		{ do_delete, "u\xcc\x88", NULL, 0 },
		{ do_subscribe, "Gone", NULL, 0 },
		{ do_subscribe, "Trash", "off", 0 },
		{ do_subscribe, "Job/2026/May", NULL, 0 },
	};
	AUTO_TESTING_DIR char *dir = testing_dir();
	open_with_account(dir, 1);
	for (size_t i = 0; i < LEN(cases); i++) {
		int r = db_write(db, do_naming, &cases[i]);
		if (r != cases[i].want) failed("case %zu %s: %d %s", i, cases[i].name, r, r < 0 ? fail_text() : "");
	}
	AUTO_BUF struct buf out = BUF(2000);
	struct db_conn *c = db_read(db);
	assert_done(store_list(c, 1, join_list, &out));
	db_release(&c);
	assert_string_equal(buf_text(&out), "Archive+ Drafts+ Gone?+ INBOX/+ INBOX/sub Job/ Job/2026?/ Job/2026/May+ "
					    "Junk+ Old/ Old/Sent+ Trash Work 1 "
					    "\xe6\x97\xa5\xe6\x9c\xac ");
	struct mailbox sent = find(1, "Old/Sent"), job = find(1, "Job"), may = find(1, "Job/2026/May");
	assert_int_equal(sent.special_use, USE_SENT);
	assert_true(job.has_children && !may.has_children && may.subscribed && !job.subscribed);
	db_close(&db);
}

static struct mailbox put_mail(struct box box, uint32_t flags, const char *keywords);

/* Names that were kept before they were composed are found as they are, and by nothing else. */
static int keep_decomposed(struct db_conn *tx, void *arg UNUSED) {
	AUTO_STMT struct db_stmt *s = db_sql(tx, "UPDATE mailbox SET name = ? WHERE account_id = 1 AND name = 'Sent'");
	db_bind_text(s, S("e\xcc\x81"));
	return db_run(s);
}

static void test_names_of_before(void **state UNUSED) {
	static struct naming both = { do_create, "\xc3\xa9", NULL, 0 }, off = { do_subscribe, "e\xcc\x81", "off", 0 };
	AUTO_TESTING_DIR char *dir = testing_dir();
	open_with_account(dir, 1);
	assert_done(db_write(db, keep_decomposed, NULL));
	assert_done(db_write(db, do_naming, &both));
	assert_int_equal(find(1, "e\xcc\x81").special_use, USE_SENT);
	assert_int_equal(find(1, "\xc3\xa9").special_use, 0);
	assert_done(db_write(db, do_naming, &off));
	db_close(&db);
}

static void test_rename_inbox(void **state UNUSED) {
	AUTO_TESTING_DIR char *dir = testing_dir();
	open_with_account(dir, 1);
	struct mailbox inbox = find(1, "INBOX");
	put_mail(inbox.box, 0, NULL);
	static struct naming cases[] = { { do_create, "INBOX/below", NULL, 0 }, { do_rename, "INBOX", "Old", 0 } };
	for (size_t i = 0; i < LEN(cases); i++) assert_int_equal(db_write(db, do_naming, &cases[i]), 0);
	struct mailbox old = find(1, "Old"), now = find(1, "INBOX");
	assert_int_equal(old.exists, 1);
	assert_int_equal(now.exists, 0);
	assert_int_equal(now.uidnext, 1);
	assert_true(now.uidvalidity != old.uidvalidity && now.has_children);
	find(1, "INBOX/below");
	db_close(&db);
}

/* Messages. */

struct mail {
	struct append append;
	struct appended done;
	struct blob_draft *draft;
	size_t recipients;
	struct box *boxes;
};

static int append(struct db_conn *tx, void *arg) {
	struct mail *m = arg;
	int r = m->draft != NULL ? blob_insert(tx, m->draft, S("summary"), &m->append.blob_id) : 0;
	if (r == 0 && m->boxes == NULL) return store_append(tx, &m->append, &m->done);
	for (size_t i = 0; i < m->recipients && r == 0; i++) {
		m->append.box = m->boxes[i];
		r = store_append(tx, &m->append, &m->done);
	}
	return r;
}

static int write_mail(struct mail *m) {
	struct slice body = S("Subject: test\r\n\r\nHello\r\n");
	struct blob_source source = { .parts = &body, .part_count = 1, .fd = -1 };
	AUTO_BLOB_DRAFT struct blob_draft *draft = NULL;
	assert_done(blob_prepare(db, &source, &draft));
	m->draft = draft;
	m->append.size = body.len;
	int r = db_write(db, append, m);
	m->draft = NULL;
	return r;
}

static struct mailbox put_mail(struct box box, uint32_t flags, const char *keywords) {
	struct mail m = { .append = { .box = box, .flags = flags, .keywords = slice_of(keywords) } };
	static struct arena mem;
	struct mailbox out = {0};
	assert_done(write_mail(&m));
	struct db_conn *c = db_read(db);
	assert_done(store_mailbox(c, &mem, box, &out));
	db_release(&c);
	return out;
}

/* A delivery names no mailbox: the one that is INBOX now gets it. */
static void test_append_after_rename(void **state UNUSED) {
	AUTO_TESTING_DIR char *dir = testing_dir();
	open_with_account(dir, 1);
	struct mail m = { .append = { .box = { .account = 1 } } };
	assert_done(write_mail(&m));
	assert_done(db_write(db, do_naming, &(struct naming){ do_rename, "INBOX", "Old", 0 }));
	assert_done(write_mail(&m));
	assert_done(write_mail(&m));
	assert_int_equal(find(1, "Old").exists, 1);
	assert_int_equal(find(1, "INBOX").exists, 2);
	db_close(&db);
}

static void test_append_answers(void **state UNUSED) {
	AUTO_TESTING_DIR char *dir = testing_dir();
	open_with_account(dir, 1);
	struct box inbox = find(1, "INBOX").box;
	struct mail m = { .append = { .box = inbox, .quota_bytes = 50 } };
	assert_done(write_mail(&m));
	assert_done(write_mail(&m));
	assert_int_equal(m.done.uid, 2);
	assert_int_equal(write_mail(&m), STORE_OVER_QUOTA);
	m.append.quota_bytes = 0;
	m.append.quota_messages = 2;
	assert_int_equal(write_mail(&m), STORE_OVER_QUOTA);
	m = (struct mail){ .append = { .box = { 1, 99 } } };
	assert_int_equal(write_mail(&m), STORE_NO_MAILBOX);
	m = (struct mail){ .append = { .box = { 2, 1 } } };
	assert_int_equal(write_mail(&m), STORE_NO_ACCOUNT);
	m = (struct mail){ .append = { .box = inbox, .blob_id = 12345 } };
	assert_int_equal(db_write(db, append, &m), STORE_NO_BLOB);
	assert_int_equal(ask("SELECT COUNT(*) FROM blob"), 2);
	struct mailbox after = find(1, "INBOX");
	assert_int_equal(after.exists, 2);
	assert_int_equal(after.uidnext, 3);
	db_close(&db);
}

static int two_recipients(struct db_conn *tx, void *arg) {
	struct mail *m = arg;
	int64_t blob;
	int r = blob_insert(tx, m->draft, S(""), &blob);
	struct append a = { .box = m->append.box, .blob_id = blob, .size = 1000, .quota_bytes = 10 };
	if (r == 0) r = store_append(tx, &a, &m->done);
	if (r != STORE_OVER_QUOTA) return fail("no answer");
	a.quota_bytes = 0;
	return store_append(tx, &a, &m->done); /* the answer before left nothing behind */
}

static void test_one_body_for_many(void **state UNUSED) {
	AUTO_TESTING_DIR char *dir = testing_dir();
	int64_t second = 2;
	open_with_account(dir, 1);
	assert_done(db_write(db, create_account, &second));
	struct box boxes[] = { find(1, "INBOX").box, find(2, "INBOX").box, find(2, "Archive").box };
	struct mail m = { .boxes = boxes, .recipients = 3 };
	assert_done(write_mail(&m));
	assert_int_equal(ask("SELECT COUNT(*) FROM blob"), 1);
	assert_int_equal(ask("SELECT refs FROM blob"), 3);
	struct slice body = S("x");
	struct blob_source source = { .parts = &body, .part_count = 1, .fd = -1 };
	AUTO_BLOB_DRAFT struct blob_draft *draft = NULL;
	assert_done(blob_prepare(db, &source, &draft));
	struct mail two = { .draft = draft, .append = { .box = boxes[0] } };
	assert_done(db_write(db, two_recipients, &two));
	assert_int_equal(ask("SELECT refs FROM blob ORDER BY id DESC"), 1);
	assert_int_equal(find(1, "INBOX").exists, 2);
	blob_draft_done(&draft); /* before the database it is counted in */
	db_close(&db);
}

/* The model. */

enum { BOXES = 3, ROWS = 400, STEPS = 1500 };

struct row {
	uint32_t uid, flags;
	uint64_t modseq;
	int64_t blob;
	char words[100]; /* sorted, blank-separated */
};

static struct model {
	struct box box;
	struct row rows[ROWS * 4];
	size_t count;
	uint32_t uidnext;
	uint64_t checked; /* the modseq up to which a client has followed */
	struct row seen[ROWS * 4];
	size_t seen_count;
} model[BOXES];

static const char *const words[] = { "$Forwarded", "$Junk", "NotJunk", "work" };

static const char *words_of(unsigned mask, char out[static 100]) {
	out[0] = '\0';
	for (size_t i = 0, len = 0; i < LEN(words); i++)
		if ((mask & 1u << i) != 0)
			len += (size_t)snprintf(out + len, 100 - len, "%s%s", len != 0 ? " " : "", words[i]);
	return out;
}

static unsigned mask_of(const char *text) {
	unsigned mask = 0;
	for (size_t i = 0; i < LEN(words); i++)
		if (strstr(text, words[i]) != NULL) mask |= 1u << i;
	return text[0] != '\0' && strstr(text, "NotJunk") != NULL && strstr(text, "$Junk") == NULL ? mask & ~2u : mask;
}

struct step {
	struct model *from, *to;
	struct uid_range ranges[4];
	struct uid_set set;
	struct flag_change change;
	bool only_deleted;
	struct row told[ROWS * 4];
	size_t told_count;
	uint32_t stale[ROWS * 4];
	size_t stale_count;
	uint64_t modseq;
	struct copied copied;
	int (*fn)(struct db_conn *tx, struct step *s);
};

static bool in_set(const struct step *s, uint32_t uid) {
	for (size_t i = 0; i < s->set.count; i++)
		if (uid >= s->ranges[i].first && uid <= s->ranges[i].last) return true;
	return false;
}

static struct row row_from(const struct message *m) {
	struct row r = { .uid = m->uid, .flags = m->flags, .modseq = m->modseq, .blob = m->blob_id };
	snprintf(r.words, sizeof r.words, "%.*s", SLICE_ARG(m->keywords));
	return r;
}

static int tell_row(void *ctx, const struct message *m) {
	struct step *s = ctx;
	s->told[s->told_count++] = row_from(m);
	return 0;
}

static int tell_stale(void *ctx, uint32_t uid) {
	struct step *s = ctx;
	s->stale[s->stale_count++] = uid;
	return 0;
}

static int tell_pair(void *ctx, uint32_t from_uid, uint32_t to_uid) {
	struct step *s = ctx;
	s->told[s->told_count++] = (struct row){ .uid = from_uid, .flags = to_uid };
	return 0;
}

static int run_flags(struct db_conn *tx, struct step *s) {
	return store_flags(tx, s->from->box, s->set, &s->change, tell_row, tell_stale, s, &s->modseq);
}
static int run_copy(struct db_conn *tx, struct step *s) {
	return store_copy(tx, s->from->box, s->set, s->to->box, tell_pair, s, &s->copied);
}
static int run_move(struct db_conn *tx, struct step *s) {
	return store_move(tx, s->from->box, s->set, s->to->box, tell_pair, s, &s->copied);
}
static int run_expunge(struct db_conn *tx, struct step *s) {
	return store_expunge(tx, s->from->box, s->set, s->only_deleted, tell_stale, s);
}
static int run_step(struct db_conn *tx, void *arg) {
	struct step *s = arg;
	return s->fn(tx, s);
}

static void model_remove(struct model *m, size_t at) {
	memmove(&m->rows[at], &m->rows[at + 1], (m->count - at - 1) * sizeof m->rows[0]);
	m->count--;
}

static void model_flags(struct step *s) {
	size_t told = 0, stale = 0;
	for (size_t i = 0; i < s->from->count; i++) {
		struct row *r = &s->from->rows[i], was = *r;
		if (!in_set(s, r->uid)) continue;
		if (s->change.conditional && r->modseq > s->change.unchanged_since) {
			assert_int_equal(s->stale[stale++], r->uid);
			continue;
		}
		char text[100];
		snprintf(text, sizeof text, "%.*s", SLICE_ARG(s->change.keywords));
		unsigned have = mask_of(r->words), given = mask_of(text), bits = s->change.flags;
		enum flag_how how = s->change.how;
		r->flags = how == FLAGS_ADD ? r->flags | bits : how == FLAGS_REMOVE ? r->flags & ~bits : bits;
		words_of(how == FLAGS_ADD ? have | given : how == FLAGS_REMOVE ? have & ~given : given, r->words);
		if (r->flags == was.flags && strcmp(r->words, was.words) == 0) continue;
		r->modseq = s->modseq;
		assert_true(s->modseq > was.modseq);
		assert_int_equal(s->told[told].uid, r->uid);
		assert_int_equal(s->told[told].flags, r->flags);
		assert_string_equal(s->told[told].words, r->words);
		assert_int_equal(s->told[told++].modseq, r->modseq);
	}
	assert_int_equal(told, s->told_count);
	assert_int_equal(stale, s->stale_count);
	if (told == 0) assert_int_equal(s->modseq, 0);
}

static void model_transfer(struct step *s, bool move) {
	size_t told = 0, before = s->from->count;
	for (size_t i = 0; i < before; i++) {
		struct row r = s->from->rows[i];
		if (!in_set(s, r.uid)) continue;
		assert_int_equal(s->told[told].uid, r.uid);
		r.uid = s->to->uidnext++;
		r.modseq = 0; /* taken over from the store below */
		assert_int_equal(s->told[told++].flags, r.uid);
		s->to->rows[s->to->count++] = r;
	}
	for (size_t i = before; move && i-- > 0;)
		if (in_set(s, s->from->rows[i].uid)) model_remove(s->from, i);
	assert_int_equal(told, s->told_count);
	assert_int_equal(told, s->copied.count);
}

static void model_expunge(struct step *s) {
	size_t gone = 0;
	for (size_t i = 0; i < s->from->count;) {
		struct row r = s->from->rows[i];
		if (in_set(s, r.uid) && (!s->only_deleted || (r.flags & FLAG_DELETED) != 0)) {
			assert_int_equal(s->stale[gone++], r.uid);
			model_remove(s->from, i);
		} else {
			i++;
		}
	}
	assert_int_equal(gone, s->stale_count);
}

static struct model *checking;
static size_t checking_at;

static int check_row(void *ctx UNUSED, const struct message *m) {
	struct row have = row_from(m), *want = &checking->rows[checking_at++];
	if (want->modseq == 0) want->modseq = have.modseq;
	assert_int_equal(have.uid, want->uid);
	assert_int_equal(have.flags, want->flags);
	assert_int_equal(have.modseq, want->modseq);
	assert_int_equal(have.blob, want->blob);
	assert_string_equal(have.words, want->words);
	assert_true(slice_eq(m->summary, S("summary")));
	return 0;
}

/* A client that only asks what changed must end with the same picture. */
static int follow_changed(void *ctx, const struct message *m) {
	struct model *f = ctx;
	size_t i = 0;
	while (i < f->seen_count && f->seen[i].uid < m->uid) i++;
	if (i == f->seen_count || f->seen[i].uid != m->uid) {
		memmove(&f->seen[i + 1], &f->seen[i], (f->seen_count - i) * sizeof f->seen[0]);
		f->seen_count++;
	}
	f->seen[i] = row_from(m);
	return 0;
}

static int follow_vanished(void *ctx, uint32_t first, uint32_t last) {
	struct model *f = ctx;
	size_t kept = 0;
	for (size_t i = 0; i < f->seen_count; i++)
		if (f->seen[i].uid < first || f->seen[i].uid > last) f->seen[kept++] = f->seen[i];
	f->seen_count = kept;
	return 0;
}

static int count_doomed(void *count, const struct message *m) {
	assert_int_equal(m->flags & (FLAG_SEEN | FLAG_DELETED), FLAG_DELETED);
	++*(uint64_t *)count;
	return 0;
}

/* What is asked for in shorter words is the same. */
static void check_short_forms(struct db_conn *c, const struct model *m, const struct mailbox *have) {
	AUTO_ARENA struct arena mem = {0};
	struct mailbox_state state;
	uint64_t found = 0;
	assert_done(store_mailbox_state(c, &mem, m->box, &state));
	assert_true(state.uidnext == have->uidnext && state.highestmodseq == have->highestmodseq &&
		    state.deleted == have->deleted && slice_eq(state.keywords, have->keywords));
	const uint32_t both = FLAG_SEEN | FLAG_DELETED;
	assert_done(store_each_flagged(c, m->box, UID_ALL, both, FLAG_DELETED, count_doomed, &found));
	for (size_t i = 0; i < m->count; i++) found -= (m->rows[i].flags & (FLAG_SEEN | FLAG_DELETED)) == FLAG_DELETED;
	assert_int_equal(found, 0);
}

static void check_model(struct db_conn *c, struct model *m, bool follow) {
	AUTO_ARENA struct arena mem = {0};
	struct mailbox have;
	uint64_t unseen = 0, deleted = 0;
	checking = m;
	checking_at = 0;
	assert_done(store_each(c, m->box, UID_ALL, WANT_SUMMARY, check_row, NULL));
	assert_int_equal(checking_at, m->count);
	for (size_t i = 0; i < m->count; i++) {
		unseen += (m->rows[i].flags & FLAG_SEEN) == 0;
		deleted += (m->rows[i].flags & FLAG_DELETED) != 0;
	}
	assert_done(store_mailbox(c, &mem, m->box, &have));
	assert_int_equal(have.exists, m->count);
	assert_int_equal(have.uidnext, m->uidnext);
	assert_int_equal(have.unseen, unseen);
	assert_int_equal(have.deleted, deleted);
	assert_int_equal(have.bytes, m->count * 24);
	check_short_forms(c, m, &have);
	if (!follow) return;
	assert_done(store_changes(c, m->box, m->checked, follow_changed, follow_vanished, m));
	m->checked = have.highestmodseq;
	assert_int_equal(m->seen_count, m->count);
	for (size_t i = 0; i < m->count; i++) {
		assert_int_equal(m->seen[i].uid, m->rows[i].uid);
		assert_int_equal(m->seen[i].flags, m->rows[i].flags);
		assert_string_equal(m->seen[i].words, m->rows[i].words);
	}
}

static void random_set(struct step *s) {
	uint32_t at = 0, top = s->from->uidnext + 2;
	s->set = (struct uid_set){ s->ranges, 0 };
	for (size_t i = 0; i < LEN(s->ranges) && at < top; i++) {
		uint32_t first = at + 1 + (uint32_t)random_below(top / 3 + 1),
				 last = first + (uint32_t)random_below(i == 3 ? top : 4);
		s->ranges[s->set.count++] = (struct uid_range){ first, last };
		at = last;
	}
	if (random_below(20) == 0) s->set = UID_ALL, s->ranges[0] = UID_ALL.at[0];
}

static void step_append(struct model *m) {
	unsigned flags = (unsigned)random_below(32), mask = random_below(3) == 0 ? (unsigned)random_below(16) : 0;
	struct row r = { .uid = m->uidnext++, .flags = flags };
	struct mail mail = { .append = {
				     .box = m->box, .flags = flags, .keywords = slice_of(words_of(mask, r.words)) } };
	assert_done(write_mail(&mail));
	assert_int_equal(mail.done.uid, r.uid);
	r.modseq = mail.done.modseq;
	r.blob = mail.append.blob_id;
	m->rows[m->count++] = r;
}

static void random_step(struct step *s) {
	static char text[100];
	memset(s, 0, sizeof *s);
	s->from = &model[random_below(BOXES)];
	s->to = &model[random_below(BOXES)];
	uint64_t kind = random_below(10);
	if (kind < 4 || s->from->count == 0) {
		if (s->from->count < ROWS) step_append(s->from);
		return;
	}
	random_set(s);
	s->change = (struct flag_change){
		.how = (enum flag_how)random_below(3),
		.flags = (uint32_t)random_below(32),
		.keywords = slice_of(words_of(random_below(2) == 0 ? (unsigned)random_below(16) : 0, text)),
		.conditional = random_below(3) == 0,
		.unchanged_since = s->from->rows[random_below(s->from->count)].modseq,
	};
	s->only_deleted = random_below(2) == 0;
	bool crowded = s->to->count + s->from->count > ROWS * 2;
	s->fn = kind < 7                ? run_flags
		: kind == 7 && !crowded ? run_copy
		: kind == 8 && !crowded ? run_move
					: run_expunge;
	assert_done(db_write(db, run_step, s));
	if (s->fn == run_flags) model_flags(s);
	else if (s->fn == run_expunge) model_expunge(s);
	else model_transfer(s, s->fn == run_move);
}

static void check_references(void) {
	assert_int_equal(
		ask("SELECT COUNT(*) FROM blob WHERE refs <> (SELECT COUNT(*) FROM message WHERE blob_id = blob.id)"),
		0);
	assert_int_equal(ask("SELECT COUNT(*) FROM blob_data"), ask("SELECT COUNT(*) FROM blob"));
	assert_int_equal(ask("SELECT COUNT(*) FROM summary"), ask("SELECT COUNT(*) FROM blob"));
	assert_int_equal(ask("SELECT COUNT(*) FROM account_state WHERE bytes <> (SELECT COALESCE(SUM(bytes), 0) FROM "
			     "mailbox WHERE"
			     " mailbox.account_id = account_state.account_id AND name IS NOT NULL) OR messages <> "
			     "(SELECT COALESCE(SUM(messages), 0) FROM"
			     " mailbox WHERE mailbox.account_id = account_state.account_id AND name IS NOT NULL)"),
			 0);
}

static int delete_account(struct db_conn *tx, void *arg) {
	return store_account_delete(tx, *(int64_t *)arg);
}

static void test_against_model(void **state UNUSED) {
	AUTO_TESTING_DIR char *dir = testing_dir();
	int64_t first = 1, second = 2;
	open_with_account(dir, first);
	assert_done(db_write(db, create_account, &second));
	struct box boxes[] = { find(1, "INBOX").box, find(1, "Archive").box, find(2, "INBOX").box };
	memset(model, 0, sizeof model);
	for (size_t i = 0; i < BOXES; i++) model[i].box = boxes[i], model[i].uidnext = 1;
	static struct step s;
	for (int i = 0; i < STEPS; i++) {
		random_step(&s);
		struct db_conn *c = db_read(db);
		for (size_t j = 0; j < BOXES; j++) check_model(c, &model[j], i % 5 == 0);
		db_release(&c);
		if (i % 50 == 0) check_references();
	}
	check_references();
	static struct naming archive = { do_delete, "Archive", NULL, 0 };
	assert_done(db_write(db, do_naming, &archive));
	check_references();
	assert_done(store_sweep(db));
	check_references();
	assert_done(db_write(db, delete_account, &first));
	assert_done(store_sweep(db));
	assert_done(db_write(db, delete_account, &second));
	assert_done(store_sweep(db));
	assert_int_equal(ask("SELECT (SELECT COUNT(*) FROM message) + (SELECT COUNT(*) FROM blob) + (SELECT COUNT(*) "
			     "FROM mailbox)"
			     " + (SELECT COUNT(*) FROM expunged) + (SELECT COUNT(*) FROM subscription)"
			     " + (SELECT COUNT(*) FROM changed_part)"),
			 0);
	db_close(&db);
}

static void test_uids_and_recent(void **state UNUSED) {
	AUTO_TESTING_DIR char *dir = testing_dir();
	open_with_account(dir, 1);
	struct box inbox = find(1, "INBOX").box;
	for (int i = 0; i < 5; i++) put_mail(inbox, 0, "b a B");
	struct mailbox m = find(1, "INBOX");
	assert_true(slice_eq(m.keywords, S("a b")));
	assert_int_equal(m.recent_from, 1);
	AUTO_BUF struct buf uids = BUF(12);
	struct db_conn *c = db_read(db);
	assert_done(store_uids(c, inbox, 3, &uids));
	assert_int_equal(uids.len, 12);
	assert_int_equal(((uint32_t *)(void *)uids.at)[2], 5);
	assert_int_equal(store_uids(c, inbox, 1, &uids), STORE_LIMIT);
	struct store_usage usage;
	assert_done(store_usage(c, 1, &usage));
	assert_int_equal(usage.messages, 5);
	AUTO_ARENA struct arena mem = {0};
	assert_done(store_find_use(c, &mem, 1, USE_JUNK, &m));
	assert_true(slice_eq(m.name, S("Junk")));
	db_release(&c);
	db_close(&db);
}

/* What a change is found by: few rows for a large one, the right ones for a small one in a wide set. */

static const struct flag_change flag_them = { .how = FLAGS_ADD, .flags = FLAG_FLAGGED };

static int flag(struct db_conn *tx, void *arg) {
	return store_flags(tx, the_box, (struct uid_set){ arg, 1 }, &flag_them, NULL, NULL, NULL, NULL);
}
static int unflag_all(struct db_conn *tx, void *arg UNUSED) {
	static const struct flag_change change = { .how = FLAGS_REMOVE, .flags = FLAG_FLAGGED };
	return store_flags(tx, the_box, UID_ALL, &change, NULL, NULL, NULL, NULL);
}
static int expunge_them(struct db_conn *tx, void *arg) {
	return store_expunge(tx, the_box, (struct uid_set){ arg, 1 }, false, NULL, NULL);
}

static int join_uid(void *ctx, const struct message *m) {
	buf_addf(ctx, "%u ", m->uid);
	return 0;
}

static void expect_changes(uint64_t since, const char *uids) {
	AUTO_BUF struct buf text = BUF(KIB(4));
	AUTO_READ struct db_conn *c = db_read(db);
	assert_done(store_changes(c, the_box, since, join_uid, NULL, &text));
	assert_string_equal(buf_text(&text), uids);
}

static void test_changed_parts(void **state UNUSED) {
	AUTO_TESTING_DIR char *dir = testing_dir();
	open_with_account(dir, 1);
	the_box = find(1, "INBOX").box;
	for (int i = 0; i < 400; i++) put_mail(the_box, 0, "");
	struct uid_range few[] = { { 5, 5 }, { 127, 128 }, { 300, 300 } }, most = { 129, UINT32_MAX }, all = { 1, 400 };
	uint64_t since = find(1, "INBOX").highestmodseq;
	expect_changes(since, "");
	for (size_t i = 0; i < LEN(few); i++) assert_done(db_write(db, flag, &few[i]));
	expect_changes(since, "5 127 128 300 ");
	assert_int_equal(ask("SELECT COUNT(*) FROM changed_part"), 3);
	since = find(1, "INBOX").highestmodseq;
	assert_done(db_write(db, unflag_all, NULL));
	expect_changes(since, "5 127 128 300 ");
	assert_int_equal(ask("SELECT COUNT(*) FROM changed_part"), 3);
	assert_done(db_write(db, flag, &all));
	assert_int_equal(ask("SELECT COUNT(*) FROM changed_part"), 4);
	assert_done(db_write(db, unflag_all, NULL));
	since = find(1, "INBOX").highestmodseq;
	assert_done(db_write(db, flag, &few[1]));
	expect_changes(since, "127 128 ");
	assert_done(db_write(db, expunge_them, &most));
	assert_int_equal(ask("SELECT COUNT(*) FROM changed_part"), 2);
	expect_changes(since, "127 128 ");
	db_close(&db);
}

/* The hub. */

static void note_change(void *ctx, const struct change *change) {
	buf_addf(ctx, "%d:%d ", (int)change->account, (int)change->mailbox);
}

static void test_hub(void **state UNUSED) {
	AUTO_TESTING_DIR char *dir = testing_dir();
	int64_t second = 2;
	open_with_account(dir, 1);
	assert_done(db_write(db, create_account, &second));
	struct box inbox = find(1, "INBOX").box, junk = find(1, "Junk").box, other = find(2, "INBOX").box;
	struct change_hub *hub = change_hub_open(db);
	AUTO_BUF struct buf one = BUF(1000), all = BUF(1000);
	struct change_watch *w1 = change_watch(hub, 1, inbox.id, note_change, &one),
						*w2 = change_watch(hub, 1, 0, note_change, &all);
	put_mail(inbox, 0, NULL);
	put_mail(junk, 0, NULL);
	put_mail(other, 0, NULL);
	struct mail bad = { .append = { .box = inbox, .quota_bytes = 1 } };
	assert_int_equal(write_mail(&bad), STORE_OVER_QUOTA); /* taken back: nothing is announced */
	static struct naming create = { do_create, "New", NULL, 0 };
	assert_done(db_write(db, do_naming, &create));
	assert_string_equal(buf_text(&one), "1:1 ");
	assert_string_equal(buf_text(&all), "1:1 1:4 1:0 ");
	change_unwatch(hub, &w2);
	put_mail(inbox, 0, NULL);
	assert_string_equal(buf_text(&one), "1:1 1:1 ");
	assert_string_equal(buf_text(&all), "1:1 1:4 1:0 ");
	change_unwatch(hub, &w1);
	change_hub_close(&hub);
	put_mail(inbox, 0, NULL);
	db_close(&db);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_names_of_before),
		cmocka_unit_test(test_rename_inbox),
		cmocka_unit_test(test_append_after_rename),
		cmocka_unit_test(test_append_answers),
		cmocka_unit_test(test_one_body_for_many),
		cmocka_unit_test(test_against_model),
		cmocka_unit_test(test_uids_and_recent),
		cmocka_unit_test(test_changed_parts),
		cmocka_unit_test(test_hub),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
