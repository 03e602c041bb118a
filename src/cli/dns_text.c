/* SPDX-License-Identifier: Apache-2.0 */
/* The records that are text. A published one that does its work is right, whatever else it says; one that does not is
 * shown with what it should be. */
#include "base/fail.h"
#include "cli/dns.h"
#include "trust/dkim_text.h"
#include "trust/dmarc.h"
#include "trust/spf_publish.h"

enum { LOOKUPS_ALLOWED = 10 };

static int ask_texts(struct dns_looking *l, struct slice name, struct slice **texts, size_t *count) {
	*count = 0;
	int r = dns_seen(l, dns_txt(l->dns, name, dns_until(l), l->mem, texts, count, NULL));
	if (r != DNS_OK) *count = 0;
	return r;
}

static struct slice joined(struct dns_looking *l, const struct slice *texts, size_t count) {
	AUTO_BUF struct buf text = BUF(MIB(1));
	for (size_t i = 0; i < count; i++) buf_addf(&text, "%s%.*s", i != 0 ? "  and  " : "", SLICE_ARG(texts[i]));
	return dns_shown(l->mem, buf_slice(&text));
}

/* ---- SPF ---- */

static void check_sender(struct dns_looking *l, struct slice domain, const struct addr *client, struct spf_verdict *v) {
	struct spf_params p = { .dns = l->dns, .receiver = l->own->host.at, .deadline = dns_until(l) };
	struct slice sender = arena_fmt(l->mem, "postmaster@%.*s", SLICE_ARG(domain));
	spf_check(&p, &(struct spf_question){ .client = client, .helo = l->own->helo, .sender = sender }, l->mem, v);
	dns_seen(l, v->result == TRUST_TEMPERROR ? DNS_LATER : DNS_OK);
}

struct spf_lack {
	struct addr addresses[DNS_OWN_MAX]; /* ours that the record does not let send */
	size_t count;
	struct slice term; /* the relayhost's word, when it is not there */
	bool unknown;
	struct slice reason; /* of unknown */
};

static bool names_relay(struct dns_looking *l, const struct spf_verdict *whole, struct slice domain) {
	struct addr *list;
	size_t n;
	for (size_t i = 0; i < whole->sources_count; i++)
		if (spf_record_has(whole->sources[i].record, l->own->relay_term)) return true;
	if (l->own->relay_known || dns_seen(l, dns_addresses(l->dns, l->own->relay, DNS_IPV4 | DNS_IPV6, dns_until(l),
							     l->mem, &list, &n, NULL)) != DNS_OK)
		return false;
	for (size_t i = 0; i < n; i++) {
		struct spf_verdict v;
		check_sender(l, domain, &list[i], &v);
		if (v.result != TRUST_PASS) return false;
	}
	return n != 0;
}

static void find_lack(struct dns_looking *l, struct slice domain, const struct spf_verdict *whole,
		      struct spf_lack *out) {
	*out = (struct spf_lack){ 0 };
	if (l->own->relay.len != 0) {
		if (!names_relay(l, whole, domain)) out->term = l->own->relay_term;
		return;
	}
	for (size_t i = 0; i < l->own->sends.count; i++) {
		struct spf_verdict v;
		check_sender(l, domain, &l->own->sends.at[i], &v);
		if (v.result != TRUST_PASS) out->addresses[out->count++] = l->own->sends.at[i];
		if (v.result != TRUST_TEMPERROR) continue;
		out->unknown = true;
		out->reason = v.reason;
	}
}

static struct slice lacking(struct dns_looking *l, const struct spf_lack *lack) {
	AUTO_BUF struct buf text = BUF(KIB(16));
	char room[ADDR_TEXT_ROOM];
	for (size_t i = 0; i < lack->count; i++)
		buf_addf(&text, "%s%s", i != 0 ? ", " : "", addr_text(&lack->addresses[i], room));
	if (lack->term.len != 0)
		buf_addf(&text, "the relayhost %.*s (%.*s)", SLICE_ARG(l->own->relay), SLICE_ARG(lack->term));
	return arena_fmt(l->mem, "it does not let %s send", buf_text(&text));
}

