/* SPDX-License-Identifier: Apache-2.0 */
/* Fed whole and in pieces a message has one summary, which unpacks to itself; anything else that unpacks can be walked.
 */
#include "base/encode.h"
#include "mime/summary.h"

static void scan(struct slice text, size_t step, struct buf *packed) {
	struct summary s;
	struct summary_scan *scan = summary_scan_new();
	for (size_t n = step; text.len != 0; text = slice_skip(text, n), n = step == 1 ? 1
		: n % 13 + step) summary_scan_feed(scan, slice_head(text, n));
	summary_scan_finish(scan, &s);
	summary_pack(packed, &s);
	summary_scan_free(&scan);
}

static void walk(struct slice packed, bool ours) {
	AUTO_ARENA struct arena mem = { 0 };
	AUTO_BUF struct buf again = BUF(MIB(64)), imap = BUF(MIB(64));
	struct summary s;
	struct section section;
	struct unwire w = UNWIRE(packed, &mem);
	summary_unpack(&w, &s);
	must(!ours || !w.bad);
	if (w.bad) return;
	summary_imap_envelope(&imap, &s);
	summary_imap_bodystructure(&imap, &s, true, (s.flags & SUMMARY_GLOBAL) != 0);
	summary_section(&s, S("1.2.1.MIME"), &section);
	if (!ours) return;
	must(utf8_valid(s.preview));
	summary_pack(&again, &s);
	must(slice_eq(packed, buf_slice(&again)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	AUTO_BUF struct buf whole = BUF(MIB(64)), pieces = BUF(MIB(64));
	struct slice text = slice_from(data, size);
	scan(text, SIZE_MAX / 2, &whole);
	scan(text, 1 + size % 5, &pieces);
	must(slice_eq(buf_slice(&whole), buf_slice(&pieces)));
	walk(buf_slice(&whole), true);
	walk(text, false);
	return 0;
}
