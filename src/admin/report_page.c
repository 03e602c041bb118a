/* SPDX-License-Identifier: Apache-2.0 */
/* The page is one file: style and pictures (SVG) are in it, no script, and nothing is loaded from anywhere. */
#include "admin/report.h"
#include "base/encode.h"
#include "mime/date.h"

enum {
	CHART_WIDTH = 920,
	CHART_HEIGHT = 190,
	CHART_LEFT = 46,
	CHART_BOTTOM = 24,
	CHART_TOP = 10,
	SOURCES_SHOWN = 200,
	DAYS_SHOWN = 120
};
#define DAY_US ((int64_t)86400 * 1000000)

static const char style[] = ":root{--bg:#f6f7f9;--card:#fff;--ink:#1d2433;--soft:#667085;--line:#e4e7ec;--good:#2f9e6e;"
			    "--bad:#e0533d;--note:#c98a12;--tint:#eef6f2;"
			    "--accent:#3056d3}\n"
			    "@media(prefers-color-scheme:dark){:root{--bg:#12151c;--card:#1b202b;--ink:#e7eaf0;--soft:#"
			    "98a2b3;--line:#2c3340;--good:#43b884;"
			    "--bad:#f0705b;--note:#e0a93b;--tint:#1d2b27;--accent:#8aa4ff}}\n"
			    "*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 "
			    "system-ui,-apple-system,'Segoe UI',Roboto,"
			    "'Noto Sans',sans-serif}main{max-width:1000px;margin:0 auto;padding:32px 20px 64px}\n"
			    "h1{font-size:26px;margin:0}h2{font-size:21px;margin:40px 0 4px}h3{font-size:14px;margin:0 "
			    "0 12px;color:var(--soft);font-weight:600}"
			    "p{margin:4px 0}.soft{color:var(--soft)}.card{background:var(--card);border:1px solid "
			    "var(--line);border-radius:12px;padding:18px 20px;"
			    "margin:14px 0;overflow-x:auto}\n"
			    ".row{display:flex;gap:14px;flex-wrap:wrap}.row>.card{flex:1 1 170px;margin:14px 0 "
			    "0}.big{font-size:28px;font-weight:650;line-height:1.2}"
			    ".good{color:var(--good)}.bad{color:var(--bad)}\n"
			    "table{border-collapse:collapse;width:100%;font-size:14px}th{text-align:left;color:var(--"
			    "soft);font-weight:600;font-size:12px;padding:4px 10px "
			    "8px 0;white-space:nowrap}td{border-top:1px solid var(--line);padding:8px 10px 8px "
			    "0;vertical-align:top}td.n,th.n{text-align:right;"
			    "font-variant-numeric:tabular-nums}td.w{overflow-wrap:anywhere;min-width:180px}\n"
			    "td:last-child,th:last-child{padding-right:0}td.d,th.d{padding-left:14px}\n"
			    ".bar{display:flex;height:8px;border-radius:4px;overflow:hidden;background:var(--line);min-"
			    "width:120px;margin-top:7px}.bar i{display:block}"
			    ".bar .g{background:var(--good)}.bar .b{background:var(--bad)}\n"
			    ".hint{display:flex;gap:12px;padding:10px 0;border-top:1px solid "
			    "var(--line)}.hint:first-of-type{border-top:0;padding-top:0}.tag{flex:0 0 58px;"
			    "font-size:12px;font-weight:650;padding-top:1px}.tag.p{color:var(--bad)}.tag.t{color:var(--"
			    "note)}.tag.o{color:var(--good)}\n"
			    ".new{background:var(--accent);color:var(--card);border-radius:6px;padding:1px "
			    "7px;font-size:11px;font-weight:650;margin-left:6px}"
			    "svg text{fill:var(--soft);font-size:11px}svg .g{fill:var(--good)}svg "
			    ".b{fill:var(--bad)}svg .l{stroke:var(--line)}\n"
			    ".key{display:inline-block;width:10px;height:10px;border-radius:3px;margin:0 6px 0 "
			    "14px}footer{margin-top:40px;color:var(--soft);font-size:13px}";

static void escaped(struct buf *out, struct slice s) {
	while (s.len != 0) {
		uint32_t c = utf8_next(&s);
		if (c == '&') buf_add(out, S("&amp;"));
		else if (c == '<') buf_add(out, S("&lt;"));
		else if (c == '>') buf_add(out, S("&gt;"));
		else if (c == '"') buf_add(out, S("&quot;"));
		else if (c == '\'') buf_add(out, S("&#39;"));
		else if (c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x200b && c <= 0x206f))
			buf_byte(out, ' '); /* also what turns lines around */
		else utf8_add(out, c);
	}
}

