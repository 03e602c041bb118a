/* SPDX-License-Identifier: Apache-2.0 */
#include "trust/dkim_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	AUTO_ARENA struct arena mem = { 0 };
	struct slice text = slice_from(data, size), reason = SLICE_NONE, bytes;
	struct tag tags[TAGS_MAX];
	struct dkim_record r;
	int count = tags_parse(text, tags);
	must(count < 0 || (count > 0 && count <= TAGS_MAX));
	for (int i = 0; i < count; i++) {
		must(tag_find(tags, count, tags[i].name) == &tags[i]);
		must(tags[i].value.at >= text.at && tags[i].value.at + tags[i].value.len <= text.at + text.len);
		tag_base64(tags[i].value, &mem, &bytes);
	}
	if (dkim_record_parse(text, &mem, &r, &reason)) must(count > 0 && r.revoked == (r.public_key.len == 0));
	else must(reason.len != 0);
	return 0;
}
