/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/base.h"
/* The text of the last failure (a result below zero) in this thread. It names the thing, the reason and, where there is
 * one, the remedy: "mail.crt: certificate does not match key mail.key (set smtpd_tls_key_file)". */
int fail(const char *format, ...) PRINTF_LIKE(1, 2);       /* keeps the text, returns -1 */
int fail_errno(const char *format, ...) PRINTF_LIKE(1, 2); /* the same with ": strerror" behind it; errno stays */
int fail_add(const char *format, ...) PRINTF_LIKE(1, 2);   /* puts "format: " before the kept text, returns -1 */
const char *fail_text(void); /* "" when nothing failed yet; valid until the next failure */
