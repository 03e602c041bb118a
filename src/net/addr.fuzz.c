/* SPDX-License-Identifier: Apache-2.0 */
/* What is read must come back from its own text, in both forms. */
#include "net/addr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	struct slice text = slice_from(data, size), host, port;
	struct addr a, b;
	char room[ADDR_TEXT_ROOM];
	if (addr_split_host_port(text, &host, &port)) must(host.len + port.len <= size);
	if (!addr_parse(text, &a)) return 0;
	must(addr_parse(slice_of(addr_text_with_port(&a, room)), &b));
	must(addr_same_host(&a, &b) && addr_port(&a) == addr_port(&b));
	must(addr_parse(slice_of(addr_text(&a, room)), &b) && addr_same_host(&a, &b));
	return 0;
}