/* 12 345 678 */
static void grouped(struct buf *out, uint64_t n) {
	char digits[32];
	int len = snprintf(digits, sizeof digits, "%llu", (unsigned long long)n);
	for (int i = 0; i < len; i++) {
		if (i != 0 && (len - i) % 3 == 0) buf_add(out, S("&#8239;"));
		buf_byte(out, digits[i]);
	}
}

static void day_text(struct buf *out, int64_t day) {
	int year, month, d;
	days_split(day, &year, &month, &d);
	buf_addf(out, "%04d-%02d-%02d", year, month, d);
}

static void percent(struct buf *out, uint64_t part, uint64_t all) {
	uint64_t n = all != 0 ? part * 1000 / all : 0;
	buf_addf(out, "%llu.%llu&#8239;%%", (unsigned long long)(n / 10), (unsigned long long)(n % 10));
}

/* A number with its name. */
static void fact(struct buf *out, const char *class, const char *name, uint64_t n, bool is_share, uint64_t of) {
	buf_addf(out, "<div class=card><div class=\"big %s\">", class);
	if (is_share) percent(out, n, of);
	else grouped(out, n);
	buf_addf(out, "</div><div class=soft>%s</div></div>\n", name);
}

/* The least round number at or above n: 1, 2, 3, 4, 5, 6, 8, 10, 20, … */
static uint64_t round_up(uint64_t n) {
	static const uint64_t steps[] = { 1, 2, 3, 4, 5, 6, 8 };
	for (uint64_t scale = 1; scale < UINT64_MAX / 100; scale *= 10)
		for (size_t i = 0; i < LEN(steps); i++)
			if (steps[i] * scale >= n) return steps[i] * scale;
	return n;
}

static void good_bad(const struct digest_day *d, bool tls, uint64_t *good, uint64_t *bad) {
	*good = tls ? d->tls_good : d->pass;
	*bad = tls ? d->tls_bad : d->fail;
}

/* Bars, one a day: what failed stands on top of what passed. */
static void chart(struct buf *out, const struct digest_domain *d, bool tls, const char *title) {
	uint64_t most = 1, good, bad;
	int64_t last = d->days[d->days_count - 1].day, first = MAX_OF(d->days[0].day, last - DAYS_SHOWN + 1);
	first = MIN_OF(first, last - 13); /* a few days do not make a wall */
	for (size_t i = 0; i < d->days_count; i++) {
		good_bad(&d->days[i], tls, &good, &bad);
		most = MAX_OF(most, good + bad);
	}
	most = round_up(most);
	double height = CHART_HEIGHT - CHART_TOP - CHART_BOTTOM,
	       slot = (double)(CHART_WIDTH - CHART_LEFT) / (double)(last - first + 1);
	double base = CHART_HEIGHT - CHART_BOTTOM, wide = slot * 0.72;
	buf_addf(out,
		 "<div class=card><h3>%s<span class=key style=\"background:var(--good)\"></span>%s<span class=key "
		 "style=\"background:var(--bad)\">"
		 "</span>failed</h3>\n<svg viewBox=\"0 0 %d %d\" width=\"100%%\" role=img aria-label=\"%s\">\n",
		 title, tls ? "encrypted" : "passed", CHART_WIDTH, CHART_HEIGHT, title);
	for (int i = 0; i <= 2; i++) {
		double y = base - height * i / 2;
		buf_addf(out, "<line class=l x1=%d x2=%d y1=%.1f y2=%.1f /><text x=%d y=%.1f text-anchor=end>",
			 CHART_LEFT, CHART_WIDTH, y, y, CHART_LEFT - 8, y + 4);
		if (i != 1 || most % 2 == 0) grouped(out, most * (uint64_t)i / 2);
		buf_add(out, S("</text>\n"));
	}
	for (size_t i = 0; i < d->days_count; i++) {
		if (d->days[i].day < first) continue;
		good_bad(&d->days[i], tls, &good, &bad);
		if (good + bad == 0) continue;
		double x = CHART_LEFT + slot * (double)(d->days[i].day - first) + (slot - wide) / 2;
		double g = height * (double)good / (double)most, b = height * (double)bad / (double)most;
		if (bad != 0) b = MAX_OF(b, 1.5); /* never too small to be seen */
		buf_add(out, S("<g><title>"));
		day_text(out, d->days[i].day);
		buf_addf(out, ": %llu + %llu failed</title>", (unsigned long long)good, (unsigned long long)bad);
		buf_addf(out, "<rect class=g x=%.1f y=%.1f width=%.1f height=%.1f rx=1.5 />", x, base - g, wide, g);
		buf_addf(out, "<rect class=b x=%.1f y=%.1f width=%.1f height=%.1f rx=1.5 /></g>\n", x, base - g - b,
			 wide, b);
	}
	int64_t step = MAX_OF((last - first) / 6, (int64_t)1);
	for (int64_t day = first; day <= last; day += step) {
		double x = CHART_LEFT + slot * (double)(day - first) + slot / 2;
		if (x > CHART_WIDTH - 34) break;
		buf_addf(out, "<text x=%.1f y=%d text-anchor=middle>", MAX_OF(x, (double)CHART_LEFT + 26),
			 CHART_HEIGHT - 6);
		day_text(out, day);
		buf_add(out, S("</text>\n"));
	}
	buf_add(out, S("</svg></div>\n"));
}

