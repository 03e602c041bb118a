/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "conf/conf.h"
#include "flow/bearer.h"
#include "net/link.h"
/* relay's answers about OAuth 2 tokens. */
/* NULL in out: sasl_oauth2_introspection_url is empty. secret: of the client; NULL: none; both live in mem. <0: the
 * settings cannot be used. */
int relay_token_settings(const struct conf_view *v, const char *secret, struct arena *mem, struct bearer **out);
/* b NULL: nobody can tell. scope: what is told to refused clients. */
int relay_answer_token(struct bearer *b, struct link_question *q);
