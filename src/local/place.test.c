/* SPDX-License-Identifier: Apache-2.0 */
/* Files, folders and programs, with somebody's rights. Run by root they happen as nobody, else as who runs the test. */
#include "local/place.h"
#include "local/testing.h"

#include <dirent.h>
#include <sys/file.h>
#include <sys/resource.h>
#include "base/test.h"

#define BODY "Subject: one\r\n\r\nFrom me\r\ntext\r\n"
static struct local_message message;
static const struct mbox_locks all_locks = { true, true, true, 2, 20, 500 };

static struct placing as_user(unsigned flags) {
	return (struct placing){ .who = &user,
				 .copy = { .message = &message,
					   .sender = S("a@b"),
					   .original = S("o@x"),
					   .delivered = S("d@x"),
					   .flags = flags,
					   .date = copy_date(&mem, 1700000000) },
				 .trouble = S("trouble: "),
				 .done = S("done") };
}

static struct local_outcome into_mbox(const char *name, struct placing p, struct mbox box) {
	struct local_outcome o;
	box.path = path_of(name).at;
	place_mbox(&p, &box, &mem, &o);
	return o;
}

static const unsigned mbox_flags = COPY_FROM | COPY_RETURN_PATH | COPY_QUOTE | COPY_BLANK;

static void mbox_twice(void **state) {
	(void)state;
	struct mbox box = { .locks = all_locks, .uid = user.uid, .strict = true };
	for (int i = 0; i < 2; i++) {
		struct local_outcome o = into_mbox("box", as_user(mbox_flags), box);
		assert_int_equal(o.fate, LOCAL_DELIVERED);
		assert_true(slice_eq(o.text, S("done")));
	}
	struct slice one =
		S("From a@b  Tue Nov 14 22:13:20 2023\nReturn-Path: <a@b>\nSubject: one\n\n>From me\ntext\n\n");
	struct slice got = content("box");
	assert_int_equal(got.len, 2 * one.len);
	assert_true(slice_starts(got, one) && slice_ends(got, one));
	struct stat st;
	assert_int_equal(stat(path_of("box").at, &st), 0);
	assert_int_equal(st.st_uid, user.uid);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_not_equal(access(path_of("box.lock").at, F_OK), 0);
}

static void mbox_refusals(void **state) {
	(void)state;
	struct mbox box = { .locks = all_locks, .uid = user.uid, .strict = true };
	assert_int_equal(symlink("/etc/passwd", path_of("soft").at), 0);
	struct local_outcome o = into_mbox("soft", as_user(mbox_flags), box);
	assert_int_equal(o.fate, LOCAL_NEVER);
	put("linked", "", 0600);
	assert_int_equal(link(path_of("linked").at, path_of("hard").at), 0);
	o = into_mbox("hard", as_user(mbox_flags), box);
	assert_int_equal(o.fate, LOCAL_NEVER);
	assert_true(slice_search(o.text, S("hard links")) < o.text.len);
	o = into_mbox("not/there", as_user(mbox_flags), box);
	assert_true(slice_starts(o.text, S("trouble: unable to create lock file ")));
	put("locked", "old\n", 0600);
	put("locked.lock", "", 0600);
	o = into_mbox("locked", as_user(mbox_flags), box);
	assert_int_equal(o.fate, LOCAL_LATER);
	assert_true(slice_eq(content("locked"), S("old\n")));
	AUTO_FD int held = open(path_of("linked").at, O_RDWR | O_CLOEXEC);
	unlink(path_of("hard").at);
	assert_int_equal(flock(held, LOCK_EX), 0);
	o = into_mbox("linked", as_user(mbox_flags), box);
	assert_int_equal(o.fate, LOCAL_LATER);
	assert_true(slice_search(o.text, S("unable to lock")) < o.text.len);
}

