/* SPDX-License-Identifier: Apache-2.0 */
/* What the administrator wrote into master.cf is run as it is written, with no shell between; what strangers wrote into
 * addresses goes in as whole arguments. */
#include "local/pipe.h"
#include "base/fail.h"
#include "conf/expand.h"
#include "mime/address.h"

#include <signal.h>

enum { ARGUMENTS_MAX = 100000 };

/* The line of master.cf. */

static int read_flags(struct slice text, struct program *out) {
	for (size_t i = 0; i < text.len; i++) {
		switch (text.at[i]) {
		case 'B': out->flags |= COPY_BLANK; break;
		case 'D': out->flags |= COPY_DELIVERED; break;
		case 'F': out->flags |= COPY_FROM; break;
		case 'O': out->flags |= COPY_ORIGINAL; break;
		case 'R': out->flags |= COPY_RETURN_PATH; break;
		case '.': out->flags |= COPY_DOT; break;
		case '>': out->flags |= COPY_QUOTE; break;
		case 'X': out->final = true; break;
		case 'h': out->lower_domain = true; break;
		case 'u': out->lower_local = true; break;
		case 'q': out->quoted = true; break;
		default: return fail("flags=%.*s: unknown flag: %c", SLICE_ARG(text), text.at[i]);
		}
	}
	return 0;
}

/* \a \b \f \n \r \t \v \\ and up to three octal digits. */
static struct slice unescaped(struct slice s, struct arena *mem) {
	static const char from[] = "abfnrtv", to[] = "\a\b\f\n\r\t\v";
	AUTO_BUF struct buf out = BUF(s.len + 1);
	for (size_t i = 0; i < s.len; i++) {
		if (s.at[i] != '\\' || i + 1 == s.len) {
			buf_byte(&out, s.at[i]);
			continue;
		}
		const char *known = strchr(from, s.at[++i]);
		unsigned octal = 0, digits = 0;
		while (digits < 3 && i < s.len && s.at[i] >= '0' && s.at[i] <= '7') {
			octal = octal * 8 + (unsigned)(s.at[i++] - '0');
			digits++;
		}
		if (digits != 0) i--;
		buf_byte(&out, digits != 0                        ? (char)octal
			       : known != NULL && s.at[i] != '\0' ? to[known - from]
								  : s.at[i]);
	}
	return arena_slice(mem, buf_slice(&out));
}

static int read_user(struct slice value, struct program *out) {
	struct slice rest = value;
	out->user = slice_cut(&rest, ':');
	out->group = rest;
	if (out->user.len == 0) return fail("user=: no name");
	return rest.at != NULL && rest.len == 0 ? fail("user=%.*s: no group behind the colon", SLICE_ARG(value)) : 0;
}

static int read_attribute(struct slice name, struct slice value, struct arena *mem, struct program *out) {
	if (slice_eq(name, S("flags"))) return read_flags(value, out);
	if (slice_eq(name, S("directory"))) return out->folder = arena_text(mem, value), 0;
	if (slice_eq(name, S("chroot"))) return out->chroot = arena_text(mem, value), 0;
	if (slice_eq(name, S("eol"))) return out->eol = unescaped(value, mem), 0;
	if (slice_eq(name, S("null_sender"))) return out->null_sender = arena_slice(mem, value), 0;
	if (slice_eq(name, S("size")))
		return slice_number(value, INT64_MAX, &out->size_limit)
			       ? 0
			       : fail("bad size= value: %.*s", SLICE_ARG(value));
	return fail("unknown attribute name: %.*s", SLICE_ARG(name));
}

int program_parse(const struct slice *args, size_t count, bool is_pipe, struct arena *mem, struct program *out) {
	struct program p = { .eol = S("\n"), .null_sender = S("MAILER-DAEMON") };
	for (size_t i = 0; i < count; i++) {
		struct slice value = args[i], name = slice_cut(&value, '=');
		if (value.at == NULL) return fail("missing '=' after attribute name: %.*s", SLICE_ARG(args[i]));
		int r = 0;
		if (slice_eq(name, S("argv"))) {
			struct slice *list = arena_array(mem, count - i, sizeof *list);
			memcpy(list, args + i, (count - i) * sizeof *list);
			list[0] = value;
			p.argv = list;
			p.argc = count - i;
			break;
		}
		if (slice_eq(name, S("user"))) r = read_user(value, &p);
		else if (is_pipe) r = read_attribute(name, value, mem, &p);
		else r = fail("unknown attribute name: %.*s", SLICE_ARG(name));
		if (r < 0) return r;
	}
	if (p.user.len == 0) return fail("missing user= command-line attribute");
	if (p.argc == 0 || p.argv[0].len == 0) return fail("missing argv= command-line attribute");
	*out = p;
	return 0;
}

