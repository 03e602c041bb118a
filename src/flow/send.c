/* SPDX-License-Identifier: Apache-2.0 */
#include "flow/verp.h"
#include "flow/send.h"
#include "base/fail.h"
#include "base/log.h"
#include "base/map.h"
#include "flow/own_mail.h"
#include "flow/requeue.h"
#include "flow/settle.h"
#include "smtp/client.h"

#include <sys/epoll.h>

enum {
	JOBS_AT_ONCE = 16,
	IDLE_CHANNELS = 64,
	TEXT_MAX = 64 << 10, /* of a message that relay gets without a descriptor */
	IDLE_CHANNEL_MS = 5000,
	RETRY_MS = 10000,
	RELAY_MS = 3600000,
	ENDING_MS = 30000,
	PACE_LOOK_US = 1000000
};

struct hop_state {
	struct window window;
	size_t under_way;
	size_t round;       /* of a paced transport: the last look into the queue that made a job */
	int64_t not_before; /* <transport>_destination_rate_delay: when the next job may begin, on the clock of clock_us
			     */
	double cohorts;     /* failures in a row, each divided by the window at that time */
	int64_t rests_until; /* nobody is sent there before, on the clock of clock_us; 0: it does not rest */
	char status[12], *why; /* of the last failure, while it rests */
};

struct idle_channel {
	int fd;
	char *hop;
	int64_t until;
};

struct sender {
	struct task task; /* the scheduler: parked until something falls due */
	struct pool *pool;
	struct db *db;
	struct queue *queue;
	struct link *relay, *agent; /* agent: NULL where there is none */
	struct current *settings;
	task_ref self;
	pthread_mutex_t lock;
	size_t under_way;
	bool starved;    /* there was no room for another job */
	size_t rounds;   /* looks into the queue; the scheduler's own */
	struct map hops; /* name → hop_state; only of hops with jobs under way */
	struct map paced; /* transport → hop_state; those with a transport_rate_delay */
	struct idle_channel idle[IDLE_CHANNELS];
	size_t idle_count;
};

/* How a job ended, for its destination: SITE_DOWN is what counts as a failure of the place (and not of this server, or
 * of the one message). */
enum reach { UNREACHED, SITE_DOWN, UNTRIED, REACHED };

/* One job on its way. Recipients who came by different aliases are handed to relay one group after the other: a copy
 * says Delivered-To for its own alias only, and for nobody else's. */
struct shipment {
	struct task task;
	struct sender *sender;
	struct queue_job *job;
	size_t from, count; /* the group that is under way */
	enum reach reach;
	struct slice site_status, site_text; /* with SITE_DOWN */
	bool unrecorded;    /* what became of some of it */
	bool ending;        /* relay ends, and so will this process in a moment */
	bool look;          /* the queue may have something else to do now: the scheduler is to look */
	struct flow_settings *settings;
	const struct transport *transport; /* NULL: master.cf has none of that name */
	struct slice next_hop;
	int channel;
	int64_t started_us;
	struct arena mem;
};

/* Destinations. */

struct hop_limits {
	size_t first, most;
	int64_t rate_delay_us;
	double cohorts;
	struct feedback gain, loss;
};

/* The transport's own limits, or those for all. With a pause between deliveries there is one at a time. */
static struct hop_limits limits_of(const struct flow_settings *settings, struct slice hop) {
	struct slice name, next_hop;
	transport_split(hop, &name, &next_hop);
	const struct transport *t = transport_find(&settings->deliver.route->hops.transports, name);
	const struct send_params *p = &settings->send;
	struct hop_limits l = { p->first_concurrency, p->concurrency_limit, 0, 0, p->gain, p->loss };
	if (t != NULL && t->concurrency_limit != 0)
		l = (struct hop_limits){ t->first_concurrency, t->concurrency_limit, t->rate_delay_us,
					 t->failed_cohort_limit, t->gain, t->loss };
	l.most = l.rate_delay_us != 0 ? 1 : MAX_OF(l.most, (size_t)1);
	l.first = MIN_OF(MAX_OF(l.first, (size_t)1), l.most);
	return l;
}

static struct hop_state *hop_of(struct sender *s, struct slice hop, size_t first) {
	struct hop_state *h = map_get(&s->hops, hop);
	if (h == NULL) {
		h = mem_get(sizeof *h);
		h->window.open = MAX_OF(first, (size_t)1);
		map_put(&s->hops, hop, h);
	}
	return h;
}

