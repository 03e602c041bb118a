/* SPDX-License-Identifier: Apache-2.0 */
/* What milters say: the first byte is the letter, the rest its data. */
#include "filter/milter_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk(struct slice s) {
	static volatile char seen;
	for (size_t i = 0; i < s.len; i++) seen = s.at[i];
	(void)seen;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	AUTO_ARENA struct arena mem = { 0 };
	struct milter_reply reply;
	struct milter_offer offer;
	if (size == 0) return 0;
	struct slice rest = slice_from(data + 1, size - 1);
	if (data[0] == 'O' && milter_offer_parse(rest, &offer))
		for (size_t i = 0; i < MILTER_STAGES; i++) walk(offer.macros[i]);
	if (milter_reply_parse((char)data[0], rest, &mem, &reply)) {
		walk(reply.name);
		walk(reply.value);
		must(reply.kind != MILTER_R_REPLY_CODE || (reply.code >= 400 && reply.code < 600));
		must(strlen(reply.status) < sizeof reply.status);
	}
	return 0;
}
