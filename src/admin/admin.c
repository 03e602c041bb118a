/* SPDX-License-Identifier: Apache-2.0 */
/* The table is the whole truth about what may be asked: dispatch, options, numbers of arguments and help come from it.
 */
#include "admin/inside.h"
#include "admin/text.h"
#include "base/fail.h"

#include <sysexits.h>

#define SECRET_OPTIONS "password-stdin hash="
static const struct admin_verb verbs[] = {
	{ "account", "add", "NAME --password-stdin | --hash HASH | --no-login",
	  "make an account with its mailboxes; its domain becomes local", 1, 1, ADMIN_PASSWORD,
	  SECRET_OPTIONS " no-login", verb_account_add },
	{ "account", "del", "NAME [--yes]", "delete an account with all its mail", 1, 1, ADMIN_ASKS, "yes",
	  verb_account_delete },
	{ "account", "list", "[DOMAIN] [--json]", "list accounts with their size", 0, 1, 0, "json", verb_account_list },
	{ "account", "show", "NAME [--json]", "everything about one account", 1, 1, 0, "json", verb_account_show },
	{ "account", "stats", "[NAME] [--json]", "what accounts keep, and what could be brought back to them", 0, 1, 0,
	  "json", verb_account_stats },
	{ "account", "password", "NAME --password-stdin | --hash HASH", "set another password", 1, 1, ADMIN_PASSWORD,
	  SECRET_OPTIONS, verb_account_password },
	{ "account", "test", "NAME --password-stdin", "would this password let NAME in?", 1, 1, ADMIN_PASSWORD,
	  "password-stdin", verb_account_test },
	{ "account", "app-password", "add|delete ACCOUNT NAME | list ACCOUNT [--json]",
	  "passwords for single programs, made here and shown once; good for mail, not for changing anything", 2, 3, 0,
	  "json", verb_account_app_password },
	{ "account", "disable", "NAME", "no log-in and no new mail, until enabled again", 1, 1, 0, "",
	  verb_account_disable },
	{ "account", "enable", "NAME", "the opposite of disable", 1, 1, 0, "", verb_account_enable },
	{ "account", "quota", "NAME SIZE|none|unlimited [--messages N]", "limit what an account may keep", 2, 3, 0,
	  "messages=", verb_account_quota },
	{ "acl", "list", "ACCOUNT [MAILBOX] [--json]", "who else has rights in the mailboxes of an account", 1, 2, 0,
	  "json", verb_acl_list },
	{ "acl", "set", "ACCOUNT MAILBOX WHO RIGHTS",
	  "give rights (lrswipkxtea, or read, write, all; +l adds, ~l takes away) to an address, a $group, anyone", 4,
	  4, 0, "", verb_acl_set },
	{ "acl", "del", "ACCOUNT MAILBOX WHO", "take all rights away", 3, 3, 0, "", verb_acl_delete },
	{ "group", "add", "NAME ADDRESS", "put somebody into a group, for hato acl", 2, 2, 0, "", verb_group_add },
	{ "group", "del", "NAME ADDRESS", "take somebody out of a group", 2, 2, 0, "", verb_group_delete },
	{ "group", "list", "[--json]", "list groups and who is in them", 0, 0, 0, "json", verb_group_list },
	{ "folder", "list", "ACCOUNT [--json]", "list the mailboxes of an account", 1, 1, 0, "json", verb_folder_list },
	{ "folder", "add", "ACCOUNT MAILBOX [--use Archive|Junk|Trash...]", "make a mailbox", 2, 2, 0,
	  "use=", verb_folder_add },
	{ "folder", "del", "ACCOUNT MAILBOX [--yes]", "delete a mailbox with its messages", 2, 2, ADMIN_ASKS, "yes",
	  verb_folder_delete },
	{ "folder", "rename", "ACCOUNT MAILBOX NAME", "rename a mailbox, and those below it", 3, 3, 0, "",
	  verb_folder_rename },
	{ "folder", "autoexpunge", "ACCOUNT MAILBOX TIME|never|default", "how long messages stay in a mailbox", 3, 3, 0,
	  "", verb_folder_autoexpunge },
	{ "alias", "add", "ADDRESS TARGET...",
	  "mail for ADDRESS (or @DOMAIN: for anyone else there) goes to all TARGETs", 2, 255, 0, "", verb_alias_add },
	{ "alias", "del", "ADDRESS [TARGET]", "delete an alias, or one of its targets", 1, 2, 0, "",
	  verb_alias_delete },
	{ "alias", "list", "[DOMAIN] [--json]", "list aliases with their targets", 0, 1, 0, "json", verb_alias_list },
	{ "alias", "forward", "[ADDRESS [send|keep|wrap|default]] [--json]",
	  "what to do with mail that ADDRESS sends on and that must fail DMARC there; without a word: who chose what",
	  0, 2, 0, "json", verb_alias_forward },
	{ "domain", "add", "DOMAIN", "receive mail for a domain that has no account yet", 1, 1, 0, "",
	  verb_domain_add },
	{ "domain", "del", "DOMAIN", "the domain is not ours any more", 1, 1, 0, "", verb_domain_delete },
	{ "domain", "list", "[--json]", "list the domains that mail is received for", 0, 0, 0, "json",
	  verb_domain_list },
	{ "domain", "names", "[NAME...]", "for hato dns", 0, 255, ADMIN_HIDDEN, "", verb_domain_names },
	{ "domain", "quota", "DOMAIN [SIZE|none] [--messages N] [--json]",
	  "limit what all accounts of a domain may keep together, or show it", 1, 3, 0, "messages= json",
	  verb_domain_quota },
	{ "dkim", "list", "[DOMAIN] [--json]", "list the keys that sign mail, and their states", 0, 1, 0, "json",
	  verb_dkim_list },
	{ "dkim", "show", "[DOMAIN] [--selector S] [--json]", "the records to be published, in three forms", 0, 1, 0,
	  "json selector=", verb_dkim_show },
	{ "dkim", "check", "[DOMAIN] [--json]", "are the records of the keys in DNS, and right?", 0, 1, 0, "json",
	  verb_dkim_keys },
	{ "dkim", "add", "DOMAIN [--selector S]", "make keys for a domain that has none", 1, 1, 0,
	  "selector=", verb_dkim_add },
	{ "dkim", "rotate", "[DOMAIN] [--selector S]",
	  "make new keys; each signs, and its forerunner retires, when its record is in DNS", 0, 1, 0,
	  "selector=", verb_dkim_rotate },
	{ "dkim", "switch", "DOMAIN", "the new keys sign at once, whatever DNS says", 1, 1, 0, "", verb_dkim_switch },
	{ "dkim", "import", "DOMAIN SELECTOR FILE | FOLDER",
	  "copy keys in: a PEM file, or what OpenDKIM or rspamd keep in a folder", 1, 3, 0, "", verb_dkim_import },
	{ "dkim", "del", "DOMAIN SELECTOR [--yes]", "delete a key", 2, 2, ADMIN_ASKS, "yes", verb_dkim_remove },
	{ "dkim", "keys", "[DOMAIN]", "for the check", 0, 1, ADMIN_HIDDEN, "", verb_dkim_keys },
	{ "queue", "list", "[--json]", "what waits to be sent, why, and when it is tried again", 0, 0, 0, "json",
	  verb_queue_list },
	{ "queue", "show", "ID [--raw]", "one message: envelope and text", 1, 1, 0, "raw", verb_queue_show },
	{ "queue", "flush", "[ID|DOMAIN]...", "try now", 0, 255, 0, "", verb_queue_flush },
	{ "queue", "delete", "ID...|ALL [--yes]", "delete messages; nobody is told", 1, 255, ADMIN_ASKS, "yes",
	  verb_queue_delete },
	{ "queue", "hold", "ID...|ALL", "do not try to send these", 1, 255, 0, "", verb_queue_hold },
	{ "queue", "release", "ID...|ALL", "the opposite of hold; tried at once", 1, 255, 0, "", verb_queue_release },
	{ "queue", "mailq", "[--json]", "postqueue -p and -j", 0, 0, ADMIN_HIDDEN, "json", verb_queue_mailq },
	{ "queue", "super", "ACTION [QUEUE]...", "postsuper; ids or ALL on the standard input", 1, 10, ADMIN_HIDDEN, "",
	  verb_queue_super },
	{ "queue", "cat", "ID", "postcat -q", 1, 1, ADMIN_HIDDEN, "envelope header body types offsets verbose",
	  verb_queue_cat },
	{ "index", NULL, "[status [ACCOUNT] | rebuild] [--json]",
	  "the index that makes searching fast: how far it is, or make it anew", 0, 2, 0, "json", verb_index },
	{ "undelete", NULL, "ACCOUNT [--list] [--mailbox M] [--since TIME] [UID...] [--json]",
	  "bring expunged mail back, where it was; TIME: 3h, 2d, 2026-11-22", 1, 255, 0,
	  "json list mailbox= since=", verb_undelete },
	{ "verify", NULL, "[--repair] [--quick] [--json]",
	  "is all that is kept whole? --repair mends what can be mended, --quick does not read the bodies", 0, 0, 0,
	  "json repair quick", verb_verify },
	{ "who", NULL, "[ACCOUNT] [--from NETWORK] [--json]",
	  "who is logged in to read or send mail, from where, since when; * in ACCOUNT stands for any text", 0, 1, 0,
	  "json from=", verb_who },
	{ "kick", NULL, "[ACCOUNT] [--from NETWORK]", "end the sessions of who is logged in; he may log in again", 0, 1,
	  0, "from=", verb_kick },
	{ "why", NULL, "QUEUEID|ADDRESS|MESSAGE-ID [--limit N] [--json]",
	  "where is my mail? what happened to a message, in plain words", 1, 1, 0, "json limit=", verb_why },
	{ "route", NULL, "ADDRESS [--from SENDER] [--json]",
	  "where mail for an address goes, and every table that has a say in it", 1, 1, 0, "json from=", verb_route },
	{ "reports", "send", "[DOMAIN] [--now] [--dry-run]", "send the DMARC reports that others are owed", 0, 1,
	  ADMIN_HIDDEN, "now dry-run", verb_reports_send },
	{ "reports", NULL, "[DOMAIN] [--days N] [--json | --html FILE]", "what others report of mail in our name", 0, 1,
	  ADMIN_HIDDEN, "json days= html", verb_reports },
	{ "forward", "check", "ADDRESS [--client-ip IP] [--helo NAME] [--mail-from SENDER] [--json] < MESSAGE",
	  "what becomes of a message that ADDRESS sends on, and what the next server will see of it", 1, 1,
	  ADMIN_MESSAGE, "json client-ip= helo= mail-from=", verb_forward_check },
	{ "status", NULL, "[--json]", "counts", 0, 0, ADMIN_HIDDEN, "json", verb_status },
};