struct window_question {
	struct sender *sender;
	const struct flow_settings *settings;
	size_t round;      /* a number of this look into the queue */
	int64_t resume_us; /* when the first of the pausing destinations may go on, or NEVER */
};

static const struct transport *transport_of_hop(const struct flow_settings *settings, struct slice hop) {
	struct slice name, next_hop;
	transport_split(hop, &name, &next_hop);
	return transport_find(&settings->deliver.route->hops.transports, name);
}

/* Must this transport wait, whatever the destination? One job at a time, with a pause behind it. With the lock held. */
static bool paced(struct window_question *q, const struct transport *t) {
	if (t == NULL || t->all_delay_us == 0) return false;
	struct hop_state *p = map_get(&q->sender->paced, t->name);
	if (p == NULL) {
		p = mem_get(sizeof *p);
		map_put(&q->sender->paced, t->name, p);
	}
	if (p->not_before > clock_us()) q->resume_us = MIN_OF(q->resume_us, p->not_before);
	bool wait = p->under_way != 0 || p->not_before > clock_us() || p->round == q->round;
	p->round = q->round; /* the job that is made now is the only one of this round; if none is made, there is
				another one soon */
	if (!wait) q->resume_us = MIN_OF(q->resume_us, clock_us() + PACE_LOOK_US);
	return wait;
}

static size_t window_of(void *ctx, struct slice hop) {
	struct window_question *q = ctx;
	size_t window = limits_of(q->settings, hop).first;
	pthread_mutex_lock(&q->sender->lock);
	if (paced(q, transport_of_hop(q->settings, hop))) {
		pthread_mutex_unlock(&q->sender->lock);
		return 0;
	}
	struct hop_state *h = map_get(&q->sender->hops, hop);
	if (h != NULL) {
		window = h->window.open;
		if (h->not_before > clock_us()) {
			window = 0;
			q->resume_us = MIN_OF(q->resume_us, h->not_before);
		}
	}
	pthread_mutex_unlock(&q->sender->lock);
	return window;
}

/* With the lock held. */
static struct hop_state *pace_of(struct sender *s, struct slice hop, const struct flow_settings *settings) {
	const struct transport *t = transport_of_hop(settings, hop);
	return t != NULL && t->all_delay_us != 0 ? map_get(&s->paced, t->name) : NULL;
}

/* True: the destination rests. */
static bool hop_started(struct sender *s, struct slice hop, const struct flow_settings *settings) {
	size_t first = limits_of(settings, hop).first;
	pthread_mutex_lock(&s->lock);
	struct hop_state *pace = pace_of(s, hop, settings);
	if (pace != NULL) pace->under_way++;
	struct hop_state *h = hop_of(s, hop, first);
	bool rests = h->rests_until != 0;
	h->under_way++;
	s->under_way++;
	pthread_mutex_unlock(&s->lock);
	return rests;
}

static void hop_free(void *value) {
	struct hop_state *h = value;
	if (h == NULL) return;
	free(h->why);
	free(h);
}

/* Pauses that are over leave no trace. */
static bool pause_over(void *ctx, struct slice hop, void *value) {
	struct slice *found = ctx;
	const struct hop_state *h = value;
	if (h->under_way == 0 && MAX_OF(h->not_before, h->rests_until) <= clock_us()) *found = hop;
	return found->at == NULL;
}

static void forget_pauses(struct sender *s) {
	for (struct slice hop = SLICE_NONE;; hop = SLICE_NONE) {
		map_each(&s->hops, pause_over, &hop);
		if (hop.at == NULL) return;
		AUTO_FREE char *name = slice_text(hop);
		hop_free(map_take(&s->hops, slice_of(name)));
	}
}

/* With the lock held; before the window becomes smaller. */
static void count_failure(struct hop_state *h, const struct hop_limits *limits, const struct shipment *sh) {
	h->cohorts += 1 / (double)MAX_OF(h->window.open, (size_t)1);
	if (limits->cohorts <= 0 || h->cohorts < limits->cohorts - 1e-9) return;
	h->rests_until = clock_us() + sh->settings->send.rest_us;
	snprintf(h->status, sizeof h->status, "%.*s", SLICE_ARG(sh->site_status));
	free(h->why);
	h->why = slice_text(sh->site_text);
	h->cohorts = 0;
	h->window = (struct window){ .open = limits->first };
}

