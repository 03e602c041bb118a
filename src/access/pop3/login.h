/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "access/gate.h"
/* The POP3 dialogue in the AUTHORIZATION state (RFC 1939 §4): a gate. It knows USER, PASS, QUIT, CAPA (RFC 2449), STLS
 * (RFC 2595), AUTH (RFC 5034), UTF8 (RFC 6856) and NOOP, which costs nothing and which clients try. APOP is not
 * offered: it would need passwords in clear text. Lines have up to 512 bytes, those of AUTH 12 KiB.
 *
 * Ownership as for imap_login_new. After GATE_DONE nothing has been said to PASS or AUTH: that is the session's first
 * line. */
struct gate *pop3_login_new(struct stream *wire, const struct gate_params *params, const struct sasl_ops *ops,
			    void *owner, const struct gate_peer *peer) NONNULL_RESULT;
