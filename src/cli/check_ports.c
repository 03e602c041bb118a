/* SPDX-License-Identifier: Apache-2.0 */
/* `hato check ports`: who answers at the ports of master.cf, here and at the addresses that strangers use, and whether
 * mail can leave by port 25. What a firewall further out does with strangers only somebody outside can see. */
#include "admin/table.h"
#include "admin/text.h"
#include "base/clock.h"
#include "base/fail.h"
#include "cli/checking.h"
#include "cli/dns.h"
#include "net/connect.h"
#include "net/stream.h"
#include "role/settings.h"
#include "smtp/hosts.h"

#include <sysexits.h>

enum {
	ANSWER_MS = 3000,
	GREETING_MS = 700,
	LOOK_UP_MS = 10000,
	OUT_MS = 5000,
	HOSTS_EACH = 2,
	LINE_MAX_BYTES = 600,
	SMTP_PORT = 25
};

/* Whose servers are everywhere, and take mail from everybody. */
static const char *const far_domains[] = { "gmail.com", "outlook.com", "icloud.com" };

struct ports {
	struct table table;
	const struct conf *conf;
	struct dns *dns;
	size_t silent;      /* services of ours without an answer */
	size_t tried, open; /* servers outside */
	bool looked_up;     /* DNS said whom to try */
};

static const struct column columns[] = {
	{ "WAY", "way", COLUMN_TEXT },         { "PORT", "port", COLUMN_COUNT },
	{ "SERVICE", "service", COLUMN_TEXT }, { "ADDRESS", "address", COLUMN_TEXT },
	{ "ANSWER", "answer", COLUMN_TEXT },
};

/* The greeting, "" when a connection is taken without one (TLS from the first byte, or a pause before it). False:
 * nobody; *said says why. */
