/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/buf.h"
/* What SORT looks at of a raw From, To or Cc: the first address. By FROM, TO, CC (RFC 5256 §3) its local part, for a
 * group the group's name; for display (RFC 5957 §3) the name people see, else the whole address. Nothing when there is
 * none. */
void first_address_add(struct buf *by_address, struct buf *by_display, struct slice raw);
