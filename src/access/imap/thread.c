/* SPDX-License-Identifier: Apache-2.0 */
/* Only parents are kept while threads are found; children's lists are made from them in one pass over the messages in
 * the order of their dates, so that each list comes out sorted and nothing recurses, however deep a thread is. The step
 * numbers are those of RFC 5256 §3, REFERENCES. */
#include "access/imap/thread.h"
#include "access/imap/order.h"
#include "base/map.h"
#include "mime/summary.h"

/* Nodes 1 to count are the messages; those behind them stand for messages that are missing. */
struct builder {
	const struct thread_message *messages;
	size_t count;
	struct thread_node *nodes;
	size_t used, room;
	bool *leads;             /* per node: something has it as parent, or once had */
	struct { uint64_t id; uint32_t node; } *slots; /* id → node */
	size_t slot_room;
	struct order_entry *order; /* the messages by date */
	uint32_t *roots;
	size_t root_count;
};

static uint32_t new_node(struct builder *b) {
	if (b->used + 1 >= b->room) {
		size_t room = b->room * 2;
		b->nodes = mem_resize(b->nodes, room * sizeof *b->nodes);
		b->leads = mem_resize(b->leads, room * sizeof *b->leads);
		b->room = room;
	}
	uint32_t n = (uint32_t)++b->used;
	b->nodes[n] = (struct thread_node){ .number = 0 };
	b->leads[n] = false;
	return n;
}

/* The slot of an id. The table is at most half full. */
static size_t slot_of(const struct builder *b, uint64_t id) {
	size_t i = (size_t)((id * UINT64_C(0x9E3779B97F4A7C15)) >> 20) & (b->slot_room - 1);
	while (b->slots[i].node != 0 && b->slots[i].id != id) i = (i + 1) & (b->slot_room - 1);
	return i;
}

static void grow_slots(struct builder *b) {
	struct builder old = *b;
	b->slot_room *= 2;
	b->slots = mem_array(b->slot_room, sizeof *b->slots);
	for (size_t i = 0; i < old.slot_room; i++)
		if (old.slots[i].node != 0) b->slots[slot_of(b, old.slots[i].id)] = old.slots[i];
	free(old.slots);
}

static uint32_t node_of(struct builder *b, uint64_t id) {
	size_t i = slot_of(b, id);
	if (b->slots[i].node != 0) return b->slots[i].node;
	uint32_t n = new_node(b);
	b->slots[i].id = id;
	b->slots[i].node = n;
	if (b->used * 2 > b->slot_room) grow_slots(b);
	return n;
}

/* Step 1. A link that would close a loop is not made. What leads nobody cannot be above anybody. */
static bool loops(const struct builder *b, uint32_t parent, uint32_t child) {
	if (parent == child) return true;
	if (!b->leads[child]) return false;
	for (uint32_t n = parent; n != 0; n = b->nodes[n].parent)
		if (n == child) return true;
	return false;
}

static void link_nodes(struct builder *b, uint32_t parent, uint32_t child) {
	b->nodes[child].parent = parent;
	b->leads[parent] = true;
}

static void link_message(struct builder *b, uint32_t self) {
	struct slice rest = b->messages[self - 1].references;
	uint32_t above = 0;
	uint64_t id;
	while (summary_reference_next(&rest, &id)) {
		uint32_t n = node_of(b, id);
		if (above != 0 && b->nodes[n].parent == 0 && !loops(b, above, n)) link_nodes(b, above, n);
		above = n;
	}
	if (above == b->nodes[self].parent) return;
	b->nodes[self].parent = 0;
	if (above != 0 && !loops(b, above, self)) link_nodes(b, above, self);
}

static void link_all(struct builder *b) {
	for (uint32_t i = 1; i <= b->count; i++) {
		uint64_t id = b->messages[i - 1].id;
		if (id == 0) continue;
		size_t slot = slot_of(b, id);
		if (b->slots[slot].node != 0) continue; /* the second with this id has none */
		b->slots[slot].id = id;
		b->slots[slot].node = i;
	}
	for (uint32_t i = 1; i <= b->count; i++) link_message(b, i);
}

/* Step 3: parents become messages, or missing ones at the root with several children. */

