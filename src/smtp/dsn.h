/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/buf.h"
/* The parameters of delivery status notifications (RFC 3461), as both sides of the conversation speak of them. */
enum smtp_notify { SMTP_NOTIFY_NEVER = 1, SMTP_NOTIFY_SUCCESS = 2, SMTP_NOTIFY_FAILURE = 4, SMTP_NOTIFY_DELAY = 8 };
enum smtp_ret { SMTP_RET_NONE, SMTP_RET_FULL, SMTP_RET_HDRS };
/* Adds " NOTIFY=SUCCESS,DELAY"; nothing for 0. */
void smtp_notify_add(struct buf *out, unsigned notify);
/* xtext (§4): printable ASCII, where "+2B" is a byte in upper-case hex. False: out is full. */
bool xtext_add(struct buf *out, struct slice bytes);
/* Adds what valid xtext says; other text as it is. */
void xtext_decode_add(struct buf *out, struct slice text);
/* Decodes to printable ASCII, at least one byte. */
bool xtext_valid(struct slice text);
