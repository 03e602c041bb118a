/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/base.h"
/* Queue ids. They rise with time and are never used again. In both forms log readers take them for Postfix's:
 *
 *   short   65CF3A0B1D2E47F2    13 hexadecimal digits of microseconds, three that tell other processes apart
 *   long    4jXYB06VC5zdnMb     six base-52 digits of seconds, four of microseconds, "z", four that tell others apart
 *
 * enable_long_queue_ids chooses; logwatch wants the same option for the second. */
#define QUEUE_ID_ROOM 20
void queue_id_make(char out[QUEUE_ID_ROOM]);
void queue_id_form(bool long_ids); /* for this process; short at first */
