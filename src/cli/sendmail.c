/* SPDX-License-Identifier: Apache-2.0 */
/* sendmail(1) as Postfix has it: options, texts, and its exit code for everything that goes wrong (75: try again). */
#include "cli/sendmail.h"
#include "cli/instance.h"
#include "cli/tool.h"
#include "mime/address.h"
#include "mime/compose.h"

#include <getopt.h>
#include <poll.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>

enum mode { MODE_MAIL, MODE_VERIFY, MODE_SMTP, MODE_QUEUE, MODE_ALIASES, MODE_DAEMON, MODE_FLUSH, MODE_IGNORE };

struct sendmail {
	struct tool tool;
	const struct sendmail_rest *rest;
	struct arena mem;
	enum mode mode;
	bool from_header, dot_is_text, gateway, report;
	bool interval; /* -q30m */
	bool odd;      /* a value that is warned about: by the whole program, once */
	const char *sender, *full_name; /* NULL: not given */
	struct slice notify, ret, envid, body;
	struct slice verp; /* "XVERP" or "XVERP=+=" */
	const char *queue_id, *site, *alias_file;
	/* who calls */
	struct passwd *user; /* NULL until asked for */
};

static const char *user_name(struct sendmail *s) {
	if (s->user == NULL) s->user = getpwuid(getuid());
	return s->user != NULL ? s->user->pw_name : "unknown";
}

static int sorry(struct sendmail *s, const char *format, ...) PRINTF_LIKE(2, 3);
static int sorry(struct sendmail *s, const char *format, ...) {
	va_list args;
	va_start(args, format);
	AUTO_BUF struct buf text = BUF(KIB(16));
	buf_addv(&text, format, args);
	va_end(args);
	return tool_fatal(&s->tool, EX_TEMPFAIL, "%s(%u): %s", user_name(s), (unsigned)getuid(), buf_text(&text));
}

/* Options. */

/* -N: a list for NOTIFY=, in RFC 3461's words. */
static void take_notify(struct sendmail *s, const char *text) {
	static const char *const words[] = { "SUCCESS", "FAILURE", "DELAY" };
	if (slice_same(slice_of(text), S("never"))) {
		s->notify = S("NEVER");
		return;
	}
	AUTO_BUF struct buf out = BUF(100);
	struct slice rest = slice_of(text);
	for (struct slice word; (word = slice_word(&rest, ", \t")).len != 0;) {
		size_t i = 0;
		while (i < LEN(words) && !slice_same(word, slice_of(words[i]))) i++;
		if (i == LEN(words)) {
			s->odd = true;
			if (s->rest == NULL) return;
			tool_warn(&s->tool, "unknown DSN NOTIFY command value \"%.*s\" in \"%s\"", SLICE_ARG(word),
				  text);
			tool_warn(&s->tool, "bad -N option value -- ignored");
			return;
		}
		if (slice_search(buf_slice(&out), slice_of(words[i])) == out.len)
			buf_addf(&out, "%s%s", out.len != 0 ? "," : "", words[i]);
	}
	s->notify = arena_slice(&s->mem, buf_slice(&out));
}

static void take_return(struct sendmail *s, const char *text) {
	if (slice_same(slice_of(text), S("full"))) s->ret = S("FULL");
	else if (slice_same(slice_of(text), S("hdrs"))) s->ret = S("HDRS");
	else if (s->odd = true, s->rest != NULL) tool_warn(&s->tool, "bad -R option value -- ignored");
}

/* -XV and -XV+=: a sender for each recipient (VERP_README); the server knows which delimiters are allowed. -V without a
 * name is what old list managers write for the same: Postfix has taken -V for ENVID since 2.3. */
static int take_verp(struct sendmail *s, const char *text) {
	if (text[0] != 'V') return tool_fatal(&s->tool, EX_TEMPFAIL, "unsupported: -X%c", text[0]);
	size_t len = strlen(text + 1);
	if (len != 0 && len != 2)
		return tool_fatal(&s->tool, EX_TEMPFAIL, "-XV requires two characters, or none: \"%s\"", text + 1);
	s->verp = len == 0 ? S("XVERP") : arena_fmt(&s->mem, "XVERP=%s", text + 1);
	return EX_OK;
}

