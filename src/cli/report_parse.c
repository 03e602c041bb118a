/* SPDX-License-Identifier: Apache-2.0 */
/* hato reports parse: what a report file says. Needs no server and no configuration: a file that somebody sent is read
 * with the rights of whoever asks. */
#include "admin/json.h"
#include "admin/text.h"
#include "cli/inside.h"
#include "trust/report.h"

#include <fcntl.h>
#include <sysexits.h>

static void texts(struct json *j, const char *key, const struct report_text *list, size_t count) {
	json_open(j, key, '[');
	for (size_t i = 0; i < count; i++) json_text(j, NULL, list[i].text);
	json_close(j, ']');
}

/* null for what the report does not have */
static void maybe(struct json *j, const char *key, struct slice s) {
	json_text(j, key, s.len != 0 ? s : SLICE_NONE);
}

static void put_record(struct json *j, const struct report_record *r) {
	json_open(j, NULL, '{');
	json_open(j, "row", '{');
	json_text(j, "source_ip", r->source);
	json_number(j, "count", (int64_t)r->count);
	json_open(j, "policy_evaluated", '{');
	maybe(j, "disposition", r->disposition);
	maybe(j, "dkim", r->dkim);
	maybe(j, "spf", r->spf);
	json_open(j, "reason", '[');
	for (size_t i = 0; i < r->reasons_count; i++) {
		json_open(j, NULL, '{');
		maybe(j, "type", r->reasons[i].type);
		maybe(j, "comment", r->reasons[i].comment);
		json_close(j, '}');
	}
	json_close(j, ']');
	json_close(j, '}');
	json_close(j, '}');
	json_open(j, "identifiers", '{');
	maybe(j, "header_from", r->header_from);
	maybe(j, "envelope_from", r->envelope_from);
	maybe(j, "envelope_to", r->envelope_to);
	json_close(j, '}');
	json_open(j, "auth_results", '{');
	json_open(j, "dkim", '[');
	for (size_t i = 0; i < r->dkims_count; i++) {
		json_open(j, NULL, '{');
		json_text(j, "domain", r->dkims[i].domain);
		maybe(j, "selector", r->dkims[i].selector);
		maybe(j, "result", r->dkims[i].result);
		maybe(j, "human_result", r->dkims[i].human);
		json_close(j, '}');
	}
	json_close(j, ']');
	json_open(j, "spf", '[');
	for (size_t i = 0; i < r->spfs_count; i++) {
		json_open(j, NULL, '{');
		json_text(j, "domain", r->spfs[i].domain);
		maybe(j, "scope", r->spfs[i].scope);
		maybe(j, "result", r->spfs[i].result);
		maybe(j, "human_result", r->spfs[i].human);
		json_close(j, '}');
	}
	json_close(j, ']');
	json_close(j, '}');
	json_close(j, '}');
}

static void put_dmarc(struct json *j, const struct report_dmarc *d) {
	maybe(j, "version", d->version);
	json_bool(j, "well_formed", !d->repaired);
	json_open(j, "report_metadata", '{');
	maybe(j, "org_name", d->org);
	maybe(j, "email", d->email);
	maybe(j, "extra_contact_info", d->contact);
	maybe(j, "report_id", d->id);
	json_open(j, "date_range", '{');
	json_number(j, "begin", d->begin_s);
	json_number(j, "end", d->end_s);
	json_close(j, '}');
	texts(j, "error", d->errors, d->errors_count);
	maybe(j, "generator", d->generator);
	json_close(j, '}');
	json_open(j, "policy_published", '{');
	const struct { const char *key; struct slice text;
	} policy[] = {
		{ "domain", d->domain },   { "adkim", d->adkim },
		{ "aspf", d->aspf },       { "p", d->p },
		{ "sp", d->sp },           { "np", d->np },
		{ "pct", d->percent },     { "fo", d->fo },
		{ "testing", d->testing }, { "discovery_method", d->discovery },
	};
	for (size_t i = 0; i < LEN(policy); i++) maybe(j, policy[i].key, policy[i].text);
	json_close(j, '}');
	json_open(j, "record", '[');
	for (size_t i = 0; i < d->records_count; i++) put_record(j, &d->records[i]);
	json_close(j, ']');
}