static uint32_t pass_missing(struct builder *b, uint32_t n) {
	while (n > b->count && b->nodes[n].parent != 0) {
		uint32_t above = b->nodes[n].parent;
		if (above > b->count && b->nodes[above].parent != 0)
			b->nodes[n].parent = b->nodes[above].parent; /* halves the way */
		n = b->nodes[n].parent;
	}
	return n;
}

static void prune(struct builder *b) {
	AUTO_FREE uint32_t *children = mem_array(b->used + 1, sizeof *children);
	for (uint32_t i = 1; i <= b->count; i++) {
		uint32_t above = pass_missing(b, b->nodes[i].parent);
		b->nodes[i].parent = above;
		children[above]++;
	}
	for (uint32_t i = 1; i <= b->count; i++) {
		uint32_t above = b->nodes[i].parent;
		if (above > b->count && children[above] == 1) b->nodes[i].parent = 0;
	}
}

/* Steps 2, 4 and 6: lists of children, and the roots, by date; a missing message has the date of its first child. */

static void add_root(struct builder *b, uint32_t n) {
	b->roots[b->root_count++] = n;
}

static void make_lists(struct builder *b) {
	for (size_t i = 1; i <= b->used; i++) b->nodes[i].child = b->nodes[i].next = 0;
	b->root_count = 0;
	for (size_t i = b->count; i-- > 0;) { /* from the last, each put in front */
		uint32_t n = (uint32_t)((const struct thread_message *)b->order[i].thing - b->messages) + 1;
		uint32_t above = b->nodes[n].parent;
		if (above == 0) continue;
		b->nodes[n].next = b->nodes[above].child;
		b->nodes[above].child = n;
	}
	for (size_t i = 0; i < b->count; i++) {
		uint32_t n = (uint32_t)((const struct thread_message *)b->order[i].thing - b->messages) + 1;
		uint32_t above = b->nodes[n].parent;
		if (above == 0) add_root(b, n);
		else if (above > b->count && b->nodes[above].child == n) add_root(b, above);
	}
}

/* Step 5. */

static const struct thread_message *speaks_for(const struct builder *b, uint32_t n) {
	return &b->messages[(n > b->count ? b->nodes[n].child : n) - 1];
}

static bool is_missing(const struct builder *b, uint32_t n) { return n > b->count; }

static bool answers(const struct builder *b, uint32_t n) { return speaks_for(b, n)->reply; }

struct subjects { uint32_t *slots; size_t room; };

/* The slot of a root with this subject, or the empty one where it belongs. */
static uint32_t *subject_slot(struct subjects *t, const struct builder *b, struct slice subject) {
	size_t i = (size_t)hash_bytes(subject) & (t->room - 1);
	while (t->slots[i] != 0 && !slice_eq(speaks_for(b, t->slots[i])->subject, subject)) i = (i + 1) & (t->room - 1);
	return &t->slots[i];
}

static void gather_subjects(struct builder *b, struct subjects *t) {
	for (size_t i = 0; i < b->root_count; i++) {
		uint32_t n = b->roots[i];
		struct slice subject = speaks_for(b, n)->subject;
		if (subject.len == 0) continue;
		uint32_t *slot = subject_slot(t, b, subject);
		bool better = *slot == 0 || (is_missing(b, n) && !is_missing(b, *slot)) ||
			      (!is_missing(b, *slot) && answers(b, *slot) && !answers(b, n));
		if (better) *slot = n;
	}
}

static void merge_root(struct builder *b, uint32_t *slot, uint32_t n) {
	uint32_t kept = *slot;
	if (is_missing(b, kept) && is_missing(b, n)) {
		for (uint32_t child = b->nodes[n].child; child != 0; child = b->nodes[child].next)
			b->nodes[child].parent = kept;
	} else if (is_missing(b, kept) || (answers(b, n) && !answers(b, kept))) {
		b->nodes[n].parent = kept;
	} else {
		uint32_t both = new_node(b);
		b->nodes[both].child = kept; /* until the lists are made anew it speaks for both */
		b->nodes[kept].parent = b->nodes[n].parent = both;
		*slot = both;
	}
}

