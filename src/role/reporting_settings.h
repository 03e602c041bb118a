/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "conf/conf.h"
#include "flow/send.h"
/* The settings of reports, in and out (flow/reporting.h): fills s->reporting and what s->deliver needs of it. */
void reporting_settings_make(const struct conf *conf, struct flow_settings *s, struct arena *mem);
