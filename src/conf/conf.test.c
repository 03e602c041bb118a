/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fail.h"
#include "conf/conf.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <libgen.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <cmocka.h>

static struct machine_address addresses[] = { { { "\x7f\0\0\1", 4 }, 8 }, { { "\xc0\0\2\5", 4 }, 24 } };
static const struct machine machine = { { "box", 3 }, addresses, LEN(addresses) };

static struct conf *build(const char *main_cf, const char *master_cf, int want) {
	struct conf_options o = { .dir = "/c", .machine = &machine };
	struct conf *c = NULL;
	int r = conf_build(&o, slice_of(main_cf), slice_of(master_cf), &c);
	if (r != want) {
		size_t count = 0;
		const struct problem *p = c == NULL ? NULL : conf_problems(c, &count);
		fail_msg("%s: %d, %s", main_cf, r, r < 0 ? fail_text() : count > 0 ? p[0].text.at : "no problem");
	}
	return c;
}

/* All problems, a line each. */
static void problems_of(const struct conf *c, struct buf *out) {
	size_t count;
	const struct problem *p = conf_problems(c, &count);
	for (size_t i = 0; i < count; i++) {
		problem_line(out, &p[i]);
		buf_byte(out, '\n');
	}
}

static void assert_text(const struct conf_view *v, enum setting_id id, const char *want) {
	assert_string_equal(conf_text(v, id).at, want);
}

static void test_defaults(void **state) {
	(void)state;
	AUTO_CONF struct conf *c = build(NULL, NULL, CONF_GOOD);
	const struct conf_view *v = conf_main(c);
	size_t count;
	conf_problems(c, &count);
	assert_int_equal(count, 0);
	assert_text(v, SET_myhostname, "box.localdomain");
	assert_text(v, SET_mydomain, "localdomain");
	assert_text(v, SET_mynetworks, "127.0.0.1/32 192.0.2.5/32");
	assert_text(v, SET_mydestination, "box.localdomain, localhost.localdomain, localhost");
	assert_text(v, SET_smtpd_banner, "box.localdomain ESMTP hato");
	assert_text(v, SET_relay_domains, "");
	assert_text(v, SET_config_directory, "/c");
	assert_true(conf_bool(v, SET_smtputf8_enable));
	assert_true(conf_bool(v, SET_smtpd_tls_auth_only));
	assert_int_equal(conf_enum(v, SET_smtpd_tls_security_level), SERVER_TLS_MAY);
	assert_int_equal(conf_enum(v, SET_smtp_tls_security_level), CLIENT_TLS_MAY);
	assert_int_equal(conf_number(v, SET_smtpd_hard_error_limit), 20);
	assert_int_equal(conf_time_ms(v, SET_smtpd_timeout), 300000);
	assert_int_equal(conf_size(v, SET_message_size_limit), 10240000);
	const struct slice *words = conf_list(v, SET_notify_classes, &count);
	assert_int_equal(count, 2);
	assert_true(slice_eq(words[1], S("software")));
	assert_true(domains_match(conf_domains(v, SET_mydestination), S("LOCALHOST")));
	const struct conf_service *s = conf_services(c, &count);
	static const uint16_t ports[] = { 25, 587, 465, 143, 993 };
	for (size_t i = 0; i < LEN(ports); i++) assert_int_equal(s[i].port, ports[i]);
	assert_int_equal(conf_enum(conf_service_view(c, &s[1]), SET_smtpd_tls_security_level), SERVER_TLS_ENCRYPT);
	assert_true(conf_bool(conf_service_view(c, &s[2]), SET_smtpd_tls_wrappermode));
	assert_true(conf_bool(conf_service_view(c, &s[4]), SET_imapd_tls_wrappermode));
	assert_ptr_equal(conf_service_view(c, &s[0]), v);
}