int program_user(struct program *p, const char *const *forbidden, struct arena *mem) {
	int r = rights_find(p->user, mem, &p->who);
	if (r < 0) return r;
	if (r == RIGHTS_UNKNOWN) return fail("unknown username: %.*s", SLICE_ARG(p->user));
	if (p->group.len != 0 && (r = rights_find_group(p->group, mem, &p->who.gid)) != RIGHTS_OK)
		return r < 0 ? r : fail("unknown group: %.*s", SLICE_ARG(p->group));
	if (p->who.uid == 0) return fail("user= command-line attribute specifies root privileges");
	if (p->who.gid == 0) return fail("user= command-line attribute specifies privileged group id 0");
	for (; forbidden != NULL && *forbidden != NULL; forbidden++)
		if (slice_eq(p->user, slice_of(*forbidden)))
			return fail("user= command-line attribute specifies mail system owner %s", *forbidden);
	return 0;
}

/* Macros. */

struct macros {
	const struct pipe_params *p;
	const struct local_message *m;
	const struct local_recipient *to;
	struct slice nexthop;
	struct arena *mem;
	bool by_recipient; /* the text mentions one of those that differ for each */
};

static struct slice folded(const struct macros *x, struct slice s, bool lower) {
	return lower ? arena_lower(x->mem, s) : s;
}

/* flags h, u and q apply to whole addresses. */
static struct slice whole_address(const struct macros *x, struct slice address, bool fold) {
	const struct program *p = &x->p->program;
	struct mailbox m = { 0 };
	if (address_parse(address, ADDRESS_UTF8 | ADDRESS_LONG_LOCAL, x->mem, &m) == ADDRESS_BAD) return address;
	m.local = folded(x, m.local, fold && p->lower_local);
	m.domain = folded(x, m.domain, fold && p->lower_domain);
	if (p->quoted) return mailbox_text(x->mem, m);
	return m.domain.len != 0 ? arena_fmt(x->mem, "%.*s@%.*s", SLICE_ARG(m.local), SLICE_ARG(m.domain)) : m.local;
}

enum { PART_MAILBOX, PART_USER, PART_EXTENSION, PART_DOMAIN };
static struct slice part(const struct macros *x, int which) {
	const struct program *p = &x->p->program;
	struct mailbox m = { 0 };
	if (address_parse(x->to->address, ADDRESS_UTF8 | ADDRESS_LONG_LOCAL, x->mem, &m) == ADDRESS_BAD)
		m.local = x->to->address;
	if (which == PART_DOMAIN) return folded(x, m.domain, p->lower_domain);
	struct slice local = folded(x, m.local, p->lower_local);
	size_t cut = local_extension(local, x->p->delimiters);
	if (which == PART_USER) return slice_head(local, cut);
	return which == PART_EXTENSION ? slice_skip(local, cut + 1) : local;
}

static int macro(void *ctx, struct slice name, struct buf *out) {
	const struct macros *x = ctx;
	const struct local_client *c = &x->m->client;
	struct slice sender = x->m->sender.len != 0 ? whole_address(x, x->m->sender, false) : x->p->program.null_sender;
	const struct {
		struct slice name, value;
	} plain[] = {
		{ S("sender"), sender },
		{ S("nexthop"), folded(x, x->nexthop, x->p->program.lower_domain) },
		{ S("queue_id"), x->m->queue_id },
		{ S("envid"), x->m->envid },
		{ S("client_address"), c->address },
		{ S("client_helo"), c->helo },
		{ S("client_hostname"), c->name },
		{ S("client_port"), c->port },
		{ S("client_protocol"), c->protocol },
		{ S("sasl_method"), c->sasl_method },
		{ S("sasl_sender"), c->sasl_sender },
		{ S("sasl_username"), c->sasl_username },
		{ S("recipient"), whole_address(x, x->to->address, true) },
		{ S("original_recipient"),
		  whole_address(x, x->to->original.len != 0 ? x->to->original : x->to->address, true) },
		{ S("mailbox"), part(x, PART_MAILBOX) },
		{ S("user"), part(x, PART_USER) },
		{ S("extension"), part(x, PART_EXTENSION) },
		{ S("domain"), part(x, PART_DOMAIN) },
	};
	for (size_t i = 0; i < LEN(plain); i++)
		if (slice_eq(name, plain[i].name)) return buf_add(out, plain[i].value), EXPAND_KNOWN;
	if (slice_eq(name, S("size"))) return buf_addf(out, "%llu", (unsigned long long)x->m->size), EXPAND_KNOWN;
	return fail("unknown macro name: \"%.*s\"", SLICE_ARG(name));
}

static void notice_recipient(void *ctx, struct slice name) {
	static const struct slice names[] = { S("recipient"), S("original_recipient"), S("mailbox"), S("user"),
					      S("extension") };
	for (size_t i = 0; i < LEN(names); i++)
		if (slice_eq(name, names[i])) ((struct macros *)ctx)->by_recipient = true;
}

