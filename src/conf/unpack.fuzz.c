/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	AUTO_CONF struct conf *c = NULL;
	if (conf_unpack(slice_from(data, size), &c) < 0) return 0;
	must(c != NULL);
	return 0;
}