static void hints(struct buf *out, const struct digest_domain *d) {
	static const struct {
		const char *class, *word;
	} words[] = { [HINT_GOOD] = { "o", "good" }, [HINT_NOTE] = { "t", "note" }, [HINT_PROBLEM] = { "p", "to do" } };
	if (d->hints_count == 0) return;
	buf_add(out, S("<div class=card><h3>What to do</h3>\n"));
	for (size_t i = 0; i < d->hints_count; i++) {
		buf_addf(out, "<div class=hint><div class=\"tag %s\">%s</div><div>", words[d->hints[i].weight].class,
			 words[d->hints[i].weight].word);
		escaped(out, d->hints[i].text);
		buf_add(out, S("</div></div>\n"));
	}
	buf_add(out, S("</div>\n"));
}

static void number_cell(struct buf *out, uint64_t n) {
	buf_add(out, S("<td class=n>"));
	grouped(out, n);
	buf_add(out, S("</td>"));
}

static void source_row(struct buf *out, const struct digest_source *s) {
	double good = s->count != 0 ? 100.0 * (double)s->pass / (double)s->count : 0;
	buf_add(out, S("<tr><td class=w>"));
	escaped(out, s->host.len != 0 ? s->host : s->source);
	if (s->fresh) buf_add(out, S("<span class=new>new</span>"));
	if (s->host.len != 0) {
		buf_add(out, S("<div class=soft>"));
		escaped(out, s->source);
		buf_add(out, S("</div>"));
	}
	buf_addf(out,
		 "</td><td><div class=bar><i class=g style=\"width:%.1f%%\"></i><i class=b "
		 "style=\"width:%.1f%%\"></i></div></td>",
		 good, s->count != 0 ? 100 - good : 0);
	const uint64_t numbers[] = { s->count, s->pass, s->count - s->pass, s->dkim, s->spf };
	for (size_t i = 0; i < LEN(numbers); i++) number_cell(out, numbers[i]);
	buf_addf(out, "<td class=d>%s</td></tr>\n",
		 s->reject != 0 && s->reject >= s->quarantine ? "rejected"
		 : s->quarantine != 0                         ? "quarantined"
							      : "delivered");
}

static void sources(struct buf *out, const struct digest_domain *d) {
	if (d->sources_count == 0) return;
	buf_add(out, S("<div class=card><h3>Who sends in this name</h3>\n<table><thead><tr><th>source<th>share<th "
		       "class=n>messages<th class=n>passed"
		       "<th class=n>failed<th class=n>DKIM<th class=n>SPF<th class=d>done</tr></thead><tbody>\n"));
	for (size_t i = 0; i < d->sources_count && i < SOURCES_SHOWN; i++) source_row(out, &d->sources[i]);
	buf_add(out, S("</tbody></table>\n"));
	if (d->sources_count > SOURCES_SHOWN)
		buf_addf(out, "<p class=soft>and %zu more</p>\n", d->sources_count - SOURCES_SHOWN);
	buf_add(out, S("</div>\n"));
}

