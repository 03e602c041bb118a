/* SPDX-License-Identifier: Apache-2.0 */
/* Everything but the start of sendmail: what main.c loads. Master starts the same binary again as each of the other
 * processes. */
#include "cli/cli.h"
#include "role/boot.h"
#include "cli/whole.h"

#include <sysexits.h>

const char hato_library_version[] = HATO_VERSION;

int hato_main(int argc, char **argv) {
	if (argc < 3 || strcmp(argv[1], "--role") != 0) return cli_main(argc, argv);
	const struct role *role = role_find(slice_of(argv[2]));
	return role != NULL ? role_main(role) : EX_USAGE;
}