const struct admin_verb *admin_verbs(size_t *count) {
	*count = LEN(verbs);
	return verbs;
}

static const struct admin_verb *find(struct slice noun, struct slice verb) {
	for (size_t i = 0; i < LEN(verbs); i++) {
		if (!slice_eq(noun, slice_of(verbs[i].noun))) continue;
		if (verbs[i].verb == NULL || slice_eq(verb, slice_of(verbs[i].verb))) return &verbs[i];
	}
	return NULL;
}

const struct admin_verb *admin_find(const struct slice *args, size_t count) {
	return count == 0 ? NULL : find(args[0], count > 1 ? args[1] : S(""));
}

bool admin_help(struct buf *out, struct slice noun, struct slice verb) {
	bool any = false;
	for (size_t i = 0; i < LEN(verbs); i++) {
		const struct admin_verb *v = &verbs[i];
		if ((noun.len != 0 && !slice_eq(noun, slice_of(v->noun))) || (v->flags & ADMIN_HIDDEN) != 0) continue;
		if (verb.len != 0 && v->verb != NULL && !slice_eq(verb, slice_of(v->verb))) continue;
		AUTO_BUF struct buf usage = BUF(KIB(1));
		buf_addf(&usage, "%s%s%s %s", v->noun, v->verb != NULL ? " " : "", v->verb != NULL ? v->verb : "",
			 v->args);
		buf_addf(out, "  %s\n        %s\n", buf_text(&usage), v->help);
		any = true;
	}
	return any;
}

