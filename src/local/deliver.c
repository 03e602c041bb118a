/* SPDX-License-Identifier: Apache-2.0 */
/* The order of steps is Postfix's, because people have built on it: a .forward beats mailbox_command, which beats
 * home_mailbox. Decisions are made here; what touches a user's files is done by a process that has become him. */
#include "local/deliver.h"
#include "base/fail.h"
#include "base/log.h"
#include "local/own.h"
#include "mime/address.h"

#include <sys/stat.h>

struct at_work {
	const struct local_params *p;
	const struct local_message *m;
	const struct local_recipient *to;
	struct arena *mem;
	struct names names;
	struct rights who; /* uid and gid of nobody but him; known is true */
	bool known;
	struct local_outcome *out;
};

static void said(struct at_work *w, const char *status, const char *text, struct slice what) {
	*w->out = local_said(w->mem, status, "%s%.*s", text, SLICE_ARG(what));
}

static void redirect_to(struct at_work *w, enum local_target_kind kind, struct slice text) {
	struct local_target *one = arena_get(w->mem, sizeof *one);
	*one = (struct local_target){ kind, text };
	*w->out = (struct local_outcome){ .fate = LOCAL_REDIRECTED,
					  .prepend = w->p->delivered_forward && kind == TARGET_ADDRESS,
					  .targets = one,
					  .targets_count = 1 };
}

/* A table, when there is one: true with the value. *out is set when it cannot be asked. */
static bool found_in(struct at_work *w, const struct lookup *l, struct slice *value, bool *failed) {
	struct lookup_hit hit = { 0 };
	if (l->count == 0) return false;
	int r = lookup_address(l, w->names.local, LOOKUP_NAME, w->p->delimiters, true, w->mem, &hit);
	if (r == TABLE_FOUND && hit.value.len != 0) {
		*value = hit.value;
		return true;
	}
	if (r == TABLE_FOUND || r == TABLE_MISSING) return false;
	said(w, "4.3.0", "table lookup problem: ", slice_of(fail_text()));
	*failed = true;
	return false;
}

/* The table's answer, else the setting; false when neither says anything. */
static bool chosen(struct at_work *w, const struct lookup *l, struct slice setting, struct slice *value, bool *failed) {
	if (found_in(w, l, value, failed)) return true;
	*value = setting;
	return !*failed && setting.len != 0;
}

static struct slice delivered_to(const struct local_recipient *to) {
	return to->delivered.len != 0 ? to->delivered : to->address;
}

static struct placing place_of(struct at_work *w, const struct rights *who, unsigned flags, bool delivered) {
	if (w->p->original_header) flags |= COPY_ORIGINAL;
	if (delivered && !w->to->named) flags |= COPY_DELIVERED;
	return (struct placing){
		.who = who,
		.copy = { .message = w->m,
			  .sender = w->m->sender,
			  .original = w->to->original.len != 0 ? w->to->original : w->to->address,
			  .delivered = delivered_to(w->to),
			  .below = w->to->below,
			  .flags = flags,
			  .date = copy_date(w->mem, wall_s()) },
		.file_limit = w->p->size_limit,
	};
}

/* Commands. */

static void add_message(struct environment *e, const struct local_message *m, const char *filter) {
	const struct local_client *c = &m->client;
	const struct {
		const char *name;
		struct slice value;
	} all[] = {
		{ "CLIENT_HOSTNAME", c->name },      { "CLIENT_ADDRESS", c->address },       { "CLIENT_HELO", c->helo },
		{ "CLIENT_PROTOCOL", c->protocol },  { "SASL_METHOD", c->sasl_method },
		{ "SASL_USERNAME", c->sasl_username }, { "SASL_SENDER", c->sasl_sender },
		{ "ENVID", m->envid },
	};
	for (size_t i = 0; i < LEN(all); i++)
		if (all[i].value.len != 0) environment_add(e, all[i].name, all[i].value, filter);
}

