/* SPDX-License-Identifier: Apache-2.0 */
#include "access/present.h"
#include "base/buf.h"

#include <sys/socket.h>

#include "base/test.h"

static void names(void *ctx, const struct present *who) {
	buf_addf(ctx, "%s:%.*s ", who->protocol, SLICE_ARG(who->login));
}

static bool is_ann(void *ctx, const struct present *who) {
	(void)ctx;
	return slice_eq(who->login, S("ann"));
}

static void expect(struct presence *p, const char *wanted) {
	AUTO_BUF struct buf said = BUF(KIB(4));
	presence_each(p, names, &said);
	assert_string_equal(buf_text(&said), wanted);
}

static void comes_and_goes(void **state) {
	(void)state;
	struct presence *p = presence_new();
	int near[2], far[2];
	char byte;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, near), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, far), 0);
	uint64_t ann = presence_enter(p, &(struct present){ .login = S("ann"), .protocol = "imap" }, near[0]);
	uint64_t ben = presence_enter(p, &(struct present){ .login = S("ben"), .protocol = "pop3" }, near[1]);
	presence_enter_far(p, &(struct present){ .login = S("ann"), .protocol = "smtp" }, far[0]);
	expect(p, "imap:ann pop3:ben smtp:ann ");
	presence_leave(p, ben);
	expect(p, "imap:ann smtp:ann ");
	assert_int_equal(presence_kick(p, is_ann, NULL), 2);
	assert_int_equal(recv(far[1], &byte, 1, MSG_DONTWAIT), 0); /* it finds itself kicked */
	assert_int_equal(recv(near[0], &byte, 1, MSG_DONTWAIT), 0);
	expect(p, "imap:ann "); /* until it leaves */
	presence_leave(p, ann);
	expect(p, "");
	close(far[1]);
	close(near[0]);
	close(near[1]);
	presence_free(&p);
}

static void far_ends_by_itself(void **state) {
	(void)state;
	struct presence *p = presence_new();
	int far[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, far), 0);
	presence_enter_far(p, &(struct present){ .login = S("ann"), .protocol = "smtp" }, far[0]);
	expect(p, "smtp:ann ");
	close(far[1]);
	expect(p, "");
	assert_int_equal(presence_enter(NULL, NULL, 0), 0);
	presence_leave(NULL, 0);
	presence_free(&p);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(comes_and_goes),
		cmocka_unit_test(far_ends_by_itself),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
