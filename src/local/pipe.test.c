/* SPDX-License-Identifier: Apache-2.0 */
#include "local/pipe.h"
#include "base/fail.h"
#include "local/testing.h"

#include <sys/socket.h>
#include <sys/wait.h>
#include "base/test.h"

#define BODY "Delivered-To: loop@x\r\n\r\n.text\r\n"
static struct local_message message;

/* A master.cf argument list, cut at blanks; one item may be longer: {…} has its braces taken off by conf. */
static size_t words(const char *text, struct slice *out) {
	struct slice rest = slice_of(text), one;
	size_t n = 0;
	while ((one = slice_word(&rest, " ")).len != 0) out[n++] = one;
	return n;
}

static int parse(const char *text, struct program *out) {
	struct slice *args = arena_array(&mem, 64, sizeof *args);
	return program_parse(args, words(text, args), true, &mem, out);
}

static void lines(void **state) {
	(void)state;
	static const struct {
		const char *line, *wrong;
	} bad[] = {
		{ "argv=/bin/cat", "missing user= command-line attribute" },
		{ "user=x", "missing argv= command-line attribute" },
		{ "user=x argv=", "missing argv= command-line attribute" },
		{ "user=x flags=Z argv=/bin/cat", "flags=Z: unknown flag: Z" },
		{ "user=x size=much argv=/bin/cat", "bad size= value: much" },
		{ "user=x color=red argv=/bin/cat", "unknown attribute name: color" },
		{ "user=x red argv=/bin/cat", "missing '=' after attribute name: red" },
		{ "user=x: argv=/bin/cat", "user=x:: no group behind the colon" },
	};
	struct program p;
	for (size_t i = 0; i < LEN(bad); i++) {
		assert_true(parse(bad[i].line, &p) < 0);
		assert_string_equal(fail_text(), bad[i].wrong);
	}
	assert_int_equal(parse("flags=DRhu user=vmail:mail directory=/tmp eol=\\r\\n\\101 null_sender= size=100 "
			       "argv=/usr/bin/maildrop -d ${recipient} user=no", &p), 0);
	assert_int_equal(p.flags, COPY_DELIVERED | COPY_RETURN_PATH);
	assert_true(p.lower_domain && p.lower_local && !p.quoted && !p.final);
	assert_true(slice_eq(p.eol, S("\r\nA")) && p.null_sender.len == 0 && p.size_limit == 100);
	assert_true(slice_eq(p.user, S("vmail")) && slice_eq(p.group, S("mail")));
	assert_int_equal(p.argc, 4);
	assert_true(slice_eq(p.argv[0], S("/usr/bin/maildrop")));
	assert_int_equal(parse("user=root argv=/bin/cat", &p), 0);
	assert_true(program_user(&p, NULL, &mem) < 0);
	assert_int_equal(parse("user=no-such-user-here argv=/bin/cat", &p), 0);
	assert_true(program_user(&p, NULL, &mem) < 0);
	struct slice spawn[] = { S("user=x"), S("flags=F"), S("argv=/bin/cat") };
	assert_true(program_parse(spawn, 3, false, &mem, &p) < 0);
}

static struct pipe_params params_of(const char *line) {
	struct pipe_params p = { .service = "mine", .queue_directory = slice_of(folder),
				 .exported = { S("/etc/x"), NULL, 0 },
				 .delimiters = S("+"), .limit_ms = 10000 };
	assert_int_equal(parse(line, &p.program), 0);
	p.program.who = user;
	return p;
}

static struct slice told(const char *line, const struct local_recipient *to, size_t count) {
	struct pipe_params p = params_of(line);
	const char *const *args = pipe_arguments(&p, &message, to, count, S("Next.Hop"), &mem);
	AUTO_BUF struct buf b = BUF(KIB(16));
	if (args == NULL) return slice_of(fail_text());
	for (; *args != NULL; args++) buf_addf(&b, "[%s]", *args);
	return arena_slice(&mem, buf_slice(&b));
}

