/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/bounce.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	AUTO_ARENA struct arena mem = { 0 };
	struct problems problems = { .mem = &mem };
	struct bounce_template all[BOUNCE_KINDS];
	bounces_read(all, slice_from(data, size), S("f"), &problems);
	for (size_t i = 0; i < BOUNCE_KINDS; i++) must(all[i].text.len > 0 && slice_is_ascii(all[i].subject));
	return 0;
}
