/* SPDX-License-Identifier: Apache-2.0 */
#include "net/addr.h"
#include <setjmp.h>
#include <cmocka.h>

static void parses(void **state UNUSED) {
	static const struct { const char *in, *text, *with_port; } cases[] = {
		{ "1.2.3.4", "1.2.3.4", "1.2.3.4:0" },
		{ "1.2.3.4:25", "1.2.3.4", "1.2.3.4:25" },
		{ "1.2.3.4:", "1.2.3.4", "1.2.3.4:0" },
		{ "[1.2.3.4]:25", "1.2.3.4", "1.2.3.4:25" },
		{ "::1", "::1", "[::1]:0" },
		{ "[::1]", "::1", "[::1]:0" },
		{ "[::1]:25", "::1", "[::1]:25" },
		{ "[2001:DB8::1]:65535", "2001:db8::1", "[2001:db8::1]:65535" },
		{ "::ffff:192.0.2.1", "192.0.2.1", "192.0.2.1:0" },
		{ "[::ffff:192.0.2.1]:587", "192.0.2.1", "192.0.2.1:587" },
		{ "IPv6:2001:db8::2", "2001:db8::2", "[2001:db8::2]:0" },
		{ "[IPv6:2001:db8::2]:1", "2001:db8::2", "[2001:db8::2]:1" },
		{ "fe80::1%lo", "fe80::1%lo", "[fe80::1%lo]:0" },
		{ "[fe80::1%lo]:9", "fe80::1%lo", "[fe80::1%lo]:9" },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		struct addr a;
		char room[ADDR_TEXT_ROOM];
		if (!addr_parse(slice_of(cases[i].in), &a)) fail_msg("%s", cases[i].in);
		assert_string_equal(addr_text(&a, room), cases[i].text);
		assert_string_equal(addr_text_with_port(&a, room), cases[i].with_port);
	}
	static const char *const bad[] = {
		"",
		":",
		":25",
		"[",
		"[]",
		"[]:25",
		"[::1",
		"[::1]25",
		"1.2.3",
		"1.2.3.4:65536",
		"1.2.3.4:x",
		"1.2.3.4:-1",
		"1.2.3.256",
		"host",
		"host:25",
		"::g",
		"1::2::3",
		"fe80::1%",
		"fe80::1%nosuchif",
		"1.2.3.4 ",
		"11111111111111111111111111111111111111111111111111111111111111111111111111111111111111"
	};
	for (size_t i = 0; i < LEN(bad); i++) {
		struct addr a = { .len = 77 };
		if (addr_parse(slice_of(bad[i]), &a)) fail_msg("taken: %s", bad[i]);
		assert_int_equal(a.len, 77);
	}
	struct addr a;
	assert_false(addr_parse(slice_from("1.2.3.4\0x", 9), &a));
}

static void splits(void **state UNUSED) {
	static const struct { const char *in, *host, *port; } cases[] = {
		{ "host:25", "host", "25" },
		{ "host", "host", "" },
		{ "[host]", "host", "" },
		{ "[host]:smtp", "host", "smtp" },
		{ "::1", "::1", "" },
		{ "[::1]:25", "::1", "25" },
		{ ":25", "", "25" },
		{ "host:", "host", "" },
		{ "[]:25", "", "25" },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		struct slice host, port;
		if (!addr_split_host_port(slice_of(cases[i].in), &host, &port)) fail_msg("%s", cases[i].in);
		assert_true(slice_eq(host, slice_of(cases[i].host)));
		assert_true(slice_eq(port, slice_of(cases[i].port)));
	}
	struct slice host, port;
	static const char *const bad[] = { "", "[", "[a", "[a]b", "[]", ":" };
	for (size_t i = 0; i < LEN(bad); i++) assert_false(addr_split_host_port(slice_of(bad[i]), &host, &port));
}

static struct addr parsed(const char *text) {
	struct addr a;
	assert_true(addr_parse(slice_of(text), &a));
	return a;
}

