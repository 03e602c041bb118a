/* SPDX-License-Identifier: Apache-2.0 */
/* Entries of master.cf, their fields (-F) and their -o settings (-P). */
#include "base/fail.h"
#include "cli/postconf.h"

struct showing {
	const struct postconf *p;
	const struct conf_service *service;
	struct entry entry;
	struct request *request;
};

/* The -o with their $names replaced. */
static int expand_options(struct showing *s) {
	const struct conf_view *view = conf_service_view(s->p->conf, s->service);
	for (size_t i = 0; s->p->expand && i < s->entry.count; i++) {
		AUTO_BUF struct buf out = BUF(MIB(1));
		struct slice name, value;
		if (!entry_option(&s->entry, i, &name, &value)) continue;
		if (conf_expand(view, value, &out) < 0) {
			postconf_warn(s->p, "%s", fail_text());
			return postconf_fatal(s->p, "macro processing error");
		}
		s->entry.args[i] = entry_option_text(name, slice_trim(buf_slice(&out)), s->p->mem);
	}
	return POSTCONF_GOOD;
}

static struct slice label(const struct showing *s, struct slice third) {
	const struct slice *f = s->entry.fields;
	struct slice two = arena_fmt(s->p->mem, "%.*s/%.*s", SLICE_ARG(f[ENTRY_SERVICE]), SLICE_ARG(f[ENTRY_TYPE]));
	return third.at == NULL ? two : arena_fmt(s->p->mem, "%.*s/%.*s", SLICE_ARG(two), SLICE_ARG(third));
}

static int show_entry(struct showing *s) {
	AUTO_BUF struct buf out = BUF(MIB(32));
	s->request->matches++;
	if (s->p->json) {
		for (size_t i = 0; i < ENTRY_COMMAND; i++) buf_addf(&out, "%.*s ", SLICE_ARG(s->entry.fields[i]));
		buf_add(&out, entry_command(&s->entry, s->p->mem));
		postconf_json(label(s, SLICE_NONE), buf_slice(&out));
		return POSTCONF_GOOD;
	}
	entry_put(&out, &s->entry, s->p->fold);
	fwrite(buf_text(&out), 1, out.len, stdout);
	return POSTCONF_GOOD;
}

static void put_folded_command(const struct showing *s, struct slice name) {
	AUTO_BUF struct buf out = BUF(MIB(32));
	if (!s->p->no_names) buf_addf(&out, "%.*s = ", SLICE_ARG(name));
	buf_add(&out, s->entry.fields[ENTRY_COMMAND]);
	entry_put_arguments(&out, &s->entry, out.len, true);
	puts(buf_text(&out));
}

static int show_fields(struct showing *s) {
	int code = POSTCONF_GOOD;
	for (size_t i = 0; code == POSTCONF_GOOD && i < ENTRY_FIELDS; i++) {
		struct slice word = slice_of(entry_field_word(i)), wanted = s->request->parts[2];
		if (s->request->parts_count == 3 && !slice_eq(wanted, S("*")) && !slice_eq(wanted, word)) continue;
		s->request->matches++;
		if (i == ENTRY_COMMAND && s->p->fold && !s->p->no_values) put_folded_command(s, label(s, word));
		else
			code = postconf_put(
				s->p, label(s, word),
				i == ENTRY_COMMAND ? entry_command(&s->entry, s->p->mem) : s->entry.fields[i], NULL);
	}
	return code;
}

struct option {
	struct slice name, value;
};

static int by_name(const void *a, const void *b) {
	return slice_order(((const struct option *)a)->name, ((const struct option *)b)->name);
}

static int show_options(struct showing *s) {
	int code = POSTCONF_GOOD;
	struct option *all = arena_array(s->p->mem, s->entry.count, sizeof *all), o;
	size_t count = 0;
	for (size_t i = 0; i < s->entry.count; i++) {
		if (!entry_option(&s->entry, i, &o.name, &o.value)) continue;
		if (s->request->parts_count == 3 && !slice_eq(s->request->parts[2], S("*")) &&
		    !slice_eq(s->request->parts[2], o.name))
			continue;
		size_t k = 0;
		while (k < count && !slice_eq(all[k].name, o.name)) k++;
		all[k] = o; /* the last counts */
		count = MAX_OF(count, k + 1);
	}
	qsort(all, count, sizeof *all, by_name);
	s->request->matches += count;
	for (size_t i = 0; code == POSTCONF_GOOD && i < count; i++)
		code = postconf_put(s->p, label(s, all[i].name), all[i].value, NULL);
	return code;
}

static int show_request(const struct postconf *p, struct request *r) {
	static int (*const shows[])(struct showing *) = {
		[VIEW_ENTRIES] = show_entry, [VIEW_FIELDS] = show_fields, [VIEW_PARAMETERS] = show_options
	};
	size_t count;
	const struct conf_service *services = conf_services(p->conf, &count);
	int code = POSTCONF_GOOD;
	for (size_t i = 0; code == POSTCONF_GOOD && i < count; i++) {
		struct showing s = { .p = p, .service = &services[i], .request = r };
		if (entry_read(&s.entry, services[i].text, p->mem) < 0) return postconf_fatal(p, "%s", fail_text());
		if (!request_matches(r, s.entry.fields[ENTRY_SERVICE], s.entry.fields[ENTRY_TYPE])) continue;
		code = expand_options(&s);
		if (code == POSTCONF_GOOD) code = shows[p->view](&s);
	}
	return code;
}

static int read_request(const struct postconf *p, struct slice text, struct request *r) {
	static const char *const forms[] = { [VIEW_ENTRIES] = "-M option requires service_name[/type]",
					     [VIEW_FIELDS] = "-F option requires service_name[/type[/field]]",
					     [VIEW_PARAMETERS] = "-P option requires service_name[/type[/parameter]]" };
	if (!request_read(r, text, 1, p->view == VIEW_ENTRIES ? 2 : 3)) return postconf_fatal(p, "%s", forms[p->view]);
	if (p->view == VIEW_FIELDS && r->parts_count == 3 && !slice_eq(r->parts[2], S("*")) &&
	    entry_field(r->parts[2]) == ENTRY_FIELDS)
		return postconf_fatal(p, "invalid service attribute name: \"%.*s\"", SLICE_ARG(r->parts[2]));
	return POSTCONF_GOOD;
}

int postconf_master(const struct postconf *p) {
	struct request all = { .text = S("*") };
	if (p->count == 0) return show_request(p, &all);
	int code = POSTCONF_GOOD;
	for (size_t i = 0; code == POSTCONF_GOOD && i < p->count; i++) {
		struct request r;
		code = read_request(p, p->args[i], &r);
		if (code == POSTCONF_GOOD) code = show_request(p, &r);
		if (code == POSTCONF_GOOD && r.matches == 0 && !p->quiet)
			postconf_warn(p, "unmatched request: \"%.*s\"", SLICE_ARG(p->args[i]));
	}
	return code;
}
