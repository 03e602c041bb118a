/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/hosts_fake.test.h"

static const struct fake_record fake_zone[] = {
	{ "one.test", "MX 10 mx.one.test" }, { "mx.one.test", "A 192.0.2.1" },
	{ "order.test", "MX 30 c.test" }, { "order.test", "MX 10 a.test" }, { "order.test", "MX 20 b.test" },
	{ "a.test", "A 192.0.2.11" }, { "b.test", "A 192.0.2.12" }, { "c.test", "A 192.0.2.13" },
	{ "equal.test", "MX 5 a.test" }, { "equal.test", "MX 5 b.test" }, { "equal.test", "MX 5 c.test" },
	{ "bare.test", "A 192.0.2.2" }, { "bare.test", "AAAA 2001:db8::2" },
	{ "null.test", "MX 0 ." },
	{ "nothing.test", "TXT x" },
	{ "later.test", "LATER" },
	{ "mxlater.test", "MX 10 later.test" },
	{ "halflater.test", "MX 10 later.test" }, { "halflater.test", "MX 20 a.test" },
	{ "lost.test", "MX 10 nowhere.test" },
	{ "me.test", "MX 10 mail.me.test" }, { "mail.me.test", "A 192.0.2.99" },
	{ "backup.test", "MX 10 a.test" }, { "backup.test", "MX 20 mail.me.test" }, { "backup.test", "MX 30 b.test" },
	{ "byaddr.test", "MX 10 a.test" }, { "byaddr.test", "MX 20 alias.test" }, { "alias.test", "A 192.0.2.99" },
	{ "deadbetter.test", "MX 10 nowhere.test" }, { "deadbetter.test", "MX 20 mail.me.test" },
	{ "local.test", "A 127.0.0.1" },
	{ "_submission._tcp.srv.test", "SRV 0 1 2587 a.test" }, { "_submission._tcp.srv.test", "SRV 1 1 587 b.test" },
	{ "_submission._tcp.off.test", "SRV 0 0 0 ." },
	{ "_submission._tcp.srvlater.test", "LATER" }, { "srvlater.test", "MX 10 a.test" },
	{ "mxfails.test", "LATER" }, { "mxfails.test", "A 192.0.2.5" },
	{ "both.test", "AAAA 2001:db8::1" }, { "both.test", "AAAA 2001:db8::2" }, { "both.test", "AAAA 2001:db8::3" },
	{ "both.test", "A 192.0.2.1" }, { "both.test", "A 192.0.2.2" }, { "both.test", "A 192.0.2.3" },
	{ "short.corp.test", "MX 10 a.test" }, { "relay.corp.test", "A 192.0.2.21" },
	{ "sub.far.deep.test", "A 192.0.2.22" },
	{ NULL, NULL },
};

