/* SPDX-License-Identifier: Apache-2.0 */
#include "filter/milter.h"
#include "base/fail.h"

#include <pthread.h>
#include <sys/un.h>

#include "base/test.h"

/* A milter that plays a script: what it answers to each command, in order. */
struct script {
	int listener;
	char path[64];
	pthread_t thread;
	const char *const *answers; /* "" after a command that gets none; first byte is the letter; NULL: hang up */
	const uint8_t *lengths;
	uint32_t version, actions, steps;
	struct buf heard;           /* letters of the commands, in order */
	struct buf macros;          /* names and values: "C:j=host;" */
};

static bool whole(int fd, void *to, size_t n) {
	for (size_t at = 0; at < n;) {
		ssize_t r = read(fd, (char *)to + at, n - at);
		if (r <= 0) return false;
		at += (size_t)r;
	}
	return true;
}

static void say_packet(int fd, const char *bytes, size_t n) {
	unsigned char head[4] = { 0, 0, (unsigned char)(n >> 8), (unsigned char)n };
	assert_int_equal(write(fd, head, 4), 4);
	assert_int_equal(write(fd, bytes, n), (ssize_t)n);
}

static void note_macros(struct script *s, const char *data, size_t n) {
	buf_addf(&s->macros, "%c:", data[0]);
	for (size_t at = 1; at < n; at += strlen(data + at) + 1) {
		buf_addf(&s->macros, "%s=", data + at);
		at += strlen(data + at) + 1;
		buf_addf(&s->macros, "%s;", data + at);
	}
}

static void *play(void *ctx) {
	struct script *s = ctx;
	int fd = accept(s->listener, NULL, NULL);
	size_t next = 0;
	static __thread char data[70000];
	unsigned char head[4];
	while (whole(fd, head, 4)) {
		size_t n = (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
		assert_in_range(n, 1, sizeof data);
		if (!whole(fd, data, n)) break;
		if (data[0] == 'D') {
			note_macros(s, data + 1, n - 1);
			continue;
		}
		buf_byte(&s->heard, data[0]);
		if (data[0] == 'O') {
			AUTO_BUF struct buf out = BUF(100);
			milter_put_offer(&out, &(struct milter_offer){ s->version, s->actions, s->steps, { { 0 } } });
			assert_int_equal(write(fd, out.at, out.len), (ssize_t)out.len);
			continue;
		}
		if (data[0] == 'Q') break;
		const char *answer = s->answers[next];
		if (answer == NULL) break;
		for (bool more = true; more && answer != NULL;) {
			size_t len = s->lengths != NULL ? s->lengths[next] : strlen(answer) + (strlen(answer) > 1);
			if (len != 0) say_packet(fd, answer, len);
			next++;
			more = len != 0 && strchr("pqmhib+-e2", answer[0]) != NULL;
			answer = s->answers[next];
		}
	}
	close(fd);
	return NULL;
}

static void begin(struct script *s) {
	static unsigned number;
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	snprintf(s->path, sizeof s->path, "/tmp/milter.%ld.%u", (long)getpid(), ++number);
	memcpy(at.sun_path, s->path, strlen(s->path) + 1);
	s->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(s->listener, (struct sockaddr *)&at, sizeof at), 0);
	assert_int_equal(listen(s->listener, 5), 0);
	s->heard = BUF(100000);
	s->macros = BUF(100000);
	if (s->version == 0) s->version = 6;
	assert_int_equal(pthread_create(&s->thread, NULL, play, s), 0);
}

static void end(struct script *s) {
	close(s->listener);
	unlink(s->path);
	buf_done(&s->heard);
	buf_done(&s->macros);
}

