/* SPDX-License-Identifier: Apache-2.0 */
/* The programs' way to the settings, for what is worth the time it takes. */
#include "base/fail.h"
#include "cli/standalone.h"
#include "cli/sendmail.h"
#include "cli/tool.h"
#include "conf/conf.h"
#include "role/settings.h"

#include <sysexits.h>

static int load(const struct tool *t, struct conf **out) {
	AUTO_BUF struct buf path = BUF(PATH_MAX);
	buf_addf(&path, "%s/main.cf", t->conf_dir);
	if (access(buf_text(&path), R_OK) != 0)
		return tool_fatal(t, EX_UNAVAILABLE, "open %s: %s", buf_text(&path), strerror(errno));
	int r = conf_load(&(struct conf_options){ .dir = t->conf_dir }, out);
	return r < 0 ? tool_fatal(t, EX_CONFIG, "%s", fail_text()) : EX_OK;
}

int tool_data(const struct tool *t, struct buf *data) {
	AUTO_CONF struct conf *c = NULL;
	int code = load(t, &c);
	if (code == EX_OK) buf_add(data, conf_text(conf_main(c), SET_data_directory));
	return code;
}

int tool_hello(const struct tool *t, struct submit_hello *out) {
	AUTO_CONF struct conf *c = NULL;
	int code = load(t, &c);
	if (code != EX_OK) return code;
	const struct conf_view *v = conf_main(c);
	static const enum submit_ends ends[] = { SUBMIT_ENDS_ALWAYS, SUBMIT_ENDS_STRICT, SUBMIT_ENDS_NEVER };
	*out = (struct submit_hello){ .size_limit = conf_size(v, SET_message_size_limit),
				      .obsolete_from = conf_enum(v, SET_header_from_format) == FROM_OBSOLETE,
				      .ends = ends[conf_enum(v, SET_sendmail_fix_line_endings)] };
	snprintf(out->charset, sizeof out->charset, "%.*s", SLICE_ARG(conf_text(v, SET_full_name_encoding_charset)));
	snprintf(out->host, sizeof out->host, "%.*s", SLICE_ARG(conf_text(v, SET_myhostname)));
	snprintf(out->origin, sizeof out->origin, "%.*s", SLICE_ARG(conf_text(v, SET_myorigin)));
	return EX_OK;
}

int tool_fast_flush(const struct tool *t, struct slice domain, bool *allowed) {
	AUTO_CONF struct conf *c = NULL;
	int code = load(t, &c);
	size_t n;
	const struct slice *list = code == EX_OK ? conf_list(conf_main(c), SET_fast_flush_domains, &n) : NULL;
	for (size_t i = 0; list != NULL && i < n; i++) {
		struct slice parent = slice_skip(domain, domain.len > list[i].len ? domain.len - list[i].len : 0);
		bool below = domain.len > list[i].len && domain.at[domain.len - list[i].len - 1] == '.' &&
			     slice_same(parent, list[i]);
		*allowed = *allowed || below || slice_same(domain, list[i]);
	}
	return code;
}

int tool_log(const struct tool *t) {
	AUTO_CONF struct conf *c = NULL;
	struct log_target target;
	int code = load(t, &c);
	if (code != EX_OK) return code;
	const struct conf_view *v = conf_main(c);
	if (log_target_of(v, conf_text(v, SET_data_directory).at, false, &target) < 0)
		return tool_fatal(t, EX_CANTCREAT, "%s (run this as the user who runs the server, or as root)",
				  fail_text());
	log_open(&target);
	return EX_OK;
}

/* There is nothing to build; what would have been built is checked. */
int tool_newaliases(const struct tool *t, const char *file) {
	AUTO_CONF struct conf *c = NULL;
	int code = load(t, &c);
	if (code != EX_OK) return EX_TEMPFAIL; /* as sendmail(1), which newaliases is */
	size_t n;
	const struct slice own = slice_of(file),
			   *list = file != NULL ? &own : conf_list(conf_main(c), SET_alias_database, &n);
	if (file != NULL) n = 1;
	char **words = mem_array(n + 2, sizeof *words);
	words[0] = mem_text("postalias");
	for (size_t i = 0; i < n; i++) words[i + 1] = slice_text(list[i]);
	setenv("MAIL_CONFIG", t->conf_dir, 1);
	if (n != 0) code = tool_run((int)n + 1, words);
	for (size_t i = 0; i <= n; i++) free(words[i]);
	free(words);
	return code;
}

int sendmail_main(int argc, char **argv) {
	static const struct sendmail_rest rest = { tool_data, tool_hello, standalone_serve, tool_newaliases, tool_run };
	return sendmail_run(argc, argv, &rest);
}