static void test_values(void **state) {
	(void)state;
	static const struct { const char *main_cf; enum setting_id id; const char *want; } cases[] = {
		{ "myhostname = a.b.example", SET_mydomain, "b.example" },
		{ "myhostname = single", SET_mydomain, "localdomain" },
		{ "mydomain = example.org", SET_myhostname, "box.example.org" },
		{ "mydomain = example.org", SET_smtp_helo_name, "box.example.org" },
		{ "myorigin = $mydomain", SET_myorigin, "localdomain" },
		{ "mynetworks_style = subnet", SET_mynetworks, "127.0.0.0/8 192.0.2.0/24" },
		{ "inet_interfaces = loopback-only", SET_mynetworks, "127.0.0.1/32" },
		{ "inet_protocols = ipv6", SET_mynetworks, "" },
		{ "compatibility_level = 1", SET_mynetworks, "127.0.0.0/8 192.0.2.0/24" },
		{ "compatibility_level = 2", SET_mynetworks, "127.0.0.1/32 192.0.2.5/32" },
		{ "compatibility_level = 1", SET_relay_domains, "box.localdomain, localhost.localdomain, localhost" },
		{ "compatibility_level = 0", SET_append_dot_mydomain, "yes" },
		{ "stress = yes", SET_smtpd_timeout, "10s" },
		{ "smtpd_use_tls = no", SET_smtpd_tls_security_level, "none" },
		{ "smtpd_use_tls = YES", SET_smtpd_tls_security_level, "may" },
		{ "smtpd_enforce_tls = Yes", SET_smtpd_tls_security_level, "encrypt" },
		{ "smtpd_enforce_tls = yes\nsmtpd_tls_security_level =", SET_smtpd_tls_security_level, "encrypt" },
		{ "smtp_tls_security_level =", SET_smtp_tls_security_level, "may" },
		{ "smtp_tls_security_level = ENCRYPT", SET_smtp_tls_security_level, "encrypt" },
		{ "virtual_maps = hash:/v", SET_virtual_alias_maps, "hash:/v" },
		{ "mailbox_command = /bin/p -a \"$EXTENSION\"", SET_mailbox_command, "/bin/p -a \"$EXTENSION\"" },
		{ "x = 1\ny = ${x}2\nsmtpd_banner = $y $$", SET_smtpd_banner, "12 $" },
		{ "mail_name = a\n# c\n\n  b\n", SET_mail_name, "a  b" },
		{ "mail_name = a # b", SET_mail_name, "a # b" },
		{ "mail_name = first\nmail_name = second", SET_mail_name, "second" },
		{ "smtpd_tls_cert_file = /c.pem", SET_smtpd_tls_key_file, "/c.pem" },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		AUTO_CONF struct conf *c = NULL;
		AUTO_BUF struct buf text = BUF(1000);
		if (strstr(cases[i].main_cf, "compatibility") == NULL) buf_addf(&text, "compatibility_level = 3.11\n");
		buf_addf(&text, "%s", cases[i].main_cf);
		c = build(buf_text(&text), NULL, CONF_GOOD);
		assert_text(conf_main(c), cases[i].id, cases[i].want);
	}
}

/* Each text, and all that is said about it. The level is set, and a listener is there, unless the case is about that.
 */
