/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/slice.h"
/* Addresses that core said are ours, or (another one of these) lead elsewhere, remembered by edge for two seconds: a
 * burst of mail to one address asks once. Only yes is remembered, and only for the door: who takes the message routes
 * it again. All is forgotten when `version` changes, a number in memory shared with core, which counts reloads and the
 * operator's changes to accounts, aliases and domains there. Thread-safe; bounded. */
struct known;
struct known *known_new(const _Atomic uint64_t *version) NONNULL_RESULT;
void known_free(struct known **k);
bool known_has(struct known *k, struct slice address);
/* version: known_version before core was asked, so that a change meanwhile is not missed. */
uint64_t known_version(const struct known *k);
void known_add(struct known *k, struct slice address, uint64_t version);
