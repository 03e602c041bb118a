/* SPDX-License-Identifier: Apache-2.0 */
/* The words of notices: as they are written (-t), or with their $names replaced (-b). */
#include "base/fail.h"
#include "cli/postconf.h"
#include "conf/bounce.h"
#include "net/file.h"

static int put_expanded(const struct postconf *p, enum bounce_kind kind, const struct bounce_template *t,
			const char *path) {
	AUTO_BUF struct buf text = BUF(MIB(16));
	if (bounce_expand(conf_main(p->conf), t->text, &text) < 0)
		return postconf_fatal(p, "%s: bad $name syntax in %s template: %s", path, bounce_kind_word(kind),
				      fail_text());
	printf("expanded_%s_text = <<EOF\n%sEOF\n", bounce_kind_word(kind), buf_text(&text));
	return POSTCONF_GOOD;
}

static void put_written(enum bounce_kind kind, const struct bounce_template *t) {
	const struct { const char *name; struct slice value;
	} fields[] = {
		{ "Charset", t->charset },
		{ "From", t->from },
		{ "Subject", t->subject },
		{ "Postmaster-Subject", t->postmaster_subject },
	};
	printf("%s_template = <<EOF\n", bounce_kind_word(kind));
	for (size_t i = 0; i < LEN(fields); i++)
		if (fields[i].value.len != 0) printf("%s: %.*s\n", fields[i].name, SLICE_ARG(fields[i].value));
	printf("\n%.*sEOF\n", SLICE_ARG(t->text));
}

/* Of the file named last on the command line, "" being none; else of bounce_template_file. */
int postconf_templates(const struct postconf *p) {
	struct problems problems = { .mem = p->mem };
	struct bounce_template all[BOUNCE_KINDS];
	AUTO_BUF struct buf text = BUF(SOURCE_LIMIT);
	const char *path = p->count != 0 ? p->args[0].at : conf_text(conf_main(p->conf), SET_bounce_template_file).at;
	if (path[0] != '\0' && file_read(path, &text) < 0) return postconf_fatal(p, "%s", fail_text());
	bounces_read(all, slice_of(buf_text(&text)), slice_of(path), &problems);
	for (size_t i = 0; i < problems.count && !p->quiet; i++)
		postconf_warn(p, "%s, line %u: %.*s", path, problems.at[i].line, SLICE_ARG(problems.at[i].text));
	for (int i = 0; i < BOUNCE_KINDS; i++) {
		if (i > 0) printf("\n");
		if (p->list == 't') put_written((enum bounce_kind)i, &all[i]);
		else if (put_expanded(p, (enum bounce_kind)i, &all[i], path) != POSTCONF_GOOD) return POSTCONF_FATAL;
	}
	return POSTCONF_GOOD;
}
