/* SPDX-License-Identifier: Apache-2.0 */
/* Two scripted servers, A at 127.0.0.1 and B at 127.0.0.2, are the MX hosts of the domains below. */
#include "smtp/hosts_fake.test.h"
#include "smtp/client_script.test.h"
#include "smtp/deliver.h"
#include <signal.h>
#include <sys/wait.h>

static const struct fake_record fake_zone[] = {
	{ "ab.test", "MX 10 a.test" },  { "ab.test", "MX 20 b.test" },  { "a.test", "A 127.0.0.1" },
	{ "b.test", "A 127.0.0.2" },    { "xb.test", "MX 10 x.test" },  { "xb.test", "MX 20 b.test" },
	{ "x.test", "A 127.0.0.3" }, /* nobody listens there */
	{ "abx.test", "MX 10 a.test" }, { "abx.test", "MX 20 b.test" }, { "abx.test", "MX 30 x.test" },
	{ "null.test", "MX 0 ." },      { "later.test", "LATER" },      { NULL, NULL },
};

#define HELLO "S: 220 hi\nC: EHLO me.example.net\nS: 250 hi\n"
#define MAIL "C: MAIL FROM:<a@b.c>\nS: 250 ok\n"
#define ONE "C: RCPT TO:<one@x>\nS: 250 ok\n"
#define TWO "C: RCPT TO:<two@x>\nS: 250 ok\n"
#define TEXT "C: DATA\nS: 354 go\nBODY\nS: 250 2.0.0 Ok: queued\n"
#define TLS_OFFER "S: 220 hi\nC: EHLO me.example.net\nS: 250-hi\nS: 250 STARTTLS\nC: STARTTLS\n"
#define QUIT "C: QUIT"

