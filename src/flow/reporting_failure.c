/* SPDX-License-Identifier: Apache-2.0 */
/* Failure reports (RFC 9991), for who wants to send them: not counted, but ways to fail told. They wait for a minute,
 * so that what is alike becomes one with a number; their rows in the database bring them back after a restart. */
#include "base/fail.h"
#include "base/log.h"
#include "flow/reporting_private.h"

enum { WAITING_MAX = 200, WAIT_MS = 60000, ROOM = 1 << 20 };

struct failure {
	struct arena mem;
	struct report_failure report;
	struct slice ruf;
	int64_t due;
	int64_t id;            /* its row */
	bool of_none;          /* the policy is none */
};

static struct slice keep(struct failure *f, struct slice s) {
	return arena_slice(&f->mem, slice_head(s, 255));
}

static bool alike(const struct failure *f, const struct evidence_record *e) {
	const struct report_failure *r = &f->report;
	return slice_same(r->domain, e->dmarc.domain) && slice_same(r->from, e->dmarc.from) &&
	       slice_eq(r->source, e->client) && r->spf_failed == !e->dmarc.spf_aligned &&
	       r->dkim_failed == !e->dmarc.dkim_aligned;
}

static bool is_below(struct slice domain, struct slice above) {
	return domain.len > above.len && slice_ends_same(domain, above) &&
	       domain.at[domain.len - above.len - 1] == '.';
}

/* The first signature that did not verify; one of the author's own domain, if there is any (RFC 9991 §4 wants that). */
static const struct evidence_dkim *broken(const struct evidence_record *e) {
	const struct evidence_dkim *first = NULL;
	struct slice from = e->dmarc.from;
	for (size_t i = 0; i < e->dkim_count; i++) {
		const struct evidence_dkim *d = &e->dkim[i];
		if (d->result == TRUST_PASS) continue;
		if (slice_same(d->domain, from) || is_below(d->domain, from) || is_below(from, d->domain)) return d;
		if (first == NULL) first = d;
	}
	return first;
}

static void keep_sources(struct failure *f, const struct evidence_record *e) {
	size_t n = MIN_OF(e->sources_count, (size_t)SPF_SOURCES_MAX);
	struct spf_source *list = arena_array(&f->mem, n + 1, sizeof *list);
	for (size_t i = 0; i < n; i++)
		list[i] = (struct spf_source){ keep(f, e->sources[i].domain),
					       arena_slice(&f->mem, e->sources[i].record) };
	f->report.sources = list;
	f->report.sources_count = n;
}

static struct failure *make(const struct evidence_record *e) {
	struct failure *f = mem_get(sizeof *f);
	const struct evidence_dkim *dkim = broken(e);
	const struct evidence_dmarc *d = &e->dmarc;
	f->ruf = keep(f, d->ruf);
	f->of_none = d->policy <= DMARC_POLICY_NONE;
	f->due = deadline_in(WAIT_MS);
	f->report = (struct report_failure){
		.domain = keep(f, d->domain),
		.from = keep(f, d->from),
		.source = keep(f, e->client),
		.envelope_domain = keep(f, e->spf.domain),
		.spf_failed = !d->spf_aligned,
		.dkim_failed = !d->dkim_aligned,
		.spf = slice_of(trust_word((enum trust_result)e->spf.result)),
		.dkim = slice_of(trust_word(dkim != NULL         ? (enum trust_result)dkim->result
					    : e->dkim_count != 0 ? TRUST_PASS
								 : TRUST_NONE)),
		.delivery = d->disposition == DMARC_POLICY_REJECT       ? S("reject")
			    : d->disposition == DMARC_POLICY_QUARANTINE ? S("policy")
									: S("delivered"),
		.incidents = 1,
		.arrived_s = wall_s(),
	};
	keep_sources(f, e);
	if (dkim != NULL) {
		f->report.dkim_domain = keep(f, dkim->domain);
		f->report.dkim_selector = keep(f, dkim->selector);
	}
	return f;
}

struct keeping { int64_t id; struct slice data; };
static int put_row(struct db_conn *tx, void *arg) {
	const struct keeping *k = arg;
	AUTO_STMT struct db_stmt *s = db_sql(tx, "INSERT INTO failure_waiting (id, data) VALUES (?, ?)");
	db_bind_int(s, k->id);
	db_bind_bytes(s, k->data);
	return db_run(s);
}

static int delete_row(struct db_conn *tx, void *arg) {
	AUTO_STMT struct db_stmt *s = db_sql(tx, "DELETE FROM failure_waiting WHERE id = ?");
	db_bind_int(s, *(const int64_t *)arg);
	return db_run(s);
}

static void keep_row(struct reporter *r, int64_t id, const struct evidence_record *e) {
	AUTO_BUF struct buf packed = BUF(KIB(64));
	evidence_record_pack(&packed, e);
	struct keeping k = { id, buf_slice(&packed) };
	if (r->db == NULL || packed.full || db_write(r->db, put_row, &k) < 0)
		say(L_WARN, "report", "a failure report would not survive a restart: %s",
		    packed.full ? "too long" : fail_text());
}

static void add(struct reporter *r, struct failure *f) {
	if (r->failures == NULL) r->failures = mem_array(WAITING_MAX, sizeof *r->failures);
	r->failures[r->failure_count++] = f;
}

