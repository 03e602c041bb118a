/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "conf/conf.h"
#include "trust/srs.h"
/* srs_domain, or what stands for it; empty: this host has no name that others could find. */
struct slice srs_domain_of(const struct conf_view *v);
/* srs_…: text in mem. NULL: srs = no, or there is no domain or secret for it (told in the log). The file of secrets is
 * made where none is named, with an owner and a mode that leave it to the owner of the data folder. */
const struct srs_params *srs_settings_make(const struct conf_view *v, struct arena *mem);
