/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "conf/conf.h"
#include "flow/ask.h"
/* Vault's answers about DKIM keys. The context of the link's rules is a struct whose first member is a pointer to this.
 */
struct vault_dkim;
int vault_dkim_open(const char *data, struct vault_dkim **out); /* data: the data folder */
/* After a reload; given: packed keyring_given of other programs' files, or empty. */
void vault_dkim_set(struct vault_dkim *v, const struct conf_view *settings, struct slice given);
/* The key being made is finished, no other is begun: OpenSSL must not go while somebody works with it. */
void vault_dkim_stop(struct vault_dkim *v);
int answer_dkim_keys(void *ctx, struct link_question *q);
int answer_dkim_sign(void *ctx, struct link_question *q);
int answer_dkim_list(void *ctx, struct link_question *q);
int answer_dkim_seen(void *ctx, struct link_question *q);
int answer_dkim_change(void *ctx, struct link_question *q);
/* The work itself, for the hato command when the server is down. */
void vault_dkim_change(struct vault_dkim *v, const struct dkim_change_ask *ask, struct arena *mem,
		       struct dkim_change_answer *answer);
void vault_dkim_list(struct vault_dkim *v, const struct dkim_list_ask *ask, struct arena *mem,
		     struct dkim_list_answer *answer);