static const struct {
	const char *what, *next_hop;
	const char *a[3], *b[3];       /* dialogues of the two servers, one for each connection */
	enum smtp_tls_level tls;
	unsigned recipient_limit;
	size_t served_a, served_b;
	enum smtp_fate fate1, fate2;
	const char *status1, *text1, *text2;
} cases[] = {
	{ "the first host takes it",
	  "ab.test",
	  { HELLO MAIL ONE TWO TEXT QUIT },
	  { NULL },
	  0,
	  0,
	  1,
	  0,
	  SMTP_DELIVERED,
	  SMTP_DELIVERED,
	  "2.0.0",
	  "250 2.0.0 Ok: queued",
	  "250 2.0.0 Ok: queued" },
	{ "nobody listens at the first",
	  "xb.test",
	  { NULL },
	  { HELLO MAIL ONE TWO TEXT QUIT },
	  0,
	  0,
	  0,
	  1,
	  SMTP_DELIVERED,
	  SMTP_DELIVERED,
	  "2.0.0",
	  "250",
	  "250" },
	{ "nobody listens at all",
	  "[x.test]",
	  { NULL },
	  { NULL },
	  0,
	  0,
	  0,
	  0,
	  SMTP_LATER,
	  SMTP_LATER,
	  "4.4.1",
	  "connect to x.test[127.0.0.3]:",
	  "Connection refused" },
	{ "a 554 greeting",
	  "ab.test",
	  { "S: 554 no" },
	  { HELLO MAIL ONE TWO TEXT },
	  0,
	  0,
	  1,
	  1,
	  SMTP_DELIVERED,
	  SMTP_DELIVERED,
	  "2.0.0",
	  "250",
	  "250" },
	{ "a 554 greeting everywhere is later",
	  "ab.test",
	  { "S: 554 no" },
	  { "S: 554 no" },
	  0,
	  0,
	  1,
	  1,
	  SMTP_LATER,
	  SMTP_LATER,
	  "4.0.0",
	  "host b.test[127.0.0.2] refused to talk to me: 554 no",
	  "554 no" },
	{ "one recipient later",
	  "ab.test",
	  { HELLO MAIL "C: RCPT TO:<one@x>\nS: 450 4.2.0 grey\n" TWO TEXT },
	  { HELLO MAIL ONE TEXT },
	  0,
	  0,
	  1,
	  1,
	  SMTP_DELIVERED,
	  SMTP_DELIVERED,
	  "2.0.0",
	  "250",
	  "250" },
	{ "one recipient never",
	  "ab.test",
	  { HELLO MAIL "C: RCPT TO:<one@x>\nS: 550 5.1.1 no\n" TWO TEXT },
	  { NULL },
	  0,
	  0,
	  1,
	  0,
	  SMTP_NEVER,
	  SMTP_DELIVERED,
	  "5.1.1",
	  "host a.test[127.0.0.1] said: 550 5.1.1 no (in reply to RCPT TO command)",
	  "250" },
	{ "text refused for now",
	  "ab.test",
	  { HELLO MAIL ONE TWO "C: DATA\nS: 354 go\nBODY\nS: 451 4.3.0 no" },
	  { HELLO MAIL ONE TWO TEXT },
	  0,
	  0,
	  1,
	  1,
	  SMTP_DELIVERED,
	  SMTP_DELIVERED,
	  "2.0.0",
	  "250",
	  "250" },
	{ "lost before the dot's answer",
	  "ab.test",
	  { HELLO MAIL ONE TWO "C: DATA\nS: 354 go\nBODY\nDROP" },
	  { NULL },
	  0,
	  0,
	  1,
	  0,
	  SMTP_LATER,
	  SMTP_LATER,
	  "4.4.2",
	  "message may be sent more than once",
	  "more than once" },
	{ "lost at RCPT",
	  "ab.test",
	  { HELLO MAIL ONE "C: RCPT\nDROP" },
	  { HELLO MAIL ONE TWO TEXT },
	  0,
	  0,
	  1,
	  1,
	  SMTP_DELIVERED,
	  SMTP_DELIVERED,
	  "2.0.0",
	  "250",
	  "250" },
	{ "two conversations are enough",
	  "abx.test",
	  { HELLO MAIL "C: RCPT\nS: 450 a\nC: RCPT\nS: 450 a" },
	  { HELLO MAIL "C: RCPT\nS: 450 b\nC: RCPT\nS: 450 b" },
	  0,
	  0,
	  1,
	  1,
	  SMTP_LATER,
	  SMTP_LATER,
	  "4.0.0",
	  "host b.test[127.0.0.2] said: 450 b",
	  "450 b" },
	{ "broken TLS, then clear text",
	  "ab.test",
	  { TLS_OFFER "S: 220 go\nBADTLS", HELLO MAIL ONE TWO TEXT },
	  { NULL },
	  SMTP_TLS_MAY,
	  0,
	  2,
	  0,
	  SMTP_DELIVERED,
	  SMTP_DELIVERED,
	  "2.0.0",
	  "250",
	  "250" },
	{ "broken TLS where it must be",
	  "ab.test",
	  { TLS_OFFER "S: 220 go\nBADTLS" },
	  { TLS_OFFER "S: 220 go\nTLS\nC: EHLO\nS: 250 x\n" MAIL ONE TWO TEXT },
	  SMTP_TLS_ENCRYPT,
	  0,
	  1,
	  1,
	  SMTP_DELIVERED,
	  SMTP_DELIVERED,
	  "2.0.0",
	  "250",
	  "250" },
	{ "no TLS where it must be",
	  "[a.test]",
	  { HELLO },
	  { NULL },
	  SMTP_TLS_ENCRYPT,
	  0,
	  1,
	  0,
	  SMTP_LATER,
	  SMTP_LATER,
	  "4.7.4",
	  "TLS is required",
	  "not offered" },
	{ "batches of one",
	  "ab.test",
	  { HELLO MAIL ONE TEXT MAIL TWO TEXT QUIT },
	  { NULL },
	  0,
	  1,
	  1,
	  0,
	  SMTP_DELIVERED,
	  SMTP_DELIVERED,
	  "2.0.0",
	  "250",
	  "250" },
	{ "batches, a host that hangs up between",
	  "ab.test",
	  { HELLO MAIL ONE TEXT "C: MAIL\nS: 421 4.4.2 enough", HELLO MAIL TWO TEXT },
	  { HELLO MAIL TWO TEXT },
	  0,
	  1,
	  1,
	  1,
	  SMTP_DELIVERED,
	  SMTP_DELIVERED,
	  "2.0.0",
	  "250",
	  "250" },
	{ "too many at once",
	  "ab.test",
	  { HELLO MAIL ONE "C: RCPT TO:<two@x>\nS: 452 4.5.3 too many\n" TEXT MAIL TWO TEXT },
	  { NULL },
	  0,
	  0,
	  1,
	  0,
	  SMTP_DELIVERED,
	  SMTP_DELIVERED,
	  "2.0.0",
	  "250",
	  "250" },
	{ "null MX",
	  "null.test",
	  { NULL },
	  { NULL },
	  0,
	  0,
	  0,
	  0,
	  SMTP_NEVER,
	  SMTP_NEVER,
	  "5.1.10",
	  "does not accept mail (nullMX)",
	  "nullMX" },
	{ "no such domain",
	  "nowhere.test",
	  { NULL },
	  { NULL },
	  0,
	  0,
	  0,
	  0,
	  SMTP_NEVER,
	  SMTP_NEVER,
	  "5.4.4",
	  "Host not found",
	  "Host not found" },
	{ "no name service",
	  "later.test",
	  { NULL },
	  { NULL },
	  0,
	  0,
	  0,
	  0,
	  SMTP_LATER,
	  SMTP_LATER,
	  "4.4.3",
	  "Host not found, try again",
	  "try again" },
};

