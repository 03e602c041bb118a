/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "report/digest.h"
/* `hato reports --html`: one page that needs nothing else; what strangers wrote is escaped. */
void report_page(struct buf *out, const struct digest *g, int64_t since_us, int64_t now_us);