/* The file is as it was when a message does not fit. */
static void mbox_limit(void **state) {
	(void)state;
	struct mbox box = { .locks = all_locks, .uid = user.uid };
	struct placing p = as_user(mbox_flags);
	put("small", "before\n", 0600);
	p.file_limit = 40;
	struct local_outcome o = into_mbox("small", p, box);
	assert_int_equal(o.fate, LOCAL_NEVER);
	assert_true(slice_eq(o.status, S("5.2.2")));
	assert_true(slice_eq(content("small"), S("before\n")));
	o = into_mbox("/dev/null", p, box); /* path_of puts the folder before it */
	assert_int_not_equal(o.fate, LOCAL_DELIVERED);
	box.may_be_special = true;
	box.path = "/dev/null";
	place_mbox(&p, &box, &mem, &o);
	assert_int_equal(o.fate, LOCAL_DELIVERED);
	box.path = "/dev/full"; /* no space left on the device: the message waits */
	p.file_limit = 0;
	place_mbox(&p, &box, &mem, &o);
	assert_int_equal(o.fate, LOCAL_LATER);
}

static size_t files_in(const char *name, char *last, size_t room) {
	DIR *dir = opendir(path_of(name).at);
	size_t n = 0;
	for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;)
		if (e->d_name[0] != '.') n++, snprintf(last, room, "%s/%s", name, e->d_name);
	if (dir != NULL) closedir(dir);
	return n;
}

static void maildir(void **state) {
	(void)state;
	char last[600] = "";
	struct placing p = as_user(COPY_RETURN_PATH | COPY_DELIVERED | COPY_ORIGINAL);
	struct maildir dir = { .path = path_of("deep/er/Maildir/").at, .host = "mx", .make_parents = true };
	struct local_outcome o;
	for (int i = 0; i < 3; i++) {
		place_maildir(&p, &dir, &mem, &o);
		assert_int_equal(o.fate, LOCAL_DELIVERED);
	}
	assert_int_equal(files_in("deep/er/Maildir/new", last, sizeof last), 3);
	assert_int_equal(files_in("deep/er/Maildir/tmp", last, sizeof last), 0);
	files_in("deep/er/Maildir/new", last, sizeof last);
	assert_true(
		slice_eq(content(last), S("Return-Path: <a@b>\nX-Original-To: o@x\nDelivered-To: d@x\nSubject: one\n\n"
					  "From me\ntext\n")));
	dir.path = path_of("no/parents/").at;
	dir.make_parents = false;
	place_maildir(&p, &dir, &mem, &o);
	assert_int_equal(o.fate, LOCAL_LATER);
	p.file_limit = 10;
	dir.path = path_of("deep/er/Maildir/").at;
	place_maildir(&p, &dir, &mem, &o);
	assert_true(slice_eq(o.status, S("5.2.2")));
	assert_int_equal(files_in("deep/er/Maildir/tmp", last, sizeof last), 0);
}

static struct local_outcome run(const char *text, int64_t limit_ms) {
	struct environment e;
	struct local_outcome o;
	static const struct slice words[] = { { "MAIL_CONFIG", 11 }, { "A=b", 3 }, { "{ C = d e }", 11 },
					      { "NOSUCH", 6 } };
	const struct exported exported = { S("/etc/x"), words, LEN(words) };
	environment_begin(&e, &mem, &exported);
	environment_add(&e, "RECIPIENT", S("a;b@c"), "abc@");
	struct command c = { .text = text, .folder = folder, .environment = e.at, .limit_ms = limit_ms };
	struct placing p = as_user(0);
	place_command(&p, &c, &mem, &o);
	return o;
}