static void put_policy(struct json *j, const struct report_tls_policy *p) {
	json_open(j, NULL, '{');
	json_open(j, "policy", '{');
	maybe(j, "policy-type", p->type);
	texts(j, "policy-string", p->strings, p->strings_count);
	maybe(j, "policy-domain", p->domain);
	texts(j, "mx-host", p->hosts, p->hosts_count);
	json_close(j, '}');
	json_open(j, "summary", '{');
	json_number(j, "total-successful-session-count", (int64_t)p->successes);
	json_number(j, "total-failure-session-count", (int64_t)p->failures);
	json_close(j, '}');
	json_open(j, "failure-details", '[');
	for (size_t i = 0; i < p->details_count; i++) {
		const struct report_tls_failure *f = &p->details[i];
		json_open(j, NULL, '{');
		maybe(j, "result-type", f->type);
		maybe(j, "sending-mta-ip", f->sending_ip);
		maybe(j, "receiving-mx-hostname", f->receiving_host);
		maybe(j, "receiving-mx-helo", f->receiving_helo);
		maybe(j, "receiving-ip", f->receiving_ip);
		json_number(j, "failed-session-count", (int64_t)f->count);
		maybe(j, "additional-information", f->info);
		maybe(j, "failure-reason-code", f->code);
		json_close(j, '}');
	}
	json_close(j, ']');
	json_close(j, '}');
}

static void put_tls(struct json *j, const struct report_tls *t) {
	maybe(j, "organization-name", t->org);
	json_open(j, "date-range", '{');
	maybe(j, "start-datetime", t->begin);
	maybe(j, "end-datetime", t->end);
	json_close(j, '}');
	maybe(j, "contact-info", t->contact);
	maybe(j, "report-id", t->id);
	json_open(j, "policies", '[');
	for (size_t i = 0; i < t->policies_count; i++) put_policy(j, &t->policies[i]);
	json_close(j, ']');
}

static void put_arf(struct json *j, const struct report_arf *a) {
	const struct { const char *key; struct slice text;
	} fields[] = {
		{ "feedback_type", a->feedback_type },
		{ "user_agent", a->user_agent },
		{ "version", a->version },
		{ "original_envelope_id", a->envelope_id },
		{ "original_mail_from", a->mail_from },
		{ "original_rcpt_to", a->rcpt_to },
		{ "reporting_mta", a->reporting_mta },
		{ "source_ip", a->source_ip },
		{ "source_port", a->source_port },
		{ "auth_failure", a->auth_failure },
		{ "delivery_result", a->delivery_result },
		{ "identity_alignment", a->alignment },
		{ "dkim_domain", a->dkim_domain },
		{ "dkim_identity", a->dkim_identity },
		{ "dkim_selector", a->dkim_selector },
		{ "dkim_selector_dns", a->dkim_selector_dns },
		{ "spf_dns", a->spf_dns },
		{ "original_subject", a->subject },
		{ "original_from", a->from },
		{ "original_message_id", a->message_id },
		{ "headers", a->headers },
	};
	for (size_t i = 0; i < LEN(fields); i++) maybe(j, fields[i].key, fields[i].text);
	json_time(j, "arrival_date", a->arrived_s * 1000000);
	json_number(j, "incidents", (int64_t)a->incidents);
	texts(j, "authentication_results", a->results, a->results_count);
	texts(j, "reported_domain", a->domains, a->domains_count);
	texts(j, "reported_uri", a->uris, a->uris_count);
}

static void put_json(struct buf *out, const struct report *r) {
	static const char *const kinds[] = { "refused", "dmarc", "tls-rpt", "arf" };
	struct json j = { .out = out };
	json_open(&j, NULL, '{');
	json_text(&j, "type", slice_of(kinds[r->kind]));
	maybe(&j, "file", r->file);
	switch ((enum report_kind)r->kind) {
	case REPORT_REFUSED: json_text(&j, "reason", r->reason); break;
	case REPORT_DMARC: put_dmarc(&j, &r->dmarc); break;
	case REPORT_TLS: put_tls(&j, &r->tls); break;
	case REPORT_ARF: put_arf(&j, &r->arf); break;
	}
	json_close(&j, '}');
}

static void line(struct buf *out, const char *what, struct slice text) {
	if (text.len == 0) return;
	buf_addf(out, "%-12s", what);
	text_clean(out, text);
	buf_byte(out, '\n');
}

static void put_day(struct buf *out, const char *what, int64_t s) {
	if (s == 0) return;
	buf_addf(out, "%-12s", what);
	text_stamp(out, s * 1000000);
	buf_byte(out, '\n');
}