/* ENVID= is xtext (RFC 3461 §4). */
static void take_envid(struct sendmail *s, const char *text) {
	AUTO_BUF struct buf out = BUF(400);
	if (strlen(text) > 100) {
		s->odd = true;
		if (s->rest != NULL) tool_warn(&s->tool, "too long -V option value -- ignored");
		return;
	}
	for (const char *p = text; *p != '\0'; p++) {
		if (*p > 32 && *p < 127 && *p != '+' && *p != '=') buf_byte(&out, *p);
		else buf_addf(&out, "+%02X", (unsigned char)*p);
	}
	s->envid = arena_slice(&s->mem, buf_slice(&out));
}

static int take_body(struct sendmail *s, const char *text) {
	if (slice_same(slice_of(text), S("7BIT"))) s->body = S("7BIT");
	else if (slice_same(slice_of(text), S("8BITMIME"))) s->body = S("8BITMIME");
	else return tool_fatal(&s->tool, EX_TEMPFAIL, "-B option needs 8BITMIME or 7BIT");
	return EX_OK;
}

/* The name of a main.cf, or of its folder. */
static void take_configuration(struct sendmail *s, const char *name) {
	struct stat st;
	const char *slash = strrchr(name, '/');
	bool folder = stat(name, &st) == 0 ? S_ISDIR(st.st_mode) : slash == NULL || strcmp(slash, "/main.cf") != 0;
	if (folder) s->tool.conf_dir = name;
	else s->tool.conf_dir = slash != NULL ? arena_text(&s->mem, slice_from(name, (size_t)(slash - name))) : ".";
}

static int take_mode(struct sendmail *s, const char *text) {
	static const struct { char letter; enum mode mode;
	} modes[] = {
		{ 'm', MODE_MAIL },   { 'v', MODE_VERIFY },  { 's', MODE_SMTP },
		{ 'p', MODE_QUEUE },  { 'i', MODE_ALIASES }, { 'd', MODE_DAEMON },
		{ 'l', MODE_DAEMON }, { 'h', MODE_IGNORE },  { 'H', MODE_IGNORE },
	};
	for (size_t i = 0; i < LEN(modes); i++)
		if (text[0] == modes[i].letter) return s->mode = modes[i].mode, EX_OK;
	return tool_fatal(&s->tool, EX_TEMPFAIL, "unsupported: -b%c", text[0]);
}

static int take_queue(struct sendmail *s, const char *text) {
	char kind = text != NULL ? text[0] : '\0';
	if (ascii_digit(kind)) { /* -bd -q30m: how often is not the caller's business */
		s->interval = true;
		return EX_OK;
	}
	s->mode = MODE_FLUSH;
	if (kind == 'I' && text[1] != '\0') s->queue_id = text + 1;
	else if (kind == 'R' && text[1] != '\0') s->site = text + 1;
	else if (kind == 'I' || kind == 'R')
		return tool_fatal(&s->tool, EX_TEMPFAIL, "-q%c requires an argument", kind);
	else if (kind != '\0')
		return tool_fatal(&s->tool, EX_TEMPFAIL, "-q%c is not implemented", kind);
	return EX_OK;
}

static int take_option(struct sendmail *s, int letter) {
	switch (letter) {
	case 'B': return take_body(s, optarg);
	case 'C': take_configuration(s, optarg); return EX_OK;
	case 'F': s->full_name = optarg; return EX_OK;
	case 'G': s->gateway = true; return EX_OK;
	case 'I': s->mode = MODE_ALIASES; return EX_OK;
	case 'N': take_notify(s, optarg); return EX_OK;
	case 'R': take_return(s, optarg); return EX_OK;
	case 'V': take_envid(s, optarg); return EX_OK;
	case 'X': return take_verp(s, optarg);
	case 'b': return take_mode(s, optarg);
	case 'f': case 'r': s->sender = optarg; return EX_OK;
	case 'i': s->dot_is_text = true; return EX_OK;
	case 'o':
		if (optarg[0] == 'i') s->dot_is_text = true;
		if (optarg[0] != 'A') return EX_OK;
		if (optarg[1] == '\0') return tool_fatal(&s->tool, EX_TEMPFAIL, "-oA requires pathname");
		s->alias_file = optarg + 1;
		return EX_OK;
	case 'q': return take_queue(s, optarg);
	case 't': s->from_header = true; return EX_OK;
	case 'v': s->report = s->tool.verbose++ == 0; return EX_OK;
	case '?': return tool_fatal(&s->tool, EX_TEMPFAIL, "usage: sendmail [options]");
	default: return EX_OK; /* those of Sendmail that mean nothing here: A L O U c e h m n p x */
	}
}

