/* SPDX-License-Identifier: Apache-2.0 */
/* The door's own checks, over a file and with DNS only: what it says is what the server would have said to that client.
 * The message streams through, however large. */
#include "base/clock.h"
#include "base/fail.h"
#include "cli/check_mail.h"
#include "cli/inside.h"
#include "cli/message_stream.h"
#include "filter/dnsbl.h"
#include "mime/header.h"
#include "role/evidence_settings.h"
#include "role/settings.h"

#include <sysexits.h>

enum { LISTS_MAX = 50, WAIT_MS = 5000 /* for the client's names, and again for lists, which were asked before */ };

struct mail_asked {
	bool json, has_sender;
	struct slice file;
	struct evidence_client client;
	bool has_client;
};

static bool read_words(const struct cli *cli, struct mail_asked *a) {
	for (size_t i = 0; i < cli->count; i++) {
		struct slice word = cli->args[i], *value = NULL, ip = SLICE_NONE;
		if (slice_eq(word, S("--json"))) {
			a->json = true;
			continue;
		}
		if (slice_eq(word, S("--client-ip"))) value = &ip;
		else if (slice_eq(word, S("--helo"))) value = &a->client.helo;
		else if (slice_eq(word, S("--mail-from"))) value = &a->client.sender;
		if (value != NULL) {
			if (++i == cli->count)
				return complain(cli, EX_USAGE, "%.*s: a value is missing", SLICE_ARG(word)), false;
			*value = cli->args[i];
			if (value == &a->client.sender) a->has_sender = true;
			if (value != &ip) continue;
			a->has_client = addr_parse(ip, &a->client.address);
			if (!a->has_client)
				return complain(cli, EX_USAGE, "%.*s: not an internet address", SLICE_ARG(ip)), false;
			continue;
		}
		if (slice_starts(word, S("--")) || a->file.len != 0) return usage_error(cli, word), false;
		a->file = word;
	}
	if (!a->has_client)
		return complain(cli, EX_USAGE,
				"--client-ip is missing: the address of the client that handed the message in (the "
				"Received field of the server that took it has it in square brackets)"),
		       false;
	if (a->file.len == 0) return complain(cli, EX_USAGE, "a message file is missing"), false;
	struct slice *s = &a->client.sender;
	if (slice_starts(*s, S("<")) && slice_ends(*s, S(">"))) *s = slice_from(s->at + 1, s->len - 2);
	return true;
}

/* The lists answer while the rest is looked at. */
static void hint_lists(const struct conf_view *v, struct dns *dns, const struct addr *client, struct arena *mem) {
	size_t words;
	const struct slice *list = conf_list(v, SET_check_dnsbl_sites, &words);
	for (size_t i = 0; i < MIN_OF(words, (size_t)LISTS_MAX); i++) {
		struct dnsbl_zone zone;
		if (dnsbl_zone_parse(list[i], true, &zone))
			dns_hint(dns, dnsbl_address_name(&zone, client, mem), DNS_A);
	}
}

/* ---- the message ---- */

struct message {
	const struct conf_view *settings;
	const struct evidence_params *params;
	struct mail_asked *asked;
	struct dns *dns;
	struct arena *mem;
	struct client_names *names;
	struct evidence *evidence;
	struct slice header;
};

/* Without --mail-from: the sender that a mailbox noted. */
static void take_sender(struct message *m, struct slice header) {
	struct field found;
	if (m->asked->has_sender || !header_find(header, S("Return-Path"), &found)) return;
	struct slice path = slice_trim(header_unfold(found.value, m->mem));
	if (slice_starts(path, S("<")) && slice_ends(path, S(">"))) path = slice_from(path.at + 1, path.len - 2);
	m->asked->client.sender = arena_slice(m->mem, path);
}

/* It is a message: now DNS is worth its wait. */
static void begin(void *ctx, struct slice header) {
	struct message *m = ctx;
	struct evidence_client *c = &m->asked->client;
	hint_lists(m->settings, m->dns, &c->address, m->mem);
	client_look(m->dns, &c->address, c->helo, deadline_in(WAIT_MS), m->mem, m->names);
	c->iprev = m->names->iprev;
	if (c->iprev == TRUST_PASS) c->name = m->names->name;
	take_sender(m, header);
	m->header = arena_slice(m->mem, header);
	m->evidence = evidence_begin(m->params, &m->asked->client, m->header, m->mem);
}

