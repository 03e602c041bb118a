/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/network.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	AUTO_ARENA struct arena mem = { 0 };
	struct sources files = { .mem = &mem, .sealed = true };
	struct problems p = { .mem = &mem };
	struct networks n;
	struct domains d;
	struct place where = { S("main.cf"), 1 };
	source_put(&files, S("/f"), S("192.0.2.0/24\n/f\nexample.com\n"), false);
	networks_read(&n, slice_from(data, size), "n", where, &files, &p);
	for (size_t i = 0; i < n.count; i++) {
		must(n.at[i].bits <= 128);
		networks_match(&n, n.at[i].address);
	}
	domains_read(&d, slice_from(data, size), true, "d", where, &files, &p);
	for (size_t i = 0; i < d.count && i < 100; i++) domains_match(&d, d.at[i].name);
	return 0;
}