const char *const *pipe_arguments(const struct pipe_params *p, const struct local_message *m,
				  const struct local_recipient *to, size_t count, struct slice nexthop,
				  struct arena *mem) {
	const struct program *program = &p->program;
	must(count != 0);
	size_t most = program->argc * count + 1, n = 0;
	if (count > ARGUMENTS_MAX / program->argc) return fail("too many arguments"), NULL;
	const char **list = arena_array(mem, most, sizeof *list);
	for (size_t i = 0; i < program->argc; i++) {
		struct macros x = { p, m, to, nexthop, mem, false };
		expand_names(program->argv[i], notice_recipient, &x);
		for (size_t k = 0; k < (x.by_recipient ? count : 1); k++) {
			AUTO_BUF struct buf text = BUF(EXPAND_LIMIT);
			unsigned depth = 0;
			x.to = &to[k];
			if (expand(program->argv[i], &(struct expand_ops){ macro, &x, &depth }, &text) < 0)
				return fail_add("%.*s", SLICE_ARG(program->argv[i])), NULL;
			list[n++] = arena_text(mem, buf_slice(&text));
		}
	}
	return list;
}

/* Delivery. */

static const char *folder_of(const struct pipe_params *p, struct arena *mem) {
	if (p->program.folder != NULL) return p->program.folder;
	const char *folder = arena_text(mem, p->queue_directory);
	return access(folder, X_OK) == 0 ? folder : "/";
}

static void run_once(const struct pipe_params *p, const struct local_message *m, const struct local_recipient *to,
		     size_t count, struct slice nexthop, struct arena *mem, struct local_outcome *out) {
	struct environment e;
	const char *const *args = pipe_arguments(p, m, to, count, nexthop, mem);
	if (args == NULL) {
		*out = local_said(mem, "4.3.5", "service %s: %s", p->service, fail_text());
		return;
	}
	environment_begin(&e, mem, &p->exported);
	struct command c = { .args = args,
			     .folder = folder_of(p, mem),
			     .environment = e.at,
			     .limit_ms = p->limit_ms };
	struct placing place = {
		.who = &p->program.who,
		.copy = { .message = m,
			  .sender = m->sender.len != 0 ? m->sender : p->program.null_sender,
			  .original = to->original.len != 0 ? to->original : to->address,
			  .delivered = to->address,
			  .flags = p->program.flags,
			  .eol = p->program.eol,
			  .date = copy_date(mem, wall_s()) },
		.root = p->program.chroot,
		.done = arena_fmt(mem, "delivered via %s service", p->service),
	};
	place_command(&place, &c, mem, out);
}

void pipe_deliver(const struct pipe_params *p, const struct local_message *m, const struct local_recipient *to,
		  size_t count, struct slice nexthop, struct arena *mem, struct local_outcome *outcomes) {
	bool apart = (p->program.flags & (COPY_DELIVERED | COPY_ORIGINAL)) != 0;
	for (size_t i = 0; i < count; i++) {
		int looped = (p->program.flags & COPY_DELIVERED) != 0 ? copy_has_delivered_to(m, to[i].address) : 0;
		if (p->program.size_limit != 0 && m->size > p->program.size_limit)
			outcomes[i] = local_said(mem, "5.2.3", "message too large");
		else if (looped < 0) outcomes[i] = local_said(mem, "4.3.0", "%s", fail_text());
		else if (looped > 0)
			outcomes[i] =
				local_said(mem, "5.4.6", "mail forwarding loop for %.*s", SLICE_ARG(to[i].address));
		else if (apart || i == 0) run_once(p, m, &to[i], apart ? 1 : count, nexthop, mem, &outcomes[i]);
		else outcomes[i] = outcomes[0];
	}
}

pid_t spawn_start(const struct pipe_params *p, int connection) {
	AUTO_ARENA struct arena mem = { 0 };
	struct environment e;
	if (!rights_within_reach(&p->program.who))
		return fail("cannot become user %.*s: hato was not started as root", SLICE_ARG(p->program.user));
	environment_begin(&e, &mem, &p->exported);
	const char **args = arena_array(&mem, p->program.argc + 1, sizeof *args);
	for (size_t i = 0; i < p->program.argc; i++) args[i] = arena_text(&mem, p->program.argv[i]);
	const char *folder = folder_of(p, &mem);
	pid_t pid = fork();
	if (pid != 0) return pid > 0 ? pid : fail_errno("fork");
	if (dup2(connection, STDIN_FILENO) < 0 || dup2(connection, STDOUT_FILENO) < 0 ||
	    dup2(connection, STDERR_FILENO) < 0 || rights_become(&p->program.who, NULL, 0) < 0 || chdir(folder) != 0)
		_exit(1);
	_exit(command_exec(NULL, args, e.at));
}
