/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "conf/conf.h"
#include "trust/evidence.h"
/* The settings of "Who sent it" as parameters, for the door and for `hato check-mail`; texts in mem. Without the public
 * suffix list (dmarc.psl), which whoever asks opens and keeps.
 * <0 fail(): a value that is none. */
int evidence_params_of(const struct conf_view *v, struct dns *dns, struct arena *mem, struct evidence_params *out);