static const struct {
	const char *main_cf, *master_cf, *problems;
} faults[] = {
	{ "foo bar", NULL, "error: /c/main.cf, line 2: missing '=' after attribute name: \"foo bar\"\n" },
	{ "foo bar = x", NULL, "error: /c/main.cf, line 2: missing '=' after attribute name: \"foo bar = x\"\n" },
	{ "= x", NULL, "error: /c/main.cf, line 2: missing attribute name: \"= x\"\n" },
	{ "mail_name = a\nmail_name = b", NULL,
	  "warning: /c/main.cf, line 3: overriding earlier entry: mail_name=a\n" },
	{ "myhostnam = x", NULL,
	  "warning: /c/main.cf, line 2: unused parameter: myhostnam=x (did you mean myhostname?)\n" },
	{ "my_own = x", NULL, "warning: /c/main.cf, line 2: unused parameter: my_own=x\n" },
	{ "my_own = x\nmail_name = $my_own", NULL, "" },
	{ "relay_destination_concurrency_limit = 2", NULL, "" },
	{ "nosuch_destination_concurrency_limit = 2", NULL,
	  "warning: /c/main.cf, line 2: unused parameter: nosuch_destination_concurrency_limit=2\n" },
	{ "mail_name = $my_won", NULL, "warning: /c/main.cf, line 2: undefined parameter: my_won\n" },
	{ "mail_name = $myhostnam", NULL,
	  "warning: /c/main.cf, line 2: undefined parameter: myhostnam (did you mean myhostname?)\n" },
	{ "smtpd_helo_required = maybe", NULL,
	  "error: /c/main.cf, line 2: bad boolean configuration: smtpd_helo_required = maybe (expected yes or no)\n" },
	{ "smtp_tlsrpt_enable = maybe", NULL,
	  "warning: /c/main.cf, line 2: smtp_tlsrpt_enable is understood but not acted on by this version (Count "
	  "results "
	  "of TLS sessions for TLS reports (RFC 8460): these are not sent yet. Those of others are read: hato "
	  "reports.)\n"
	  "warning: /c/main.cf, line 2: bad boolean configuration: smtp_tlsrpt_enable = maybe (expected yes or no)\n" },
	{ "biff = no", NULL,
	  "info: /c/main.cf, line 2: biff has no effect: hato does not need it (Tell users who are logged in about new "
	  "mail.)\n" },
	{ "smtp_use_tls = yes", NULL,
	  "warning: /c/main.cf, line 2: smtp_use_tls is an old setting: Use smtp_tls_security_level = may.\n" },
	{ "message_size_limit = 50M", NULL,
	  "warning: /c/main.cf, line 2: message_size_limit = 50M: read as 52428800 bytes (Postfix takes no suffix in "
	  "a size)\n" },
	{ "mail_name = ${stress", NULL,
	  "error: /c/main.cf, line 2: mail_name: truncated macro reference: \"${stress\"\n" },
	{ "mail_name = $mail_name", NULL,
	  "error: /c/main.cf, line 2: mail_name: unreasonable macro call nesting: \"mail_name\" refers to itself\n" },
	{ "x = $y\ny = $x\nmail_name = $x", NULL,
	  "error: /c/main.cf, line 3: y: unreasonable macro call nesting: \"x\" refers to itself\n" },
	{ "compatibility_level = 3.x", NULL,
	  "warning: /c/main.cf, line 2: overriding earlier entry: compatibility_level=3.11\n"
	  "error: /c/main.cf, line 2: malformed compatibility level syntax: \"3.x\" in compatibility_level (expected a "
	  "release such as 3.11)\n" },
	{ "mynetworks = 10.0.0.1/8", NULL,
	  "error: /c/main.cf, line 2: mynetworks: non-null host address bits in \"10.0.0.1/8\", perhaps you should use "
	  "\"10.0.0.0/8\" instead\n" },
	{ "mydestination = hash:/x", NULL, "" },
	{ "myorigin = /no/such/file", NULL, "error: /c/main.cf, line 2: myorigin: /no/such/file: no such file\n" },
	{ "inet_protocols = ipv5", NULL,
	  "error: /c/main.cf, line 2: invalid inet_protocols value: ipv5 (expected words of: all ipv4 ipv6)\n" },
	{ "smtpd_tls_protocols = !SSLv2, >=TLSv1.2, TLSv9", NULL,
	  "error: /c/main.cf, line 2: invalid smtpd_tls_protocols value: TLSv9 (expected words of: SSLv2 SSLv3 TLSv1 "
	  "TLSv1.1 TLSv1.2 TLSv1.3)\n" },
	{ "relayhost = [h]:465", NULL,
	  "warning: /c/main.cf, line 2: relayhost [h]:465: port 465 needs smtp_tls_wrappermode = yes\n" },
	{ "smtpd_tls_protocols = >=SSLv3, !TLSv1.3, <=TLSv1.1 !TLSv1 !TLSv1.1", NULL,
	  "error: /c/main.cf, line 2: smtpd_tls_protocols leaves no version: >=SSLv3, !TLSv1.3, <=TLSv1.1 !TLSv1 "
	  "!TLSv1.1\n" },
	{ "", "smtp inet n - n - - smtpd -o smtpd_tls_mandatory_protocols=SSLv3",
	  "error: /c/master.cf, line 1: smtpd_tls_mandatory_protocols leaves no version: SSLv3\n" },
	{ "relayhost = [a] [b]", NULL, "" },
	{ "smtp_tls_security_level = dane", NULL, "" },
	{ "", "smtp inet n - n - - smtpd\nrelay unix - - n - - smtp -o syslog_name=a/$service_name -o smtp_helo_name=b",
	  "" },
	{ "",
	  "relay unix - - n - - smtp -o smtpd_tls_cert_file=/c\nsmtp inet n - n - - smtpd -o smtpd_tls_cert_file=/c",
	  "warning: /c/master.cf, line 1: -o smtpd_tls_cert_file: only its value in main.cf is acted on by this "
	  "version\n" },
	{ "", "smtp inet n - n - - smtpd\nslow unix - - n - - smtp -o slow_destination_recipient_limit=1",
	  "warning: /c/master.cf, line 2: -o slow_destination_recipient_limit: only its value in main.cf is acted on "
	  "by this version\n" },
	{ "minimal_backoff_time = 2h", NULL,
	  "warning: /c/main.cf, line 2: minimal_backoff_time is larger than maximal_backoff_time\n" },
	{ "smtpd_relay_restrictions =", NULL,
	  ""
	  "error: /c/main.cf, line 2: in parameter smtpd_relay_restrictions or smtpd_recipient_restrictions, specify "
	  "at least one working instance of: "
	  "reject_unauth_destination, defer_unauth_destination, reject, defer, defer_if_permit or "
	  "check_relay_domains\n" },
	{ "", "smtp inet n - n - - smtpd -o smtpd_helo_required=x",
	  "error: /c/master.cf, line 1: bad boolean configuration: smtpd_helo_required = x (expected yes or no)\n" },
	{ "", "smtp inet n - n - - smtpd -o nosuch=x", "warning: /c/master.cf, line 1: unused parameter: nosuch=x\n" },
	{ "mine = yes", "smtp inet n - n - - smtpd -o smtpd_helo_required=$mine", "" },
	{ "", "smtp inet n - n - - smtpd -o mail_name=$mine",
	  "warning: /c/master.cf, line 1: undefined parameter: mine\n" },
	{ "", "smtp inet n - n - - smtpd -o smtpd_relay_restrictions=permit",
	  ""
	  "error: /c/master.cf, line 1: in parameter smtpd_relay_restrictions or smtpd_recipient_restrictions, specify "
	  "at least one working instance of: "
	  "reject_unauth_destination, defer_unauth_destination, reject, defer, defer_if_permit or "
	  "check_relay_domains\n" },
	{ "", "smtp inet n - n - - smtpd\nsieve inet n - n - - sieved",
	  "warning: /c/master.cf, line 2: the command sieved of sieve/inet is understood but not acted on by this "
	  "version\n" },
	{ "", "imap inet n - n - - imapd", "info: /c/master.cf: no service takes mail by SMTP\n" },
};