static void merge_subjects(struct builder *b) {
	struct subjects t = { .room = 64 };
	while (t.room < b->root_count * 2) t.room *= 2;
	AUTO_FREE uint32_t *slots = t.slots = mem_array(t.room, sizeof *slots);
	gather_subjects(b, &t);
	for (size_t i = 0; i < b->root_count; i++) {
		uint32_t n = b->roots[i];
		struct slice subject = speaks_for(b, n)->subject;
		if (subject.len == 0) continue;
		uint32_t *slot = subject_slot(&t, b, subject);
		if (*slot != n && b->nodes[n].parent != *slot) merge_root(b, slot, n);
	}
}

/* ORDEREDSUBJECT: the first of a subject leads all others of it. */
static void by_subject(struct builder *b) {
	struct subjects t = { .room = 64 };
	while (t.room < b->count * 2) t.room *= 2;
	AUTO_FREE uint32_t *slots = t.slots = mem_array(t.room, sizeof *slots);
	for (size_t i = 0; i < b->count; i++) {
		uint32_t n = (uint32_t)((const struct thread_message *)b->order[i].thing - b->messages) + 1;
		uint32_t *slot = subject_slot(&t, b, b->messages[n - 1].subject);
		if (*slot == 0) *slot = n;
		else b->nodes[n].parent = *slot;
	}
}

/* REFS: threads stand in the order of their newest message. */
static void by_newest(struct builder *b) {
	AUTO_FREE uint32_t *root = mem_array(b->used + 1, sizeof *root);
	AUTO_FREE bool *told = mem_array(b->used + 1, sizeof *told);
	size_t at = b->root_count;
	for (size_t i = 0; i < b->count; i++) { /* found along the way up, kept for all on it */
		uint32_t n = (uint32_t)i + 1, top = n;
		while (root[top] == 0 && b->nodes[top].parent != 0) top = b->nodes[top].parent;
		if (root[top] != 0) top = root[top];
		for (uint32_t up = n; up != 0 && root[up] == 0; up = b->nodes[up].parent) root[up] = top;
	}
	for (size_t i = b->count; i-- > 0;) {
		uint32_t top = root[(const struct thread_message *)b->order[i].thing - b->messages + 1];
		if (told[top]) continue;
		told[top] = true;
		b->roots[--at] = top;
	}
}

void thread_build(const struct thread_message *messages, size_t count, enum thread_kind kind,
		  struct thread_forest *out) {
	struct builder b = {
		.messages = messages, .count = count, .used = count, .room = count * 2 + 16, .slot_room = 64
	};
	while (b.slot_room < count * 4) b.slot_room *= 2;
	b.nodes = mem_array(b.room, sizeof *b.nodes);
	b.leads = mem_array(b.room, sizeof *b.leads);
	b.slots = mem_array(b.slot_room, sizeof *b.slots);
	b.order = mem_array(count + 1, sizeof *b.order);
	b.roots = mem_array(count + 1, sizeof *b.roots);
	for (size_t i = 0; i < count; i++) {
		b.nodes[i + 1].number = messages[i].number;
		b.order[i] = (struct order_entry){ order_of_number(messages[i].date), &messages[i] };
	}
	order_sort(b.order, count, NULL, NULL);
	if (kind == THREAD_ORDEREDSUBJECT) {
		by_subject(&b);
	} else {
		link_all(&b);
		prune(&b);
	}
	make_lists(&b);
	if (kind == THREAD_REFERENCES) {
		merge_subjects(&b);
		make_lists(&b);
	}
	if (kind == THREAD_REFS) by_newest(&b);
	for (size_t i = 0; i + 1 < b.root_count; i++) b.nodes[b.roots[i]].next = b.roots[i + 1];
	if (b.root_count != 0) b.nodes[b.roots[b.root_count - 1]].next = 0;
	*out = (struct thread_forest){ .nodes = b.nodes, .first = b.root_count != 0 ? b.roots[0] : 0 };
	free(b.leads);
	free(b.slots);
	free(b.order);
	free(b.roots);
}

void thread_forest_done(struct thread_forest *f) {
	free(f->nodes);
	*f = (struct thread_forest){ .nodes = NULL };
}