static char *const *environment_of(struct at_work *w, const struct rights *who) {
	struct environment e;
	const char *filter = arena_text(w->mem, w->p->command_filter);
	environment_begin(&e, w->mem, &w->p->exported);
	if (who->shell.len != 0) environment_add(&e, "SHELL", who->shell, filter);
	if (who->home.len != 0) environment_add(&e, "HOME", who->home, filter);
	/* the recipient, whoever has these rights (local(8)) */
	environment_add(&e, "LOGNAME", w->names.user, filter);
	environment_add(&e, "USER", w->names.user, filter);
	if (w->names.extension.len != 0) environment_add(&e, "EXTENSION", w->names.extension, filter);
	if (w->names.domain.len != 0) environment_add(&e, "DOMAIN", w->names.domain, filter);
	environment_add(&e, "LOCAL", w->names.local, filter);
	environment_add(&e, "RECIPIENT", w->to->address, filter);
	environment_add(&e, "ORIGINAL_RECIPIENT", w->to->original.len != 0 ? w->to->original : w->to->address, filter);
	environment_add(&e, "SENDER", w->m->sender.len != 0 ? w->m->sender : S("MAILER-DAEMON"), filter);
	add_message(&e, w->m, filter);
	return e.at;
}

static void to_command(struct at_work *w, const struct rights *who, struct slice text, bool delivered) {
	struct arena *mem = w->mem;
	if (who->uid == 0) who = &w->p->others;
	if (who->uid == 0) {
		said(w, "4.3.5", "default_privs names no user of this machine: ", text);
		return;
	}
	AUTO_BUF struct buf folder = BUF(PATH_MAX);
	const char *folder_filter = w->p->folder_filter.len != 0 ? arena_text(mem, w->p->folder_filter) : NULL;
	if (names_expand(&w->names, w->p->folder, folder_filter, &folder) < 0) {
		said(w, "4.3.5", "command_execution_directory: ", slice_of(fail_text()));
		return;
	}
	const char *where = folder.len != 0 ? buf_text(&folder) : arena_text(mem, w->p->queue_directory);
	if (folder.len == 0 && access(where, X_OK) != 0) where = "/";
	const char *const *args = NULL;
	if (w->p->shell.len != 0) { /* local_command_shell: words, then -c and the command come behind */
		struct slice rest = w->p->shell, word;
		const char **list = arena_array(mem, w->p->shell.len + 3, sizeof *list);
		size_t n = 0;
		while ((word = slice_word(&rest, " \t")).len != 0) list[n++] = arena_text(mem, word);
		list[n++] = arena_text(mem, text);
		args = list;
	}
	struct command c = { .text = args == NULL ? arena_text(mem, text) : NULL,
			     .args = args,
			     .folder = where,
			     .environment = environment_of(w, who),
			     .limit_ms = w->p->command_ms };
	struct placing place = place_of(w, who, COPY_FROM | COPY_RETURN_PATH, delivered);
	place.done = arena_fmt(mem, "delivered to command: %.*s", SLICE_ARG(text));
	place_command(&place, &c, mem, w->out);
}

/* Files. */

static void to_file(struct at_work *w, const struct rights *who, struct slice path) {
	struct arena *mem = w->mem;
	struct stat st;
	char *text = arena_text(mem, path);
	if (who->uid == 0) who = &w->p->others;
	if (who->uid == 0) {
		said(w, "4.3.5", "default_privs names no user of this machine: ", path);
		return;
	}
	if (stat(text, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 0111) != 0) {
		said(w, "5.7.1", "file is executable", SLICE_NONE);
		return;
	}
	bool maildir = slice_ends(path, S("/"));
	struct placing place =
		place_of(w, who, maildir ? COPY_RETURN_PATH : COPY_FROM | COPY_RETURN_PATH | COPY_QUOTE | COPY_BLANK,
			 w->p->delivered_file);
	place.done = arena_fmt(mem, "delivered to file: %s", text);
	place.trouble = arena_fmt(mem, "cannot append message to file %s: ", text);
	if (maildir) {
		place_maildir(&place, &(struct maildir){ .path = text, .host = arena_text(mem, w->p->host) }, mem,
			      w->out);
		return;
	}
	struct mbox box = { .path = text, .locks = w->p->locks, .dotlock_may_fail = true, .may_be_special = true,
			    .uid = who->uid };
	place_mbox(&place, &box, mem, w->out);
}

/* The mailbox. */

static void to_maildir(struct at_work *w, struct slice path) {
	struct placing place = place_of(w, &w->who, COPY_RETURN_PATH, w->p->delivered_file);
	struct maildir dir = { .path = path.at, .host = arena_text(w->mem, w->p->host) };
	place.done = S("delivered to maildir");
	place.trouble = S("maildir delivery failed: ");
	place_maildir(&place, &dir, w->mem, w->out);
}

/* In the user's home everything is done by him. The spool belongs to root, or to a group: then with as much right as is
 * needed, and the file is given to him. */
