/* SPDX-License-Identifier: Apache-2.0 */
#include "access/imap/name.h"
#include "base/encode.h"

/* What is read is valid UTF-8 and has one spelling; matching ends. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	AUTO_BUF struct buf utf8 = BUF(KIB(64)), said = BUF(KIB(256)), again = BUF(KIB(64));
	struct slice text = slice_from(data, size);
	if (size > 4096) return 0;
	if (imap_name_read(&utf8, text)) {
		must(utf8_valid(buf_slice(&utf8)));
		must(imap_name_put(&said, buf_slice(&utf8)) && imap_name_read(&again, buf_slice(&said)));
		must(slice_eq(buf_slice(&again), buf_slice(&utf8)));
	}
	imap_name_match(slice_head(text, size / 3), slice_skip(text, size / 3));
	return 0;
}
