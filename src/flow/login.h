/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "net/link.h"
#include "net/sasl.h"
/* A log-in of whatever protocol and mechanism: core is asked who that is and whose mail it may be, vault (relay, for an
 * OAuth 2 token) whether it is proved. Vault is asked in any case, so that a name that nobody has takes as long as a
 * wrong password. */
struct login_way {
	struct link *core, *vault, *relay;
	struct slice domain;     /* of names without one; empty: they stay as they are */
	struct tls *tls;         /* of the client; NULL: none */
};
enum sasl_verdict login_prove(const struct login_way *way, const struct sasl_ask *ask, struct arena *mem,
			      struct sasl_found *found);