static const struct smtp_recipient recipients[] = { { .address = { "one@x", 5 } }, { .address = { "two@x", 5 } } };
static const struct smtp_message message = { .id = "4MkL9z2bQxzJ3d",
	.sender = { "a@b.c", 5 },
	.recipients = recipients,
	.count = 2,
	.body = { .head = { "Subject: x\r\n\r\nhi\r\n", 19 }, .fd = -1 } };
static struct tls_server *tls_server;
static struct tls_client *tls_client;

static struct smtp_target target_of(const char *next_hop, const struct script *a) {
	int64_t ms = SECONDS(5);
	return (struct smtp_target){ .next_hop = slice_of(next_hop),
		.hosts = { .port = addr_port(&a->addr) },
		.keep_ms = -1,
		.client = { .helo_name = S("me.example.net"),
			.tls_client = tls_client,
			.timeouts = { ms, ms, ms, ms, ms, ms, ms, ms, ms, ms } } };
}

static size_t count_of(const char *const list[3]) {
	size_t n = 0;
	while (n < 3 && list[n] != NULL) n++;
	return n;
}

static void start_both(struct script *a, const char *const list_a[3], struct script *b, const char *const list_b[3]) {
	*a = *b = (struct script){ .tls = tls_server };
	script_start(a, "127.0.0.1", 0, list_a, count_of(list_a));
	script_start(b, "127.0.0.2", addr_port(&a->addr), list_b, count_of(list_b));
}

static void stop_both(struct script *a, struct script *b) {
	script_stop(a);
	script_stop(b);
	buf_done(&a->body);
	buf_done(&b->body);
	assert_string_equal(a->wrong, "");
	assert_string_equal(b->wrong, "");
}

static void test_deliveries(void **state) {
	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		AUTO_ARENA struct arena mem = { 0 };
		struct script a, b;
		struct smtp_outcome o[2] = { 0 };
		start_both(&a, cases[i].a, &b, cases[i].b);
		struct smtp_target target = target_of(cases[i].next_hop, &a);
		target.client.tls = cases[i].tls;
		target.recipient_limit = cases[i].recipient_limit;
		smtp_deliver(&target, &message, NULL, &mem, o);
		bool ok = o[0].fate == cases[i].fate1 && o[1].fate == cases[i].fate2 &&
			  strcmp(o[0].status, cases[i].status1) == 0 && slice_has(o[0].text, cases[i].text1) &&
			  slice_has(o[1].text, cases[i].text2);
		stop_both(&a, &b);
		if (!ok || a.served != cases[i].served_a || b.served != cases[i].served_b)
			FAIL("%s: %d %s \"%.*s\", %d %s \"%.*s\", served %zu and %zu", cases[i].what, (int)o[0].fate,
			     o[0].status, SLICE_ARG(o[0].text), (int)o[1].fate, o[1].status, SLICE_ARG(o[1].text),
			     a.served, b.served);
		assert_true(o[0].relay.len > 0 && o[0].setup_us >= 0 && o[0].send_us >= 0);
	}
}

