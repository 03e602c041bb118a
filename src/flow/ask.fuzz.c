/* SPDX-License-Identifier: Apache-2.0 */
/* What another process of ours sends is not trusted either: any bytes must unpack into bounded structs, or say bad; and
 * what unpacks must pack again into something that unpacks alike. */
#include "flow/ask.h"
#include "flow/deliver.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TRY(name) \
	do { \
		struct arena mem = { 0 }; \
		struct unwire in = UNWIRE(slice_from(data, size), &mem); \
		struct name v = { 0 }; \
		name##_unpack(&in, &v); \
		if (!in.bad) { \
			struct buf again = BUF(1 << 24); \
			name##_pack(&again, &v); \
			struct unwire twice = UNWIRE(buf_slice(&again), &mem); \
			struct name w = { 0 }; \
			name##_unpack(&twice, &w); \
			must(!twice.bad && twice.rest.len == 0); \
			buf_done(&again); \
		} \
		arena_done(&mem); \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	TRY(route_ask);
	TRY(accept_ask);
	TRY(accept_answer);
	TRY(session_ask);
	TRY(password_ask);
	TRY(sign_ask);
	TRY(token_ask);
	TRY(token_answer);
	TRY(relay_ask);
	TRY(relay_answer);
	TRY(admin_ask);
	TRY(admin_answer);
	TRY(queue_extra);
	return 0;
}
