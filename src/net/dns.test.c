/* SPDX-License-Identifier: Apache-2.0 */
/* Against a real server: nsd on loopback, with plain, signed and broken zones made on the spot. Skipped where there is
 * no nsd; the signed part also wants ldns-keygen and ldns-signzone. */
#include "base/clock.h"
#include "base/fail.h"
#include "net/dns_private.h"
#include <poll.h>
#include <fcntl.h>
#include <ftw.h>
#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <cmocka.h>

static char folder[64], resolver[32];
static pid_t nsd;
static bool is_signed;
static struct dns *plain;

/* ---- the server ---- */

static void put(const char *name, const char *format, ...) PRINTF_LIKE(2, 3);
static void put(const char *name, const char *format, ...) {
	char path[128];
	va_list args;
	snprintf(path, sizeof path, "%s/%s", folder, name);
	AUTO_FILE FILE *f = fopen(path, "w");
	assert_non_null(f);
	va_start(args, format);
	vfprintf(f, format, args);
	va_end(args);
}

#define HEAD "$TTL 300\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A 127.0.0.1\n"

static void put_zones(void) {
	AUTO_BUF struct buf many = BUF(KIB(64));
	for (int i = 0; i < 200; i++) buf_addf(&many, "many A 10.0.%d.1\n", i);
	put("plain.zone",
	    HEAD
	    "@ MX 20 mx2\n@ MX 10 MX1\n@ MX 30 elsewhere.example.net.\nnull MX 0 .\nbadmx MX 5 a\\.b\nbadmx MX 6 good\n"
	    "mx1 A 192.0.2.1\nmx1 A 192.0.2.2\nmx1 AAAA 2001:db8::1\nv6 AAAA 2001:db8::2\nonlytxt TXT \"v=spf1 "
	    "-all\"\na\\032b\\\\c\\196 A 192.0.2.3\n"
	    "alias CNAME alias2\nalias2 CNAME alias3\nalias3 CNAME mx1\nloop CNAME loop2\nloop2 CNAME loop\ndangling "
	    "CNAME "
	    "nothere\n"
	    "long TXT \"%0255d\" \"%0200d\"\nlong TXT \"second\"\nempty TXT \"\"\n"
	    "_25._tcp.mx1 TLSA 3 1 1 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n%s",
	    1, 2, buf_text(&many));
	put("arpa.zone", HEAD "1.2.0 PTR Mail.Hato.example.\n2.2.0 PTR a.example.\n2.2.0 PTR b.example.\n");
	put("ip6.zone", HEAD "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0 PTR six.example.\n");
	put("house.zone", HEAD "mail A 10.9.9.9\n");
	for (int i = 0; i < 2; i++)
		put(i ? "broken.zone" : "signed.zone",
		    "$ORIGIN %s.example.\n" HEAD
		    "@ MX 10 mx\nmx A 192.0.2.9\nmx TXT \"original\"\nother A 192.0.2.10\n",
		    i ? "broken" : "signed");
}

/* Signs both zones, and then changes a record of one behind the signer's back. */
static const char sign_script[] =
	"set -e; for z in signed broken; do\n"
	"  k=$(ldns-keygen -a ECDSAP256SHA256 -k $z.example); ldns-signzone -n -f $z.done $z.zone $k; cat $k.ds >> "
    "anchors; done\n"
	"sed -i 's/\"original\"/\"forged\"/' broken.done; mv signed.done signed.zone; mv broken.done broken.zone\n";

/* Free for UDP and for TCP, since nsd takes both. */
static int free_port(void) {
	for (;;) {
		struct addr a;
		addr_parse(S("127.0.0.1"), &a);
		AUTO_FD int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		AUTO_FD int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_int_equal(bind(udp, &a.any, a.len), 0);
		addr_of_socket(udp, &a);
		if (bind(tcp, &a.any, a.len) == 0) return addr_port(&a);
	}
}

static pid_t run(const char *const *argv) {
	pid_t pid = fork();
	if (pid != 0) return pid;
	if (chdir(folder) != 0) _exit(126);
	int quiet = open("log", O_WRONLY | O_CREAT | O_APPEND, 0600);
	dup2(quiet, 1);
	dup2(quiet, 2);
	execvp(argv[0], (char *const *)argv);
	_exit(127);
}

