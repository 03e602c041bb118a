/* SPDX-License-Identifier: Apache-2.0 */
/* Rights, notes, limits and what leaves by itself. */
#include "db/testing.h"
#include "base/clock.h"
#include "db/blob.h"
#include "store/acl.h"
#include "store/annotation.h"
#include "store/autoexpunge.h"
#include "store/quota.h"

static struct db *db;

struct doing {
	int (*fn)(struct db_conn *tx, const struct doing *d);
	struct box box;
	const char *name, *value;
	enum acl_how how;
	uint64_t number, more;
};

static int run(struct db_conn *tx, void *arg) {
	const struct doing *d = arg;
	return d->fn(tx, d);
}
#define DO(...) db_write(db, run, &(struct doing){ __VA_ARGS__ })

static int create_account(struct db_conn *tx, const struct doing *d) {
	return store_account_create(tx, d->box.account);
}
static int create(struct db_conn *tx, const struct doing *d) {
	struct box box;
	return store_create(tx, d->box.account, slice_of(d->name), 0, &box);
}
static int grant(struct db_conn *tx, const struct doing *d) {
	uint32_t rights = 0;
	assert_true(acl_parse(slice_of(d->value), &rights));
	return store_acl_set(tx, d->box, slice_of(d->name), d->how, rights);
}
static int forget(struct db_conn *tx, const struct doing *d) { return store_acl_forget(tx, slice_of(d->name)); }
static int group(struct db_conn *tx, const struct doing *d) {
	return store_group_add(tx, slice_of(d->name), slice_of(d->value));
}
static int annotate(struct db_conn *tx, const struct doing *d) {
	return store_annotate(tx, d->box, slice_of(d->name), (int64_t)d->number, slice_of(d->value));
}
static int pool(struct db_conn *tx, const struct doing *d) {
	return store_pool_set(tx, slice_of(d->name), d->number, d->more);
}
static int join(struct db_conn *tx, const struct doing *d) {
	return store_pool_join(tx, slice_of(d->name), d->box.account);
}
static int expunge(struct db_conn *tx, const struct doing *d) {
	return store_expunge(tx, d->box, UID_ALL, false, NULL, NULL);
}
static int age(struct db_conn *tx, const struct doing *d) {
	AUTO_STMT struct db_stmt *s =
		db_sql(tx, "UPDATE message SET saved_us = ? WHERE account_id = ? AND mailbox_id = ?");
	db_bind_int(s, wall_us() - (int64_t)d->number);
	db_bind_int(s, d->box.account);
	db_bind_int(s, d->box.id);
	return db_run(s);
}

struct adding {
	struct append append;
	struct blob_draft *draft;
};
static int add(struct db_conn *tx, void *arg) {
	struct adding *a = arg;
	struct appended done;
	int r = blob_insert(tx, a->draft, S("summary"), &a->append.blob_id);
	return r != 0 ? r : store_append(tx, &a->append, &done);
}
static int append(struct append a) {
	struct slice body = S("Subject: a\r\n\r\nbody\r\n");
	struct adding w = { .append = a };
	w.append.size = body.len;
	assert_done(blob_prepare(db, &(struct blob_source){ &body, 1, -1, 0, 0 }, &w.draft));
	int r = db_write(db, add, &w);
	blob_draft_done(&w.draft);
	return r;
}

static struct box box_of(int64_t account, const char *name) {
	AUTO_ARENA struct arena mem = {0};
	struct mailbox m = {0};
	AUTO_READ struct db_conn *c = db_read(db);
	assert_done(store_find(c, &mem, account, slice_of(name), &m));
	return m.box;
}

static void assert_rights(struct box box, const char *who, const char *want) {
	AUTO_READ struct db_conn *c = db_read(db);
	AUTO_BUF struct buf text = BUF(64);
	uint32_t rights = 0;
	assert_done(store_acl_rights(c, box, slice_of(who), &rights));
	acl_put(&text, rights);
	assert_string_equal(buf_text(&text), want);
}