static bool knock(const struct addr *to, int64_t wait_ms, struct arena *mem, struct slice *said) {
	int64_t deadline = deadline_in(wait_ms);
	int fd = socket(addr_family(to), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int error = fd < 0 ? errno : connect_until(fd, &to->any, to->len, deadline);
	if (error != 0) {
		*said = slice_of(arena_fmt(mem, "no: %s", strerror(error)).at);
		if (fd >= 0) close(fd);
		return false;
	}
	struct stream *s = stream_new(fd, LINE_MAX_BYTES, LINE_MAX_BYTES);
	struct slice line;
	AUTO_BUF struct buf clean = BUF(KIB(4));
	if (stream_wait_line(s, LINE_MAX_BYTES, &line, deadline_in(GREETING_MS)) == STREAM_OK) text_clean(&clean, line);
	*said = clean.len != 0 ? arena_fmt(mem, "yes: %s", buf_text(&clean)) : S("yes");
	stream_close(&s);
	return true;
}

static void put(struct ports *p, const char *way, uint16_t port, struct slice service, struct slice address,
		struct slice said) {
	table_text(&p->table, slice_of(way));
	table_number(&p->table, port);
	table_text(&p->table, service);
	table_text(&p->table, address);
	table_text(&p->table, said);
}

/* ---- in ---- */

/* outer: an address of ours that strangers use; many routers do not lead there from inside, so its silence proves
 * nothing. */
static void try_service(struct ports *p, const struct conf_service *s, struct addr a, bool outer) {
	char room[ADDR_TEXT_ROOM];
	struct slice said;
	addr_set_port(&a, s->port);
	bool answers = knock(&a, ANSWER_MS, p->table.mem, &said);
	p->silent += !answers && !outer;
	put(p, outer ? "in, outer" : "in", s->port, s->command, slice_of(addr_text(&a, room)), said);
}

static void try_words(struct ports *p, const struct conf_service *s, const struct slice *words, size_t count) {
	bool four, six;
	struct addr a;
	protocols_of(conf_main(p->conf), &four, &six);
	for (size_t i = 0; i < count; i++) {
		bool any = slice_same(words[i], S("all")) || slice_same(words[i], S("loopback-only")) ||
			   slice_same(words[i], S("localhost"));
		if (any && four && addr_parse(S("127.0.0.1"), &a)) try_service(p, s, a, false);
		if (any && six && !four && addr_parse(S("::1"), &a)) try_service(p, s, a, false);
		if (!any && addr_parse(words[i], &a)) try_service(p, s, a, false);
	}
}

static void look_in(struct ports *p, const struct dns_own *own) {
	size_t n, words;
	const struct conf_service *services = conf_services(p->conf, &n);
	const struct slice *interfaces = conf_list(conf_main(p->conf), SET_inet_interfaces, &words);
	for (size_t i = 0; i < n; i++) {
		const struct conf_service *s = &services[i];
		bool ours = s->role == SERVICE_SMTPD || s->role == SERVICE_IMAPD || s->role == SERVICE_POP3D;
		if (s->type != SERVICE_INET || !ours) continue;
		if (s->host.len != 0) {
			try_words(p, s, &s->host, 1);
			continue;
		}
		try_words(p, s, interfaces, words);
		for (size_t k = 0; k < own->faces.count; k++) try_service(p, s, own->faces.at[k], true);
	}
}

/* ---- out ---- */

static void try_host(struct ports *p, struct slice host, uint16_t port, struct slice domain) {
	struct addr *list, literal;
	size_t n = 0;
	bool four, six;
	protocols_of(conf_main(p->conf), &four, &six);
	if (addr_parse(host, &literal))
		list = &literal, n = 1;
	else if (dns_addresses(p->dns, host, (four ? DNS_IPV4 : 0u) | (six ? DNS_IPV6 : 0u), deadline_in(LOOK_UP_MS),
			       p->table.mem, &list, &n, NULL) != DNS_OK)
		return;
	p->looked_up = true;
	for (size_t i = 0; i < n && i < HOSTS_EACH; i++) {
		struct slice said;
		char room[ADDR_TEXT_ROOM];
		addr_set_port(&list[i], port);
		p->tried++;
		p->open += knock(&list[i], OUT_MS, p->table.mem, &said);
		put(p, "out", port, domain,
		    arena_fmt(p->table.mem, "%.*s[%s]", SLICE_ARG(host), addr_text(&list[i], room)), said);
	}
}

static void try_domain(struct ports *p, struct slice domain) {
	struct dns_mx *mx;
	size_t n;
	int r = dns_mx(p->dns, domain, deadline_in(LOOK_UP_MS), p->table.mem, &mx, &n, NULL);
	if (r == DNS_LATER)
		put(p, "out", SMTP_PORT, domain, SLICE_NONE, arena_fmt(p->table.mem, "? %s", fail_text()));
	else if (r == DNS_OK && !dns_mx_is_null(mx, n))
		try_host(p, mx[0].host, SMTP_PORT, domain);
	else if (r != DNS_OK)
		try_host(p, domain, SMTP_PORT, domain);
}

static void look_out(struct ports *p, const struct slice *domains, size_t count) {
	struct smtp_next_hop hop;
	if (count == 0 && dns_relayhost(conf_main(p->conf), &hop)) {
		uint16_t port = hop.port != 0 ? hop.port : SMTP_PORT;
		if (hop.no_mx || port != SMTP_PORT)
			try_host(p, hop.host, port, S("relayhost"));
		else
			try_domain(p, hop.host);
		return;
	}
	for (size_t i = 0; i < count; i++) try_domain(p, domains[i]);
	for (size_t i = 0; i < LEN(far_domains) && count == 0; i++) try_domain(p, slice_of(far_domains[i]));
}

/* ---- the whole ---- */

static int judge(const struct cli *cli, const struct ports *p) {
	int code = EX_OK;
	if (p->silent != 0)
		code = complain(cli, EX_UNAVAILABLE,
				"%zu of the ports of master.cf do not answer (hato status: does the server run?)",
				p->silent);
	if (!p->looked_up)
		return complain(cli, code == EX_OK ? EX_TEMPFAIL : code, "DNS does not say whom to try outside");
	if (p->tried != 0 && p->open == 0)
		code = complain(
			cli, EX_UNAVAILABLE,
			"no server outside answers: port 25 is closed on the way out, as on consumer lines and at many "
			"providers (OP25B): have it opened, or send by somebody's port 587 (relayhost = "
			"[smtp.example.net]:587)");
	return code;
}

int check_ports_command(struct cli *cli) {
	AUTO_ARENA struct arena mem = { 0 };
	AUTO_CONF struct conf *conf = NULL;
	AUTO_BUF struct buf text = BUF(MIB(1));
	struct ports p = { .table = { .mem = &mem, .columns = columns, .width = LEN(columns) } };
	struct slice *domains = arena_array(&mem, cli->count, sizeof *domains);
	size_t count = 0;
	bool json = false;
	struct dns_own own;
	cli->command = "check ports";
	for (size_t i = 1; i < cli->count; i++) {
		if (slice_eq(cli->args[i], S("--json")))
			json = true;
		else if (slice_starts(cli->args[i], S("-")))
			return usage_error(cli, cli->args[i]);
		else
			domains[count++] = cli->args[i];
	}
	int code = load_conf(cli, PROBLEM_ERROR, &conf);
	if (code != EX_OK) return code;
	struct dns_params params = dns_params_of(conf_main(conf), &mem);
	if (dns_open(&params, &p.dns) < 0) return complain(cli, EX_CONFIG, "%s", fail_text());
	p.conf = conf;
	dns_own_of(conf, &mem, &own);
	progress_begin("knocking");
	look_in(&p, &own);
	look_out(&p, domains, count);
	progress_end();
	if (json)
		table_json(&p.table, &text);
	else
		table_print(&p.table, terminal_width(STDOUT_FILENO), &text);
	fputs(buf_text(&text), stdout);
	fflush(stdout);
	dns_close(&p.dns);
	return judge(cli, &p);
}
