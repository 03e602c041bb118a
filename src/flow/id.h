/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/base.h"
/* Queue ids in Postfix's long form: six base-52 digits of seconds, four of microseconds, "z", and four that tell this
 * process's messages of one microsecond, and those of other machines, apart. They rise with time and are never used
 * again. */
#define QUEUE_ID_ROOM 16
void queue_id_make(char out[QUEUE_ID_ROOM]);
