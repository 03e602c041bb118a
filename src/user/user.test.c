/* SPDX-License-Identifier: Apache-2.0 */
#include "db/testing.h"
#include "user/user.h"

static void test_address(void **state UNUSED) {
	static const struct { const char *in, *want; } cases[] = {
		{ "Toru@Example.COM", "toru@example.com" },
		{ "a@b.example.", "a@b.example" },
		{ "@Example.com", "@example.com" },
		{ "x@\xe6\x97\xa5\xe6\x9c\xac.example", "x@xn--wgv71a.example" },
		{ "x@B\xc3\x9c"
		  "CHER.example",
		  "x@xn--bcher-kva.example" },
		{ "\xc3\x84@b.example", "\xc3\x84@b.example" },
		{ "a@b@c.example", "a@b@c.example" },
		{ "nobody", NULL },
		{ "a@", NULL },
		{ "a@-b.example", NULL },
		{ "a@b..example", NULL },
		{ "a b@c.example", NULL },
		{ "a@[192.0.2.1]", NULL },
		{ "a\n@c.example", NULL },
		{ "\xff@c.example", NULL },
		{ "", NULL },
		{ "a@b c", NULL },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		AUTO_ARENA struct arena mem = {0};
		struct slice out = S("untouched");
		int r = user_address(&mem, slice_of(cases[i].in), &out);
		if (r != (cases[i].want == NULL ? USER_BAD_ADDRESS : 0)) failed("case %zu: %d", i, r);
		if (!slice_eq(out, cases[i].want != NULL ? slice_of(cases[i].want) : S("untouched")))
			failed("case %zu: %.*s", i, SLICE_ARG(out));
	}
}

static struct {
	const char *account, *alias, *target;
} world[] = {
	{ .account = "Toru@torus.example" },
	{ .account = "toru-work@torus.example" },
	{ .account = "second@torus.example" },
	{ .alias = "info@torus.example", .target = "Toru@torus.example" },
	{ .alias = "info@torus.example", .target = "Me@gmail.example" },
	{ .alias = "copy@torus.example", .target = "copy@torus.example" },
	{ .account = "copy@torus.example" },
	{ .alias = "copy@torus.example", .target = "me@gmail.example" },
	{ .alias = "@all.example", .target = "toru@torus.example" },
	{ .account = "real@all.example" },
	{ .alias = "@old.example", .target = "@torus.example" },
	{ .alias = "list-request@torus.example", .target = "second@torus.example" },
	{ .account = "off@all.example" },
	{ .account = "owner@torus.example" },
	{ .account = "foo@torus.example" },
	{ .alias = "fwd@only.example", .target = "x@elsewhere.example" },
};

static int build(struct db_conn *tx, void *arg UNUSED) {
	for (size_t i = 0; i < LEN(world); i++) {
		int64_t id;
		int r = world[i].account != NULL
				? user_account_add(tx, slice_of(world[i].account), &id)
				: user_alias_add(tx, slice_of(world[i].alias), slice_of(world[i].target));
		if (r != 0) return r;
	}
	int r = user_domain_add(tx, S("Empty.example"));
	return r != 0 ? r : user_account_disable(tx, S("off@all.example"), true);
}

/* "account detail" or "targets", as one text */
static void describe(struct db_conn *c, struct arena *mem, int r, const struct resolved *to, struct buf *out) {
	struct account a;
	if (r == USER_ACCOUNT || r == USER_DISABLED) {
		assert_done(user_account_by_id(c, mem, to->account_id, &a));
		assert_true(slice_eq(a.address, to->address));
		buf_add(out, a.address);
	}
	if (r == USER_ALIAS)
		for (size_t i = 0; i < to->target_count; i++)
			buf_addf(out, "%s%.*s", i != 0 ? "," : "", SLICE_ARG(to->targets[i]));
	if (to->detail.at != NULL) buf_addf(out, " %c%.*s", to->delimiter, SLICE_ARG(to->detail));
	if (to->catch_all) buf_add(out, S(" all"));
}

