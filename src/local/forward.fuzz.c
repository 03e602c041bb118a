/* SPDX-License-Identifier: Apache-2.0 */
/* ~/.forward, as users write it. */
#include "local/forward.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	AUTO_ARENA struct arena mem = { 0 };
	struct forward_list l = forward_parse(slice_from(data, size), &mem);
	must(l.count <= LOCAL_TARGETS_MAX);
	for (size_t i = 0; i < l.count; i++) must(l.at[i].text.len != 0 && l.at[i].text.len <= LOCAL_TEXT_MAX);
	return 0;
}
