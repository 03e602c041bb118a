/* SPDX-License-Identifier: Apache-2.0 */
/* Where addresses lead, by tables in this file: rewriting, classes, transports, aliases. What Postfix makes of the same
 * tables is compared in tests/story/test_differential.py. */
#include "flow/route.h"
#include "base/fail.h"
#include "base/log.h"
#include "store/store.h"

#include <fcntl.h>

#include "base/test.h"

static struct db *db;
static struct arena mem;
static struct tables *tables;
static struct domain_pattern patterns[4];
static struct domains lists[4];
static struct route_params params;
static struct alias_params aliases;
static const struct transport transports[] = {
	{ .name = { "smtp", 4 }, .kind = TRANSPORT_RELAY, .tag = "smtp" },
	{ .name = { "relay", 5 }, .kind = TRANSPORT_RELAY, .tag = "relay/smtp" },
	{ .name = { "local", 5 }, .kind = TRANSPORT_LOCAL, .tag = "local" },
	{ .name = { "virtual", 7 }, .kind = TRANSPORT_AGENT, .tag = "virtual" },
	{ .name = { "error", 5 }, .kind = TRANSPORT_ERROR, .tag = "error" },
	{ .name = { "retry", 5 }, .kind = TRANSPORT_RETRY, .tag = "error" },
	{ .name = { "discard", 7 }, .kind = TRANSPORT_DISCARD, .tag = "discard" },
};

static struct lookup maps(const char *name) {
	struct lookup l;
	struct slice s = slice_of(name);
	assert_int_equal(lookup_open(tables, &s, 1, 0, &mem, &l), TABLE_FOUND);
	return l;
}

static struct domain_set domains(size_t i, const char *name) {
	patterns[i] = (struct domain_pattern){ .name = slice_of(name) };
	lists[i] = (struct domains){ .at = &patterns[i], .count = 1 };
	return (struct domain_set){ .list = &lists[i] };
}

static int add_user(struct db_conn *tx, void *arg) {
	int64_t id;
	(void)arg;
	int r = user_account_add(tx, S("ann@mine.test"), &id);
	return r == 0 ? store_account_create(tx, id) : r;
}

static void set_params(void) {
	const unsigned all = 15;
	aliases = (struct alias_params){
		.maps = maps("inline:{{root=\\ann}, {staff=one, two+x, far@far.test}, {owner-staff=boss}, "
			     "{cmd=|/bin/cmd -a},"
			     " {file=/tmp/box}, {ring=gnir}, {gnir=ring}, {me=me, copy@far.test}, "
			     "{gone=:include:/nowhere/list}}"),
		.commands = true,
	};
	params = (struct route_params){
		.resolve = { .delimiters = S("+") },
		.rewrite = { .origin = S("here.test"),
			     .domain = S("test"),
			     .swap_bangpath = true,
			     .percent_hack = true,
			     .delimiters = S("+"),
			     .destinations = domains(0, "here.test"),
			     .extend = REWRITE_EXTEND_CANONICAL | REWRITE_EXTEND_VIRTUAL,
			     .recipient_canonical = { maps("inline:{{typo@here.test=right@here.test}}"),
						      REWRITE_ENVELOPE_RECIPIENT },
			     .canonical = { maps("inline:{{@old.test=@here.test}}"), all } },
		.classes = { .virtual_alias_domains = domains(1, "alias.test"),
			     .virtual_mailbox_domains = domains(2, "box.test"),
			     .relay_domains = domains(3, "relay.test") },
		.hops = { .transports = { transports, LEN(transports) },
			  .transport_maps =
				  maps("inline:{{special@far.test=smtp:[a.test]}, {closed.test=error:5.1.2 closed},"
				       " {slow.test=retry:}, {.sub.test=relay:}, {keep.test=:}}"),
			  .transport_dots = true,
			  .relocated = maps("inline:{{left@here.test=new@far.test}}"),
			  .sender_relayhost = maps("inline:{{by@here.test=[out.test]:587}, {<>=[null.test]}}"),
			  .local = S("local:here.test"),
			  .virtual_ = S("virtual"),
			  .relay = S("relay"),
			  .other = S("smtp") },
		.virtual_alias =
			maps("inline:{{list@alias.test=ann@mine.test, x@far.test}, {self@here.test=self@here.test, "
			     "y@far.test},"
			     " {a@alias.test=b@alias.test}, {b@alias.test=a@alias.test}, {@all.alias.test=@here.test},"
			     " {ext@here.test=new@here.test}}"),
		.local_recipients = maps("inline:{{known=x}}"),
		.virtual_mailbox = maps("inline:{{cat@box.test=x}}"),
		.relay_recipients = maps("inline:{{ok@relay.test=x}}"),
		.aliases = &aliases,
		.host = S("mail.here.test"),
	};
}