static void put_config(int port) {
	static const struct { const char *zone, *file;
	} zones[] = { { "hato.example", "plain.zone" },           { "192.in-addr.arpa", "arpa.zone" },
		      { "8.b.d.0.1.0.0.2.ip6.arpa", "ip6.zone" }, { "house.test", "house.zone" },
		      { "signed.example", "signed.zone" },        { "broken.example", "broken.zone" } };
	AUTO_BUF struct buf text = BUF(KIB(4));
	buf_addf(
		&text,
		"server:\n ip-address: 127.0.0.1@%d\n zonesdir: \"%s\"\n pidfile: \"%s/pid\"\n xfrdfile: \"%s/xfrd\"\n "
		"zonelistfile: \"%s/list\"\n"
		" database: \"\"\n username: \"\"\n server-count: 1\n rrl-ratelimit: 0\nremote-control:\n "
		"control-enable: no\n",
		port, folder, folder, folder, folder);
	for (size_t i = 0; i < LEN(zones); i++)
		buf_addf(&text, "zone:\n name: %s\n zonefile: %s\n", zones[i].zone, zones[i].file);
	put("nsd.conf", "%s", buf_text(&text));
}

static int remove_one(const char *path, const struct stat *st UNUSED, int kind UNUSED, struct FTW *ftw UNUSED) {
	return remove(path);
}

static bool answers(void) {
	AUTO_ARENA struct arena mem = {0};
	struct dns_params params = { .resolvers = resolver };
	struct dns_mx *mx;
	size_t n;
	struct dns *probe;
	assert_int_equal(dns_open(&params, &probe), 0);
	int r = dns_mx(probe, S("hato.example"), deadline_in(500), &mem, &mx, &n, NULL);
	dns_close(&probe);
	return r == DNS_OK;
}

/* Another program may take the port before nsd does: then nsd ends at once, and the next try has another port. */
static bool start_nsd(void) {
	int port = free_port();
	snprintf(resolver, sizeof resolver, "127.0.0.1:%d", port);
	put_config(port);
	nsd = run((const char *const[]){ "/usr/sbin/nsd", "-d", "-c", "nsd.conf", NULL });
	for (int64_t deadline = deadline_in(SECONDS(20)); deadline_left(deadline) != 0;) {
		if (answers()) return true;
		if (waitpid(nsd, NULL, WNOHANG) == nsd) {
			nsd = 0;
			return false;
		}
		usleep(50000);
	}
	return false;
}

static int serve(void **state UNUSED) {
	snprintf(folder, sizeof folder, "/tmp/hato-dns-test-XXXXXX");
	assert_non_null(mkdtemp(folder));
	if (access("/usr/sbin/nsd", X_OK) != 0) return 0;
	int status = 1, tries = 5;
	put_zones();
	waitpid(run((const char *const[]){ "sh", "-c", sign_script, NULL }), &status, 0);
	is_signed = status == 0;
	bool served = false;
	while (!served && tries-- > 0 && nsd == 0) served = start_nsd();
	struct dns_params params = { .resolvers = resolver };
	if (served) return dns_open(&params, &plain);
	print_message("nsd does not answer; see %s/log: %s\n", folder, fail_text());
	return -1;
}

static int stop(void **state UNUSED) {
	dns_close(&plain);
	if (nsd > 0) {
		kill(nsd, SIGTERM);
		waitpid(nsd, NULL, 0);
	}
	nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	return 0;
}

#define NEEDS(truth, what) do { if (!(truth)) { print_message("skipped: no " what "\n"); skip(); } } while (0)

/* ---- tests ---- */

static int64_t soon(void) {
	return deadline_in(SECONDS(5));
}

