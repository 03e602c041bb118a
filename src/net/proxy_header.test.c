/* SPDX-License-Identifier: Apache-2.0 */
#include "net/proxy_header.h"
#include <setjmp.h>
#include <cmocka.h>

#define V2 "\r\n\r\n\0\r\nQUIT\n"
static const struct {
	struct slice in;
	enum proxy_header_answer answer;
	const char *client, *own; /* with ports */
	size_t used;
} cases[] = {
	{ S("PROXY TCP4 192.0.2.1 192.0.2.2 40000 25\r\nEHLO"), PROXY_HEADER_OK, "192.0.2.1:40000", "192.0.2.2:25",
	  41 },
	{ S("PROXY TCP6 2001:db8::1 2001:db8::2 40000 25\r\n"), PROXY_HEADER_OK, "[2001:db8::1]:40000",
	  "[2001:db8::2]:25", 45 },
	{ S("PROXY UNKNOWN\r\n"), PROXY_HEADER_LOCAL, "", "", 15 },
	{ S("PROXY UNKNOWN ffff::1 ffff::1 65535 65535\r\n"), PROXY_HEADER_LOCAL, "", "", 43 },
	{ S(""), PROXY_HEADER_MORE, "", "", 0 },
	{ S("PRO"), PROXY_HEADER_MORE, "", "", 0 },
	{ S("PROXY TCP4 192.0.2.1"), PROXY_HEADER_MORE, "", "", 0 },
	{ S("EHLO x\r\n"), PROXY_HEADER_BAD, "", "", 0 },
	{ S("PROXY TCP4 192.0.2.1 192.0.2.2 40000 25\n"), PROXY_HEADER_BAD, "", "", 0 },
	{ S("PROXY TCP4 192.0.2.1 192.0.2.2 40000\r\n"), PROXY_HEADER_BAD, "", "", 0 },
	{ S("PROXY TCP4 192.0.2.1 192.0.2.2 70000 25\r\n"), PROXY_HEADER_BAD, "", "", 0 },
	{ S("PROXY TCP4 2001:db8::1 192.0.2.2 40000 25\r\n"), PROXY_HEADER_BAD, "", "", 0 },
	{ S("PROXY TCP4 192.0.2.1 192.0.2.2 40000 25 x\r\n"), PROXY_HEADER_BAD, "", "", 0 },
	{ S("PROXY TCP4 [192.0.2.1] 192.0.2.2 40000 25\r\n"), PROXY_HEADER_BAD, "", "", 0 },
	{ S("PROXY TCP4 "
	    "0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"),
	  PROXY_HEADER_BAD, "", "", 0 },
	{ S(V2 "\x21\x11\0\x0c\xc0\0\x02\x01\xc0\0\x02\x02\x9c\x40\0\x19"
	       "EHLO"),
	  PROXY_HEADER_OK, "192.0.2.1:40000", "192.0.2.2:25", 28 },
	{ S(V2 "\x21\x11\0\x0f\xc0\0\x02\x01\xc0\0\x02\x02\x9c\x40\0\x19\x04\0\0"), PROXY_HEADER_OK, "192.0.2.1:40000",
	  "192.0.2.2:25", 31 },
	{ S(V2 "\x21\x21\0\x24\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\2\x9c\x40"
	       "\0\x19"),
	  PROXY_HEADER_OK, "[2001:db8::1]:40000", "[2001:db8::2]:25", 52 },
	{ S(V2 "\x20\0\0\0"), PROXY_HEADER_LOCAL, "", "", 16 },
	{ S(V2 "\x21\0\0\0"), PROXY_HEADER_LOCAL, "", "", 16 },
	{ S(V2 "\x21\x11\0\x0c\xc0\0"), PROXY_HEADER_MORE, "", "", 0 },
	{ S(V2 "\x21"), PROXY_HEADER_MORE, "", "", 0 },
	{ S(V2 "\x31\x11\0\x0c"), PROXY_HEADER_BAD, "", "", 0 },
	{ S(V2 "\x22\x11\0\x0c"), PROXY_HEADER_BAD, "", "", 0 },
	{ S(V2 "\x21\x12\0\x0c\xc0\0\x02\x01\xc0\0\x02\x02\x9c\x40\0\x19"), PROXY_HEADER_BAD, "", "", 0 },
	{ S(V2 "\x21\x11\0\x04\xc0\0\x02\x01"), PROXY_HEADER_BAD, "", "", 0 },
	{ S(V2 "\x21\x11\xff\xff"), PROXY_HEADER_BAD, "", "", 0 },
};

static void test_headers(void **state) {
	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		struct addr client = { 0 }, own = { 0 };
		size_t used = 0;
		char a[ADDR_TEXT_ROOM], b[ADDR_TEXT_ROOM];
		if (proxy_header_parse(cases[i].in, &client, &own, &used) != cases[i].answer) fail_msg("case %zu", i);
		assert_int_equal(used, cases[i].used);
		if (cases[i].answer != PROXY_HEADER_OK) continue;
		assert_string_equal(addr_text_with_port(&client, a), cases[i].client);
		assert_string_equal(addr_text_with_port(&own, b), cases[i].own);
	}
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_headers) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
