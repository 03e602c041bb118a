/* SPDX-License-Identifier: Apache-2.0 */
/* Whole mails and files; what was read survives the way between two processes. */
#include "trust/report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	AUTO_ARENA struct arena mem = { 0 };
	AUTO_BUF struct buf packed = BUF(MIB(64));
	struct report_list list, again;
	report_read(slice_from(data, size), &mem, &list);
	must(list.items_count != 0 || list.nothing.len != 0);
	report_list_pack(&packed, &list);
	struct unwire in = UNWIRE(buf_slice(&packed), &mem);
	report_list_unpack(&in, &again);
	must(!in.bad && again.items_count == list.items_count);
	return 0;
}
