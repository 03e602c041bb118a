/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "role/edge_settings.h"
/* What edge does to the text of messages: its header, milters, checks. Fills the fields of sv->admit. <0: a setting
 * cannot be used. */
int edge_content_make(struct edge_settings *s, struct service *sv, const struct conf_view *v,
		      const struct edge_outside *outside);
/* Is this word in receive_override_options? */
bool edge_overridden(const struct conf_view *v, const char *word);
