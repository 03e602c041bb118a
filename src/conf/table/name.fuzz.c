/* SPDX-License-Identifier: Apache-2.0 */
/* Names of tables, tables within tables, and files of parameters: the first line is a name, the rest what its files
 * say. */
#include "conf/table/fuzzing.h"

/* What waits for other machines, or for a library's own files. */
static bool leaves_us(struct slice name) {
	static const char *const types[] = { "tcp:",  "socketmap:", "pgsql:", "mysql:",  "ldap:",
					     "lmdb:", "memcache:",  "unix:",  "regexp:", "sqlite:" };
	for (size_t i = 0; i < LEN(types); i++)
		if (slice_search(name, slice_of(types[i])) < name.len) return true;
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	AUTO_ARENA struct arena mem = { 0 };
	struct slice rest = slice_from(data, size), name = slice_cut(&rest, '\n'), value;
	struct table_params params = { .open = fuzz_open, .tell = fuzz_tell, .ctx = &rest };
	struct table *t;
	if (leaves_us(name) || leaves_us(rest)) return 0;
	struct tables *tables = tables_new(&params);
	if (table_open(tables, name, 0, &t) == TABLE_FOUND) {
		(void)!table_find(t, S("user@example.com"), &mem, &value);
		must(table_name(t)[0] != '\0');
	}
	/* read, and never asked: a file of parameters */
	must(table_open(tables, S("memcache:/parameters"), 0, &t) == TABLE_FOUND);
	tables_free(&tables);
	return 0;
}
