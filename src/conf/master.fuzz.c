/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/service.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	AUTO_ARENA struct arena mem = { 0 };
	struct sources files = { .mem = &mem, .sealed = true };
	struct problems p = { .mem = &mem };
	struct services s;
	source_put(&files, S("/etc/services"), S("foo 1234/tcp bar\n"), false);
	services_read(&s, slice_from(data, size), S("master.cf"), &files, &p);
	for (size_t i = 0; i < s.count; i++) must(s.at[i].index == i && s.at[i].name.len > 0);
	return 0;
}
