/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "filter/checks.h"
#include "role/relay_settings.h"
/* smtp_header_checks, smtp_mime_header_checks, smtp_nested_header_checks, smtp_body_checks (and lmtp_…) on what leaves. */

/* Puts the message as it shall be sent in place of body: *fd is then a new descriptor of it, the caller's. Without tables
 * nothing happens and *fd stays -1. <0: a table cannot be asked now, or there is no room. */
int relay_check(const struct relay_profile *p, const char *queue_id, struct smtp_body *body, int *fd);
