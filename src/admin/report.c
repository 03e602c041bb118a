/* SPDX-License-Identifier: Apache-2.0 */
/* What others reported about our domains: for a person, as JSON, and as a page. */
#include "admin/report.h"
#include "admin/inside.h"
#include "admin/json.h"
#include "admin/text.h"
#include "base/clock.h"
#include "base/fail.h"

#include <sysexits.h>

enum { DAYS_DEFAULT = 30, DAYS_MOST = 3650, SOURCES_SHOWN = 40, COMPLAINTS_SHOWN = 10, BARS_MOST = 60 };
#define DAY_US ((int64_t)86400 * 1000000)

static void percent(struct buf *out, uint64_t part, uint64_t all) {
	if (all == 0) return;
	uint64_t n = part * 1000 / all;
	buf_addf(out, "%llu.%llu %%", (unsigned long long)(n / 10), (unsigned long long)(n % 10));
}

static void put_head(struct admin_call *c, const struct digest_domain *d) {
	AUTO_BUF struct buf line = BUF(KIB(8));
	buf_addf(&line, "%.*s", SLICE_ARG(d->domain.len != 0 ? d->domain : S("(no domain)")));
	buf_addf(&line, "  %zu report%s from %zu receiver%s", d->reports, d->reports == 1 ? "" : "s", d->orgs,
		 d->orgs == 1 ? "" : "s");
	if (d->unproved != 0) buf_addf(&line, " (%zu unproved)", d->unproved);
	if (d->policy.len != 0) buf_addf(&line, ", policy %.*s", SLICE_ARG(d->policy));
	text_clean(c->out, buf_slice(&line));
	buf_byte(c->out, '\n');
	uint64_t all = d->pass + d->fail;
	if (all != 0) {
		buf_addf(c->out, "  DMARC: %llu messages, %llu passed (", (unsigned long long)all,
			 (unsigned long long)d->pass);
		percent(c->out, d->pass, all);
		buf_addf(c->out, "), %llu failed\n", (unsigned long long)d->fail);
	}
	if (d->tls_reports != 0)
		buf_addf(c->out, "  TLS: %llu sessions encrypted, %llu failed\n", (unsigned long long)d->tls_good,
			 (unsigned long long)d->tls_bad);
	if (d->complaints_count != 0)
		buf_addf(c->out, "  %zu message%s reported one by one\n", d->complaints_count,
			 d->complaints_count == 1 ? "" : "s");
}

/* Eighths of a block for each day; '.' where nothing was reported. */
static void put_trend(struct admin_call *c, const struct digest_domain *d) {
	static const char *const bars[] = { "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" };
	uint64_t most = 1;
	if (d->days_count < 2) return;
	int64_t last = d->days[d->days_count - 1].day, first = MAX_OF(d->days[0].day, last - BARS_MOST + 1);
	for (size_t i = 0; i < d->days_count; i++) most = MAX_OF(most, d->days[i].pass + d->days[i].fail);
	const struct { const char *name; bool fail; } rows[] = { { "all ", false }, { "fail", true } };
	for (size_t k = 0; k < LEN(rows); k++) {
		size_t i = 0;
		buf_addf(c->out, "  %s ", rows[k].name);
		for (int64_t day = first; day <= last; day++) {
			while (i < d->days_count && d->days[i].day < day) i++;
			bool there = i < d->days_count && d->days[i].day == day;
			uint64_t n = there ? d->days[i].fail + (rows[k].fail ? 0 : d->days[i].pass) : 0;
			buf_addf(c->out, "%s", n == 0 ? "." : bars[(n * 8 - 1) / most]);
		}
		buf_byte(c->out, '\n');
	}
}

