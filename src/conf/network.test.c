/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/machine.h"
#include "conf/network.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <cmocka.h>

static struct arena mem;
static struct problems problems;
static struct sources files;

static int setup(void **state) {
	(void)state;
	problems = (struct problems){ .mem = &mem };
	files = (struct sources){ .mem = &mem, .sealed = true };
	source_put(&files, S("/nets"), S("# ours\n192.0.2.0/24\n\n!/other\n"), false);
	source_put(&files, S("/other"), S("198.51.100.0/24, 203.0.113.1\n"), false);
	source_put(&files, S("/self"), S("/self\n"), false);
	source_put(&files, S("/names"), S("example.org\n.example.net\n"), false);
	return 0;
}

static int teardown(void **state) {
	(void)state;
	arena_done(&mem);
	return 0;
}

static bool match(const struct networks *n, const char *text) {
	struct sockaddr_in6 six = { .sin6_family = AF_INET6 };
	struct sockaddr_in four = { .sin_family = AF_INET };
	if (inet_pton(AF_INET, text, &four.sin_addr) == 1) return networks_match_sockaddr(n, (struct sockaddr *)&four);
	assert_int_equal(inet_pton(AF_INET6, text, &six.sin6_addr), 1);
	return networks_match_sockaddr(n, (struct sockaddr *)&six);
}

static void test_networks(void **state) {
	(void)state;
	static const struct { const char *list, *address; bool want; } cases[] = {
		{ "", "127.0.0.1", false },
		{ "127.0.0.0/8", "127.255.0.1", true },
		{ "127.0.0.0/8", "128.0.0.1", false },
		{ "127.0.0.0/8", "::ffff:127.0.0.1", true },
		{ "[::ffff:127.0.0.0]/104", "127.0.0.1", true },
		{ "[::1]/128", "::1", true },
		{ "[::1]", "::1", true },
		{ "[::1/128]", "::1", true },
		{ "::1", "::1", true },
		{ "[2001:db8::]/33", "2001:db8:7fff::1", true },
		{ "[2001:db8::]/33", "2001:db8:8000::1", false },
		{ "2001:db8::/32", "2001:db8::5", true },
		{ "0.0.0.0/0", "192.0.2.1", true },
		{ "0.0.0.0/0", "2001:db8::1", false },
		{ "[::]/0", "192.0.2.1", true },
		{ "192.0.2.1", "192.0.2.1", true },
		{ "192.0.2.1", "192.0.2.2", false },
		{ "!192.0.2.1, 192.0.2.0/24", "192.0.2.1", false },
		{ "!192.0.2.1, 192.0.2.0/24", "192.0.2.2", true },
		{ "192.0.2.0/24 !192.0.2.1", "192.0.2.1", true },
		{ "!!192.0.2.1", "192.0.2.1", true },
		{ "/nets", "192.0.2.9", true },
		{ "/nets 0.0.0.0/0", "198.51.100.3", false },
		{ "/nets 0.0.0.0/0", "203.0.113.1", false },
		{ "!/other 0.0.0.0/0", "203.0.113.1", false },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		struct networks n;
		networks_read(&n, slice_of(cases[i].list), "mynetworks", (struct place){ S("main.cf"), 1 }, &files,
			      &problems);
		if (match(&n, cases[i].address) != cases[i].want) fail_msg("%s: %s", cases[i].list, cases[i].address);
	}
	assert_int_equal(problems.count, 0);
	struct sockaddr local = { .sa_family = AF_UNIX };
	struct networks all;
	networks_read(&all, S("[::]/0"), "x", (struct place){ S(""), 0 }, &files, &problems);
	assert_false(networks_match_sockaddr(&all, &local));
}

static void test_faults(void **state) {
	(void)state;
	static const struct { const char *list, *problem;
	} cases[] = {
		{ "192.0.2.1/24", "error: main.cf, line 1: n: non-null host address bits in \"192.0.2.1/24\", perhaps "
				  "you should use \"192.0.2.0/24\" instead" },
		{ "[2001:db8::1]/32", "error: main.cf, line 1: n: non-null host address bits in \"[2001:db8::1]/32\", "
				      "perhaps you should use \"[2001:db8::]/32\" instead" },
		{ "192.0.2.0/33",
		  "error: main.cf, line 1: n: bad net/mask pattern: \"192.0.2.0/33\" (expected 0 to 32 bits)" },
		{ "192.0.2.0/",
		  "error: main.cf, line 1: n: bad net/mask pattern: \"192.0.2.0/\" (expected 0 to 32 bits)" },
		{ "192.0.2/24",
		  "error: main.cf, line 1: n: bad net/mask pattern: \"192.0.2/24\" (expected address/bits)" },
		{ "[::1", "error: main.cf, line 1: n: bad net/mask pattern: \"[::1\" (expected address/bits)" },
		{ "!", "error: main.cf, line 1: n: no pattern after \"!\"" },
		{ "localhost", "warning: main.cf, line 1: n: a host name is understood but not acted on by this "
			       "version: localhost" },
		{ "/nowhere",
		  "warning: main.cf, line 1: n: /nowhere: no such file: what should stand in it is left out" },
		{ "!/nowhere", "error: main.cf, line 1: n: /nowhere: no such file" },
		{ "/self", "error: /self, line 1: n: files include each other more than 8 deep" },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		struct networks n;
		AUTO_BUF struct buf line = BUF(1000);
		problems = (struct problems){ .mem = &mem };
		networks_read(&n, slice_of(cases[i].list), "n", (struct place){ S("main.cf"), 1 }, &files, &problems);
		assert_int_equal(problems.count, 1);
		problem_line(&line, &problems.at[0]);
		assert_string_equal(buf_text(&line), cases[i].problem);
		assert_int_equal(n.count, 0);
	}
}