/* The owner: a message of two fields, and a record of the changes. */
struct owner {
	struct buf changes;
};
static struct slice macro(void *ctx, struct slice name, struct arena *mem) {
	(void)ctx, (void)mem;
	return slice_eq(name, S("j")) ? S("mx.example.com") : slice_eq(name, S("{mail_addr}")) ? S("a@b") : SLICE_NONE;
}
static bool field(void *ctx, size_t i, struct slice *name, struct slice *value) {
	(void)ctx;
	*name = i == 0 ? S("Subject") : S("To");
	*value = i == 0 ? S(" one\r\n\ttwo") : S(" c@d");
	return i < 2;
}
static ssize_t body(void *ctx, uint64_t at, char *room, size_t n) {
	(void)ctx;
	size_t left = MIN_OF((size_t)(100000 - MIN_OF(at, (uint64_t)100000)), n);
	memset(room, 'x', left);
	return (ssize_t)left;
}
static int add_field(void *ctx, struct slice name, struct slice value) {
	struct owner *o = ctx;
	buf_addf(&o->changes, "add %.*s:%.*s;", SLICE_ARG(name), SLICE_ARG(value));
	return 0;
}
static int insert_field(void *ctx, uint32_t index, struct slice name, struct slice value) {
	struct owner *o = ctx;
	buf_addf(&o->changes, "insert %u %.*s:%.*s;", index, SLICE_ARG(name), SLICE_ARG(value));
	return 0;
}
static int change_field(void *ctx, uint32_t index, struct slice name, struct slice value) {
	struct owner *o = ctx;
	buf_addf(&o->changes, "change %u %.*s:%.*s;", index, SLICE_ARG(name), SLICE_ARG(value));
	return 0;
}
static int replace_body(void *ctx, struct slice piece, bool first) {
	struct owner *o = ctx;
	buf_addf(&o->changes, "body%s %.*s;", first ? " first" : "", SLICE_ARG(piece));
	return 0;
}
static int add_recipient(void *ctx, struct slice address, struct slice parameters) {
	struct owner *o = ctx;
	buf_addf(&o->changes, "rcpt+ %.*s %.*s;", SLICE_ARG(address), SLICE_ARG(parameters));
	return 0;
}
static int delete_recipient(void *ctx, struct slice address) {
	struct owner *o = ctx;
	buf_addf(&o->changes, "rcpt- %.*s;", SLICE_ARG(address));
	return 0;
}
static int change_sender(void *ctx, struct slice address, struct slice parameters) {
	struct owner *o = ctx;
	buf_addf(&o->changes, "from %.*s %.*s;", SLICE_ARG(address), SLICE_ARG(parameters));
	return 0;
}
static const struct milter_ops ops = { macro, field, body, add_field, insert_field, change_field, replace_body,
	add_recipient, delete_recipient, change_sender };
static const struct milter_params params = { .service = "smtpd", .macros = { [MILTER_AT_CONNECT] = S("j, v"),
	[MILTER_AT_MAIL] = S("i {mail_addr}") } };
static const struct milter_spec defaults = { .connect_ms = 2000, .command_ms = 1000, .content_ms = 1000, .version = 6,
	.action = MILTER_DEFAULT_TEMPFAIL };

static struct milters *meet(struct script *s, struct owner *o, struct arena *mem) {
	struct milter_set *set = arena_get(mem, sizeof *set);
	begin(s);
	o->changes = BUF(10000);
	struct slice text = arena_fmt(mem, "unix:%s", s->path);
	assert_int_equal(milter_set_parse(text, &defaults, "/", mem, set), 0);
	return milters_new(set, &params, &ops, o);
}

static struct addr loopback(void) {
	struct addr a;
	assert_true(addr_parse(S("127.0.0.1:4000"), &a));
	return a;
}

#define SAYS(text_, b) do { struct slice a_ = buf_slice(b), t_ = slice_of(text_); \
	if (!slice_eq(a_, t_)) print_message("%.*s\n", SLICE_ARG(a_)); \
	assert_true(slice_eq(a_, t_)); } while (0)

static void a_session_with_changes(void **state) {
	(void)state;
	AUTO_ARENA struct arena mem = { 0 };
	static const char *const answers[] = { "c", "c", "c", "c", "c", "c", "c", "c", "c", "c",
		"p", "hX-A\0one", "i\0\0\0\1X-B\0two", "m\0\0\0\1Subject\0", "b hello", "bmore", "+<x@y>", "-<c@d>",
		"e<new@b>\0SIZE=5 RET=HDRS", "qbad", "p", "c", NULL };
	static const uint8_t lengths[] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
		1, 9, 13, 14, 7, 5, 7, 7, 25, 5, 1, 1 };
	struct script s = { .answers = answers, .lengths = lengths, .actions = 0x1ff };
	struct owner o;
	struct addr peer = loopback();
	struct milters *m = meet(&s, &o, &mem);
	assert_int_equal(milters_connect(m, S("localhost"), &peer, &mem).kind, MILTER_GO_ON);
	assert_int_equal(milters_helo(m, S("me"), &mem).kind, MILTER_GO_ON);
	assert_int_equal(milters_mail(m, S("<a@b>"), S("SIZE=100"), &mem).kind, MILTER_GO_ON);
	assert_int_equal(milters_rcpt(m, S("<c@d>"), S(""), false, &mem).kind, MILTER_GO_ON);
	assert_int_equal(milters_data(m, &mem).kind, MILTER_GO_ON);
	struct milter_verdict v = milters_message(m, &mem);
	assert_int_equal(v.kind, MILTER_GO_ON);
	assert_true(v.hold);
	SAYS("add X-A: one;insert 1 X-B: two;change 1 Subject:;body first  hello;body more;rcpt+ <x@y> ;rcpt- <c@d>;"
	     "from <new@b> SIZE=5 RET=HDRS;", &o.changes);
	milters_free(&m);
	pthread_join(s.thread, NULL);
	SAYS("OCHMRTLLNBBEQ", &s.heard);
	SAYS("C:j=mx.example.com;H:M:{mail_addr}=a@b;R:T:N:E:", &s.macros);
	buf_done(&o.changes);
	end(&s);
}