/* The destination rests: false, and why. */
static bool may_try(struct sender *s, struct slice hop, struct arena *mem, struct slice *status, struct slice *text) {
	pthread_mutex_lock(&s->lock);
	struct hop_state *h = map_get(&s->hops, hop);
	bool rests = h != NULL && h->rests_until > clock_us();
	if (rests) {
		*status = arena_slice(mem, slice_of(h->status));
		*text = arena_fmt(mem, "delivery temporarily suspended: %s", h->why);
	}
	pthread_mutex_unlock(&s->lock);
	return !rests;
}

static bool end_rest(void *ctx, struct slice hop, void *value) {
	struct hop_state *h = value;
	(void)ctx, (void)hop;
	h->rests_until = 0;
	h->cohorts = 0;
	return true;
}

void sender_end_rests(struct sender *s) {
	pthread_mutex_lock(&s->lock);
	map_each(&s->hops, end_rest, NULL);
	forget_pauses(s);
	pthread_mutex_unlock(&s->lock);
	queue_entered(s->queue, INT64_MIN); /* what the operator changed may be due at any time */
}

/* True: the scheduler waited for just that, or has a pause to reckon with. */
static bool hop_ended(const struct shipment *sh) {
	struct sender *s = sh->sender;
	struct slice hop = sh->job->hop;
	const struct flow_settings *settings = sh->settings;
	struct hop_limits limits = limits_of(settings, hop);
	pthread_mutex_lock(&s->lock);
	struct hop_state *pace = pace_of(s, hop, settings), *h = hop_of(s, hop, limits.first);
	if (pace != NULL && pace->under_way != 0) {
		pace->under_way--;
		pace->not_before = clock_us() + transport_of_hop(settings, hop)->all_delay_us;
	}
	if (sh->reach == SITE_DOWN) count_failure(h, &limits, sh);
	if (sh->reach == REACHED) h->cohorts = 0, window_gain(&h->window, &limits.gain, limits.most);
	else if (sh->reach != UNTRIED && h->rests_until == 0) window_lose(&h->window, &limits.loss);
	s->under_way--;
	bool look = pace != NULL || limits.rate_delay_us != 0 || s->starved;
	s->starved = false;
	if (limits.rate_delay_us != 0) h->not_before = clock_us() + limits.rate_delay_us;
	if (--h->under_way == 0 && h->not_before == 0 && h->rests_until == 0) {
		/* a destination that nothing goes to starts afresh the next time; the map holds only what is at work,
		 * or pauses */
		map_take(&s->hops, hop);
		hop_free(h);
	}
	forget_pauses(s);
	pthread_mutex_unlock(&s->lock);
	return look;
}

/* Channels to relay. One that just served a destination has a connection there that can be used again. */

static int channel_for(struct sender *s, struct link *link, struct slice hop) {
	int found = -1;
	int64_t now = clock_ms();
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < s->idle_count;) {
		struct idle_channel *c = &s->idle[i];
		bool take = found < 0 && slice_eq(slice_of(c->hop), hop) && c->until > now;
		if (!take && c->until > now) {
			i++;
			continue;
		}
		if (take) found = c->fd;
		else close(c->fd);
		free(c->hop);
		*c = s->idle[--s->idle_count];
	}
	pthread_mutex_unlock(&s->lock);
	return found >= 0 ? found : link_channel(link);
}

static void channel_keep(struct sender *s, int fd, struct slice hop) {
	pthread_mutex_lock(&s->lock);
	bool keep = s->idle_count < IDLE_CHANNELS;
	if (keep) s->idle[s->idle_count++] = (struct idle_channel){ fd, slice_text(hop), deadline_in(IDLE_CHANNEL_MS) };
	pthread_mutex_unlock(&s->lock);
	if (!keep) close(fd);
}

/* Shipments. */

static void shipment_end(struct shipment *sh) {
	struct sender *s = sh->sender;
	bool look = sh->look;
	if (look) queue_entered(s->queue, INT64_MIN);
	look |= hop_ended(sh);
	sh->job->recorded = !sh->unrecorded;
	look |= queue_job_done(s->queue, &sh->job);
	generation_drop(&sh->settings->generation);
	arena_done(&sh->mem);
	if (look) sender_wake(s);
	task_end(&sh->task); /* last: once the pool has no tasks, the queue may be closed */
	free(sh);
}

