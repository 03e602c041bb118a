/* SPDX-License-Identifier: Apache-2.0 */
#include "mime/fold.h"

size_t text_ascii(struct slice s) {
	size_t n = 0;
	for (uint64_t word; n + sizeof word <= s.len; n += sizeof word) { /* eight at once */
		memcpy(&word, s.at + n, sizeof word);
		if ((word & UINT64_C(0x8080808080808080)) != 0) break;
	}
	while (n < s.len && (unsigned char)s.at[n] < 0x80) n++;
	return n;
}

size_t text_fold_whole(struct slice text) {
	size_t n = text.len;
	while (n > text.len / 2 && !ascii_space(text.at[n - 1])) n--;
	if (n > text.len / 2) return n;
	for (n = text.len; n > 0 && text.len - n < 4 && ((unsigned char)text.at[n - 1] & 0xc0) == 0x80;) n--;
	return n > 1 ? n - 1 : text.len;
}
