/* SPDX-License-Identifier: Apache-2.0 */
#include "net/sasl_dovecot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	static const struct slice filter[] = { S("!login"), S("static:rest") };
	const struct dovecot_wish wish = { filter, LEN(filter), DOVECOT_ANONYMOUS, 0 };
	struct slice rest = slice_from(data, size);
	struct arena mem = { 0 };
	while (rest.at != NULL) {
		struct slice one = slice_cut(&rest, '\n');
		struct dovecot_line line;
		if (!dovecot_line_read(one, &mem, &line)) continue;
		must(line.text.len <= one.len && line.id <= UINT32_MAX);
		if (line.word == DOVECOT_OK)
			must(line.text.len != 0 && memchr(line.text.at, '\0', line.text.len) == NULL);
		if (line.word == DOVECOT_MECH && slice_same(line.text, S("login")))
			must(!dovecot_wanted(&wish, line.text, line.properties));
	}
	arena_done(&mem);
	return 0;
}
