/* SPDX-License-Identifier: Apache-2.0 */
#include "base/encode.h"
#include "net/sasl.h"

static enum sasl_verdict prove(void *owner, const struct sasl_ask *ask, struct arena *mem, struct sasl_found *found) {
	(void)owner, (void)mem;
	if (ask->means == SASL_BY_PASSWORD || ask->means == SASL_BY_SALT)
		must(ask->user.len != 0 && memchr(ask->user.at, '\0', ask->user.len) == NULL);
	*found =
		(struct sasl_found){ .salt = S("salt"), .rounds = 4096, .signature = S("signature"), .name = S("ann") };
	return ask->secret.len % 2 == 0 ? SASL_YES : SASL_NO;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	static const char *const names[] = { "PLAIN",    "LOGIN",       "SCRAM-SHA-1", "SCRAM-SHA-256-PLUS",
					     "EXTERNAL", "OAUTHBEARER", "XOAUTH2" };
	static const struct sasl_ops ops = { prove };
	if (size == 0) return 0;
	struct sasl s = { 0 };
	struct slice rest = slice_from(data + 1, size - 1), challenge;
	if (sasl_begin(&s, slice_of(names[data[0] % LEN(names)]), ~0u, NULL, &ops, NULL))
		for (int turn = 0; turn < 10 && rest.at != NULL; turn++) {
			struct slice part = slice_cut(&rest, '\n');
			struct buf wrapped = BUF(1 << 20);
			if ((data[0] & 0x80) != 0) base64_add(&wrapped, part), part = buf_slice(&wrapped);
			challenge = S("");
			enum sasl_answer answer =
				sasl_take(&s, slice_from(part.at != NULL ? part.at : "", part.len), &challenge);
			buf_done(&wrapped);
			if (answer != SASL_MORE) break;
		}
	sasl_done(&s);
	return 0;
}
