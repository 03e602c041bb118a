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