static void knows(void **state UNUSED) {
	static const struct { const char *in; bool loopback, any; } cases[] = {
		{ "127.0.0.1", true, false },
		{ "127.9.9.9", true, false },
		{ "::1", true, false },
		{ "::ffff:127.0.0.1", true, false },
		{ "128.0.0.1", false, false },
		{ "0.0.0.0", false, true },
		{ "::", false, true },
		{ "2001:db8::1", false, false },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		struct addr a = parsed(cases[i].in);
		assert_int_equal(addr_is_loopback(&a), cases[i].loopback);
		assert_int_equal(addr_is_any(&a), cases[i].any);
	}
	struct addr none = { 0 }, a = parsed("10.1.2.3:7"), b = parsed("::ffff:10.1.2.3"),
		    c = parsed("2001:db8:1:2:3:4:5:6");
	char room[ADDR_TEXT_ROOM];
	assert_string_equal(addr_text(&none, room), "unknown");
	assert_int_equal(addr_family(&none), AF_UNSPEC);
	assert_true(addr_same_host(&a, &b));
	assert_false(addr_same_host(&a, &c));
	addr_set_port(&b, 9);
	assert_int_equal(addr_port(&b), 9);
	struct addr_key k = addr_key(&a, 24), want = { { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 1, 2, 0 } };
	assert_memory_equal(&k, &want, sizeof k);
	k = addr_key(&c, 60);
	want = (struct addr_key){ { 0x20, 1, 0xd, 0xb8, 0, 1, 0, 0 } };
	assert_memory_equal(&k, &want, sizeof k);
	k = addr_key(&c, 128);
	assert_memory_equal(&k, &c.v6.sin6_addr, 16);
}

static void from_sockets(void **state UNUSED) {
	AUTO_FD int listener = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener < 0) skip();
	struct sockaddr_in6 any = { .sin6_family = AF_INET6 };
	assert_int_equal(bind(listener, (struct sockaddr *)&any, sizeof any), 0);
	assert_int_equal(listen(listener, 1), 0);
	struct addr here, a;
	assert_true(addr_of_socket(listener, &here));
	assert_false(addr_of_peer(listener, &a));
	struct addr to = parsed("127.0.0.1");
	addr_set_port(&to, addr_port(&here));
	AUTO_FD int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(client, &to.any, to.len), 0);
	AUTO_FD int server = accept(listener, NULL, NULL);
	struct addr seen, own;
	assert_true(addr_of_peer(server, &seen) && addr_of_socket(client, &own));
	assert_int_equal(addr_family(&seen), AF_INET); /* not ::ffff: */
	assert_memory_equal(&seen, &own, sizeof seen);
	int pair[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_false(addr_of_peer(pair[0], &a));
	close(pair[0]);
	close(pair[1]);
}

static void public_or_not(void **state) {
	(void)state;
	static const char *const outside[] = { "1.0.0.0",        "9.255.255.255",  "11.0.0.0",    "100.63.255.255",
					       "100.128.0.0",    "126.1.1.1",      "128.0.0.1",   "169.253.255.255",
					       "169.255.0.0",    "172.15.255.255", "172.32.0.0",  "192.167.255.255",
					       "192.169.0.0",    "198.51.100.66",  "223.255.0.1", "2001:db8::1",
					       "2a00:1450::1",   "3fff::1" };
	static const char *const inside[] = { "0.0.0.0",      "0.1.2.3",       "10.0.0.0",   "10.255.255.255",
					      "100.64.0.0",   "100.127.9.9",   "127.0.0.1",  "169.254.1.1",
					      "172.16.0.1",   "172.31.255.1",  "192.168.0.1", "224.0.0.1",
					      "240.0.0.1",    "255.255.255.255", "::",       "::1",
					      "fe80::1",      "fc00::1",       "fd12::1",    "ff02::1",
					      "::ffff:10.1.2.3" };
	for (size_t i = 0; i < LEN(outside) + LEN(inside); i++) {
		struct addr a;
		assert_true(addr_parse(slice_of(i < LEN(outside) ? outside[i] : inside[i - LEN(outside)]), &a));
		assert_int_equal(addr_is_public(&a), i < LEN(outside));
	}
	assert_false(addr_is_public(&(struct addr){ 0 }));
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(parses), cmocka_unit_test(splits), cmocka_unit_test(knows),
		cmocka_unit_test(public_or_not),
		cmocka_unit_test(from_sockets) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