static void test_faults(void **state) {
	(void)state;
	for (size_t i = 0; i < LEN(faults); i++) {
		AUTO_CONF struct conf *c = NULL;
		AUTO_BUF struct buf text = BUF(1000), said = BUF(10000);
		buf_addf(&text, "compatibility_level = 3.11\n%s\n", faults[i].main_cf);
		bool error = strstr(faults[i].problems, "error: ") != NULL;
		c = build(buf_text(&text), faults[i].master_cf, error ? CONF_REFUSED : CONF_GOOD);
		problems_of(c, &said);
		assert_string_equal(buf_text(&said), faults[i].problems);
	}
	AUTO_CONF struct conf *old = build("mail_name = x", NULL, CONF_GOOD);
	AUTO_BUF struct buf said = BUF(10000);
	problems_of(old, &said);
	assert_string_equal(buf_text(&said), "warning: /c/main.cf: compatibility_level is not set: the defaults of "
					     "level 0 apply (for those of today: compatibility_level = 3.11)\n");
	assert_text(conf_main(old), SET_mynetworks_style, "host"); /* neighbours relay only where that was asked for */
	AUTO_CONF struct conf *ours = build("data_directory = /d", NULL, CONF_GOOD);
	buf_clear(&said);
	problems_of(ours, &said);
	assert_true(slice_starts(buf_slice(&said), S("info: /c/main.cf: compatibility_level")));
}

static void test_tls_versions(void **state) {
	(void)state;
	static const struct { const char *list; unsigned want;
	} cases[] = {
		{ ">=TLSv1.2", 12 },       { "", 12 },
		{ "!SSLv2, !SSLv3", 12 },  { "!SSLv2,!SSLv3,!TLSv1,!TLSv1.1", 12 },
		{ ">=TLSv1", 15 },         { ">=SSLv3", 15 },
		{ ">=TLSv1.3", 8 },        { "!TLSv1.3", 4 },
		{ "<=TLSv1.2", 4 },        { "TLSv1.2", 4 },
		{ "TLSv1.1 TLSv1.3", 10 }, { ">=TLSv1 <=TLSv1.1", 3 },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		AUTO_CONF struct conf *c = NULL;
		AUTO_BUF struct buf text = BUF(1000);
		buf_addf(&text, "compatibility_level = 3.11\nsmtpd_tls_protocols = %s\n", cases[i].list);
		c = build(buf_text(&text), NULL, CONF_GOOD);
		assert_int_equal(conf_tls_versions(conf_main(c), SET_smtpd_tls_protocols), cases[i].want);
	}
}

static void test_relay_rule(void **state) {
	(void)state;
	static const struct { const char *main_cf; bool good;
	} cases[] = {
		{ "smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination", true },
		{ "smtpd_relay_restrictions =\nsmtpd_recipient_restrictions = permit_mynetworks reject", true },
		{ "smtpd_relay_restrictions = permit_mynetworks, permit, reject", false },
		{ "smtpd_relay_restrictions = warn_if_reject reject", false },
		{ "smtpd_relay_restrictions = warn_if_reject reject_unknown_client, defer", true },
		{ "smtpd_restriction_classes = ours\nours = permit_mynetworks reject\nsmtpd_relay_restrictions = ours",
		  true },
		{ "smtpd_restriction_classes = ours\nours = permit_mynetworks ours\nsmtpd_relay_restrictions = ours",
		  false },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		AUTO_BUF struct buf text = BUF(1000);
		buf_addf(&text, "compatibility_level = 3.11\n%s\n", cases[i].main_cf);
		struct conf *c = build(buf_text(&text), NULL, cases[i].good ? CONF_GOOD : CONF_REFUSED);
		conf_drop(&c);
	}
}

