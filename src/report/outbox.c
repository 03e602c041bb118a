/* SPDX-License-Identifier: Apache-2.0 */
/* The key of a row is all that makes it another one. Strangers choose most of it (addresses, names in From and MAIL
 * FROM, selectors), so the rows of a domain and day are limited: what comes after is counted, and the report says so.
 */
#include "report/outbox.h"
#include "base/encode.h"
#include "base/fail.h"
#include "net/addr.h"

/* A disposition beside enum dmarc_policy: nothing was done, where a stricter policy would have had mail that fails. */
enum { PASSED_ENFORCED = 100 };
enum { KINDS_MAX = 10000, SIGNATURES_MAX = 10, TEXT_MAX = 255, KEY_ROOM = 16384 };
#define DAY_US ((int64_t)86400 * 1000000)
#define SPREAD_US (4 * (uint64_t)3600 * 1000000)

struct feedback_signature { struct slice domain, selector; uint32_t result; };
#define FEEDBACK_SIGNATURE_FIELDS(F) F(text, domain) F(text, selector) F(u32, result)
WIRE_DECLARE(feedback_signature)
WIRE_STRUCT(feedback_signature, FEEDBACK_SIGNATURE_FIELDS)
struct feedback_key {
	struct slice source, header_from, envelope_from, override, comment;
	uint32_t disposition, spf;
	bool dkim_aligned, spf_aligned, spf_helo;
	struct slice spf_domain;
	struct feedback_signature *signatures;
	size_t signatures_count;
};
#define FEEDBACK_KEY_FIELDS(F) \
	F(text, source) \
	F(text, header_from) F(text, envelope_from) F(text, override) F(text, comment) F(u32, disposition) F(u32, spf) \
		F(bool_, dkim_aligned) F(bool_, spf_aligned) F(bool_, spf_helo) F(text, spf_domain) \
			F(list, signatures, feedback_signature)
WIRE_DECLARE(feedback_key)
WIRE_STRUCT(feedback_key, FEEDBACK_KEY_FIELDS)

bool outbox_is_private(struct slice text) {
	struct addr a;
	return !addr_parse(text, &a) || !addr_is_public(&a);
}

static struct slice cut(struct slice s) {
	return slice_head(s, TEXT_MAX);
}

/* What a signature says about its message, for the order of RFC 9990 §3.1.3. */
static int rank(const struct evidence_dkim *s, const struct evidence_dmarc *d) {
	struct slice above = d->domain;
	bool below = s->domain.len > above.len && slice_ends(s->domain, above) &&
		     s->domain.at[s->domain.len - above.len - 1] == '.';
	if (s->result != TRUST_PASS) return 3;
	return slice_same(s->domain, d->from) ? 0 : below || slice_same(s->domain, above) ? 1 : 2;
}

/* What passed comes first, the author's own before others'; the rest has no place when there are many. */
static size_t signatures_of(const struct evidence_record *e, struct feedback_signature out[static SIGNATURES_MAX]) {
	size_t n = 0;
	for (int round = 0; round < 4; round++)
		for (size_t i = 0; i < e->dkim_count && n < SIGNATURES_MAX; i++)
			if (rank(&e->dkim[i], &e->dmarc) == round)
				out[n++] = (struct feedback_signature){ cut(e->dkim[i].domain),
									cut(e->dkim[i].selector), e->dkim[i].result };
	return n;
}

