/* SPDX-License-Identifier: Apache-2.0 */
#include "mime/fold.h"

size_t text_fold_whole(struct slice text) {
	size_t n = text.len;
	while (n > text.len / 2 && !ascii_space(text.at[n - 1])) n--;
	if (n > text.len / 2) return n;
	for (n = text.len; n > 0 && text.len - n < 4 && ((unsigned char)text.at[n - 1] & 0xc0) == 0x80;) n--;
	return n > 1 ? n - 1 : text.len;
}