static int set_up(void **state) {
	(void)state;
	char dir[] = "/tmp/hato-route-XXXXXX";
	log_open(&(struct log_target){ .fd = open("/dev/null", O_WRONLY), .name = "test", .host = "h" });
	assert_non_null(mkdtemp(dir));
	assert_int_equal(db_open(dir, NULL, &db), 0);
	tables = tables_new(&(struct table_params){ .queue_directory = "/" });
	set_params();
	return db_write(db, add_user, NULL);
}

static int tear_down(void **state) {
	(void)state;
	tables_free(&tables);
	db_close(&db);
	arena_done(&mem);
	return 0;
}

/* "account; smtp:far.test x@far.test; 5.1.1 text" in the order found. */
static const char *way(const char *address, const char *sender) {
	AUTO_READ struct db_conn *c = db_read(db);
	struct routes r = { .mem = &mem };
	struct route_from from = { .address = slice_of(address), .sender = slice_of(sender) };
	struct buf out = BUF(KIB(64));
	int answer = route_add(&r, c, &params, &from);
	if (answer > 0) return answer == ROUTE_ENDLESS ? "endless" : "later";
	assert_int_equal(answer, 0);
	for (size_t i = 0; i < r.count; i++) {
		const struct route_end *e = &r.at[i];
		if (i != 0) buf_add(&out, S("; "));
		if (e->kind == ROUTE_TO_ACCOUNT) buf_addf(&out, "account %.*s", SLICE_ARG(e->address));
		if (e->kind == ROUTE_TO_NOWHERE) buf_addf(&out, "%.*s %.*s", SLICE_ARG(e->status), SLICE_ARG(e->text));
		if (e->kind == ROUTE_TO_HOP) buf_addf(&out, "%.*s %.*s", SLICE_ARG(e->hop), SLICE_ARG(e->address));
		if (e->target_kind == RELAY_MAILBOX) buf_add(&out, S(" mailbox"));
		if (e->target.len != 0) buf_addf(&out, " (%.*s)", SLICE_ARG(e->target));
		if (e->owner.len != 0) buf_addf(&out, " from %.*s", SLICE_ARG(e->owner));
	}
	const char *text = arena_text(&mem, buf_slice(&out));
	buf_done(&out);
	return text;
}

static void ways(void **state) {
	(void)state;
	static const struct {
		const char *address, *want;
	} cases[] = {
		{ "ann@mine.test", "account ann@mine.test" },
		{ "ANN+x@Mine.Test", "account ann@mine.test" },
		{ "nobody@mine.test", "5.1.1 User unknown in virtual mailbox table" },
		{ "x@far.test", "smtp:far.test x@far.test" },
		{ "x@far", "smtp:far.test x@far.test" }, /* append_dot_mydomain */
		{ "special+a@far.test", "smtp:[a.test] special+a@far.test" },
		{ "x@closed.test", "5.1.2 closed" },
		{ "x@slow.test", "retry:slow.test x@slow.test" },
		{ "x@a.sub.test", "relay:a.sub.test x@a.sub.test" },
		{ "x@sub.test", "smtp:sub.test x@sub.test" },
		{ "x@keep.test", "smtp:keep.test x@keep.test" },
		{ "x@relay.test", "relay:relay.test x@relay.test" },
		{ "cat@box.test", "virtual:box.test cat@box.test" },
		{ "nobody@alias.test", "5.1.1 User unknown in virtual alias table" },
		{ "list@alias.test", "account ann@mine.test; smtp:far.test x@far.test" },
		{ "self@here.test", "local:here.test self@here.test; smtp:far.test y@far.test" },
		{ "a@alias.test", "5.1.1 User unknown in virtual alias table" },
		{ "zoe@all.alias.test", "local:here.test zoe@here.test" },
		{ "ext+tag@here.test", "local:here.test new+tag@here.test" },
		{ "typo@here.test", "local:here.test right@here.test" },
		{ "user@old.test", "local:here.test user@here.test" },
		{ "left@here.test", "5.1.6 User has moved to new@far.test" },
		{ "bare", "local:here.test bare@here.test" },
		{ "far.test!user", "smtp:far.test user@far.test" },
		{ "user%far.test@here.test", "smtp:far.test user@far.test" },
		{ "\"user@far.test\"@here.test", "smtp:far.test user@far.test" },
		{ "@here.test:user@far.test", "smtp:far.test user@far.test" },
		{ "root@here.test", "local:here.test ann@here.test mailbox" },
		{ "staff@here.test",
		  "local:here.test one@here.test from owner-staff@here.test; local:here.test two+x@here.test from "
		  "owner-staff@here.test; smtp:far.test far@far.test from owner-staff@here.test" },
		{ "cmd@here.test", "local:here.test cmd@here.test (/bin/cmd -a)" },
		{ "file@here.test", "5.7.1 mail to file is restricted" },
		{ "ring@here.test", "5.4.6 alias database loop" },
		{ "me@here.test", "local:here.test me@here.test; smtp:far.test copy@far.test" },
		{ "gone@here.test", "later" },
		{ "", "5.1.3 Bad recipient address syntax" },
		{ "@", "5.1.3 Bad recipient address syntax" },
		{ "postmaster@here.test", "account ann@mine.test" },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		const char *got = way(cases[i].address, "s@far.test");
		if (strcmp(got, cases[i].want) != 0)
			print_error("%s: \"%s\", not \"%s\"\n", cases[i].address, got, cases[i].want);
		assert_string_equal(got, cases[i].want);
	}
}