static void to_mbox(struct at_work *w, struct slice path, struct slice spool) {
	struct stat st;
	struct rights who = w->who;
	struct mbox box = { .path = path.at, .locks = w->p->locks, .uid = who.uid, .gid = who.gid,
			    .strict = w->p->owner_needed };
	if (spool.len != 0 && geteuid() == 0 && stat(arena_text(w->mem, spool), &st) == 0 &&
	    (st.st_mode & S_IWOTH) == 0) {
		box.chown = (st.st_mode & S_IWGRP) == 0;
		who.gid = box.chown ? 0 : st.st_gid;
		if (box.chown) who.uid = 0;
	}
	const unsigned flags = COPY_FROM | COPY_RETURN_PATH | COPY_QUOTE | COPY_BLANK;
	struct placing place = place_of(w, &who, flags, w->p->delivered_file);
	place.done = S("delivered to mailbox");
	place.trouble =
		arena_fmt(w->mem, "cannot update mailbox %s for user %.*s. ", path.at, SLICE_ARG(w->names.user));
	place_mbox(&place, &box, w->mem, w->out);
}

static void to_own_mailbox(struct at_work *w) {
	struct slice box = w->p->home_mailbox, spool = w->p->spool, path;
	if (box.len != 0) path = arena_fmt(w->mem, "%.*s/%.*s", SLICE_ARG(w->who.home), SLICE_ARG(box));
	else if (slice_ends(spool, S("/")))
		path = arena_fmt(w->mem, "%.*s%.*s/", SLICE_ARG(spool), SLICE_ARG(w->who.name));
	else path = arena_fmt(w->mem, "%.*s/%.*s", SLICE_ARG(spool), SLICE_ARG(w->who.name));
	if (slice_ends(path, S("/"))) to_maildir(w, path);
	else to_mbox(w, path, box.len != 0 ? SLICE_NONE : spool);
}

/* mailbox_transport goes for all of this machine's names, users or not. True: *out is set. */
static bool by_transport(struct at_work *w, const struct lookup *maps, struct slice setting) {
	struct slice value;
	bool failed = false;
	if (!chosen(w, maps, setting, &value, &failed)) return failed;
	redirect_to(w, TARGET_TRANSPORT, value);
	return true;
}

static void to_mailbox(struct at_work *w) {
	struct slice value;
	bool failed = false;
	if (chosen(w, &w->p->command_maps, w->p->command, &value, &failed))
		to_command(w, &w->who, value, w->p->delivered_command);
	else if (!failed) to_own_mailbox(w);
}

static void to_unknown(struct at_work *w) {
	if (by_transport(w, &w->p->fallback_maps, w->p->fallback)) return;
	AUTO_BUF struct buf relay = BUF(LOCAL_TEXT_MAX);
	if (names_expand(&w->names, w->p->luser_relay, NULL, &relay) < 0) {
		said(w, "4.3.5", "luser_relay: ", slice_of(fail_text()));
		return;
	}
	struct slice target = slice_trim(arena_slice(w->mem, buf_slice(&relay)));
	if (target.len != 0 && !slice_same(target, w->to->address) && !slice_same(target, w->names.local)) {
		redirect_to(w, TARGET_ADDRESS, target);
		return;
	}
	*w->out = local_said(w->mem, "5.1.1", "unknown user: \"%.*s\"", SLICE_ARG(w->names.user));
}

/* The user's own forwarding, if it has a say. True: *out is set. */
static bool by_forward(struct at_work *w) {
	struct local_outcome found;
	own_forward(w->p, &w->names, &w->who, w->mem, &found);
	if (found.fate == LOCAL_DELIVERED) {
		if (found.text.len != 0)
			say(L_WARN, "local", "%.*s: %.*s", SLICE_ARG(w->m->queue_id), SLICE_ARG(found.text));
		return false;
	}
	const struct local_target *first = found.targets;
	if (found.fate == LOCAL_REDIRECTED && found.targets_count == 1 && first->kind != TARGET_ADDRESS) {
		if (first->kind == TARGET_MAILBOX) return false;
		if (first->kind == TARGET_COMMAND) to_command(w, &w->who, first->text, w->p->delivered_command);
		if (first->kind == TARGET_FILE) to_file(w, &w->who, first->text);
		return true;
	}
	found.rights = w->who.name;
	found.prepend = w->p->delivered_forward;
	*w->out = found;
	return true;
}

