/* SPDX-License-Identifier: Apache-2.0 */
/* rspamd's dkim_signing.conf: whatever stands there, what is told of a key lies within the text. */
#include "conf/ucl.h"
#include "base/base.h"

struct text { const char *from, *to; };

static void inside(const struct text *t, struct slice s) {
	must(s.len != 0 && s.at >= t->from && s.at + s.len <= t->to);
}

static void check(void *ctx, const struct ucl_key *key) {
	inside(ctx, key->domain);
	inside(ctx, key->selector);
	inside(ctx, key->path);
	must(slice_find(key->domain, '.') < key->domain.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	struct text t = { (const char *)data, (const char *)data + size };
	ucl_keys_each(slice_from(data, size), check, &t);
	return 0;
}
