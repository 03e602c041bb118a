/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "conf/conf.h"
/* The master process: reads the settings, binds ports, reads certificates, starts the four other roles, and starts them
 * again, with growing pauses, when they end. It parses nothing that came from a network.
 *
 * State in DATA/run: `lock` (held while the server runs, holds master's pid), `control` (the control socket, served by
 * core), `reload` (what became of the last reload), `spare` (data.h). */

/* Starts the server of c in the background and returns once every service listens: 0, or a sysexits code with the
 * reason on standard error. foreground: does not return before the server ends; the log goes to standard output. */
int master_start(struct conf *c, bool foreground);

/* The server that runs on this data directory. */
enum { MASTER_NOT_RUNNING = 1, MASTER_REFUSED };
int master_pid(const char *data_dir, pid_t *pid);      /* 0, MASTER_NOT_RUNNING, <0 */
int master_stop(const char *data_dir);                 /* waits until it has ended; the same results */
/* Asks for it and waits for the outcome. MASTER_REFUSED: fail_text() says by whom and why; all keep the old ones. */
int master_reload(const char *data_dir);
