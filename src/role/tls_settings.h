/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "conf/conf.h"
#include "net/tls.h"
/* What edge and relay read of TLS in the same way. */

/* remote_key.sign for keys that vault holds; ctx: the struct link to it. */
int sign_by_vault(void *ctx, uint64_t key, const struct remote_sign_request *request, struct buf *signature);
void tls_versions_set(struct tls_common *c, unsigned versions); /* as conf_tls_versions gives them */
/* OpenSSL's list for a grade (enum tls_grade) without what `excluded` names (":!X:!Y", may be empty); in mem. NULL:
 * net/tls's own list will do, which is shorter than Postfix's. */
const char *tls_cipher_list(const struct conf_view *v, int grade, struct slice excluded, struct arena *mem);
void tls_excluded_add(struct buf *out,
		      struct slice words); /* ":!X" for each; words part at blanks, commas and colons */
/* tls_eecdh_auto_curves, then tls_ffdhe_auto_groups; NULL: both are as they were. */
const char *tls_group_list(const struct conf_view *v, struct arena *mem);
/* …_verifydepth, as tls_server_params and tls_client_params have it. Postfix allows one certificate more than the
 * setting says, which people with a chain of three and a depth of 1 rely on. */
unsigned tls_depth(const struct conf_view *v, enum setting_id id);
