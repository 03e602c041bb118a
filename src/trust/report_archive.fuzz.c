/* SPDX-License-Identifier: Apache-2.0 */
#include "trust/report.h"

static void count(void *ctx, struct slice name, struct slice bytes) {
	(void)name;
	*(size_t *)ctx += bytes.len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	struct slice reason = S("");
	size_t seen = 0, budget = MIB(1);
	struct slice bytes = slice_from(data, size);
	if (report_archive_of(bytes) == REPORT_PLAIN) return 0;
	bool good = report_archive_each(bytes, &budget, &(struct report_archive_ops){ count, &seen }, &reason);
	must(seen <= MIB(1) && (good || reason.len != 0));
	return 0;
}
