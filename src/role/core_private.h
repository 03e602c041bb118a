/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Inside of core: what its files share. core.c starts, reloads and stops it. */
#include "role/boot.h"
#include "role/core_care.h"
#include "role/routing_settings.h"

struct core_settings {
	struct flow_settings flow; /* first: a hold on it is a hold on all */
	struct conf *conf;
	struct arena mem;
	struct routing_settings routing;
	int64_t history_us;
	struct care_settings care;
	const struct submitters *look, *flush; /* authorized_mailq_users, authorized_flush_users */
};

struct core {
	struct task chores; /* what must be done now and then */
	int64_t purge_at;
	char *dir;
	struct shared *shared;
	struct db *db;
	struct change_hub *hub;
	struct search_index *index; /* NULL: its file cannot be made */
	const struct extracting *extracting; /* NULL: no text of attachments */
	bool indexing;
	struct queue *queue;
	struct history_log *history;
	struct pool *pool;     /* questions, the queue, chores: short work */
	struct pool *sessions; /* users who have logged in: one who reads slowly may hold a worker, but never mail that
				  comes in */
	struct link *vault, *relay, *agent;
	struct sender *sender;
	struct verifier *verifier;
	struct reporter *reporter;
	struct logins *logins;
	struct notice_memory *notices;
	struct current settings;
	struct arena contexts; /* of IMAP sessions: a reload that changes them makes another, sessions keep theirs */
	const struct imap_context *_Atomic imap;
	const struct pop3_context *_Atomic pop3;
	struct pop3_drops *drops;
	struct presence *presence;
	struct rows *rows; /* of large mailboxes, for all sessions */
	struct admin admin;
	struct link_service to_edge, to_operator, to_users;
	int dials[LINK_NAMES], control, door;
};

static inline struct core_settings *core_hold(struct core *c) {
	return (struct core_settings *)current_hold(&c->settings);
}
static inline void core_drop(struct core_settings *s) {
	generation_drop(&s->flow.generation);
}

/* core_edge.c, core_operator.c: who may ask what */
struct link_service core_for_edge(struct core *c), core_for_operator(struct core *c), core_for_users(struct core *c);
extern const struct admin_ops core_admin_ops; /* ctx: the core */
void core_make_dkim_keys(void *core);

void core_access_set(struct core *c, const struct conf_view *v); /* core_access.c: IMAP, POP3, the search index */
