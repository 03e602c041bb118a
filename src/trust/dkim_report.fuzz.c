/* SPDX-License-Identifier: Apache-2.0 */
#include "trust/dkim_report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	AUTO_ARENA struct arena mem = { 0 };
	struct dkim_report_record r;
	if (!dkim_report_parse(slice_from(data, size), &mem, &r)) return 0;
	must((r.local.len > 0 || r.text.len > 0) && r.local.len <= 64 && r.percent <= 100);
	for (size_t i = 0; i < r.text.len; i++) must(r.text.at[i] >= ' ' && r.text.at[i] <= '~');
	for (int f = DKIM_FAULT_NONE; f <= DKIM_FAULT_OTHER + 1; f++) {
		bool wants = dkim_report_wants(&r, (enum dkim_fault)f);
		must(!wants || (f > DKIM_FAULT_NONE && f <= DKIM_FAULT_OTHER));
	}
	return 0;
}
