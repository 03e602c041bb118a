/* SPDX-License-Identifier: Apache-2.0 */
/* Aggregate reports (RFC 9990): one policy domain and day after the other, the oldest first. */
#include "base/fail.h"
#include "base/log.h"
#include "flow/id.h"
#include "flow/own_mail.h"
#include "flow/reporting_private.h"
#include "report/outbox.h"

enum { MAIL_ROOM = 64 << 20, REPORTS_A_STEP = 20 };
#define AGAIN_US ((int64_t)3600 * 1000000)

/* One report on its way: what is told of it goes to `words` as well, when an operator asked. */
struct sending {
	struct reporter *r;
	const struct flow_settings *s;
	bool dry;
	struct outbox_due due;
	struct report_dmarc report;
	struct slice targets[REPORT_TARGETS_MAX];
	size_t count;
	bool later;              /* DNS does not know now whether somebody wants it */
	struct buf packed;
	struct delivery *mail;
	struct arena mem;
	struct buf *words;
};

static void tell(struct sending *x, const char *format, ...) PRINTF_LIKE(2, 3);
static void tell(struct sending *x, const char *format, ...) {
	AUTO_BUF struct buf text = BUF(KIB(8));
	va_list args;
	va_start(args, format);
	buf_addv(&text, format, args);
	va_end(args);
	if (!x->dry) say(L_INFO, "report", "%.*s: %.*s", SLICE_ARG(x->due.domain), SLICE_ARG(buf_slice(&text)));
	if (x->words == NULL) return;
	buf_addf(x->words, "%.*s: %.*s\n", SLICE_ARG(x->due.domain), SLICE_ARG(buf_slice(&text)));
}

static struct slice domain_of(struct slice address) {
	return slice_skip(address, slice_find_last(address, '@') + 1);
}

static int load(struct sending *x) {
	const struct reporting_params *p = &x->s->reporting;
	AUTO_READ struct db_conn *c = db_read(x->r->db);
	int r = c != NULL ? outbox_report(c, &x->due, &x->mem, &x->report) : -1;
	if (r < 0) return r;
	int64_t now_s = wall_s();
	struct report_dmarc *d = &x->report;
	d->org = p->org;
	d->email = p->sender;
	d->contact = p->contact;
	d->discovery = p->discovery;
	d->generator = S("hato " HATO_VERSION);
	d->end_s = MIN_OF(d->end_s, now_s); /* the day is not over: an operator wants it now */
	d->id = arena_fmt(&x->mem, "%lld.%lld.%.*s@%.*s", (long long)d->begin_s, (long long)now_s, SLICE_ARG(d->domain),
			  SLICE_ARG(domain_of(p->sender)));
	return 0;
}

static void add_target(struct sending *x, struct slice address) {
	for (size_t i = 0; i < x->count; i++)
		if (slice_same(x->targets[i], address)) return;
	if (x->count < REPORT_TARGETS_MAX) x->targets[x->count++] = address;
}

/* Does the one whom the policy names want it? What is asked for elsewhere is granted there (RFC 9990 §4), and may go
 * to others of that place. */
static void ask_target(struct sending *x, const struct report_target *t) {
	struct permission_answer answer = { 0 };
	struct permission_ask ask = { .domain = x->due.domain, .host = t->host };
	int r = ask_permission(x->r->relay, &ask, &x->mem, &answer);
	if (r != ASK_OK || answer.verdict == PERMISSION_LATER) {
		tell(x, "cannot find out now whether %.*s wants reports about it", SLICE_ARG(t->host));
		x->later = true;
	} else if (answer.verdict == PERMISSION_NO) {
		tell(x, "nothing is sent to %.*s: %.*s does not say that it wants reports about this domain",
		     SLICE_ARG(t->address), SLICE_ARG(t->host));
	} else if (answer.addresses_count == 0) {
		add_target(x, t->address);
	} else {
		for (size_t i = 0; i < answer.addresses_count; i++) add_target(x, answer.addresses[i].text);
	}
}

static void choose_targets(struct sending *x) {
	struct report_target all[REPORT_TARGETS_MAX];
	size_t n = report_targets(x->due.policy.rua, &x->mem, all);
	uint64_t size = report_packed_size(buf_slice(&x->packed));
	bool old = x->s->reporting.form == REPORT_FORM_RFC7489;
	for (size_t i = 0; i < n; i++) {
		/* RFC 9989 §4.8: who still writes a size is not to be held to it */
		if (old && all[i].limit != 0 && size > all[i].limit)
			tell(x, "nothing is sent to %.*s: the report is larger than it wants",
			     SLICE_ARG(all[i].address));
		else ask_target(x, &all[i]);
	}
	if (n == 0) tell(x, "nobody to send to: rua=%.*s", SLICE_ARG(x->due.policy.rua));
}

int reporting_prepare(struct reporter *r, const struct flow_settings *s, struct slice sender, struct slice to,
		      struct slice message, struct delivery **out) {
	char id[QUEUE_ID_ROOM];
	queue_id_make(id);
	struct own_mail mail = { .id = id,
				 .sender = sender,
				 .to = to,
				 .message = message,
				 .client = S("report"),
				 .submitted = true };
	int done = own_mail_prepare(r->db, &s->deliver, &mail, out);
	return done > 0 ? fail("%.*s: cannot be routed now", SLICE_ARG(to)) : done;
}

