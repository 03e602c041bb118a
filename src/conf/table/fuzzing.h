/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the fuzz targets of tables share: a table whose file is the input. */
#include "base/fail.h"
#include "conf/table.h"
#include <fcntl.h>
#include <sys/mman.h>

static int fuzz_open(void *ctx, const char *path UNUSED) {
	const struct slice *text = ctx;
	int fd = memfd_create("input", MFD_CLOEXEC);
	if (fd < 0 || write(fd, text->at, text->len) != (ssize_t)text->len || lseek(fd, 0, SEEK_SET) != 0)
		die_now("memfd");
	return fd;
}

static void fuzz_tell(void *ctx UNUSED, int level UNUSED, const char *text) { must(text != NULL); }

static int fuzz_visit(void *ctx, struct slice key, struct slice value UNUSED) {
	AUTO_ARENA struct arena mem = { 0 };
	struct slice found;
	must(key.len > 0 && table_find(ctx, key, &mem, &found) == TABLE_FOUND); /* what is listed can be found */
	return 0;
}

/* Opens, asks for some keys and lists. */
static inline void fuzz_table(const char *name, struct slice text, unsigned flags) {
	AUTO_ARENA struct arena mem = { 0 };
	struct table_params params = { .open = fuzz_open, .tell = fuzz_tell, .ctx = &text };
	struct tables *tables = tables_new(&params);
	struct table *t;
	struct slice value;
	static const char *const keys[] = { "user@example.com", "192.0.2.1", "2001:db8::1", "aaaaaaaaaaaaaaaaaaaaaaaab",
					    "Subject: a\n b" };
	must(table_open(tables, slice_of(name), flags, &t) == TABLE_FOUND);
	for (size_t i = 0; i < LEN(keys); i++) (void)!table_find(t, slice_of(keys[i]), &mem, &value);
	(void)!table_each(t, fuzz_visit, t);
	tables_free(&tables);
}
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
