/* SPDX-License-Identifier: Apache-2.0 */
/* Every row is read and summed up here: a year of a small domain is some thousand rows. What strangers could make many
 * of (addresses, failures) is kept apart up to a limit. */
#include "report/digest.h"
#include "base/map.h"
#include "net/addr.h"

enum { SOURCES_MAX = 5000, TLS_MAX = 200, COMPLAINTS_MAX = 200, DOMAINS_MAX = 1000, DAYS_MAX = 800, ORGS_MAX = 1000 };
#define DAY_US ((int64_t)86400 * 1000000)

/* One domain under way. */
struct summing {
	struct arena *mem;
	struct digest *out;
	struct digest_domain *d;
	struct map sources, days, tls, orgs;
	size_t sources_room, days_room, tls_room, complaints_room, domains_room;
	int64_t report, since_us;
};

static void *more(struct arena *mem, void *list, size_t *count, size_t *room, size_t size) {
	void *at;
	memcpy(&at, list, sizeof at);
	if (*count == *room) {
		size_t wanted = *room == 0 ? 8 : *room * 2;
		void *fresh = arena_array(mem, wanted, size);
		if (*count != 0) memcpy(fresh, at, *count * size);
		*room = wanted;
		at = fresh;
		memcpy(list, &at, sizeof at);
	}
	return (char *)at + (*count)++ * size;
}
#define MORE(x, list, room) more((x)->mem, &(x)->d->list, &(x)->d->list##_count, &(x)->room, sizeof *(x)->d->list)
/* Lists grow, so maps hold places: index + 1. */
#define PLACE(index) ((void *)(uintptr_t)((index) + 1))
#define INDEX(place) ((size_t)(uintptr_t)(place)-1)

static void forget(struct summing *x) {
	struct map *maps[] = { &x->sources, &x->days, &x->tls, &x->orgs };
	for (size_t i = 0; i < LEN(maps); i++) {
		map_done(maps[i], NULL);
		*maps[i] = (struct map){ 0 };
	}
	x->sources_room = x->days_room = x->tls_room = x->complaints_room = 0;
}

static bool begin_domain(struct summing *x, struct slice domain) {
	if (x->d != NULL && slice_eq(x->d->domain, domain)) return true;
	forget(x);
	x->d = NULL;
	if (x->out->domains_count == DOMAINS_MAX) return false;
	x->d = more(x->mem, &x->out->domains, &x->out->domains_count, &x->domains_room, sizeof *x->out->domains);
	*x->d = (struct digest_domain){ .domain = arena_slice(x->mem, domain) };
	return true;
}

static struct digest_day *day_of(struct summing *x, int64_t time_us) {
	char key[32];
	int64_t day = time_us / DAY_US;
	struct slice text = slice_from(key, (size_t)snprintf(key, sizeof key, "%lld", (long long)day));
	void *place = map_get(&x->days, text);
	if (place != NULL) return &x->d->days[INDEX(place)];
	if (x->d->days_count == DAYS_MAX) return &x->d->days[DAYS_MAX - 1];
	struct digest_day *d = MORE(x, days, days_room);
	map_put(&x->days, text, PLACE(x->d->days_count - 1));
	*d = (struct digest_day){ .day = day };
	return d;
}

static struct digest_source *source_of(struct summing *x, struct slice source) {
	char room[ADDR_TEXT_ROOM];
	struct addr a;
	if (addr_parse(source, &a)) source = slice_of(addr_text(&a, room));
	void *place = map_get(&x->sources, source);
	if (place != NULL) return &x->d->sources[INDEX(place)];
	if (x->d->sources_count == SOURCES_MAX) {
		x->d->cut = true;
		return NULL;
	}
	struct digest_source *s = MORE(x, sources, sources_room);
	map_put(&x->sources, source, PLACE(x->d->sources_count - 1));
	*s = (struct digest_source){ .source = arena_slice(x->mem, source) };
	return s;
}

static bool passed(struct slice word) {
	return slice_same(word, S("pass"));
}