/* One message after another through one cache: what the server saw of connections, and how each ended. */
static const struct {
	const char *what;
	const char *a[3];
	size_t served;
	unsigned uses2;            /* of the second message's connection */
} reuses[] = {
	{ "reused", { HELLO MAIL ONE TWO TEXT MAIL ONE TWO TEXT QUIT }, 1, 2 },
	{ "gone in between", { HELLO MAIL ONE TWO TEXT "DROP", HELLO MAIL ONE TWO TEXT QUIT }, 2, 1 },
	{ "421 in between", { HELLO MAIL ONE TWO TEXT "S: 421 idle\nDROP", HELLO MAIL ONE TWO TEXT QUIT }, 2, 1 },
	{ "421 to MAIL", { HELLO MAIL ONE TWO TEXT "C: MAIL\nS: 421 idle\nDROP", HELLO MAIL ONE TWO TEXT QUIT }, 2, 1 },
	{ "lost at MAIL", { HELLO MAIL ONE TWO TEXT "C: MAIL\nDROP", HELLO MAIL ONE TWO TEXT QUIT }, 2, 1 },
	{ "lost at RCPT", { HELLO MAIL ONE TWO TEXT MAIL "C: RCPT\nDROP", HELLO MAIL ONE TWO TEXT QUIT }, 2, 1 },
};

static void test_reuse(void **state) {
	(void)state;
	static const char *const nobody[3];
	for (size_t i = 0; i < LEN(reuses); i++) {
		AUTO_ARENA struct arena mem = { 0 };
		struct script a, b;
		struct smtp_outcome one[2], two[2];
		struct smtp_cache cache = { 0 };
		start_both(&a, reuses[i].a, &b, nobody);
		struct smtp_target target = target_of("ab.test", &a);
		target.keep_ms = 0;
		smtp_deliver(&target, &message, &cache, &mem, one);
		assert_true(cache.client == NULL || smtp_cache_deadline(&cache) <= clock_ms() + 2000);
		usleep(20000); /* for what the server does of its own */
		smtp_deliver(&target, &message, &cache, &mem, two);
		smtp_cache_clear(&cache);
		assert_true(smtp_cache_deadline(&cache) == NEVER);
		stop_both(&a, &b);
		if (one[1].fate != SMTP_DELIVERED || two[1].fate != SMTP_DELIVERED || a.served != reuses[i].served ||
		    two[1].uses != reuses[i].uses2)
			FAIL("%s: \"%.*s\", served %zu, use %u", reuses[i].what, SLICE_ARG(two[1].text), a.served,
				two[1].uses);
	}
}

/* Another next hop, or other parameters: not the same connection. A host that has had its say is not asked again. */
static void test_no_reuse(void **state) {
	(void)state;
	AUTO_ARENA struct arena mem = { 0 };
	struct script a, b;
	struct smtp_outcome o[2];
	struct smtp_cache cache = { 0 };
	static const char *const list_a[3] = { HELLO MAIL ONE TWO TEXT QUIT, HELLO MAIL ONE TWO TEXT QUIT,
		HELLO MAIL ONE TWO TEXT MAIL "C: RCPT\nS: 450 later\nC: RCPT\nS: 450 later" };
	static const char *const list_b[3] = { HELLO MAIL ONE TWO TEXT };
	start_both(&a, list_a, &b, list_b);
	struct smtp_target target = target_of("ab.test", &a), other = target_of("[a.test]", &a);
	target.keep_ms = other.keep_ms = 0;
	smtp_deliver(&target, &message, &cache, &mem, o);
	smtp_deliver(&other, &message, &cache, &mem, o);
	assert_true(o[0].fate == SMTP_DELIVERED && o[0].uses == 1);
	static const struct slice words[] = { { "pipelining", 10 } };
	target.client.discard = words;
	target.client.discard_count = 1;
	smtp_deliver(&target, &message, &cache, &mem, o);
	assert_true(o[0].fate == SMTP_DELIVERED && o[0].uses == 1);
	smtp_deliver(&target, &message, &cache, &mem, o);
	assert_true(o[0].fate == SMTP_DELIVERED && slice_starts(o[0].relay, S("b.test")));
	smtp_cache_clear(&cache);
	stop_both(&a, &b);
	assert_true(a.served == 3 && b.served == 1);
}

