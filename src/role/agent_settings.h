/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/generation.h"
#include "conf/lookup.h"
#include "local/deliver.h"
#include "local/extract.h"
#include "local/pipe.h"
#include "local/virtual.h"
#include "role/boot.h"
/* What the agent needs of the settings, made once for each generation of them: one entry for each line of master.cf
 * that it serves, and local and virtual where it has none. A line that cannot be served is kept with the reason: its
 * mail waits. Whether user= of a program names somebody is asked for each message: he may come to be later. */
struct agent_service {
	enum agent_kind { AGENT_NONE, AGENT_LOCAL, AGENT_VIRTUAL, AGENT_PIPE, AGENT_SPAWN } kind;
	const char *name, *log_name;
	const char *broken;  /* why not; NULL: all is well */
	union {
		struct local_params local;
		struct virtual_params virtual_;
		struct pipe_params pipe; /* spawn too */
	};
	struct lookup status_filter;
	const char *const *forbidden; /* names that must not be user= of a program; NULL behind the last */
	size_t process_limit;         /* of spawn: maxproc; 0: none */
};
struct agent_settings {
	struct generation generation;
	struct conf *conf;
	struct arena mem;
	struct tables *tables;
	struct agent_service *services; /* by index in conf_services */
	size_t count;
	const char **alias_files;       /* of alias_maps; NULL behind the last */
	struct extract_program extract; /* argc 0: none, or */
	const char *extract_broken;     /* why not */
};
/* Takes b->conf over. Never fails as a whole. */
struct agent_settings *agent_settings_make(struct boot *b) NONNULL_RESULT;
/* The service that a transport's name means; NULL: there is none that the agent serves. */
const struct agent_service *agent_service_find(const struct agent_settings *s, struct slice name);
/* The program of a pipe or spawn service with its user as he is now, in mem. <0: fail() says why it must not run. */
int agent_program(const struct agent_service *sv, struct arena *mem, struct pipe_params *out);