static void tls(struct buf *out, const struct digest_domain *d) {
	if (d->tls_count == 0) return;
	buf_add(out, S("<div class=card><h3>TLS failures</h3><table><thead><tr><th>failure<th>server<th>more<th "
		       "class=n>sessions</tr></thead><tbody>\n"));
	for (size_t i = 0; i < d->tls_count; i++) {
		const struct slice cells[] = { d->tls[i].type, d->tls[i].host, d->tls[i].info };
		buf_add(out, S("<tr>"));
		for (size_t k = 0; k < LEN(cells); k++) {
			buf_add(out, S("<td class=w>"));
			escaped(out, cells[k]);
			buf_add(out, S("</td>"));
		}
		number_cell(out, d->tls[i].count);
		buf_add(out, S("</tr>\n"));
	}
	buf_add(out, S("</tbody></table></div>\n"));
}

static void complaints(struct buf *out, const struct digest_domain *d) {
	if (d->complaints_count == 0) return;
	buf_add(out, S("<div class=card><h3>Reported one by "
		       "one</h3><table><thead><tr><th>day<th>what<th>source<th>from<th>subject</tr></thead><tbody>\n"));
	for (size_t i = d->complaints_count; i > 0; i--) {
		const struct digest_complaint *c = &d->complaints[i - 1];
		const struct slice cells[] = { c->failure.len != 0 ? c->failure : c->type, c->source, c->from,
					       c->subject };
		buf_add(out, S("<tr><td>"));
		day_text(out, c->time_us / DAY_US);
		buf_add(out, S("</td>"));
		for (size_t k = 0; k < LEN(cells); k++) {
			buf_addf(out, "<td%s>", k >= 2 ? " class=w" : "");
			escaped(out, cells[k]);
			buf_add(out, S("</td>"));
		}
		buf_add(out, S("</tr>\n"));
	}
	buf_add(out, S("</tbody></table></div>\n"));
}

static void domain(struct buf *out, const struct digest_domain *d) {
	uint64_t all = d->pass + d->fail, sessions = d->tls_good + d->tls_bad;
	buf_add(out, S("<section><h2>"));
	escaped(out, d->domain.len != 0 ? d->domain : S("(no domain)"));
	buf_addf(out, "</h2><p class=soft>%zu report%s from %zu receiver%s", d->reports, d->reports == 1 ? "" : "s",
		 d->orgs, d->orgs == 1 ? "" : "s");
	if (d->policy.len != 0) {
		buf_add(out, S(" · policy "));
		escaped(out, d->policy);
	}
	buf_add(out, S("</p>\n<div class=row>"));
	if (all != 0) {
		fact(out, "", "messages", all, false, 0);
		fact(out, "good", "passed", d->pass, true, all);
		fact(out, d->fail != 0 ? "bad" : "good", "failed", d->fail, false, 0);
	}
	if (d->tls_reports != 0)
		fact(out, d->tls_bad != 0 ? "bad" : "good", "TLS sessions failed", d->tls_bad, false, 0);
	if (sessions != 0) fact(out, "good", "sessions with TLS", d->tls_good, true, sessions);
	buf_add(out, S("</div>\n"));
	hints(out, d);
	if (all != 0) chart(out, d, false, "Messages a day");
	sources(out, d);
	if (sessions != 0) chart(out, d, true, "TLS sessions a day");
	tls(out, d);
	complaints(out, d);
	buf_add(out, S("</section>\n"));
}

void report_page(struct buf *out, const struct digest *g, int64_t since_us, int64_t now_us) {
	buf_add(out, S("<!doctype html>\n<html lang=en><head><meta charset=utf-8><meta name=viewport "
		       "content=\"width=device-width,initial-scale=1\">\n"
		       "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; style-src "
		       "'unsafe-inline'\">\n<title>Mail reports</title>\n<style>\n"));
	buf_add(out, slice_of(style));
	buf_add(out, S("</style></head>\n<body><main>\n<h1>Mail in our name</h1>\n<p class=soft>What other servers "
		       "reported, "));
	day_text(out, since_us / DAY_US);
	buf_add(out, S(" to "));
	day_text(out, now_us / DAY_US);
	buf_add(out, S("</p>\n"));
	for (size_t i = 0; i < g->domains_count; i++) domain(out, &g->domains[i]);
	if (g->domains_count == 0) buf_add(out, S("<div class=card>No report has come in this time.</div>\n"));
	buf_add(out, S("<footer>Made by hato. Days are UTC. A message passes when SPF or DKIM proves that it comes "
		       "from the domain in its From field."
		       "</footer>\n</main></body></html>\n"));
}
