/* SPDX-License-Identifier: Apache-2.0 */
#include "trust/report_write.h"

#include "base/test.h"

static struct report_reason reasons[] = { { S("sampled_out"), S("pct=50 & \"more\"") } };
static struct report_dkim dkims[] = { { S("a.example"), S("s1"), S("pass"), S("") } };
static struct report_spf spfs[] = { { S("b.example"), S("helo"), S("softfail"), S("") } };

static struct report_dmarc report_of(struct report_record *record) {
	*record = (struct report_record){ .source = S("192.0.2.1"),
					  .count = 7,
					  .disposition = S("reject"),
					  .dkim = S("fail"),
					  .spf = S("pass"),
					  .reasons = reasons,
					  .reasons_count = 1,
					  .header_from = S("a<b>\x01.example"),
					  .dkims = dkims,
					  .dkims_count = 1,
					  .spfs = spfs,
					  .spfs_count = 1 };
	return (struct report_dmarc){ .org = S("A & B"),
				      .email = S("x@y.example"),
				      .id = S("1.2@y.example"),
				      .begin_s = 100,
				      .end_s = 200,
				      .domain = S("a.example"),
				      .p = S("reject"),
				      .sp = S("none"),
				      .np = S("reject"),
				      .adkim = S("r"),
				      .aspf = S("s"),
				      .percent = S("50"),
				      .fo = S("1"),
				      .testing = S("y"),
				      .discovery = S("treewalk"),
				      .generator = S("hato"),
				      .records = record,
				      .records_count = 1 };
}

static void what_is_written_is_read(void **state) {
	(void)state;
	for (int form = 0; form < 2; form++) {
		AUTO_ARENA struct arena mem = { 0 };
		AUTO_BUF struct buf xml = BUF(MIB(1));
		struct report_record record;
		struct report_dmarc d = report_of(&record), again;
		struct slice reason = S("");
		report_write_xml(&xml, &d, (enum report_form)form);
		assert_true(report_read_xml(buf_slice(&xml), &mem, &again, &reason));
		assert_false(again.repaired);
		const struct report_record *r = &again.records[0];
		assert_true(again.records_count == 1 && r->count == 7 && slice_eq(again.org, d.org) &&
			    again.end_s == 200);
		assert_true(slice_eq(r->header_from, S("a<b>?.example")) &&
			    slice_eq(r->reasons[0].comment, reasons[0].comment));
		bool new_form = form == REPORT_FORM_RFC9990;
		assert_true(slice_eq(r->reasons[0].type, new_form ? S("policy_test_mode") : S("sampled_out")));
		assert_true(slice_eq(r->spfs[0].scope, new_form ? S("mfrom") : S("helo")));
		assert_true(slice_eq(again.np, new_form ? S("reject") : S("")) &&
			    slice_eq(again.percent, new_form ? S("") : S("50")));
	}
}

static void targets(void **state) {
	(void)state;
	AUTO_ARENA struct arena mem = { 0 };
	struct report_target t[REPORT_TARGETS_MAX];
	assert_int_equal(
		report_targets(S("mailto:a@B.example!10m , "
				 "MAILTO:c%2Bd@e.example!7,https://x.example/,mailto:a@b.example,mailto:,mailto:x,"
				 "mailto:a@b.example!q,mailto:q%zz@b.example,mailto:u@v.example?subject=x"),
			       &mem, t),
		3);
	assert_true(slice_eq(t[0].address, S("a@B.example")) && slice_eq(t[0].host, S("b.example")) &&
		    t[0].limit == 10 << 20);
	assert_true(t[1].limit == 7 && slice_eq(t[1].host, S("e.example")));
	assert_true(slice_eq(t[2].address, S("u@v.example")) && t[2].limit == 0);
	assert_int_equal(report_targets(S(""), &mem, t), 0);
	assert_int_equal(report_targets(SLICE_NONE, &mem, t), 0);
}

/* How many addresses the host prefers; -1: not permitted. */
static int permits(struct slice record, struct report_target others[static REPORT_TARGETS_MAX]) {
	static struct arena mem;
	size_t n;
	return report_permitted(&record, 1, S("r.example"), false, &mem, others, &n) ? (int)n : -1;
}

static void permission(void **state) {
	(void)state;
	AUTO_ARENA struct arena mem = { 0 };
	struct report_target others[REPORT_TARGETS_MAX];
	struct slice name;
	assert_int_equal(permits(S("v=DMARC1"), others), 0);
	assert_int_equal(permits(S(" v = DMARC1 ; rua = mailto:x@r.example!5m"), others), 1);
	assert_true(slice_eq(others[0].address, S("x@r.example")));
	assert_int_equal(permits(S("v=DMARC1; rua=mailto:x@r.example,mailto:y@r.example;"), others), 2);
	assert_true(slice_eq(others[1].address, S("y@r.example")));
	assert_int_equal(permits(S("v=DMARC1; rua=mailto:x@victim.example"), others), -1);
	assert_int_equal(permits(S("v=DMARC1; rua=mailto:x@r.example,mailto:x@victim.example"), others), -1);
	assert_int_equal(permits(S("v=DMARC1; rua="), others), -1);
	assert_int_equal(permits(S("v=DMARC2"), others), -1);
	assert_int_equal(permits(S("v=spf1 -all"), others), -1);
	assert_int_equal(permits(S(""), others), -1);
	assert_true(report_permission_name(S("a.example"), S("r.example"), &mem, &name));
	assert_true(slice_eq(name, S("a.example._report._dmarc.r.example")));
	char longest[240];
	memset(longest, 'x', sizeof longest);
	assert_false(report_permission_name(slice_from(longest, sizeof longest), S("r.example"), &mem, &name));
}

static void a_mail_is_found_to_be_one(void **state) {
	(void)state;
	AUTO_ARENA struct arena mem = { 0 };
	AUTO_BUF struct buf packed = BUF(MIB(1));
	AUTO_BUF struct buf mail = BUF(MIB(1));
	struct report_record record;
	struct report_dmarc d = report_of(&record);
	struct report_mail m = { .report = &d,
				 .submitter = S("y.example"),
				 .sender = S("x@y.example"),
				 .to = S("r@a.example"),
				 .host = S("mx.y.example") };
	struct report_list list;
	assert_int_equal(report_gzip(&m, &packed), 0);
	report_compose(&mail, &m, buf_slice(&packed), &mem);
	report_read(buf_slice(&mail), &mem, &list);
	assert_true(list.items_count == 1 && list.items[0].kind == REPORT_DMARC);
	assert_true(slice_eq(list.items[0].file, S("y.example!a.example!100!200.xml.gz")));
	assert_true(slice_eq(list.items[0].dmarc.id, S("1.2@y.example")));
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_read), cmocka_unit_test(targets), cmocka_unit_test(permission),
		cmocka_unit_test(a_mail_is_found_to_be_one),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