static void test_resolve(void **state UNUSED) {
	static const struct { const char *in, *delimiters; bool only; int want; const char *where;
	} cases[] = {
		{ "toru@torus.example", "+-", false, USER_ACCOUNT, "toru@torus.example" },
		{ "TORU@TORUS.EXAMPLE", "+-", false, USER_ACCOUNT, "toru@torus.example" },
		{ "toru-Shop@torus.example", "+-", false, USER_ACCOUNT, "toru@torus.example -Shop" },
		{ "toru+a-b@torus.example", "+-", false, USER_ACCOUNT, "toru@torus.example +a-b" },
		{ "toru-a+b@torus.example", "+-", false, USER_ACCOUNT, "toru@torus.example -a+b" },
		{ "toru+@torus.example", "+-", false, USER_ACCOUNT, "toru@torus.example +" },
		{ "toru-work@torus.example", "+-", false, USER_ACCOUNT,
		  "toru-work@torus.example" }, /* whole address first */
		{ "toru-shop@torus.example", "+", false, USER_UNKNOWN, "" },
		{ "toru-shop@torus.example", "", false, USER_UNKNOWN, "" },
		{ "-toru@torus.example", "+-", false, USER_UNKNOWN, "" }, /* no empty user */
		{ "info@torus.example", "+-", false, USER_ALIAS, "Me@gmail.example,Toru@torus.example" },
		{ "info-x@torus.example", "+-", false, USER_ALIAS, "Me@gmail.example,Toru@torus.example -x" },
		{ "info@torus.example", "+-", true, USER_UNKNOWN, "" },
		{ "copy@torus.example", "+-", false, USER_ALIAS, "copy@torus.example,me@gmail.example" },
		{ "copy@torus.example", "+-", true, USER_ACCOUNT, "copy@torus.example" },
		{ "nobody@torus.example", "+-", false, USER_UNKNOWN, "" },
		{ "whoever@all.example", "+-", false, USER_ALIAS, "toru@torus.example all" },
		{ "real@all.example", "+-", false, USER_ACCOUNT,
		  "real@all.example" }, /* an account before the catch-all */
		{ "real+x@all.example", "+-", false, USER_ACCOUNT, "real@all.example +x" },
		{ "off@all.example", "+-", false, USER_DISABLED, "off@all.example" },
		{ "Second-z@old.example", "+-", false, USER_ALIAS, "second-z@torus.example all" },
		{ "list-request@torus.example", "+-", false, USER_ALIAS, "second@torus.example" },
		{ "toru-request@torus.example", "+-", false, USER_UNKNOWN, "" },
		{ "owner-toru@torus.example", "+-", false, USER_UNKNOWN, "" },
		{ "double-bounce@torus.example", "-", false, USER_UNKNOWN, "" },
		{ "mailer-daemon@torus.example", "-", false, USER_UNKNOWN, "" },
		{ "postmaster@torus.example", "+-", false, USER_ALIAS, "toru@torus.example" }, /* the oldest there */
		{ "Abuse@only.example", "+-", false, USER_ALIAS, "toru@torus.example" },       /* the oldest anywhere */
		{ "postmaster@all.example", "+-", false, USER_ALIAS, "toru@torus.example all" },
		{ "postmaster@gmail.example", "+-", false, USER_NOT_LOCAL, "" },
		{ "x@gmail.example", "+-", false, USER_NOT_LOCAL, "" },
		{ "x@empty.example", "+-", false, USER_UNKNOWN, "" },
		{ "fwd@only.example", "+-", false, USER_ALIAS, "x@elsewhere.example" },
		{ "other@only.example", "+-", false, USER_UNKNOWN, "" },
		{ "no address", "+-", false, USER_BAD_ADDRESS, "" },
		{ "@all.example", "+-", false, USER_BAD_ADDRESS, "" },
	};
	AUTO_TESTING_DIR char *dir = testing_dir();
	struct db *db = testing_db(dir, NULL);
	assert_done(db_write(db, build, NULL));
	struct db_conn *c = db_read(db);
	for (size_t i = 0; i < LEN(cases); i++) {
		AUTO_ARENA struct arena mem = {0};
		AUTO_BUF struct buf where = BUF(1000);
		struct resolved to = {0};
		struct resolve_params params = { .delimiters = slice_of(cases[i].delimiters),
			                             .owner_request_whole = true,
			                             .accounts_only = cases[i].only };
		int r = user_resolve(c, &mem, slice_of(cases[i].in), &params, &to);
		if (r != cases[i].want) failed("%s: %d %s", cases[i].in, r, r < 0 ? fail_text() : "");
		describe(c, &mem, r, &to, &where);
		if (strcmp(buf_text(&where), cases[i].where) != 0) failed("%s: %s", cases[i].in, buf_text(&where));
	}
	AUTO_ARENA struct arena mem = {0};
	struct resolved to = {0};
	struct resolve_params loose = { .delimiters = S("-") }; /* owner_request_special = no */
	assert_int_equal(user_resolve(c, &mem, S("foo-request@torus.example"), &loose, &to), USER_ACCOUNT);
	assert_int_equal(user_resolve(c, &mem, S("owner-x@torus.example"), &loose, &to), USER_ACCOUNT);
	db_release(&c);
	db_close(&db);
}

