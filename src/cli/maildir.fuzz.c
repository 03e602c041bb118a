/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/maildir.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	AUTO_ARENA struct arena mem = { 0 };
	AUTO_BUF struct buf words = BUF(KIB(8)), name = BUF(KIB(8)), folder = BUF(KIB(8)), letters = BUF(KIB(1));
	struct slice text = slice_from(data, size), names[MAILDIR_KEYWORDS],
		     first = slice_head(text, slice_find(text, '\n'));
	struct maildir_list list;
	bool changed;
	if (maildir_list_read(text, &mem, &list)) {
		for (size_t i = 0; i < list.count; i++)
			must(maildir_find(&list, list.records[i].base) == &list.records[i]);
		must(list.uidvalidity != 0 && list.uidnext != 0);
	}
	uint32_t last;
	if (maildir_uidvalidity(first, &last)) must(last != 0);
	maildir_keywords_read(text, names);
	uint32_t flags = maildir_flags(first, names, &words);
	maildir_flags_put(&letters, flags, buf_slice(&words), names);
	if (maildir_folder_read(first, &name)) maildir_folder_put(buf_slice(&name), &folder, &changed);
	return 0;
}
