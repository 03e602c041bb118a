/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "role/edge_settings.h"
/* The TLS of a service: its versions, ciphers, and whether clients show certificates. required: where TLS is demanded,
 * other versions and ciphers may be allowed than where it is offered. Services that want the same share one. */
int edge_tls_choose(struct edge_settings *s, struct service *sv, const struct conf_view *v, bool required,
		    const struct boot *b, const struct edge_outside *outside) MUST_USE;
