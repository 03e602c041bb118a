/* SPDX-License-Identifier: Apache-2.0 */
/* Nearly all text of mail headers is ASCII, where both steps are "capitals"; the tables are for the rest. Titlecasing
 * is that of single characters, as the RFC says: a sharp s stays one. */
#include "base/collate.h"
#include "base/encode.h"

#include <unicase.h>
#include <uninorm.h>

void collate_casemap(struct buf *out, struct slice utf8) {
	if (slice_is_ascii(utf8)) {
		char *at = buf_room(out, utf8.len);
		if (at == NULL) return;
		for (size_t i = 0; i < utf8.len; i++) at[i] = ascii_upper(utf8.at[i]);
		out->len += utf8.len;
		return;
	}
	AUTO_BUF struct buf title = BUF(utf8.len * 4 + 16);
	while (utf8.len != 0) utf8_add(&title, uc_totitle(utf8_next(&utf8)));
	size_t len = 0;
	AUTO_FREE uint8_t *key = u8_normalize(UNINORM_NFKD, (const uint8_t *)title.at, title.len, NULL, &len);
	buf_add(out, key != NULL ? slice_from(key, len) : buf_slice(&title));
}
