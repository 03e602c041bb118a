/* SPDX-License-Identifier: Apache-2.0 */
/* Files of policyd-spf and PostSRSd: read without harm; each value stands in the arena, free of its quotes. */
#include "conf/equal_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	AUTO_ARENA struct arena mem = {0};
	struct sources files = { .mem = &mem, .sealed = true };
	struct problems problems = { .mem = &mem };
	struct opendkim_file f = {0};
	source_put(&files, S("/f/c"), slice_from(data, size), false);
	must(equal_file_read(&files, S("/f/c"), &problems, &f) == SOURCE_FOUND);
	for (size_t i = 0; i < f.count; i++)
		must(slice_find(f.lines[i].key, '\n') == f.lines[i].key.len && f.lines[i].where.line != 0);
	return 0;
}