static const struct {
	const char *next_hop;
	enum smtp_hosts_answer answer;
	const char *status, *text; /* for SMTP_HOSTS_OK, text is the list with ports */
} cases[] = {
	{ "one.test", SMTP_HOSTS_OK, "", "mx.one.test=192.0.2.1:25" },
	{ "ONE.test.", SMTP_HOSTS_OK, "", "mx.one.test=192.0.2.1:25" },
	{ "one.test:2525", SMTP_HOSTS_OK, "", "mx.one.test=192.0.2.1:2525" },
	{ "one.test:smtp", SMTP_HOSTS_OK, "", "mx.one.test=192.0.2.1:25" },
	{ "inet:one.test:26", SMTP_HOSTS_OK, "", "mx.one.test=192.0.2.1:26" },
	{ "[a.test]", SMTP_HOSTS_OK, "", "a.test=192.0.2.11:25" },
	{ "[a.test]:587", SMTP_HOSTS_OK, "", "a.test=192.0.2.11:587" },
	{ "[a.test]:submission", SMTP_HOSTS_OK, "", "a.test=192.0.2.11:587" },
	{ "[192.0.2.7]", SMTP_HOSTS_OK, "", "192.0.2.7=192.0.2.7:25" },
	{ "[192.0.2.7]:26", SMTP_HOSTS_OK, "", "192.0.2.7=192.0.2.7:26" },
	{ "192.0.2.7:26", SMTP_HOSTS_OK, "", "192.0.2.7=192.0.2.7:26" },
	{ "[IPv6:2001:db8::7]:26", SMTP_HOSTS_OK, "", "2001:db8::7=[2001:db8::7]:26" },
	{ "[2001:db8::7]", SMTP_HOSTS_OK, "", "2001:db8::7=[2001:db8::7]:25" },
	{ "unix:/run/lmtp", SMTP_HOSTS_OK, "", "/run/lmtp" },
	{ "order.test", SMTP_HOSTS_OK, "", "a.test=192.0.2.11:25 b.test=192.0.2.12:25 c.test=192.0.2.13:25" },
	{ "bare.test", SMTP_HOSTS_OK, "", "bare.test=[2001:db8::2]:25 bare.test=192.0.2.2:25" },
	{ "null.test", SMTP_HOSTS_NULL_MX, "5.1.10", "Domain null.test does not accept mail (nullMX)" },
	{ "nowhere.test", SMTP_HOSTS_NONE, "5.4.4",
	  "Host or domain name not found. Name service error for name=nowhere.test type=MX: Host not found" },
	{ "[nowhere.test]", SMTP_HOSTS_NONE, "5.4.4",
	  "Host or domain name not found. Name service error for name=nowhere.test type=AAAA: Host not found" },
	{ "nothing.test", SMTP_HOSTS_NONE, "5.4.4",
	  "Host or domain name not found. Name service error for name=nothing.test type=AAAA: Host found but no data "
	  "record of requested type" },
	{ "lost.test", SMTP_HOSTS_NONE, "5.4.4",
	  "Host or domain name not found. Name service error for name=nowhere.test type=AAAA: Host not found" },
	{ "later.test", SMTP_HOSTS_LATER, "4.4.3",
	  "Host or domain name not found. Name service error for name=later.test type=MX: Host not found, try again" },
	{ "mxlater.test", SMTP_HOSTS_LATER, "4.4.3",
	  "Host or domain name not found. Name service error for name=later.test type=AAAA: Host not found, try "
	  "again" },
	{ "halflater.test", SMTP_HOSTS_OK, "", "a.test=192.0.2.11:25" },
	{ "me.test", SMTP_HOSTS_LOOPS, "5.4.6", "mail for me.test loops back to myself" },
	{ "me.test:2525", SMTP_HOSTS_OK, "", "mail.me.test=192.0.2.99:2525" },
	{ "[mail.me.test]", SMTP_HOSTS_LOOPS, "5.4.6", "mail for mail.me.test loops back to myself" },
	{ "[mail.me.test]:10025", SMTP_HOSTS_OK, "", "mail.me.test=192.0.2.99:10025" },
	{ "[192.0.2.99]:25", SMTP_HOSTS_LOOPS, "5.4.6", "mail for 192.0.2.99 loops back to myself" },
	{ "backup.test", SMTP_HOSTS_OK, "", "a.test=192.0.2.11:25" },
	{ "byaddr.test", SMTP_HOSTS_OK, "", "a.test=192.0.2.11:25" },
	{ "deadbetter.test", SMTP_HOSTS_LATER, "4.4.4", "unable to find primary relay for deadbetter.test" },
	{ "local.test:2500", SMTP_HOSTS_LOOPS, "5.4.6",
	  "mail for local.test loops back to myself" }, /* through own 0.0.0.0:2500 */
	{ "local.test:2501", SMTP_HOSTS_OK, "", "local.test=127.0.0.1:2501" },
	{ "both.test", SMTP_HOSTS_OK, "",
	  "both.test=[2001:db8::1]:25 both.test=192.0.2.1:25 both.test=[2001:db8::2]:25 both.test=192.0.2.2:25 "
	  "both.test=[2001:db8::3]:25" },
	{ "", SMTP_HOSTS_BAD, "5.1.2", "bad destination host name: " },
	{ "[]", SMTP_HOSTS_BAD, "5.1.2", "bad destination host name: []" },
	{ "[one.test", SMTP_HOSTS_BAD, "5.1.2", "bad destination host name: [one.test" },
	{ "one.test:0", SMTP_HOSTS_BAD, "5.1.2", "bad destination host name: one.test:0" },
	{ "one.test:99999", SMTP_HOSTS_BAD, "5.1.2", "bad destination host name: one.test:99999" },
	{ "two words", SMTP_HOSTS_BAD, "5.1.2", "bad destination host name: two words" },
	{ "unix:", SMTP_HOSTS_BAD, "5.1.2", "bad destination host name: unix:" },
};