/* A target that was found earlier, by core in aliases(5) or by us in a ~/.forward. */

static bool still_wanted(struct at_work *w, const struct rights *owner, enum local_target_kind kind,
			 struct slice text) {
	struct local_outcome found;
	if (w->p->owns_aliases != NULL && w->p->owns_aliases(w->p->ctx, owner->uid)) return true;
	if (!w->known || owner->uid != w->who.uid) return false;
	own_forward(w->p, &w->names, &w->who, w->mem, &found);
	for (size_t i = 0; found.fate == LOCAL_REDIRECTED && i < found.targets_count; i++)
		if (found.targets[i].kind == kind && slice_eq(found.targets[i].text, text)) return true;
	return false;
}

static void to_target(struct at_work *w) {
	bool command = w->to->kind == LOCAL_COMMAND;
	struct slice text = w->to->target, owner = w->to->rights;
	struct rights who = w->p->others;
	if (text.len == 0 || (!command && text.at[0] != '/')) {
		said(w, "5.3.5", "broken target: ", text);
		return;
	}
	if (owner.len != 0) {
		int r = rights_find(owner, w->mem, &who);
		if (r < 0) said(w, "4.3.0", "user lookup error: ", slice_of(fail_text()));
		else if (r == RIGHTS_UNKNOWN) said(w, "5.3.5", "unknown owner of a command or file: ", owner);
		else if (!still_wanted(w, &who, command ? TARGET_COMMAND : TARGET_FILE, text))
			said(w, "5.7.1", "no longer a target of this user: ", text), r = -1;
		if (r != RIGHTS_OK) return;
	}
	if (command) to_command(w, &who, text, w->p->delivered_command);
	else to_file(w, &who, text);
}

/* Who is meant. False: *out says why not. */
static bool begin(struct at_work *w) {
	struct mailbox m = { 0 };
	enum address_answer kind = address_parse(w->to->address, ADDRESS_UTF8 | ADDRESS_LONG_LOCAL, w->mem, &m);
	if (kind == ADDRESS_BAD || kind == ADDRESS_EMPTY || m.local.len == 0) {
		said(w, "5.1.3", "bad address syntax: ", w->to->address);
		return false;
	}
	struct slice local = arena_lower(w->mem, m.local);
	size_t cut = local_extension(local, w->p->delimiters);
	struct slice extension = slice_skip(local, cut + 1);
	if (slice_find(extension, '/') < extension.len) extension = SLICE_NONE; /* it would name another folder */
	w->names = (struct names){ .user = slice_head(local, cut),
				   .local = local,
				   .extension = extension,
				   .domain = m.domain,
				   .recipient = w->to->address,
				   .delimiter = cut < local.len ? slice_from(local.at + cut, 1)
								: slice_head(w->p->delimiters, 1) };
	int r = rights_find(w->names.user, w->mem, &w->who);
	if (r < 0) {
		said(w, "4.3.0", "user lookup error: ", slice_of(fail_text()));
		return false;
	}
	w->known = r == RIGHTS_OK;
	w->names.home = w->who.home;
	w->names.shell = w->who.shell;
	return true;
}

void local_deliver(const struct local_params *p, const struct local_message *m, const struct local_recipient *to,
		   struct arena *mem, struct local_outcome *out) {
	struct at_work w = { .p = p, .m = m, .to = to, .mem = mem, .out = out };
	if (!begin(&w)) return;
	if (to->kind == LOCAL_COMMAND || to->kind == LOCAL_FILE) {
		to_target(&w);
		return;
	}
	bool plain = to->kind == LOCAL_MAILBOX;
	int looped = plain ? 0 : copy_has_delivered_to(m, delivered_to(to));
	if (looped == 0 && !plain && to->below.len != 0) looped = copy_has_delivered_to(m, to->below);
	if (looped != 0) {
		if (looped < 0) said(&w, "4.3.0", "", slice_of(fail_text()));
		else said(&w, "5.4.6", "mail forwarding loop for ", delivered_to(to));
		return;
	}
	if (w.known && !rights_within_reach(&w.who)) {
		*out = local_said(mem, "4.3.0", "cannot become user %.*s: hato was not started as root",
				  SLICE_ARG(w.who.name));
		return;
	}
	if (w.known && !plain && by_forward(&w)) return;
	if (by_transport(&w, &p->transport_maps, p->transport)) return;
	if (w.known) to_mailbox(&w);
	else to_unknown(&w);
}