static void mail_exchangers(void **state UNUSED) {
	NEEDS(nsd > 0, "nsd");
	AUTO_ARENA struct arena mem = {0};
	struct dns_mx *mx;
	struct dns_facts facts;
	size_t n = 77;
	assert_int_equal(dns_mx(plain, S("HATO.example."), soon(), &mem, &mx, &n, &facts), DNS_OK);
	assert_int_equal(n, 3);
	assert_true(mx[0].preference == 10 && slice_eq(mx[0].host, S("mx1.hato.example")));
	assert_true(mx[1].preference == 20 && slice_eq(mx[2].host, S("elsewhere.example.net")));
	assert_true(!facts.secure && facts.ttl > 0 && facts.ttl <= 300 && !dns_mx_is_null(mx, n));
	assert_int_equal(dns_mx(plain, S("null.hato.example"), soon(), &mem, &mx, &n, NULL), DNS_OK);
	assert_true(dns_mx_is_null(mx, n));
	assert_int_equal(dns_mx(plain, S("badmx.hato.example"), soon(), &mem, &mx, &n, NULL), DNS_OK);
	assert_true(n == 1 && slice_eq(mx[0].host, S("good.hato.example")));
	n = 77;
	assert_int_equal(dns_mx(plain, S("mx1.hato.example"), soon(), &mem, &mx, &n, NULL), DNS_NODATA);
	assert_int_equal(dns_mx(plain, S("nothere.hato.example"), soon(), &mem, &mx, &n, &facts), DNS_NXDOMAIN);
	assert_int_equal(n, 77);
}