/* What it says of itself, where that did not help it: for the hints. */
static void keep_details(struct summing *x, struct digest_source *s, const struct report_record *r) {
	if (!passed(r->spf) && r->spfs_count != 0) {
		s->spf_domain = arena_slice(x->mem, r->spfs[0].domain);
		s->spf_result = arena_slice(x->mem, r->spfs[0].result);
	}
	if (passed(r->dkim) || r->dkims_count == 0) return;
	s->dkim_domain = arena_slice(x->mem, r->dkims[0].domain);
	s->dkim_selector = arena_slice(x->mem, r->dkims[0].selector);
	s->dkim_result = arena_slice(x->mem, r->dkims[0].result);
}

static void sum_record(struct summing *x, const struct inbox_report *report, const struct report_record *r) {
	struct digest_day *day = day_of(x, report->begin_us);
	bool good = passed(r->dkim) || passed(r->spf);
	uint64_t n = MIN_OF(r->count, (uint64_t)1 << 40);
	*(good ? &day->pass : &day->fail) += n;
	*(good ? &x->d->pass : &x->d->fail) += n;
	struct digest_source *s = source_of(x, r->source);
	if (s == NULL) return;
	s->count += n;
	s->pass += good ? n : 0;
	s->dkim += passed(r->dkim) ? n : 0;
	s->spf += passed(r->spf) ? n : 0;
	bool quarantine = slice_same(r->disposition, S("quarantine")), reject = slice_same(r->disposition, S("reject"));
	*(quarantine ? &s->quarantine : reject ? &s->reject : &s->none) += n;
	if (!good && r->reasons_count != 0) s->overridden += n;
	if (!good || s->dkim_domain.len == 0) keep_details(x, s, r);
}

static void sum_tls(struct summing *x, const struct inbox_report *report, const struct report_tls_policy *p) {
	struct digest_day *day = day_of(x, report->begin_us);
	uint64_t good = MIN_OF(p->successes, (uint64_t)1 << 40), bad = MIN_OF(p->failures, (uint64_t)1 << 40);
	x->d->tls_reports++;
	x->d->tls_good += good;
	x->d->tls_bad += bad;
	day->tls_good += good;
	day->tls_bad += bad;
	for (size_t i = 0; i < p->details_count; i++) {
		const struct report_tls_failure *f = &p->details[i];
		AUTO_BUF struct buf key = BUF(KIB(8));
		struct slice host = f->receiving_host.len != 0 ? f->receiving_host : f->receiving_ip;
		buf_addf(&key, "%.*s %.*s", SLICE_ARG(f->type), SLICE_ARG(host));
		void *place = map_get(&x->tls, buf_slice(&key));
		if (place == NULL && x->d->tls_count == TLS_MAX) {
			x->d->cut = true;
			continue;
		}
		struct digest_tls *t = place != NULL ? &x->d->tls[INDEX(place)] : MORE(x, tls, tls_room);
		if (place == NULL) {
			map_put(&x->tls, buf_slice(&key), PLACE(x->d->tls_count - 1));
			*t = (struct digest_tls){ .type = arena_slice(x->mem, f->type),
						  .host = arena_slice(x->mem, host) };
		}
		t->count += MIN_OF(f->count, (uint64_t)1 << 40);
		if (f->code.len != 0 || f->info.len != 0)
			t->info = arena_slice(x->mem, f->code.len != 0 ? f->code : f->info);
	}
}

static void sum_complaint(struct summing *x, const struct inbox_report *report, const struct report_arf *a) {
	if (x->d->complaints_count == COMPLAINTS_MAX) {
		x->d->cut = true;
		return;
	}
	struct digest_complaint *c = MORE(x, complaints, complaints_room);
	*c = (struct digest_complaint){ .type = arena_slice(x->mem, a->feedback_type),
					.source = arena_slice(x->mem, a->source_ip),
					.from = arena_slice(x->mem, a->from.len != 0 ? a->from : a->mail_from),
					.subject = arena_slice(x->mem, a->subject),
					.failure = arena_slice(x->mem, a->auth_failure),
					.time_us = report->begin_us,
					.count = a->incidents };
}

