/* SPDX-License-Identifier: Apache-2.0 */
/* The key ring's file of states: each line that is understood is written and read again as the same. */
#include "trust/keyring_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	for (struct slice rest = slice_from(data, size); rest.at != NULL && rest.len != 0;) {
		struct keyring_key told, again;
		AUTO_BUF struct buf line = BUF(KIB(4));
		if (!keyring_line_read(slice_cut(&rest, '\n'), &told)) continue;
		must(keyring_name(told.domain) && keyring_name(told.selector) && told.since_s >= 0);
		keyring_line_add(&line, &told);
		struct slice text = slice_trim(buf_slice(&line));
		must(keyring_line_read(text, &again) && slice_eq(again.domain, told.domain) &&
		     slice_eq(again.selector, told.selector));
		must(again.algorithm == told.algorithm && again.state == told.state && again.since_s == told.since_s);
	}
	return 0;
}
