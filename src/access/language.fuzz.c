/* SPDX-License-Identifier: Apache-2.0 */
#include "access/language.h"
#include "base/encode.h"

/* A range means one language at most, and a translated response is text if it was. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	AUTO_BUF struct buf out = BUF(size + KIB(1));
	enum language l = LANGUAGE_COUNT;
	if (language_of(slice_from(data, size), &l)) must(l < LANGUAGE_COUNT);
	language_add(&out, LANGUAGE_JA, slice_from(data, size));
	must(!utf8_valid(slice_from(data, size)) || utf8_valid(buf_slice(&out)));
	return 0;
}
