/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "flow/ask.h"
#include "user/secret.h"
/* Does what is asked about app passwords, in vault and in the command while the server is down. Text in mem. 0, or <0
 * fail(). */
int vault_app(struct secrets *secrets, const struct app_ask *ask, struct arena *mem, struct app_answer *answer);
