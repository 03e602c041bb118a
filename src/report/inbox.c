/* SPDX-License-Identifier: Apache-2.0 */
/* Rows are kept packed: they are read all together or not at all, and what a program does with them is not SQL's
 * business. */
#include "report/inbox.h"
#include "base/clock.h"
#include "base/fail.h"
#include "db/blob.h"
#include "net/addr.h"

enum { TRIES_MAX = 3, PURGE_SLICE = 200, ROW_ROOM = 1 << 20, AHEAD_LEAST = 500, AHEAD_SLICE = 500 };

int inbox_put(struct db_conn *tx, int64_t blob_id, int64_t received_us, struct slice proof) {
	int r = blob_ref(tx, blob_id);
	if (r != 0) return r < 0 ? r : fail("report: the mail is gone");
	AUTO_STMT struct db_stmt *s =
		db_sql(tx, "INSERT INTO report_mail (id, blob_id, received_us, tries, proof) VALUES (?, ?, ?, 0, ?)");
	db_bind_int(s, db_new_id());
	db_bind_int(s, blob_id);
	db_bind_int(s, received_us);
	db_bind_text(s, slice_head(proof, sizeof ((struct inbox_mail *)NULL)->proof - 1));
	return db_run(s);
}

int inbox_done(struct db_conn *tx, const struct inbox_mail *m) {
	AUTO_STMT struct db_stmt *s = db_sql(tx, "DELETE FROM report_mail WHERE id = ?");
	db_bind_int(s, m->id);
	int r = db_run(s);
	if (r < 0 || db_changed(tx) == 0) return r;
	r = blob_unref(tx, m->blob_id);
	return r < 0 ? r : 0;
}

static int find_next(struct db *db, struct inbox_mail *out) {
	AUTO_READ struct db_conn *c = db_read(db);
	if (c == NULL) return -1;
	AUTO_STMT struct db_stmt *s =
		db_sql(c, "SELECT id, blob_id, received_us, proof FROM report_mail ORDER BY tries, id LIMIT 1");
	int r = db_step(s);
	if (r != DB_ROW) return r < 0 ? r : INBOX_EMPTY;
	*out = (struct inbox_mail){ .id = db_int(s, 0), .blob_id = db_int(s, 1), .received_us = db_int(s, 2) };
	struct slice proof = db_text(s, 3);
	snprintf(out->proof, sizeof out->proof, "%.*s", SLICE_ARG(proof));
	return 0;
}

static int count_try(struct db_conn *tx, void *arg) {
	const struct inbox_mail *m = arg;
	AUTO_STMT struct db_stmt *s =
		db_sql(tx, "UPDATE report_mail SET tries = tries + 1 WHERE id = ? RETURNING tries");
	db_bind_int(s, m->id);
	int r = db_step(s);
	if (r < 0) return r;
	int64_t tries = r == DB_ROW ? db_int(s, 0) : TRIES_MAX;
	while (r == DB_ROW) r = db_step(s);
	return r < 0 ? r : tries > TRIES_MAX ? INBOX_HOPELESS : 0;
}

static int take_off(struct db_conn *tx, void *arg) {
	return inbox_done(tx, arg);
}

int inbox_next(struct db *db, struct inbox_mail *out) {
	int r = find_next(db, out);
	if (r != 0) return r;
	r = db_write(db, count_try, out);
	if (r != INBOX_HOPELESS) return r;
	r = db_write(db, take_off, out);
	return r < 0 ? r : INBOX_HOPELESS;
}

/* Storing. */

static struct slice domain_of_address(struct slice address) {
	if (address.len != 0 && address.at[address.len - 1] == '>') address.len--;
	size_t at = slice_find_last(address, '@');
	return at < address.len ? slice_skip(address, at + 1) : S("");
}

