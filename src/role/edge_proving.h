/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "role/edge_settings.h"
/* How strangers' mail is checked for who sent it (SPF, DKIM, DMARC, ARC): fills sv->admit.proving. <0: a setting cannot
 * be used. */
int edge_proving_make(struct edge_settings *s, struct service *sv, const struct conf_view *v,
		      const struct edge_outside *o);