static void test_letters(void **state) {
	(void)state;
	static const struct { const char *in; bool good; const char *out; } cases[] = {
		{ "", true, "" },          { "lr", true, "lr" },     { "aetxkpiwsrl", true, "lrswipkxteacd" },
		{ "c", true, "kxc" },      { "d", true, "ted" },     { "lz", false, "" },
		{ "L", false, "" },        { "t", true, "td" },      { "x", true, "xc" },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		AUTO_BUF struct buf text = BUF(64);
		uint32_t rights = 0;
		assert_int_equal(acl_parse(slice_of(cases[i].in), &rights), cases[i].good);
		if (!cases[i].good) continue;
		acl_put(&text, rights);
		assert_string_equal(buf_text(&text), cases[i].out);
	}
}

static int count_shared(void *ctx, struct box box, uint32_t rights) {
	uint32_t *sum = ctx;
	assert_true(box.account == 1 && rights != 0);
	++*sum;
	return 0;
}

static uint32_t shared_with(const char *who) {
	AUTO_READ struct db_conn *c = db_read(db);
	uint32_t n = 0;
	assert_done(store_acl_shared(c, 2, slice_of(who), count_shared, &n));
	return n;
}

static void test_rights(void **state) {
	(void)state;
	AUTO_TESTING_DIR char *dir = testing_dir();
	db = testing_db(dir, NULL);
	assert_done(DO(create_account, { 1, 0 }));
	struct box inbox = box_of(1, "INBOX"), sent = box_of(1, "Sent");
	assert_rights(inbox, "bob@b.test", "");
	assert_done(DO(grant, inbox, "Bob@B.test", "lr"));
	assert_done(DO(grant, inbox, "anyone", "i"));
	assert_done(DO(grant, sent, "$Team", "l"));
	assert_rights(inbox, "bob@b.test", "lri");
	assert_rights(inbox, "carol@b.test", "i");
	assert_done(DO(grant, inbox, "bob@b.test", "rs", ACL_ADD));
	assert_done(DO(grant, inbox, "-anyone", "r"));
	assert_rights(inbox, "bob@b.test", "lsi");
	assert_done(DO(grant, inbox, "bob@b.test", "l", ACL_TAKE));
	assert_rights(inbox, "bob@b.test", "si");
	assert_int_equal(shared_with("bob@b.test"), 1);
	assert_done(DO(group, .name = "$team", .value = "bob@b.test"));
	assert_int_equal(DO(group, .name = "$team", .value = "bob@b.test"), STORE_EXISTS);
	assert_int_equal(DO(group, .name = "team", .value = "bob@b.test"), STORE_BAD_NAME);
	assert_rights(sent, "bob@b.test", "l");
	assert_int_equal(shared_with("bob@b.test"), 2);
	assert_int_equal(DO(grant, (struct box){ 1, 99 }, "bob@b.test", "l"), STORE_NO_MAILBOX);
	static const char *const bad[] = { "", "-", "a b", "--x", "$" };
	for (size_t i = 0; i < LEN(bad); i++) assert_int_equal(DO(grant, inbox, bad[i], "l"), STORE_BAD_NAME);
	/* what is made below has the same */
	assert_done(DO(create, { 1, 0 }, "Sent/2026/May"));
	assert_rights(box_of(1, "Sent/2026/May"), "bob@b.test", "l");
	assert_done(DO(forget, .name = "BOB@b.test"));
	assert_rights(inbox, "bob@b.test", "i");
	assert_rights(sent, "bob@b.test", "");
	db_close(&db);
}

static int collect(void *ctx, struct slice entry, struct slice value) {
	return buf_addf(ctx, "%.*s=%.*s;", SLICE_ARG(entry), SLICE_ARG(value)) ? 0 : -1;
}