/* Nobody answered: all recipients wait. */
static void fail_all(struct shipment *sh, struct relay_answer *answer, const char *text) {
	*answer = (struct relay_answer){ .outcomes = arena_array(&sh->mem, sh->count, sizeof(struct relay_outcome)),
					 .outcomes_count = sh->count };
	for (size_t i = 0; i < sh->count; i++)
		answer->outcomes[i] = (struct relay_outcome){ .fate = SMTP_LATER,
							      .status = S("4.3.0"),
							      .text = arena_slice(&sh->mem, slice_of(text)),
							      .relay = S("none") };
}

/* Somebody answered, but would not talk: 421 instead of a greeting, say. */
static bool turned_away(const struct relay_outcome *o) {
	return o->fate == SMTP_LATER && o->uses == 0 && o->diagnostic.len != 0;
}

static bool reached_server(const struct relay_answer *a) {
	for (size_t i = 0; i < a->outcomes_count; i++)
		if (a->outcomes[i].fate != SMTP_LATER ||
		    (a->outcomes[i].host.len != 0 && !turned_away(&a->outcomes[i])))
			return true;
	return a->outcomes_count == 0;
}

/* What Delivered-To will say; recipients without are all alike. */
static struct slice alias_of(const struct queue_recipient *r) {
	return r->target.len != 0 ? r->original : SLICE_NONE;
}

static bool is_verp(const struct queue_message *m) {
	AUTO_ARENA struct arena mem = { 0 };
	struct unwire in = UNWIRE(m->extra, &mem);
	struct queue_extra extra = { 0 };
	queue_extra_unpack(&in, &extra);
	return extra.flags >> ACCEPT_VERP != 0;
}

/* All of the group is delivered, and nobody is told. */
static bool is_over(const struct queue_job *group, const struct relay_answer *a) {
	for (size_t i = 0; i < a->outcomes_count; i++) {
		const struct queue_recipient *to = &group->message.recipients[i];
		if (a->outcomes[i].fate != SMTP_DELIVERED || to->warned || (to->notify & NOTIFY_SUCCESS) != 0)
			return false;
	}
	return true;
}

static void next_group(struct shipment *sh) {
	const struct queue_message *m = &sh->job->message;
	size_t limit = is_verp(m)              ? 1
		       : sh->transport != NULL ? MAX_OF(sh->transport->recipient_limit, (size_t)1)
					       : SIZE_MAX;
	sh->from += sh->count;
	sh->count = 0;
	while (sh->from + sh->count < m->recipient_count && sh->count < limit &&
	       slice_eq(alias_of(&m->recipients[sh->from + sh->count]), alias_of(&m->recipients[sh->from])))
		sh->count++;
}

/* Records what became of the group, and takes up the next. */
static void settle(struct shipment *sh, const struct relay_answer *answer) {
	struct sender *s = sh->sender;
	struct queue_job group = *sh->job;
	group.message.recipients += sh->from;
	group.message.recipient_count = sh->count;
	if (sh->reach != UNTRIED && reached_server(answer)) sh->reach = REACHED;
	bool recorded = settle_job(s->db, s->queue, sh->settings, &group, answer->outcomes, sh->started_us) >= 0;
	sh->unrecorded = sh->unrecorded || !recorded;
	sh->look = sh->look || !recorded || !is_over(&group, answer);
	if (!recorded)
		say(L_ERROR, "qmgr", "%.*s: cannot record what happened: %s (will be tried again)",
		    SLICE_ARG(sh->job->message.id), fail_text());
	next_group(sh);
}

static void drop_channel(struct shipment *sh) {
	task_watch(&sh->task, -1, -1);
	auto_fd(&sh->channel);
}

static void give_up(struct shipment *sh, const char *text) {
	struct relay_answer answer;
	drop_channel(sh);
	fail_all(sh, &answer, text);
	settle(sh, &answer);
}

static int take_text(void *ctx, struct slice piece) {
	return buf_add(ctx, piece) ? 0 : fail("its body is longer than it should be (hato verify)");
}

/* The body: *text where it is small and for relay, else *fd. */
static int open_body(struct shipment *sh, bool to_relay, struct slice *text, int *fd) {
	AUTO_BLOB struct blob *b = NULL;
	AUTO_READ struct db_conn *c = db_read(sh->sender->db);
	if (c == NULL) return -1;
	int r = blob_open(c, sh->job->message.blob_id, &b);
	if (r != 0) return r < 0 ? r : fail("its body is gone (hato verify)");
	if (!to_relay || blob_size(b) > TEXT_MAX || blob_size(b) == 0) return (*fd = blob_fd(b)) < 0 ? -1 : 0;
	AUTO_BUF struct buf out = BUF(TEXT_MAX);
	if ((r = blob_each(b, take_text, &out)) < 0) return r;
	*text = arena_slice(&sh->mem, buf_slice(&out));
	return 0;
}