static void silent_and_unwanted_steps(void **state) {
	(void)state;
	AUTO_ARENA struct arena mem = { 0 };
	static const char *const answers[] = { "", "", "", "", "", "c", NULL };
	struct script s = { .answers = answers,
			    .actions = 0,
			    .steps = MILTER_NO_CONNECT | MILTER_NO_HELO | MILTER_NO_BODY | MILTER_NR_MAIL |
				     MILTER_NR_RCPT | MILTER_NR_DATA | MILTER_NR_HEADER | MILTER_NO_END_HEADER };
	struct owner o;
	struct addr peer = loopback();
	struct milters *m = meet(&s, &o, &mem);
	milters_connect(m, S("localhost"), &peer, &mem);
	milters_helo(m, S("me"), &mem);
	milters_mail(m, S("<a@b>"), S(""), &mem);
	milters_rcpt(m, S("<c@d>"), S(""), false, &mem);
	assert_int_equal(milters_data(m, &mem).kind, MILTER_GO_ON);
	assert_int_equal(milters_message(m, &mem).kind, MILTER_GO_ON);
	milters_free(&m);
	pthread_join(s.thread, NULL);
	buf_done(&o.changes);
	end(&s);
}

static void a_reply_of_its_own(void **state) {
	(void)state;
	AUTO_ARENA struct arena mem = { 0 };
	static const char *const answers[] = { "c", "y550 5.7.1 go away 100%%", "c", "t", "r", NULL };
	struct script s = { .answers = answers };
	struct owner o;
	struct addr peer = loopback();
	struct milters *m = meet(&s, &o, &mem);
	milters_connect(m, S("localhost"), &peer, &mem);
	struct milter_verdict v = milters_mail(m, S("<a@b>"), S(""), &mem);
	assert_int_equal(v.kind, MILTER_REFUSE);
	assert_int_equal(v.code, 550);
	assert_string_equal(v.status, "5.7.1");
	assert_true(slice_eq(v.text, S("go away 100%")));
	milters_mail(m, S("<a@b>"), S(""), &mem);
	v = milters_rcpt(m, S("<c@d>"), S(""), false, &mem);
	assert_int_equal(v.code, 451);
	v = milters_rcpt(m, S("<c@d>"), S(""), false, &mem);
	assert_int_equal(v.code, 550);
	milters_free(&m);
	pthread_join(s.thread, NULL);
	buf_done(&o.changes);
	end(&s);
}

static void who_hangs_or_lies_gets_the_default_action(void **state) {
	(void)state;
	static const char *const hang_up[] = { NULL }, *const nonsense[] = { "Z", NULL },
				 *const silent[] = { "", NULL }, *const change_early[] = { "hX\0y", NULL },
				 *const bad_code[] = { "y250 2.0.0 fine", NULL };
	const char *const *scripts[] = { hang_up, nonsense, silent, change_early, bad_code };
	for (size_t i = 0; i < LEN(scripts); i++) {
		AUTO_ARENA struct arena mem = { 0 };
		struct script s = { .answers = scripts[i] };
		struct owner o;
		struct addr peer = loopback();
		struct milters *m = meet(&s, &o, &mem);
		for (int again = 0; again < 2; again++) {
			struct milter_verdict v = milters_connect(m, S("localhost"), &peer, &mem);
			assert_int_equal(v.kind, MILTER_REFUSE);
			assert_int_equal(v.code, 451);
		}
		assert_int_equal(milters_message(m, &mem).code, 451);
		milters_free(&m);
		pthread_join(s.thread, NULL);
		buf_done(&o.changes);
		end(&s);
	}
}

