/* SPDX-License-Identifier: Apache-2.0 */
#include "role/agent_settings.h"
#include "role/routing_settings.h"
#include "base/fail.h"
#include "base/log.h"
#include "conf/value.h"
#include "role/data.h"
#include "role/settings.h"

#include <sys/stat.h>

enum { FORBIDDEN_MAX = CHILDREN + 2 };

static void destroy(struct generation *g) {
	struct agent_settings *s = (struct agent_settings *)g;
	tables_free(&s->tables);
	conf_drop(&s->conf);
	arena_done(&s->mem);
	free(s);
}

static enum agent_kind kind_of(const struct conf_service *cs) {
	static const struct {
		struct slice word;
		enum agent_kind kind;
	} commands[] = { { S("local"), AGENT_LOCAL }, { S("virtual"), AGENT_VIRTUAL }, { S("pipe"), AGENT_PIPE },
			 { S("spawn"), AGENT_SPAWN } };
	for (size_t i = 0; i < LEN(commands); i++)
		if (slice_eq(cs->command, commands[i].word)) return commands[i].kind;
	return AGENT_NONE;
}

static bool listed(const struct conf_view *v, enum setting_id id, const char *word) {
	size_t n;
	const struct slice *list = conf_list(v, id, &n);
	for (size_t i = 0; i < n; i++)
		if (slice_same(list[i], slice_of(word))) return true;
	return false;
}

/* <0: a table of the list is none. */
static int open_maps(struct agent_settings *s, const struct conf_view *v, enum setting_id id, struct lookup *out) {
	size_t n;
	const struct slice *names = conf_list(v, id, &n);
	return lookup_open(s->tables, names, n, 0, &s->mem, out) == TABLE_FOUND ? 0
										: fail_add("%s", setting_of(id)->name);
}

static struct mbox_locks locks_of(const struct conf_view *v, enum setting_id id) {
	return (struct mbox_locks){
		.fcntl = listed(v, id, "fcntl") || listed(v, id, "lockf"),
		.flock = listed(v, id, "flock"),
		.dotlock = listed(v, id, "dotlock"),
		.attempts = (unsigned)conf_number(v, SET_deliver_lock_attempts),
		.delay_ms = conf_time_ms(v, SET_deliver_lock_delay),
		.stale_s = conf_time_ms(v, SET_stale_lock_time) / 1000,
	};
}

/* NAME_time_limit, or command_time_limit. */
static int64_t time_limit(const struct conf_view *v, struct slice service) {
	AUTO_BUF struct buf name = BUF(512);
	struct slice text;
	int64_t ms;
	buf_addf(&name, "%.*s_time_limit", SLICE_ARG(service));
	if (conf_text_named(v, buf_slice(&name), &text) && time_read(text, 's', &ms)) return ms;
	return conf_time_ms(v, SET_command_time_limit);
}

static bool owns_aliases(void *ctx, uid_t uid) {
	const struct agent_settings *s = ctx;
	struct stat st;
	for (const char **file = s->alias_files; uid != 0 && *file != NULL; file++)
		if (stat(*file, &st) == 0 && st.st_uid == uid) return true;
	return false;
}

/* The files behind "hash:/etc/aliases", "/etc/aliases". */
static void find_alias_files(struct agent_settings *s) {
	size_t n, count = 0;
	const struct slice *maps = conf_list(conf_main(s->conf), SET_alias_maps, &n);
	s->alias_files = arena_array(&s->mem, n + 1, sizeof *s->alias_files);
	for (size_t i = 0; i < n; i++) {
		struct slice path = slice_skip(maps[i], slice_find(maps[i], '/'));
		if (path.len != 0) s->alias_files[count++] = arena_text(&s->mem, path);
	}
}

static struct exported exported_of(const struct agent_settings *s, const struct conf_view *v) {
	struct exported x = { .conf_dir = conf_dir(s->conf) };
	x.words = conf_list(v, SET_export_environment, &x.count);
	return x;
}

