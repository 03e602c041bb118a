/* SPDX-License-Identifier: Apache-2.0 */
/* Failure reports (RFC 9991, RFC 6651), for who wants to send them: not counted, but ways to fail told. They wait for a
 * minute, so that what is alike becomes one with a number; their rows in the database bring them back after a
 * restart. */
#include "base/fail.h"
#include "base/log.h"
#include "flow/reporting_private.h"

enum { WAITING_MAX = 200, ROOM = 1 << 20 };

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
		struct failure *f = failure_make(&e);
		f->id = db_int(s, 0);
		add(r, f);
	}
}

static void failed(struct reporter *r, const struct evidence_record *e) {
	pthread_mutex_lock(&r->waiting);
	for (size_t i = 0; i < r->failure_count; i++) {
		if (!failure_alike(r->failures[i], e)) continue;
		r->failures[i]->report.incidents++;
		pthread_mutex_unlock(&r->waiting);
		return;
	}
	struct failure *f = r->failure_count < WAITING_MAX ? failure_make(e) : NULL;
	int64_t id = db_new_id();
	if (f != NULL) f->id = id;
	if (f != NULL) add(r, f);
	pthread_mutex_unlock(&r->waiting);
	if (f != NULL) keep_row(r, id, e); /* f may be gone by now */
}

void reporting_failed(struct reporter *r, const struct evidence_record *e, unsigned kinds) {
	struct evidence_record about[FAILURES_MAX];
	if (r == NULL || kinds == 0 || !e->checked || outbox_is_private(e->client)) return;
	size_t n = failures_of(e, kinds, about);
	for (size_t i = 0; i < n; i++) failed(r, &about[i]);
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

static unsigned kind_of(const struct failure *f) {
	return f->report.signature != DKIM_FAULT_NONE ? REPORTING_DKIM : REPORTING_DMARC;
}

/* No more than so many an hour about one domain. */
static bool allowed(struct reporter *r, struct failure *f, size_t limit) {
	int64_t hour = wall_s() / 3600;
	struct slice domain = arena_fmt(&f->mem, "%u %.*s", kind_of(f), SLICE_ARG(f->report.domain));
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
	f->report.sender = kind_of(f) == REPORTING_DKIM ? p->signature_sender : p->sender;
	f->report.host = p->host;
	report_compose_failure(&message, &f->report, &f->mem);
	/* those of DKIM have a null sender: nothing of them may come back as mail that has a report of its own */
	struct slice sender = kind_of(f) == REPORTING_DKIM ? S("") : p->sender;
	int done = reporting_prepare(r, s, sender, f->report.to, buf_slice(&message), &mail);
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

/* To whom the policy names, or to others whom that host prefers; to nobody who does not want it. How many. */
static size_t send_where_wanted(struct reporter *r, const struct flow_settings *s, struct failure *f,
				struct slice address, const struct permission_ask *ask) {
	struct permission_answer answer = { 0 };
	if (ask_permission(r->relay, ask, &f->mem, &answer) != ASK_OK || answer.verdict != PERMISSION_YES) return 0;
	if (answer.addresses_count == 0) send_to(r, s, f, address);
	for (size_t i = 0; i < answer.addresses_count; i++) send_to(r, s, f, answer.addresses[i].text);
	return MAX_OF(answer.addresses_count, (size_t)1);
}

static void send_about_policy(struct reporter *r, const struct flow_settings *s, struct failure *f) {
	struct report_target targets[REPORT_TARGETS_MAX];
	size_t n = report_targets(f->ruf, &f->mem, targets);
	for (size_t i = 0; i < n; i++)
		send_where_wanted(r, s, f, targets[i].address,
				  &(struct permission_ask){
					  .domain = f->report.domain, .host = targets[i].host, .failure = true });
	if (n != 0 && s->reporting.failure_bcc.len != 0) send_to(r, s, f, s->reporting.failure_bcc);
}

static void send_about_signature(struct reporter *r, const struct flow_settings *s, struct failure *f) {
	struct permission_ask ask = { .domain = f->report.domain, .fault = f->report.signature };
	if (send_where_wanted(r, s, f, SLICE_NONE, &ask) != 0 && s->reporting.signature_bcc.len != 0)
		send_to(r, s, f, s->reporting.signature_bcc);
}

void reporting_send_failures(struct reporter *r, const struct flow_settings *s, bool all) {
	struct failure *f;
	pthread_mutex_lock(&r->sending);
	while ((f = take_due(r, all)) != NULL) {
		bool dkim = kind_of(f) == REPORTING_DKIM;
		bool wanted = (s->reporting.failures & kind_of(f)) != 0 &&
			      (dkim || s->reporting.failures_on_none || !f->of_none);
		if (wanted && allowed(r, f, s->reporting.failure_limit))
			(dkim ? send_about_signature : send_about_policy)(r, s, f);
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
