/* SPDX-License-Identifier: Apache-2.0 */
/* A base subject has no base but itself. */
#include "mime/subject.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	bool reply;
	struct slice once = subject_base(slice_from(data, size), &reply);
	must(slice_eq(subject_base(once, &reply), once) && !reply);
	AUTO_BUF struct buf out = BUF(MIB(1));
	subject_add_base(&out, slice_from(data, size), &reply);
	return 0;
}
