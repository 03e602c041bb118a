/* SPDX-License-Identifier: Apache-2.0 */
#include "base/encode.h"
#include "mime/fold.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	AUTO_BUF struct buf out = BUF(size * 60 + 64), again = BUF(size * 60 + 64);
	struct slice in = slice_from(data, size);
	text_fold(&out, in);
	must(utf8_valid(buf_slice(&out)));
	text_fold(&again, buf_slice(&out));
	if (size != 0) must(text_fold_whole(in) != 0 && text_fold_whole(in) <= size);
	return 0;
}
