/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "conf/conf.h"
#include "flow/signing.h"
#include "net/dns.h"
#include "net/pool.h"
/* The signing settings of a way out. */
void signing_settings_make(const struct conf_view *v, size_t line_limit, const char *tag, struct arena *mem,
			   struct signing_params *out);

/* Looks now and then whether the records of new keys are in DNS, and tells vault. */
struct key_watch;
struct key_watch *key_watch_start(struct pool *pool, struct dns *dns, struct link *vault) NONNULL_RESULT;
void key_watch_set(struct key_watch *w, int64_t every_ms); /* after a reload */
