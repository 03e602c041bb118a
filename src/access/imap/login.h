/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "access/gate.h"
/* The IMAP dialogue before log-in (RFC 3501 §3.1 and §3.2 up to LOGIN/AUTHENTICATE; RFC 9051 agrees): a gate. It knows
 * CAPABILITY, NOOP, LOGOUT, ID, ENABLE's refusal, STARTTLS, LOGIN and AUTHENTICATE with SASL-IR. Lines have up to 8 KiB
 * (12 KiB in AUTHENTICATE), literals 4 KiB.
 *
 * Puts the greeting into the stream. A wrapped (port 993) stream must have been given to stream_start_tls_server
 * before. Everything but params' strings is copied; params and ops must outlive the dialogue. */
struct gate *imap_login_new(struct stream *wire, const struct gate_params *params, const struct sasl_ops *ops,
			    void *owner, const struct gate_peer *peer) NONNULL_RESULT;