/* A message. */

/* Those named on the command line: each word is a list, as in a header. */
static int take_arguments(struct sendmail *s, char **words, struct slice **list, size_t *count) {
	for (; *words != NULL; words++) {
		struct address_list found = address_list_parse(slice_of(*words), &s->mem);
		struct slice *more = arena_array(&s->mem, *count + found.count, sizeof *more);
		size_t before = *count;
		if (before != 0) memcpy(more, *list, before * sizeof *more);
		for (size_t i = 0; i < found.count; i++)
			if (found.at[i].kind == ADDRESS_MAILBOX && found.at[i].local.len != 0)
				more[(*count)++] = mailbox_text(
					&s->mem, (struct mailbox){ found.at[i].local, found.at[i].domain });
		*list = more;
		if (*count == before) return sorry(s, "%s: not a mail address", *words);
	}
	return EX_OK;
}

static bool clean(struct slice text) {
	for (size_t i = 0; i < text.len; i++)
		if (ascii_control(text.at[i])) return false;
	return true;
}

/* -f and -r; otherwise who calls. */
static struct slice sender_of(struct sendmail *s) {
	if (s->sender == NULL) return slice_of(user_name(s));
	struct address_list found = address_list_parse(slice_of(s->sender), &s->mem);
	for (size_t i = 0; i < found.count; i++)
		if (found.at[i].kind == ADDRESS_MAILBOX && found.at[i].local.len != 0)
			return mailbox_text(&s->mem, (struct mailbox){ found.at[i].local, found.at[i].domain });
	return S("");
}

/* The caller's own name: -F, $NAME, or the first part of what passwd(5) knows, where & is the log-in name. */
static void add_full_name(struct sendmail *s, struct buf *out) {
	const char *given = s->full_name != NULL ? s->full_name : getenv("NAME");
	if (given != NULL) {
		buf_add(out, slice_of(given));
		return;
	}
	const char *login = user_name(s);
	for (const char *p = s->user != NULL && s->user->pw_gecos != NULL ? s->user->pw_gecos : "";
	     *p != '\0' && strchr(",;%", *p) == NULL; p++) {
		if (*p != '&') buf_byte(out, *p);
		else buf_addf(out, "%c%s", ascii_upper(login[0]), login + 1);
	}
}

/* A name as words, a quoted string, or, with comment, between parentheses; as RFC 2047 words where it is not ASCII.
 * False: its charset is none, and nothing is added. */
static bool add_name(struct sendmail *s, struct buf *out, struct slice name, bool comment, const char *charset) {
	if (!slice_is_ascii(name)) {
		if (compose_name_words(out, charset, name)) return true;
		tool_warn(&s->tool, "full_name_encoding_charset: \"%s\" is no charset: the name is left out", charset);
		return false;
	}
	bool plain = true;
	const char *special = comment ? "()\\" : "\"\\";
	for (size_t i = 0; i < name.len && !comment; i++)
		plain = plain && strchr("()<>@,;:\\\".[]", name.at[i]) == NULL && !ascii_control(name.at[i]);
	if (!plain) buf_byte(out, '"');
	for (size_t i = 0; i < name.len; i++) {
		if (ascii_control(name.at[i])) continue;
		if ((comment || !plain) && strchr(special, name.at[i]) != NULL) buf_byte(out, '\\');
		buf_byte(out, name.at[i]);
	}
	if (!plain) buf_byte(out, '"');
	return true;
}