/* What is remembered must not outlive a change, nor must a snapshot from before the change bring it back. */
static int step_alias(struct db_conn *tx, void *arg UNUSED) {
	return user_alias_add(tx, S("real@all.example"), S("x@elsewhere.example"));
}
static int step_unalias(struct db_conn *tx, void *arg UNUSED) {
	return user_alias_delete(tx, S("real@all.example"), S(""));
}
static int step_quota(struct db_conn *tx, void *arg UNUSED) {
	return user_account_quota(tx, S("real@all.example"), 77, 0);
}
static int step_off(struct db_conn *tx, void *arg UNUSED) {
	return user_account_disable(tx, S("real@all.example"), true);
}
static int step_delete(struct db_conn *tx, void *arg UNUSED) {
	return user_account_delete(tx, S("real@all.example"), NULL);
}

/* What an address leads to after each step, asked twice; before that somebody whose snapshot is older has asked. */
struct remembering {
	int (*const *steps)(struct db_conn *tx, void *arg);
	const int *wanted;
	size_t count;
	struct slice asked_before, asked;
	const uint64_t *quotas; /* NULL: whatever they are */
};

static void remember(const struct remembering *m) {
	AUTO_TESTING_DIR char *dir = testing_dir();
	struct db *db = testing_db(dir, NULL);
	assert_done(db_write(db, build, NULL));
	AUTO_ARENA struct arena mem = {0};
	struct resolve_params params = { 0 };
	for (size_t i = 0; i < m->count; i++) {
		struct db_conn *old = db_read(db), *c;
		struct resolved to;
		assert_int_equal(user_domain_local(old, S("all.example")), 0); /* begins its snapshot */
		if (m->steps[i] != NULL) assert_done(db_write(db, m->steps[i], NULL));
		user_resolve(old, &mem, m->asked_before, &params, &to);
		db_release(&old);
		for (int again = 0; again < 2; again++) {
			to = (struct resolved){ 0 };
			c = db_read(db);
			assert_int_equal(user_resolve(c, &mem, m->asked, &params, &to), m->wanted[i]);
			if (m->quotas != NULL && m->quotas[i] != 0) assert_int_equal(to.quota_bytes, m->quotas[i]);
			db_release(&c);
		}
	}
	db_close(&db);
}

static void test_remembered(void **state UNUSED) {
	static int (*const steps[])(struct db_conn *tx, void *arg) = { NULL, step_alias, step_unalias,
								       step_quota, step_off, step_delete };
	static const int wanted[] = { USER_ACCOUNT, USER_ALIAS,    USER_ACCOUNT,
				      USER_ACCOUNT, USER_DISABLED, USER_ALIAS /* catch-all */ };
	static const uint64_t quotas[LEN(steps)] = { [3] = 77 };
	remember(&(struct remembering){ steps, wanted, LEN(steps), S("real@all.example"), S("Real@all.example"),
					quotas });
}

static int step_domain(struct db_conn *tx, void *arg UNUSED) {
	return user_domain_add(tx, S("new.example"));
}
static int step_no_domain(struct db_conn *tx, void *arg UNUSED) {
	return user_domain_delete(tx, S("new.example"));
}
static int step_catch_all(struct db_conn *tx, void *arg UNUSED) {
	return user_alias_add(tx, S("@new.example"), S("real@all.example"));
}
static int step_no_catch_all(struct db_conn *tx, void *arg UNUSED) {
	return user_alias_delete(tx, S("@new.example"), S("real@all.example"));
}

/* A domain that was not ours a moment ago may be now. */
static void test_foreign_remembered(void **state UNUSED) {
	static int (*const steps[])(struct db_conn *tx, void *arg) = { NULL, step_domain, step_no_domain,
								       step_catch_all, step_no_catch_all };
	static const int wanted[] = { USER_NOT_LOCAL, USER_UNKNOWN, USER_NOT_LOCAL, USER_ALIAS, USER_NOT_LOCAL };
	remember(&(struct remembering){ steps, wanted, LEN(steps), S("a@new.example"), S("b@New.example"), NULL });
}

