/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "conf/snapshot.h"
/* An opendmarc.conf(5) that was brought along (adopt.h), with opendmarc_config. Keys that mean nothing here are
 * accepted, keys that we cannot do are warned of, with the reason. */
#define OPENDMARC_USUAL "/etc/opendmarc.conf"
void opendmarc_adopt(struct conf *c);