/* Answers. */

static void put_head(struct admin_call *c) {
	buf_add(c->err, S("hato"));
	if (c->verb != NULL) buf_addf(c->err, " %s", c->verb->noun);
	if (c->verb != NULL && c->verb->verb != NULL) buf_addf(c->err, " %s", c->verb->verb);
	buf_add(c->err, S(": "));
}

static void put_line(struct buf *to, const char *format, va_list args) {
	AUTO_BUF struct buf text = BUF(KIB(64));
	buf_addv(&text, format, args);
	text_clean(to, buf_slice(&text));
	buf_byte(to, '\n');
}

int refuse(struct admin_call *c, int code, const char *format, ...) {
	va_list args;
	va_start(args, format);
	put_head(c);
	put_line(c->err, format, args);
	va_end(args);
	return code;
}

int broken(struct admin_call *c) {
	static const int codes[] = { [DB_CAUSE_OTHER] = EX_SOFTWARE,
				     [DB_CAUSE_FULL] = EX_TEMPFAIL,
				     [DB_CAUSE_IO] = EX_IOERR,
				     [DB_CAUSE_BUSY] = EX_TEMPFAIL,
				     [DB_CAUSE_BROKEN] = EX_SOFTWARE };
	return refuse(c, codes[db_cause()], "%s; nothing was changed", fail_text());
}

