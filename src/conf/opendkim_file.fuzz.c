/* SPDX-License-Identifier: Apache-2.0 */
/* Files of OpenDKIM and OpenDMARC: read without harm; behind a NUL stands what IgnoreHosts and others name. What was
 * adopted is the same in the process that it is packed for. */
#include "conf/conf.h"
#include "conf/opendkim_file.h"
#include "conf/snapshot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	AUTO_ARENA struct arena mem = {0};
	struct slice hosts = slice_from(data, size), text = slice_cut(&hosts, '\0');
	struct sources files = { .mem = &mem, .sealed = true };
	struct problems problems = { .mem = &mem };
	struct opendkim_file f = {0};
	struct opendkim_set set = {0};
	source_put(&files, S("/f/c"), text, false);
	source_put(&files, S("/f/h"), hosts, false);
	must(opendkim_file_read(&files, S("/f/c"), &problems, &f) == SOURCE_FOUND);
	for (size_t i = 0; i < f.count; i++) {
		must(f.lines[i].key.len != 0 && f.lines[i].value.len != 0);
		if (opendkim_set_read(&files, &f.lines[i], &problems, &set) != SOURCE_FOUND) continue;
		for (size_t k = 0; k < set.count; k++) must(set.at[k].key.len != 0);
	}
	return 0;
}