static void nobody_there(void **state) {
	(void)state;
	AUTO_ARENA struct arena mem = { 0 };
	struct milter_set set;
	struct addr peer = loopback();
	assert_int_equal(milter_set_parse(S("{ unix:nowhere/milter.sock, default_action=quarantine }"), &defaults,
					  "/tmp", &mem, &set),
			 0);
	struct milters *m = milters_new(&set, &params, &ops, NULL);
	struct milter_verdict v = milters_connect(m, S("localhost"), &peer, &mem);
	assert_int_equal(v.kind, MILTER_GO_ON);
	assert_true(v.hold);
	milters_free(&m);
}

static void lists_as_they_are_written(void **state) {
	(void)state;
	AUTO_ARENA struct arena mem = { 0 };
	struct milter_set set;
	assert_int_equal(milter_set_parse(S("local:opendkim/opendkim.sock,inet:8893@127.0.0.1 inet:[::1]:11332, "
		"{ inet6:host.example:8891, connect_timeout=5s, { command_timeout = 1m },content_timeout=300, "
		"protocol=4 default_action=accept }"), &defaults, "/var/spool/postfix", &mem, &set), 0);
	assert_int_equal(set.count, 4);
	assert_string_equal(set.specs[0].path, "/var/spool/postfix/opendkim/opendkim.sock");
	assert_int_equal(set.specs[1].port, 8893);
	assert_true(slice_eq(set.specs[1].host, S("127.0.0.1")));
	assert_int_equal(set.specs[2].port, 11332);
	assert_true(slice_eq(set.specs[2].host, S("::1")));
	const struct milter_spec *s = &set.specs[3];
	assert_int_equal(s->port, 8891);
	assert_int_equal(s->connect_ms, 5000);
	assert_int_equal(s->command_ms, 60000);
	assert_int_equal(s->content_ms, 300000);
	assert_int_equal(s->version, 4);
	assert_int_equal(s->action, MILTER_DEFAULT_ACCEPT);
	static const struct slice wrong[] = { S("8891"), S("tcp:localhost:8891"), S("inet:localhost"), S("{ unix:/a"),
		S("{ unix:/a, sleep=5 }"), S("{ unix:/a, default_action=maybe }"), S("unix:"), S("inet:h:0"), S("{}"),
		S("{ inet:h:70000 }"), S("{ unix:/a, connect_timeout=soon }") };
	for (size_t i = 0; i < LEN(wrong); i++)
		assert_int_equal(milter_set_parse(wrong[i], &defaults, "/", &mem, &set), -1);
}

static void replies_are_checked(void **state) {
	(void)state;
	AUTO_ARENA struct arena mem = { 0 };
	struct milter_reply r;
	static const struct { char kind; struct slice data; bool fine; } list[] = {
		{ 'c', S(""), true }, { 'c', S("x"), false }, { 'h', S("A\0b\0"), true }, { 'h', S("A\0b"), false },
		{ 'm', S("\0\0\0\1A\0b\0"), true }, { 'm', S("\0\0\0"), false }, { '+', S("<a@b>\0"), true },
		{ '+', S("<a@b>"), false }, { '2', S("<a@b>\0"), true }, { '2', S("<a@b>\0NOTIFY=NEVER\0"), true },
		{ 'y', S("450 4.7.1 later\0"), true }, { 'y', S("250 fine\0"), false }, { 'y', S("4\0"), false },
		{ 'y', S("550-5.7.1 a\r\n550 5.7.1 b\0"), true }, { 'Z', S(""), false },
	};
	for (size_t i = 0; i < LEN(list); i++)
		assert_int_equal(milter_reply_parse(list[i].kind, list[i].data, &mem, &r), list[i].fine);
	assert_true(milter_reply_parse('y', S("550-5.7.1 a\r\n550 5.7.1 b\0"), &mem, &r));
	assert_true(slice_eq(r.value, S("a\nb")));
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_session_with_changes),
		cmocka_unit_test(silent_and_unwanted_steps),
		cmocka_unit_test(a_reply_of_its_own),
		cmocka_unit_test(who_hangs_or_lies_gets_the_default_action),
		cmocka_unit_test(nobody_there),
		cmocka_unit_test(lists_as_they_are_written),
		cmocka_unit_test(replies_are_checked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