static void assert_notes(struct box box, const char *entry, int64_t reader, int below, const char *want) {
	AUTO_READ struct db_conn *c = db_read(db);
	AUTO_BUF struct buf text = BUF(4096);
	assert_done(store_annotations(c, box, slice_of(entry), reader, below, collect, &text));
	assert_string_equal(buf_text(&text), want);
}

static void test_annotations(void **state) {
	(void)state;
	AUTO_TESTING_DIR char *dir = testing_dir();
	db = testing_db(dir, NULL);
	assert_done(DO(create_account, { 1, 0 }));
	struct box inbox = box_of(1, "INBOX");
	static const struct { const char *name, *value; uint64_t reader;
	} rows[] = {
		{ "/shared/a", "1", 0 },  { "/shared/a/b", "2", 0 }, { "/shared/a/b/c", "3", 0 },
		{ "/shared/ab", "4", 0 }, { "/private/a", "5", 7 },
	};
	for (size_t i = 0; i < LEN(rows); i++)
		assert_done(DO(annotate, inbox, rows[i].name, rows[i].value, .number = rows[i].reader));
	assert_notes(inbox, "/shared/a", 0, ANNOTATION_BELOW_NONE, "/shared/a=1;");
	assert_notes(inbox, "/shared/a", 0, ANNOTATION_BELOW_ONE, "/shared/a=1;/shared/a/b=2;");
	assert_notes(inbox, "/shared/a", 0, ANNOTATION_BELOW_ALL, "/shared/a=1;/shared/a/b=2;/shared/a/b/c=3;");
	assert_notes(inbox, "/private/a", 7, ANNOTATION_BELOW_NONE, "/private/a=5;");
	assert_notes(inbox, "/private/a", 8, ANNOTATION_BELOW_NONE, "");
	assert_done(DO(annotate, inbox, "/shared/a", "new"));
	assert_done(DO(annotate, inbox, "/shared/a/b", NULL));
	assert_notes(inbox, "/shared/a", 0, ANNOTATION_BELOW_ALL, "/shared/a=new;/shared/a/b/c=3;");
	char name[32];
	int r = 0;
	for (int i = 0; r == 0 && i < 1000; i++) {
		snprintf(name, sizeof name, "/shared/x%d", i);
		r = DO(annotate, inbox, name, "x");
	}
	assert_int_equal(r, STORE_LIMIT);
	assert_done(DO(annotate, inbox, "/shared/a", "still"));
	db_close(&db);
}

static uint64_t pool_bytes(uint64_t *messages) {
	AUTO_ARENA struct arena mem = {0};
	struct quota_pool p = {0};
	AUTO_READ struct db_conn *c = db_read(db);
	assert_done(store_pool(c, &mem, S("b.test"), &p));
	*messages = p.messages;
	return p.bytes;
}

static int count_warning(void *ctx, const struct quota_warning *w) {
	unsigned *levels = ctx;
	*levels = *levels * 1000 + w->level;
	return 0;
}