static void test_service_views(void **state) {
	(void)state;
	AUTO_CONF struct conf *c =
		build("compatibility_level = 3.11\nmyhostname = a.example\nlog = hato/$service_name\n",
		      "smtp inet n - n - 1 postscreen -o smtpd_timeout=7\n"
		      "smtpd pass - - n - - smtpd -o smtpd_recipient_limit=3 -o smtpd_timeout=8\n"
		      "2525 inet n - n - - smtpd -o myhostname=b.example -o syslog_name=$log\n",
		      CONF_GOOD);
	size_t count;
	const struct conf_service *s = conf_services(c, &count);
	assert_int_equal(count, 3);
	const struct conf_view *screen = conf_service_view(c, &s[0]), *other = conf_service_view(c, &s[2]);
	assert_int_equal(conf_number(screen, SET_smtpd_recipient_limit), 3);
	assert_int_equal(conf_time_ms(screen, SET_smtpd_timeout), 7000);
	assert_int_equal(conf_number(conf_main(c), SET_smtpd_recipient_limit), 1000);
	assert_text(other, SET_myhostname, "b.example");
	assert_text(other, SET_smtpd_banner, "b.example ESMTP hato");
	assert_text(other, SET_syslog_name, "hato/2525");
	assert_true(domains_match(conf_domains(other, SET_mydestination), S("b.example")));
	assert_false(domains_match(conf_domains(other, SET_mydestination), S("a.example")));
	assert_text(conf_main(c), SET_myhostname, "a.example");
	AUTO_BUF struct buf out = BUF(1000);
	assert_int_equal(conf_expand(other, S("$myhostname ${nosuch?x}$log $"), &out), -1);
	buf_clear(&out);
	assert_int_equal(conf_expand(other, S("$myhostname ${nosuch?x}$log"), &out), 0);
	assert_string_equal(buf_text(&out), "b.example hato/2525");
	struct slice text;
	assert_false(conf_text_named(other, S("nosuch"), &text));
	assert_true(conf_text_named(conf_main(c), S("log"), &text));
	assert_string_equal(text.at, "hato/");
}

static void test_howto(void **state) {
	(void)state;
	AUTO_FREE char *file = mem_text(__FILE__);
	AUTO_BUF struct buf dir = BUF(1000), said = BUF(10000);
	buf_addf(&dir, "%s/../../tests/data/conf-howto", dirname(file));
	struct conf_options o = { .dir = buf_text(&dir), .machine = &machine };
	AUTO_CONF struct conf *c = NULL;
	assert_int_equal(conf_load(&o, &c), CONF_GOOD);
	const struct conf_view *v = conf_main(c);
	assert_text(v, SET_mydestination, "mail.example.com, example.com,\tlocalhost.example.com,\t, localhost");
	assert_true(domains_match(conf_domains(v, SET_mydestination), S("localhost.example.com")));
	assert_int_equal(conf_enum(v, SET_smtpd_tls_security_level), SERVER_TLS_MAY);
	size_t count;
	const struct conf_service *s = conf_services(c, &count);
	assert_int_equal(count, 7);
	assert_int_equal(s[0].maxproc, 20);
	const struct conf_view *submission = conf_service_view(c, &s[1]);
	assert_text(submission, SET_syslog_name, "postfix/submission");
	assert_text(submission, SET_smtpd_client_restrictions, "permit_sasl_authenticated, reject");
	assert_int_equal(conf_number(submission, SET_smtpd_recipient_limit), 50);
	assert_text(conf_service_view(c, &s[2]), SET_syslog_name, "postfix/127.0.0.1:10025");
	problems_of(c, &said);
	assert_null(strstr(buf_text(&said), "unused"));
	assert_null(strstr(buf_text(&said), "undefined"));
	assert_null(strstr(buf_text(&said), "smtpd_milters"));
}

