/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever is read as an URL names a message, and its texts hold no control characters. */
#include "access/imap/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	AUTO_ARENA struct arena mem = { 0 };
	struct imap_url u;
	if (!imap_url_parse(&mem, slice_from(data, size), &u)) return 0;
	const struct slice texts[] = { u.user, u.host, u.mailbox, u.section };
	must(u.uid != 0);
	for (size_t i = 0; i < LEN(texts); i++)
		for (size_t j = 0; j < texts[i].len; j++) must(!ascii_control(texts[i].at[j]));
	return 0;
}
