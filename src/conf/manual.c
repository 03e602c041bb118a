/* SPDX-License-Identifier: Apache-2.0 */
/* hato.cf(5) and the table of verdicts are written from the list of settings, so that neither can say anything that is
 * not so. */
#include "base/encode.h"
#include "conf/conf.h"

static const struct row {
	const char *group; /* NULL: a setting */
	enum setting_id id;
} rows[] = {
#define GROUP(title) { title, (enum setting_id)0 },
#define SETTING(state, name, kind, fallback, doc) { NULL, SET_##name },
#include "conf/settings.def"
#undef SETTING
#undef GROUP
};

static const char *const head[] = {
	".\\\" Written by hato from its list of settings: do not edit.",
	".Dd November 22, 2026",
	".Dt HATO.CF 5",
	".Os",
	".Sh NAME",
	".Nm main.cf ,",
	".Nm master.cf",
	".Nd configuration of hato, in the language of Postfix",
	".Sh DESCRIPTION",
	"Both files are in",
	".Pa /etc/hato ,",
	"or in Postfix's folder where that has none,",
	"or the folder named with",
	".Fl c .",
	"Without",
	".Pa main.cf",
	"all settings have their defaults;",
	"without",
	".Pa master.cf",
	"hato listens on ports 25 (smtp), 587 (submission), 465 (submissions), 143 (imap) and 993 (imaps).",
	"What is wrong in them is told with file and line when hato starts, after a reload, and by",
	".Ql hato check .",
	".Sh MAIN.CF",
	"A logical line is",
	".Ql name = value .",
	"A line that begins with a blank continues the one before.",
	"Empty lines and lines whose first character is",
	".Ql #",
	"are left out;",
	".Ql #",
	"inside a value is part of it.",
	"When a name is set twice the last line counts.",
	"Lists are words separated by commas or blanks; braces keep blanks together.",
	"Times are numbers with s, m, h, d or w.",
	".Pp",
	"A value may contain:",
	".Bl -tag -width Ds",
	".It Ic $name , ${name} , $(name)",
	"the value of another parameter, or nothing when there is none",
	".It Ic ${name?{text}} , ${name:{text}} , ${name?{text}:{text}}",
	"a text that depends on whether the parameter has a value",
	".It Ic ${{a} == {b} ? {text} : {text}}",
	"a text that depends on a comparison with ==, !=, <, <=, > or >=, of numbers when both are, else of texts;",
	"with the word level behind the operator, of releases",
	".It Ic $$",
	"a dollar sign",
	".El",
	".Pp",
	"Names that are not listed below may be set and used; one that nothing uses gives a warning.",
	"Lists of networks and domains may hold",
	".Ql !pattern",
	"(excluded) and",
	".Ql /file",
	"(the patterns in that file); the first pattern that matches decides.",
	".Sh MASTER.CF",
	"One service a line:",
	".Dl service type private unprivileged chroot wakeup maxproc command",
	"followed by",
	".Fl o Ar name Ns = Ns Ar value",
	"or",
	".Fl o Ic { name = value }",
	"for settings of that service only.",
	"A",
	".Ql -",
	"takes the default.",
	"Services of type inet are named by",
	".Ar port , host : Ns Ar port",
	"or",
	".Ar [address] : Ns Ar port .",
	"Commands that listen are smtpd, imapd and pop3d.",
	"Names of inner services of Postfix are accepted and mean nothing here;",
	"columns other than type, maxproc and command have no effect.",
};

/* Text in which roff sees nothing special; a list without blanks may be broken behind its colons. */
static void put_text(FILE *out, const char *text) {
	if (text[0] == '.' || text[0] == '\'') fputs("\\&", out);
	for (struct slice rest = slice_of(text); rest.len != 0;) {
		uint32_t c = utf8_next(&rest);
		if (c == '\\') fputs("\\e", out);
		else if (c == '-') fputs("\\-", out);
		else if (c >= 0x80) fprintf(out, "\\[u%04X]", c);
		else fputc((int)c, out);
		if (c == ':') fputs("\\:", out);
	}
}

static void put_kind(FILE *out, const struct setting *s) {
	static const char *const kinds[] = {
		[KIND_TEXT] = "text",
		[KIND_RAW] = "text, expanded at use",
		[KIND_LEVEL] = "release",
		[KIND_ORIGIN] = "text or file",
		[KIND_BOOL] = "yes or no",
		[KIND_NUMBER] = "number",
		[KIND_TIME] = "time",
		[KIND_SIZE] = "bytes",
		[KIND_WORDS] = "",
		[KIND_LIST] = "list",
		[KIND_NETWORKS] = "list of networks",
		[KIND_DOMAINS] = "list of domains",
	};
	fputs(kinds[s->kind], out);
	if (s->kind == KIND_TIME) fprintf(out, ", in %c without a unit", s->unit);
	for (size_t i = 0; s->words != NULL && s->words[i] != NULL; i++) {
		if (i > 0) fputs(", ", out);
		put_text(out, s->words[i]);
	}
}

