/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "conf/table/database.h"
/* TEMPLATE_SKIP: the key (or value) lacks a part that is asked for. TEMPLATE_BAD: an unknown %letter. value NULL: %s is
 * the key's as well, as in a query. */
enum template_result { TEMPLATE_DONE, TEMPLATE_SKIP, TEMPLATE_BAD, TEMPLATE_LONG };
int template_expand(struct slice template, struct slice key, const struct slice *value, quote_text *quote, void *ctx,
		    struct buf *out);
