/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/inside.h"

#include <sysexits.h>

int run_reports(struct cli *cli) {
	if (cli->count == 0 || !slice_eq(cli->args[0], S("parse")))
		return complain(cli, EX_USAGE, "parse is what there is (hato help reports)");
	cli->command = "reports parse";
	cli->args++;
	cli->count--;
	return run_report_parse(cli);
}