static void body(void *ctx, struct slice bytes) {
	struct message *m = ctx;
	evidence_body(m->evidence, bytes);
}

static int read_message(const struct cli *cli, struct message *m) {
	const char *name = arena_text(m->mem, m->asked->file);
	AUTO_FILE FILE *f = slice_eq(m->asked->file, S("-")) ? stdin : fopen(name, "rbe");
	if (f == NULL) return complain(cli, EX_NOINPUT, "%s: %s", name, strerror(errno));
	switch (message_stream_read(&(struct message_stream){ begin, body, m }, f)) {
	case MESSAGE_STREAMED: return EX_OK;
	case MESSAGE_UNREADABLE: return complain(cli, EX_NOINPUT, "%s: %s", name, strerror(errno));
	default:
		return complain(cli, EX_DATAERR,
				"%s: this is no message (it does not begin with a header, or that is larger than 1 "
				"MiB)",
				name);
	}
}

/* ---- the rest ---- */

static size_t ask_lists(const struct conf_view *v, struct dns *dns, const struct addr *client, struct arena *mem,
			struct finding_list *out) {
	size_t words, count = 0;
	const struct slice *list = conf_list(v, SET_check_dnsbl_sites, &words);
	int64_t deadline = deadline_in(WAIT_MS);
	for (size_t i = 0; i < words && count < LISTS_MAX; i++) {
		struct dnsbl_zone zone;
		struct dnsbl_hit hit = {0};
		if (!dnsbl_zone_parse(list[i], true, &zone)) continue;
		const struct dns_view view = { .dns = dns };
		enum dnsbl_result r =
			dnsbl_ask(&view, &zone, dnsbl_address_name(&zone, client, mem), deadline, true, mem, &hit);
		out[count++] = (struct finding_list){ zone.domain, hit.text,
						      r == DNSBL_LISTED  ? FINDING_LISTED
						      : r == DNSBL_CLEAN ? FINDING_CLEAN
									 : FINDING_UNKNOWN };
	}
	return count;
}

static int check(struct cli *cli, struct mail_asked *a, const struct conf_view *v, struct dns *dns, struct psl *psl,
		 struct arena *mem) {
	struct evidence_params p;
	struct evidence_verdict verdict;
	struct finding_list lists[LISTS_MAX];
	if (evidence_params_of(v, dns, mem, &p) < 0) return complain(cli, EX_CONFIG, "%s", fail_text());
	p.dmarc.psl = psl;
	p.use_spf = p.use_dkim = p.use_dmarc = p.use_arc = true;
	struct findings_facts facts = { .client = &a->client, .lists = lists };
	struct message m = { .settings = v, .params = &p, .asked = a, .dns = dns, .mem = mem, .names = &facts.names };
	int code = read_message(cli, &m);
	if (code != EX_OK) return code;
	facts.header = m.header;
	evidence_end(m.evidence, &verdict);
	facts.lists_count = ask_lists(v, dns, &a->client.address, mem, lists);
	if (a->json) check_mail_json(&verdict, &facts);
	else check_mail_text(&verdict, &facts, mem);
	return EX_OK;
}

int run_check_mail(struct cli *cli) {
	AUTO_ARENA struct arena mem = {0};
	AUTO_CONF struct conf *conf = NULL;
	AUTO(psl_close) struct psl *psl = NULL;
	struct mail_asked a = {0};
	if (!read_words(cli, &a)) return EX_USAGE;
	int code = load_conf(cli, PROBLEM_ERROR, &conf);
	if (code != EX_OK) return code;
	const struct conf_view *v = conf_main(conf);
	struct dns_params params = dns_params_of(v, &mem);
	struct slice list = conf_text(v, SET_dmarc_public_suffix_list);
	struct dns *dns;
	if (list.len != 0 && (psl = psl_open(slice_same(list, S("builtin")) ? NULL : arena_text(&mem, list))) == NULL)
		return complain(cli, EX_CONFIG, "dmarc_public_suffix_list: %s", fail_text());
	if (dns_open(&params, &dns) < 0) return complain(cli, EX_CONFIG, "%s", fail_text());
	code = check(cli, &a, v, dns, psl, &mem);
	dns_close(&dns);
	return code;
}