static const struct {
	const char *text, *status, *says;
} commands[] = {
	{ "true", "2.0.0", "done" },
	{ "cat > got; id -u > who; echo $RECIPIENT $MAIL_CONFIG > env; "
	  "test \"$A$C$NOSUCH\" = \"bd e\"", "2.0.0", "done" },
	{ "exit 75", "4.3.0", "temporary failure" },
	{ "echo over; exit 67", "5.1.1", "user unknown. Command output: over" },
	{ "echo 4.2.2 over quota; exit 1", "4.2.2", "over quota" },
	{ "exit 3", "5.3.0", "Command died with status 3: \"exit 3\"" },
	{ "kill -9 $$", "4.3.0", "Command died with signal 9: \"kill -9 $$\"" },
	{ "/no/such/program", "4.3.0",
	  "temporary failure. Command output: /no/such/program: No such file or directory" },
	{ "echo line one; echo two", "2.0.0", "done (line one two)" },
	{ "head -c 100000 /dev/zero | tr '\\0' x; exit 70", "5.3.0", NULL },
};

static void programs(void **state) {
	(void)state;
	for (size_t i = 0; i < LEN(commands); i++) {
		struct local_outcome o = run(commands[i].text, 10000);
		if (!slice_eq(o.status, slice_of(commands[i].status)) ||
		    (commands[i].says != NULL && !slice_eq(o.text, slice_of(commands[i].says))))
			print_message("%s: %.*s %.*s\n", commands[i].text, SLICE_ARG(o.status), SLICE_ARG(o.text));
		assert_true(slice_eq(o.status, slice_of(commands[i].status)));
		assert_true(commands[i].says == NULL || slice_eq(o.text, slice_of(commands[i].says)));
	}
	assert_true(slice_eq(content("got"), S("Subject: one\n\nFrom me\ntext\n")));
	assert_true(slice_eq(content("env"), S("a_b@c /etc/x\n")));
	assert_true(slice_eq(content("who"), arena_fmt(&mem, "%u\n", (unsigned)user.uid)));
}

static void slow_program(void **state) {
	(void)state;
	int64_t before = clock_ms();
	struct local_outcome o = run("sleep 30", 300);
	assert_true(clock_ms() - before < 5000);
	assert_true(slice_starts(o.text, S("Command time limit exceeded")));
	before = clock_ms();
	o = run("sleep 30 & echo done", 20000); /* who stays behind with the output open is not waited for */
	assert_true(clock_ms() - before < 5000);
	assert_int_equal(o.fate, LOCAL_DELIVERED);
}

/* Nothing of ours is open in the program but its three descriptors. */
static void descriptors(void **state) {
	(void)state;
	AUTO_FD int leak = open("/etc/passwd", O_RDONLY); /* without close-on-exec */
	assert_true(leak >= 0);
	struct local_outcome o = run("ls /proc/self/fd | tr '\\n' ' ' > fds", 10000);
	assert_int_equal(o.fate, LOCAL_DELIVERED);
	assert_true(slice_starts(content("fds"), S("0 1 2 ")) && content("fds").len <= 8);
}

static void somebody_else(void **state) {
	(void)state;
	struct rights other = { .uid = user.uid + 1, .gid = user.gid, .name = S("other") };
	struct placing p = as_user(0);
	p.who = &other;
	struct maildir dir = { .path = path_of("other/").at, .host = "mx" };
	struct local_outcome o;
	place_maildir(&p, &dir, &mem, &o);
	assert_int_equal(o.fate, LOCAL_LATER);
	if (geteuid() != 0) assert_true(slice_search(o.text, S("hato was not started as root")) < o.text.len);
}

int main(void) {
	setenv("TZ", "UTC", 1);
	begin();
	AUTO_FD int fd = message_fd(S(BODY));
	message = (struct local_message){ .queue_id = S("Q"), .sender = S("a@b"), .fd = fd, .size = sizeof BODY - 1 };
	const struct CMUnitTest tests[] = { cmocka_unit_test(mbox_twice), cmocka_unit_test(mbox_refusals),
					    cmocka_unit_test(mbox_limit), cmocka_unit_test(maildir),
					    cmocka_unit_test(programs),   cmocka_unit_test(slow_program),
					    cmocka_unit_test(descriptors), cmocka_unit_test(somebody_else) };
	int r = cmocka_run_group_tests(tests, NULL, NULL);
	end();
	return r;
}