/* A domain whose mail is ours to send needs no other sender: TABLE_LATER as well, for it is only asked again. */
static bool is_ours(struct shipment *sh, struct slice domain) {
	const struct route_params *route = sh->settings->deliver.route;
	enum route_class class;
	if (class_of(&route->classes, &route->rewrite, domain, &sh->mem, &class) == TABLE_LATER) return false;
	if (class != ROUTE_CLASS_DEFAULT) return true;
	AUTO_READ struct db_conn *c = db_read(sh->sender->db);
	return c != NULL && user_domain_local(c, domain) == 0;
}

/* The sender that forwarded mail may leave with; empty: its own. */
static struct slice srs_sender(struct shipment *sh, bool forwarded) {
	const struct srs_params *srs = sh->settings->send.srs;
	struct slice sender = sh->job->message.sender, local, domain, out = SLICE_NONE;
	if (!forwarded || srs == NULL || sh->transport->kind != TRANSPORT_RELAY ||
	    !rewrite_parts(sender, &local, &domain))
		return SLICE_NONE;
	if (is_ours(sh, domain) || srs_forward(srs, sender, &sh->mem, &out) != SRS_DONE) return SLICE_NONE;
	return out;
}

/* Everything relay must know. */
static int ship(struct shipment *sh) {
	const struct queue_message *m = &sh->job->message;
	AUTO_FD int body = -1;
	struct slice text = SLICE_NONE;
	bool to_relay = sh->transport->kind == TRANSPORT_RELAY;
	if (open_body(sh, to_relay, &text, &body) < 0) return -1;
	struct unwire in = UNWIRE(m->extra, &sh->mem);
	struct queue_extra extra = { 0 };
	queue_extra_unpack(&in, &extra);
	const struct queue_recipient *group = m->recipients + sh->from;
	struct relay_recipient *to = arena_array(&sh->mem, sh->count, sizeof *to);
	struct queue_target target = { 0 };
	for (size_t i = 0; i < sh->count; i++) {
		struct unwire more = UNWIRE(group[i].target, &sh->mem);
		target = (struct queue_target){ 0 };
		if (group[i].target.len != 0) queue_target_unpack(&more, &target);
		to[i] = (struct relay_recipient){ group[i].address, group[i].orcpt, group[i].notify, group[i].original,
						  target.kind,      target.target,  target.rights,   target.delivered,
						  target.below,     target.named };
	}
	/* what came by an alias carries its address, so that a forwarding circle is seen when it comes back */
	struct slice head = SLICE_NONE, alias = group[0].original;
	if (alias.len != 0 && target.aliased && sh->transport->kind == TRANSPORT_RELAY)
		head = arena_fmt(&sh->mem, "Delivered-To: %.*s\r\n", SLICE_ARG(alias));
	bool ours = (extra.flags & ACCEPT_SIGN) != 0;
	struct relay_ask ask = {
		.queue_id = m->id,
		.sign = ours,
		.seal = target.forwarded && !ours ? slice_skip(alias, slice_find_last(alias, '@') + 1) : SLICE_NONE,
		.srs = srs_sender(sh, target.forwarded),
		.srs_always = sh->settings->send.srs_always,
		.transport = sh->transport->name,
		.hop = sh->next_hop,
		.sender = verp_sender(m->sender, verp_delimiters(extra.flags, &sh->mem),
				      group[0].original.len != 0 ? group[0].original : group[0].address, &sh->mem),
		.envid = m->envid,
		.head = head,
		.text = text,
		.ret = m->ret,
		.eight_bit = extra.eight_bit,
		.utf8 = extra.utf8,
		.require_tls = (extra.flags & ACCEPT_REQUIRE_TLS) != 0,
		.offset = extra.return_path,
		.size = m->size - extra.return_path,
		.arrived_us = m->arrived_us,
		.client = extra.from,
		.recipients = to,
		.recipients_count = sh->count,
	};
	struct link *link = to_relay ? sh->sender->relay : sh->sender->agent;
	if (link == NULL) return fail("mail transport unavailable");
	sh->channel = channel_for(sh->sender, link, sh->job->hop);
	if (sh->channel < 0) return -1;
	if (ask_relay_send(sh->channel, &ask, body) == ASK_OK) return 0;
	return fail("the %s process cannot be reached", to_relay ? "relay" : "agent");
}

