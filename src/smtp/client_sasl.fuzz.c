/* SPDX-License-Identifier: Apache-2.0 */
/* What a hostile server may say while we log in: lines of challenges, after a byte that chooses the mechanism. The
 * nonce is known, so that the fuzzer can get past it. */
#include "base/fail.h"
#include "smtp/client_sasl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	static const enum smtp_mechanism all[] = { SMTP_MECHANISM_SCRAM_SHA_256, SMTP_MECHANISM_SCRAM_SHA_1,
						   SMTP_MECHANISM_CRAM_MD5, SMTP_MECHANISM_PLAIN,
						   SMTP_MECHANISM_LOGIN };
	if (size == 0) return 0;
	struct sasl_client s;
	struct slice rest = slice_from((const char *)data + 1, size - 1);
	/* rounds that are allowed may still be too many for a fuzzer */
	size_t at = slice_search(rest, S("i="));
	for (size_t i = at + 2, digits = 0; i < rest.len && ascii_digit(rest.at[i]); i++)
		if (++digits > 3) return 0;
	sasl_client_init(&s, all[data[0] % LEN(all)], S("us=er,x"), S("pencil"), S("rOprNGfwEbeRWgbNEkqO"));
	AUTO_BUF struct buf out = BUF(8 * SASL_SECRET_MAX);
	sasl_client_first(&s, &out);
	while (rest.at != NULL) {
		buf_clear(&out);
		if (sasl_client_answer(&s, slice_cut(&rest, '\n'), &out) < 0) break;
		must(s.proved || out.len != 0);
	}
	sasl_client_done(&s);
	return 0;
}