static int join_address(void *ctx, const struct account *a) {
	buf_addf(ctx, "%.*s%s ", SLICE_ARG(a->address), a->disabled ? "!" : "");
	return 0;
}

static int join_text(void *ctx, struct slice text) {
	buf_addf(ctx, "%.*s ", SLICE_ARG(text));
	return 0;
}

static int join_alias(void *ctx, struct slice address, struct slice target) {
	buf_addf(ctx, "%.*s>%.*s ", SLICE_ARG(address), SLICE_ARG(target));
	return 0;
}

static int edit(struct db_conn *tx, void *arg UNUSED) {
	int64_t id = 0, again = 0;
	assert_int_equal(user_account_add(tx, S("toru@TORUS.example"), &id), USER_EXISTS);
	assert_int_equal(id, 0);
	assert_int_equal(user_account_add(tx, S("bad"), &id), USER_BAD_ADDRESS);
	assert_int_equal(user_alias_add(tx, S("INFO@torus.example"), S("Me@GMAIL.example")), USER_EXISTS);
	assert_int_equal(user_alias_add(tx, S("one@torus.example"), S("@other.example")), USER_BAD_ADDRESS);
	assert_int_equal(user_alias_delete(tx, S("info@torus.example"), S("me@gmail.example")), 0); /* whatever case */
	assert_int_equal(user_alias_delete(tx, S("info@torus.example"), S("me@gmail.example")), USER_UNKNOWN);
	assert_int_equal(user_alias_delete(tx, S("copy@torus.example"), S("")), 0);
	assert_int_equal(user_domain_add(tx, S("empty.example")), USER_EXISTS);
	assert_int_equal(user_domain_delete(tx, S("only.example")), USER_IN_USE);
	assert_int_equal(user_domain_delete(tx, S("empty.EXAMPLE")), 0);
	assert_int_equal(user_domain_delete(tx, S("empty.example")), USER_UNKNOWN);
	assert_int_equal(user_account_quota(tx, S("toru@torus.example"), 1000, 5), 0);
	assert_int_equal(user_account_quota(tx, S("none@torus.example"), 1000, 5), USER_UNKNOWN);
	assert_int_equal(user_account_add(tx, S("last@all.example"), &id), 0);
	assert_int_equal(user_account_delete(tx, S("last@all.example"), &again), 0);
	assert_int_equal(id, again);
	assert_int_equal(user_account_add(tx, S("last@all.example"), &again), 0);
	assert_int_not_equal(id, again); /* no number twice */
	return user_account_delete(tx, S("last@all.example"), NULL);
}

static void test_edit_and_list(void **state UNUSED) {
	AUTO_TESTING_DIR char *dir = testing_dir();
	struct db *db = testing_db(dir, NULL);
	assert_done(db_write(db, build, NULL));
	assert_done(db_write(db, edit, NULL));
	struct db_conn *c = db_read(db);
	AUTO_BUF struct buf out = BUF(4000);
	assert_done(user_account_each(c, S("All.example"), join_address, &out));
	buf_byte(&out, '|');
	assert_done(user_domain_each(c, join_text, &out));
	buf_byte(&out, '|');
	assert_done(user_alias_each(c, S(""), join_alias, &out));
	assert_string_equal(
		buf_text(&out),
		"off@all.example! real@all.example |all.example old.example only.example torus.example |"
		"@all.example>toru@torus.example @old.example>@torus.example fwd@only.example>x@elsewhere.example "
		"info@torus.example>Toru@torus.example list-request@torus.example>second@torus.example ");
	AUTO_ARENA struct arena mem = {0};
	struct account a;
	assert_done(user_account_find(c, &mem, S("TORU@torus.example"), &a));
	assert_int_equal(a.quota_bytes, 1000);
	assert_int_equal(a.quota_messages, 5);
	assert_int_equal(user_account_find(c, &mem, S("toru+x@torus.example"), &a), USER_UNKNOWN);
	assert_int_equal(user_domain_local(c, S("OLD.example")), 0);
	assert_int_equal(user_domain_local(c, S("gmail.example")), USER_NOT_LOCAL);
	db_release(&c);
	db_close(&db);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_address), cmocka_unit_test(test_resolve), cmocka_unit_test(test_edit_and_list),
		cmocka_unit_test(test_remembered),
		cmocka_unit_test(test_foreign_remembered),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