/* header_from_format: "Full Name <user@domain>", or in the obsolete form "user@domain (Full Name)". */
static void add_from(struct sendmail *s, struct reading *r, struct slice sender, const struct submit_hello *hello) {
	AUTO_BUF struct buf name = BUF(KIB(4));
	AUTO_BUF struct buf field = BUF(KIB(16));
	bool at = slice_find_last(sender, '@') < sender.len;
	add_full_name(s, &name);
	if (sender.len == 0 || (!at && hello->origin[0] == '\0')) return; /* the server adds it */
	struct slice n = slice_trim(buf_slice(&name));
	AUTO_BUF struct buf words = BUF(KIB(12));
	bool named = n.len != 0 && add_name(s, &words, n, hello->obsolete_from, hello->charset);
	bool before = named && !hello->obsolete_from, behind = named && hello->obsolete_from;
	buf_add(&field, r->resent ? S("Resent-From: ")
				  : S("From: ")); /* RFC 5322 §3.6.6: who sends it again speaks for himself */
	if (before) buf_addf(&field, "%s <", buf_text(&words));
	buf_addf(&field, "%.*s%s%s%s", SLICE_ARG(sender), at ? "" : "@", at ? "" : hello->origin, before ? ">" : "");
	if (behind) buf_addf(&field, " (%s)", buf_text(&words));
	reading_add_field(r, buf_slice(&field));
}

/* Where it goes: to the server, or into its folder. */
static int hand_in(struct sendmail *s, const char *data, int fd, const struct submission *m) {
	AUTO_BUF struct buf said = BUF(KIB(4));
	enum submit_result r = fd >= 0 ? submit_send(fd, m, &said) : SUBMIT_LATER;
	if (r == SUBMIT_LATER) {
		buf_clear(&said);
		r = submit_drop(data, m, &said);
	}
	if (r == SUBMIT_DENIED)
		return tool_fatal(&s->tool, EX_TEMPFAIL, "User %s(%u) is not allowed to submit mail", user_name(s),
				  (unsigned)getuid());
	if (r != SUBMIT_DONE) return sorry(s, "%s", buf_text(&said));
	if (s->report || s->mode == MODE_VERIFY)
		printf("Mail Delivery Status Report will be mailed to <%.*s>.\n", SLICE_ARG(m->sender));
	return EX_OK;
}

static bool any_utf8(const struct submission *m) {
	bool found = !slice_is_ascii(m->sender);
	for (size_t i = 0; i < m->count && !found; i++) found = !slice_is_ascii(m->recipients[i]);
	return found;
}

static int check_addresses(struct sendmail *s, const struct submission *m) {
	if (m->count == 0)
		return sorry(
			s, s->from_header
				   ? "No recipient addresses found in message header"
				   : "Recipient addresses must be specified on the command line or via the -t option");
	bool fine = clean(m->sender);
	for (size_t i = 0; i < m->count; i++) fine = fine && clean(m->recipients[i]);
	return fine ? EX_OK : sorry(s, "control characters in a mail address");
}

static int read_message(struct sendmail *s, struct reading *r, const struct submit_hello *hello) {
	r->ends = hello->ends;
	if (s->mode == MODE_VERIFY) { /* nothing is read: what is sent is about the addresses */
		r->text = BUF(KIB(4));
		buf_add(&r->text, S("Subject: probe\r\n\r\n"));
	} else if (reading_take(r, STDIN_FILENO, s->dot_is_text, hello->size_limit) < 0) {
		return sorry(s, "error reading input: %s", strerror(errno));
	}
	reading_header(r, s->from_header);
	if (r->too_big || (hello->size_limit != 0 && r->text.len > hello->size_limit))
		return sorry(s, "message file too big");
	return EX_OK;
}