static void macros(void **state) {
	(void)state;
	static const struct local_recipient to[] = { { S("Ann+Tag@Example.ORG"), S("first@x") },
						     { S("\"a b\"@c"), SLICE_NONE } };
	static const struct {
		const char *line, *args;
	} cases[] = {
		{ "user=x argv=p -f ${sender} $recipient", "[p][-f][s@t][Ann+Tag@Example.ORG][a b@c]" },
		{ "user=x flags=q argv=p $(recipient)", "[p][Ann+Tag@Example.ORG][\"a b\"@c]" },
		{ "user=x flags=hu argv=p ${recipient} ${nexthop} ${mailbox}",
		  "[p][ann+tag@example.org][a b@c][next.hop][ann+tag][a b]" },
		{ "user=x argv=p ${user} -- ${extension} ${domain}", "[p][Ann][a b][--][Tag][][Example.ORG]" },
		{ "user=x argv=p ${original_recipient} ${size} ${queue_id} ${envid}",
		  "[p][first@x][a b@c][31][Q1][env 1]" },
		{ "user=x argv=p $$x ${client_address}-${client_hostname}", "[p][$x][192.0.2.1-host]" },
		{ "user=x argv=p ${extension?{e=$extension}:{none}}", "[p][e=Tag][none]" },
		{ "user=x argv=p ${wrong}", "${wrong}: unknown macro name: \"wrong\"" },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		struct slice got = told(cases[i].line, to, 2);
		struct slice want = slice_of(cases[i].args);
		if (!slice_eq(got, want)) print_message("%s: %.*s\n", cases[i].line, SLICE_ARG(got));
		assert_true(slice_eq(got, want));
	}
}

static struct local_outcome deliver(const char *line, struct slice to) {
	struct pipe_params p = params_of(line);
	struct local_recipient r = { .address = to };
	struct local_outcome o;
	pipe_deliver(&p, &message, &r, 1, S("hop"), &mem, &o);
	return o;
}

static void deliveries(void **state) {
	(void)state;
	const char *script = arena_fmt(&mem, "user=x flags=R. argv=%s/take ${recipient}", folder).at;
	put("take", "#!/bin/sh\ncat > taken; echo \"$@\"; pwd\n", 0755);
	struct local_outcome o = deliver(script, S("ann@x; rm -rf /"));
	assert_true(slice_starts(o.text, S("delivered via mine service (ann@x; rm -rf /")));
	assert_true(slice_eq(content("taken"), S("Return-Path: <s@t>\nDelivered-To: loop@x\n\n..text\n")));
	o = deliver("user=x flags=D argv=/bin/true", S("LOOP@x"));
	assert_true(slice_eq(o.status, S("5.4.6")));
	o = deliver("user=x size=10 argv=/bin/true", S("ann@x"));
	assert_true(slice_eq(o.status, S("5.2.3")) && slice_eq(o.text, S("message too large")));
	o = deliver("user=x argv=/bin/false", S("ann@x"));
	assert_true(slice_eq(o.text, S("Command died with status 1: \"/bin/false\"")));
	o = deliver("user=x directory=/no/such/folder argv=/bin/true", S("ann@x"));
	assert_int_equal(o.fate, LOCAL_LATER);
	o = deliver("user=x argv=${bad}", S("ann@x"));
	assert_true(slice_eq(o.status, S("4.3.5")));
	if (geteuid() == 0) {
		o = deliver("user=x chroot=/no/such/folder argv=/bin/true", S("ann@x"));
		assert_int_equal(o.fate, LOCAL_LATER);
	}
}

static void spawned(void **state) {
	(void)state;
	struct pipe_params p = params_of("user=x argv=/bin/cat");
	int pair[2];
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	pid_t pid = spawn_start(&p, pair[1]);
	assert_true(pid > 0);
	close(pair[1]);
	char text[8] = "";
	assert_int_equal(write(pair[0], "hello", 5), 5);
	assert_int_equal(read(pair[0], text, sizeof text), 5);
	assert_string_equal(text, "hello");
	close(pair[0]);
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int main(void) {
	begin();
	AUTO_FD int fd = message_fd(S(BODY));
	message = (struct local_message){ .queue_id = S("Q1"), .envid = S("env 1"), .sender = S("s@t"), .fd = fd,
					  .size = sizeof BODY - 1,
					  .client = { .name = S("host"), .address = S("192.0.2.1") } };
	const struct CMUnitTest tests[] = { cmocka_unit_test(lines), cmocka_unit_test(macros),
					    cmocka_unit_test(deliveries), cmocka_unit_test(spawned) };
	int r = cmocka_run_group_tests(tests, NULL, NULL);
	end();
	return r;
}
