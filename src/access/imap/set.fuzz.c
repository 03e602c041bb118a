/* SPDX-License-Identifier: Apache-2.0 */
#include "access/imap/set.h"

/* A settled set is sorted, apart, and reads back as itself. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	AUTO_ARENA struct arena mem = { 0 };
	struct imap_parse p = IMAP_PARSE(slice_from(data, size), &mem);
	struct imap_set set, again;
	if (!imap_parse_set(&p, &set) || set.saved) return 0;
	imap_set_settle(&set, 1000);
	for (size_t i = 1; i < set.count; i++) must(set.ranges[i].first > set.ranges[i - 1].last + 1);
	AUTO_BUF struct buf out = BUF(MIB(8));
	imap_put_set(&out, &set);
	p = IMAP_PARSE(buf_slice(&out), &mem);
	must(imap_parse_set(&p, &again) && imap_parse_end(&p));
	imap_set_settle(&again, 1);
	must(again.count == set.count && imap_set_size(&again) == imap_set_size(&set));
	return 0;
}
