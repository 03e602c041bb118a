/* SPDX-License-Identifier: Apache-2.0 */
#include "trust/report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	AUTO_ARENA struct arena mem = { 0 };
	struct report_dmarc out;
	struct slice reason;
	if (!report_read_xml(slice_from(data, size), &mem, &out, &reason)) must(reason.len != 0);
	else must(out.domain.len != 0 || out.records_count != 0);
	return 0;
}
