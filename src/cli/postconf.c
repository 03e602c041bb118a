/* SPDX-License-Identifier: Apache-2.0 */
/* The options of postconf(1). Options end at the first word that is none, as in Postfix: "-x name -o a=b" shows two
 * names. */
#include "cli/postconf.h"
#include "base/fail.h"
#include "net/file.h"

#include <getopt.h>

static int usage(const struct postconf *p) {
	return postconf_fatal(
		p,
		"usage: postconf [-a (server SASL types)] [-A (client SASL types)] [-b (bounce templates)] [-c "
		"config_dir] "
		"[-C param_class] [-d (parameter defaults)] [-e (edit configuration)] [-f (fold lines)] [-F (master.cf "
		"fields)] "
		"[-h (no names)] [-H (no values)] [-j (JSON output)] [-l (lock types)] [-m (map types)] [-M "
		"(master.cf)] "
		"[-n (non-default parameters)] [-o name=value (override parameter value)] [-p (main.cf, default)] "
		"[-P (master.cf parameters)] [-q (no warnings)] [-t (bounce templates)] "
		"[-T compile-version|run-version|public-key-algorithms] [-v (verbose)] [-x (expand parameter values)] "
		"[-X (exclude)] [-# (comment-out)] [name...]");
}

static int take_classes(struct postconf *p, const char *text) {
	static const char *const words[] = {
		[CONF_BUILTIN] = "builtin", [CONF_SERVICE] = "service", [CONF_USER] = "user"
	};
	struct slice rest = slice_of(text);
	memset(p->classes, 0, sizeof p->classes);
	for (struct slice word; (word = slice_word(&rest, ", \t\r\n")).len != 0;) {
		bool known = false;
		for (size_t i = 0; i < LEN(words); i++)
			if (slice_eq(word, slice_of(words[i])) || slice_eq(word, S("all")))
				known = p->classes[i] = true;
		if (!known)
			return postconf_fatal(p, "unknown -C option value \"%.*s\" in \"%s\"", SLICE_ARG(word), text);
	}
	return POSTCONF_GOOD;
}

/* What is done, of which there can be one; and what it is done to. */
static int take_act(struct postconf *p, int option, int acts[2]) {
	static const char views[] = "pMFP";
	const char *view = strchr(views, option);
	int *act = &acts[view != NULL];
	static const char order[] = "aAbdelmntTX#FMPp";
	if (*act != 0 && *act != option) {
		bool first = strchr(order, *act) < strchr(order, option);
		return postconf_fatal(p, "specify one of -%c, -%c", first ? *act : option, first ? option : *act);
	}
	*act = option;
	if (view != NULL) p->view = (enum postconf_view)(view - views);
	else if (option == 'd') p->defaults = true;
	else if (option == 'n') p->set_only = true;
	else if (option == 'e') p->act = ACT_EDIT;
	else if (option == '#') p->act = ACT_COMMENT;
	else if (option == 'X') p->act = ACT_EXCLUDE;
	else p->list = (char)option;
	return POSTCONF_GOOD;
}

static int take_setting(struct postconf *p, struct slice text) {
	struct slice name, value;
	const char *wrong = request_cut(text, &name, &value);
	if (wrong != NULL) return postconf_fatal(p, "invalid parameter override: %.*s: %s", SLICE_ARG(text), wrong);
	p->settings[p->settings_count++] = text;
	return POSTCONF_GOOD;
}

static int take_options(struct postconf *p, int argc, char **argv) {
	int acts[2] = { 0, 0 }, option, code = POSTCONF_GOOD;
	optind = 1;
	while (code == POSTCONF_GOOD && (option = getopt(argc, argv, "+aAbc:C:deEfFhHjlmMno:pPqtT:vxX#")) != -1) {
		switch (option) {
		case 'c': p->tool.conf_dir = optarg, p->dir_given = true; break;
		case 'C': code = take_classes(p, optarg); break;
		case 'f': p->fold = true; break;
		case 'h': p->no_names = true; break;
		case 'H': p->no_values = true; break;
		case 'j': p->json = true; break;
		case 'o': code = take_setting(p, slice_of(optarg)); break;
		case 'q': p->quiet = true; break;
		case 'v': break;
		case 'x': p->expand = true; break;
		case '?': case 'E': code = usage(p); break;
		case 'T': p->tls_mode = optarg; /* fall through */
		default: code = take_act(p, option, acts);
		}
	}
	if (code == POSTCONF_GOOD && p->view != VIEW_MAIN && (p->defaults || p->set_only || p->list != '\0'))
		return postconf_fatal(p, "with option -%c, do not specify -%c", acts[1], acts[0]);
	if (code == POSTCONF_GOOD && p->no_names && p->no_values) return postconf_fatal(p, "specify one of -h, -H");
	if (code == POSTCONF_GOOD && p->json && (p->fold || p->no_names || p->no_values))
		return postconf_fatal(p, "with option -j, do not specify -%c", p->fold ? 'f' : p->no_names ? 'h' : 'H');
	return code;
}

