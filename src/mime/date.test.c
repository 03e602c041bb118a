/* SPDX-License-Identifier: Apache-2.0 */
#include "mime/date.h"
#include "mime/test.h"

static const struct {
	const char *text, *wanted; /* wanted: as date_add writes it; NULL: no date */
} dates[] = {
	{ "Tue, 1 Jul 2003 10:52:37 +0200", "Tue, 1 Jul 2003 10:52:37 +0200" },
	{ "1 Jul 2003 10:52 +0200", "Tue, 1 Jul 2003 10:52:00 +0200" },
	{ "21 Nov 97 09:55:06 GMT", "Fri, 21 Nov 1997 09:55:06 +0000" },
	{ "21 Nov 126 09:55:06 EST", "Sat, 21 Nov 2026 09:55:06 -0500" },
	{ "21 Nov 49 09:55:06 Z", "Sun, 21 Nov 2049 09:55:06 +0000" },
	{ "Fri, 21 Nov 1997 09(comment):   55  :  06 -0600", "Fri, 21 Nov 1997 09:55:06 -0600" },
	{ "Thu,\r\n 13\r\n Feb\r\n 1969\r\n 23:32\r\n -0330 (Newfoundland Time)", "Thu, 13 Feb 1969 23:32:00 -0330" },
	{ "Wed Nov 21 09:55:06 2001", "Wed, 21 Nov 2001 09:55:06 +0000" },
	{ "21-Nov-1997 09:55:06 JST", "Fri, 21 Nov 1997 09:55:06 +0900" },
	{ "Sat, 29 Feb 2020 23:59:60 +0000", "Sat, 29 Feb 2020 23:59:59 +0000" },
	{ "Mon, 1 January 1900 00:00:00 +0000", "Mon, 1 Jan 1900 00:00:00 +0000" },
	{ "Fri, 31 Dec 9999 23:59:59 -0100", "Fri, 31 Dec 9999 23:59:59 -0100" },
	{ "Thu, 22 Nov 2026 04:31:39 GMT+0900", "Sun, 22 Nov 2026 04:31:39 +0900" },
	{ "Sat, 29 Feb 2021 00:00:00 +0000", NULL },
	{ "Tue, 32 Jul 2003 10:52:37 +0200", NULL },
	{ "Tue, 1 Jul 2003 25:52:37 +0200", "Tue, 1 Jul 2003 00:00:00 +0200" },
	{ "some numbers 0 1 2 but invalid", NULL },
	{ "", NULL },
	{ "((((", NULL },
	{ "99999999999999999999 Jan 1", NULL },
};

static void parses(void **state) {
	(void)state;
	for (size_t i = 0; i < LEN(dates); i++) {
		AUTO_BUF struct buf text = BUF(100);
		struct date d = { 1, 1 };
		enum date_answer r = date_parse(slice_of(dates[i].text), &d);
		if (r == DATE_OK) date_add(&text, d);
		else assert_true(d.utc == 1 && d.zone == 1);
		same_text(buf_slice(&text), dates[i].wanted != NULL ? dates[i].wanted : "");
	}
}

static const struct {
	const char *text;
	int64_t utc;
	int zone;
} internal[] = {
	{ "22-Nov-2026 04:31:39 +0000", 1795321899, 0 },
	{ " 1-Jan-1970 09:00:00 +0900", 0, 540 },
	{ "01-Feb-2024 00:00:00 -0130", 1706751000, -90 },
	{ "1-Jan-1970 00:00:00 +0000", 0, 0 },
	{ "22-Nov-2026 04:31:39", -1, 0 },
	{ "22-Nov-26 04:31:39 +0000", -1, 0 },
	{ "22-Nix-2026 04:31:39 +0000", -1, 0 },
	{ "22-Nov-2026 04:31:39 +0060", -1, 0 },
	{ "", -1, 0 },
	{ "22-Nov-2026 04:31:39 +00000", -1, 0 },
};

static void internal_dates(void **state) {
	(void)state;
	for (size_t i = 0; i < LEN(internal); i++) {
		struct date d = { -1, 0 };
		enum date_answer r = date_parse_internal(slice_of(internal[i].text), &d);
		assert_int_equal(r, internal[i].utc < 0 ? DATE_BAD : DATE_OK);
		assert_true(d.utc == internal[i].utc && d.zone == internal[i].zone);
	}
	AUTO_BUF struct buf text = BUF(200);
	date_add_internal(&text, (struct date){ 0, 540 });
	buf_byte(&text, '|');
	date_add_internal(&text, (struct date){ 1795321899, 0 });
	buf_byte(&text, '|');
	date_add_day(&text, 1795321899);
	buf_byte(&text, '|');
	date_add_utc(&text, 1795321899);
	same_text(buf_slice(&text), " 1-Jan-1970 09:00:00 +0900|22-Nov-2026 04:31:39 +0000|22-Nov-2026|Sun, 22 Nov "
				    "2026 04:31:39 +0000 (UTC)");
}

static void days(void **state) {
	(void)state;
	int64_t day;
	assert_int_equal(date_parse_day(S("22-Nov-2026"), &day), DATE_OK);
	assert_true(day == 1795305600);
	assert_int_equal(date_parse_day(S("1-Nov-2026"), &day), DATE_OK);
	assert_int_equal(date_parse_day(S("1-Nov-2026 "), &day), DATE_BAD);
	assert_int_equal(date_parse_day(S("31-Nov-2026"), &day), DATE_BAD);
	for (int64_t d = -800000; d < 2900000; d += 97) {
		int y, m, n;
		days_split(d, &y, &m, &n);
		assert_true(days_of(y, m, n) == d);
	}
	AUTO_BUF struct buf text = BUF(200);
	date_add(&text, (struct date){ INT64_MAX, 0 });
	date_add(&text, (struct date){ INT64_MIN, -600 });
	assert_false(text.full);
	struct date local = date_local(1795321899);
	assert_true(local.utc == 1795321899 && local.zone > -1440 && local.zone < 1440);
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(parses), cmocka_unit_test(internal_dates),
		cmocka_unit_test(days) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
