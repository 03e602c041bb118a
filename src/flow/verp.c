/* SPDX-License-Identifier: Apache-2.0 */
#include "flow/verp.h"
#include "flow/ask.h"
#include "mime/address.h"

struct slice verp_sender(struct slice sender, struct slice delimiters, struct slice recipient, struct arena *mem) {
	struct mailbox from, to;
	const unsigned flags = ADDRESS_UTF8 | ADDRESS_LONG_LOCAL;
	if (delimiters.len != 2 || sender.len == 0) return sender;
	if (address_parse(sender, flags, mem, &from) != ADDRESS_OK ||
	    address_parse(recipient, flags, mem, &to) != ADDRESS_OK)
		return sender;
	from.local = arena_fmt(mem, "%.*s%c%.*s%c%.*s", SLICE_ARG(from.local), delimiters.at[0], SLICE_ARG(to.local),
			       delimiters.at[1], SLICE_ARG(to.domain));
	return mailbox_text(mem, from);
}

bool verp_delimiters_valid(struct slice delimiters, struct slice filter) {
	return delimiters.len == 2 && slice_find(filter, delimiters.at[0]) < filter.len &&
	       slice_find(filter, delimiters.at[1]) < filter.len;
}

uint32_t verp_flags(struct slice delimiters) {
	if (delimiters.len != 2) return 0;
	return (uint32_t)(unsigned char)delimiters.at[0] << ACCEPT_VERP | (uint32_t)(unsigned char)delimiters.at[1]
										  << (ACCEPT_VERP + 8);
}

struct slice verp_delimiters(uint32_t flags, struct arena *mem) {
	const char both[2] = { (char)(flags >> ACCEPT_VERP & 255), (char)(flags >> (ACCEPT_VERP + 8) & 255) };
	return both[0] != '\0' && both[1] != '\0' ? arena_slice(mem, slice_from(both, 2)) : SLICE_NONE;
}
