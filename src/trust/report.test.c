/* SPDX-License-Identifier: Apache-2.0 */
#include "trust/report.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <zlib.h>

#include "base/test.h"

static const char feedback[] =
	"<?xml version=\"1.0\"?><feedback "
	"xmlns=\"urn:ietf:params:xml:ns:dmarc-2.0\"><report_metadata><org_name>Org</org_name>"
	"<email>a@b.example</email><report_id>7</report_id><date_range><begin>100</begin><end>200.0</end></"
	"date_range></report_metadata>"
	"<policy_published><domain>Example.COM</domain><p>Reject</p><np>none</np><testing>n</testing></"
	"policy_published>"
	"<record><row><source_ip>192.0.2.1</source_ip><count>3</count><policy_evaluated><disposition>pass</"
	"disposition><dkim>PASS</dkim>"
	"<spf>fail</spf><reason><type>other</type><comment>a &amp; b</comment></reason></policy_evaluated></row>"
	"<identifiers><header_from>example.com</header_from></identifiers><auth_results><dkim><domain>x.example</"
	"domain>"
	"<selector>S1</selector><result>pass</result></dkim><spf><domain>y.example</domain><result>softfail</result></"
	"spf></auth_results>"
	"</record></feedback>";

static struct slice why_not(const char *xml) {
	static struct arena mem;
	struct report_dmarc d;
	struct slice reason = S("");
	return report_read_xml(slice_of(xml), &mem, &d, &reason) ? S("") : reason;
}

static void fields_are_found(void **state) {
	(void)state;
	AUTO_ARENA struct arena mem = { 0 };
	struct report_list l;
	report_read(slice_of(feedback), &mem, &l);
	assert_int_equal(l.items_count, 1);
	assert_int_equal(l.items[0].kind, REPORT_DMARC);
	const struct report_dmarc *d = &l.items[0].dmarc;
	assert_true(slice_eq(d->domain, S("example.com")) && slice_eq(d->p, S("reject")) && slice_eq(d->np, S("none")));
	assert_true(d->begin_s == 100 && d->end_s == 200 && !d->repaired);
	assert_int_equal(d->records_count, 1);
	const struct report_record *r = &d->records[0];
	assert_true(r->count == 3 && slice_eq(r->dkim, S("pass")) && slice_eq(r->spf, S("fail")));
	assert_true(r->reasons_count == 1 && slice_eq(r->reasons[0].comment, S("a & b")));
	assert_true(r->dkims_count == 1 && slice_eq(r->dkims[0].selector, S("S1")));
	assert_true(r->spfs_count == 1 && slice_eq(r->spfs[0].result, S("softfail")));
}

static void hostile_xml_is_refused(void **state) {
	(void)state;
	const char *laughs = "<!DOCTYPE f [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;&a;\"><!ENTITY c "
			     "\"&b;&b;&b;&b;\">]><feedback>&c;</feedback>";
	assert_true(slice_search(why_not(laughs), S("document type")) < 100);
	assert_true(slice_search(why_not("<!DOCTYPE f SYSTEM \"file:///etc/passwd\"><feedback/>"), S("document type")) <
		    100);
	assert_true(slice_search(why_not("<html/>"), S("no <feedback>")) < 100);
	assert_true(why_not("").len != 0);
	assert_true(slice_search(why_not("<feedback><policy_published><domain>a</domain>"), S("ends in the middle")) <
		    100);
	AUTO_BUF struct buf deep = BUF(MIB(1));
	buf_add(&deep, S("<feedback>"));
	for (int i = 0; i < 5000; i++) buf_add(&deep, S("<a>"));
	assert_true(slice_search(why_not(buf_text(&deep)), S("deeper")) < 100);
}

static void many_records_are_refused(void **state) {
	(void)state;
	AUTO_ARENA struct arena mem = { 0 };
	AUTO_BUF struct buf b = BUF(MIB(8));
	struct report_dmarc d;
	struct slice reason;
	buf_add(&b, S("<feedback>"));
	for (int i = 0; i <= REPORT_RECORDS_MAX; i++) buf_add(&b, S("<record></record>"));
	buf_add(&b, S("</feedback>"));
	assert_false(report_read_xml(buf_slice(&b), &mem, &d, &reason));
	assert_true(slice_eq(reason, S("more records than are read")));
}

static void deflated(struct buf *out, struct slice plain, int bits) {
	z_stream z = { .next_in = (Bytef *)(uintptr_t)plain.at, .avail_in = (uInt)plain.len };
	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, bits, 9, Z_DEFAULT_STRATEGY), Z_OK);
	size_t room = deflateBound(&z, plain.len) + 64;
	z.next_out = (Bytef *)buf_room(out, room);
	z.avail_out = (uInt)room;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	out->len += room - z.avail_out;
	deflateEnd(&z);
}

static struct slice gzip_reason(struct slice plain, struct arena *mem) {
	AUTO_BUF struct buf packed = BUF(MIB(200));
	struct report_list l;
	deflated(&packed, plain, 31);
	report_read(buf_slice(&packed), mem, &l);
	assert_int_equal(l.items_count, 1);
	return l.items[0].kind == REPORT_REFUSED ? l.items[0].reason : S("");
}