static void test_delays(void **state) {
	(void)state;
	static const struct { int64_t us; const char *text; unsigned digits; /* 0: 2 */
	} delays[] = {
		{ 0, "0" },        { 4999, "0" },      { 5000, "0.01" },       { 10000, "0.01" },
		{ 94000, "0.09" }, { 100000, "0.1" },  { 120000, "0.12" },     { 996000, "1" },
		{ 1000000, "1" },  { 1240000, "1.2" }, { 1960000, "2" },       { 9940000, "9.9" },
		{ 9960000, "10" }, { 30400000, "30" }, { 1234560000, "1235" }, { -5, "0" },
		{ 94000, "0.1", 1 }, { 1240000, "1.2", 1 }, { 1240, "0.0012", 6 }, { 7, "0.000007", 6 },
		{ 996000, "1", 6 }, { 123456, "0.12", 6 }, { 12345, "0.012", 3 }, { 450, "0", 3 },
	};
	for (size_t i = 0; i < LEN(delays); i++) {
		AUTO_BUF struct buf out = BUF(64);
		smtp_delay_add(&out, delays[i].us, delays[i].digits != 0 ? delays[i].digits : 2);
		assert_string_equal(buf_text(&out), delays[i].text);
	}
	AUTO_BUF struct buf whole = BUF(64);
	smtp_delay_add(&whole, 1600000, 0);
	smtp_delay_add(&whole, 400000, 0);
	assert_string_equal(buf_text(&whole), "20");
}

/* Debian's smtp-sink, if it is installed. */
static bool wait_for_port(uint16_t port) {
	struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)
	};
	for (int i = 0; i < 100; i++) {
		AUTO_FD int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0) return true;
		usleep(50000);
	}
	return false;
}

static void test_sink(void **state) {
	(void)state;
	AUTO_FREE char *sink = mem_text("/usr/sbin/smtp-sink");
	if (access(sink, X_OK) != 0) {
		print_message("%s is not installed: skipped\n", sink);
		skip();
	}
	AUTO_ARENA struct arena mem = { 0 };
	struct script free_port = { 0 };
	script_start(&free_port, "127.0.0.1", 0, NULL, 0);
	uint16_t port = addr_port(&free_port.addr);
	struct smtp_target target = target_of("a.test", &free_port);
	script_stop(&free_port);
	char *where = arena_text(&mem, arena_fmt(&mem, "127.0.0.1:%u", port));
	pid_t child = fork();
	if (child == 0) {
		if (geteuid() == 0) execl(sink, sink, "-u", "nobody", where, "20", (char *)NULL);
		execl(sink, sink, where, "20", (char *)NULL);
		_exit(127);
	}
	assert_true(wait_for_port(port));
	struct smtp_outcome o[2];
	struct smtp_cache cache = { 0 };
	target.keep_ms = 0;
	for (unsigned i = 1; i <= 20; i++) {
		smtp_deliver(&target, &message, &cache, &mem, o);
		if (o[0].fate != SMTP_DELIVERED || o[0].uses != i)
			FAIL("%u: \"%.*s\"", o[0].uses, SLICE_ARG(o[0].text));
	}
	smtp_cache_clear(&cache);
	kill(child, SIGTERM);
	waitpid(child, NULL, 0);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_deliveries),
		cmocka_unit_test(test_reuse),
		cmocka_unit_test(test_no_reuse),
		cmocka_unit_test(test_delays),
		cmocka_unit_test(test_sink),
	};
	tls_server = script_tls();
	if (tls_client_new(&(struct tls_client_params){ .verify = TLS_VERIFY_NONE }, &tls_client) < 0) return 1;
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	tls_client_unref(&tls_client);
	tls_server_unref(&tls_server);
	return failed;
}
