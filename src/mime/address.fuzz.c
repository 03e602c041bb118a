/* SPDX-License-Identifier: Apache-2.0 */
/* What was read as a path must read back from its canonical text as the same mailbox. */
#include "mime/address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	AUTO_ARENA struct arena mem = { 0 };
	struct mailbox m, again;
	unsigned flags = size != 0 ? data[0] & 7u : 0;
	struct slice text = slice_skip(slice_from(data, size), 1), rest, ascii;
	enum address_answer r = address_parse_path(text, flags, &mem, &m, &rest);
	if (r != ADDRESS_BAD && r != ADDRESS_EMPTY) {
		struct slice canonical = mailbox_text(&mem, m);
		must(address_parse(canonical, flags & ~(unsigned)ADDRESS_STRICT, &mem, &again) == r &&
		     mailbox_same(m, again));
		domain_ascii(m.domain, &mem, &ascii);
	}
	struct address_list l = address_list_parse(text, &mem);
	for (size_t i = 0; i < l.count; i++)
		must(l.at[i].local.len + l.at[i].domain.len + l.at[i].name.len <= 4 * size);
	return 0;
}
