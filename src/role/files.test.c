/* SPDX-License-Identifier: Apache-2.0 */
/* Master opens what only root may read: whatever a child asks for, it gets the tables of its settings and nothing else.
 */
#include "role/files.h"
#include "net/link.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/test.h"

static char folder[64];

static struct slice in_folder(struct arena *mem, const char *name) { return arena_fmt(mem, "%s/%s", folder, name); }

static void write_file(const char *name, const char *text) {
	AUTO_ARENA struct arena mem = { 0 };
	AUTO_FD int fd = open(in_folder(&mem, name).at, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	must(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
}

static struct conf *load(const char *main_text, const char *master) {
	AUTO_BUF struct buf text = BUF(KIB(16));
	struct conf *conf = NULL;
	buf_addf(&text, "compatibility_level = 3.6\nmyhostname = mail.example.test\nfolder = %s\n%s", folder,
		 main_text);
	write_file("main.cf", buf_text(&text));
	write_file("master.cf", master);
	must(conf_load(&(struct conf_options){ .dir = folder }, &conf) >= 0);
	return conf;
}

static const char tables[] = "virtual_alias_maps = hash:$folder/virtual, unionmap:{pgsql:$folder/u.cf,static:x}\n"
			     "smtp_sasl_password_maps = hash:$folder/passwd\n"
			     "transport_maps = proxy:lmdb:$folder/transport\n"
			     "mydestination = $folder/plain, localhost\n"
			     "alias_maps = hash:$folder/link, hash:$folder/dir, hash:$folder/fifo, hash:$folder/gone\n"
			     "sender_bcc_maps = hash:$folder/../etc/shadow\n";

static void test_named(void **state) {
	(void)state;
	AUTO_ARENA struct arena mem = { 0 };
	struct conf *conf = load(tables, "smtp inet n - n - - smtpd\n"
					 "  -o smtpd_sender_login_maps=hash:$folder/logins\n"
					 "other unix - - n - - smtp -o { smtp_generic_maps = hash:$folder/generic }\n");
	static const struct { const char *name; bool relay, others; } cases[] = {
		{ "virtual", false, true },
		{ "u.cf", false, true },
		{ "passwd", true, false }, /* passwords of other servers are no business of edge */
		{ "transport", false, true },
		{ "transport.lmdb", false, true },
		{ "virtual.cdb", false, true },
		{ "logins", false, true },
		{ "generic", true, false },
		{ "plain", false, false }, /* a list's file is no table */
		{ "main.cf", false, false },
		{ "virtua", false, false },
		{ "virtual2", false, false },
		{ "virtual.db", false, false },
		{ "", false, false },
		{ "x/../virtual", false, false },
		{ "./virtual", false, false },
		{ "../etc/shadow", false, false },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		struct slice path = in_folder(&mem, cases[i].name);
		assert_true(files_named(conf, path, true) == cases[i].relay);
		assert_true(files_named(conf, path, false) == cases[i].others);
	}
	struct slice whole = in_folder(&mem, "virtual");
	static const struct slice never[] = { S(""),  S("/"),     S("virtual"),    S("hash:/"),
					      S(":"), S(".lmdb"), S("/etc/shadow") };
	for (size_t i = 0; i < LEN(never); i++) assert_false(files_named(conf, never[i], false));
	assert_false(files_named(conf, slice_from(whole.at, whole.len + 1), false)); /* with the NUL behind it */
	assert_false(files_named(conf, arena_fmt(&mem, "hash:%.*s", SLICE_ARG(whole)), false));
	struct slice stretch = arena_fmt(&mem, "%.*s, unionmap:{pgsql:%s/u.cf", SLICE_ARG(whole), folder);
	assert_false(files_named(conf, stretch, false));
	conf_drop(&conf);
}

/* One question of a child; what came back: a descriptor, or -1. */
static int ask(const struct conf *conf, struct slice path, bool relay) {
	int pair[2], fd = -1;
	struct link_received got;
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	must(link_send(pair[0], &(struct link_frame){ .kind = 1, .body = path }) == LINK_OK);
	assert_true(files_answer(pair[1], conf, relay));
	must(link_receive(pair[0], &got, deadline_in(SECONDS(5))) == LINK_OK);
	if (got.frame.fd_count != 0) fd = link_frame_take_fd(&got.frame, 0);
	link_received_done(&got);
	close(pair[0]);
	close(pair[1]);
	return fd;
}

static void test_answer(void **state) {
	(void)state;
	AUTO_ARENA struct arena mem = { 0 };
	struct conf *conf = load(tables, "smtp inet n - n - - smtpd\n");
	write_file("virtual", "a b\n");
	write_file("passwd", "[host]:587 user:secret\n");
	mkdir(in_folder(&mem, "dir").at, 0700);
	mkfifo(in_folder(&mem, "fifo").at, 0600);
	must(symlink("virtual", in_folder(&mem, "link").at) == 0);
	AUTO_FD int fd = ask(conf, in_folder(&mem, "virtual"), false);
	char text[8];
	assert_true(fd >= 0 && read(fd, text, sizeof text) == 4 && memcmp(text, "a b\n", 4) == 0);
	assert_true((fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY);
	AUTO_FD int linked = ask(conf, in_folder(&mem, "link"), false); /* the operator may link his tables */
	assert_true(linked >= 0);
	static const char *const no[] = { "passwd", "dir", "fifo", "gone", "main.cf", "../etc/shadow" };
	for (size_t i = 0; i < LEN(no); i++) assert_int_equal(ask(conf, in_folder(&mem, no[i]), false), -1);
	assert_int_equal(ask(conf, in_folder(&mem, "virtual"), true), -1);
	assert_int_equal(ask(conf, S(""), false), -1);
	/* a table that becomes something else between two questions */
	must(unlink(in_folder(&mem, "virtual").at) == 0 && mkfifo(in_folder(&mem, "virtual").at, 0600) == 0);
	assert_int_equal(ask(conf, in_folder(&mem, "virtual"), false), -1);
	conf_drop(&conf);
}

/* A child that closes, or talks nonsense, costs master nothing. */
static void test_broken_child(void **state) {
	(void)state;
	struct conf *conf = load(tables, "smtp inet n - n - - smtpd\n");
	static const struct slice said[] = { S(""), S("x"), S("\xff\xff\xff\xff\xff\xff\xff\xff\xff"), S("\0\0\0\0") };
	for (size_t i = 0; i < LEN(said); i++) {
		int pair[2];
		must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
		must(write(pair[0], said[i].at, said[i].len) == (ssize_t)said[i].len);
		close(pair[0]);
		assert_false(files_answer(pair[1], conf, false));
		close(pair[1]);
	}
	conf_drop(&conf);
}

static void *master(void *arg) {
	void **at = arg;
	while (files_answer(*(int *)at[0], at[1], false)) {}
	return NULL;
}

/* The child's half: what it may open itself is not asked for; what master refuses is EACCES. */
static void test_open(void **state) {
	(void)state;
	AUTO_ARENA struct arena mem = { 0 };
	struct conf *conf = load(tables, "smtp inet n - n - - smtpd\n");
	int pair[2];
	pthread_t thread;
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	must(pthread_create(&thread, NULL, master, (void *[]){ &pair[1], conf }) == 0);
	files_take(pair[0]);
	AUTO_FD int fd = files_open(NULL, in_folder(&mem, "main.cf").at);
	assert_true(fd >= 0);
	assert_int_equal(files_open(NULL, in_folder(&mem, "gone").at), -1);
	assert_int_equal(errno, ENOENT);
	files_take(-1);
	pthread_join(thread, NULL);
	close(pair[1]);
	conf_drop(&conf);
}

static int prepare(void **state) {
	(void)state;
	snprintf(folder, sizeof folder, "/tmp/hato-files-XXXXXX");
	return mkdtemp(folder) != NULL ? 0 : -1;
}

static int clear(void **state) {
	(void)state;
	static const char *const names[] = { "main.cf", "master.cf", "virtual", "passwd", "link", "fifo" };
	AUTO_ARENA struct arena mem = { 0 };
	for (size_t i = 0; i < LEN(names); i++) unlink(in_folder(&mem, names[i]).at);
	rmdir(in_folder(&mem, "dir").at);
	return rmdir(folder);
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_named), cmocka_unit_test(test_answer),
					    cmocka_unit_test(test_broken_child), cmocka_unit_test(test_open) };
	return cmocka_run_group_tests(tests, prepare, clear);
}