static void sum_head(struct summing *x, const struct inbox_report *r) {
	if (x->report == r->id) return;
	x->report = r->id;
	x->d->reports++;
	x->d->unproved += !r->proved;
	if (r->policy.len != 0) x->d->policy = arena_slice(x->mem, r->policy);
	if (x->d->orgs == ORGS_MAX || map_get(&x->orgs, r->org) != NULL) return;
	map_put(&x->orgs, r->org, x);
	x->d->orgs++;
}

static int sum_row(void *ctx, const struct inbox_report *r, struct slice data) {
	struct summing *x = ctx;
	AUTO_ARENA struct arena mem = { 0 };
	struct unwire in = UNWIRE(data, &mem);
	if (!begin_domain(x, r->domain)) return 0;
	sum_head(x, r);
	switch ((enum report_kind)r->kind) {
	case REPORT_DMARC: {
		struct report_record record;
		report_record_unpack(&in, &record);
		if (!in.bad) sum_record(x, r, &record);
		break;
	}
	case REPORT_TLS: {
		struct report_tls_policy policy;
		report_tls_policy_unpack(&in, &policy);
		if (!in.bad) sum_tls(x, r, &policy);
		break;
	}
	case REPORT_ARF: {
		struct report_arf arf;
		report_arf_unpack(&in, &arf);
		if (!in.bad) sum_complaint(x, r, &arf);
		break;
	}
	case REPORT_REFUSED: break;
	}
	return 0;
}

/* Names, and when each was first seen. */
struct naming { struct digest_domain *d; struct arena *mem; struct map places; int64_t since_us, oldest_us; };

static int name_source(void *ctx, const struct inbox_source *s) {
	struct naming *n = ctx;
	if (s->first_us < n->oldest_us) n->oldest_us = s->first_us;
	void *place = map_get(&n->places, s->source);
	if (place == NULL) return 0;
	struct digest_source *source = &n->d->sources[INDEX(place)];
	source->host = arena_slice(n->mem, s->host);
	source->first_us = s->first_us;
	return 0;
}

static int name_sources(struct db_conn *c, struct digest_domain *d, int64_t since_us, struct arena *mem) {
	struct naming n = { .d = d, .mem = mem, .since_us = since_us, .oldest_us = INT64_MAX };
	for (size_t i = 0; i < d->sources_count; i++) map_put(&n.places, d->sources[i].source, PLACE(i));
	int r = inbox_sources(c, d->domain, name_source, &n);
	map_done(&n.places, NULL);
	/* in the first reports ever everybody is new, and nobody is worth a word for it */
	for (size_t i = 0; i < d->sources_count; i++)
		d->sources[i].fresh = n.oldest_us < since_us && d->sources[i].first_us >= since_us;
	return r;
}

static int by_failures(const void *a, const void *b) {
	const struct digest_source *x = a, *y = b;
	uint64_t fx = x->count - x->pass, fy = y->count - y->pass;
	if (fx != fy) return fx < fy ? 1 : -1;
	if (x->count != y->count) return x->count < y->count ? 1 : -1;
	return slice_order(x->source, y->source);
}

static int by_day(const void *a, const void *b) {
	const struct digest_day *x = a, *y = b;
	return x->day < y->day ? -1 : x->day > y->day;
}

static int by_count(const void *a, const void *b) {
	const struct digest_tls *x = a, *y = b;
	return x->count < y->count ? 1 : x->count > y->count ? -1 : slice_order(x->host, y->host);
}

int digest_make(struct db_conn *c, const struct digest_query *q, struct arena *mem, struct digest *out) {
	struct summing x = { .mem = mem, .out = out, .since_us = q->since_us };
	*out = (struct digest){ 0 };
	int r = inbox_each(c, &(struct inbox_query){ .domain = q->domain, .since_us = q->since_us }, sum_row, &x);
	forget(&x);
	for (size_t i = 0; i < out->domains_count && r == 0; i++) {
		struct digest_domain *d = &out->domains[i];
		r = name_sources(c, d, q->since_us, mem);
		if (d->sources_count != 0) qsort(d->sources, d->sources_count, sizeof *d->sources, by_failures);
		if (d->days_count != 0) qsort(d->days, d->days_count, sizeof *d->days, by_day);
		if (d->tls_count != 0) qsort(d->tls, d->tls_count, sizeof *d->tls, by_count);
		digest_hints(d, mem);
	}
	return r;
}
