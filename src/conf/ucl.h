/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/slice.h"
/* rspamd's settings (UCL), as far as its dkim_signing.conf has keys in it. Whatever block has a path and a selector is
 * a key; the block's name before it, outside of lists, is its domain. Slices are of the text, borrowed for the call. */
struct ucl_key { struct slice domain, selector, path; };
void ucl_keys_each(struct slice text, void (*each)(void *ctx, const struct ucl_key *key), void *ctx);
