/* SPDX-License-Identifier: Apache-2.0 */
/* The order of local(8), and what virtual(8) finds in tables. Run by root the user is nobody, else who runs it. */
#include "base/fail.h"
#include "local/deliver.h"
#include "local/testing.h"
#include "local/virtual.h"
#include "base/test.h"

#define BODY "Delivered-To: looped@x\r\nSubject: one\r\n\r\ntext\r\n"
static struct local_message message;
static struct local_params params;
static struct tables *tables;

static struct lookup maps(const char *names) {
	struct lookup l = { 0 };
	struct slice one = slice_of(names);
	must(lookup_open(tables, &one, 1, 0, &mem, &l) == TABLE_FOUND);
	return l;
}

static struct local_outcome deliver_kind(struct slice address, uint32_t kind, const char *target, struct slice rights) {
	struct local_recipient to = { .address = address, .kind = kind, .target = slice_of(target), .rights = rights };
	struct local_outcome o;
	local_deliver(&params, &message, &to, &mem, &o);
	return o;
}

static struct local_outcome deliver(const char *extension) {
	return deliver_kind(arena_fmt(&mem, "%.*s%s@example.test", SLICE_ARG(user.name), extension), LOCAL_ADDRESS, "",
			    SLICE_NONE);
}

static void reset(void) {
	static const char *const gone[] = { ".forward", ".forward+lists", "spool/box", "got", "file" };
	for (size_t i = 0; i < LEN(gone); i++) unlink(path_of(gone[i]).at);
	params = (struct local_params){
		.host = S("mx"),
		.delimiters = S("+"),
		.queue_directory = slice_of(folder),
		.exported = { S("/etc/x"), NULL, 0 },
		.forward_path =
			arena_fmt(&mem, "%s/.forward${recipient_delimiter}${extension}, %s/.forward", folder, folder),
		.forward_commands = true,
		.forward_files = true,
		.delivered_command = true,
		.delivered_file = true,
		.delivered_forward = true,
		.command_filter = S("1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"),
		.original_header = true,
		.owner_needed = true,
		.command_ms = 10000,
		.spool = path_of("spool"),
		.locks = { true, false, true, 2, 20, 500 },
		.size_limit = 1 << 20,
		.others = user,
	};
}

static bool is(struct local_outcome o, const char *status, const char *text) {
	bool good = slice_eq(o.status, slice_of(status)) && (text == NULL || slice_eq(o.text, slice_of(text)));
	if (!good) print_message("got %.*s %.*s\n", SLICE_ARG(o.status), SLICE_ARG(o.text));
	return good;
}

static struct slice box(void) {
	return content(arena_fmt(&mem, "spool/%.*s", SLICE_ARG(user.name)).at);
}

