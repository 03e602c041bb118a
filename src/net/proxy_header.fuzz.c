/* SPDX-License-Identifier: Apache-2.0 */
/* Any beginning of a connection; a header cut short must ask for more, and say the same when the rest has come. */
#include "net/proxy_header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	struct slice in = slice_from((const char *)data, size);
	struct addr client = { 0 }, own = { 0 };
	size_t used = 0, cut;
	enum proxy_header_answer r = proxy_header_parse(in, &client, &own, &used);
	if (r != PROXY_HEADER_OK && r != PROXY_HEADER_LOCAL) return 0;
	must(used <= size && used <= PROXY_HEADER_MAX);
	for (size_t n = 0; n < used; n++)
		must(proxy_header_parse(slice_head(in, n), &client, &own, &cut) == PROXY_HEADER_MORE);
	return 0;
}
