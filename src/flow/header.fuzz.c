/* SPDX-License-Identifier: Apache-2.0 */
/* Any header: what is left has no field that was to go, and a list made of it writes the same again. */
#include "flow/header.h"
#include "mime/header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	static const struct domains none = { 0 };
	static const struct rewrite_params rewrite = { .origin = S("example.com"),
						       .domain = S("example.org"),
						       .percent_hack = true,
						       .swap_bangpath = true,
						       .destinations = { .list = &none } };
	static const struct slice drop[] = { S("Bcc") };
	static const struct header_params params = {
		.host = "h", .drop = drop, .drop_count = 1, .token_limit = 50, .local = &rewrite
	};
	struct header_facts facts = { .ours = true, .complete = size % 2 != 0, .queue_id = "I", .sender = S("a@b") };
	AUTO_ARENA struct arena mem = { 0 };
	AUTO_BUF struct buf out = BUF(1 << 22), again = BUF(1 << 22);
	if (header_take(&params, &facts, slice_from(data, size), &out) != HEADER_DONE) return 0;
	struct field f;
	must(!header_find(buf_slice(&out), S("Bcc"), &f) || facts.complete);
	struct header_list l;
	header_list_read(&l, buf_slice(&out), &mem);
	header_list_insert(&l, size, S("X"), slice_from(data, size));
	must(header_list_write(&l, &again));
	return 0;
}