static void spool(void **state) {
	(void)state;
	reset();
	assert_true(is(deliver(""), "2.0.0", "delivered to mailbox"));
	struct slice head = arena_fmt(&mem,
				      "Return-Path: <a@b>\nX-Original-To: %.*s@example.test\nDelivered-To: "
				      "%.*s@example.test\nDelivered-To: looped@x\n",
				      SLICE_ARG(user.name), SLICE_ARG(user.name));
	assert_true(slice_starts(box(), S("From a@b  ")));
	assert_true(slice_search(box(), head) < box().len);
	if (geteuid() != 0) return;
	/* a spool that is root's alone: written by root, given to the user */
	must(mkdir(path_of("rootspool").at, 0755) == 0);
	params.spool = path_of("rootspool");
	assert_true(is(deliver(""), "2.0.0", "delivered to mailbox"));
	struct stat st;
	assert_int_equal(stat(arena_fmt(&mem, "%s/rootspool/%.*s", folder, SLICE_ARG(user.name)).at, &st), 0);
	assert_int_equal(st.st_uid, user.uid);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void maildir_spool(void **state) {
	(void)state;
	reset();
	params.spool = arena_fmt(&mem, "%s/spool/m/", folder);
	must(mkdir(path_of("spool/m").at, 0777) == 0 && chmod(path_of("spool/m").at, 01777) == 0);
	assert_true(is(deliver(""), "2.0.0", "delivered to maildir"));
}

static void unknown(void **state) {
	(void)state;
	reset();
	struct slice nobody = S("no.such.user+x@example.test");
	assert_true(is(deliver_kind(nobody, LOCAL_ADDRESS, "", SLICE_NONE), "5.1.1", "unknown user: \"no.such.user\""));
	params.luser_relay = S("unknown+$local@example.test");
	struct local_outcome o = deliver_kind(nobody, LOCAL_ADDRESS, "", SLICE_NONE);
	assert_int_equal(o.fate, LOCAL_REDIRECTED);
	assert_true(slice_eq(o.targets[0].text, S("unknown+no.such.user+x@example.test")));
	params.fallback = S("lmtp:unix:private/lmtp");
	o = deliver_kind(nobody, LOCAL_ADDRESS, "", SLICE_NONE);
	assert_int_equal(o.targets[0].kind, TARGET_TRANSPORT);
	params.fallback_maps = maps("inline:{no.such.user=smtp:[mx]}");
	o = deliver_kind(nobody, LOCAL_ADDRESS, "", SLICE_NONE);
	assert_true(slice_eq(o.targets[0].text, S("smtp:[mx]")));
	assert_true(is(deliver_kind(S("looped@X"), LOCAL_ADDRESS, "", SLICE_NONE), "5.4.6",
		       "mail forwarding loop for looped@X"));
}

static void forwards(void **state) {
	(void)state;
	reset();
	put(".forward", "bob@example.org, \\me, \"|cat > got\", nobody@elsewhere\n", 0644);
	struct local_outcome o = deliver("");
	assert_int_equal(o.fate, LOCAL_REDIRECTED);
	assert_int_equal(o.targets_count, 4);
	assert_int_equal(o.targets[2].kind, TARGET_COMMAND);
	assert_true(slice_eq(o.rights, user.name) && o.prepend);
	/* an extension has its own file, before the other */
	put(".forward+lists", "lists@example.org\n", 0600);
	o = deliver("+Lists");
	assert_true(o.targets_count == 1 && slice_eq(o.targets[0].text, S("lists@example.org")));
	assert_int_equal(deliver("+other").targets_count, 4);
	/* the user himself, however he is written, is his mailbox */
	put(".forward", arena_fmt(&mem, "\\%.*s, %.*s@MX\n", SLICE_ARG(user.name), SLICE_ARG(user.name)).at, 0600);
	assert_true(is(deliver(""), "2.0.0", "delivered to mailbox"));
	put(".forward", "# nothing\n", 0600);
	assert_true(is(deliver(""), "2.0.0", "delivered to mailbox"));
	put(".forward", "bob@example.org\n", 0666);
	assert_true(is(deliver(""), "2.0.0", "delivered to mailbox"));
	unlink(path_of(".forward").at);
	must(symlink(path_of(".forward+lists").at, path_of(".forward").at) == 0);
	assert_true(is(deliver(""), "2.0.0", "delivered to mailbox"));
	unlink(path_of(".forward").at);
	put(".forward", ":include:list\n", 0600);
	assert_true(is(deliver(""), "5.3.5", ":include:list uses a relative path"));
	put("list", "x@y\n\"|cat\"", 0644);
	put(".forward", arena_fmt(&mem, ":include:%s/list\n", folder).at, 0600);
	assert_true(is(deliver(""), "5.7.1", "mail to command is restricted"));
	params.include_commands = true;
	assert_int_equal(deliver("").targets_count, 2);
	put("list", arena_fmt(&mem, ":include:%s/list\n", folder).at, 0644);
	assert_int_equal(deliver("").fate, LOCAL_NEVER);
	put(".forward", "bob@example.org\n", 0600);
	assert_true(is(
		deliver_kind(arena_fmt(&mem, "%.*s@example.test", SLICE_ARG(user.name)), LOCAL_MAILBOX, "", SLICE_NONE),
		"2.0.0", "delivered to mailbox"));
}

static void forward_to_one(void **state) {
	(void)state;
	reset();
	put(".forward", "\"|cat > got; env > environment; exit 0\"\n", 0600);
	assert_true(is(deliver("+Ext"), "2.0.0", "delivered to command: cat > got; env > environment; exit 0"));
	assert_true(slice_starts(content("got"), S("From a@b  ")));
	struct slice env = content("environment");
	struct slice want[] = { arena_fmt(&mem, "USER=%.*s\n", SLICE_ARG(user.name)), S("EXTENSION=ext\n"),
				S("DOMAIN=example.test\n"), S("SENDER=a@b\n"), S("CLIENT_ADDRESS=192.0.2.1\n"),
				S("SASL_USERNAME=x_y\n"),
				arena_fmt(&mem, "LOCAL=%.*s+ext\n", SLICE_ARG(user.name)) };
	for (size_t i = 0; i < LEN(want); i++) {
		if (slice_search(env, want[i]) == env.len) print_message("no %.*s", SLICE_ARG(want[i]));
		assert_true(slice_search(env, want[i]) < env.len);
	}
	put(".forward", arena_fmt(&mem, "%s/file\n", folder).at, 0600);
	assert_true(is(deliver(""), "2.0.0", arena_fmt(&mem, "delivered to file: %s/file", folder).at));
	assert_true(slice_starts(content("file"), S("From a@b  ")));
	put("file", "#!/bin/sh\n", 0755);
	assert_true(is(deliver(""), "5.7.1", "file is executable"));
	put(".forward", "/no/such/file\n", 0600);
	assert_true(is(deliver(""), "5.2.0",
		       "cannot append message to file /no/such/file: cannot open file: No such file or directory"));
}

static bool everybody(void *ctx, uid_t uid) { (void)ctx; (void)uid; return true; }

static void targets(void **state) {
	(void)state;
	reset();
	struct slice address = arena_fmt(&mem, "%.*s@example.test", SLICE_ARG(user.name));
	assert_true(is(deliver_kind(address, LOCAL_COMMAND, "cat > got", SLICE_NONE), "2.0.0",
		       "delivered to command: cat > got"));
	assert_true(is(deliver_kind(address, LOCAL_COMMAND, "true", user.name), "5.7.1",
		       "no longer a target of this user: true"));
	put(".forward", "x@y, |true\n", 0600);
	assert_true(is(deliver_kind(address, LOCAL_COMMAND, "true", user.name), "2.0.0", "delivered to command: true"));
	assert_int_equal(deliver_kind(address, LOCAL_COMMAND, "false", user.name).fate, LOCAL_NEVER);
	params.owns_aliases = everybody;
	assert_true(
		is(deliver_kind(address, LOCAL_COMMAND, "exit 0", user.name), "2.0.0", "delivered to command: exit 0"));
	assert_true(is(deliver_kind(S("list@example.test"), LOCAL_FILE, "relative", SLICE_NONE), "5.3.5",
		       "broken target: relative"));
	if (geteuid() == 0) { /* root's commands are nobody's */
		assert_true(is(deliver_kind(address, LOCAL_COMMAND, "test `id -u` != 0", S("root")), "2.0.0", NULL));
		params.others.uid = 0;
		assert_int_equal(deliver_kind(address, LOCAL_COMMAND, "true", S("root")).fate, LOCAL_LATER);
	}
}

static void commands(void **state) {
	(void)state;
	reset();
	params.command = S("cat > got; test \"$EXTENSION\" = x");
	assert_true(is(deliver("+x"), "2.0.0", "delivered to command: cat > got; test \"$EXTENSION\" = x"));
	params.command_maps = maps(arena_fmt(&mem, "inline:{{%.*s=exit 75}}", SLICE_ARG(user.name)).at);
	assert_true(is(deliver(""), "4.3.0", "temporary failure"));
	params.shell = S("/bin/sh -c");
	assert_true(is(deliver(""), "4.3.0", "temporary failure"));
	params.transport = S("lmtp:unix:/x");
	assert_int_equal(deliver("").targets[0].kind, TARGET_TRANSPORT);
	params.home_needed = true;
	if (geteuid() == 0) assert_int_equal(deliver("").fate, LOCAL_LATER); /* nobody has none */
}

static struct local_outcome virtually(const struct virtual_params *p, const char *address) {
	struct local_recipient to = { .address = slice_of(address) };
	struct local_outcome o;
	virtual_deliver(p, &message, &to, &mem, &o);
	return o;
}

static void virtual(void **state) {
	(void)state;
	struct virtual_params p = {
		.host = S("mx"),
		.delimiters = S("+"),
		.base = path_of("vhosts"),
		.least_uid = 1,
		.original_header = true,
		.mailboxes =
			maps("inline:{ann@v.test=v.test/ann/ ,bob@v.test=box, @all.test=all.test/ , up@v.test=../up}"),
		.uids = maps(arena_fmt(&mem, "static:%u", (unsigned)user.uid).at),
		.gids = maps(arena_fmt(&mem, "static:%u", (unsigned)user.gid).at),
		.locks = { true, false, true, 2, 20, 500 },
	};
	assert_true(is(virtually(&p, "Ann+x@V.test"), "2.0.0", "delivered to maildir"));
	assert_int_equal(access(path_of("vhosts/v.test/ann/new").at, F_OK), 0);
	assert_true(is(virtually(&p, "bob@v.test"), "2.0.0", "delivered to mailbox"));
	assert_true(slice_search(content("vhosts/box"), S("\nDelivered-To: bob@v.test\n")) < content("vhosts/box").len);
	assert_true(is(virtually(&p, "who@all.test"), "2.0.0", "delivered to maildir"));
	assert_true(is(virtually(&p, "who@v.test"), "5.1.1", "unknown user: \"who@v.test\""));
	assert_int_equal(virtually(&p, "up@v.test").fate, LOCAL_LATER);
	p.least_uid = user.uid + 1u;
	assert_true(is(virtually(&p, "ann@v.test"), "4.3.5", NULL));
	p.least_uid = 1;
	p.uids = maps("static:0");
	assert_true(is(virtually(&p, "ann@v.test"), "4.3.5", NULL));
	p.uids = maps("fail:no");
	assert_true(is(virtually(&p, "ann@v.test"), "4.3.0", NULL));
}

int main(void) {
	begin();
	tables = tables_new(&(struct table_params){ 0 });
	must(mkdir(path_of("spool").at, 0777) == 0 && chmod(path_of("spool").at, 01777) == 0);
	AUTO_FD int fd = message_fd(S(BODY));
	message = (struct local_message){ .queue_id = S("Q"), .sender = S("a@b"), .fd = fd, .size = sizeof BODY - 1,
					  .client = { .address = S("192.0.2.1"), .sasl_username = S("x;y") } };
	const struct CMUnitTest tests[] = { cmocka_unit_test(spool),   cmocka_unit_test(maildir_spool),
					    cmocka_unit_test(unknown), cmocka_unit_test(forwards),
					    cmocka_unit_test(forward_to_one), cmocka_unit_test(targets),
					    cmocka_unit_test(commands), cmocka_unit_test(virtual) };
	int r = cmocka_run_group_tests(tests, NULL, NULL);
	tables_free(&tables);
	end();
	return r;
}
