/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "conf/conf.h"
#include "flow/ask.h"
#include "store/search_index.h"
/* The text of attachments: what the search index has made by search_text_program, through the agent. */
struct extracting; /* NULL: no program is set */
/* Where the settings differ from *now the index was stopped, has the new ones and is to be started again. What mem
 * holds lives as long as the index. */
void extracting_set(struct search_index *x, const struct conf_view *v, struct link *agent, struct arena *mem,
		    const struct extracting **now);
