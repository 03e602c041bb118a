/* SPDX-License-Identifier: Apache-2.0 */
#include "mime/first_address.h"
#include "mime/address.h"
#include "mime/header.h"

void first_address_add(struct buf *by_address, struct buf *by_display, struct slice raw) {
	AUTO_ARENA struct arena mem = { 0 };
	struct address_list list = address_list_parse(raw, &mem);
	if (list.count == 0) return;
	const struct address *a = &list.at[0];
	if (a->kind == ADDRESS_GROUP) header_text_add(by_address, a->name);
	else buf_add(by_address, a->local);
	if (a->kind == ADDRESS_GROUP || a->name.len != 0) {
		header_text_add(by_display, a->name);
		return;
	}
	buf_add(by_display, a->local);
	buf_byte(by_display, '@');
	buf_add(by_display, a->domain);
}