static int add_policy(struct db_conn *tx, int64_t day, const struct evidence_dmarc *policy) {
	AUTO_BUF struct buf packed = BUF(KIB(64));
	AUTO_STMT struct db_stmt *s =
		db_sql(tx, "INSERT INTO feedback (day, domain, policy, kinds, lost, due_us) VALUES (?, ?, ?, 0, 0, ?)"
			   " ON CONFLICT (day, domain) DO UPDATE SET policy = excluded.policy"
			   " WHERE policy <> excluded.policy");
	struct evidence_dmarc kept = *policy; /* what is the message's own goes */
	kept.result = kept.policy = kept.disposition = 0;
	kept.spf_aligned = kept.dkim_aligned = false;
	kept.from = kept.override = kept.comment = SLICE_NONE;
	evidence_dmarc_pack(&packed, &kept);
	if (packed.full)
		return OUTBOX_EMPTY; /* a record of that length asks for nothing in earnest: the mail is no less welcome
				      */
	db_bind_int(s, day);
	db_bind_text(s, policy->domain);
	db_bind_bytes(s, buf_slice(&packed));
	db_bind_int(s, (day + 1) * DAY_US + (int64_t)random_below(SPREAD_US)); /* not everybody's reports at midnight */
	return db_run(s);
}

static int count_kind(struct db_conn *tx, int64_t day, struct slice domain, bool *room) {
	AUTO_STMT struct db_stmt *s =
		db_sql(tx, "UPDATE feedback SET kinds = kinds + CASE WHEN kinds < 10000 THEN 1 ELSE 0 END,"
			   " lost = lost + CASE WHEN kinds < 10000 THEN 0 ELSE 1 END"
			   " WHERE day = ? AND domain = ? RETURNING lost, kinds");
	db_bind_int(s, day);
	db_bind_text(s, domain);
	int r = db_step(s);
	*room = r == DB_ROW && db_int(s, 0) == 0;
	while (r == DB_ROW) r = db_step(s);
	return r;
}

static int add_row(struct db_conn *tx, int64_t day, struct slice domain, struct slice key) {
	AUTO_STMT struct db_stmt *more =
		db_sql(tx, "UPDATE feedback_row SET count = count + 1 WHERE day = ? AND domain = ? AND key = ?");
	bool room;
	db_bind_int(more, day);
	db_bind_text(more, domain);
	db_bind_bytes(more, key);
	int r = db_run(more);
	if (r < 0 || db_changed(tx) != 0) return r;
	r = count_kind(tx, day, domain, &room);
	if (r < 0 || !room) return r;
	AUTO_STMT struct db_stmt *s =
		db_sql(tx, "INSERT INTO feedback_row (day, domain, key, count) VALUES (?, ?, ?, 1)");
	db_bind_int(s, day);
	db_bind_text(s, domain);
	db_bind_bytes(s, key);
	return db_run(s);
}

int outbox_add(struct db_conn *tx, const struct evidence_record *e, int64_t now_us) {
	AUTO_BUF struct buf packed = BUF(KEY_ROOM);
	const struct evidence_dmarc *d = &e->dmarc;
	struct feedback_signature signatures[SIGNATURES_MAX];
	if (!e->checked || d->domain.len == 0 || d->from.len == 0 || slice_search(d->rua, S("mailto:")) == d->rua.len ||
	    outbox_is_private(e->client))
		return 0;
	struct feedback_key key = {
		.source = e->client,
		.header_from = cut(d->from),
		.envelope_from = slice_same(e->spf.identity, S("mailfrom")) ? cut(e->spf.domain) : S(""),
		.override = cut(d->override),
		.comment = cut(d->comment),
		.disposition = d->result == TRUST_PASS && d->policy > DMARC_POLICY_NONE &&
					       d->disposition <= DMARC_POLICY_NONE
				       ? (uint32_t)PASSED_ENFORCED
				       : d->disposition,
		.spf = e->spf.result,
		.dkim_aligned = d->dkim_aligned,
		.spf_aligned = d->spf_aligned,
		.spf_helo = slice_same(e->spf.identity, S("helo")),
		.spf_domain = cut(e->spf.domain),
		.signatures = signatures,
	};
	if (key.override.len == 0 && d->result == TRUST_TEMPERROR && d->policy > DMARC_POLICY_NONE) {
		key.override = S("other"); /* RFC 9990 §3.1.1.9: nothing passed, and the policy was not applied */
		key.comment = S("DNS could not be asked for what might have passed");
	}
	key.signatures_count = signatures_of(e, signatures);
	feedback_key_pack(&packed, &key);
	int64_t day = now_us / DAY_US;
	int r = add_policy(tx, day, d);
	return r < 0 ? r : r == OUTBOX_EMPTY ? 0 : add_row(tx, day, d->domain, buf_slice(&packed));
}

