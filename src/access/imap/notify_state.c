/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the state that NOTIFY compares. The accounts whose mailboxes are in it are watched; account 0 stands for the
 * whole server: its metadata, and who shares what with whom. Watch first, then look, so that nothing falls in between:
 * when a reading shows an account that was not watched, it is read again. */
#include "access/imap/notify.h"
#include "base/map.h"
#include "store/annotation.h"

enum { ROUNDS = 4 };

void notify_state_done(struct notify_state *state) {
	arena_done(&state->mem);
	*state = (struct notify_state){ .count = 0 };
}

void imap_notify_free(struct imap_session *s) {
	struct imap_notify *n = TAKE(s->notify);
	if (n == NULL) return;
	for (size_t i = 0; i < n->watch_count; i++) change_unwatch(s->context->hub, &n->watches[i].watch);
	free(n->watches);
	arena_done(&n->mem);
	notify_state_done(&n->told);
	free(n);
}

static void wake_up(void *ctx, const struct change *change) {
	struct imap_session *s = ctx;
	(void)change;
	task_wake(s->pool, s->self);
}

/* True: it was not watched yet. */
static bool watch(struct imap_session *s, int64_t account) {
	struct imap_notify *n = s->notify;
	for (size_t i = 0; i < n->watch_count; i++)
		if (n->watches[i].account == account) return false;
	if (n->watch_count == n->watch_room) {
		n->watch_room = n->watch_room * 2 + 4;
		n->watches = mem_resize(n->watches, n->watch_room * sizeof *n->watches);
	}
	n->watches[n->watch_count++] =
		(struct notify_watch){ account, change_watch(s->context->hub, account, 0, wake_up, s) };
	return true;
}

void imap_notify_selected(struct imap_session *s) {
	if (s->notify != NULL && s->box.open) watch(s, s->box.box.account);
}

/* Metadata. */

/* Values are remembered as 64 bits, made with a secret of this process. */
static int add_note(void *ctx, struct slice entry, struct slice value) {
	struct notify_state *state = ctx;
	if (state->notes_count == state->notes_room) {
		size_t room = state->notes_room * 2 + 16;
		struct notify_note *more = arena_array(&state->mem, room, sizeof *more);
		if (state->notes_count != 0) memcpy(more, state->notes, state->notes_count * sizeof *more);
		state->notes = more;
		state->notes_room = room;
	}
	state->notes[state->notes_count++] =
		(struct notify_note){ arena_slice(&state->mem, entry), hash_bytes(value) };
	return 0;
}

static int note_order(const void *a, const void *b) {
	const struct notify_note *x = a, *y = b;
	return slice_order(x->entry, y->entry);
}

/* A special use is an entry of which the mailbox's row knows. */
static int read_notes(struct imap_session *s, struct db_conn *c, struct box box, uint32_t use,
		      struct notify_state *state) {
	struct box own = box.id == 0 ? (struct box){ s->account, 0 } : box;
	size_t first = state->notes_count;
	int r = store_annotations(c, own, S(""), s->account, ANNOTATION_BELOW_ALL, add_note, state);
	if (r == 0) r = store_annotations(c, box, S(""), 0, ANNOTATION_BELOW_ALL, add_note, state);
	if (use != 0) add_note(state, S("/private/specialuse"), slice_from(&use, sizeof use));
	if (state->notes_count > first)
		qsort(state->notes + first, state->notes_count - first, sizeof *state->notes, note_order);
	return r;
}

/* Mailboxes. */

static void add(struct notify_state *state, const struct mailbox *m, uint32_t rights) {
	if (state->count == state->room) {
		size_t room = state->room * 2 + 32;
		struct notify_known *more = arena_array(&state->mem, room, sizeof *more);
		if (state->count != 0) memcpy(more, state->at, state->count * sizeof *more);
		state->at = more;
		state->room = room;
	}
	state->at[state->count++] = (struct notify_known){ .box = m->box,
							   .name = arena_slice(&state->mem, m->name),
							   .uidvalidity = m->uidvalidity,
							   .uidnext = m->uidnext,
							   .exists = m->exists,
							   .unseen = m->unseen,
							   .modseq = m->highestmodseq,
							   .subscribed = m->subscribed,
							   .has_children = m->has_children,
							   .readable = (rights & ACL_READ) != 0 };
}

static int box_order(const void *a, const void *b) {
	const struct notify_known *x = a, *y = b;
	if (x->box.account != y->box.account) return x->box.account < y->box.account ? -1 : 1;
	return (x->box.id > y->box.id) - (x->box.id < y->box.id);
}

static int read_all(struct imap_session *s, struct notify_state *state, bool *again) {
	enum { NOTES = ACL_READ | ACL_SEEN | ACL_WRITE | ACL_INSERT | ACL_POST }; /* RFC 5464 §4.2 */
	AUTO_ARENA struct arena mem = { 0 };
	AUTO_MAILBOXES struct imap_mailboxes all = { 0 };
	AUTO_READ struct db_conn *c = db_read(s->context->db);
	unsigned events = s->notify->all_events;
	int r = c == NULL ? -1 : imap_mailboxes(s, c, &mem, &all);
	for (size_t i = 0; i < all.count && r == 0; i++) {
		uint32_t rights;
		if (all.at[i].nonexistent) continue;
		r = imap_mailbox_rights(s, c, &all.at[i], &rights);
		*again |= watch(s, all.at[i].box.account);
		add(state, &all.at[i], rights);
		struct notify_known *k = &state->at[state->count - 1];
		k->note_first = state->notes_count;
		if (r == 0 && (events & NOTIFY_METADATA) != 0 && (rights & NOTES) != 0)
			r = read_notes(s, c, k->box, all.at[i].special_use, state);
		k->note_count = state->notes_count - k->note_first;
	}
	state->server_first = state->notes_count;
	if (r == 0 && (events & NOTIFY_SERVER_METADATA) != 0) r = read_notes(s, c, (struct box){ 0, 0 }, 0, state);
	state->server_count = state->notes_count - state->server_first;
	if (state->count != 0) qsort(state->at, state->count, sizeof *state->at, box_order);
	return r;
}

int notify_state_read(struct imap_session *s, struct notify_state *out) {
	int r = 0;
	watch(s, s->account);
	imap_notify_selected(s);
	if (s->notify->group_count == 0) return 0; /* the selected mailbox only */
	watch(s, 0);
	for (int i = 0; i < ROUNDS && r == 0; i++) {
		bool again = false;
		notify_state_done(out);
		r = read_all(s, out, &again);
		if (!again) break;
	}
	return r;
}
