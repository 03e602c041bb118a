/* SPDX-License-Identifier: Apache-2.0 */
#include "access/imap/limit.h"
#include "access/imap/walk.h"

uint64_t imap_messages_limit(const struct imap_session *s) {
	return s->context->params.command_messages;
}

uint64_t imap_saves_limit(const struct imap_session *s) {
	uint64_t limit = imap_messages_limit(s);
	return limit != 0 ? limit : s->context->params.command_saves;
}

uint32_t imap_limit_set(struct imap_session *s, uint64_t limit, struct imap_set *set) {
	const struct view *v = &s->box.view;
	uint64_t count = limit != 0 ? imap_view_count(s, set) : 0, skip = count - limit;
	size_t i = 0;
	if (count <= limit) return 0;
	*set = imap_set_copy(&s->mem, set); /* it may be "$", which stays */
	for (;; i++) {
		uint32_t from = view_number_from(v, set->ranges[i].first),
			 to = view_number_from(v, set->ranges[i].last + 1);
		if (skip >= to - from) {
			skip -= to - from;
			continue;
		}
		set->ranges[i].first = view_uid(v, from + (uint32_t)skip);
		break;
	}
	set->ranges += i;
	set->count -= i;
	return set->ranges[0].first;
}

const char *imap_limit_text(struct imap_session *s, uint64_t limit, uint32_t lowest, const char *text) {
	AUTO_BUF struct buf out = BUF(KIB(1));
	buf_addf(&out, "[MESSAGELIMIT %llu", (unsigned long long)limit);
	if (lowest != 0) buf_addf(&out, " %u", lowest);
	buf_addf(&out, "] %s", text);
	return arena_text(&s->mem, buf_slice(&out));
}

struct imap_answer imap_limit_answer(struct imap_session *s, uint32_t lowest, struct imap_answer a) {
	uint64_t limit = imap_messages_limit(s);
	const char *said = "Only the newest messages were handled, go on below.";
	if (lowest == 0 || a.status == IMAP_BAD || s->broken) return a;
	if (a.status == IMAP_OK && a.text[0] != '[') return imap_ok(imap_limit_text(s, limit, lowest, said));
	buf_add(imap_out(s), S("* NO "));
	imap_say(s, imap_limit_text(s, limit, lowest, said));
	return a;
}

bool imap_next_slice(struct imap_session *s, struct imap_slices *k) {
	const struct view *v = &s->box.view;
	uint32_t room = k->most;
	if (k->now.ranges == NULL) k->now.ranges = arena_array(&s->mem, k->set->count + 1, sizeof(*k->now.ranges));
	for (k->now.count = 0; k->next < k->set->count && room != 0;) {
		struct imap_range r = k->set->ranges[k->next];
		r.first = MAX_OF(r.first, k->first);
		uint32_t from = view_number_from(v, r.first), messages = view_number_from(v, r.last + 1) - from;
		if (messages > room) r.last = view_uid(v, from + room - 1);
		k->first = messages > room ? r.last + 1 : 0;
		k->next += messages <= room;
		room -= MIN_OF(messages, room);
		k->now.ranges[k->now.count++] = r;
	}
	return k->now.count != 0;
}
