/* SPDX-License-Identifier: Apache-2.0 */
/* What was parsed, written and parsed again says the same; and no field that is stripped of our name still parses as
 * ours. */
#include "trust/authres.h"
#include "mime/header.h"

static void same(const struct authres *a, const struct authres *b) {
	must(slice_eq(a->id, b->id) && a->methods_count == b->methods_count);
	for (size_t i = 0; i < a->methods_count; i++) {
		const struct authres_method *x = &a->methods[i], *y = &b->methods[i];
		must(slice_eq(x->method, y->method) && slice_eq(x->result, y->result) &&
		     x->properties_count == y->properties_count);
		for (size_t j = 0; j < x->properties_count; j++)
			must(slice_eq(x->properties[j].name, y->properties[j].name) &&
			     slice_eq(x->properties[j].value, y->properties[j].value));
	}
}

static bool plain(struct slice s) {
	for (size_t i = 0; i < s.len; i++)
		if (ascii_control(s.at[i])) return false;
	return s.len < 300 && s.len != 0;
}

static bool plain_values(const struct authres *a) {
	if (!plain(a->id)) return false;
	for (size_t i = 0; i < a->methods_count; i++)
		for (size_t j = 0; j < a->methods[i].properties_count; j++)
			if (!plain(a->methods[i].properties[j].value)) return false;
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	AUTO_ARENA struct arena mem = {0};
	AUTO_BUF struct buf text = BUF(MIB(4)), stripped = BUF(MIB(4));
	struct authres a, again;
	struct slice in = slice_from(data, size);
	if (authres_parse(in, &mem, &a)) {
		authres_add(&text, &a);
		if (plain_values(&a)) {
			must(authres_parse(buf_slice(&text), &mem, &again));
			same(&a, &again);
		}
	}
	authres_strip(in, S("mx.test"), &stripped);
	struct fields f = { .block = buf_slice(&stripped) };
	struct field field;
	while (header_find_from(&f, S("authentication-results"), &field))
		must(!authres_parse(field.value, &mem, &a) || !slice_same(a.id, S("mx.test")));
	return 0;
}