static void sender_decides(void **state) {
	(void)state;
	assert_string_equal(way("x@far.test", "by@here.test"), "smtp:[out.test]:587 x@far.test");
	assert_string_equal(way("x@far.test", ""), "smtp:[null.test] x@far.test");
	assert_string_equal(way("x@relay.test", "by@here.test"), "relay:[out.test]:587 x@relay.test");
	assert_string_equal(way("special@far.test", "by@here.test"), "smtp:[a.test] special@far.test");
}

static void endless_expansion_is_put_off(void **state) {
	(void)state;
	struct lookup was = params.virtual_alias;
	params.virtual_alias =
		maps("inline:{{@grow.test=x+y@grow.test}, {many@here.test=a@f.test b@f.test c@f.test d@f.test}}");
	params.expansion_limit = 3;
	assert_string_equal(way("many@here.test", "s@far.test"), "endless");
	assert_non_null(strstr(fail_text(), "unreasonable virtual_alias_maps map expansion size for many@here.test"));
	params.expansion_limit = 0;
	params.virtual_alias = maps("fail:always");
	assert_string_equal(way("x@here.test", "s@far.test"), "later");
	params.virtual_alias = was;
}

static void the_door(void **state) {
	(void)state;
	static const struct {
		const char *address;
		uint32_t verdict, class;
		const char *text;
	} cases[] = {
		{ "ann@mine.test", ROUTE_LOCAL, ROUTE_CLASS_LOCAL, "" },
		{ "x@mine.test", ROUTE_UNKNOWN, ROUTE_CLASS_LOCAL, "User unknown in virtual mailbox table" },
		{ "known@here.test", ROUTE_LOCAL, ROUTE_CLASS_LOCAL, "" },
		{ "known+x@here.test", ROUTE_LOCAL, ROUTE_CLASS_LOCAL, "" },
		{ "other@here.test", ROUTE_UNKNOWN, ROUTE_CLASS_LOCAL, "User unknown in local recipient table" },
		{ "postmaster@here.test", ROUTE_LOCAL, ROUTE_CLASS_LOCAL, "" },
		{ "self@here.test", ROUTE_LOCAL, ROUTE_CLASS_LOCAL, "" },
		{ "typo@here.test", ROUTE_LOCAL, ROUTE_CLASS_LOCAL, "" },
		{ "left@here.test", ROUTE_UNKNOWN, ROUTE_CLASS_LOCAL, "User has moved to new@far.test" },
		{ "dog@box.test", ROUTE_UNKNOWN, ROUTE_CLASS_VIRTUAL_MAILBOX, "User unknown in virtual mailbox table" },
		{ "cat@box.test", ROUTE_LOCAL, ROUTE_CLASS_VIRTUAL_MAILBOX, "" },
		{ "no@alias.test", ROUTE_UNKNOWN, ROUTE_CLASS_VIRTUAL_ALIAS, "User unknown in virtual alias table" },
		{ "no@relay.test", ROUTE_UNKNOWN, ROUTE_CLASS_RELAY, "User unknown in relay recipient table" },
		{ "ok@relay.test", ROUTE_LOCAL, ROUTE_CLASS_RELAY, "" },
		{ "x@far.test", ROUTE_FOREIGN, ROUTE_CLASS_DEFAULT, "" },
		{ "x@closed.test", ROUTE_UNKNOWN, ROUTE_CLASS_DEFAULT, "closed" },
		{ "far.test!x", ROUTE_FOREIGN, ROUTE_CLASS_DEFAULT, "" },
		{ "x%far.test", ROUTE_FOREIGN, ROUTE_CLASS_DEFAULT, "" },
		{ "x%far.test@here.test", ROUTE_FOREIGN, ROUTE_CLASS_DEFAULT, "" },
		{ "\"x@far.test\"@here.test", ROUTE_FOREIGN, ROUTE_CLASS_DEFAULT, "" },
		{ "far.test!x%b.test@here.test", ROUTE_FOREIGN, ROUTE_CLASS_DEFAULT, "" },
	};
	AUTO_READ struct db_conn *c = db_read(db);
	for (size_t i = 0; i < LEN(cases); i++) {
		struct route_answer a;
		assert_int_equal(route_judge(c, &params, slice_of(cases[i].address), SLICE_NONE, &mem, &a), 0);
		bool same = a.verdict == cases[i].verdict && a.class == cases[i].class &&
			    slice_eq(a.text, slice_of(cases[i].text));
		if (!same) print_error("%s: %u %u \"%.*s\"\n", cases[i].address, a.verdict, a.class, SLICE_ARG(a.text));
		assert_true(same);
	}
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ways),
		cmocka_unit_test(sender_decides),
		cmocka_unit_test(endless_expansion_is_put_off),
		cmocka_unit_test(the_door),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