static const struct slice own_names[] = { { "mail.me.test", 12 } };

static struct smtp_hosts_params params_for_tests(struct addr own[2]) {
	assert_true(addr_parse(S("192.0.2.99:25"), &own[0]));
	assert_true(addr_parse(S("0.0.0.0:2500"), &own[1]));
	return (struct smtp_hosts_params){ .keep_order = true,
		.own_names = own_names,
		.own_names_count = 1,
		.own_addresses = own,
		.own_addresses_count = 2 };
}

static struct slice list_text(const struct smtp_hosts *h, struct arena *mem) {
	struct slice text = S("");
	char room[ADDR_TEXT_ROOM];
	for (size_t i = 0; i < h->count; i++) {
		const struct smtp_host *host = &h->list[i];
		text = host->path.len > 0 ? host->path
					  : arena_fmt(mem, "%.*s%s%.*s=%s", SLICE_ARG(text), i > 0 ? " " : "",
						    SLICE_ARG(host->name), addr_text_with_port(&host->addr, room));
	}
	return text;
}

static void test_answers(void **state) {
	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		AUTO_ARENA struct arena mem = { 0 };
		struct addr own[2];
		struct smtp_hosts_params params = params_for_tests(own);
		struct smtp_hosts hosts;
		enum smtp_hosts_answer a = smtp_hosts_find(&params, slice_of(cases[i].next_hop), &mem, &hosts);
		struct slice text = a == SMTP_HOSTS_OK ? list_text(&hosts, &mem) : hosts.text;
		if (a != cases[i].answer || strcmp(hosts.status, cases[i].status) != 0 ||
		    !slice_eq(text, slice_of(cases[i].text)))
			FAIL("\"%s\": %d %s %.*s", cases[i].next_hop, (int)a, hosts.status, SLICE_ARG(text));
	}
}

static void test_short_names(void **state) {
	(void)state;
	static const struct slice search[] = { { "corp.test", 9 }, { "deep.test", 9 } };
	static const struct {
		bool first, all;
		const char *next_hop, *text;
	} names[] = {
		{ false, false, "short", "" },
		{ false, false, "[relay]", "" },
		{ true, false, "short", "a.test=192.0.2.11:25" },
		{ true, false, "[relay]", "relay.corp.test=192.0.2.21:25" },
		{ true, false, "relay", "relay.corp.test=192.0.2.21:25" },
		{ true, false, "[sub.far]", "" },
		{ true, true, "[sub.far]", "sub.far.deep.test=192.0.2.22:25" },
		{ false, true, "[sub.far]", "sub.far.deep.test=192.0.2.22:25" },
		{ false, true, "one.test", "mx.one.test=192.0.2.1:25" },
	};
	for (size_t i = 0; i < LEN(names); i++) {
		AUTO_ARENA struct arena mem = { 0 };
		struct smtp_hosts_params params = { .keep_order = true, .search = search, .search_count = LEN(search),
						    .default_domain = names[i].first, .search_domains = names[i].all };
		struct smtp_hosts hosts;
		enum smtp_hosts_answer a = smtp_hosts_find(&params, slice_of(names[i].next_hop), &mem, &hosts);
		struct slice text = a == SMTP_HOSTS_OK ? list_text(&hosts, &mem) : S("");
		if (!slice_eq(text, slice_of(names[i].text))) FAIL("%zu: \"%.*s\"", i, SLICE_ARG(text));
	}
}

