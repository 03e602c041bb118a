/* SPDX-License-Identifier: Apache-2.0 */
/* dovecot-lda(1), also called deliver: what pipe(8) lines, mailbox_command, getmail and fetchmail end in. The message
 * goes over the socket that sendmail uses, where the kernel says who calls, into one account and nowhere else; it is on
 * disk there when this returns 0. While nobody answers there the caller keeps it: EX_TEMPFAIL. */
#include "access/imap/name.h"
#include "cli/sendmail.h"
#include "cli/tool.h"
#include "smtp/dsn.h"

#include <fcntl.h>
#include <getopt.h>
#include <pwd.h>
#include <sysexits.h>

struct lda {
	struct tool tool;
	const char *user, *sender, *original, *mailbox, *path;
	bool unlimited, explain;
};

static int usage(const struct lda *l) {
	fprintf(stderr,
		"Usage: %s [-c <config folder>] [-d <username>] [-p <path>]\n"
		"       [-m <mailbox>] [-e] [-k] [-f <envelope sender>]\n"
		"       [-a <original envelope recipient>]\n",
		l->tool.name);
	return EX_USAGE;
}

/* "plugin/quota=maildir:User quota:noenforcing" stands in every script that warns of full mailboxes. */
static void take_setting(struct lda *l, const char *setting) {
	struct slice s = slice_of(setting);
	if (slice_search(s, S("noenforcing")) < s.len || slice_eq(s, S("quota_enforce=no"))) l->unlimited = true;
	else tool_warn(&l->tool, "-o %s: not a setting of hato, passed over", setting);
}

static int read_options(struct lda *l, int argc, char **argv) {
	for (int letter; (letter = getopt(argc, argv, "a:c:d:ef:km:o:p:r:")) != -1;) {
		switch (letter) {
		case 'a': l->original = optarg; break;
		case 'c': l->tool.conf_dir = optarg; break;
		case 'd': l->user = optarg; break;
		case 'e': l->explain = true; break;
		case 'f': l->sender = optarg; break;
		case 'k': break; /* the environment stays as it is anyway */
		case 'm': l->mailbox = optarg; break;
		case 'o': take_setting(l, optarg); break;
		case 'p': l->path = optarg; break;
		case 'r':
			if (l->original == NULL) l->original = optarg;
			break;
		default: return usage(l);
		}
	}
	if (optind < argc) return usage(l);
	const struct passwd *pw = l->user == NULL ? getpwuid(getuid()) : NULL;
	if (pw != NULL) l->user = mem_text(pw->pw_name); /* from mailbox_command: a process that is about to end */
	return l->user != NULL && l->user[0] != '\0' ? EX_OK : usage(l);
}

static bool good_address(struct slice s) {
	for (size_t i = 0; i < s.len; i++)
		if (ascii_control(s.at[i]) || strchr("<> ", s.at[i]) != NULL) return false;
	return true;
}

/* What the server said, as an exit code: pipe(8) makes a bounce of EX_NOUSER and EX_NOPERM, and tries again later after
 * EX_TEMPFAIL. */
static int judge(const struct lda *l, enum submit_result r, struct slice said) {
	struct slice status = slice_skip(said, 4);
	if (r == SUBMIT_DONE) return EX_OK;
	int code = r == SUBMIT_LATER ? EX_TEMPFAIL
		   : slice_starts(status, S("5.1.1")) || slice_starts(status, S("5.2.1")) ? EX_NOUSER
											  : EX_NOPERM;
	if (slice_starts(status, S("4.3.0 ")) || said.len == 0) code = EX_TEMPFAIL;
	const char *what = l->explain || code != EX_NOPERM ? "" : "rejected: ";
	return tool_fatal(&l->tool, code, "%s: %s%.*s", l->user, what, SLICE_ARG(said));
}

static int deliver(const struct lda *l, int server, const struct submit_hello *hello) {
	AUTO_BUF struct buf said = BUF(KIB(8)), mailbox = BUF(KIB(8)), envid = BUF(KIB(16)), parameters = BUF(KIB(8));
	struct reading r = { .ends = hello->ends };
	AUTO_FD int file = l->path != NULL ? open(l->path, O_RDONLY | O_CLOEXEC) : dup(STDIN_FILENO);
	if (file < 0)
		return tool_fatal(&l->tool, EX_NOINPUT, "%s: %s", l->path != NULL ? l->path : "-", strerror(errno));
	if (l->mailbox != NULL &&
	    (!imap_name_put(&mailbox, slice_of(l->mailbox)) || !xtext_add(&envid, buf_slice(&mailbox))))
		return tool_fatal(&l->tool, EX_USAGE, "-m %s: not a name for a mailbox", l->mailbox);
	if (l->original != NULL) {
		buf_add(&parameters, S(" ORCPT=rfc822;"));
		xtext_add(&parameters, slice_of(l->original));
	}
	struct slice each = buf_slice(&parameters);
	struct slice recipient = slice_of(l->user), sender = slice_of(l->sender != NULL ? l->sender : "");
	if (slice_eq(sender, S("<>")) || slice_eq(sender, S("MAILER-DAEMON"))) sender = S("");
	int code = EX_OK;
	if (!good_address(recipient) || !good_address(sender))
		code = tool_fatal(&l->tool, EX_USAGE, "%s: not an address", good_address(sender) ? l->user : l->sender);
	else if (reading_take(&r, file, true, hello->size_limit) < 0)
		code = tool_fatal(&l->tool, EX_TEMPFAIL, "reading the message: %s", strerror(errno));
	else if (r.too_big)
		code = tool_fatal(&l->tool, EX_NOPERM,
				  "rejected: the message is larger than %llu bytes (message_size_limit)",
				  (unsigned long long)hello->size_limit);
	struct submission s = { .sender = sender,
				.recipients = &recipient,
				.count = 1,
				.envid = buf_slice(&envid),
				.each = &each,
				.body = S("8BITMIME"),
				.utf8 = !slice_is_ascii(recipient) || !slice_is_ascii(sender),
				.mode = l->unlimited ? "deliver-unlimited" : "deliver",
				.text = buf_slice(&r.text) };
	if (code == EX_OK) {
		enum submit_result sent = submit_send(server, &s, &said);
		code = judge(l, sent, buf_slice(&said));
	}
	reading_done(&r);
	return code;
}

int dovecot_lda_main(int argc, char **argv) {
	struct lda l = { 0 };
	AUTO_BUF struct buf data = BUF(PATH_MAX);
	struct submit_hello hello;
	tool_begin(&l.tool, argc, argv);
	int code = read_options(&l, argc, argv);
	if (code != EX_OK) return code;
	if (tool_data(&l.tool, &data) != EX_OK) return EX_TEMPFAIL; /* said why; mail must not be lost for it */
	AUTO_FD int server = submit_open(buf_text(&data), &hello);
	if (server < 0) return tool_fatal(&l.tool, EX_TEMPFAIL, "the server does not answer (hato status)");
	return deliver(&l, server, &hello);
}