static void test_tables(void **state) {
	(void)state;
	struct networks n;
	networks_read(&n, S("!inline:{192.0.2.9=x} 192.0.2.0/24 inline:{10.0.0.1=x,2001:db8::1=}"), "n",
		      (struct place){ S("x"), 1 }, &files, &problems);
	assert_int_equal(problems.count, 0);
	static const struct { const char *address; bool opened, closed;
	} cases[] = {
		{ "192.0.2.9", false, false },
		{ "192.0.2.8", true, false },
		{ "10.0.0.1", true, false },
		{ "10.0.0.2", false, false },
	};
	struct tables *tables = tables_new(&(struct table_params){ .queue_directory = "/" });
	const struct networks *opened = networks_open(&n, tables, &mem);
	for (size_t i = 0; i < LEN(cases); i++) {
		struct sockaddr_in in = { .sin_family = AF_INET };
		assert_int_equal(inet_pton(AF_INET, cases[i].address, &in.sin_addr), 1);
		assert_int_equal(networks_match_sockaddr(opened, (struct sockaddr *)&in), cases[i].opened);
		assert_int_equal(networks_match_sockaddr(&n, (struct sockaddr *)&in), cases[i].closed);
	}
	tables_free(&tables);
}

static void test_domains(void **state) {
	(void)state;
	static const struct { const char *list, *domain; bool want, want_parents; } cases[] = {
		{ "", "example.com", false, false },
		{ "example.com", "example.com", true, true },
		{ "Example.COM", "exaMple.com", true, true },
		{ "example.com", "a.example.com", false, true },
		{ "example.com", "aexample.com", false, false },
		{ ".example.com", "a.b.example.com", true, true },
		{ ".example.com", "example.com", false, false },
		{ "!a.example.com, .example.com", "a.example.com", false, false },
		{ "/names", "x.example.net", true, true },
		{ "/names", "example.org", true, true },
		{ "!/names example.org", "example.org", false, false },
		{ "[192.0.2.1]", "[192.0.2.1]", true, true },
		{ "example.com", "", false, false },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		struct domains d;
		domains_read(&d, slice_of(cases[i].list), false, "d", (struct place){ S("x"), 1 }, &files, &problems);
		if (domains_match(&d, slice_of(cases[i].domain)) != cases[i].want)
			fail_msg("%s: %s", cases[i].list, cases[i].domain);
		d.parents = true;
		if (domains_match(&d, slice_of(cases[i].domain)) != cases[i].want_parents)
			fail_msg("%s: %s", cases[i].list, cases[i].domain);
	}
	assert_int_equal(problems.count, 0);
	struct domains d;
	domains_read(&d, S("hash:/x, ., b"), false, "d", (struct place){ S("x"), 1 }, &files, &problems);
	assert_int_equal(problems.count, 1);
	assert_int_equal(d.count, 2);
	assert_string_equal(d.at[0].table.at, "hash:/x");
	assert_false(domains_match(&d, S("hash:/x")));
	assert_true(domains_match(&d, S("b")));
}

static void test_machine(void **state) {
	(void)state;
	static const uint8_t six[16] = { 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5 },
			     one[16] = { [15] = 1 };
	struct machine_address addresses[] = {
		{ slice_from("\x7f\0\0\1", 4), 8 },
		{ slice_from("\xac\x10\5\4", 4), 22 },
		{ slice_from(one, 16), 128 },
		{ slice_from(six, 16), 64 },
	};
	struct machine m = { S("h"), addresses, LEN(addresses) };
	static const struct { const char *style, *interfaces, *protocols, *want; } cases[] = {
		{ "host", "all", "all", "127.0.0.1/32 172.16.5.4/32 [::1]/128 [2001:db8::5]/128" },
		{ "subnet", "all", "all", "127.0.0.0/8 172.16.4.0/22 [::1]/128 [2001:db8::]/64" },
		{ "class", "all", "ipv4", "127.0.0.0/8 172.16.0.0/16" },
		{ "host", "loopback-only", "all", "127.0.0.1/32 [::1]/128" },
		{ "subnet", "172.16.5.4, [2001:db8::5]", "all", "172.16.4.0/22 [2001:db8::]/64" },
		{ "host", "mail.example.com, localhost", "ipv6", "[::1]/128" },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		struct slice got = machine_networks(&m, slice_of(cases[i].style), slice_of(cases[i].interfaces),
						    slice_of(cases[i].protocols), &mem);
		assert_string_equal(got.at, cases[i].want);
	}
	struct machine real;
	machine_ask(&real, &mem);
	assert_true(real.host.len > 0);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_networks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_faults, setup, teardown),
		cmocka_unit_test_setup_teardown(test_domains, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tables, setup, teardown),
		cmocka_unit_test_setup_teardown(test_machine, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