/* Taking. */

static bool read_due(struct db_stmt *s, struct arena *mem, struct outbox_due *out) {
	struct unwire in = UNWIRE(arena_slice(mem, db_bytes(s, 2)), mem);
	*out = (struct outbox_due){ .day = db_int(s, 0),
				    .domain = arena_slice(mem, db_text(s, 1)),
				    .lost = (uint64_t)db_int(s, 3) };
	evidence_dmarc_unpack(&in, &out->policy);
	return !in.bad;
}

int outbox_next(struct db_conn *c, int64_t day, int64_t now_us, struct slice domain, struct arena *mem,
		struct outbox_due *out) {
	AUTO_STMT struct db_stmt *s =
		db_sql(c, "SELECT day, domain, policy, lost FROM feedback WHERE day < ? AND due_us <= ?"
			  " AND (domain = ? OR ? = '') ORDER BY day, domain LIMIT 1");
	db_bind_int(s, day);
	db_bind_int(s, now_us);
	db_bind_text(s, domain.at != NULL ? domain : S(""));
	db_bind_text(s, domain.at != NULL ? domain : S(""));
	int r = db_step(s);
	if (r != DB_ROW) return r < 0 ? r : OUTBOX_EMPTY;
	return read_due(s, mem, out) ? 0 : fail("%.*s: what is to be reported is damaged", SLICE_ARG(out->domain));
}

int outbox_each(struct db_conn *c, struct slice domain, struct arena *mem,
		int (*each)(void *ctx, const struct outbox_due *d), void *ctx) {
	AUTO_STMT struct db_stmt *s = db_sql(
		c, "SELECT day, domain, policy, lost FROM feedback WHERE domain = ? OR ? = '' ORDER BY day, domain");
	int r;
	db_bind_text(s, domain.at != NULL ? domain : S(""));
	db_bind_text(s, domain.at != NULL ? domain : S(""));
	while ((r = db_step(s)) == DB_ROW) {
		struct outbox_due due;
		if (!read_due(s, mem, &due)) continue;
		if ((r = each(ctx, &due)) != 0) return r;
	}
	return r;
}

static const char *pass(bool aligned) {
	return aligned ? "pass" : "fail";
}

static struct slice policy_text(uint32_t policy) {
	return policy == DMARC_POLICY_ABSENT ? S("") : slice_of(dmarc_policy_word((enum dmarc_policy)policy));
}

static void record_of(const struct feedback_key *k, uint64_t count, struct arena *mem, struct report_record *r) {
	bool acted = k->disposition == DMARC_POLICY_QUARANTINE || k->disposition == DMARC_POLICY_REJECT;
	*r = (struct report_record){
		.source = k->source, .count = count, .header_from = k->header_from, .envelope_from = k->envelope_from,
		.disposition = acted                               ? policy_text(k->disposition)
			       : k->disposition == PASSED_ENFORCED ? S("pass")
								   : S("none"),
		.dkim = slice_of(pass(k->dkim_aligned)), .spf = slice_of(pass(k->spf_aligned)),
	};
	if (k->override.len != 0) {
		r->reasons = arena_get(mem, sizeof *r->reasons);
		r->reasons[0] = (struct report_reason){ k->override, k->comment };
		r->reasons_count = 1;
	}
	r->dkims = arena_array(mem, k->signatures_count, sizeof *r->dkims);
	for (size_t i = 0; i < k->signatures_count; i++)
		r->dkims[r->dkims_count++] = (struct report_dkim){
			.domain = k->signatures[i].domain,
			.selector = k->signatures[i].selector,
			.result = slice_of(trust_word((enum trust_result)k->signatures[i].result))
		};
	r->spfs = arena_get(mem, sizeof *r->spfs);
	r->spfs[0] = (struct report_spf){ .domain = k->spf_domain, .scope = k->spf_helo ? S("helo") : S("mfrom"),
					 .result = slice_of(trust_word((enum trust_result)k->spf)) };
	r->spfs_count = 1;
}