/* One record, read as a stranger reads it whole: the address 0.0.0.0 is nobody's. */
static void judge_spf(struct dns_looking *l, struct dns_row *row, struct slice domain, struct slice record,
		      struct spf_lack *lack) {
	struct spf_verdict whole;
	struct addr nobody;
	must(addr_from_bytes(S("\0\0\0\0"), 0, &nobody));
	check_sender(l, domain, &nobody, &whole);
	find_lack(l, domain, &whole, lack);
	if (whole.result == TRUST_TEMPERROR || lack->unknown) {
		row->state = DNS_ROW_UNKNOWN;
		row->reason = lack->unknown ? lack->reason : whole.reason;
		return;
	}
	row->state = DNS_ROW_DIFFERS;
	if (whole.result == TRUST_PERMERROR)
		row->reason =
			arena_fmt(l->mem, "%.*s: to others that is as good as no record", SLICE_ARG(whole.reason));
	else if (spf_record_lets_all(record))
		row->reason = S("+all lets everybody send in this name");
	else if (lack->count != 0 || lack->term.len != 0)
		row->reason = lacking(l, lack);
	else {
		row->state = DNS_ROW_RIGHT;
		row->reason = arena_fmt(l->mem, "%u of %d look-ups", whole.lookups, LOOKUPS_ALLOWED);
	}
}

static struct slice merged(struct dns_looking *l, const struct slice *records, size_t count,
			   const struct spf_lack *lack, bool received) {
	struct spf_wish wish = { .addresses = lack->addresses, .count = lack->count, .term = lack->term };
	wish.mx = received && l->own->relay.len == 0;
	wish.all = received ? S("-all") : S("~all");
	struct slice text = spf_record_wanted(records, count, &wish, l->mem);
	return text.at != NULL ? dns_shown(l->mem, text) : text;
}

static int by_text(const void *a, const void *b) {
	return slice_order(*(const struct slice *)a, *(const struct slice *)b);
}

void dns_look_spf(struct dns_looking *l, const struct dns_domain *d, struct dns_sheet *s) {
	struct slice *texts, *records;
	size_t n;
	struct spf_lack lack = { .count = l->own->relay.len == 0 ? l->own->sends.count : 0,
				 .term = l->own->relay_term };
	memcpy(lack.addresses, l->own->sends.at, lack.count * sizeof *lack.addresses);
	struct dns_row *row = dns_row_add(l, s, "TXT", d->name, SLICE_NONE);
	if (ask_texts(l, d->name, &texts, &n) == DNS_LATER) {
		dns_row_unknown(l, row); /* without what is there nothing can be said that would not take it away */
		return;
	}
	records = arena_array(l->mem, n + 1, sizeof *records);
	size_t count = spf_records_among(texts, n, records);
	qsort(records, count, sizeof *records, by_text); /* DNS has no order */
	if (count <= 1 && l->own->relay.len == 0 && l->own->sends.count == 0) {
		row->state = DNS_ROW_UNKNOWN;
		row->reason = S("which address our mail comes from is not known here: set proxy_interfaces");
		row->value = count == 1 ? dns_shown(l->mem, records[0]) : SLICE_NONE;
		return;
	}
	if (count == 1) judge_spf(l, row, d->name, records[0], &lack);
	if (count > 1) {
		row->state = DNS_ROW_DIFFERS;
		row->reason = arena_fmt(
			l->mem, "%zu SPF records: to others that is as good as none; publish this one only", count);
	}
	if (count == 0)
		row->reason = l->own->relay.len == 0 ? S("no SPF record: others cannot tell who may send in this name")
			      : l->own->relay_known  ? S("no SPF record; mail leaves by the relayhost")
						    : S("no SPF record; mail leaves by the relayhost, whose keeper may "
							"name another include:");
	if (row->state == DNS_ROW_RIGHT)
		row->value = dns_shown(l->mem, records[0]);
	else if (row->state != DNS_ROW_UNKNOWN)
		row->value = merged(l, records, count, &lack, d->received);
	if (row->state == DNS_ROW_DIFFERS) row->found = joined(l, records, count);
	if (row->state == DNS_ROW_DIFFERS && slice_same(row->found, row->value)) row->value = SLICE_NONE;
}

/* Notices have no sender: there the name said in HELO is looked at (RFC 7208 §2.4). */
void dns_look_helo_spf(struct dns_looking *l, struct dns_sheet *s) {
	struct dns_domain d = { .name = l->own->helo };
	dns_look_spf(l, &d, s);
	struct dns_row *row = &s->rows[s->count - 1];
	row->optional = true;
	if (row->state != DNS_ROW_MISSING) return;
	row->value = S("v=spf1 a -all");
	row->reason = S("for mail without a sender, such as notices");
}

/* ---- DKIM ---- */

