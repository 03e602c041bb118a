/* SPDX-License-Identifier: Apache-2.0 */
/* One thing after the other, in small steps: reports can wait, mail cannot. */
#include "flow/reporting.h"
#include "base/fail.h"
#include "base/log.h"
#include "flow/reporting_private.h"
#include "flow/send.h"
#include "report/inbox.h"
#include "report/outbox.h"

enum { EVERY_MS = 10000, MAILS_A_STEP = 5, NAMES_A_STEP = 3, SEND_EVERY_MS = 60000 };

bool reporting_takes(const struct deliver_params *p, struct slice address) {
	size_t at = slice_find_last(address, '@');
	struct slice local = slice_head(address, at);
	size_t extension = p->route->resolve.delimiters.len != 0 ? slice_find(local, p->route->resolve.delimiters.at[0])
								 : local.len;
	for (size_t i = 0; i < p->report_addresses_count; i++) {
		struct slice name = p->report_addresses[i];
		bool whole = slice_find(name, '@') < name.len;
		if (slice_same(name, whole ? address : local) ||
		    (!whole && slice_same(name, slice_head(local, extension))))
			return true;
	}
	return reporting_is_named(p->reporter, address);
}

/* In. */

struct storing {
	const struct inbox_mail *mail;
	const struct report_list *list;
	int64_t *ahead;          /* of each item */
	size_t stored, known;
};

static int store_all(struct db_conn *tx, void *arg) {
	struct storing *s = arg;
	s->stored = s->known = 0;
	for (size_t i = 0; i < s->list->items_count; i++) {
		if (s->list->items[i].kind == REPORT_REFUSED) continue;
		int r = inbox_store(tx, &s->list->items[i], s->mail, s->ahead[i]);
		if (r < 0) return r;
		s->stored += r == 0;
		s->known += r == INBOX_KNOWN;
	}
	return inbox_done(tx, s->mail);
}

static void log_refused(const struct report_list *list) {
	if (list->items_count == 0) say(L_INFO, "report", "%.*s", SLICE_ARG(list->nothing));
	for (size_t i = 0; i < list->items_count; i++) {
		const struct report *r = &list->items[i];
		if (r->kind == REPORT_REFUSED)
			say(L_WARN, "report", "not read: %.*s%s%.*s", SLICE_ARG(r->file), r->file.len != 0 ? ": " : "",
			    SLICE_ARG(r->reason));
	}
}

static int open_mail(struct reporter *r, const struct inbox_mail *m) {
	AUTO_READ struct db_conn *c = db_read(r->db);
	AUTO_BLOB struct blob *b = NULL;
	int done = c != NULL ? blob_open(c, m->blob_id, &b) : -1;
	db_release(&c);
	if (done == BLOB_GONE) return fail("the mail is gone");
	return done < 0 ? done : blob_fd(b);
}

static int forget(struct db_conn *tx, void *arg) {
	return inbox_done(tx, arg);
}

/* One mail. False: there is none, or relay is away: later. */
static bool read_one(struct reporter *r) {
	AUTO_ARENA struct arena mem = { 0 };
	struct inbox_mail mail;
	struct report_list list;
	int done = inbox_next(r->db, &mail);
	if (done == INBOX_HOPELESS)
		return say(L_WARN, "report", "a mail to a report address could not be read, three times: given up"),
		       true;
	if (done != 0) return done < 0 ? say(L_WARN, "report", "%s", fail_text()), false : false;
	AUTO_FD int fd = open_mail(r, &mail);
	if (fd < 0) {
		say(L_WARN, "report", "%s", fail_text());
		return db_write(r->db, forget, &mail) == 0;
	}
	done = ask_report(r->relay, fd, &mem, &list);
	if (done != ASK_OK)
		return say(L_WARN, "report", "not read now: %s", done < 0 ? fail_text() : "relay does not answer"),
		       false;
	struct storing s = { .mail = &mail,
			     .list = &list,
			     .ahead = arena_array(&mem, list.items_count + 1, sizeof *s.ahead) };
	for (size_t i = 0; i < list.items_count; i++)
		if (inbox_store_ahead(r->db, &list.items[i], &s.ahead[i]) < 0)
			return say(L_WARN, "report", "%s", fail_text()), false;
	if (db_write(r->db, store_all, &s) < 0) return say(L_WARN, "report", "%s", fail_text()), false;
	log_refused(&list);
	if (s.stored + s.known != 0) say(L_INFO, "report", "received: %zu new, %zu known", s.stored, s.known);
	return true;
}

