/* SPDX-License-Identifier: Apache-2.0 */
#include "user/secret.h"
#include "user/user.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/* A stored form stays as it is when it is brought into stored form again. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	AUTO_ARENA struct arena mem = {0};
	struct slice once, twice, in = slice_from(data, size);
	if (user_address(&mem, in, &once) == 0) must(user_address(&mem, once, &twice) == 0 && slice_eq(once, twice));
	if (size > 0 && data[0] == '{') (void)secret_check(in, S("secret"));
	return 0;
}