static int put_report(struct db_conn *tx, struct inbox_report *r) {
	AUTO_STMT struct db_stmt *s = db_sql(
		tx, "INSERT INTO report (id, kind, domain, org, name, begin_us, end_us, received_us, policy, proved)"
		    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING");
	struct slice texts[] = { r->domain, r->org, r->name };
	if (r->id == 0) r->id = db_new_id();
	db_bind_int(s, r->id);
	db_bind_int(s, r->kind);
	for (size_t i = 0; i < LEN(texts); i++) db_bind_text(s, texts[i].at != NULL ? texts[i] : S(""));
	db_bind_int(s, r->begin_us);
	db_bind_int(s, r->end_us);
	db_bind_int(s, r->received_us);
	db_bind_text(s, r->policy);
	db_bind_int(s, r->proved);
	int done = db_run(s);
	if (done < 0) return done;
	return db_changed(tx) == 0 ? INBOX_KNOWN : 0;
}

static int put_row(struct db_conn *tx, const struct inbox_report *r, int64_t number, struct slice data) {
	AUTO_STMT struct db_stmt *s = db_sql(tx, "INSERT INTO report_row (report_id, number, data) VALUES (?, ?, ?)");
	db_bind_int(s, r->id);
	db_bind_int(s, number);
	db_bind_bytes(s, data);
	return db_run(s);
}

/* One form for each address, so that it is one source. */
static struct slice source_text(struct slice source, char room[ADDR_TEXT_ROOM]) {
	struct addr a;
	return addr_parse(source, &a) ? slice_of(addr_text(&a, room)) : source;
}

static int put_source(struct db_conn *tx, const struct inbox_report *r, struct slice source) {
	char room[ADDR_TEXT_ROOM];
	if (source.len == 0) return 0;
	AUTO_STMT struct db_stmt *s = db_sql(
		tx, "INSERT INTO report_source (domain, source, first_us, last_us, host) VALUES (?, ?, ?, ?, NULL)"
		    " ON CONFLICT (domain, source) DO UPDATE SET"
		    " first_us = CASE WHEN excluded.first_us < first_us THEN excluded.first_us ELSE first_us END,"
		    " last_us = CASE WHEN excluded.last_us > last_us THEN excluded.last_us ELSE last_us END");
	db_bind_text(s, r->domain);
	db_bind_text(s, source_text(source, room));
	db_bind_int(s, r->begin_us);
	db_bind_int(s, r->end_us);
	return db_run(s);
}

static void head_of(const struct report_dmarc *d, struct inbox_report *r) {
	r->domain = d->domain.len != 0 ? d->domain : d->records[0].header_from;
	r->org = d->org.len != 0 ? d->org : d->email;
	r->name = d->id;
	r->begin_us = d->begin_s * 1000000;
	r->end_us = d->end_s * 1000000;
}

static int put_records(struct db_conn *tx, const struct inbox_report *r, const struct report_dmarc *d, size_t from,
		       size_t to) {
	AUTO_BUF struct buf packed = BUF(ROW_ROOM);
	int done = 0;
	for (size_t i = from; i < to && done == 0; i++) {
		buf_clear(&packed);
		report_record_pack(&packed, &d->records[i]);
		done = put_row(tx, r, (int64_t)i, buf_slice(&packed));
		if (done == 0) done = put_source(tx, r, d->records[i].source);
	}
	return done;
}

static int store_dmarc(struct db_conn *tx, struct inbox_report *r, const struct report_dmarc *d) {
	AUTO_BUF struct buf policy = BUF(KIB(16));
	const struct { const char *key; struct slice text; } tags[] = {
		{ "p", d->p }, { "sp", d->sp }, { "np", d->np }, { "pct", d->percent }, { "t", d->testing },
	};
	for (size_t i = 0; i < LEN(tags); i++)
		if (tags[i].text.len != 0)
			buf_addf(&policy, "%s%s=%.*s", policy.len != 0 ? " " : "", tags[i].key,
				 SLICE_ARG(tags[i].text));
	bool ahead = r->id != 0;
	head_of(d, r);
	r->policy = buf_slice(&policy);
	int done = put_report(tx, r);
	return done == 0 && !ahead ? put_records(tx, r, d, 0, d->records_count) : done;
}

struct ahead { struct inbox_report head; const struct report_dmarc *d; size_t from; };
static int put_slice(struct db_conn *tx, void *arg) {
	const struct ahead *a = arg;
	return put_records(tx, &a->head, a->d, a->from, MIN_OF(a->from + AHEAD_SLICE, a->d->records_count));
}

static int is_known(struct db *db, const struct inbox_report *r) {
	AUTO_READ struct db_conn *c = db_read(db);
	if (c == NULL) return -1;
	AUTO_STMT struct db_stmt *s = db_sql(
		c, "SELECT 1 FROM report WHERE domain = ? AND kind = ? AND org = ? AND name = ? AND begin_us = ?");
	db_bind_text(s, r->domain.at != NULL ? r->domain : S(""));
	db_bind_int(s, r->kind);
	db_bind_text(s, r->org.at != NULL ? r->org : S(""));
	db_bind_text(s, r->name.at != NULL ? r->name : S(""));
	db_bind_int(s, r->begin_us);
	return db_step(s);
}

int inbox_store_ahead(struct db *db, const struct report *r, int64_t *ahead) {
	struct ahead a = { .head = { .kind = r->kind }, .d = &r->dmarc };
	*ahead = 0;
	if (r->kind != REPORT_DMARC || r->dmarc.records_count < AHEAD_LEAST) return 0;
	head_of(a.d, &a.head);
	int done = is_known(db, &a.head);
	if (done != DB_DONE) return done < 0 ? done : 0;
	a.head.id = db_new_id();
	for (; a.from < a.d->records_count && done == 0; a.from += AHEAD_SLICE) done = db_write(db, put_slice, &a);
	if (done == 0) *ahead = a.head.id;
	return done;
}

static int store_tls(struct db_conn *tx, struct inbox_report *r, const struct report_tls *t) {
	AUTO_BUF struct buf packed = BUF((size_t)REPORT_JSON_MAX * 2);
	int done = 0, all = INBOX_KNOWN;
	r->org = t->org.len != 0 ? t->org : t->contact;
	r->begin_us = t->begin_s * 1000000;
	r->end_us = t->end_s * 1000000;
	AUTO_ARENA struct arena mem = { 0 };
	for (size_t i = 0; i < t->policies_count && done >= 0; i++) {
		struct inbox_report one = *r; /* each policy may be another domain's */
		one.domain = arena_lower(&mem, t->policies[i].domain);
		one.name = arena_fmt(&mem, "%.*s/%zu", SLICE_ARG(t->id), i);
		done = put_report(tx, &one);
		if (done != 0) continue;
		buf_clear(&packed);
		report_tls_policy_pack(&packed, &t->policies[i]);
		done = put_row(tx, &one, 0, buf_slice(&packed));
		all = 0;
	}
	return done < 0 ? done : all;
}

static int store_arf(struct db_conn *tx, struct inbox_report *r, const struct report_arf *a) {
	AUTO_BUF struct buf packed = BUF(ROW_ROOM);
	AUTO_ARENA struct arena mem = { 0 };
	struct slice domain = a->domains_count != 0 ? a->domains[0].text : domain_of_address(a->mail_from);
	struct report_arf kept = *a;
	kept.headers = SLICE_NONE; /* the mail has them */
	r->domain = arena_lower(&mem, domain);
	r->org = a->reporting_mta.len != 0 ? a->reporting_mta : a->user_agent;
	r->begin_us = r->end_us = a->arrived_s != 0 ? a->arrived_s * 1000000 : r->received_us;
	/* nothing in it is unique: the message it is about, the address it came from and the moment are */
	r->name = arena_fmt(&mem, "%.*s %.*s %.*s", SLICE_ARG(a->feedback_type), SLICE_ARG(a->source_ip),
			    SLICE_ARG(a->message_id));
	int done = put_report(tx, r);
	report_arf_pack(&packed, &kept);
	if (done == 0) done = put_row(tx, r, 0, buf_slice(&packed));
	if (done == 0) done = put_source(tx, r, a->source_ip);
	return done;
}

/* One of them is the other, or below it. */
static bool related(struct slice a, struct slice b) {
	struct slice shorter = a.len < b.len ? a : b, longer = a.len < b.len ? b : a;
	if (slice_find(shorter, '.') == shorter.len || !slice_ends_same(longer, shorter)) return false;
	return longer.len == shorter.len || longer.at[longer.len - shorter.len - 1] == '.';
}

static bool proves(struct slice proof, struct slice reporter) {
	struct slice domain = slice_find(reporter, '@') < reporter.len ? domain_of_address(reporter) : reporter;
	for (struct slice one; (one = slice_word(&proof, " ")).len != 0;)
		if (related(one, slice_trim(domain))) return true;
	return false;
}

/* Does the mail come from where the report says it does? ARF often comes from whoever got the message: any proof will
 * do. */
static bool is_proved(const struct report *r, const struct inbox_mail *mail) {
	struct slice proof = slice_of(mail->proof);
	if (slice_eq(proof, S("*"))) return true;
	switch ((enum report_kind)r->kind) {
	case REPORT_DMARC:
		return proves(proof, r->dmarc.email) || proves(proof, r->dmarc.org) || proves(proof, r->dmarc.contact);
	case REPORT_TLS: return proves(proof, r->tls.contact) || proves(proof, r->tls.org);
	default: return proof.len != 0;
	}
}

int inbox_store(struct db_conn *tx, const struct report *r, const struct inbox_mail *mail, int64_t ahead) {
	struct inbox_report head = {
		.id = ahead, .kind = r->kind, .received_us = mail->received_us, .proved = is_proved(r, mail)
	};
	switch ((enum report_kind)r->kind) {
	case REPORT_DMARC: return store_dmarc(tx, &head, &r->dmarc);
	case REPORT_TLS: return store_tls(tx, &head, &r->tls);
	case REPORT_ARF: return store_arf(tx, &head, &r->arf);
	case REPORT_REFUSED: break;
	}
	return fail("report: of no kind");
}

/* Names of addresses. */

int inbox_unnamed(struct db_conn *c, struct arena *mem, struct slice *source) {
	AUTO_STMT struct db_stmt *s =
		db_sql(c, "SELECT source FROM report_source WHERE host IS NULL ORDER BY last_us DESC LIMIT 1");
	int r = db_step(s);
	if (r != DB_ROW) return r < 0 ? r : INBOX_EMPTY;
	*source = arena_slice(mem, db_text(s, 0));
	return 0;
}

int inbox_name(struct db_conn *tx, struct slice source, struct slice host) {
	AUTO_STMT struct db_stmt *s = db_sql(tx, "UPDATE report_source SET host = ? WHERE host IS NULL AND source = ?");
	db_bind_text(s, host.at != NULL ? host : S(""));
	db_bind_text(s, source);
	return db_run(s);
}

/* Reading. */

static int each_of(struct db_stmt *s, int (*each)(void *ctx, const struct inbox_report *r, struct slice data),
		   void *ctx) {
	int r;
	while ((r = db_step(s)) == DB_ROW) {
		struct inbox_report report = { .id = db_int(s, 0),
					       .kind = (uint32_t)db_int(s, 1),
					       .domain = db_text(s, 2),
					       .org = db_text(s, 3),
					       .name = db_text(s, 4),
					       .policy = db_text(s, 5),
					       .begin_us = db_int(s, 6),
					       .end_us = db_int(s, 7),
					       .received_us = db_int(s, 8),
					       .proved = db_int(s, 10) != 0 };
		if ((r = each(ctx, &report, db_bytes(s, 9))) != 0) return r;
	}
	return r;
}

#define EACH_COLUMNS \
	"r.id, r.kind, r.domain, r.org, r.name, r.policy, r.begin_us, r.end_us, r.received_us, w.data, r.proved"
int inbox_each(struct db_conn *c, const struct inbox_query *q,
	       int (*each)(void *ctx, const struct inbox_report *r, struct slice data), void *ctx) {
	if (q->domain.len != 0) {
		AUTO_STMT struct db_stmt *s =
			db_sql(c, "SELECT " EACH_COLUMNS " FROM report r JOIN report_row w ON w.report_id = r.id"
				  " WHERE r.domain = ? AND r.end_us >= ? ORDER BY r.begin_us, r.id, w.number");
		db_bind_text(s, q->domain);
		db_bind_int(s, q->since_us);
		return each_of(s, each, ctx);
	}
	AUTO_STMT struct db_stmt *s =
		db_sql(c, "SELECT " EACH_COLUMNS " FROM report r JOIN report_row w ON w.report_id = r.id"
			  " WHERE r.end_us >= ? ORDER BY r.domain, r.begin_us, r.id, w.number");
	db_bind_int(s, q->since_us);
	return each_of(s, each, ctx);
}

int inbox_sources(struct db_conn *c, struct slice domain, int (*each)(void *ctx, const struct inbox_source *s),
		  void *ctx) {
	AUTO_STMT struct db_stmt *s = db_sql(c, "SELECT source, host, first_us FROM report_source WHERE domain = ?");
	int r;
	db_bind_text(s, domain);
	while ((r = db_step(s)) == DB_ROW) {
		struct inbox_source source = {
			.domain = domain, .source = db_text(s, 0), .host = db_text(s, 1), .first_us = db_int(s, 2)
		};
		if ((r = each(ctx, &source)) != 0) return r;
	}
	return r;
}

static int purge_some(struct db_conn *tx, void *arg) {
	int64_t before = *(const int64_t *)arg;
	AUTO_STMT struct db_stmt *s = db_sql(
		tx, "DELETE FROM report WHERE id IN (SELECT id FROM report WHERE end_us < ? LIMIT 200) RETURNING id");
	AUTO_STMT struct db_stmt *rows = db_sql(tx, "DELETE FROM report_row WHERE report_id = ?");
	int64_t ids[PURGE_SLICE];
	size_t n = 0;
	int r;
	db_bind_int(s, before);
	while ((r = db_step(s)) == DB_ROW)
		if (n < PURGE_SLICE) ids[n++] = db_int(s, 0);
	for (size_t i = 0; i < n && r == 0; i++) {
		db_bind_int(rows, ids[i]);
		r = db_run(rows);
	}
	*(int64_t *)arg = n == PURGE_SLICE ? before : 0;
	return r;
}

static int purge_sources(struct db_conn *tx, void *arg) {
	AUTO_STMT struct db_stmt *s = db_sql(tx, "DELETE FROM report_source WHERE last_us < ?");
	db_bind_int(s, *(const int64_t *)arg);
	return db_run(s);
}

/* Rows written ahead of a report that never came, since the process ended in between. */
static int purge_orphans(struct db_conn *tx, void *arg) {
	AUTO_STMT struct db_stmt *s =
		db_sql(tx, "DELETE FROM report_row WHERE report_id NOT IN (SELECT id FROM report)");
	(void)arg;
	return db_run(s);
}

int inbox_purge(struct db *db, int64_t before_us) {
	int64_t left = before_us;
	int r = 0;
	while (r == 0 && left != 0) r = db_write(db, purge_some, &left);
	if (r == 0) r = db_write(db, purge_sources, &before_us);
	return r == 0 ? db_write(db, purge_orphans, NULL) : r;
}