static void put_setting(FILE *out, const struct setting *s) {
	static const char *const states[] = {
		[ACTED] = NULL, [NOT_YET] = "Understood but not acted on by this version.",
		[UNNEEDED] = "Accepted without effect.", [OLD] = "An old setting.",
		[GONE] = "An old setting.",
	};
	fprintf(out, ".It Sy %s\n(", s->name);
	put_kind(out, s);
	fputs("; default: ", out);
	put_text(out, s->fallback == NULL ? "from the machine" : s->fallback[0] == '\0' ? "empty" : s->fallback);
	fputs(")\n.br\n", out);
	put_text(out, s->doc);
	fputc('\n', out);
	if (states[s->state] != NULL) fprintf(out, ".Em \"%s\"\n", states[s->state]);
}

void conf_manual(FILE *out) {
	for (size_t i = 0; i < LEN(head); i++) fprintf(out, "%s\n", head[i]);
	fputs(".Sh SETTINGS\n", out);
	bool open = false;
	for (size_t i = 0; i < LEN(rows); i++) {
		if (rows[i].group == NULL) {
			put_setting(out, setting_of(rows[i].id));
			continue;
		}
		if (open) fputs(".El\n", out);
		fprintf(out, ".Ss %s\n.Bl -tag -width Ds\n", rows[i].group);
		open = true;
	}
	if (open) fputs(".El\n", out);
	fputs(".Sh SEE ALSO\n.Xr hato 8\n", out);
}

/* Text in which Markdown sees nothing special. */
static void put_plain(FILE *out, const char *text) {
	for (; *text != '\0'; text++) {
		if (strchr("|\\`*_<>[]", *text) != NULL) fputc('\\', out);
		fputc(*text, out);
	}
}

static void put_row(FILE *out, const char *prefix, const char *name, const char *verdict, const char *fallback,
		    const char *doc) {
	fputs("| ", out);
	put_plain(out, prefix);
	put_plain(out, name);
	fprintf(out, " | %s | ", verdict);
	put_plain(out, fallback == NULL ? "from the machine" : fallback);
	fputs(" | ", out);
	put_plain(out, doc);
	fputs(" |\n", out);
}

static const char *const verdicts[] = {
	[ACTED] = "works",  [NOT_YET] = "not yet", [UNNEEDED] = "not needed",
	[OLD] = "old name", [GONE] = "old name",
};

bool conf_explain(struct slice name, struct buf *out) {
	const struct setting *s = setting_find(name);
	if (s == NULL) return false;
	const char *fallback = s->fallback != NULL ? s->fallback : "(from the machine)";
	buf_addf(out, "  %s = %s\n        %s\n", s->name, fallback, s->doc);
	if (s->state != ACTED) buf_addf(out, "        In hato: %s.\n", verdicts[s->state]);
	return true;
}

void conf_verdicts(FILE *out) {
	static const struct {
		const char *ending;
		enum setting_id model;
	} of_transports[] = {
#define TRANSPORT_ROW(id, ending, fallback) { ending, SET_##fallback },
		TRANSPORT_SETTINGS(TRANSPORT_ROW)
#undef TRANSPORT_ROW
	};
	size_t counts[GONE + 1] = { 0 };
	for (size_t i = 0; i < SETTINGS_COUNT; i++) counts[setting_of((enum setting_id)i)->state]++;
	fprintf(out,
		"# What hato does with each parameter\n\nWritten by hato from its list of settings. *works*: does what "
		"the manual says (%zu). "
		"*not yet*: read and checked, and a warning says that nothing comes of it (%zu). *not needed*: "
		"accepted, and a line of `hato check` says "
		"why nothing comes of it (%zu). *old name*: sets the parameter that took its place (%zu). Any other "
		"name may be set and used in "
		"values; one that nothing uses gives a warning.\n",
		counts[ACTED], counts[NOT_YET], counts[UNNEEDED], counts[OLD] + counts[GONE]);
	for (size_t i = 0; i < LEN(rows); i++) {
		const struct setting *s = setting_of(rows[i].id);
		if (rows[i].group != NULL)
			fprintf(out,
				"\n## %s\n\n| parameter | verdict | default | meaning |\n| --- | --- | --- | --- |\n",
				rows[i].group);
		else put_row(out, "", s->name, verdicts[s->state], s->fallback, s->doc);
	}
	fprintf(out, "\n## Of each transport in master.cf\n\n| parameter | verdict | default | meaning |\n| --- | --- "
		     "| --- | --- |\n");
	for (size_t i = 0; i < LEN(of_transports); i++) {
		const struct setting *s = setting_of(of_transports[i].model);
		char fallback[128];
		snprintf(fallback, sizeof fallback, "$%s", s->name);
		put_row(out, "<service>", of_transports[i].ending, verdicts[s->state], fallback, s->doc);
	}
}