/* The mail to one of them. */
static int prepare(struct sending *x, struct slice to, struct delivery **out) {
	const struct reporting_params *p = &x->s->reporting;
	AUTO_BUF struct buf message = BUF(MAIL_ROOM);
	struct report_mail mail = { .report = &x->report,
				    .form = p->form,
				    .submitter = domain_of(p->sender),
				    .sender = p->sender,
				    .to = to,
				    .host = p->host,
				    .now_s = wall_s() };
	report_compose(&message, &mail, buf_slice(&x->packed), &x->mem);
	return reporting_prepare(x->r, x->s, x->s->reporting.sender, to, buf_slice(&message), out);
}

static int enter(struct db_conn *tx, void *arg) {
	struct sending *x = arg;
	int r = x->mail != NULL ? delivery_enter(tx, x->mail) : 0;
	return r != 0 ? r : outbox_delete(tx, &x->due);
}

static int postpone(struct db_conn *tx, void *arg) {
	return outbox_postpone(tx, &((struct sending *)arg)->due, wall_us() + AGAIN_US);
}

/* Everything is decided: the mails come in, the rows go. */
static int finish(struct sending *x) {
	int r = 0;
	for (size_t i = 0; i < x->count && r == 0; i++) {
		struct delivery *one = NULL;
		r = prepare(x, x->targets[i], &one);
		if (r == 0 && x->mail != NULL) delivery_join(x->mail, one);
		else if (r == 0) x->mail = one;
	}
	if (r == 0) r = db_write(x->r->db, enter, x);
	if (r != 0) return r;
	for (size_t i = 0; i < x->count; i++)
		tell(x, "report of %zu rows sent to %.*s", x->report.records_count, SLICE_ARG(x->targets[i]));
	if (x->mail != NULL) delivery_report(x->mail);
	if (x->mail != NULL && delivery_queued(x->mail)) sender_wake(x->r->sender);
	return 0;
}

/* One policy domain and day. */
static int send_one(struct sending *x) {
	struct report_mail mail = { .report = &x->report, .form = x->s->reporting.form };
	x->packed = BUF(MAIL_ROOM);
	int r = load(x);
	if (r == 0) r = report_gzip(&mail, &x->packed);
	if (r == 0) choose_targets(x);
	if (r == 0 && x->dry)
		for (size_t i = 0; i < x->count; i++)
			tell(x, "would send %zu rows, %zu bytes, to %.*s", x->report.records_count, x->packed.len,
			     SLICE_ARG(x->targets[i]));
	else if (r == 0 && x->later && x->count == 0)
		r = db_write(x->r->db, postpone, x); /* all or nothing would tell some twice */
	else if (r == 0) r = finish(x);
	if (r != 0) {
		tell(x, "not sent now: %s", r < 0 ? fail_text() : "a mailbox is full");
		if (!x->dry && db_write(x->r->db, postpone, x) < 0) say(L_WARN, "report", "%s", fail_text());
	}
	delivery_done(&x->mail);
	buf_done(&x->packed);
	arena_done(&x->mem);
	return r;
}

/* The next one behind *day and *domain, so that a dry run, which deletes nothing, comes to an end. */
struct walk { struct sending *x; size_t skip; };
static int nth(void *ctx, const struct outbox_due *d) {
	struct walk *w = ctx;
	if (w->skip-- != 0) return 0;
	w->x->due = *d;
	return 1;
}

static bool find_next(struct sending *x, const struct reporting_order *order, size_t done) {
	AUTO_READ struct db_conn *c = db_read(x->r->db);
	if (c == NULL) return false;
	if (x->dry) {
		struct walk w = { x, done };
		return outbox_each(c, order->domain, &x->mem, nth, &w) == 1;
	}
	int64_t now = wall_us(), today = now / DAY_US;
	return outbox_next(c, order->now ? today + 1 : today, order->now ? now + KEPT_DAYS * DAY_US : now,
			   order->domain, &x->mem, &x->due) == 0;
}

static size_t send_all(struct reporter *r, const struct flow_settings *s, const struct reporting_order *order,
		       size_t most, struct buf *words) {
	size_t n = 0;
	pthread_mutex_lock(&r->sending);
	for (; n < most; n++) {
		struct sending x = { .r = r, .s = s, .dry = order->dry, .words = words };
		if (!find_next(&x, order, n)) {
			arena_done(&x.mem);
			break;
		}
		if (send_one(&x) != 0 && !order->dry) break; /* what fails for one will fail for the next */
	}
	pthread_mutex_unlock(&r->sending);
	return n;
}

void reporting_send_due(struct reporter *r, const struct flow_settings *s) {
	if (s->reporting.send) send_all(r, s, &(struct reporting_order){ 0 }, REPORTS_A_STEP, NULL);
}

int reporting_send(struct reporter *r, const struct reporting_order *order, struct buf *out) {
	struct flow_settings *s = (struct flow_settings *)current_hold(r->settings);
	int result = 0;
	if (order->now && !order->dry) reporting_send_failures(r, s, true);
	if (!s->reporting.send) result = fail("no reports are sent: %.*s", SLICE_ARG(s->reporting.why_not));
	else if (send_all(r, s, order, 10000, out) == 0) buf_add(out, S("nothing is to be reported\n"));
	generation_drop(&s->generation);
	return result;
}