struct naming { struct slice source, host; };
static int name_it(struct db_conn *tx, void *arg) {
	const struct naming *n = arg;
	return inbox_name(tx, n->source, n->host);
}

/* The name of one address that was reported. */
static bool name_one(struct reporter *r) {
	AUTO_ARENA struct arena mem = { 0 };
	struct naming n;
	struct name_answer answer = { 0 };
	AUTO_READ struct db_conn *c = db_read(r->db);
	int done = c != NULL ? inbox_unnamed(c, &mem, &n.source) : -1;
	db_release(&c);
	if (done != 0) return false;
	if (ask_name(r->relay, &(struct name_ask){ n.source }, &mem, &answer) != ASK_OK) return false;
	n.host = answer.name; /* what nobody knows now is not asked again: a name is a courtesy */
	return db_write(r->db, name_it, &n) == 0;
}

/* The task. */

static void purge(struct reporter *r, int64_t keep_us) {
	if (inbox_purge(r->db, wall_us() - keep_us) < 0 || outbox_purge(r->db, wall_us() / DAY_US - KEPT_DAYS) < 0)
		say(L_WARN, "report", "clean-up: %s", fail_text());
}

static void reporter_step(struct task *t, enum wake why) {
	struct reporter *r = OWNER_OF(t, struct reporter, task);
	bool more = false;
	if (why == WAKE_STOP) return task_end(t);
	struct flow_settings *s = (struct flow_settings *)current_hold(r->settings);
	for (int i = 0; i < MAILS_A_STEP; i++)
		if (!(more = read_one(r))) break;
	for (int i = 0; i < NAMES_A_STEP && !more; i++)
		if (!name_one(r)) break;
	if (clock_ms() >= r->send_at && !more) {
		r->send_at = deadline_in(SEND_EVERY_MS);
		reporting_send_due(r, s);
		if (clock_ms() >= r->purge_at) {
			purge(r, s->reporting.keep_us);
			r->purge_at = deadline_in(3600000);
		}
	}
	if (!more) reporting_look_named(r, s);
	reporting_send_failures(r, s, false);
	generation_drop(&s->generation);
	task_park(t, 0, 0, deadline_in(more ? 1 : EVERY_MS));
}

struct reporter *reporter_new(void) {
	struct reporter *r = mem_get(sizeof *r);
	pthread_mutex_init(&r->sending, NULL);
	pthread_mutex_init(&r->waiting, NULL);
	return r;
}

void reporter_start(struct reporter *r, struct pool *pool, struct db *db, struct link *relay, struct current *settings,
		    struct sender *sender) {
	r->task.step = reporter_step;
	r->pool = pool;
	r->db = db;
	r->relay = relay;
	r->settings = settings;
	r->sender = sender;
	r->send_at = deadline_in(SEND_EVERY_MS);
	reporting_load_failures(r);
	pool_add(pool, &r->task, -1, -1);
	atomic_store(&r->name, task_name(&r->task));
}

void reporter_wake(struct reporter *r) {
	task_ref name = r != NULL ? atomic_load(&r->name) : 0;
	if (name != 0) task_wake(r->pool, name);
}

void reporter_free(struct reporter **rp) {
	struct reporter *r = TAKE(*rp);
	if (r == NULL) return;
	reporting_forget_failures(r);
	arena_done(&r->named_mem);
	pthread_mutex_destroy(&r->waiting);
	pthread_mutex_destroy(&r->sending);
	free(r);
}
