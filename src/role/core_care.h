/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "conf/conf.h"
#include "flow/warn.h"
#include "store/autoexpunge.h"
#include "user/user.h"
/* What core does for accounts now and then, beside everything else: writes down who logged in, warns of full accounts,
 * takes away what is old. */
struct care_settings {
	struct warn_params warn;
	struct autoexpunge_rule rules[2];
	struct slice masters;          /* auth_master_users */
	struct slice separator;        /* auth_master_user_separator */
};
void care_settings_make(struct care_settings *out, const struct conf_view *v, struct deliver_params *deliver);
void care_levels(const struct conf_view *v, uint8_t levels[2]); /* quota_warning_levels */

struct logins;
struct logins *logins_new(void);
void logins_free(struct logins **l);
/* From any thread; costs no disk. */
void logins_note(struct logins *l, int64_t account, const char *protocol, struct slice remote);
int logins_flush(struct logins *l, struct db *db);

/* Every some seconds; hourly: also what is done once in an hour. Says in the log what goes wrong. */
void care_step(const struct care_settings *s, const struct deliver_params *deliver, struct db *db, bool hourly);

/* "ann@example.com*admin@example.com" taken apart, where the second is an administrator. False: no such thing. */
bool care_master(const struct care_settings *s, struct slice login, struct slice *user, struct slice *master);
bool care_is_master(const struct care_settings *s, struct slice address);
