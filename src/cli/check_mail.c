/* SPDX-License-Identifier: Apache-2.0 */
/* The door's own checks, over a file and with DNS only: what it says is what the server would have said to that client.
 * The message streams through, however large. */
#include "base/clock.h"
#include "base/fail.h"
#include "cli/check_mail.h"
#include "cli/inside.h"
#include "filter/dnsbl.h"
#include "mime/header.h"
#include "role/evidence_settings.h"
#include "role/settings.h"

#include <sysexits.h>

enum { HEADER_MAX = 1 << 20, CHUNK = 1 << 16, LISTS_MAX = 50, WAIT_MS = 10000 };

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
				"--client-ip is missing: the address of the client that handed the message in"),
		       false;
	if (a->file.len == 0) return complain(cli, EX_USAGE, "a message file is missing"), false;
	struct slice *s = &a->client.sender;
	if (slice_starts(*s, S("<")) && slice_ends(*s, S(">"))) *s = slice_from(s->at + 1, s->len - 2);
	return true;
}

/* ---- the message ---- */

struct message {
	const struct evidence_params *params;
	struct mail_asked *asked;
	struct arena *mem;
	struct buf header;
	struct evidence *evidence;
	bool cr; /* the last byte was one */
};

/* Is that the start of a message? */
static bool is_header(struct slice header) {
	struct fields f = { .block = header };
	struct field first;
	return fields_next(&f, &first) && first.start == 0 && memchr(header.at, '\0', header.len) == NULL;
}

/* Without --mail-from: the sender that a mailbox noted. */
static void take_sender(struct message *m, struct slice header) {
	struct field found;
	if (m->asked->has_sender || !header_find(header, S("Return-Path"), &found)) return;
	struct slice path = slice_trim(header_unfold(found.value, m->mem));
	if (slice_starts(path, S("<")) && slice_ends(path, S(">"))) path = slice_from(path.at + 1, path.len - 2);
	m->asked->client.sender = arena_slice(m->mem, path);
}

static int begin_body(struct message *m, size_t header_len) {
	struct slice all = buf_slice(&m->header), header = slice_head(all, header_len);
	if (slice_starts(header, S("From ")))
		header = slice_skip(header, slice_find(header, '\n') + 1); /* of an mbox */
	if (!is_header(header)) return EX_DATAERR;
	take_sender(m, header);
	m->evidence = evidence_begin(m->params, &m->asked->client, header, m->mem);
	evidence_body(m->evidence, slice_skip(all, MIN_OF(header_len + 2, all.len)));
	buf_done(&m->header);
	return EX_OK;
}

/* CRLF text. */
static int take(struct message *m, struct slice text) {
	if (m->evidence != NULL) {
		evidence_body(m->evidence, text);
		return EX_OK;
	}
	size_t before = m->header.len;
	if (!buf_add(&m->header, text)) return EX_DATAERR;
	struct slice all = buf_slice(&m->header), tail = slice_skip(all, before > 3 ? before - 3 : 0);
	size_t end = slice_search(tail, S("\r\n\r\n"));
	return end == tail.len ? EX_OK : begin_body(m, (size_t)(tail.at - all.at) + end + 2);
}

/* Files of Unix have LF; what is signed has CRLF. */
static int take_raw(struct message *m, struct slice raw) {
	AUTO_BUF struct buf text = BUF(2 * CHUNK + 2);
	for (size_t i = 0; i < raw.len; i++) {
		if (raw.at[i] == '\n' && !m->cr) buf_byte(&text, '\r');
		buf_byte(&text, raw.at[i]);
		m->cr = raw.at[i] == '\r';
	}
	return take(m, buf_slice(&text));
}

static int read_message(const struct cli *cli, struct message *m) {
	char *chunk = arena_get(m->mem, CHUNK);
	bool standard = slice_eq(m->asked->file, S("-")), ends = true;
	const char *name = arena_text(m->mem, m->asked->file);
	AUTO_FILE FILE *f = standard ? stdin : fopen(name, "rbe");
	if (f == NULL) return complain(cli, EX_NOINPUT, "%s: %s", name, strerror(errno));
	int code = EX_OK;
	for (size_t n; code == EX_OK && (n = fread(chunk, 1, CHUNK, f)) != 0;) {
		code = take_raw(m, slice_from(chunk, n));
		ends = chunk[n - 1] == '\n';
	}
	bool failed = ferror(f) != 0;
	if (failed) code = EX_NOINPUT;
	if (code == EX_OK && !ends) code = take(m, S("\r\n"));
	if (code == EX_OK && m->evidence == NULL) code = begin_body(m, m->header.len);
	if (failed) return complain(cli, code, "%s: %s", name, strerror(errno));
	return code == EX_OK ? EX_OK
			     : complain(cli, code,
					"%s: this is no message (it does not begin with a header, or that is larger "
					"than 1 MiB)",
					name);
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
	evidence_params_of(v, dns, mem, &p);
	p.dmarc.psl = psl;
	p.use_spf = p.use_dkim = p.use_dmarc = p.use_arc = true;
	struct message m = { .params = &p, .asked = a, .mem = mem, .header = BUF(HEADER_MAX) };
	struct findings_facts facts = { .client = &a->client, .lists = lists };
	client_look(dns, &a->client.address, a->client.helo, deadline_in(WAIT_MS), mem, &facts.names);
	a->client.iprev = facts.names.iprev;
	if (facts.names.iprev == TRUST_PASS) a->client.name = facts.names.name;
	int code = read_message(cli, &m);
	buf_done(&m.header);
	if (code != EX_OK) return code;
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
