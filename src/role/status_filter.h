/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "conf/lookup.h"
/* default_delivery_status_filter and its kin (postconf(5)): "4.7.1 host … said: …" is looked up, and what is found
 * stands in its place: another status and text. The kind stays: what was delivered cannot be undone, what was not
 * cannot be made so; 4 and 5 may change into each other. tag is for the log. True: *status and *text are others now. */
bool status_filter_apply(const struct lookup *filter, const char *tag, struct slice *status, struct slice *text,
			 struct arena *mem);