static int send_mail(struct sendmail *s, const char *data, int fd, const struct submit_hello *hello, char **words) {
	struct reading r = { 0 };
	struct slice *list = NULL;
	size_t count = 0;
	int code = take_arguments(s, words, &list, &count);
	if (code == EX_OK && count == 0 && !s->from_header) code = check_addresses(s, &(struct submission){ 0 });
	if (code == EX_OK) code = read_message(s, &r, hello);
	struct submission m = { .sender = sender_of(s),
				.notify = s->notify,
				.ret = s->ret,
				.envid = s->envid,
				.body = s->body,
				.verp = s->verp };
	struct slice *all = arena_array(&s->mem, count + r.to_count, sizeof *all);
	if (count != 0) memcpy(all, list, count * sizeof *all);
	if (r.to_count != 0) memcpy(all + count, r.to, r.to_count * sizeof *all);
	m.recipients = all;
	m.count = count + r.to_count;
	m.mode = s->mode == MODE_VERIFY ? "verify" : s->gateway ? "gateway" : "submit";
	if (s->report && m.notify.len == 0) m.notify = S("SUCCESS,FAILURE,DELAY");
	if (code == EX_OK) code = check_addresses(s, &m);
	if (code == EX_OK) {
		bool named = r.resent ? r.has_resent_from : r.has_from;
		if (!named && !s->gateway) add_from(s, &r, m.sender, hello);
		m.utf8 = any_utf8(&m) || r.eight_bit_header;
		m.text = buf_slice(&r.text);
		code = hand_in(s, data, fd, &m);
	}
	reading_done(&r);
	return code;
}

/* SMTP on standard input and output: the server's own session. */

/* Lines that end with LF only are fine here. */
static bool pass_in(int fd, char *last) {
	char in[8192], out[2 * sizeof in];
	ssize_t n = read(STDIN_FILENO, in, sizeof in);
	if (n <= 0) return n < 0 && errno == EINTR;
	size_t len = 0;
	for (ssize_t i = 0; i < n; i++) {
		if (in[i] == '\n' && *last != '\r') out[len++] = '\r';
		out[len++] = *last = in[i];
	}
	for (size_t sent = 0; sent < len;) {
		ssize_t k = send(fd, out + sent, len - sent, MSG_NOSIGNAL);
		if (k <= 0) return false;
		sent += (size_t)k;
	}
	return true;
}

static int serve_smtp(int fd) {
	char out[8192], last = '\0';
	for (bool open = true;;) {
		struct pollfd fds[] = { { .fd = fd, .events = POLLIN },
					{ .fd = open ? STDIN_FILENO : -1, .events = POLLIN } };
		if (poll(fds, LEN(fds), -1) < 0) continue;
		if (fds[1].revents != 0 && !pass_in(fd, &last)) {
			open = false;
			shutdown(fd, SHUT_WR);
		}
		if (fds[0].revents == 0) continue;
		ssize_t n = recv(fd, out, sizeof out, 0);
		if (n <= 0) return EX_OK;
		if (fwrite(out, 1, (size_t)n, stdout) != (size_t)n || fflush(stdout) != 0) return EX_OK;
	}
}

/* The server is down: a child of ours plays it. */
static int serve_alone(struct sendmail *s, const char *data, struct submit_hello *hello) {
	int pair[2];
	if (s->rest->hello(&s->tool, hello) != EX_OK) return EX_TEMPFAIL;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
		return sorry(s, "socket: %s", strerror(errno));
	fflush(stdout);
	pid_t child = fork();
	if (child < 0) return sorry(s, "fork: %s", strerror(errno));
	if (child == 0) {
		close(pair[0]);
		s->rest->serve(pair[1], data, hello);
		_exit(EX_OK);
	}
	close(pair[1]);
	int code = serve_smtp(pair[0]);
	close(pair[0]);
	waitpid(child, NULL, 0);
	return code;
}

/* Dispatch. */

static int with_server(struct sendmail *s, char **words) {
	AUTO_BUF struct buf data = BUF(PATH_MAX);
	struct submit_hello hello = { 0 };
	bool plain = instance_data(s->tool.conf_dir, &data);
	if (!plain && s->rest == NULL) return SENDMAIL_WHOLE;
	if (!plain && s->rest->data(&s->tool, &data) != EX_OK) return EX_TEMPFAIL;
	AUTO_FD int fd = submit_open(buf_text(&data), &hello);
	if (fd < 0 && s->rest == NULL) return SENDMAIL_WHOLE;
	if (s->mode == MODE_SMTP && fd < 0) return serve_alone(s, buf_text(&data), &hello);
	if (s->mode == MODE_SMTP) {
		printf("220 %s ESMTP\r\n", hello.host);
		fflush(stdout);
		return serve_smtp(fd);
	}
	if (fd < 0 && s->rest->hello(&s->tool, &hello) != EX_OK) return EX_TEMPFAIL;
	return send_mail(s, buf_text(&data), fd, &hello, words);
}