static int make_local(struct agent_settings *s, const struct conf_view *v, struct local_params *p) {
	*p = (struct local_params){
		.host = conf_text(v, SET_myhostname),
		.delimiters = conf_text(v, SET_recipient_delimiter),
		.destinations = conf_domains(v, SET_mydestination),
		.queue_directory = conf_text(v, SET_queue_directory),
		.exported = exported_of(s, v),
		.forward_path = conf_text(v, SET_forward_path),
		.forward_filter = conf_text(v, SET_forward_expansion_filter),
		.forward_commands = listed(v, SET_allow_mail_to_commands, "forward"),
		.forward_files = listed(v, SET_allow_mail_to_files, "forward"),
		.include_commands = listed(v, SET_allow_mail_to_commands, "include"),
		.include_files = listed(v, SET_allow_mail_to_files, "include"),
		.delivered_command = listed(v, SET_prepend_delivered_header, "command"),
		.delivered_file = listed(v, SET_prepend_delivered_header, "file"),
		.delivered_forward = listed(v, SET_prepend_delivered_header, "forward"),
		.original_header = conf_bool(v, SET_enable_original_recipient),
		.home_needed = conf_bool(v, SET_require_home_directory),
		.owner_needed = conf_bool(v, SET_strict_mailbox_ownership),
		.transport = conf_text(v, SET_mailbox_transport),
		.fallback = conf_text(v, SET_fallback_transport),
		.luser_relay = conf_text(v, SET_luser_relay),
		.command = conf_text(v, SET_mailbox_command),
		.shell = conf_text(v, SET_local_command_shell),
		.command_filter = conf_text(v, SET_command_expansion_filter),
		.folder = conf_text(v, SET_command_execution_directory),
		.folder_filter = conf_text(v, SET_execution_directory_expansion_filter),
		.command_ms = conf_time_ms(v, SET_command_time_limit),
		.home_mailbox = conf_text(v, SET_home_mailbox),
		.spool = conf_text(v, SET_mail_spool_directory),
		.locks = locks_of(v, SET_mailbox_delivery_lock),
		.size_limit = conf_size(v, SET_mailbox_size_limit),
		.owns_aliases = owns_aliases,
		.ctx = s,
	};
	struct slice others = conf_text(v, SET_default_privs);
	if (rights_find(others, &s->mem, &p->others) != RIGHTS_OK || p->others.uid == 0) {
		p->others = (struct rights){ 0 };
		say(L_WARN, "local", "default_privs = %.*s: %s", SLICE_ARG(others),
		    "names no user, or root: commands and files of aliases wait");
	}
	if (open_maps(s, v, SET_mailbox_transport_maps, &p->transport_maps) < 0 ||
	    open_maps(s, v, SET_fallback_transport_maps, &p->fallback_maps) < 0)
		return -1;
	return open_maps(s, v, SET_mailbox_command_maps, &p->command_maps);
}

static int make_virtual(struct agent_settings *s, const struct conf_view *v, struct virtual_params *p) {
	*p = (struct virtual_params){
		.host = conf_text(v, SET_myhostname),
		.delimiters = conf_text(v, SET_recipient_delimiter),
		.base = conf_text(v, SET_virtual_mailbox_base),
		.least_uid = (uint64_t)conf_number(v, SET_virtual_minimum_uid),
		.size_limit = conf_size(v, SET_virtual_mailbox_limit),
		.locks = locks_of(v, SET_virtual_mailbox_lock),
		.original_header = conf_bool(v, SET_enable_original_recipient),
		.owner_needed = conf_bool(v, SET_strict_mailbox_ownership),
	};
	if (open_maps(s, v, SET_virtual_mailbox_maps, &p->mailboxes) < 0 ||
	    open_maps(s, v, SET_virtual_uid_maps, &p->uids) < 0)
		return -1;
	return open_maps(s, v, SET_virtual_gid_maps, &p->gids);
}

/* The arguments with $parameters of main.cf left as they are: pipe's own macros look the same. */
static int make_program(struct agent_settings *s, const struct conf_service *cs, const struct conf_view *v,
			struct agent_service *sv) {
	const char **forbidden = arena_array(&s->mem, FORBIDDEN_MAX, sizeof *forbidden);
	size_t n = 0;
	for (size_t i = 0; i < CHILDREN; i++)
		if (data_users[i] != NULL) forbidden[n++] = data_users[i];
	forbidden[n] = conf_text(v, SET_mail_owner).at;
	sv->forbidden = forbidden;
	sv->pipe = (struct pipe_params){ .service = sv->name,
					 .queue_directory = conf_text(v, SET_queue_directory),
					 .exported = exported_of(s, v),
					 .delimiters = conf_text(v, SET_recipient_delimiter),
					 .limit_ms = time_limit(v, cs->name) };
	sv->process_limit = (size_t)(cs->maxproc >= 0 ? cs->maxproc : conf_number(v, SET_default_process_limit));
	return program_parse(cs->args, cs->args_count, sv->kind == AGENT_PIPE, &s->mem, &sv->pipe.program);
}

/* Debian's master.cf has services for users that few machines have: that is told when mail wants one of them. */
int agent_program(const struct agent_service *sv, struct arena *mem, struct pipe_params *out) {
	struct pipe_params p = sv->pipe;
	if (sv->broken != NULL) return fail("%s", sv->broken);
	if (program_user(&p.program, sv->forbidden, mem) < 0) return -1;
	*out = p;
	return 0;
}

/* local_delivery_status_filter and its like. */
static void make_filter(struct agent_settings *s, const struct conf_view *v, struct agent_service *sv) {
	enum setting_id id = sv->kind == AGENT_LOCAL ? SET_local_delivery_status_filter
		: sv->kind == AGENT_VIRTUAL          ? SET_virtual_delivery_status_filter
						     : SET_pipe_delivery_status_filter;
	sv->status_filter = tables_of_list(s->tables, v, id, 0, &s->mem);
}

