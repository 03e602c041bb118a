/* SPDX-License-Identifier: Apache-2.0 */
/* base64, hex and UTF-8: what is read comes out again, what is written is read again, broken text becomes valid text.
 */
#include "base/encode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	AUTO_BUF struct buf out = BUF(MIB(8)), back = BUF(MIB(8));
	struct slice s = slice_from(data, size);
	if (base64_read(&out, s)) {
		base64_add(&back, buf_slice(&out));
		must(slice_eq(buf_slice(&back), s)); /* strict: one text for one value */
	}
	buf_clear(&out);
	buf_clear(&back);
	must(base64_add(&out, s) && base64_read(&back, buf_slice(&out)) && slice_eq(buf_slice(&back), s));
	buf_clear(&out);
	buf_clear(&back);
	must(hex_add(&out, s) && hex_read(&back, buf_slice(&out)) && slice_eq(buf_slice(&back), s));
	buf_clear(&out);
	hex_read(&out, s);
	buf_clear(&back);
	must(utf8_add_clean(&back, s) && utf8_valid(buf_slice(&back)));
	must(slice_eq(buf_slice(&back), s) == utf8_valid(s));
	return 0;
}
