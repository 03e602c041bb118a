/* SPDX-License-Identifier: Apache-2.0 */
/* Chains as strangers write them: read, hashed as far as that goes without a name server, and sealed. */
#include "trust/arc_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int fake_sign(void *ctx UNUSED, uint64_t key UNUSED, enum dkim_algorithm algorithm UNUSED,
		     struct slice tbs UNUSED, struct buf *signature) {
	return buf_add(signature, S("0123456789012345678901234567890123456789012345678901234567890123")) ? 0 : -1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	AUTO_ARENA struct arena mem = { 0 };
	AUTO_BUF struct buf out = BUF(MIB(4));
	struct slice mail = slice_from(data, size);
	size_t length = header_length(mail);
	struct dkim_params p = { .now_s = 1 };
	struct arc_verdict verdict = { .result = TRUST_NONE };
	struct arc_verifier *v = arc_verify_begin(&p, slice_head(mail, length), &mem);
	if (v != NULL) {
		arc_verify_body(v, slice_skip(mail, length));
		arc_verify_end(v, 0, &verdict);
		must(verdict.result == TRUST_FAIL && verdict.reason.len != 0 && verdict.hops_count <= ARC_SETS_MAX);
	}
	struct arc_seal_params seal = {
		.sign = { .header = DKIM_RELAXED, .body = DKIM_RELAXED, .now_s = 1, .sign = fake_sign },
		.key = { 0, S("a.example"), S("s"), DKIM_RSA_SHA256 },
		.results = S("mx.example; none"),
		.chain = TRUST_PASS
	};
	struct arc_sealer *s = arc_seal_begin(&seal, slice_head(mail, length), &mem);
	if (s == NULL) return 0;
	must(v != NULL || verdict.result == TRUST_NONE);
	arc_seal_body(s, slice_skip(mail, length));
	must(arc_seal_end(s, &out) == 0);
	struct arc_chain chain;
	must(arc_chain_read(buf_slice(&out), &mem, &chain) && chain.count >= 1);
	return 0;
}
