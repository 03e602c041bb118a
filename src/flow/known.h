/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/slice.h"
/* Addresses that core said are ours, remembered by edge for two seconds: a burst of mail to one address asks once. Only yes
 * is remembered, and only for the door: who takes the message routes it again. Thread-safe; bounded. */
struct known;
struct known *known_new(void) NONNULL_RESULT;
void known_free(struct known **k);
bool known_has(struct known *k, struct slice address);
void known_add(struct known *k, struct slice address);