/* Relay ends: what it has not tried is due as before. */
static bool untried(const struct shipment *sh, const struct relay_answer *a) {
	size_t n = 0;
	for (size_t i = 0; i < a->outcomes_count; i++) n += a->outcomes[i].fate == RELAY_UNTRIED;
	if (n != 0) say(L_INFO, "qmgr", "%.*s: not tried, as the server ends", SLICE_ARG(sh->job->message.id));
	return n != 0;
}

/* Nobody there could be spoken to: that is what 4.4.x says (RFC 3463), or a refusal before there was any message, as
 * far as it is not this message's own trouble. */
static void look_at_site(struct shipment *sh, const struct relay_answer *a) {
	const struct relay_outcome *last = &a->outcomes[a->outcomes_count - 1];
	if (sh->reach == REACHED || sh->transport->kind != TRANSPORT_RELAY || reached_server(a) ||
	    !(slice_starts(last->status, S("4.4.")) || turned_away(last)))
		return;
	sh->reach = SITE_DOWN;
	sh->site_status = last->status;
	sh->site_text = last->text;
}

static void receive(struct shipment *sh) {
	struct relay_answer answer;
	int r = ask_relay_receive(sh->channel, &sh->mem, &answer);
	if (r != ASK_OK || answer.outcomes_count != sh->count) {
		give_up(sh, r < 0 ? fail_text() : "delivery was interrupted");
		return;
	}
	sh->ending = untried(sh, &answer);
	int channel = TAKE_FD(sh->channel);
	task_watch(&sh->task, -1, -1);
	channel_keep(sh->sender, channel, sh->job->hop);
	if (!sh->ending) look_at_site(sh, &answer);
	settle(sh, &answer);
	sh->unrecorded = sh->unrecorded || sh->ending;
	const struct deliver_params *p = &sh->settings->deliver;
	bool own = slice_same(sh->job->message.sender,
			      p->trouble.from); /* a notice about how a notice went would not end */
	if (answer.troubles != 0 && !own && own_mail_tell_postmaster(sh->sender->db, p, &answer))
		sender_wake(sh->sender);
}

/* One outcome for the whole group. */
static void settle_all(struct shipment *sh, uint32_t fate, struct slice usual, struct slice text) {
	struct slice status = hop_status(&text, usual, &sh->mem);
	struct relay_answer answer = { .outcomes = arena_array(&sh->mem, sh->count, sizeof(struct relay_outcome)),
				       .outcomes_count = sh->count };
	for (size_t i = 0; i < sh->count; i++)
		answer.outcomes[i] =
			(struct relay_outcome){ .fate = fate, .status = status, .text = text, .relay = S("none") };
	if (sh->reach != UNTRIED)
		sh->reach = REACHED; /* nothing is wrong with this destination: others need not wait for it */
	settle(sh, &answer);
}

static void take_up_again(struct shipment *sh) {
	struct queue_job group = *sh->job;
	group.message.recipients += sh->from;
	group.message.recipient_count = sh->count;
	sh->reach = REACHED;
	sh->look = true;
	if (requeue_job(sh->sender->db, sh->settings, &group) == 0) next_group(sh);
	else settle_all(sh, SMTP_LATER, S("4.3.0"), arena_slice(&sh->mem, slice_of(fail_text())));
}

/* Does an operator want mail for a transport in defer_transports to go now? He cleared what was said when it was put
 * off. */
static bool put_off(const struct shipment *sh) {
	const struct queue_recipient *first = &sh->job->message.recipients[sh->from];
	return sh->transport->deferred && (first->tries == 0 || first->status.len != 0);
}

