/* SPDX-License-Identifier: Apache-2.0 */
/* `hato dns`: the server (or its data, when it is down) says which domains and public keys there are; DNS is asked
 * here, with the caller's rights. */
#include "cli/dns.h"
#include "admin/admin.h"
#include "base/clock.h"
#include "base/fail.h"
#include "role/core_dkim.h"
#include "role/settings.h"

#include <sysexits.h>

enum { ALL_MS = 120000 };

struct dns_asked {
	struct slice domain;
	bool json, check, zone;
};

static bool read_words(const struct cli *cli, struct dns_asked *a) {
	for (size_t i = 0; i < cli->count; i++) {
		struct slice word = cli->args[i];
		if (slice_eq(word, S("--json")))
			a->json = true;
		else if (slice_eq(word, S("--check")))
			a->check = true;
		else if (slice_eq(word, S("--zone")))
			a->zone = true;
		else if (slice_starts(word, S("-")) || a->domain.len != 0)
			return usage_error(cli, word), false;
		else
			a->domain = word;
	}
	return true;
}

/* ---- what the server says ---- */

static int ask_domains(struct cli *cli, const char *data, const struct conf_view *v, struct dns_domains *f) {
	size_t n;
	struct slice text;
	const struct slice *names = conf_list(v, SET_report_addresses, &n);
	n = MIN_OF(n, (size_t)200);
	struct slice *words = arena_array(f->mem, n + 2, sizeof *words);
	words[0] = S("domain");
	words[1] = S("names");
	for (size_t i = 0; i < n; i++) words[i + 2] = names[i];
	int code = dispatch_to(cli, data, &(struct admin_request){ .args = words, .count = n + 2 }, f->mem, &text);
	while (text.len != 0) {
		struct slice line = slice_cut(&text, '\n'), domain = slice_word(&line, " ");
		dns_domains_add(f, domain, slice_trim(line), true);
	}
	return code;
}

static int ask_keys(struct cli *cli, const char *data, struct dns_looking *l, struct dns_domains *f) {
	static const struct slice words[] = { { "dkim", 4 }, { "keys", 4 } };
	struct slice text;
	size_t lines = 0;
	struct admin_request req = { .args = words, .count = LEN(words) };
	int code = dispatch_to(cli, data, &req, f->mem, &text);
	for (size_t i = 0; i < text.len; i++) lines += text.at[i] == '\n';
	struct dns_key *keys = arena_array(f->mem, lines + 1, sizeof *keys);
	while (l->keys_count < lines && dns_key_next(&text, f->mem, &keys[l->keys_count]))
		dns_domains_add(f, keys[l->keys_count++].domain, SLICE_NONE, false);
	l->keys = keys;
	return code;
}

/* ---- the command ---- */

/* 0: right; EX_TEMPFAIL: DNS could not be asked about something; EX_DATAERR: something is missing or wrong. */
static int verdict(const struct dns_sheet *sheets, size_t count) {
	int code = EX_OK;
	for (size_t i = 0; i < count; i++)
		for (size_t k = 0; k < sheets[i].count; k++) {
			const struct dns_row *r = &sheets[i].rows[k];
			if (r->state == DNS_ROW_UNKNOWN && code == EX_OK) code = EX_TEMPFAIL;
			if (r->state == DNS_ROW_DIFFERS || (r->state == DNS_ROW_MISSING && !r->optional))
				code = EX_DATAERR;
		}
	return code;
}

static void print(const struct dns_asked *a, const struct dns_own *own, const struct dns_sheet *sheets, size_t count) {
	if (a->json) return dns_print_json(own, sheets, count);
	for (size_t i = 0; i < count && !a->zone; i++) dns_print_states(&sheets[i], !a->check);
	if (a->check) return;
	if (!a->zone) puts("The same for a zone file:\n");
	for (size_t i = 0; i < count; i++) dns_print_zone(&sheets[i]);
}

