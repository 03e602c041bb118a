/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "cli/tool.h"
/* The instance a program belongs to, found without loading its configuration: who sends a message waits for it. */

/* data_directory of conf_dir/main.cf. True when it is plain to see; false when the whole configuration has to be asked
 * (an expression, no such file). */
bool instance_data(const char *conf_dir, struct buf *out);
/* A connection to DATA/public/NAME; -1 with errno: nobody answers there. */
int instance_connect(const char *data, const char *name);
