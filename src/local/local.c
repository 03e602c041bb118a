/* SPDX-License-Identifier: Apache-2.0 */
/* Outcomes travel from the user's process to the one that started it, and are no more trusted than he is. */
#include "local/local.h"

#define LOCAL_TARGET_FIELDS(F) F(u32, kind) F(text, text)
#define LOCAL_OUTCOME_FIELDS(F) \
	F(u32, fate) F(text, status) F(text, text) F(text, rights) F(bool_, prepend) F(list, targets, local_target)
WIRE_STRUCT(local_target, LOCAL_TARGET_FIELDS)
WIRE_STRUCT(local_outcome, LOCAL_OUTCOME_FIELDS)

struct local_outcome local_said(struct arena *mem, const char *status, const char *format, ...) {
	AUTO_BUF struct buf text = BUF(LOCAL_TEXT_MAX);
	va_list args;
	va_start(args, format);
	buf_addv(&text, format, args);
	va_end(args);
	uint32_t fate = status[0] == '2' ? LOCAL_DELIVERED : status[0] == '4' ? LOCAL_LATER : LOCAL_NEVER;
	return (struct local_outcome){ .fate = fate,
				       .status = arena_slice(mem, slice_of(status)),
				       .text = arena_slice(mem, buf_slice(&text)) };
}

const char *local_status_of(int error, const char *usual) {
	switch (error) {
	case EAGAIN:
	case ESTALE:
	case ENOLCK:
	case EINTR:
	case ETIMEDOUT:
	case EBUSY: return "4.2.0";
	case ENOSPC:
	case EIO:
	case EROFS:
	case ENOMEM:
	case EMFILE:
	case ENFILE: return "4.3.0";
	case EDQUOT:
	case EFBIG: return "5.2.2";
	default: return usual;
	}
}

static bool is_special(struct slice local, struct slice delimiters) {
	static const struct slice names[] = { S("postmaster"), S("mailer-daemon"), S("double-bounce") };
	for (size_t i = 0; i < LEN(names); i++)
		if (slice_same(local, names[i])) return true;
	if (slice_find(delimiters, '-') == delimiters.len) return false;
	return slice_starts_same(local, S("owner-")) || slice_ends_same(local, S("-request"));
}

size_t local_extension(struct slice local, struct slice delimiters) {
	if (is_special(local, delimiters)) return local.len;
	for (size_t i = 1; i < local.len; i++)
		if (slice_find(delimiters, local.at[i]) < delimiters.len) return i;
	return local.len;
}