/* What is wrong with the form of the files is told by every command, and ends it when it is an error. */
static int tell_form(const struct postconf *p) {
	size_t count;
	const struct problem *at = conf_problems(p->conf, &count);
	for (size_t i = 0; i < count; i++) {
		if (at[i].about != PROBLEM_FORM) continue;
		AUTO_BUF struct buf line = BUF(KIB(16));
		buf_addf(&line, "%.*s, line %u: %.*s", SLICE_ARG(at[i].file), at[i].line, SLICE_ARG(at[i].text));
		if (at[i].level == PROBLEM_ERROR) return postconf_fatal(p, "%s", buf_text(&line));
		if (!p->quiet) postconf_warn(p, "%s", buf_text(&line));
	}
	return POSTCONF_GOOD;
}

/* Values whose $names lead nowhere end what must show them expanded. */
static int tell_expansion(const struct postconf *p) {
	size_t count;
	const struct problem *at = conf_problems(p->conf, &count);
	for (size_t i = 0; i < count; i++) {
		if (at[i].about != PROBLEM_EXPANSION) continue;
		postconf_warn(p, "%.*s", SLICE_ARG(at[i].text));
		return postconf_fatal(p, "macro processing error");
	}
	return POSTCONF_GOOD;
}

static int load(struct postconf *p) {
	AUTO_BUF struct buf path = BUF(PATH_MAX);
	struct conf_options o = { .dir = p->tool.conf_dir,
				  .settings = p->settings,
				  .settings_count = p->settings_count };
	AUTO_BUF struct buf master = BUF(SOURCE_LIMIT);
	static const char *const files[] = { "main.cf", "master.cf" };
	for (size_t i = 0; i < LEN(files); i++) {
		if (i == 0 && p->defaults) continue;
		buf_clear(&path);
		buf_addf(&path, "%s/%s", p->tool.conf_dir, files[i]);
		if (access(buf_text(&path), R_OK) == 0) continue;
		if (i == 0 || p->view != VIEW_MAIN)
			return postconf_fatal(p, "open %s: %s", buf_text(&path), strerror(errno));
		if (!p->quiet) postconf_warn(p, "open %s: %s", buf_text(&path), strerror(errno));
	}
	int r;
	if (p->defaults) {
		r = access(buf_text(&path), F_OK) == 0 ? file_read(buf_text(&path), &master) : 0;
		if (r >= 0) r = conf_build(&o, S(""), slice_of(buf_text(&master)), &p->conf);
	} else r = conf_load(&o, &p->conf);
	int code = r < 0 ? postconf_fatal(p, "%s", fail_text()) : tell_form(p);
	if (code == POSTCONF_GOOD && p->expand) code = tell_expansion(p);
	if (code == POSTCONF_GOOD && !p->defaults) postconf_tell_undefined(p);
	return code;
}

static int run(struct postconf *p) {
	if (p->list == 'b' || p->list == 't') {
		if (p->count > 1)
			return postconf_fatal(p, "options -b and -t require at most one template file");
		int loaded = load(p);
		return loaded != POSTCONF_GOOD ? loaded : postconf_list(p);
	}
	if (p->list != '\0') return postconf_list(p);
	bool values = p->count != 0 && slice_find(p->args[0], '=') < p->args[0].len; /* the first says what is meant */
	if (values && (p->act == ACT_COMMENT || p->act == ACT_EXCLUDE))
		return postconf_fatal(p, "specify one of -e, -%c", p->act == ACT_COMMENT ? '#' : 'X');
	if (p->act == ACT_SHOW && values) p->act = ACT_EDIT;
	if (p->act == ACT_EDIT && p->count == 0) return postconf_fatal(p, "-e requires name=value argument");
	if (p->act != ACT_SHOW && p->count == 0) return postconf_fatal(p, "missing service argument");
	if (p->act != ACT_SHOW) return postconf_edit(p);
	int code = load(p);
	if (code != POSTCONF_GOOD) return code;
	code = p->view == VIEW_MAIN ? postconf_main(p) : postconf_master(p);
	if (code == POSTCONF_GOOD && !p->defaults && !p->quiet) postconf_tell_unused(p);
	return code;
}

int postconf_program(int argc, char **argv) {
	AUTO_ARENA struct arena mem = { 0 };
	struct postconf p = { .classes = { true, true, true }, .mem = &mem };
	tool_begin(&p.tool, argc, argv);
	p.settings = arena_array(&mem, (size_t)argc, sizeof p.settings[0]);
	int code = take_options(&p, argc, argv);
	if (code != POSTCONF_GOOD) return code;
	struct slice *args = arena_array(&mem, (size_t)argc, sizeof args[0]);
	for (int i = optind; i < argc; i++) args[p.count++] = slice_of(argv[i]);
	p.args = args;
	code = run(&p);
	conf_drop(&p.conf);
	return code;
}