/* The other programs, by their names. */
static int as_other(struct sendmail *s, const char *name, const char *option, const char *value) {
	char *words[] = { (char *)(uintptr_t)name, (char *)(uintptr_t)option, (char *)(uintptr_t)value, NULL };
	setenv("MAIL_CONFIG", s->tool.conf_dir, 1);
	optind = 0;
	return s->rest->other(option == NULL ? 1 : value == NULL ? 2 : 3, words);
}

/* What does not go together, in Postfix's words; NULL: all is well. */
static const char *wrong_together(const struct sendmail *s, bool words) {
	static const char *const no_words[] = { [MODE_SMTP] = "stand-alone mode requires no recipient",
		                                [MODE_QUEUE] = "display queue mode requires no recipient",
		                                [MODE_ALIASES] = "alias initialization mode requires no recipient",
		                                [MODE_DAEMON] = "daemon mode requires no recipient",
		                                [MODE_FLUSH] = "flush queue mode requires no recipient" };
	bool verify = s->mode == MODE_VERIFY, mail = s->mode == MODE_MAIL || verify;
	if (s->from_header && !mail) return "-t can be used only in delivery mode";
	if (s->from_header && verify) return "-t option cannot be used with -bv";
	if (s->notify.at != NULL && verify) return "-N option cannot be used with -bv";
	if (s->ret.at != NULL && verify) return "-R option cannot be used with -bv";
	return words && (size_t)s->mode < LEN(no_words) ? no_words[s->mode] : NULL;
}

int sendmail_run(int argc, char **argv, const struct sendmail_rest *rest) {
	struct sendmail s = { .rest = rest };
	optind = 0; /* it may be the second time */
	tool_begin(&s.tool, argc, argv);
	if (strcmp(s.tool.name, "mailq") == 0) s.mode = MODE_QUEUE;
	if (strcmp(s.tool.name, "newaliases") == 0) s.mode = MODE_ALIASES;
	int code = EX_OK;
	/* "+": nothing behind the first recipient is an option, as in Postfix; who takes recipients from strangers
	 * relies on it */
	for (int letter;
	     code == EX_OK && (letter = getopt(argc, argv, "+A:B:C:F:GIL:N:O:R:UV:X:b:ce:f:h:imno:p:r:q::tvx")) != -1;)
		code = take_option(&s, letter);
	bool alone = s.mode == MODE_MAIL && optind == argc && !s.from_header;
	if (s.interval && alone) s.mode = MODE_IGNORE;
	bool of_others = s.mode != MODE_MAIL && s.mode != MODE_VERIFY && s.mode != MODE_SMTP && s.mode != MODE_IGNORE;
	const char *wrong = wrong_together(&s, optind < argc);
	if (code == EX_OK && wrong != NULL) code = tool_fatal(&s.tool, EX_TEMPFAIL, "%s", wrong);
	if (code == EX_OK && (of_others || s.odd) && rest == NULL) {
		code = SENDMAIL_WHOLE;
	} else if (code == EX_OK) {
		switch (s.mode) {
		case MODE_QUEUE: code = as_other(&s, "postqueue", "-p", NULL); break;
		case MODE_FLUSH:
			if (s.queue_id != NULL) code = as_other(&s, "postqueue", "-i", s.queue_id);
			else code = as_other(&s, "postqueue", s.site != NULL ? "-s" : "-f", s.site);
			break;
		case MODE_ALIASES:
			code = rest->newaliases(&s.tool, s.alias_file);
			break;
		case MODE_DAEMON: /* of an old start script: fine when it runs already */
			code = as_other(&s, "postfix", "status", NULL);
			if (code != EX_OK) code = as_other(&s, "postfix", "start", NULL);
			break;
		case MODE_IGNORE: break;
		default: code = with_server(&s, argv + optind); break;
		}
	}
	arena_done(&s.mem);
	return code;
}