static void look_key(struct dns_looking *l, const struct dns_key *key, struct dns_sheet *s) {
	static const enum dns_state states[] = { [DKIM_PUBLISHED] = DNS_ROW_RIGHT,
						 [DKIM_NOT_PUBLISHED] = DNS_ROW_MISSING,
						 [DKIM_DIFFERENT] = DNS_ROW_DIFFERS,
						 [DKIM_UNKNOWN_YET] = DNS_ROW_UNKNOWN };
	struct slice reason = SLICE_NONE;
	struct dkim_record_text text = { .domain = key->domain,
					 .selector = key->selector,
					 .algorithm = (enum dkim_algorithm)key->algorithm,
					 .public_key = key->public_key,
					 .hashes = S("sha256") };
	struct slice name = arena_fmt(l->mem, "%.*s._domainkey.%.*s", SLICE_ARG(key->selector), SLICE_ARG(key->domain));
	struct dns_row *row = dns_row_add(l, s, "TXT", name, dkim_record_line(&text, l->mem));
	enum dkim_publication p =
		dkim_published(l->dns, key->selector, key->domain, key->public_key, dns_until(l), l->mem, &reason);
	dns_seen(l, p == DKIM_UNKNOWN_YET ? DNS_LATER : DNS_OK);
	row->state = states[p];
	row->reason = dns_shown(l->mem, reason);
	row->optional = slice_eq(key->state, S("retired"));
	if (row->optional)
		row->reason = S("signs no more; to stay until the key is gone, for mail that is still on its way");
	else if (p == DKIM_NOT_PUBLISHED)
		row->reason = slice_eq(key->state, S("waiting")) ? S("a new key: it signs when its record is there")
								 : S("it signs, and nobody can verify that");
}

void dns_look_dkim(struct dns_looking *l, const struct dns_domain *d, struct dns_sheet *s) {
	for (size_t i = 0; i < l->keys_count; i++)
		if (slice_same(l->keys[i].domain, d->name) && l->keys[i].public_key.len != 0)
			look_key(l, &l->keys[i], s);
}

/* ---- DMARC, reports about TLS ---- */

void dns_look_dmarc(struct dns_looking *l, const struct dns_domain *d, struct dns_sheet *s) {
	struct slice *texts, *records, reason;
	size_t n, count = 0;
	struct dmarc_record record;
	struct slice name = arena_fmt(l->mem, "_dmarc.%.*s", SLICE_ARG(d->name));
	struct slice rua = d->reports.len != 0 ? arena_fmt(l->mem, "; rua=mailto:%.*s", SLICE_ARG(d->reports)) : S("");
	struct dns_row *row = dns_row_add(l, s, "TXT", name, arena_fmt(l->mem, "v=DMARC1; p=none%.*s", SLICE_ARG(rua)));
	if (ask_texts(l, name, &texts, &n) == DNS_LATER) return dns_row_unknown(l, row);
	records = arena_array(l->mem, n + 1, sizeof *records);
	for (size_t i = 0; i < n; i++)
		if (dmarc_record_is(texts[i])) records[count++] = texts[i];
	if (count == 0) {
		row->reason = n == 0 ? SLICE_NONE : S("what is there is no DMARC record");
		row->found = joined(l, texts, n);
		return;
	}
	row->state = DNS_ROW_DIFFERS;
	if (count > 1)
		row->reason = S("more than one DMARC record: to others that is as good as none");
	else if (!dmarc_record_parse(records[0], l->mem, &record, &reason))
		row->reason = reason;
	else
		row->state = DNS_ROW_RIGHT;
	if (row->state == DNS_ROW_DIFFERS) {
		row->found = joined(l, records, count);
		return;
	}
	row->value = joined(l, records, 1);
	if (record.rua.len == 0)
		row->reason =
			d->reports.len != 0
				? arena_fmt(l->mem, "nobody reports to you: add%.*s", SLICE_ARG(slice_skip(rua, 1)))
				: S("nobody reports to you: make an alias dmarc@ and add rua=mailto:");
}

void dns_look_tlsrpt(struct dns_looking *l, const struct dns_domain *d, struct dns_sheet *s) {
	struct slice *texts;
	size_t n;
	struct slice name = arena_fmt(l->mem, "_smtp._tls.%.*s", SLICE_ARG(d->name));
	struct slice value = arena_fmt(l->mem, "v=TLSRPTv1; rua=mailto:%.*s", SLICE_ARG(d->reports));
	struct dns_row *row = dns_row_add(l, s, "TXT", name, value);
	row->optional = true;
	if (ask_texts(l, name, &texts, &n) == DNS_LATER) return dns_row_unknown(l, row);
	for (size_t i = 0; i < n; i++) {
		if (!slice_starts_same(texts[i], S("v=TLSRPTv1"))) continue;
		row->value = dns_shown(l->mem, texts[i]);
		row->state = DNS_ROW_RIGHT;
		return;
	}
}
