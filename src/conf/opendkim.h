/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "conf/snapshot.h"
/* An opendkim.conf(5) that was brought along (adopt.h), with opendkim_config. The keys it names are read
 * later, by master (role/dkim_files.h). */
#define OPENDKIM_USUAL "/etc/opendkim.conf"
void opendkim_adopt(struct conf *c);