static void bombs_do_not_go_off(void **state) {
	(void)state;
	AUTO_ARENA struct arena mem = { 0 };
	AUTO_BUF struct buf big = BUF(MIB(100));
	AUTO_BUF struct buf inner = BUF(MIB(1));
	assert_true(gzip_reason(slice_of(feedback), &mem).len == 0);
	memset(buf_room(&big, MIB(90)), ' ', MIB(90));
	big.len = MIB(90);
	assert_true(slice_search(gzip_reason(buf_slice(&big), &mem), S("bomb")) < 200);
	deflated(&inner, slice_of(feedback), 31);
	assert_true(slice_search(gzip_reason(buf_slice(&inner), &mem), S("inside an archive")) < 200);
	struct report_list l;
	report_read(slice_head(buf_slice(&inner), inner.len - 20), &mem, &l);
	assert_true(l.items_count == 1 && l.items[0].kind == REPORT_REFUSED);
}

static void odd_json(void **state) {
	(void)state;
	AUTO_ARENA struct arena mem = { 0 };
	AUTO_BUF struct buf deep = BUF(MIB(4));
	struct report_tls t;
	struct slice reason;
	for (int i = 0; i < 300000; i++) buf_byte(&deep, '[');
	assert_false(report_read_json(buf_slice(&deep), &mem, &t, &reason));
	assert_false(report_read_json(S("{\"a\":1}"), &mem, &t, &reason));
	assert_false(report_read_json(S("{\"a\":"), &mem, &t, &reason));
	assert_true(report_read_json(
		S("{\"policies\":{\"policy\":{\"policy-type\":\"sts\",\"policy-string\":\"mode: enforce\"},\"summary\":"
		  "{\"total-failure-session-count\":\"4\"}},\"date-range\":{\"start-datetime\":\"1970-01-01T01:00:10+"
		  "01:00\"}}"),
		&mem, &t, &reason));
	assert_true(t.policies_count == 1 && t.policies[0].failures == 4 && t.policies[0].strings_count == 1 &&
		    t.begin_s == 10);
}

/* All the samples: read, or refused with a reason. */
struct count { size_t files, kinds[4]; };

static void read_sample(const char *path, struct count *n) {
	AUTO_ARENA struct arena mem = { 0 };
	AUTO_BUF struct buf bytes = BUF(MIB(16)), packed = BUF(MIB(64));
	AUTO_FD int fd = open(path, O_RDONLY);
	struct report_list l, again;
	char *room = buf_room(&bytes, MIB(4));
	ssize_t got = read(fd, room, MIB(4));
	assert_true(got >= 0);
	bytes.len = (size_t)got;
	report_read(buf_slice(&bytes), &mem, &l);
	n->files++;
	if (l.items_count == 0) print_message("  %s: %.*s\n", strrchr(path, '/') + 1, SLICE_ARG(l.nothing));
	n->kinds[REPORT_REFUSED] += l.items_count == 0;
	for (size_t i = 0; i < l.items_count; i++) {
		n->kinds[l.items[i].kind]++;
		if (l.items[i].kind != REPORT_REFUSED) continue;
		assert_true(l.items[i].reason.len != 0);
		print_message("  %s: %.*s\n", strrchr(path, '/') + 1, SLICE_ARG(l.items[i].reason));
	}
	report_list_pack(&packed, &l);
	struct unwire in = UNWIRE(buf_slice(&packed), &mem);
	report_list_unpack(&in, &again);
	assert_true(!in.bad && again.items_count == l.items_count);
}

static void walk(const char *dir, struct count *n) {
	DIR *d = opendir(dir);
	assert_non_null(d);
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		char path[4096];
		struct stat st;
		if (e->d_name[0] == '.' || strcmp(e->d_name, "SOURCE") == 0) continue;
		snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
		if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) walk(path, n);
		/* what another program is expected to say of a mail beside it */
		else if (!(strstr(path, "mail-auth") != NULL && slice_ends(slice_of(path), S(".json")) &&
			   strstr(path, "/tlsrpt/") == NULL))
			read_sample(path, n);
	}
	closedir(d);
}

static void samples(void **state) {
	(void)state;
	char dir[4096];
	const char *slash = strrchr(__FILE__, '/');
	struct count n = { 0 };
	snprintf(dir, sizeof dir, "%.*s/../../tests/data/reports", (int)(slash - __FILE__), __FILE__);
	walk(dir, &n);
	print_message("report samples: %zu files: %zu DMARC, %zu TLS, %zu ARF, %zu refused with a reason\n", n.files,
		      n.kinds[REPORT_DMARC], n.kinds[REPORT_TLS], n.kinds[REPORT_ARF], n.kinds[REPORT_REFUSED]);
	assert_int_equal(n.kinds[REPORT_REFUSED], 0);
	assert_true(n.kinds[REPORT_DMARC] >= 18 && n.kinds[REPORT_TLS] >= 6 && n.kinds[REPORT_ARF] >= 6);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_are_found),
		cmocka_unit_test(hostile_xml_is_refused),
		cmocka_unit_test(many_records_are_refused),
		cmocka_unit_test(bombs_do_not_go_off),
		cmocka_unit_test(odd_json),
		cmocka_unit_test(samples),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
