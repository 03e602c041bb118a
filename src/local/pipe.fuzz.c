/* SPDX-License-Identifier: Apache-2.0 */
/* A pipe line of master.cf, and its macros with hostile addresses: the first line is the recipient, the others are
 * arguments. */
#include "local/pipe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	AUTO_ARENA struct arena mem = { 0 };
	struct slice rest = slice_from(data, size), args[64];
	struct local_recipient to = { .address = slice_cut(&rest, '\n') };
	size_t n = 0;
	while (rest.at != NULL && n < LEN(args)) args[n++] = slice_cut(&rest, '\n');
	struct pipe_params p = { .service = "fuzz", .delimiters = S("+-") };
	if (program_parse(args, n, true, &mem, &p.program) < 0) return 0;
	must(p.program.argc != 0 && p.program.argc <= n);
	struct local_message m = { .sender = to.address, .queue_id = S("Q") };
	const char *const *list = pipe_arguments(&p, &m, &to, 1, to.address, &mem);
	for (size_t i = 0; list != NULL && i < p.program.argc; i++) must(list[i] != NULL);
	return 0;
}