void reporting_load_failures(struct reporter *r) {
	AUTO_READ struct db_conn *c = db_read(r->db);
	if (c == NULL) return;
	AUTO_STMT struct db_stmt *s = db_sql(c, "SELECT id, data FROM failure_waiting ORDER BY id");
	while (r->failure_count < WAITING_MAX && db_step(s) == DB_ROW) {
		AUTO_ARENA struct arena mem = { 0 };
		struct unwire in = UNWIRE(db_bytes(s, 1), &mem);
		struct evidence_record e;
		evidence_record_unpack(&in, &e);
		if (in.bad) { /* of an older release */
			int64_t id = db_int(s, 0);
			if (db_write(r->db, delete_row, &id) < 0) say(L_WARN, "report", "%s", fail_text());
			continue;
		}
		struct failure *f = make(&e);
		f->id = db_int(s, 0);
		add(r, f);
	}
}

void reporting_failed(struct reporter *r, const struct evidence_record *e) {
	const struct evidence_dmarc *d = &e->dmarc;
	if (r == NULL || !e->checked || slice_search(d->ruf, S("mailto:")) == d->ruf.len ||
	    outbox_is_private(e->client))
		return;
	if (!report_failure_wanted(d->fo, d->spf_aligned, d->dkim_aligned, e->spf.result == TRUST_PASS,
				   broken(e) != NULL))
		return;
	pthread_mutex_lock(&r->waiting);
	for (size_t i = 0; i < r->failure_count; i++) {
		if (!alike(r->failures[i], e)) continue;
		r->failures[i]->report.incidents++;
		pthread_mutex_unlock(&r->waiting);
		return;
	}
	struct failure *f = r->failure_count < WAITING_MAX ? make(e) : NULL;
	int64_t id = db_new_id();
	if (f != NULL) f->id = id;
	if (f != NULL) add(r, f);
	pthread_mutex_unlock(&r->waiting);
	if (f != NULL) keep_row(r, id, e); /* f may be gone by now */
}

static void failure_free(struct failure **fp) {
	struct failure *f = TAKE(*fp);
	if (f == NULL) return;
	arena_done(&f->mem);
	free(f);
}

static struct failure *take_due(struct reporter *r, bool all) {
	struct failure *f = NULL;
	pthread_mutex_lock(&r->waiting);
	if (r->failure_count != 0 && (all || clock_ms() >= r->failures[0]->due)) {
		f = r->failures[0];
		memmove(r->failures, r->failures + 1, --r->failure_count * sizeof *r->failures);
	}
	pthread_mutex_unlock(&r->waiting);
	return f;
}

/* No more than so many an hour about one domain. */
static bool allowed(struct reporter *r, struct slice domain, size_t limit) {
	int64_t hour = wall_s() / 3600;
	if (r->hour != hour) map_done(&r->told, NULL);
	if (r->hour != hour) r->told = (struct map){ 0 };
	r->hour = hour;
	uintptr_t n = (uintptr_t)map_get(&r->told, domain);
	if (n >= limit) return false;
	map_put(&r->told, domain, (void *)(n + 1));
	return true;
}

static int enter(struct db_conn *tx, void *arg) {
	return delivery_enter(tx, arg);
}

static void send_to(struct reporter *r, const struct flow_settings *s, struct failure *f, struct slice address) {
	AUTO_BUF struct buf message = BUF(ROOM);
	struct delivery *mail = NULL;
	const struct reporting_params *p = &s->reporting;
	f->report.to = address;
	f->report.org = p->org;
	f->report.sender = p->sender;
	f->report.host = p->host;
	report_compose_failure(&message, &f->report, &f->mem);
	int done = reporting_prepare(r, s, f->report.to, buf_slice(&message), &mail);
	if (done == 0) done = db_write(r->db, enter, mail);
	if (done == 0) {
		say(L_INFO, "report", "%.*s: failure report about %.*s sent to %.*s", SLICE_ARG(f->report.domain),
		    SLICE_ARG(f->report.source), SLICE_ARG(f->report.to));
		delivery_report(mail);
		if (delivery_queued(mail)) sender_wake(r->sender);
	} else {
		say(L_WARN, "report", "%.*s: %s", SLICE_ARG(f->report.domain),
		    done < 0 ? fail_text() : "a mailbox is full");
	}
	delivery_done(&mail);
}

/* To whom the policy names, or to others whom that host prefers; to nobody who does not want it. */
static void send_where_wanted(struct reporter *r, const struct flow_settings *s, struct failure *f,
			      const struct report_target *t) {
	struct permission_answer answer = { 0 };
	int done = ask_permission(r->relay, &(struct permission_ask){ f->report.domain, t->host, true }, &f->mem,
				  &answer);
	if (done != ASK_OK || answer.verdict != PERMISSION_YES) return;
	if (answer.addresses_count == 0) send_to(r, s, f, t->address);
	for (size_t i = 0; i < answer.addresses_count; i++) send_to(r, s, f, answer.addresses[i].text);
}

void reporting_send_failures(struct reporter *r, const struct flow_settings *s, bool all) {
	struct failure *f;
	pthread_mutex_lock(&r->sending);
	while ((f = take_due(r, all)) != NULL) {
		struct report_target targets[REPORT_TARGETS_MAX];
		bool wanted = s->reporting.failures && (s->reporting.failures_on_none || !f->of_none);
		size_t n = wanted && allowed(r, f->report.domain, s->reporting.failure_limit)
				   ? report_targets(f->ruf, &f->mem, targets)
				   : 0;
		for (size_t i = 0; i < n; i++) send_where_wanted(r, s, f, &targets[i]);
		if (n != 0 && s->reporting.failure_bcc.len != 0)
			send_to(r, s, f, s->reporting.failure_bcc);
		if (db_write(r->db, delete_row, &f->id) < 0) say(L_WARN, "report", "%s", fail_text());
		failure_free(&f);
	}
	pthread_mutex_unlock(&r->sending);
}

void reporting_forget_failures(struct reporter *r) {
	for (size_t i = 0; i < r->failure_count; i++) failure_free(&r->failures[i]);
	free(r->failures);
	map_done(&r->told, NULL);
}
