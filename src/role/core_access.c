/* SPDX-License-Identifier: Apache-2.0 */
/* What sessions of logged-in users go by: a reload that changes it makes another, sessions under way keep theirs. */
#include "access/pop3/session.h"
#include "base/fail.h"
#include "role/core_extract.h"
#include "role/core_present.h"
#include "role/core_private.h"
#include "role/settings.h"

/* A prefix ends with the delimiter. */
static struct slice prefix_of(struct slice said, struct arena *mem) {
	return said.len == 0 || slice_ends(said, S("/")) ? arena_slice(mem, said)
							 : arena_fmt(mem, "%.*s/", SLICE_ARG(said));
}

static bool same_imap(const struct imap_session_params *a, const struct imap_session_params *b) {
	return a->message_limit == b->message_limit && a->idle_limit == b->idle_limit &&
	       a->progress_interval == b->progress_interval && strcmp(a->host, b->host) == 0 &&
	       slice_eq(a->shared_prefix, b->shared_prefix) && slice_eq(a->public_prefix, b->public_prefix) &&
	       slice_eq(a->public_account, b->public_account) && a->acl_anyone == b->acl_anyone &&
	       slice_eq(a->masters, b->masters) && slice_eq(a->discard, b->discard) &&
	       a->command_messages == b->command_messages && a->command_saves == b->command_saves &&
	       memcmp(a->quota_levels, b->quota_levels, sizeof a->quota_levels) == 0;
}

static void set_imap(struct core *c, const struct conf_view *v) {
	struct arena mem = { 0 };
	const char *host = arena_text(&mem, conf_text(v, SET_myhostname));
	struct search_index *index = c->indexing ? c->index : NULL;
	int64_t progress = conf_time_ms(v, SET_imapd_progress_interval);
	struct imap_session_params p = {
		.spool_dir = c->dir,
		.host = host,
		.message_limit = conf_size(v, SET_message_size_limit),
		.idle_limit = conf_time_ms(v, SET_imapd_idle_timeout),
		.shared_prefix = prefix_of(conf_text(v, SET_imapd_shared_prefix), &mem),
		.public_prefix = prefix_of(conf_text(v, SET_imapd_public_prefix), &mem),
		.public_account = conf_text(v, SET_imapd_public_account),
		.acl_anyone = conf_bool(v, SET_imapd_acl_anyone),
		.command_messages = (uint64_t)conf_number(v, SET_imapd_message_limit),
		.command_saves = (uint64_t)conf_number(v, SET_imapd_save_limit),
		.progress_interval = progress != 0 ? progress : -1,
		.masters = conf_text(v, SET_auth_master_users),
		.discard = conf_text(v, SET_imapd_discard_capabilities),
	};
	care_levels(v, p.quota_levels);
	if (c->imap == NULL || c->imap->index != index || !same_imap(&c->imap->params, &p)) {
		struct imap_context *fresh = arena_get(&c->contexts, sizeof *fresh);
		struct slice *const texts[] = { &p.shared_prefix, &p.public_prefix, &p.public_account, &p.masters,
						&p.discard };
		for (size_t i = 0; i < LEN(texts); i++) *texts[i] = arena_slice(&c->contexts, *texts[i]);
		p.host = arena_text(&c->contexts, slice_of(p.host));
		*fresh = (struct imap_context){ .db = c->db,
						.hub = c->hub,
						.index = index,
						.rows = c->rows,
						.params = p,
						.presence = c->presence };
		c->imap = fresh;
	}
	arena_done(&mem);
}

static void set_pop3(struct core *c, const struct conf_view *v) {
	const char *format = conf_text(v, SET_pop3d_uidl_format).at;
	struct pop3_session_params p = {
		.idle_limit = conf_time_ms(v, SET_pop3d_idle_timeout),
		.login_delay_s = (unsigned)(conf_time_ms(v, SET_pop3d_login_delay) / 1000),
		.no_flag_updates = conf_bool(v, SET_pop3d_no_flag_updates),
		.uidl_format = format != NULL && pop3_uidl_good(format) ? format : NULL,
	};
	if (p.uidl_format == NULL)
		say(L_WARN, "core",
		    "pop3d_uidl_format: not understood, the usual form is taken (%%u must be in it; %%v, %%Xu, %%08Xv "
		    "may be)");
	const struct pop3_session_params *old = c->pop3 != NULL ? &c->pop3->params : NULL;
	if (old != NULL && old->idle_limit == p.idle_limit && old->login_delay_s == p.login_delay_s &&
	    old->no_flag_updates == p.no_flag_updates && slice_eq(slice_of(old->uidl_format), slice_of(p.uidl_format)))
		return;
	struct pop3_context *x = arena_get(&c->contexts, sizeof *x);
	if (p.uidl_format != NULL) p.uidl_format = arena_text(&c->contexts, slice_of(p.uidl_format));
	*x = (struct pop3_context){ .db = c->db, .drops = c->drops, .params = p, .presence = c->presence };
	c->pop3 = x;
}

static void set_index(struct core *c, const struct conf_view *v) {
	bool wanted = conf_bool(v, SET_search_index) && c->index != NULL;
	if (c->index != NULL) extracting_set(c->index, v, c->agent, &c->contexts, &c->extracting);
	if (c->index != NULL && search_index_start(c->index, wanted) < 0) say(L_WARN, "core", "%s", fail_text());
	c->indexing = wanted;
	c->admin.index = wanted ? c->index : NULL;
}

void core_access_set(struct core *c, const struct conf_view *v) {
	set_index(c, v);
	set_imap(c, v);
	set_pop3(c, v);
}