/* For people: one line a record. */
static void put_words(struct buf *out, const struct report *r) {
	AUTO_BUF struct buf row = BUF(KIB(16));
	line(out, "file", r->file);
	if (r->kind == REPORT_DMARC) {
		const struct report_dmarc *d = &r->dmarc;
		line(out, "DMARC", d->domain);
		line(out, "from", d->org);
		line(out, "id", d->id);
		put_day(out, "begins", d->begin_s);
		put_day(out, "ends", d->end_s);
		line(out, "policy", d->p);
		for (size_t i = 0; i < d->records_count; i++) {
			const struct report_record *x = &d->records[i];
			buf_clear(&row);
			buf_addf(&row, "%8llu  %-39.*s dkim=%.*s spf=%.*s %.*s  %.*s", (unsigned long long)x->count,
				 SLICE_ARG(x->source), SLICE_ARG(x->dkim), SLICE_ARG(x->spf), SLICE_ARG(x->disposition),
				 SLICE_ARG(x->header_from));
			text_clean(out, buf_slice(&row));
			buf_byte(out, '\n');
		}
		return;
	}
	if (r->kind == REPORT_ARF) {
		const struct report_arf *a = &r->arf;
		const struct { const char *what; struct slice text;
		} lines[] = {
			{ "ARF", a->feedback_type }, { "failure", a->auth_failure }, { "arrived", a->arrival },
			{ "source", a->source_ip },  { "sender", a->mail_from },     { "recipient", a->rcpt_to },
			{ "from", a->from },         { "subject", a->subject },
		};
		for (size_t i = 0; i < LEN(lines); i++) line(out, lines[i].what, lines[i].text);
		for (size_t i = 0; i < a->domains_count; i++) line(out, "domain", a->domains[i].text);
		return;
	}
	line(out, "TLS from", r->tls.org);
	line(out, "id", r->tls.id);
	line(out, "begins", r->tls.begin);
	line(out, "ends", r->tls.end);
	for (size_t i = 0; i < r->tls.policies_count; i++) {
		const struct report_tls_policy *p = &r->tls.policies[i];
		line(out, "domain", p->domain);
		buf_addf(out, "%8llu  sessions with TLS\n%8llu  failures\n", (unsigned long long)p->successes,
			 (unsigned long long)p->failures);
		for (size_t k = 0; k < p->details_count; k++) {
			buf_clear(&row);
			buf_addf(&row, "%8llu  %.*s at %.*s", (unsigned long long)p->details[k].count,
				 SLICE_ARG(p->details[k].type), SLICE_ARG(p->details[k].receiving_host));
			text_clean(out, buf_slice(&row));
			buf_byte(out, '\n');
		}
	}
}

/* The file, at most as much as is read of any. EX_OK or a code. */
static int read_whole(const struct cli *cli, const char *name, struct buf *out) {
	AUTO_FD int fd = strcmp(name, "-") == 0 ? dup(STDIN_FILENO) : open(name, O_RDONLY | O_CLOEXEC);
	if (fd < 0) return complain(cli, EX_NOINPUT, "%s: %s", name, strerror(errno));
	for (;;) {
		char *room = buf_room(out, KIB(64));
		ssize_t n = room != NULL ? read(fd, room, KIB(64)) : -1;
		if (room == NULL) return complain(cli, EX_DATAERR, "%s: larger than any report", name);
		if (n < 0) return complain(cli, EX_NOINPUT, "%s: %s", name, strerror(errno));
		if (n == 0) return EX_OK;
		out->len += (size_t)n;
	}
}

int run_report_parse(struct cli *cli) {
	AUTO_ARENA struct arena mem = {0};
	AUTO_BUF struct buf bytes = BUF((size_t)REPORT_FILE_MAX + KIB(64));
	AUTO_BUF struct buf out = BUF(MIB(512));
	struct report_list list;
	struct slice name = SLICE_NONE;
	bool json = false, good = false;
	for (size_t i = 0; i < cli->count; i++) {
		if (slice_eq(cli->args[i], S("--json"))) json = true;
		else if ((slice_starts(cli->args[i], S("-")) && cli->args[i].len > 1) || name.at != NULL)
			return usage_error(cli, cli->args[i]);
		else name = cli->args[i];
	}
	if (name.at == NULL)
		return complain(cli, EX_USAGE,
				"which file? (hato reports parse [--json] FILE; - is the standard input)");
	int code = read_whole(cli, name.at, &bytes);
	if (code != EX_OK) return code;
	report_read(buf_slice(&bytes), &mem, &list);
	for (size_t i = 0; i < list.items_count; i++) {
		const struct report *r = &list.items[i];
		good |= r->kind != REPORT_REFUSED;
		if (r->kind == REPORT_REFUSED)
			complain(cli, EX_DATAERR, "%.*s%s%.*s: %.*s", SLICE_ARG(name), r->file.len != 0 ? ": " : "",
				 SLICE_ARG(r->file), SLICE_ARG(r->reason));
		if (json) put_json(&out, r);
		else if (r->kind != REPORT_REFUSED) put_words(&out, r);
	}
	if (list.items_count == 0) complain(cli, EX_DATAERR, "%.*s: %.*s", SLICE_ARG(name), SLICE_ARG(list.nothing));
	fwrite(out.at, 1, out.len, stdout);
	return good ? EX_OK : EX_DATAERR;
}
