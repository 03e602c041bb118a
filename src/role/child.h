/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/log.h"
#include "role/boot.h"
#include "role/identity.h"
#include "role/listen.h"
/* The processes that master has started: one for each role; agent only once it is called, or where
 * master.cf has programs that strangers may start (spawn). */
enum { CHILD_VAULT, CHILD_RELAY, CHILD_CORE, CHILD_EDGE, CHILD_AGENT, CHILDREN };
struct child {
	const struct role *role;
	pid_t pid;            /* 0: not running */
	int control, files;   /* -1: none; files.h */
	bool ready;
	unsigned owed;        /* rounds it has not answered yet */
	int64_t started, restart_at; /* of the steady clock */
	unsigned falls;       /* ended soon after the start, in a row */
};
/* What every round of boot frames is made from. */
struct round {
	const struct conf *conf;
	const char *dir, *conf_dir;
	const struct listening *listening;
	const struct identities *identities;
	const struct log_target *log;
	int control_listener, queue_listener, submit_listener;
	int shared, shared_readable; /* the same memory; the second cannot be written */
	int (*links)[2];      /* by enum link_name: asker's end, answerer's end */
	const char *oauth2_secret;
	bool foreground;      /* children keep our standard output and error */
	const char *users[CHILDREN]; /* by child, "" or NULL: stay who we are */
};
/* Forks and executes this binary as the role; sends the first round. <0: cannot. */
int child_start(struct child *c, size_t which, const struct round *round);
/* Another round, to a running child: settings, sockets, certificates. */
void child_reload(struct child *c, size_t which, const struct round *round);
void child_stop(struct child *c); /* sends STOP */
/* Reads one frame of a child: CONTROL_READY, CONTROL_FAILED (fail_text() says why), or 0 when it is gone. */
uint32_t child_answer(struct child *c);
/* Is this child needed with these settings? called: core has something for agent. */
bool child_wanted(size_t which, const struct conf *conf, bool called);
