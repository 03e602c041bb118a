/* SPDX-License-Identifier: Apache-2.0 */
/* Whole messages: verified as far as that goes without a name server, and signed. */
#include "trust/dkim_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int fake_sign(void *ctx UNUSED, uint64_t key UNUSED, enum dkim_algorithm algorithm UNUSED,
		     struct slice tbs UNUSED, struct buf *signature) {
	return buf_add(signature, S("0123456789012345678901234567890123456789012345678901234567890123")) ? 0 : -1;
}

static void sign(struct slice header, struct slice body, bool relaxed) {
	AUTO_ARENA struct arena mem = { 0 };
	AUTO_BUF struct buf out = BUF(MIB(2));
	struct slice from = S("From"), reason;
	struct dkim_sign_params p = { .header = relaxed,
				      .body = relaxed,
				      .now_s = 1,
				      .sign = fake_sign,
				      .lifetime_s = 9,
				      .oversign_headers = &from,
				      .oversign_headers_count = 1 };
	struct dkim_key key = { 0, S("a.example"), S("s"), DKIM_RSA_SHA256 };
	struct dkim_signer *s = dkim_sign_begin(&p, &key, 1, header, &mem);
	struct signature read;
	dkim_sign_body(s, body);
	must(dkim_sign_end(s, &out) == 0);
	must(signature_read(SIGNATURE_DKIM, buf_slice(&out), &mem, &read, &reason) == TRUST_PASS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	AUTO_ARENA struct arena mem = { 0 };
	struct slice mail = slice_from(data, size);
	size_t length = header_length(mail), count = 0;
	struct slice header = slice_head(mail, length), body = slice_skip(mail, length);
	struct dkim_params p = { .now_s = 1 };
	struct dkim_verdict *all;
	struct dkim_verifier *v = dkim_verify_begin(&p, header, &mem);
	if (v != NULL) {
		dkim_verify_body(v, body);
		dkim_verify_end(v, 0, &all, &count);
		must(count >= 1 && count <= 10);
		for (size_t i = 0; i < count; i++)
			must(all[i].result != TRUST_PASS && all[i].result != TRUST_NONE && all[i].reason.len != 0);
	}
	sign(header, body, size & 1);
	return 0;
}
