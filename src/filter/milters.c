/* SPDX-License-Identifier: Apache-2.0 */
/* All milters of a session, in order: the first that refuses ends a step, as with Postfix and Sendmail. */
#include "filter/milter_private.h"

enum { OUT_MAX = MILTER_PACKET_MAX * 4, LINE_MAX_ = 1 << 16 };

struct milters *milters_new(const struct milter_set *set, const struct milter_params *params,
			    const struct milter_ops *ops, void *ctx) {
	struct milters *all = mem_get(sizeof *all + set->count * sizeof all->milters[0]);
	all->params = params;
	all->ops = ops;
	all->ctx = ctx;
	all->count = set->count;
	for (size_t i = 0; i < set->count; i++) {
		all->milters[i].spec = &set->specs[i];
		all->milters[i].out = BUF(OUT_MAX);
	}
	return all;
}

void milters_free(struct milters **ap) {
	struct milters *all = *ap;
	if (all == NULL) return;
	*ap = NULL;
	for (size_t i = 0; i < all->count; i++) {
		struct milter *m = &all->milters[i];
		if (m->wire != NULL) {
			milter_packet_end(&m->out, milter_packet_begin(&m->out, MILTER_C_QUIT));
			stream_put(m->wire, buf_slice(&m->out));
			stream_flush(m->wire); /* what does not leave at once need not */
		}
		milter_close(m);
		buf_done(&m->out);
	}
	arena_done(&all->mem);
	free(all);
}

/* Adds b's verdict to a; true: it ends the step. */
static bool joined(struct milter_verdict *a, struct milter_verdict b) {
	bool hold = a->hold || b.hold;
	*a = b;
	a->hold = hold;
	return b.kind != MILTER_GO_ON;
}

static struct milter_verdict step_all(struct milters *all, const struct milter_send *what, struct slice data,
				      bool by_connect, struct arena *mem) {
	struct milter_verdict v = { .kind = MILTER_GO_ON };
	for (size_t i = 0; i < all->count; i++) {
		struct milter *m = &all->milters[i];
		struct milter_send timed = *what;
		timed.ms = by_connect ? m->spec->connect_ms : m->spec->command_ms;
		if (joined(&v, milter_step(all, m, &timed, data, mem))) break;
	}
	return v;
}

struct milter_verdict milters_connect(struct milters *all, struct slice host, const struct addr *peer,
				      struct arena *mem) {
	const struct milter_send what = { MILTER_C_CONNECT, MILTER_AT_CONNECT, MILTER_NO_CONNECT, MILTER_NR_CONNECT,
					  0 };
	AUTO_BUF struct buf data = BUF(LINE_MAX_);
	int family = addr_family(peer);
	milter_put_text(&data, slice_head(host, 1000));
	if (family == AF_UNSPEC) buf_byte(&data, 'U');
	else {
		char text[ADDR_TEXT_ROOM];
		addr_text(peer, text);
		buf_byte(&data, family == AF_INET6 ? '6' : '4');
		buf_byte(&data, (char)(unsigned char)(addr_port(peer) >> 8));
		buf_byte(&data, (char)(unsigned char)addr_port(peer));
		if (family == AF_INET6) buf_add(&data, S("IPv6:"));
		milter_put_text(&data, slice_of(text));
	}
	for (size_t i = 0; i < all->count; i++)
		if (all->milters[i].state == MILTER_CLOSED) milter_open(all, &all->milters[i]);
	return step_all(all, &what, buf_slice(&data), true, mem);
}

struct milter_verdict milters_helo(struct milters *all, struct slice name, struct arena *mem) {
	const struct milter_send what = { MILTER_C_HELO, MILTER_AT_HELO, MILTER_NO_HELO, MILTER_NR_HELO, 0 };
	AUTO_BUF struct buf data = BUF(LINE_MAX_);
	milter_put_text(&data, slice_head(name, 10000));
	return step_all(all, &what, buf_slice(&data), false, mem);
}

static void put_path(struct buf *data, struct slice address, struct slice parameters) {
	milter_put_text(data, slice_head(address, 10000));
	for (struct slice word; (word = slice_word(&parameters, " ")).len != 0;)
		milter_put_text(data, slice_head(word, 10000));
}