static void write_file(const char *dir, const char *name, const char *text) {
	char path[256];
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static void remove_file(const char *dir, const char *name) {
	char path[256];
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	unlink(path);
}

/* What a child process gets is the same, though the files are gone by then. */
static void test_pack(void **state) {
	(void)state;
	char dir[] = "/tmp/hato-conf-XXXXXX";
	assert_non_null(mkdtemp(dir));
	write_file(dir, "main.cf",
		   "compatibility_level = 3.11\nmyorigin = $config_directory/mailname\nmynetworks = "
		   "$config_directory/nets\nbogus = 1\n");
	write_file(dir, "master.cf", "smtp inet n - n - - smtpd -o smtpd_timeout=1m\nimap inet n - n - - imapd\n");
	write_file(dir, "mailname", "origin.example\nmore\n");
	write_file(dir, "nets", "192.0.2.0/24\n");
	struct slice settings[] = { S("mail_name = packed"), S("smtpd_banner=$mail_name") };
	struct conf_options o = { .dir = dir, .settings = settings, .settings_count = 2, .machine = &machine };
	struct conf *c = NULL;
	assert_int_equal(conf_load(&o, &c), CONF_GOOD);
	AUTO_BUF struct buf packed = BUF(MIB(1)), before = BUF(10000), after = BUF(10000);
	conf_pack(&packed, c);
	problems_of(c, &before);
	conf_drop(&c);
	static const char *const names[] = { "main.cf", "master.cf", "mailname", "nets" };
	for (size_t i = 0; i < LEN(names); i++) remove_file(dir, names[i]);
	rmdir(dir);

	AUTO_CONF struct conf *d = NULL;
	assert_int_equal(conf_unpack(buf_slice(&packed), &d), CONF_GOOD);
	const struct conf_view *v = conf_main(d);
	assert_text(v, SET_myorigin, "origin.example");
	assert_text(v, SET_smtpd_banner, "packed");
	assert_text(v, SET_myhostname, "box.localdomain");
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr = { htonl(0xc0000207) } };
	assert_true(networks_match_sockaddr(conf_networks(v, SET_mynetworks), (struct sockaddr *)&in));
	size_t count;
	const struct conf_service *s = conf_services(d, &count);
	assert_int_equal(count, 2);
	assert_int_equal(conf_time_ms(conf_service_view(d, &s[0]), SET_smtpd_timeout), 60000);
	problems_of(d, &after);
	assert_string_equal(buf_text(&before), buf_text(&after));
	conf_sources(d, &count);
	assert_int_equal(count, 4);
	AUTO_BUF struct buf again = BUF(MIB(1));
	conf_pack(&again, d);
	assert_true(slice_eq(buf_slice(&packed), buf_slice(&again)));

	struct conf *none = NULL;
	for (size_t cut = 0; cut < packed.len; cut += 7)
		assert_int_equal(conf_unpack(slice_head(buf_slice(&packed), cut), &none), -1);
	assert_null(none);
}

static void test_raw(void **state) {
	(void)state;
	AUTO_CONF struct conf *c =
		build("compatibility_level = 3.11\nmyorigin = $mydomain\nmine = ${myorigin}\nmyhostname = x.example\n",
		      NULL, CONF_GOOD);
	size_t count = conf_raw_count(c);
	struct slice last = S("");
	for (size_t i = 0; i < count; i++) {
		struct conf_raw r = conf_raw_at(c, i);
		assert_true(slice_order(last, r.name) < 0);
		last = r.name;
	}
	struct conf_raw r;
	assert_true(conf_raw_find(c, S("myorigin"), &r));
	assert_true(r.is_set && slice_eq(r.value, S("$mydomain")) && slice_eq(r.fallback, S("$myhostname")) &&
		    r.where.line == 2);
	assert_true(conf_raw_find(c, S("mine"), &r));
	assert_true(r.is_set && r.setting == NULL && slice_eq(r.value, S("${myorigin}")));
	assert_true(conf_raw_find(c, S("myhostname"), &r));
	assert_true(slice_eq(r.fallback, S("box.localdomain")));
	assert_true(conf_raw_find(c, S("smtpd_banner"), &r));
	assert_true(!r.is_set && slice_eq(r.value, S("$myhostname ESMTP $mail_name")));
	assert_false(conf_raw_find(c, S("nosuch"), &r));
}