void remark(struct admin_call *c, const char *format, ...) {
	if (c->quiet) return;
	va_list args;
	va_start(args, format);
	put_head(c);
	put_line(c->err, format, args);
	va_end(args);
}

void tell(struct admin_call *c, const char *format, ...) {
	if (c->quiet) return;
	va_list args;
	va_start(args, format);
	put_line(c->out, format, args);
	va_end(args);
}

int show_table(struct admin_call *c, const struct table *t, const char *empty) {
	if (c->json) table_json(t, c->out);
	else table_print(t, c->width, c->out);
	if (!c->json && table_rows(t) == 0) remark(c, "%s", empty);
	return EX_OK;
}

/* Arguments. */

bool call_option(const struct admin_call *c, const char *name, struct slice *value) {
	for (size_t i = 0; i < c->option_count; i++) {
		if (!slice_eq(c->options[i].name, slice_of(name))) continue;
		if (value != NULL) *value = c->options[i].value;
		return true;
	}
	return false;
}

/* Does the blank-separated list hold this option, and does it take a value? */
static bool known_option(const char *list, struct slice name, bool *valued) {
	struct slice rest = slice_of(list);
	for (struct slice word; (word = slice_word(&rest, " ")).len != 0;) {
		bool takes = word.at[word.len - 1] == '=';
		if (!slice_eq(slice_head(word, word.len - takes), name)) continue;
		*valued = takes;
		return true;
	}
	return false;
}

static int take_option(struct admin_call *c, const struct admin_request *req, size_t *i) {
	struct slice word = req->args[*i], value = SLICE_NONE;
	if (slice_eq(word, S("-q"))) word = S("--quiet");
	if (slice_eq(word, S("-h"))) word = S("--help");
	struct slice name = slice_skip(word, 2);
	size_t equals = slice_find(name, '=');
	bool valued, has_value = equals != name.len;
	if (has_value) value = slice_skip(name, equals + 1);
	name = slice_head(name, equals);
	if (!slice_starts(word, S("--")) ||
	    (!known_option("quiet help width=", name, &valued) && !known_option(c->verb->options, name, &valued)))
		return refuse(c, EX_USAGE, "%.*s: no such option (hato help %s)", SLICE_ARG(req->args[*i]),
			      c->verb->noun);
	if (valued && !has_value && *i + 1 < req->count) {
		value = req->args[++*i];
		has_value = true;
	}
	if (valued != has_value)
		return refuse(c, EX_USAGE, "--%.*s %s", SLICE_ARG(name), valued ? "needs a value" : "takes no value");
	if (c->option_count == LEN(c->options)) return refuse(c, EX_USAGE, "too many options");
	c->options[c->option_count++] = (struct given){ name, value };
	return EX_OK;
}

