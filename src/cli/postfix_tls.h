/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "cli/tool.h"
/* postfix tls SUBCOMMAND …; words: from the subcommand on. Its exit code. */
int postfix_tls(const struct tool *tool, int count, char **words);