/* What each combination is said to be. The level is set; the listener is port 25 of every interface. */
static void test_dangers(void **state) {
	(void)state;
	static const struct { const char *main_cf, *master_cf; int result; const char *said;
	} cases[] = {
		{ "mynetworks = 0.0.0.0/0", NULL, CONF_REFUSED,
		  "error: /c/main.cf, line 2: mynetworks holds every IPv4 address" },
		{ "mynetworks = 127.0.0.0/8 [::]/0", NULL, CONF_REFUSED, "every IPv6 address" },
		{ "mynetworks = 64.0.0.0/3", NULL, CONF_GOOD,
		  "warning: /c/main.cf, line 2: mynetworks holds a large part of all IPv4 addresses" },
		{ "mynetworks = 0.0.0.0/0\ninet_interfaces = loopback-only", NULL, CONF_GOOD, NULL },
		{ "mynetworks = 0.0.0.0/0", "127.0.0.1:25 inet n - n - - smtpd\n", CONF_GOOD, NULL },
		{ "mynetworks = 0.0.0.0/0\nsmtpd_relay_restrictions = reject_unauth_destination", NULL, CONF_GOOD,
		  NULL },
		{ "mynetworks = 10.0.0.0/8", NULL, CONF_GOOD, NULL },
		{ "mynetworks = hash:/x", NULL, CONF_GOOD, NULL },
		{ "smtpd_sasl_auth_enable = yes\nsmtpd_tls_security_level = none", NULL, CONF_GOOD,
		  "nobody can log in here" },
		{ "smtpd_sasl_auth_enable = yes\nsmtpd_tls_auth_only = no", NULL, CONF_GOOD, "for everybody to read" },
		{ "smtpd_tls_auth_only = no",
		  "smtp inet n - n - - smtpd\n587 inet n - n - - smtpd -o smtpd_sasl_auth_enable=yes\n", CONF_GOOD,
		  "for everybody to read" },
		{ "smtpd_sasl_auth_enable = yes", NULL, CONF_GOOD, NULL },
		{ "smtpd_sasl_auth_enable = yes",
		  "127.0.0.1:10025 inet n - n - - smtpd -o smtpd_tls_security_level=none\n", CONF_GOOD, NULL },
		{ "", "587 inet n - n - - smtpd -o syslog_name=postfix/submission\n", CONF_GOOD,
		  "log lines of this service begin with postfix/submission, those of the others with hato" },
		{ "syslog_name = postfix", "587 inet n - n - - smtpd -o syslog_name=postfix/submission\n", CONF_GOOD,
		  NULL },
		{ "smtpd_tls_security_level = encrypt", NULL, CONF_GOOD, "port 25: servers that cannot encrypt" },
		{ "smtp_sasl_auth_enable = yes", NULL, CONF_GOOD, "hato logs in nowhere" },
		{ "smtp_sasl_password_maps = hash:/p", NULL, CONF_GOOD, "hato logs in nowhere" },
		{ "mydestination = a.example, b.example\nvirtual_alias_domains = c.example B.EXAMPLE", NULL, CONF_GOOD,
		  "do not list domain b.example in BOTH mydestination and virtual_alias_domains" },
		{ "relay_domains = a.example\nmydestination = a.example", NULL, CONF_GOOD,
		  "do not list domain a.example in BOTH mydestination and relay_domains" },
		{ "relay_domains = $mydestination", NULL, CONF_GOOD, NULL },
		{ "virtual_mailbox_domains = a.example\nvirtual_alias_domains = a.example", NULL, CONF_GOOD,
		  "in BOTH virtual_alias_domains and virtual_mailbox_domains" },
		{ "local_recipient_maps =", NULL, CONF_GOOD, "mail for unknown users is accepted" },
		{ "virtual_transport = dovecot", NULL, CONF_GOOD, "master.cf has no transport \"dovecot\"" },
		{ "virtual_transport = lmtp:unix:private/x", NULL, CONF_GOOD, NULL },
		{ "content_filter = amavis:[127.0.0.1]:10024",
		  "smtp inet n - n - - smtpd\namavis unix - - n - 2 smtp\n", CONF_GOOD, NULL },
		{ "message_size_limit = 0\nmailbox_size_limit = 1000", NULL, CONF_GOOD,
		  "mailbox_size_limit (1000) is smaller" },
		{ "soft_bounce = yes", NULL, CONF_GOOD, "meant for trials only" },
	};
	static const char *const parts[] = {
		"mynetworks holds", "for everybody to read", "BOTH",           "has no transport",
		"is smaller",       "trials only",           "logs in nowhere"
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		AUTO_BUF struct buf text = BUF(1000), said = BUF(10000);
		buf_addf(&text, "compatibility_level = 3.11\n%s\n", cases[i].main_cf);
		AUTO_CONF struct conf *c = build(buf_text(&text), cases[i].master_cf, cases[i].result);
		problems_of(c, &said);
		bool clean = true;
		for (size_t k = 0; k < LEN(parts); k++) clean = clean && strstr(buf_text(&said), parts[k]) == NULL;
		if (cases[i].said == NULL ? !clean : strstr(buf_text(&said), cases[i].said) == NULL)
			fail_msg("%s: %s", cases[i].main_cf, buf_text(&said));
	}
}