static void test_families(void **state) {
	(void)state;
	static const struct {
		struct smtp_hosts_params params;
		const char *next_hop, *text;
	} families[] = {
		{ { .keep_order = true, .no_ipv6 = true }, "bare.test", "bare.test=192.0.2.2:25" },
		{ { .keep_order = true, .no_ipv4 = true }, "bare.test", "bare.test=[2001:db8::2]:25" },
		{ { .keep_order = true, .preference = SMTP_PREFER_IPV4, .address_limit = 3 }, "both.test",
		  "both.test=192.0.2.1:25 both.test=[2001:db8::1]:25 both.test=192.0.2.2:25" },
		{ { .keep_order = true, .port = 24 }, "[a.test]", "a.test=192.0.2.11:24" },
		{ { .no_ipv6 = true }, "[2001:db8::1]", "" },
	};
	for (size_t i = 0; i < LEN(families); i++) {
		AUTO_ARENA struct arena mem = { 0 };
		struct smtp_hosts hosts;
		smtp_hosts_find(&families[i].params, slice_of(families[i].next_hop), &mem, &hosts);
		struct slice text = list_text(&hosts, &mem);
		if (!slice_eq(text, slice_of(families[i].text))) FAIL("case %zu: %.*s", i, SLICE_ARG(text));
	}
}

/* Records of a.test and MX hosts at 10 are left out. */
static int ignore_some(void *ctx, struct slice record, struct arena *mem UNUSED) {
	if (slice_starts(record, S("both.test. 0 IN AAAA 2001:db8::1"))) return -1;
	return slice_starts(record, S("a.test. 0 IN A 192.0.2.11")) ||
	       (ctx != NULL && slice_search(record, S(" IN MX 10 ")) < record.len);
}

static const struct slice services[] = { { "submission", 10 } };
static int more;

static const struct {
	struct smtp_hosts_params params;
	const char *next_hop;
	enum smtp_hosts_answer answer;
	const char *status, *text;
} wishes[] = {
	{ { .keep_order = true, .srv_services = services, .srv_services_count = 1 },
	  "srv.test:submission",
	  SMTP_HOSTS_OK,
	  "",
	  "a.test=192.0.2.11:2587 b.test=192.0.2.12:587" },
	{ { .keep_order = true, .srv_services = services, .srv_services_count = 1 },
	  "off.test:submission",
	  SMTP_HOSTS_NULL_MX,
	  "5.1.10",
	  "Domain off.test does not support service submission" },
	{ { .keep_order = true, .srv_services = services, .srv_services_count = 1 },
	  "[a.test]:submission",
	  SMTP_HOSTS_OK,
	  "",
	  "a.test=192.0.2.11:587" },
	{ { .keep_order = true, .srv_services = services, .srv_services_count = 1 },
	  "a.test:587",
	  SMTP_HOSTS_OK,
	  "",
	  "a.test=192.0.2.11:587" },
	{ { .keep_order = true, .srv_services = services, .srv_services_count = 1 },
	  "a.test:submission",
	  SMTP_HOSTS_NONE,
	  "5.4.4",
	  "Host or domain name not found. Name service error for name=_submission._tcp.a.test type=SRV: Host "
	  "not found" },
	{ { .keep_order = true, .srv_services = services, .srv_services_count = 1, .srv_fallback = true },
	  "a.test:submission",
	  SMTP_HOSTS_OK,
	  "",
	  "a.test=192.0.2.11:587" },
	{ { .keep_order = true, .srv_services = services, .srv_services_count = 1 },
	  "srvlater.test:submission",
	  SMTP_HOSTS_LATER,
	  "4.4.3",
	  "Host or domain name not found. Name service error for name=_submission._tcp.srvlater.test type=SRV: "
	  "Host not found, try again" },
	{ { .keep_order = true, .srv_services = services, .srv_services_count = 1, .ignore_srv_error = true },
	  "srvlater.test:submission",
	  SMTP_HOSTS_OK,
	  "",
	  "a.test=192.0.2.11:587" },
	{ { .keep_order = true, .defer_no_address = true },
	  "lost.test",
	  SMTP_HOSTS_LATER,
	  "4.4.4",
	  "Host or domain name not found. Name service error for name=nowhere.test type=AAAA: Host not found" },
	{ { .keep_order = true, .defer_no_address = true },
	  "nowhere.test",
	  SMTP_HOSTS_NONE,
	  "5.4.4",
	  "Host or domain name not found. Name service error for name=nowhere.test type=MX: Host not found" },
	{ { .keep_order = true },
	  "mxfails.test",
	  SMTP_HOSTS_LATER,
	  "4.4.3",
	  "Host or domain name not found. Name service error for name=mxfails.test type=MX: Host not found, "
	  "try again" },
	{ { .keep_order = true, .ignore_mx_error = true },
	  "mxfails.test",
	  SMTP_HOSTS_OK,
	  "",
	  "mxfails.test=192.0.2.5:25" },
	{ { .keep_order = true, .ignore_record = ignore_some },
	  "equal.test",
	  SMTP_HOSTS_OK,
	  "",
	  "b.test=192.0.2.12:25 c.test=192.0.2.13:25" },
	{ { .keep_order = true, .ignore_record = ignore_some },
	  "[a.test]",
	  SMTP_HOSTS_LATER,
	  "4.7.0",
	  "Error looking up name=a.test type=AAAA: DNS reply filter drops all results" },
	{ { .keep_order = true, .ignore_record = ignore_some, .ignore_ctx = &more },
	  "order.test",
	  SMTP_HOSTS_OK,
	  "",
	  "b.test=192.0.2.12:25 c.test=192.0.2.13:25" },
	{ { .keep_order = true, .ignore_record = ignore_some, .ignore_ctx = &more },
	  "one.test",
	  SMTP_HOSTS_LATER,
	  "4.7.0",
	  "Error looking up name=one.test type=MX: DNS reply filter drops all results" },
	{ { .keep_order = true, .ignore_record = ignore_some },
	  "both.test",
	  SMTP_HOSTS_LATER,
	  "4.4.3",
	  "Error looking up name=both.test type=AAAA: Invalid DNS reply filter syntax" },
	{ { .keep_order = true, .no_balance = true, .preference = SMTP_PREFER_IPV4 },
	  "both.test",
	  SMTP_HOSTS_OK,
	  "",
	  "both.test=192.0.2.1:25 both.test=192.0.2.2:25 both.test=192.0.2.3:25 both.test=[2001:db8::1]:25 "
	  "both.test=[2001:db8::2]:25" },
	{ { .keep_order = true, .no_balance = true },
	  "both.test",
	  SMTP_HOSTS_OK,
	  "",
	  "both.test=[2001:db8::1]:25 both.test=[2001:db8::2]:25 both.test=[2001:db8::3]:25 "
	  "both.test=192.0.2.1:25 both.test=192.0.2.2:25" },
};