static void make_service(struct agent_settings *s, const struct conf_service *cs) {
	static const char *const words[] = { "", "local", "virtual", "pipe", "spawn" };
	struct agent_service *sv = &s->services[cs->index];
	sv->kind = kind_of(cs);
	if (sv->kind == AGENT_NONE) return;
	const struct conf_view *v = conf_service_view(s->conf, cs);
	sv->name = arena_text(&s->mem, cs->name);
	sv->log_name = words[sv->kind];
	make_filter(s, v, sv);
	int r = sv->kind == AGENT_LOCAL	    ? make_local(s, v, &sv->local)
		: sv->kind == AGENT_VIRTUAL ? make_virtual(s, v, &sv->virtual_)
					    : make_program(s, cs, v, sv);
	if (r == 0) return;
	sv->broken = arena_text(&s->mem, slice_of(fail_text()));
	say(L_ERROR, "agent", "master.cf, line %u: service %s: %s", cs->where.line, sv->name, sv->broken);
}

/* Those that every Postfix has, where master.cf leaves them out. */
static const struct agent_service always[] = {
	{ .name = "local", .log_name = "local", .kind = AGENT_LOCAL },
	{ .name = "virtual", .log_name = "virtual", .kind = AGENT_VIRTUAL },
};

static void make_always(struct agent_settings *s, const struct agent_service *which) {
	struct agent_service *sv = &s->services[s->count++];
	const struct conf_view *v = conf_main(s->conf);
	*sv = *which;
	make_filter(s, v, sv);
	int r = sv->kind == AGENT_LOCAL ? make_local(s, v, &sv->local) : make_virtual(s, v, &sv->virtual_);
	if (r < 0) sv->broken = arena_text(&s->mem, slice_of(fail_text()));
	if (r < 0) say(L_ERROR, "agent", "service %s: %s", sv->name, sv->broken);
}

static int make_extract(struct agent_settings *s, const struct conf_view *v) {
	struct extract_program *p = &s->extract;
	struct slice rest = conf_text(v, SET_search_text_program), user = conf_text(v, SET_search_text_user);
	const char **argv = arena_array(&s->mem, rest.len / 2 + 2, sizeof *argv);
	size_t argc = 0;
	for (struct slice word; (word = slice_word(&rest, " \t\r\n")).len != 0;)
		argv[argc++] = arena_text(&s->mem, word);
	if (argc == 0) return 0;
	if (argv[0][0] != '/') return fail("%s: has to be an absolute path", argv[0]);
	p->argv = argv;
	p->limit_ms = MAX_OF(INT64_C(1000), MIN_OF(conf_time_ms(v, SET_search_text_time_limit), INT64_C(100000)));
	p->memory_limit = (uint64_t)conf_size(v, SET_search_text_memory_limit);
	p->text_limit = (size_t)MIN_OF((uint64_t)conf_size(v, SET_search_text_size_limit),
				       UINT64_C(16) << 20); /* EXTRACT_MOST of the store, which agent does not know */
	int r = 0;
	if (user.len != 0 || geteuid() == 0)
		r = rights_find(user.len != 0 ? user : S("nobody"), &s->mem, &p->who);
	else
		p->who = (struct rights){ .uid = geteuid(), .gid = getegid() };
	if (r < 0) return r;
	if (r == RIGHTS_UNKNOWN) return fail("search_text_user: unknown username: %.*s", SLICE_ARG(user));
	if (geteuid() == 0 && p->who.uid == 0) return fail("search_text_user: must not be root");
	p->argc = argc;
	return 0;
}

struct agent_settings *agent_settings_make(struct boot *b) {
	struct agent_settings *s = mem_get(sizeof *s);
	s->generation.destroy = destroy;
	s->conf = TAKE(b->conf);
	s->tables = tables_new(&(struct table_params){
		.queue_directory = conf_text(conf_main(s->conf), SET_queue_directory).at,
		.socketmap_most = (size_t)conf_number(conf_main(s->conf), SET_socketmap_max_reply_size) });
	const struct conf_service *services = conf_services(s->conf, &s->count);
	s->services = arena_array(&s->mem, s->count + LEN(always), sizeof *s->services);
	find_alias_files(s);
	for (size_t i = 0; i < s->count; i++) make_service(s, &services[i]);
	for (size_t i = 0; i < LEN(always); i++)
		if (agent_service_find(s, slice_of(always[i].name)) == NULL) make_always(s, &always[i]);
	if (make_extract(s, conf_main(s->conf)) < 0) {
		s->extract_broken = arena_text(&s->mem, slice_of(fail_text()));
		say(L_ERROR, "agent", "search_text_program: %s", s->extract_broken);
	}
	return s;
}

const struct agent_service *agent_service_find(const struct agent_settings *s, struct slice name) {
	for (size_t i = 0; i < s->count; i++) {
		const struct agent_service *sv = &s->services[i];
		if (sv->kind != AGENT_NONE && sv->kind != AGENT_SPAWN && slice_eq(name, slice_of(sv->name))) return sv;
	}
	return NULL;
}
