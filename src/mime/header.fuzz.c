/* SPDX-License-Identifier: Apache-2.0 */
#include "base/encode.h"
#include "mime/header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	AUTO_ARENA struct arena mem = { 0 };
	struct fields f = { .block = slice_from(data, size) };
	struct field field;
	struct slice id;
	while (fields_next(&f, &field)) {
		struct structured s;
		must(field.end <= size && field.start < field.end);
		must(utf8_valid(header_text(field.value, &mem)));
		structured_parse(field.value, &mem, &s);
		for (size_t i = 0; i < s.params_count; i++) must(utf8_valid(param_text(s.params, s.params_count,
			s.params[i].name, &mem)));
		for (struct slice rest = field.value; msgid_next(&rest, &id);) msgid_hash(id);
	}
	must(f.at <= header_length(f.block));
	return 0;
}
