/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "access/pop3/session.h"
enum drop_answer { DROP_OPEN, DROP_IN_USE, DROP_TOO_SOON };
enum drop_answer drop_open(struct pop3_drops *d, int64_t account, unsigned login_delay_s);
void drop_close(struct pop3_drops *d, int64_t account);