/* Settings that services of master.cf have for themselves. */
static void test_transports(void **state) {
	(void)state;
	AUTO_CONF struct conf *c = build("compatibility_level = 3.11\nslow-x_destination_rate_delay = "
					 "2m\ndefault_destination_concurrency_limit = 7\n"
					 "slow-x_destination_concurrency_limit = 3\nprog_time_limit = "
					 "1h\nslow-x_initial_destination_concurrency = $slow-x\n"
					 "relay_destination_concurrency_failed_cohort_limit = 4\n",
					 "smtp inet n - n - - smtpd\nslow-x unix - - n - - smtp\nlocal unix - - n - - "
					 "local\nprog unix - - n - - spawn user=x argv=y\n",
					 CONF_REFUSED);
	assert_int_equal(conf_transport(c, S("slow-x"), TRANSPORT_DESTINATION_RATE_DELAY), 120000);
	assert_int_equal(conf_transport(c, S("slow-x"), TRANSPORT_CONCURRENCY_LIMIT), 3);
	assert_int_equal(conf_transport(c, S("slow-x"), TRANSPORT_DESTINATION_RECIPIENT_LIMIT), 50);
	assert_int_equal(conf_transport(c, S("slow-x"), TRANSPORT_INITIAL_CONCURRENCY), 5);
	assert_int_equal(conf_transport(c, S("nosuch"), TRANSPORT_CONCURRENCY_LIMIT), 7);
	assert_int_equal(conf_transport(c, S("local"), TRANSPORT_CONCURRENCY_LIMIT), 2);
	assert_int_equal(conf_transport(c, S("prog"), TRANSPORT_TIME_LIMIT), 3600000);
	assert_true(slice_eq(conf_transport_text(c, S("local"), TRANSPORT_POSITIVE_FEEDBACK), S("1")));
	assert_int_equal(conf_transport(c, S("relay"), TRANSPORT_FAILED_COHORT_LIMIT), 4); /* it needs no line */
	struct conf_raw r;
	assert_false(conf_raw_find(c, S("relay_transport_rate_delay"), &r));
	assert_true(conf_raw_find(c, S("slow-x_transport_rate_delay"), &r));
	assert_true(!r.is_set && r.class == CONF_SERVICE && slice_eq(r.fallback, S("$default_transport_rate_delay")));
	assert_true(conf_raw_find(c, S("local_destination_recipient_limit"), &r));
	assert_true(r.class == CONF_SERVICE && slice_eq(r.fallback, S("1")));
	assert_false(conf_raw_find(c, S("prog_destination_rate_delay"), &r));
}

/* A chain of names costs its length, not two to its length; and has an end. */
static void test_hostile(void **state) {
	(void)state;
	AUTO_BUF struct buf text = BUF(MIB(1));
	buf_addf(&text, "compatibility_level = 3.11\na0 =\n");
	for (int i = 1; i < 60; i++) buf_addf(&text, "a%d = $a%d$a%d\n", i, i - 1, i - 1);
	buf_addf(&text, "mail_name = $a59\n");
	struct conf *c = build(buf_text(&text), NULL, CONF_GOOD);
	conf_drop(&c);
	buf_clear(&text);
	buf_addf(&text, "compatibility_level = 3.11\na0 = x\n");
	for (int i = 1; i < 60; i++) buf_addf(&text, "a%d = $a%d$a%d\n", i, i - 1, i - 1);
	c = build(buf_text(&text), NULL, CONF_REFUSED);
	conf_drop(&c);
	buf_clear(&text);
	buf_addf(&text, "compatibility_level = 3.11\nmail_name = $a0\n");
	for (int i = 0; i < 5000; i++) buf_addf(&text, "a%d = $a%d\n", i, i + 1);
	c = build(buf_text(&text), NULL, CONF_REFUSED);
	conf_drop(&c);
}

static void test_manual(void **state) {
	(void)state;
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	conf_manual(out);
	fclose(out);
	for (size_t i = 0; i < SETTINGS_COUNT; i++) {
		char item[128];
		snprintf(item, sizeof(item), "\n.It Sy %s\n(", setting_of((enum setting_id)i)->name);
		if (strstr(text, item) == NULL)
			fail_msg("%s is not in the manual", setting_of((enum setting_id)i)->name);
	}
	assert_non_null(strstr(text, "Understood but not acted on by this version."));
	free(text);
	out = open_memstream(&text, &len);
	conf_verdicts(out);
	fclose(out);
	size_t lines = 0;
	for (size_t i = 0; i < len; i++) lines += text[i] == '\n' && text[i + 1] == '|';
	assert_true(lines > SETTINGS_COUNT + 17);
	assert_non_null(strstr(text, "\n| myhostname | works | from the machine | "));
	assert_non_null(strstr(text, "\n| \\<service\\>\\_destination\\_rate\\_delay | "));
	free(text);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults), cmocka_unit_test(test_values),        cmocka_unit_test(test_faults),
		cmocka_unit_test(test_tls_versions),
		cmocka_unit_test(test_relay_rule), cmocka_unit_test(test_service_views), cmocka_unit_test(test_howto),
		cmocka_unit_test(test_pack),     cmocka_unit_test(test_raw),           cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_manual),
		cmocka_unit_test(test_dangers),  cmocka_unit_test(test_transports),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
