/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* main.cf, and behind a NUL master.cf; what is built must survive packing. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	struct slice master_cf = slice_from(data, size), main_cf = slice_cut(&master_cf, '\0');
	struct machine_address address = { S("\x7f\0\0\1"), 8 };
	struct machine machine = { S("box"), &address, 1 };
	struct conf_options o = { .dir = "/nowhere", .machine = &machine };
	AUTO_CONF struct conf *c = NULL, *d = NULL;
	if (conf_build(&o, main_cf, master_cf, &c) < 0) return 0;
	AUTO_BUF struct buf packed = BUF(MIB(8));
	conf_pack(&packed, c);
	int r = conf_unpack(buf_slice(&packed), &d);
	must(r >= 0);
	for (size_t i = 0; i < SETTINGS_COUNT; i++)
		must(slice_eq(conf_text(conf_main(c), (enum setting_id)i),
			      conf_text(conf_main(d), (enum setting_id)i)));
	return 0;
}
