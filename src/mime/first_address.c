/* SPDX-License-Identifier: Apache-2.0 */
#include "mime/first_address.h"
#include "mime/address.h"
#include "mime/header.h"

void first_address_add(struct buf *out, struct slice raw, bool display, struct arena *mem) {
	if (raw.len == 0) return;
	struct address_list list = address_list_parse(raw, mem);
	if (list.count == 0) return;
	const struct address *a = &list.at[0];
	if (a->kind == ADDRESS_GROUP || (display && a->name.len != 0)) {
		header_text_add(out, a->name);
		return;
	}
	buf_add(out, a->local);
	if (!display) return;
	buf_byte(out, '@');
	buf_add(out, a->domain);
}
