/* SPDX-License-Identifier: Apache-2.0 */
/* A group of recipients on its way to relay or agent: all that they must know, and the channel there. */
#include "flow/send_private.h"
#include "flow/verp.h"
#include "base/fail.h"
#include "smtp/client.h"

enum {
	TEXT_MAX = SEND_FRESH_MAX, /* of a message that relay gets without a descriptor */
	IDLE_CHANNEL_MS = 5000
};

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

void channel_keep(struct sender *s, int fd, struct slice hop) {
	pthread_mutex_lock(&s->lock);
	bool keep = s->idle_count < IDLE_CHANNELS;
	if (keep) s->idle[s->idle_count++] = (struct idle_channel){ fd, slice_text(hop), deadline_in(IDLE_CHANNEL_MS) };
	pthread_mutex_unlock(&s->lock);
	if (!keep) close(fd);
}

static int take_text(void *ctx, struct slice piece) {
	return buf_add(ctx, piece) ? 0 : fail("its body is longer than it should be (hato verify)");
}

/* The body: *text where it is small and for relay, else *fd. */
static int open_body(struct shipment *sh, bool to_relay, struct slice *text, int *fd) {
	*text = sh->fresh;
	sh->fresh = SLICE_NONE;
	if (to_relay && text->len != 0 && text->len <= TEXT_MAX) return 0;
	*text = SLICE_NONE;
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
int ship(struct shipment *sh) {
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