struct milter_verdict milters_mail(struct milters *all, struct slice address, struct slice parameters,
				   struct arena *mem) {
	const struct milter_send what = { MILTER_C_MAIL, MILTER_AT_MAIL, MILTER_NO_MAIL, MILTER_NR_MAIL, 0 };
	AUTO_BUF struct buf data = BUF(LINE_MAX_);
	milters_abort(all);
	put_path(&data, address, parameters);
	return step_all(all, &what, buf_slice(&data), false, mem);
}

struct milter_verdict milters_rcpt(struct milters *all, struct slice address, struct slice parameters, bool rejected,
				   struct arena *mem) {
	const struct milter_send what = { MILTER_C_RCPT, MILTER_AT_RCPT, MILTER_NO_RCPT, MILTER_NR_RCPT, 0 };
	AUTO_BUF struct buf data = BUF(LINE_MAX_);
	put_path(&data, address, parameters);
	if (!rejected) return step_all(all, &what, buf_slice(&data), false, mem);
	for (size_t i = 0; i < all->count; i++) {
		struct milter *m = &all->milters[i];
		struct milter_send timed = what;
		timed.ms = m->spec->command_ms;
		if (m->state == MILTER_ON && (m->offer.steps & MILTER_WANTS_REJECTED) != 0)
			milter_step(all, m, &timed, buf_slice(&data), mem);
	}
	return (struct milter_verdict){ .kind = MILTER_GO_ON };
}

bool milters_want_rejected(const struct milters *all) {
	for (size_t i = 0; i < all->count; i++)
		if (all->milters[i].state == MILTER_ON && (all->milters[i].offer.steps & MILTER_WANTS_REJECTED) != 0)
			return true;
	return false;
}

struct milter_verdict milters_data(struct milters *all, struct arena *mem) {
	const struct milter_send what = { MILTER_C_DATA, MILTER_AT_DATA, MILTER_NO_DATA, MILTER_NR_DATA, 0 };
	struct milter_verdict v = { .kind = MILTER_GO_ON };
	for (size_t i = 0; i < all->count; i++) {
		struct milter *m = &all->milters[i];
		struct milter_send timed = what;
		timed.ms = m->spec->command_ms;
		if (m->state == MILTER_ON && m->offer.version < 4) continue;
		if (joined(&v, milter_step(all, m, &timed, SLICE_NONE, mem))) break;
	}
	return v;
}

struct milter_verdict milters_unknown(struct milters *all, struct slice line, struct arena *mem) {
	const struct milter_send what = { MILTER_C_UNKNOWN, MILTER_AT_UNKNOWN, MILTER_NO_UNKNOWN, MILTER_NR_UNKNOWN,
					  0 };
	AUTO_BUF struct buf data = BUF(LINE_MAX_);
	struct milter_verdict v = { .kind = MILTER_GO_ON };
	milter_put_text(&data, slice_head(line, 10000));
	for (size_t i = 0; i < all->count; i++) {
		struct milter *m = &all->milters[i];
		struct milter_send timed = what;
		timed.ms = m->spec->command_ms;
		if (m->state == MILTER_ON && m->offer.version < 3) continue;
		if (joined(&v, milter_step(all, m, &timed, buf_slice(&data), mem))) break;
	}
	return v;
}

struct milter_verdict milters_message(struct milters *all, struct arena *mem) {
	struct milter_verdict v = { .kind = MILTER_GO_ON };
	for (size_t i = 0; i < all->count; i++)
		if (joined(&v, milter_show(all, &all->milters[i], mem))) break;
	milters_abort(all); /* those that were not shown the end */
	return v;
}

void milters_abort(struct milters *all) {
	const struct milter_send abort_ = { MILTER_C_ABORT, MILTER_STAGES, 0, 0, 0 };
	AUTO_ARENA struct arena mem = { 0 };
	for (size_t i = 0; i < all->count; i++) {
		struct milter *m = &all->milters[i];
		if (m->in_message && m->wire != NULL)
			milter_send(all, m, &abort_, SLICE_NONE, &mem); /* leaves with the next */
		m->in_message = false;
		if (m->state == MILTER_PLEASED_MESSAGE) m->state = MILTER_ON;
	}
}
