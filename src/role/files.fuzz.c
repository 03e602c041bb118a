/* SPDX-License-Identifier: Apache-2.0 */
#include "role/files.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A path that a child asks for: only what the settings name is ever granted, letter by letter. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	static struct conf *conf;
	static const struct slice granted[][2] = {
		{ S("/t/virtual"), S("/t/u.cf") }, { S("/t/passwd"), S("/t/other") } };
	struct conf_options o = { .dir = "/nowhere" };
	if (conf == NULL)
		must(conf_build(
			     &o,
			     S("virtual_alias_maps = hash:/t/virtual, unionmap:{pgsql:/t/u.cf,static:x}\n"
			       "smtp_sasl_password_maps = hash:/t/passwd, {pcre:/t/other}\nmydestination = /t/list\n"),
			     S(""), &conf) >= 0);
	struct slice path = slice_from((const char *)data, size);
	for (int relay = 0; relay < 2; relay++) {
		if (!files_named(conf, path, relay != 0)) continue;
		struct slice bare = path;
		while (slice_ends(bare, S(".lmdb")) || slice_ends(bare, S(".cdb")))
			bare.len -= slice_ends(bare, S(".cdb")) ? 4 : 5;
		must(slice_eq(bare, granted[relay][0]) || slice_eq(bare, granted[relay][1]));
	}
	return 0;
}
