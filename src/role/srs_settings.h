/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "conf/conf.h"
#include "trust/srs.h"
/* srs_…: text in mem. NULL: srs = no, or there are no secrets (told in the log). The file of secrets is made where none is
 * named, with an owner and a mode that leave it to the owner of the data folder. */
const struct srs_params *srs_settings_make(const struct conf_view *v, struct arena *mem);
