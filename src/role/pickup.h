/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "role/visitor.h"
/* Mail that users of this machine hand in. sendmail (cli/submit.h) has two ways, with one form, an SMTP client's half
 * of a session (EHLO … BDAT … QUIT):
 *
 *   DATA/public/submit   edge's socket. Who calls is asked of the kernel
 *   DATA/maildrop/NAME   a file, when nobody answers there. Everybody may add one, nobody can list them; the name is
 * not to be guessed. Whose file it is, is who sends. It is complete when its mode is 0744
 *
 * Edge plays a file against a session of its own, as if its owner had called, and deletes it when all was answered 2xx.
 * What is refused for good stays as refused.NAME for the operator. It looks when a file becomes complete, and each
 * minute. */
struct pickup;
struct pickup *pickup_start(struct visitors *all, const char *data_dir) NONNULL_RESULT;
void pickup_reload(struct pickup *p, struct edge_settings *settings); /* holds them */
