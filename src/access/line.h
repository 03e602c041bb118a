/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "net/stream.h"
/* The next line of a dialogue that survives lines of any length: STREAM_OK, STREAM_AGAIN, or STREAM_LONG, once for each
 * line that is longer than max; what comes of it is thrown away. *dropping belongs to the caller and starts as false.
 */
int access_line(struct stream *wire, size_t max, bool *dropping, struct slice *line);