static int take_arguments(struct admin_call *c, const struct admin_request *req, size_t from) {
	struct slice *plain = arena_array(c->mem, req->count + 1, sizeof *plain);
	bool options = true;
	for (size_t i = from; i < req->count; i++) {
		struct slice word = req->args[i];
		if (options && slice_eq(word, S("--"))) {
			options = false;
		} else if (options && word.len > 1 && word.at[0] == '-') {
			int code = take_option(c, req, &i);
			if (code != EX_OK) return code;
		} else {
			plain[c->count++] = word;
		}
	}
	c->args = plain;
	c->quiet = call_option(c, "quiet", NULL);
	c->json = call_option(c, "json", NULL);
	struct slice width;
	uint64_t columns = 0;
	if (call_option(c, "width", &width) && !slice_number(width, 10000, &columns))
		return refuse(c, EX_USAGE, "--width needs a number");
	c->width = (size_t)columns;
	if (call_option(c, "help", NULL)) return EX_OK;
	if (c->count >= c->verb->least && c->count <= c->verb->most) return EX_OK;
	return refuse(c, EX_USAGE, "%s (usage: hato %s %s%s%s)",
		      c->count < c->verb->least ? "something is missing" : "too many words", c->verb->noun,
		      c->verb->verb != NULL ? c->verb->verb : "", c->verb->verb != NULL ? " " : "", c->verb->args);
}

static int no_such_verb(struct admin_call *c, const struct admin_request *req) {
	size_t i = 0;
	while (i < LEN(verbs) && (req->count == 0 || !slice_eq(req->args[0], slice_of(verbs[i].noun)))) i++;
	if (i == LEN(verbs))
		return refuse(c, EX_USAGE, "%.*s: no such command (hato help)",
			      SLICE_ARG(req->count != 0 ? req->args[0] : S("")));
	AUTO_BUF struct buf list = BUF(KIB(1));
	for (size_t k = i; k < LEN(verbs) && strcmp(verbs[k].noun, verbs[i].noun) == 0; k++)
		if ((verbs[k].flags & ADMIN_HIDDEN) == 0) buf_addf(&list, "%s%s", k == i ? "" : ", ", verbs[k].verb);
	if (req->count == 1) return refuse(c, EX_USAGE, "%s: what about it? (%s)", verbs[i].noun, buf_text(&list));
	return refuse(c, EX_USAGE, "%s %.*s: no such command (%s)", verbs[i].noun, SLICE_ARG(req->args[1]),
		      buf_text(&list));
}

/* Reads the words. True when they alone settle it: wrong usage, or a question for help. */
static bool settled(struct admin_call *c, const struct admin_request *req, int *code) {
	const struct admin_verb *v = admin_find(req->args, req->count);
	if (v == NULL) return *code = no_such_verb(c, req), true;
	c->verb = v;
	*code = take_arguments(c, req, v->verb != NULL ? 2 : 1);
	if (*code != EX_OK) return true;
	if (!call_option(c, "help", NULL)) return false;
	admin_help(c->out, slice_of(v->noun), slice_of(v->verb != NULL ? v->verb : ""));
	return true;
}

bool admin_settled(const struct admin_request *req, struct buf *out, struct buf *err, int *code) {
	AUTO_ARENA struct arena mem = {0};
	struct admin_call c = { .out = out, .err = err, .mem = &mem };
	return settled(&c, req, code);
}

int admin_run(const struct admin *a, const struct admin_request *req, struct buf *out, struct buf *err) {
	AUTO_ARENA struct arena mem = {0};
	struct admin_call c = { .a = a, .input = req->input, .out = out, .err = err, .mem = &mem };
	int code;
	if (settled(&c, req, &code)) return code;
	code = c.verb->run(&c);
	if (out->full || err->full) {
		buf_clear(out);
		buf_clear(err);
		return refuse(&c, EX_SOFTWARE, "the answer is too long (ask for less)");
	}
	return code;
}
