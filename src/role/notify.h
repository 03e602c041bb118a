/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/base.h"
/* What a service manager that started us in the foreground hears (sd_notify(3), Type=notify): lines such as READY=1 as
 * a datagram to the socket that NOTIFY_SOCKET names. Without that variable everything here does nothing. */

bool notify_open(void);        /* takes the variable, which children do not inherit; false: none is set */
void notify(const char *text); /* nobody who listens, and errors, change nothing */
void notify_reloading(void);   /* notify("READY=1") ends it, also when the reload was refused */