static void put_sources(struct admin_call *c, const struct digest_domain *d) {
	static const struct column columns[] = {
		{ "MESSAGES", "messages", COLUMN_COUNT },
		{ "PASSED", "passed", COLUMN_COUNT },
		{ "FAILED", "failed", COLUMN_COUNT },
		{ "DKIM", "dkim_aligned", COLUMN_COUNT },
		{ "SPF", "spf_aligned", COLUMN_COUNT },
		{ "DONE", "disposition", COLUMN_TEXT },
		{ "NEW", "new", COLUMN_TEXT },
		{ "SOURCE", "source", COLUMN_TEXT },
		{ "NAME", "name", COLUMN_TEXT },
	};
	struct table t = { .mem = c->mem, .columns = columns, .width = LEN(columns) };
	for (size_t i = 0; i < d->sources_count && i < SOURCES_SHOWN; i++) {
		const struct digest_source *s = &d->sources[i];
		const uint64_t numbers[] = { s->count, s->pass, s->count - s->pass, s->dkim, s->spf };
		for (size_t k = 0; k < LEN(numbers); k++) table_number(&t, (int64_t)numbers[k]);
		table_text(&t, s->reject >= s->quarantine && s->reject != 0 ? S("reject")
			       : s->quarantine != 0                         ? S("quarantine")
									    : S("none"));
		table_text(&t, s->fresh ? S("new") : S(""));
		table_text(&t, s->source);
		table_text(&t, s->host);
	}
	if (table_rows(&t) == 0) return;
	buf_byte(c->out, '\n');
	table_print(&t, c->width, c->out);
	if (d->sources_count > SOURCES_SHOWN)
		buf_addf(c->out, "  and %zu more (--json has all)\n", d->sources_count - SOURCES_SHOWN);
}

static void put_complaints(struct admin_call *c, const struct digest_domain *d) {
	size_t from = d->complaints_count > COMPLAINTS_SHOWN ? d->complaints_count - COMPLAINTS_SHOWN : 0;
	if (d->complaints_count != 0) buf_add(c->out, S("\nReported one by one:\n"));
	for (size_t i = from; i < d->complaints_count; i++) {
		const struct digest_complaint *x = &d->complaints[i];
		AUTO_BUF struct buf line = BUF(KIB(8));
		text_time(&line, x->time_us);
		buf_addf(&line, "  %.*s %.*s  from %.*s  %.*s  %.*s", SLICE_ARG(x->type), SLICE_ARG(x->failure),
			 SLICE_ARG(x->source), SLICE_ARG(x->from), SLICE_ARG(x->subject));
		text_wrap(c->out, buf_slice(&line), 2, c->width);
	}
}

static void put_hints(struct admin_call *c, const struct digest_domain *d) {
	static const char *const marks[] = {
		[HINT_GOOD] = "ok:   ", [HINT_NOTE] = "note: ", [HINT_PROBLEM] = "todo: "
	};
	if (d->hints_count != 0) buf_byte(c->out, '\n');
	for (size_t i = 0; i < d->hints_count; i++) {
		struct slice text = arena_fmt(c->mem, "%s%.*s", marks[d->hints[i].weight], SLICE_ARG(d->hints[i].text));
		text_wrap(c->out, text, 2, c->width != 0 ? c->width : 120);
	}
}

static void put_words(struct admin_call *c, const struct digest *g) {
	for (size_t i = 0; i < g->domains_count; i++) {
		const struct digest_domain *d = &g->domains[i];
		if (i != 0) buf_byte(c->out, '\n');
		put_head(c, d);
		put_trend(c, d);
		put_sources(c, d);
		put_complaints(c, d);
		put_hints(c, d);
	}
}

/* JSON. */

static void json_sources(struct json *j, const struct digest_domain *d) {
	json_open(j, "sources", '[');
	for (size_t i = 0; i < d->sources_count; i++) {
		const struct digest_source *s = &d->sources[i];
		json_open(j, NULL, '{');
		json_text(j, "source", s->source);
		json_text(j, "name", s->host.len != 0 ? s->host : SLICE_NONE);
		json_number(j, "messages", (int64_t)s->count);
		json_number(j, "passed", (int64_t)s->pass);
		json_number(j, "failed", (int64_t)(s->count - s->pass));
		json_number(j, "dkim_aligned", (int64_t)s->dkim);
		json_number(j, "spf_aligned", (int64_t)s->spf);
		json_open(j, "disposition", '{');
		json_number(j, "none", (int64_t)s->none);
		json_number(j, "quarantine", (int64_t)s->quarantine);
		json_number(j, "reject", (int64_t)s->reject);
		json_close(j, '}');
		json_time(j, "first_seen", s->first_us);
		json_bool(j, "new", s->fresh);
		json_close(j, '}');
	}
	json_close(j, ']');
}

