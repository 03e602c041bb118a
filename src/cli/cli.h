/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The command line: `hato [-c DIR] COMMAND …`, and later the names of other people's commands, by which hato can be
 * called. Exit codes are those of sysexits(3). Errors stand on the standard error as "hato COMMAND: what: why (what to
 * do)". */
int cli_main(int argc, char **argv);
