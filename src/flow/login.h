/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "conf/lookup.h"
#include "net/link.h"
#include "net/sasl.h"
/* A log-in of whatever protocol and mechanism: core is asked who that is and whose mail it may be, vault (relay, for an
 * OAuth 2 token) whether it is proved. Vault is asked in any case, so that a name that nobody has takes as long as a
 * wrong password. */
struct certificate_map {
	struct lookup maps;      /* sasl_external_cert_maps */
	const char *digest;      /* of fingerprints: "sha256" */
};
struct login_way {
	struct link *core, *vault, *relay;
	const struct certificate_map *certificates; /* NULL: none */
	struct slice domain;     /* of names without one; empty: they stay as they are */
	struct tls *tls;         /* of the client; NULL: none */
};
enum sasl_verdict login_prove(const struct login_way *way, const struct sasl_ask *ask, struct arena *mem,
			      struct sasl_found *found);
