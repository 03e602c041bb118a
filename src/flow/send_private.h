/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "flow/send.h"
#include "base/map.h"
#include "flow/ask.h"
/* The inside of sending: send.c looks into the queue and starts shipments, send_hop.c knows how the destinations are,
 * send_ship.c hands a group to relay or agent, send_job.c takes what came of it. */

enum { IDLE_CHANNELS = 64 };

struct hop_state {
	struct window window;
	size_t under_way;
	int64_t idle_since; /* when the last job ended, on the clock of clock_us; with under_way == 0 */
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
	struct shipment *delivered, **delivered_end; /* what waits to be recorded together */
	bool recording; /* by a worker, who goes on until nothing waits */
	size_t under_way;
	bool starved;    /* there was no room for another job */
	size_t rounds;   /* looks into the queue; the scheduler's own */
	struct map hops; /* name → hop_state; of hops with jobs under way, or a moment ago, and of those that pause */
	int64_t forget_at; /* when to look next for those that are neither, on the clock of clock_us */
	struct map paced; /* transport → hop_state; those with a transport_rate_delay */
	struct idle_channel idle[IDLE_CHANNELS];
	size_t idle_count;
};

/* What the queue asks while it looks for jobs (hop_window). */
struct window_question {
	struct sender *sender;
	const struct flow_settings *settings;
	size_t round;      /* a number of this look into the queue */
	int64_t resume_us; /* when the first of the pausing destinations may go on, or NEVER */
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
	struct shipment *next; /* in sender.delivered */
	struct relay_answer answer; /* there */
	struct slice fresh; /* the stored body, for the first group only: borrowed while its message is taken in */
	struct arena mem;
};

/* send_hop.c */
size_t hop_window(void *ctx, struct slice hop); /* ctx: struct window_question; how many jobs may be under way */
/* What has just come may go there at once: there is room, and no pause or rest. */
bool hop_is_open(struct sender *s, struct slice hop, const struct flow_settings *settings);
/* True: the destination rests. */
bool hop_started(struct sender *s, struct slice hop, const struct flow_settings *settings);
/* True: the scheduler waited for just that, or has a pause to reckon with. */
bool hop_ended(const struct shipment *sh);
/* The destination rests: false, and why. */
bool hop_may_try(struct sender *s, struct slice hop, struct arena *mem, struct slice *status, struct slice *text);
void hop_free(void *value);
/* send_ship.c: hands the group under way to relay or agent, over sh->channel; <0: why not. */
int ship(struct shipment *sh);
void channel_keep(struct sender *s, int fd, struct slice hop); /* one that can be used again */
/* send_job.c: stepping; the next group of recipients is taken up. */
void shipment_step(struct task *t, enum wake why);
void shipment_go_on(struct shipment *sh);
void shipment_next_group(struct shipment *sh);
void shipment_end(struct shipment *sh); /* frees it */
struct slice shipment_alias(const struct queue_recipient *r); /* what sets groups apart */
