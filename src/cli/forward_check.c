/* SPDX-License-Identifier: Apache-2.0 */
/* The door's questions about a message, asked of a file: DNS is asked here, since core has none; what was found goes
 * along with the operator's request. */
#include "base/clock.h"
#include "base/fail.h"
#include "cli/inside.h"
#include "cli/message_stream.h"
#include "flow/forward.h"
#include "mime/address.h"
#include "mime/header.h"
#include "role/evidence_settings.h"
#include "role/settings.h"
#include "role/srs_settings.h"

#include <sysexits.h>

static struct slice option(const struct cli *cli, const char *name) {
	struct slice wanted = slice_of(name);
	for (size_t i = 0; i < cli->count; i++) {
		struct slice value = cli->args[i], word = slice_cut(&value, '=');
		if (!slice_eq(word, wanted)) continue;
		return value.at != NULL ? value : i + 1 < cli->count ? cli->args[i + 1] : SLICE_NONE;
	}
	return SLICE_NONE;
}

static struct slice return_path(struct slice header, struct arena *mem) {
	struct field f;
	if (!header_find(header, S("Return-Path"), &f)) return SLICE_NONE;
	struct slice value = header_unfold(f.value, mem);
	value = slice_skip(value, slice_find(value, '<') + 1);
	return slice_head(value, slice_find(value, '>'));
}

/* What the next server will say to the sender that we give it: our own addresses in DNS are what it sees. */
static void ask_next(struct dns *dns, const struct conf_view *v, struct forward_facts *facts, struct arena *mem) {
	struct slice host = conf_text(v, SET_myhostname);
	struct addr *ours;
	size_t n;
	facts->next_spf = TRUST_NONE;
	if (dns_addresses(dns, host, DNS_IPV4 | DNS_IPV6, deadline_in(SECONDS(10)), mem, &ours, &n, NULL) != DNS_OK) {
		facts->next_spf_reason = arena_fmt(mem, "%.*s has no address in DNS", SLICE_ARG(host));
		return;
	}
	struct spf_params p = { .dns = dns, .timeout_ms = (int)SECONDS(10) };
	struct slice sender = arena_fmt(mem, "srs@%.*s", SLICE_ARG(srs_domain_of(v)));
	for (size_t i = 0; i < n; i++) { /* the worst of them */
		struct spf_verdict found;
		spf_check(&p, &(struct spf_question){ .client = &ours[i], .helo = host, .sender = sender }, mem,
			  &found);
		if (i != 0 && found.result == TRUST_PASS) continue;
		facts->next_spf = (uint32_t)found.result;
		facts->next_spf_reason = found.reason;
	}
	facts->record.spf_here = conf_enum(v, SET_srs) != SRS_YES && facts->sender.len != 0;
	for (size_t i = 0; i < n && facts->record.spf_here; i++) {
		struct spf_verdict own;
		spf_check(&p, &(struct spf_question){ .client = &ours[i], .helo = host, .sender = facts->sender }, mem,
			  &own);
		facts->record.spf_here = own.result == TRUST_PASS;
	}
}

struct message {
	struct evidence_params params;
	struct evidence_client client;
	bool sender_given;
	struct evidence *evidence;
	struct arena *mem;
};

static void begin(void *ctx, struct slice header) {
	struct message *m = ctx;
	if (!m->sender_given) m->client.sender = return_path(header, m->mem);
	m->evidence = evidence_begin(&m->params, &m->client, header, m->mem);
}

static void body(void *ctx, struct slice bytes) {
	struct message *m = ctx;
	evidence_body(m->evidence, bytes);
}

static int read_message(const struct cli *cli, struct message *m) {
	if (isatty(STDIN_FILENO))
		return complain(cli, EX_USAGE,
				"the message is read from the standard input (hato forward check ADDRESS < message)");
	switch (message_stream_read(&(struct message_stream){ begin, body, m }, stdin)) {
	case MESSAGE_STREAMED: return EX_OK;
	case MESSAGE_UNREADABLE: return complain(cli, EX_IOERR, "standard input: %s", strerror(errno));
	default:
		return complain(cli, EX_DATAERR,
				"what stands on the standard input is no message: it does not begin with a header, "
				"or that is larger than 1 MiB");
	}
}

static int ask(const struct cli *cli, const struct conf_view *v, struct dns *dns, struct message *m, struct buf *out) {
	struct evidence_verdict verdict;
	int code = read_message(cli, m);
	if (code != EX_OK) return code;
	evidence_end(m->evidence, &verdict);
	struct forward_facts facts = { .record = verdict.record,
				       .sender = m->client.sender,
				       .spf_known = addr_family(&m->client.address) != AF_UNSPEC };
	ask_next(dns, v, &facts, m->mem);
	forward_facts_pack(out, &facts);
	return out->full ? complain(cli, EX_DATAERR, "too much was found about this message") : EX_OK;
}

int forward_facts_read(const struct cli *cli, const struct conf_view *v, struct buf *out) {
	AUTO_ARENA struct arena mem = { 0 };
	struct slice address = option(cli, "--client-ip"), given = option(cli, "--mail-from");
	struct message m = { .client = { .helo = option(cli, "--helo"), .sender = given },
			     .sender_given = given.at != NULL,
			     .mem = &mem };
	struct dns *dns;
	if (address.len != 0 && !addr_parse(address, &m.client.address))
		return complain(cli, EX_USAGE, "%.*s: not an internet address", SLICE_ARG(address));
	struct dns_params params = dns_params_of(v, &mem);
	if (dns_open(&params, &dns) < 0) return complain(cli, EX_CONFIG, "%s", fail_text());
	int r = evidence_params_of(v, dns, &mem, &m.params);
	int code = r < 0 ? complain(cli, EX_CONFIG, "%s", fail_text()) : EX_OK;
	m.params.use_spf = m.params.use_spf && address.len != 0;
	if (code == EX_OK) code = ask(cli, v, dns, &m, out);
	dns_close(&dns);
	return code;
}
