/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/buf.h"
/* Who a peer is by a certificate that leads to a root we trust. */
struct tls;
bool tls_peer_trusted(const struct tls *t); /* false while the handshake lasts, and without a certificate */
bool tls_peer_shown(const struct tls *t);   /* it showed one and has its key, wherever that leads */
/* The mail addresses in it (subjectAltName rfc822Name), divided by blanks; false: none, or not trusted. */
bool tls_peer_emails(const struct tls *t, struct buf *out);
