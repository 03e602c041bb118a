/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "role/edge_settings.h"
/* A service's restriction lists and what belongs to them. Fills the fields of sv->admit. <0: mail of strangers for
 * strangers would be taken. */
int edge_restrict_make(struct edge_settings *s, struct service *sv, const struct conf_view *v,
		       const struct edge_outside *outside) MUST_USE;