static void test_limits(void **state) {
	(void)state;
	AUTO_TESTING_DIR char *dir = testing_dir();
	db = testing_db(dir, NULL);
	uint64_t messages;
	for (int64_t i = 1; i <= 3; i++) assert_done(DO(create_account, { i, 0 }));
	assert_done(append((struct append){ .box = { 1, 0 } }));
	assert_done(DO(pool, .name = "b.test", .more = 4));
	for (int64_t i = 1; i <= 2; i++) assert_done(DO(join, { i, 0 }, "b.test"));
	assert_done(DO(join, { 1, 0 }, "b.test")); /* again: nothing changes */
	assert_int_equal(pool_bytes(&messages), 20);
	assert_int_equal(messages, 1);
	for (int i = 0; i < 3; i++) assert_done(append((struct append){ .box = { 2, 0 } }));
	assert_int_equal(append((struct append){ .box = { 1, 0 } }), STORE_OVER_QUOTA);
	assert_done(append((struct append){ .box = { 3, 0 } }));
	assert_done(DO(expunge, box_of(2, "INBOX")));
	assert_int_equal(pool_bytes(&messages), 20);
	/* an account's own, with warnings */
	struct append a = { .box = { 3, 0 }, .quota_messages = 5, .quota_levels = { 60, 80 } };
	unsigned levels = 0;
	assert_done(append(a)); /* 2 */
	assert_done(append(a)); /* 3: 60 % */
	assert_done(append(a)); /* 4: 80 % */
	assert_done(append(a));
	assert_int_equal(append(a), STORE_OVER_QUOTA);
	struct db_conn *c = db_read(db);
	assert_done(store_quota_warnings(c, count_warning, &levels));
	struct quota q = { .messages = 6 };
	assert_int_equal(store_quota_fits(c, 3, &q, 1, 1), 0);
	assert_int_equal(store_quota_fits(c, 3, &q, 1, 2), STORE_OVER_QUOTA);
	q = (struct quota){ .bytes = 100 };
	assert_int_equal(store_quota_fits(c, 3, &q, 0, 1), 0);
	assert_int_equal(store_quota_fits(c, 3, &q, 1, 1), STORE_OVER_QUOTA);
	db_release(&c);
	assert_int_equal(levels, 60080);
	/* grace: for the one that fills it */
	a = (struct append){ .box = { 3, 0 }, .quota_bytes = 110, .quota_grace = 15 };
	assert_done(append(a));
	assert_int_equal(append(a), STORE_OVER_QUOTA);
	db_close(&db);
}

static void test_autoexpunge(void **state) {
	(void)state;
	static const struct { const char *text; int64_t s; } times[] = {
		{ "30d", 2592000 }, { "12h", 43200 }, { "2w", 1209600 }, { "7", 604800 }, { "never", 0 }, { "0", 0 },
		{ "soon", -1 },     { "", -1 },       { "-1d", -1 },     { "1.5d", -1 },  { "d", -1 },
	};
	for (size_t i = 0; i < LEN(times); i++) {
		int64_t us = -1;
		assert_int_equal(autoexpunge_read(slice_of(times[i].text), &us), times[i].s >= 0);
		if (times[i].s >= 0) assert_int_equal(us, times[i].s * 1000000);
	}
	AUTO_TESTING_DIR char *dir = testing_dir();
	db = testing_db(dir, NULL);
	assert_done(DO(create_account, { 1, 0 }));
	struct box trash = box_of(1, "Trash"), junk = box_of(1, "Junk"), archive = box_of(1, "Archive");
	struct box boxes[] = { trash, junk, archive };
	for (size_t i = 0; i < LEN(boxes); i++) {
		for (int k = 0; k < 3; k++) assert_done(append((struct append){ .box = boxes[i] }));
		assert_done(DO(age, boxes[i], .number = 50 * UINT64_C(86400000000)));
		assert_done(append((struct append){ .box = boxes[i] }));
	}
	assert_done(DO(annotate, junk, AUTOEXPUNGE_ENTRY, "never"));
	assert_done(DO(annotate, archive, AUTOEXPUNGE_ENTRY, "40d"));
	const struct autoexpunge_rule rules[] = { { USE_TRASH, INT64_C(30) * 86400000000 }, { USE_JUNK, 1 } };
	uint64_t gone;
	assert_done(store_autoexpunge(db, rules, LEN(rules), &gone));
	assert_int_equal(gone, 6);
	AUTO_BUF struct buf uids = BUF(1000);
	struct db_conn *c = db_read(db);
	assert_done(store_uids(c, junk, 1, &uids));
	db_release(&c);
	assert_int_equal(uids.len, 4 * sizeof(uint32_t));
	db_close(&db);
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_letters), cmocka_unit_test(test_rights),
					    cmocka_unit_test(test_annotations), cmocka_unit_test(test_limits),
					    cmocka_unit_test(test_autoexpunge) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
