/* SPDX-License-Identifier: Apache-2.0 */
/* Walking through lists, and the stages of a dialogue: which lists are due when, and what goes on from one stage to the
 * next. */
#include "filter/restrict_private.h"

enum { DEPTH_MAX = 100 };

static enum result run_check(struct walk *w, const struct check *c) {
	if (c->broken) return server_error(w);
	if (c->list != NULL) return walk_list(w, c->list);
	if (c->bare && (w->stage == ITEM_DATA || w->stage == ITEM_END)) {
		warn(w,
		     "specify one of (check_client_access, check_reverse_client_hostname_access, check_helo_access, "
		     "check_sender_access, check_recipient_access, check_etrn_access) before %s restriction \"%.*s\"",
		     item_titles[w->stage], SLICE_ARG(c->text));
		return server_error(w);
	}
	return c->word->run(w, c);
}

enum result walk_list(struct walk *w, const struct check_list *list) {
	unsigned outside = w->recursion++;
	enum result result = DUNNO;
	if (outside > DEPTH_MAX) {
		warn(w, "restriction class %.*s causes unreasonable recursion", SLICE_ARG(list->name));
		return server_error(w);
	}
	for (size_t i = 0; i < list->count && !w->state->effects.discard; i++) {
		const struct check *c = &list->at[i];
		if (c->word != NULL && c->word->run == NULL) { /* warn_if_reject */
			if (w->warn == 0) w->warn = w->recursion;
			continue;
		}
		result = run_check(w, c);
		if (w->warn >= w->recursion) w->warn = 0;
		if (result != DUNNO) break;
		if (w->state->if_permit.active && w->state->if_reject.active) break;
	}
	w->recursion = outside;
	if (w->warn > outside) w->warn = 0; /* the list ended with it */
	return result;
}

/* The stages. */

static struct walk walk_begin(const struct restrict_run *run, enum item item, struct slice name,
                              struct restrict_reply *out) {
	run->state->if_reject.active = false;
	return (struct walk){ .run = run,
		              .rules = run->rules,
		              .p = &run->rules->p,
		              .f = run->facts,
		              .state = run->state,
		              .out = out,
		              .stage = item,
		              .item = item,
		              .reply_name = name };
}

static enum result stage(const struct restrict_run *run, enum restrict_stage stage, enum item item, struct slice name,
                         struct restrict_reply *out) {
	struct walk w = walk_begin(run, item, name, out);
	return walk_list(&w, &run->rules->stages[stage]);
}

static bool client(const struct restrict_run *run, struct restrict_reply *out) {
	struct restrict_state *s = run->state;
	s->if_permit.active = false;
	enum result r = stage(run, RESTRICT_CLIENT, ITEM_CLIENT, run->facts->client->shown, out);
	s->permit_client = s->if_permit.active;
	return r != REJECT;
}

static bool helo(const struct restrict_run *run, struct restrict_reply *out) {
	struct restrict_state *s = run->state;
	if (run->facts->helo.at == NULL) {
		s->permit_helo = s->permit_client;
		return true;
	}
	s->if_permit.active = s->permit_client;
	enum result r = stage(run, RESTRICT_HELO, ITEM_HELO, run->facts->helo, out);
	s->permit_helo = s->if_permit.active;
	return r != REJECT;
}

static bool sender(const struct restrict_run *run, struct restrict_reply *out) {
	struct restrict_state *s = run->state;
	s->if_permit.active = s->permit_helo;
	s->sender_checked = false;
	struct slice from = run->facts->sender;
	enum result r = stage(run, RESTRICT_SENDER, ITEM_SENDER, from, out);
	s->permit_sender = s->if_permit.active;
	bool unlisted_too = run->rules->p.unlisted_sender && r != REJECT && !s->sender_checked && !s->effects.discard;
	if (unlisted_too && from.len != 0) {
		struct walk w = walk_begin(run, ITEM_SENDER, from, out);
		r = unlisted(&w, ITEM_SENDER);
	}
	return r != REJECT;
}

static bool deferred(const struct restrict_run *run, enum item item, struct slice name, struct restrict_reply *out) {
	if (!run->state->if_permit.active) return false;
	struct walk w = walk_begin(run, item, name, out);
	return reject_deferral(&w, &run->state->if_permit) == REJECT;
}

bool restrict_connect(const struct restrict_run *run, struct restrict_reply *out) {
	return run->rules->p.delay_reject || client(run, out);
}

bool restrict_helo(const struct restrict_run *run, struct restrict_reply *out) {
	return run->rules->p.delay_reject || helo(run, out);
}

bool restrict_mail(const struct restrict_run *run, struct restrict_reply *out) {
	return run->rules->p.delay_reject || sender(run, out);
}

static bool delayed(const struct restrict_run *run, struct restrict_reply *out) {
	return !run->rules->p.delay_reject || (client(run, out) && helo(run, out) && sender(run, out));
}

bool restrict_rcpt(const struct restrict_run *run, struct restrict_reply *out) {
	static const enum restrict_stage order[2][2] = { { RESTRICT_RECIPIENT, RESTRICT_RELAY },
		                                         { RESTRICT_RELAY, RESTRICT_RECIPIENT } };
	struct restrict_state *s = run->state;
	struct slice to = run->facts->recipient;
	s->recipient_checked = false;
	if (!delayed(run, out)) return false;
	s->if_permit.active = s->permit_sender;
	const enum restrict_stage *lists = order[run->rules->p.relay_first];
	for (size_t i = 0; i < 2; i++)
		if (stage(run, lists[i], ITEM_RECIPIENT, to, out) == REJECT) return false;
	if (deferred(run, ITEM_RECIPIENT, to, out)) return false;
	if (!run->rules->p.unlisted_recipient || s->recipient_checked || s->effects.discard) return true;
	struct walk w = walk_begin(run, ITEM_RECIPIENT, to, out);
	return unlisted(&w, ITEM_RECIPIENT) != REJECT;
}

static bool late(const struct restrict_run *run, enum restrict_stage which, enum item item, struct slice name,
                 struct restrict_reply *out) {
	run->state->if_permit.active = false;
	return stage(run, which, item, name, out) != REJECT && !deferred(run, item, name, out);
}

bool restrict_data(const struct restrict_run *run, struct restrict_reply *out) {
	return late(run, RESTRICT_DATA, ITEM_DATA, S("DATA"), out);
}

bool restrict_end(const struct restrict_run *run, struct restrict_reply *out) {
	return late(run, RESTRICT_END_OF_DATA, ITEM_END, S("END-OF-MESSAGE"), out);
}

bool restrict_etrn(const struct restrict_run *run, struct restrict_reply *out) {
	struct restrict_state *s = run->state;
	if (run->rules->p.delay_reject && !(client(run, out) && helo(run, out))) return false;
	s->if_permit.active = s->permit_helo;
	return stage(run, RESTRICT_ETRN, ITEM_ETRN, run->facts->etrn, out) != REJECT &&
	       !deferred(run, ITEM_ETRN, run->facts->etrn, out);
}

void restrict_state_reset(struct restrict_state *s) {
	s->effects = (struct restrict_effects){ 0 };
	s->permit_sender = false;
	s->sender_checked = s->recipient_checked = false;
}
