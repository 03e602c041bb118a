/* SPDX-License-Identifier: Apache-2.0 */
/* How the destinations are: how many jobs each may have under way, which of them pause or rest. */
#include "flow/send_private.h"

/* IDLE_US: between two jobs of a destination there may be a moment without any, in which its window is not lost. */
enum { PACE_LOOK_US = 1000000, IDLE_US = 1000000 };

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

/* Nothing goes there, or has gone a moment ago, and no pause is to be kept. */
static bool is_over(const struct hop_state *h, int64_t now) {
	return h->under_way == 0 && MAX_OF(MAX_OF(h->not_before, h->rests_until), h->idle_since + IDLE_US) <= now;
}

/* NULL: it starts afresh. With the lock held. */
static struct hop_state *hop_known(struct sender *s, struct slice hop) {
	struct hop_state *h = map_get(&s->hops, hop);
	if (h == NULL || !is_over(h, clock_us())) return h;
	hop_free(map_take(&s->hops, hop));
	return NULL;
}

static struct hop_state *hop_of(struct sender *s, struct slice hop, size_t first) {
	struct hop_state *h = hop_known(s, hop);
	if (h == NULL) {
		h = mem_get(sizeof *h);
		h->window.open = MAX_OF(first, (size_t)1);
		map_put(&s->hops, hop, h);
	}
	return h;
}

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

size_t hop_window(void *ctx, struct slice hop) {
	struct window_question *q = ctx;
	size_t window = limits_of(q->settings, hop).first;
	pthread_mutex_lock(&q->sender->lock);
	if (paced(q, transport_of_hop(q->settings, hop))) {
		pthread_mutex_unlock(&q->sender->lock);
		return 0;
	}
	struct hop_state *h = hop_known(q->sender, hop);
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

bool hop_is_open(struct sender *s, struct slice hop, const struct flow_settings *settings) {
	const struct transport *t = transport_of_hop(settings, hop);
	bool paced = limits_of(settings, hop).rate_delay_us != 0 || (t != NULL && t->all_delay_us != 0);
	pthread_mutex_lock(&s->lock);
	const struct hop_state *h = map_get(&s->hops, hop);
	bool open = !paced && !s->starved && s->under_way < settings->send.process_limit &&
		    (h == NULL || h->rests_until == 0);
	pthread_mutex_unlock(&s->lock);
	return open;
}

/* True: the destination rests. */
bool hop_started(struct sender *s, struct slice hop, const struct flow_settings *settings) {
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

void hop_free(void *value) {
	struct hop_state *h = value;
	if (h == NULL) return;
	free(h->why);
	free(h);
}

struct hops_over { int64_t now; struct arena mem; struct buf names; /* struct slice */ };

static bool note_over(void *ctx, struct slice hop, void *value) {
	struct hops_over *over = ctx;
	const struct hop_state *h = value;
	if (!is_over(h, over->now)) return true;
	struct slice name = arena_slice(&over->mem, hop);
	return buf_add(&over->names, slice_from(&name, sizeof name));
}

/* A destination that nothing goes to starts afresh the next time, and pauses that are over leave no trace. With the
 * lock held. */
static void forget_idle(struct sender *s) {
	struct hops_over over = { .now = clock_us(), .names = BUF(SIZE_MAX / 2) };
	if (over.now < s->forget_at) return;
	s->forget_at = over.now + IDLE_US;
	map_each(&s->hops, note_over, &over);
	const struct slice *name = (const struct slice *)(const void *)over.names.at;
	for (size_t i = 0; i < over.names.len / sizeof *name; i++) hop_free(map_take(&s->hops, name[i]));
	buf_done(&over.names);
	arena_done(&over.mem);
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
bool hop_may_try(struct sender *s, struct slice hop, struct arena *mem, struct slice *status, struct slice *text) {
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
	forget_idle(s);
	pthread_mutex_unlock(&s->lock);
	queue_entered(s->queue, INT64_MIN); /* what the operator changed may be due at any time */
}

/* True: the scheduler waited for just that, or has a pause to reckon with. */
bool hop_ended(const struct shipment *sh) {
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
	if (--h->under_way == 0) {
		h->idle_since = clock_us();
		if (h->rests_until == 0) h->cohorts = 0; /* failures count while others are under way */
	}
	forget_idle(s);
	pthread_mutex_unlock(&s->lock);
	return look;
}