/* What was not looked at is said: else its silence would look like consent. */
static void tell_unlisted(const struct cli *cli, const struct dns_domains *f, const struct conf_view *v) {
	struct slice relays = conf_text(v, SET_relay_domains),
		     others = conf_text(v, SET_sender_dependent_relayhost_maps);
	for (size_t i = 0; i < f->unlisted_count; i++)
		complain(cli, 0, "%.*s: %.*s: its domains are not looked at (name one: hato dns DOMAIN)",
			 SLICE_ARG(f->unlisted[i].setting), SLICE_ARG(f->unlisted[i].why));
	if (relays.len != 0 && !slice_eq(relays, conf_text(v, SET_mydestination)))
		complain(cli, 0,
			 "relay_domains = %.*s: not looked at, for others send their mail, too (name one: hato dns "
			 "DOMAIN)",
			 SLICE_ARG(relays));
	if (others.len != 0)
		complain(cli, 0,
			 "sender_dependent_relayhost_maps = %.*s: senders named there go by another relay, whose "
			 "keeper says what their SPF records must include; the records above do not know of it",
			 SLICE_ARG(others));
}

static int look_and_print(const struct cli *cli, const struct dns_asked *a, struct dns_looking *l,
			  struct dns_domains *f) {
	struct dns_sheet *sheets = arena_array(f->mem, f->count + 1, sizeof *sheets);
	size_t count = 1;
	dns_seen(l, DNS_OK); /* the first question has as much time as one after an answer */
	l->end = deadline_in(ALL_MS);
	progress_begin("asking DNS");
	dns_look_host(l, &sheets[0]);
	for (size_t i = 0; i < f->count; i++)
		if (a->domain.len == 0 || slice_same(a->domain, f->at[i]->name)) {
			dns_look_domain(l, f->at[i], &sheets[count]);
			count += sheets[count].count != 0;
		}
	progress_end();
	print(a, l->own, sheets, count);
	if (a->domain.len == 0) tell_unlisted(cli, f, conf_main(l->conf));
	int code = verdict(sheets, count);
	if (code == EX_TEMPFAIL)
		complain(cli, code,
			 "DNS does not answer about everything (unknown): look at dns_resolvers, or try again");
	return a->check || code == EX_TEMPFAIL ? code : EX_OK;
}

static int run(struct cli *cli, struct dns_asked *a, const struct conf *conf, struct dns_domains *f) {
	const struct conf_view *v = conf_main(conf);
	const char *data = conf_text(v, SET_data_directory).at;
	struct dns_own own;
	struct dns_looking l = { .mem = f->mem, .own = &own, .conf = conf };
	int code = ask_domains(cli, data, v, f);
	dns_domains_add_settings(f, v);
	if (code == EX_OK) code = ask_keys(cli, data, &l, f);
	if (code != EX_OK) return code;
	if (a->domain.len != 0) {
		if (!dns_to_ascii(a->domain, f->mem, &a->domain) || !keyring_name(a->domain))
			return complain(cli, EX_DATAERR, "%.*s: not a domain (write it as example.com)",
					SLICE_ARG(a->domain));
		dns_domains_add(f, a->domain, SLICE_NONE, false);
	}
	dns_domains_find_parents(f);
	dns_own_of(conf, f->mem, &own);
	struct dns_params params = dns_params_of(v, f->mem);
	if (dns_open(&params, &l.dns) < 0) return complain(cli, EX_CONFIG, "%s", fail_text());
	code = look_and_print(cli, a, &l, f);
	dns_close(&l.dns);
	return code;
}

int run_dns(struct cli *cli) {
	AUTO_ARENA struct arena mem = { 0 };
	AUTO_CONF struct conf *conf = NULL;
	struct dns_domains found = { .mem = &mem };
	struct dns_asked a = { 0 };
	if (!read_words(cli, &a)) return EX_USAGE;
	int code = load_conf(cli, PROBLEM_ERROR, &conf);
	if (code == EX_OK) code = run(cli, &a, conf, &found);
	map_done(&found.seen, NULL);
	return code;
}
