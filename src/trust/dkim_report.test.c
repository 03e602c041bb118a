/* SPDX-License-Identifier: Apache-2.0 */
#include "trust/dkim_report.h"

#include "base/test.h"

static const struct {
	const char *text, *local, *reply;
	unsigned percent;
	const char *wanted;        /* letters */
} good[] = {
	{ "ra=dkim-errors", "dkim-errors", "", 100, "vxsdpo" },
	{ "ra=a; rp=7; rr=v:x", "a", "", 7, "vx" },
	{ "ra=a=2Bb; rr= S : d ;rs=bad=20signature=3B mend=20it;", "a+b", "bad signature;mend it", 100, "sd" },
	{ "ra=a; rr=all; rp=0; future=1", "a", "", 0, "vxsdpo" },
	{ "ra=a; rr=; rs==0D=0A250=20ok", "a", "", 100, "" }, /* no line of ours ends where a stranger wants it */
	{ "ra=a; rs==G0", "a", "", 100, "vxsdpo" },
	{ "rs=mend=20it; rr=x; rp=0", "", "mend it", 100, "vxsdpo" }, /* rr and rp are ra's */
};
static const char *const bad[] = { "", "ra=", "rp=10", "rs=", "ra=a@b", "ra=a=40b", "ra=a; rp=101", "ra=a; rp=-1",
				   "ra=a=0Ab", "ra=a=2", "ra=a=20b", "ra=a; ra=b", "v=DKIM1", "hello",
				   "ra=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" };

static const struct { char letter; enum dkim_fault fault; } faults[] = {
	{ 'v', DKIM_FAULT_BODY },   { 'v', DKIM_FAULT_SIGNATURE }, { 'x', DKIM_FAULT_EXPIRED },
	{ 's', DKIM_FAULT_SYNTAX }, { 'd', DKIM_FAULT_DNS },       { 'p', DKIM_FAULT_POLICY },
	{ 'o', DKIM_FAULT_REVOKED }, { 'o', DKIM_FAULT_OTHER },
};

static void records(void **state) {
	(void)state;
	for (size_t i = 0; i < LEN(good); i++) {
		AUTO_ARENA struct arena mem = { 0 };
		struct dkim_report_record r;
		assert_true(dkim_report_parse(slice_of(good[i].text), &mem, &r));
		assert_true(slice_eq(r.local, slice_of(good[i].local)) && slice_eq(r.text, slice_of(good[i].reply)));
		assert_int_equal(r.percent, good[i].percent);
		assert_false(dkim_report_wants(&r, DKIM_FAULT_NONE) || dkim_report_due(&r, DKIM_FAULT_NONE));
		assert_int_equal(r.percent == 100 && dkim_report_wants(&r, DKIM_FAULT_BODY),
				 r.percent != 7 && dkim_report_due(&r, DKIM_FAULT_BODY));
		for (size_t k = 0; k < LEN(faults); k++)
			assert_int_equal(dkim_report_wants(&r, faults[k].fault),
					 strchr(good[i].wanted, faults[k].letter) != NULL);
	}
	for (size_t i = 0; i < LEN(bad); i++) {
		AUTO_ARENA struct arena mem = { 0 };
		struct dkim_report_record r;
		assert_false(dkim_report_parse(slice_of(bad[i]), &mem, &r));
	}
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(records) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