static void names_that_cannot_be(void **state UNUSED) {
	struct dns_params params = { .resolvers = "192.0.2.1" };
	struct dns *d; /* never asks */
	assert_int_equal(dns_open(&params, &d), 0);
	static const char *const names[] = { "", "a..b", ".a",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example" };
	AUTO_ARENA struct arena mem = {0};
	struct slice *out;
	struct addr *addrs;
	size_t n;
	for (size_t i = 0; i < LEN(names); i++) {
		assert_int_equal(dns_txt(d, slice_of(names[i]), NEVER, &mem, &out, &n, NULL), DNS_NXDOMAIN);
		assert_int_equal(dns_addresses(d, slice_of(names[i]), DNS_IPV4, NEVER, &mem, &addrs, &n, NULL),
				 DNS_NXDOMAIN);
	}
	dns_close(&d);
	params.resolvers = "nonsense";
	assert_true(dns_open(&params, &d) < 0);
	params = (struct dns_params){ .trust_anchor_file = "/nonexistent" };
	assert_true(dns_open(&params, &d) < 0);
}

static void addresses(void **state UNUSED) {
	NEEDS(nsd > 0, "nsd");
	static const struct {
		const char *name;
		unsigned families;
		int want;
		size_t count;
		const char *first;
	} cases[] = {
		{ "mx1.hato.example", DNS_IPV4 | DNS_IPV6, DNS_OK, 3, "2001:db8::1" },
		{ "mx1.hato.example", DNS_IPV4, DNS_OK, 2, NULL },
		{ "mx1.hato.example", DNS_IPV6, DNS_OK, 1, "2001:db8::1" },
		{ "v6.hato.example", DNS_IPV4 | DNS_IPV6, DNS_OK, 1, "2001:db8::2" },
		{ "v6.hato.example", DNS_IPV4, DNS_NODATA, 0, NULL },
		{ "onlytxt.hato.example", 3, DNS_NODATA, 0, NULL },
		{ "nothere.hato.example", 3, DNS_NXDOMAIN, 0, NULL },
		{ "alias.hato.example", 3, DNS_OK, 3, "2001:db8::1" },
		{ "dangling.hato.example", 3, DNS_NXDOMAIN, 0, NULL },
		{ "many.hato.example", 3, DNS_OK, DNS_RECORDS_MAX, NULL },
		{ "mail.house.test", 1, DNS_OK, 1, "10.9.9.9" },
		{ "mx1.hato.example", 0, DNS_NXDOMAIN, 0, NULL },
		{ "a b\\c\xc4.hato.example", 1, DNS_OK, 1, "192.0.2.3" }, /* DNS takes any byte (RFC 2181 §11) */
		{ "a\nb.hato.example", 1, DNS_NXDOMAIN, 0, NULL },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		AUTO_ARENA struct arena mem = {0};
		struct addr *a = NULL;
		struct dns_facts facts;
		size_t n = 0;
		char text[ADDR_TEXT_ROOM];
		int r = dns_addresses(plain, slice_of(cases[i].name), cases[i].families, soon(), &mem, &a, &n, &facts);
		if (r != cases[i].want || n != cases[i].count)
			fail_msg("%s: %d, %zu records, %s", cases[i].name, r, n, fail_text());
		if (cases[i].first != NULL) assert_string_equal(addr_text(&a[0], text), cases[i].first);
		if (slice_starts(slice_of(cases[i].name), S("alias")))
			assert_true(slice_eq(facts.canonical, S("mx1.hato.example")));
	}
	AUTO_ARENA struct arena mem = {0};
	struct addr *a;
	size_t n;
	assert_int_equal(dns_addresses(plain, S("loop.hato.example"), 3, soon(), &mem, &a, &n, NULL), DNS_LATER);
	assert_non_null(strstr(fail_text(), "loop.hato.example"));
}

static void other_records(void **state UNUSED) {
	NEEDS(nsd > 0, "nsd");
	AUTO_ARENA struct arena mem = {0};
	struct slice *out;
	struct dns_tlsa *tlsa;
	struct addr a;
	size_t n;
	assert_int_equal(dns_txt(plain, S("long.hato.example"), soon(), &mem, &out, &n, NULL), DNS_OK);
	assert_int_equal(n, 2);
	size_t big = out[0].len > out[1].len ? 0 : 1;
	assert_true(out[big].len == 455 && out[big].at[254] == '1' && out[big].at[454] == '2' &&
				slice_eq(out[1 - big], S("second")));
	assert_int_equal(dns_txt(plain, S("empty.hato.example"), soon(), &mem, &out, &n, NULL), DNS_OK);
	assert_true(n == 1 && out[0].len == 0);
	assert_int_equal(dns_tlsa(plain, S("_25._tcp.mx1.hato.example"), soon(), &mem, &tlsa, &n, NULL), DNS_OK);
	assert_true(n == 1 && tlsa[0].usage == 3 && tlsa[0].selector == 1 && tlsa[0].matching == 1 &&
		    tlsa[0].data.len == 32);
	addr_parse(S("192.0.2.1"), &a);
	assert_int_equal(dns_ptr(plain, &a, soon(), &mem, &out, &n, NULL), DNS_OK);
	assert_true(n == 1 && slice_eq(out[0], S("mail.hato.example")));
	addr_parse(S("192.0.2.2"), &a);
	assert_int_equal(dns_ptr(plain, &a, soon(), &mem, &out, &n, NULL), DNS_OK);
	assert_int_equal(n, 2);
	addr_parse(S("192.0.2.3"), &a);
	assert_int_equal(dns_ptr(plain, &a, soon(), &mem, &out, &n, NULL), DNS_NXDOMAIN);
	addr_parse(S("2001:db8::1"), &a);
	assert_int_equal(dns_ptr(plain, &a, soon(), &mem, &out, &n, NULL), DNS_OK);
	assert_true(n == 1 && slice_eq(out[0], S("six.example")));
	assert_int_equal(dns_query(plain, S("hato.example"), DNS_SOA, soon(), &mem, &out, &n, NULL), DNS_OK);
	assert_true(n == 1 && out[0].len > 20);
	assert_int_equal(dns_query(plain, S("hato.example"), 65280, soon(), &mem, &out, &n, NULL), DNS_NODATA);
}

static void *ask_often(void *failed) {
	static const char *const names[] = { "hato.example", "null.hato.example", "nothere.hato.example" };
	static const int want[] = { DNS_OK, DNS_OK, DNS_NXDOMAIN };
	for (unsigned i = 0; i < 100; i++) {
		AUTO_ARENA struct arena mem = {0};
		struct dns_mx *mx;
		size_t n;
		char fresh[64]; /* not in any cache */
		struct slice *out;
		snprintf(fresh, sizeof fresh, "n%u-%lx.hato.example", i, (unsigned long)pthread_self());
		int r = dns_mx(plain, slice_of(names[i % 3]), soon(), &mem, &mx, &n, NULL);
		/* some give up early: an answer that comes later must not hurt */
		int r2 = dns_txt(plain, slice_of(fresh), i % 4 == 0 ? clock_ms() : soon(), &mem, &out, &n, NULL);
		if (r != want[i % 3] || (r2 != DNS_NXDOMAIN && i % 4 != 0))
			print_message("%u: %d %d %s\n", i, r, r2, fail_text());
		if (r != want[i % 3] || (r2 != DNS_NXDOMAIN && i % 4 != 0))
			__atomic_add_fetch((unsigned *)failed, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void many_threads(void **state UNUSED) {
	NEEDS(nsd > 0, "nsd");
	pthread_t threads[16];
	unsigned failed = 0;
	int64_t start = clock_us();
	for (size_t i = 0; i < LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, ask_often, &failed), 0);
	for (size_t i = 0; i < LEN(threads); i++) pthread_join(threads[i], NULL);
	assert_int_equal(failed, 0);
	print_message("%d questions/s from 16 threads\n", (int)(3200 * 1000000LL / (clock_us() - start)));
}

static void dead_resolver(void **state UNUSED) {
	struct addr a;
	addr_parse(S("127.0.0.1"), &a);
	AUTO_FD int silent = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(silent, &a.any, a.len), 0);
	addr_of_socket(silent, &a);
	char text[ADDR_TEXT_ROOM];
	struct dns_params params = { .resolvers = addr_text_with_port(&a, text) };
	struct dns *d;
	AUTO_ARENA struct arena mem = {0};
	struct addr *out;
	size_t n;
	assert_int_equal(dns_open(&params, &d), 0);
	int64_t start = clock_ms();
	assert_int_equal(dns_addresses(d, S("hato.example"), 3, deadline_in(300), &mem, &out, &n, NULL), DNS_LATER);
	assert_true(clock_ms() - start >= 290 && clock_ms() - start < 1500);
	assert_string_equal(fail_text(), "DNS hato.example A: no answer in time");
	dns_close(&d);
	params.timeout_ms = 200;
	assert_int_equal(dns_open(&params, &d), 0);
	start = clock_ms();
	assert_int_equal(dns_addresses(d, S("hato.example"), 3, NEVER, &mem, &out, &n, NULL), DNS_LATER);
	assert_true(clock_ms() - start < 1500);
	dns_close(&d);
}

/* Answers what it is asked about the root, if it may, and nothing else. */
struct root_only { int fd; bool answers; _Atomic bool stop; };
static void *serve_root_only(void *arg) {
	struct root_only *s = arg;
	while (!s->stop) {
		unsigned char packet[512];
		struct addr from = { .len = sizeof from.v6 };
		struct pollfd p = { .fd = s->fd, .events = POLLIN };
		if (poll(&p, 1, 50) <= 0) continue;
		ssize_t n = recvfrom(s->fd, packet, sizeof packet, 0, &from.any, &from.len);
		if (n < 17 || packet[12] != 0 || !s->answers) continue;
		packet[2] |= 0x80;
		packet[3] = 5; /* REFUSED is an answer */
		(void)sendto(s->fd, packet, (size_t)n, 0, &from.any, from.len);
	}
	return NULL;
}

/* What is waited for of resolvers that are not there, and of those that are. */
static void who_is_there(void **state UNUSED) {
	static const struct { bool bound, answers; int wait_ms, least; const char *why; } cases[] = {
		{ false, false, 20000, 900, "DNS a.example TXT: no resolver answers" },
		{ true, false, 20000, 2900, "DNS a.example TXT: no resolver answers" },
		{ true, true, 4000, 3900, "DNS a.example TXT: no answer in time" },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		struct addr a;
		struct root_only server = { .answers = cases[i].answers };
		pthread_t thread;
		char text[ADDR_TEXT_ROOM];
		struct dns *d;
		AUTO_ARENA struct arena mem = { 0 };
		struct slice *out;
		size_t n;
		addr_parse(S("127.0.0.1"), &a);
		server.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		assert_int_equal(bind(server.fd, &a.any, a.len), 0);
		addr_of_socket(server.fd, &a);
		if (!cases[i].bound) close(server.fd);
		else assert_int_equal(pthread_create(&thread, NULL, serve_root_only, &server), 0);
		struct dns_params params = { .resolvers = addr_text_with_port(&a, text) };
		assert_int_equal(dns_open(&params, &d), 0);
		for (int again = 0; again < 2; again++) { /* found out once, it is known for a while */
			int64_t start = clock_ms(), deadline = deadline_in(cases[i].wait_ms);
			assert_int_equal(dns_txt(d, S("a.example"), deadline, &mem, &out, &n, NULL), DNS_LATER);
			assert_string_equal(fail_text(), cases[i].why);
			int64_t took = clock_ms() - start;
			assert_true(took >= (again && !cases[i].answers ? 450 : cases[i].least));
			assert_true(took < cases[i].wait_ms || cases[i].answers);
		}
		dns_close(&d);
		server.stop = true;
		if (!cases[i].bound) continue;
		pthread_join(thread, NULL);
		close(server.fd);
	}
}

static void signed_zones(void **state UNUSED) {
	NEEDS(nsd > 0 && is_signed, "nsd, ldns-keygen or ldns-signzone");
	char anchors[96];
	snprintf(anchors, sizeof anchors, "%s/anchors", folder);
	struct dns_params params = { .resolvers = resolver, .trust_anchor_file = anchors };
	struct dns *d;
	AUTO_ARENA struct arena mem = {0};
	struct dns_facts facts;
	struct dns_mx *mx;
	struct addr *a;
	struct slice *out;
	size_t n;
	assert_int_equal(dns_open(&params, &d), 0);
	if (dns_mx(d, S("signed.example"), soon(), &mem, &mx, &n, &facts) != DNS_OK) fail_msg("%s", fail_text());
	assert_true(facts.secure);
	assert_int_equal(dns_addresses(d, S("mx.signed.example"), 3, soon(), &mem, &a, &n, &facts), DNS_OK);
	assert_true(facts.secure && n == 1);
	assert_int_equal(dns_mx(d, S("nothere.signed.example"), soon(), &mem, &mx, &n, &facts), DNS_NXDOMAIN);
	assert_true(facts.secure);
	assert_int_equal(dns_mx(d, S("mx.signed.example"), soon(), &mem, &mx, &n, &facts), DNS_NODATA);
	assert_true(facts.secure);
	assert_int_equal(dns_mx(d, S("hato.example"), soon(), &mem, &mx, &n, &facts), DNS_OK);
	assert_false(facts.secure);
	assert_int_equal(dns_txt(d, S("mx.broken.example"), soon(), &mem, &out, &n, NULL), DNS_LATER);
	assert_non_null(strstr(fail_text(), "DNS mx.broken.example TXT: DNSSEC: "));
	dns_close(&d);
	/* without anchors nobody minds */
	assert_int_equal(dns_txt(plain, S("mx.broken.example"), soon(), &mem, &out, &n, &facts), DNS_OK);
	assert_false(facts.secure);
}

/* Questions under way, answers half on their way, and answers there: nothing of them is left (LeakSanitizer looks). */
static void closed_while_answers_are_pending(void **state UNUSED) {
	NEEDS(nsd > 0, "nsd");
	struct dns_params params = { .resolvers = resolver }, mute = { .resolvers = "127.0.0.1:9" };
	for (unsigned round = 0; round < 40; round++) {
		struct dns *d;
		AUTO_ARENA struct arena mem = {0};
		assert_int_equal(dns_open(round % 4 == 3 ? &mute : &params, &d), 0);
		for (unsigned i = 0; i < 20; i++)
			dns_hint(d, arena_fmt(&mem, "n%u.hato.example", i), i % 2 != 0 ? DNS_TXT : DNS_MX);
		usleep(round * 200);
		dns_close(&d);
	}
}

static void idle_costs_little(void **state UNUSED) {
	NEEDS(nsd > 0, "nsd");
	struct dns_params params = { .resolvers = resolver };
	struct dns *d;
	AUTO_ARENA struct arena mem = {0};
	struct dns_mx *mx;
	size_t n, before = mallinfo2().uordblks;
	assert_int_equal(dns_open(&params, &d), 0);
	size_t opened = mallinfo2().uordblks - before;
	assert_int_equal(dns_mx(d, S("hato.example"), soon(), &mem, &mx, &n, NULL), DNS_OK);
	print_message("opened: %zu bytes; after the first question: %zu KB\n", opened,
		      (mallinfo2().uordblks - before) / 1024);
#if !defined(__SANITIZE_ADDRESS__)
	assert_true(opened < KIB(4));
#endif
	dns_close(&d);
}

static void ascii_names(void **state UNUSED) {
	static const struct { const char *in, *want; } cases[] = {
		{ "Example.ORG", "example.org" },
		{ "example.org.", "example.org" },
		{ "b\xc3\xbc"
		  "cher.example",
			"xn--bcher-kva.example" },
		{ "\xe4\xbe\x8b\xe3\x81\x88.\xe3\x83\x86\xe3\x82\xb9\xe3\x83\x88", "xn--r8jz45g.xn--zckzah" },
		{ "B\xc3\x9c"
		  "CHER.example",
			"xn--bcher-kva.example" },
		{ "_dmarc.example.org", "_dmarc.example.org" },
		{ "fa\xc3\x9f.de", "xn--fa-hia.de" },
		{ "", NULL },
		{ ".", NULL },
		{ "a..b", NULL },
		{ "a b", NULL },
		{ "a@b", NULL },
		{ "\xff.example", NULL },
		{ "[1.2.3.4]", NULL },
		{ "\xe2\x80\x8b", NULL },
		{ "\xef\xbd\x85xample.org", "example.org" }, /* full-width e */
		{ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.org", NULL },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		AUTO_ARENA struct arena mem = {0};
		struct slice out = S("untouched");
		bool ok = dns_to_ascii(slice_of(cases[i].in), &mem, &out);
		if (ok != (cases[i].want != NULL)) fail_msg("%zu: %s", i, cases[i].in);
		assert_true(slice_eq(out, ok ? slice_of(cases[i].want) : S("untouched")));
	}
	AUTO_ARENA struct arena mem = {0};
	struct addr a;
	addr_parse(S("127.0.0.2"), &a);
	assert_true(slice_eq(dns_reversed(&a, &mem), S("2.0.0.127.")));
	addr_parse(S("2001:db8::abcd"), &a);
	assert_true(slice_eq(dns_reversed(&a, &mem),
			     S("d.c.b.a.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.")));
}

static void answers_are_kept(void **state UNUSED) {
	static char large[4000];
	AUTO_ARENA struct arena mem = {0};
	struct dns_memory *m = dns_memory_new();
	struct slice data[] = { S("\x7f\x00\x00\x02"), S("") }, much[] = { slice_from(large, sizeof large) };
	struct dns_answer a = { .result = DNS_OK, .rdata = data, .count = 2 }, got = { .result = -1 };
	a.facts = (struct dns_facts){ .secure = true, .ttl = 100, .canonical = S("x.example") };
	dns_memory_keep(m, "A.Example.", DNS_A, &a);
	assert_true(dns_memory_get(m, "a.example", DNS_A, &mem, &got));
	assert_int_equal(got.result, DNS_OK);
	assert_int_equal(got.count, 2);
	assert_true(slice_eq(got.rdata[0], data[0]) && got.rdata[1].len == 0);
	assert_true(got.facts.secure && got.facts.ttl == 100 && slice_eq(got.facts.canonical, S("x.example")));
	assert_false(dns_memory_get(m, "a.example", DNS_TXT, &mem, &got));
	assert_false(dns_memory_get(m, "b.example", DNS_A, &mem, &got));
	dns_memory_keep(m, "n.example", DNS_A, &(struct dns_answer){ .result = DNS_NXDOMAIN, .facts.ttl = 5 });
	assert_true(dns_memory_get(m, "n.example", DNS_A, &mem, &got));
	assert_true(got.result == DNS_NXDOMAIN && got.count == 0);
	dns_memory_keep(m, "l.example", DNS_A, &(struct dns_answer){ .result = DNS_LATER, .facts.ttl = 5 });
	dns_memory_keep(m, "z.example", DNS_A, &(struct dns_answer){ .result = DNS_NODATA });
	dns_memory_keep(m, "much.example", DNS_A, &(struct dns_answer){ .rdata = much, .count = 1, .facts.ttl = 5 });
	for (const char *const *name = (const char *const[]){ "l.example", "z.example", "much.example", NULL };
	     *name != NULL; name++)
		assert_false(dns_memory_get(m, *name, DNS_A, NULL, NULL));
	for (int i = 0; i < 5000; i++) dns_memory_keep(m, arena_fmt(&mem, "%d.example", i).at, DNS_A, &a);
	assert_true(dns_memory_get(m, "4999.example", DNS_A, NULL, NULL));
	dns_memory_free(&m);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ascii_names),
		cmocka_unit_test(names_that_cannot_be),
		cmocka_unit_test(mail_exchangers),
		cmocka_unit_test(addresses),
		cmocka_unit_test(other_records),
		cmocka_unit_test(many_threads),
		cmocka_unit_test(dead_resolver), cmocka_unit_test(who_is_there),
		cmocka_unit_test(signed_zones),
		cmocka_unit_test(closed_while_answers_are_pending),
		cmocka_unit_test(idle_costs_little),
		cmocka_unit_test(answers_are_kept),
	};
	return cmocka_run_group_tests(tests, serve, stop);
}
