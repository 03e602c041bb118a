/* SPDX-License-Identifier: Apache-2.0 */
/* Scripts read what Postfix's programs say and how they end: the words before the text and the exit codes are theirs.
 */
#include "cli/tool.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

static const char *from_environment(const char *name) {
	const char *value = getenv(name);
	return value != NULL && value[0] != '\0' ? value : NULL;
}

const char *tool_conf_dir(const char *first, const char *second) {
	static const char *const places[] = { "/etc/hato", "/etc/postfix", "/usr/local/etc/postfix",
					      "/usr/pkg/etc/postfix" };
	const char *dir = from_environment(first);
	if (dir == NULL) dir = from_environment(second);
	for (size_t i = 0; i < LEN(places) && dir == NULL; i++) {
		AUTO_BUF struct buf path = BUF(PATH_MAX);
		buf_addf(&path, "%s/main.cf", places[i]);
		if (access(buf_text(&path), F_OK) == 0) dir = places[i];
	}
	return dir != NULL ? dir : places[0];
}

void tool_begin(struct tool *t, int argc, char **argv) {
	const char *name = argc > 0 ? argv[0] : "hato", *slash = strrchr(name, '/');
	if (slash != NULL) argv[0] = (char *)(uintptr_t)(slash + 1); /* getopt(3) complains in its name */
	*t = (struct tool){ .name = slash != NULL ? slash + 1 : name,
			    .conf_dir = tool_conf_dir("MAIL_CONFIG", "HATO_CONFIG") };
}

static void put(const struct tool *t, const char *level, const char *format, va_list args) {
	AUTO_BUF struct buf text = BUF(KIB(64));
	buf_addf(&text, "%s: %s", t->name, level);
	buf_addv(&text, format, args);
	for (size_t i = 0; i < text.len; i++)
		if (ascii_control(text.at[i])) text.at[i] = '?';
	buf_byte(&text, '\n');
	fflush(stdout);
	fputs(buf_text(&text), stderr);
}

int tool_fatal(const struct tool *t, int code, const char *format, ...) {
	va_list args;
	va_start(args, format);
	put(t, "fatal: ", format, args);
	va_end(args);
	return code;
}

void tool_warn(const struct tool *t, const char *format, ...) {
	va_list args;
	va_start(args, format);
	put(t, "warning: ", format, args);
	va_end(args);
}

void tool_say(const struct tool *t, const char *format, ...) {
	va_list args;
	va_start(args, format);
	put(t, "", format, args);
	va_end(args);
}

/* Programs about the inside of Postfix: hato has none of it, and says what to use instead. */
int tool_unneeded(int argc, char **argv) {
	static const struct { const char *name, *instead;
	} all[] = {
		{ "postdrop", "mail is handed in with sendmail" },
		{ "postkick",
		  "hato notices changes itself; postqueue -f tries all mail now, postfix reload reads the settings" },
		{ "postlock", "flock(1) locks a file" },
		{ "postmulti", "each instance is a folder: hato -c DIR start" },
	};
	struct tool t;
	const char *instead = "hato help lists the commands";
	tool_begin(&t, argc, argv);
	for (size_t i = 0; i < LEN(all); i++)
		if (strcmp(t.name, all[i].name) == 0) instead = all[i].instead;
	return tool_fatal(&t, EX_UNAVAILABLE, "not needed with hato (%s)", instead);
}

bool tool_queue_id(struct slice id) {
	bool fine = id.len != 0;
	for (size_t i = 0; i < id.len; i++) fine = fine && (ascii_alpha(id.at[i]) || ascii_digit(id.at[i]));
	return fine;
}