static void describe(const struct outbox_due *d, struct arena *mem, struct report_dmarc *out) {
	const struct evidence_dmarc *p = &d->policy;
	*out = (struct report_dmarc){
		.domain = d->domain,
		.adkim = p->adkim_strict ? S("s") : S("r"),
		.aspf = p->aspf_strict ? S("s") : S("r"),
		.p = p->p == DMARC_POLICY_ABSENT ? S("none") : policy_text(p->p),
		.sp = policy_text(p->sp != DMARC_POLICY_ABSENT ? p->sp : p->p),
		.np = policy_text(p->np),
		.percent = arena_fmt(mem, "%u", p->percent),
		.fo = p->fo,
		.testing = p->testing ? S("y") : S("n"),
		.begin_s = d->day * 86400,
		.end_s = d->day * 86400 + 86399,
	};
	if (d->lost == 0) return;
	out->errors = arena_get(mem, sizeof *out->errors);
	out->errors[0].text = arena_fmt(mem, "%llu more messages are not listed: there were too many different ones",
					(unsigned long long)d->lost);
	out->errors_count = 1;
}

int outbox_report(struct db_conn *c, const struct outbox_due *d, struct arena *mem, struct report_dmarc *out) {
	AUTO_STMT struct db_stmt *s =
		db_sql(c, "SELECT key, count FROM feedback_row WHERE day = ? AND domain = ? ORDER BY key");
	int r;
	describe(d, mem, out);
	out->records = arena_array(mem, KINDS_MAX, sizeof *out->records);
	db_bind_int(s, d->day);
	db_bind_text(s, d->domain);
	while ((r = db_step(s)) == DB_ROW && out->records_count < KINDS_MAX) {
		struct unwire in = UNWIRE(arena_slice(mem, db_bytes(s, 0)), mem);
		struct feedback_key key;
		feedback_key_unpack(&in, &key);
		if (in.bad) return fail("%.*s: what is to be reported is damaged", SLICE_ARG(d->domain));
		record_of(&key, (uint64_t)db_int(s, 1), mem, &out->records[out->records_count++]);
	}
	return r < 0 ? r : 0;
}

int outbox_delete(struct db_conn *tx, const struct outbox_due *d) {
	AUTO_STMT struct db_stmt *rows = db_sql(tx, "DELETE FROM feedback_row WHERE day = ? AND domain = ?");
	AUTO_STMT struct db_stmt *s = db_sql(tx, "DELETE FROM feedback WHERE day = ? AND domain = ?");
	struct db_stmt *both[] = { rows, s };
	int r = 0;
	for (size_t i = 0; i < LEN(both) && r == 0; i++) {
		db_bind_int(both[i], d->day);
		db_bind_text(both[i], d->domain);
		r = db_run(both[i]);
	}
	return r;
}

int outbox_postpone(struct db_conn *tx, const struct outbox_due *d, int64_t due_us) {
	AUTO_STMT struct db_stmt *s = db_sql(tx, "UPDATE feedback SET due_us = ? WHERE day = ? AND domain = ?");
	db_bind_int(s, due_us);
	db_bind_int(s, d->day);
	db_bind_text(s, d->domain);
	return db_run(s);
}

static int purge(struct db_conn *tx, void *arg) {
	AUTO_STMT struct db_stmt *rows = db_sql(tx, "DELETE FROM feedback_row WHERE day < ?");
	AUTO_STMT struct db_stmt *s = db_sql(tx, "DELETE FROM feedback WHERE day < ?");
	db_bind_int(rows, *(const int64_t *)arg);
	db_bind_int(s, *(const int64_t *)arg);
	int r = db_run(rows);
	return r < 0 ? r : db_run(s);
}

int outbox_purge(struct db *db, int64_t before_day) {
	return db_write(db, purge, &before_day);
}
