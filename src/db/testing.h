/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* For the tests of this room and those above: a folder of their own, and cmocka with what it needs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#undef fail /* ours means something else */
#define failed(...) (print_error("ERROR: " __VA_ARGS__), print_error("\n"), _fail(__FILE__, __LINE__))

#include "base/fail.h"
#include "db/db.h"

#include <ftw.h>
#include <sys/stat.h>

static inline char *testing_dir(void) {
	char path[] = "/tmp/hato-test-XXXXXX";
	assert_non_null(mkdtemp(path));
	return mem_text(path);
}

static inline int testing_remove(const char *path, const struct stat *st UNUSED, int kind UNUSED,
                                 struct FTW *at UNUSED) {
	return remove(path);
}

static inline void testing_dir_remove(char **dir) {
	nftw(*dir, testing_remove, 16, FTW_DEPTH | FTW_PHYS);
	free(*dir);
}
#define AUTO_TESTING_DIR AUTO(testing_dir_remove)

static inline struct db *testing_db(const char *dir, const struct db_params *params) {
	struct db *db = NULL;
	if (db_open(dir, params, &db) < 0) failed("%s", fail_text());
	return db;
}

#define assert_done(call) do { int r_ = (call); if (r_ != 0) failed("%s: %d %s", #call, r_, fail_text()); } while (0)
