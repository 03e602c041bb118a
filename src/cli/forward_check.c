/* SPDX-License-Identifier: Apache-2.0 */
/* The door's questions about a message, asked of a file: DNS is asked here, since core has none; what was found goes
 * along with the operator's request. */
#include "base/clock.h"
#include "base/fail.h"
#include "cli/inside.h"
#include "flow/forward.h"
#include "mime/address.h"
#include "mime/header.h"
#include "role/evidence_settings.h"
#include "role/settings.h"
#include "role/srs_settings.h"

#include <sysexits.h>

enum { MESSAGE_MAX = 256 << 20, PIECE = 65536 };

static struct slice option(const struct cli *cli, const char *name) {
	struct slice wanted = slice_of(name);
	for (size_t i = 0; i < cli->count; i++) {
		struct slice value = cli->args[i], word = slice_cut(&value, '=');
		if (!slice_eq(word, wanted)) continue;
		return value.at != NULL ? value : i + 1 < cli->count ? cli->args[i + 1] : SLICE_NONE;
	}
	return SLICE_NONE;
}

/* Files have line ends of their own; signatures are about CRLF. */
static int read_message(const struct cli *cli, struct buf *out) {
	AUTO_BUF struct buf raw = BUF(MESSAGE_MAX);
	if (isatty(STDIN_FILENO))
		return complain(cli, EX_USAGE,
				"the message is read from the standard input (hato forward check ADDRESS < message)");
	for (;;) {
		char *room = buf_room(&raw, PIECE);
		ssize_t n = room != NULL ? read(STDIN_FILENO, room, PIECE) : -1;
		if (room == NULL)
			return complain(cli, EX_DATAERR, "the message is larger than %d MiB", MESSAGE_MAX >> 20);
		if (n < 0) return complain(cli, EX_IOERR, "standard input: %s", strerror(errno));
		if (n == 0) break;
		raw.len += (size_t)n;
	}
	for (size_t i = 0; i < raw.len; i++) {
		if (raw.at[i] == '\n' && (i == 0 || raw.at[i - 1] != '\r')) buf_byte(out, '\r');
		buf_byte(out, raw.at[i]);
	}
	struct fields walk = { .block = buf_slice(out) };
	struct field first;
	if (!fields_next(&walk, &first))
		return complain(cli, EX_DATAERR, "what stands on the standard input is no message: it has no header");
	return out->full ? complain(cli, EX_DATAERR, "the message is too large") : EX_OK;
}

static struct slice return_path(struct slice message, struct arena *mem) {
	struct field f;
	if (!header_find(message, S("Return-Path"), &f)) return SLICE_NONE;
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

int forward_facts_read(const struct cli *cli, const struct conf_view *v, struct buf *out) {
	AUTO_ARENA struct arena mem = {0};
	AUTO_BUF struct buf message = BUF(MESSAGE_MAX + (MESSAGE_MAX >> 2));
	struct slice address = option(cli, "--client-ip"), given = option(cli, "--mail-from");
	struct evidence_client client = { .helo = option(cli, "--helo") };
	struct evidence_verdict verdict;
	struct dns *dns;
	int code = read_message(cli, &message);
	if (code != EX_OK) return code;
	if (address.len != 0 && !addr_parse(address, &client.address))
		return complain(cli, EX_USAGE, "%.*s: not an internet address", SLICE_ARG(address));
	struct slice text = buf_slice(&message);
	size_t header = header_length(text);
	client.sender = given.at != NULL ? given : return_path(text, &mem);
	struct dns_params params = dns_params_of(v, &mem);
	if (dns_open(&params, &dns) < 0) return complain(cli, EX_CONFIG, "%s", fail_text());
	struct evidence_params p;
	evidence_params_of(v, dns, &mem, &p);
	p.use_spf = p.use_spf && address.len != 0;
	struct evidence *e = evidence_begin(&p, &client, slice_head(text, header), &mem);
	evidence_body(e, slice_skip(text, header));
	evidence_end(e, &verdict);
	struct forward_facts facts = { .record = verdict.record,
				       .sender = client.sender,
				       .spf_known = address.len != 0 };
	ask_next(dns, v, &facts, &mem);
	forward_facts_pack(out, &facts);
	dns_close(&dns);
	return out->full ? complain(cli, EX_DATAERR, "too much was found about this message") : EX_OK;
}