/* What needs no other process. */
static bool settled_here(struct shipment *sh) {
	struct slice text = sh->next_hop, status = SLICE_NONE;
	if (sh->transport == NULL) return settle_all(sh, SMTP_LATER, S("4.3.0"), S("mail transport unavailable")), true;
	if (put_off(sh)) return settle_all(sh, SMTP_LATER, S("4.3.2"), S(QUEUE_PUT_OFF)), true;
	switch (sh->transport->kind) {
	case TRANSPORT_ERROR: settle_all(sh, SMTP_NEVER, S("5.0.0"), text); return true;
	case TRANSPORT_RETRY: settle_all(sh, SMTP_LATER, S("4.3.0"), text); return true;
	case TRANSPORT_DISCARD: settle_all(sh, SMTP_DELIVERED, S("2.0.0"), text); return true;
	case TRANSPORT_REQUEUE: take_up_again(sh); return true;
	default: break;
	}
	if (sh->reach == REACHED || may_try(sh->sender, sh->job->hop, &sh->mem, &status, &text)) return false;
	sh->reach = UNTRIED;
	settle_all(sh, SMTP_LATER, status, text);
	return true;
}

/* Other hops for those who have been tried before, when the tables say so now. */
struct rerouting {
	struct shipment *shipment;
	struct slice *hops; /* one for each recipient of the job; empty: stays */
};

static int write_hops(struct db_conn *tx, void *arg) {
	const struct rerouting *r = arg;
	const struct queue_message *m = &r->shipment->job->message;
	int answer = 0;
	for (size_t i = 0; i < m->recipient_count && answer >= 0; i++)
		if (r->hops[i].len != 0) answer = queue_route(tx, m->id, m->recipients[i].number, r->hops[i]);
	return answer < 0 ? answer : 0;
}

static bool may_change(const struct queue_recipient *to, struct arena *mem) {
	struct unwire in = UNWIRE(to->target, mem);
	struct queue_target target = { 0 };
	if (to->tries == 0) return false;
	if (to->target.len != 0) queue_target_unpack(&in, &target);
	return target.kind == RELAY_ADDRESS && !target.fixed;
}

/* True: something changed, and this job must be put together again. */
static bool reroute(struct shipment *sh) {
	const struct queue_message *m = &sh->job->message;
	struct rerouting r = { sh, arena_array(&sh->mem, m->recipient_count, sizeof *r.hops) };
	bool any = false;
	if (sh->transport != NULL && sh->transport->kind == TRANSPORT_REQUEUE) return false;
	for (size_t i = 0; i < m->recipient_count; i++) {
		struct slice hop = SLICE_NONE;
		if (!may_change(&m->recipients[i], &sh->mem)) continue;
		if (route_again(sh->settings->deliver.route, m->recipients[i].address, m->sender, &sh->mem, &hop) != 0)
			continue;
		if (hop.len == 0 || slice_eq(hop, sh->job->hop)) continue;
		r.hops[i] = hop;
		any = true;
	}
	return any && db_write(sh->sender->db, write_hops, &r) == 0;
}

/* Sends the group and parks until its answer comes; groups that cannot be sent are recorded as such. */
static void go_on(struct shipment *sh) {
	while (sh->count != 0) {
		if (settled_here(sh)) continue;
		if (ship(sh) == 0) {
			task_watch(&sh->task, sh->channel, -1);
			task_park(&sh->task, EPOLLIN, 0, deadline_in(RELAY_MS));
			return;
		}
		give_up(sh, fail_text());
	}
	shipment_end(sh);
}

static void shipment_step(struct task *t, enum wake why) {
	struct shipment *sh = OWNER_OF(t, struct shipment, task);
	if (why == WAKE_STOP || sh->ending) { /* recorded as it was: the next start tries again */
		drop_channel(sh);
		shipment_end(sh);
		return;
	}
	if (sh->channel < 0 && sh->from == 0 && reroute(sh)) {
		sh->reach = UNTRIED;
		sh->look = true;
		shipment_end(sh);
		return;
	}
	if (why == WAKE_IO) receive(sh);
	if (why == WAKE_DEADLINE) give_up(sh, "delivery took longer than an hour");
	if (sh->ending) task_park(&sh->task, 0, 0, deadline_in(ENDING_MS)); /* now it would be sent to nobody */
	else go_on(sh);
}

static int by_alias(const void *a, const void *b) {
	const struct queue_recipient *one = a, *other = b;
	int order = slice_order(alias_of(one), alias_of(other));
	return order != 0 ? order : one->number - other->number;
}

/* The scheduler. */

/* Nothing has to be written first: handing it to relay waits for nobody. */
static bool may_go_at_once(const struct shipment *sh) {
	const struct queue_message *m = &sh->job->message;
	if (sh->transport == NULL || sh->transport->kind != TRANSPORT_RELAY || sh->transport->deferred) return false;
	for (size_t i = 0; i < m->recipient_count; i++)
		if (m->recipients[i].tries != 0) return false; /* his way may be another one by now */
	return true;
}