static void test_wishes(void **state) {
	(void)state;
	for (size_t i = 0; i < LEN(wishes); i++) {
		AUTO_ARENA struct arena mem = { 0 };
		struct smtp_hosts hosts;
		enum smtp_hosts_answer a =
			smtp_hosts_find(&wishes[i].params, slice_of(wishes[i].next_hop), &mem, &hosts);
		struct slice text = a == SMTP_HOSTS_OK ? list_text(&hosts, &mem) : hosts.text;
		if (a != wishes[i].answer || strcmp(hosts.status, wishes[i].status) != 0 ||
		    !slice_eq(text, slice_of(wishes[i].text)))
			FAIL("case %zu, \"%s\": %d %s %.*s", i, wishes[i].next_hop, (int)a, hosts.status,
			     SLICE_ARG(text));
	}
}

/* Each of three equal hosts comes first about as often as the others. */
static void test_shuffle(void **state) {
	(void)state;
	int first[3] = { 0 };
	for (int i = 0; i < 300; i++) {
		AUTO_ARENA struct arena mem = { 0 };
		struct smtp_hosts hosts;
		assert_int_equal(smtp_hosts_find(&(struct smtp_hosts_params){ 0 }, S("equal.test"), &mem, &hosts),
			SMTP_HOSTS_OK);
		assert_int_equal(hosts.count, 3);
		first[hosts.list[0].name.at[0] - 'a']++;
	}
	for (size_t i = 0; i < 3; i++) assert_in_range(first[i], 50, 150);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_short_names), cmocka_unit_test(test_families),
		cmocka_unit_test(test_wishes),
		cmocka_unit_test(test_shuffle),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