static void json_lists(struct json *j, const struct digest_domain *d) {
	static const char *const weights[] = { "good", "note", "problem" };
	json_open(j, "days", '[');
	for (size_t i = 0; i < d->days_count; i++) {
		json_open(j, NULL, '{');
		json_time(j, "day", d->days[i].day * DAY_US);
		json_number(j, "passed", (int64_t)d->days[i].pass);
		json_number(j, "failed", (int64_t)d->days[i].fail);
		json_number(j, "tls_sessions", (int64_t)d->days[i].tls_good);
		json_number(j, "tls_failures", (int64_t)d->days[i].tls_bad);
		json_close(j, '}');
	}
	json_close(j, ']');
	json_open(j, "tls_failures", '[');
	for (size_t i = 0; i < d->tls_count; i++) {
		json_open(j, NULL, '{');
		json_text(j, "type", d->tls[i].type);
		json_text(j, "host", d->tls[i].host);
		json_text(j, "info", d->tls[i].info.len != 0 ? d->tls[i].info : SLICE_NONE);
		json_number(j, "count", (int64_t)d->tls[i].count);
		json_close(j, '}');
	}
	json_close(j, ']');
	json_open(j, "complaints", '[');
	for (size_t i = 0; i < d->complaints_count; i++) {
		const struct digest_complaint *x = &d->complaints[i];
		json_open(j, NULL, '{');
		json_text(j, "type", x->type);
		json_text(j, "failure", x->failure.len != 0 ? x->failure : SLICE_NONE);
		json_text(j, "source", x->source);
		json_text(j, "from", x->from);
		json_text(j, "subject", x->subject);
		json_time(j, "time", x->time_us);
		json_close(j, '}');
	}
	json_close(j, ']');
	json_open(j, "hints", '[');
	for (size_t i = 0; i < d->hints_count; i++) {
		json_open(j, NULL, '{');
		json_text(j, "weight", slice_of(weights[d->hints[i].weight]));
		json_text(j, "text", d->hints[i].text);
		json_close(j, '}');
	}
	json_close(j, ']');
}

static void put_json(struct admin_call *c, const struct digest *g) {
	struct json j = { .out = c->out };
	json_open(&j, NULL, '[');
	for (size_t i = 0; i < g->domains_count; i++) {
		const struct digest_domain *d = &g->domains[i];
		json_open(&j, NULL, '{');
		json_text(&j, "domain", d->domain);
		json_text(&j, "policy", d->policy.len != 0 ? d->policy : SLICE_NONE);
		json_number(&j, "reports", (int64_t)d->reports);
		json_number(&j, "unproved", (int64_t)d->unproved);
		json_number(&j, "receivers", (int64_t)d->orgs);
		json_number(&j, "passed", (int64_t)d->pass);
		json_number(&j, "failed", (int64_t)d->fail);
		json_number(&j, "tls_reports", (int64_t)d->tls_reports);
		json_number(&j, "tls_sessions", (int64_t)d->tls_good);
		json_number(&j, "tls_failed", (int64_t)d->tls_bad);
		json_sources(&j, d);
		json_lists(&j, d);
		json_close(&j, '}');
	}
	json_close(&j, ']');
}

int verb_reports(struct admin_call *c) {
	AUTO_READ struct db_conn *conn = db_read(c->a->db);
	struct slice text, domain = S("");
	uint64_t days = DAYS_DEFAULT;
	struct digest g;
	if (call_option(c, "days", &text) && (!slice_number(text, DAYS_MOST, &days) || days == 0))
		return refuse(c, EX_USAGE, "--days needs a number from 1 to %d", DAYS_MOST);
	if (c->count == 1) domain = arena_lower(c->mem, c->args[0]);
	int64_t now = wall_us(), since = now - (int64_t)days * DAY_US;
	if (conn == NULL || digest_make(conn, &(struct digest_query){ domain, since }, c->mem, &g) < 0)
		return broken(c);
	if (call_option(c, "html", NULL)) report_page(c->out, &g, since, now);
	else if (c->json) put_json(c, &g);
	else put_words(c, &g);
	if (g.domains_count == 0 && !c->json)
		remark(c,
		       "no reports%s%.*s in %llu days (others send them to the address in rua= of a domain's DMARC "
		       "record: see report_addresses)",
		       domain.len != 0 ? " about " : "", SLICE_ARG(domain), (unsigned long long)days);
	return EX_OK;
}

int verb_reports_send(struct admin_call *c) {
	bool now = call_option(c, "now", NULL), dry = call_option(c, "dry-run", NULL);
	AUTO_BUF struct buf words = BUF(MIB(4));
	if (c->a->ops->reports_send == NULL)
		return refuse(c, EX_UNAVAILABLE, "the server must run for that (hato start)");
	struct slice domain = c->count == 1 ? arena_lower(c->mem, c->args[0]) : S("");
	int r = c->a->ops->reports_send(c->a->ctx, domain, now, dry, &words);
	if (r < 0) return refuse(c, EX_UNAVAILABLE, "%s", fail_text());
	text_clean_lines(c->out, buf_slice(&words));
	return EX_OK;
}