static void start_shipment(struct sender *s, struct queue_job *job, struct flow_settings *settings) {
	struct shipment *sh = mem_get(sizeof *sh);
	*sh = (struct shipment){
		.task.step = shipment_step, .sender = s, .job = job, .channel = -1, .started_us = wall_us()
	};
	sh->settings = settings;
	generation_hold(&settings->generation);
	struct slice name;
	transport_split(job->hop, &name, &sh->next_hop);
	sh->transport = transport_find(&settings->deliver.route->hops.transports, name);
	qsort(job->message.recipients, job->message.recipient_count, sizeof(struct queue_recipient), by_alias);
	next_group(sh);
	if (!hop_started(s, job->hop, settings) && may_go_at_once(sh)) {
		pool_add_running(s->pool, &sh->task, -1, -1);
		go_on(sh);
	} else {
		pool_add(s->pool, &sh->task, -1, -1);
	}
}

/* Lets out what is due and allowed; returns when to look again. */
static int64_t schedule(struct sender *s, struct flow_settings *settings) {
	struct window_question question = { s, settings, 0, NEVER };
	for (;;) {
		question.round = ++s->rounds;
		pthread_mutex_lock(&s->lock);
		size_t room =
			settings->send.process_limit > s->under_way ? settings->send.process_limit - s->under_way : 0;
		s->starved = room == 0;
		pthread_mutex_unlock(&s->lock);
		if (room == 0) return NEVER; /* the next job that ends wakes us */
		struct queue_job *jobs[JOBS_AT_ONCE];
		struct queue_limits limits = { .jobs = MIN_OF(room, (size_t)JOBS_AT_ONCE),
					       .recipients = MAX_OF(settings->send.recipient_limit, (size_t)1),
					       .jobs_per_hop = SIZE_MAX / 2, /* the window of each hop knows */
					       .per_hop = window_of,
					       .ctx = &question };
		int64_t now = wall_us(), next = NEVER;
		int n = queue_due(s->queue, now, &limits, jobs, &next);
		if (n < 0) {
			say(L_ERROR, "qmgr", "cannot read the queue: %s", fail_text());
			return deadline_in(RETRY_MS);
		}
		for (int i = 0; i < n; i++) start_shipment(s, jobs[i], settings);
		if ((size_t)n == limits.jobs) continue;
		int64_t resume =
			question.resume_us == NEVER ? NEVER : deadline_in((question.resume_us - clock_us()) / 1000 + 1);
		if (next == NEVER || next <= now)
			return resume; /* nothing waits, or only behind jobs under way and pauses */
		return MIN_OF(deadline_in((next - now) / 1000 + 1), resume);
	}
}

static void sender_step(struct task *t, enum wake why) {
	struct sender *s = OWNER_OF(t, struct sender, task);
	if (why == WAKE_STOP) {
		task_end(t);
		return;
	}
	struct flow_settings *settings = (struct flow_settings *)current_hold(s->settings);
	int64_t next = schedule(s, settings);
	generation_drop(&settings->generation);
	task_park(t, 0, 0, next);
}

struct sender *sender_start(struct pool *pool, struct db *db, struct queue *queue, const struct send_links *links,
			    struct current *settings) {
	struct sender *s = mem_get(sizeof *s);
	*s = (struct sender){ .task.step = sender_step,
			      .pool = pool,
			      .db = db,
			      .queue = queue,
			      .relay = links->relay,
			      .agent = links->agent,
			      .settings = settings };
	pthread_mutex_init(&s->lock, NULL);
	pool_add(pool, &s->task, -1, -1);
	s->self = task_name(&s->task);
	return s;
}

void sender_wake(struct sender *s) {
	task_wake(s->pool, s->self);
}

void sender_entered(struct sender *s, int64_t due_us) {
	queue_entered(s->queue, due_us);
	sender_wake(s);
}

void sender_free(struct sender **sp) {
	struct sender *s = *sp;
	if (s == NULL) return;
	*sp = NULL;
	for (size_t i = 0; i < s->idle_count; i++) {
		close(s->idle[i].fd);
		free(s->idle[i].hop);
	}
	map_done(&s->hops, hop_free);
	map_done(&s->paced, free);
	pthread_mutex_destroy(&s->lock);
	free(s);
}
