/* SPDX-License-Identifier: Apache-2.0 */
/* The words are for people who have never heard of SMTP, and the first line says who speaks. */
#include "conf/bounce.h"
#include "base/fail.h"
#include "conf/expand.h"
#include "conf/snapshot.h"

#define FROM S("Mail Delivery System <MAILER-DAEMON>")
#define HOST "This is the mail system at host $myhostname.\n\n"

static const char *const kind_words[BOUNCE_KINDS] = { "failure", "delay", "success", "verify" };

static const struct bounce_template built_in[BOUNCE_KINDS] = {
	[BOUNCE_FAILURE] = { S("us-ascii"), FROM, S("Undelivered Mail Returned to Sender"),
			     S("Postmaster Copy: Undelivered Mail"),
			     S(HOST "I'm sorry to have to inform you that your message could not be delivered\n"
				    "to one or more recipients. The reason stands below each address; the words\n"
				    "after \"said:\" are those of the other server. Your message is attached.\n") },
	[BOUNCE_DELAY] = { S("us-ascii"), FROM, S("Delayed Mail (still being retried)"),
			   S("Postmaster Warning: Delayed Mail"),
			   S(HOST "Your message has not reached one or more recipients yet. You need not send\n"
				  "it again: delivery is tried for $maximal_queue_lifetime_days day(s).\n") },
	[BOUNCE_SUCCESS] = { S("us-ascii"), FROM, S("Successful Mail Delivery Report"), S(""),
			     S(HOST "Your message is in the mailbox of its recipient, or was handed over to the\n"
				    "next mail server, which does not send reports of its own.\n") },
	[BOUNCE_VERIFY] = { S("us-ascii"), FROM, S("Mail Delivery Status Report"), S(""),
			    S(HOST "This is the report about a delivery that you asked for.\n") },
};

const char *bounce_kind_word(enum bounce_kind kind) { return kind_words[kind]; }

struct reader {
	struct slice rest, path;
	unsigned line;
	struct problems *p;
};

static void tell(const struct reader *r, const char *what, struct slice detail) {
	problem_add(r->p, PROBLEM_WARNING, (struct place){ r->path, r->line }, "%s%.*s -- ignoring this template", what,
		    SLICE_ARG(detail));
}

static bool next_line(struct reader *r, struct slice *line) {
	if (r->rest.at == NULL || r->rest.len == 0) return false;
	*line = slice_cut(&r->rest, '\n');
	if (line->len > 0 && line->at[line->len - 1] == '\r') line->len--;
	r->line++;
	return true;
}

/* What stands between the first line and the end mark. */
static bool read_here_text(struct reader *r, struct slice mark, struct slice *out) {
	struct slice start = r->rest, line;
	while (next_line(r, &line)) {
		if (!slice_eq(line, mark)) continue;
		*out = slice_head(start, (size_t)(line.at - start.at));
		return true;
	}
	tell(r, "missing end marker: ", mark);
	return false;
}

static bool read_header(const struct reader *r, struct bounce_template *t, struct slice line) {
	size_t colon = slice_find(line, ':');
	struct slice name = slice_trim(slice_head(line, colon)), value = slice_trim(slice_skip(line, colon + 1));
	const struct { struct slice name, *value;
	} fields[] = {
		{ S("Charset"), &t->charset },
		{ S("From"), &t->from },
		{ S("Subject"), &t->subject },
		{ S("Postmaster-Subject"), &t->postmaster_subject },
	};
	for (size_t i = 0; colon < line.len && i < LEN(fields); i++)
		if (slice_same(name, fields[i].name) && slice_is_ascii(value)) return *fields[i].value = value, true;
	tell(r, "unknown header label, or no ASCII: ", slice_head(line, 80));
	return false;
}

static bool starts_with_header(struct slice text) {
	struct slice line = slice_cut(&text, '\n'), name = slice_head(line, slice_find(line, ':'));
	for (size_t i = 0; i < name.len; i++)
		if (!ascii_alpha(name.at[i]) && name.at[i] != '-') return false;
	return name.len > 0 && name.len < line.len;
}

/* Headers, an empty line, text; or text alone. */
static bool read_template(const struct reader *r, struct slice text, struct bounce_template *t) {
	bool headers = starts_with_header(text);
	while (headers && text.len > 0) {
		struct slice line = slice_trim(slice_cut(&text, '\n'));
		if (line.len == 0) headers = false;
		else if (!read_header(r, t, line)) return false;
	}
	if (!headers && text.len > 0 && text.at[0] == '\n') text = slice_skip(text, 1);
	if (slice_trim(text).len == 0) return tell(r, "missing message text", SLICE_NONE), false;
	if (!slice_is_ascii(text) && !slice_same(t->charset, S("utf-8")))
		return tell(r,
			    "text beyond ASCII is taken as utf-8 only (save the file as UTF-8, with \"Charset: "
			    "utf-8\"), not as ",
			    t->charset),
		       false;
	t->text = text;
	return true;
}

void bounces_read(struct bounce_template out[BOUNCE_KINDS], struct slice text, struct slice path, struct problems *p) {
	memcpy(out, built_in, sizeof built_in);
	struct reader r = { .rest = arena_slice(p->mem, text), .path = path, .p = p };
	for (struct slice line; next_line(&r, &line);) {
		line = slice_trim(line);
		if (line.len == 0 || line.at[0] == '#') continue;
		struct slice mark = line, name = slice_trim(slice_cut(&mark, '=')), body;
		mark = slice_trim(mark);
		if (!slice_starts(mark, S("<<")) || mark.len == 2) {
			tell(&r, "expected \"name = <<EOF\": ", slice_head(line, 80));
			continue;
		}
		if (!read_here_text(&r, slice_trim(slice_skip(mark, 2)), &body)) return;
		size_t k = 0;
		while (k < BOUNCE_KINDS && !(slice_starts(name, slice_of(kind_words[k])) &&
					     slice_eq(slice_skip(name, strlen(kind_words[k])), S("_template"))))
			k++;
		struct bounce_template made = k < BOUNCE_KINDS ? built_in[k] : (struct bounce_template){ 0 };
		if (k == BOUNCE_KINDS) tell(&r, "unknown template name: ", name);
		else if (read_template(&r, body, &made)) out[k] = made;
	}
}

const struct bounce_template *conf_bounce(const struct conf *c, enum bounce_kind kind) { return &c->bounces[kind]; }

/* "delay_warning_time_hours": a time in that unit. */
static bool add_time(const struct conf_view *v, struct slice name, struct buf *out) {
	static const struct { struct slice ending; int64_t ms;
	} units[] = {
		{ S("_seconds"), 1000 },  { S("_minutes"), 60000 },   { S("_hours"), 3600000 },
		{ S("_days"), 86400000 }, { S("_weeks"), 604800000 },
	};
	static const enum setting_id times[] = { SET_delay_warning_time, SET_maximal_queue_lifetime };
	for (size_t i = 0; i < LEN(units); i++)
		for (size_t k = 0; k < LEN(times); k++) {
			struct slice time = slice_of(setting_of(times[k])->name);
			if (slice_starts(name, time) && slice_eq(slice_skip(name, time.len), units[i].ending))
				return buf_addf(out, "%lld", (long long)(conf_time_ms(v, times[k]) / units[i].ms));
		}
	return false;
}

static int add_value(void *ctx, struct slice name, struct buf *out) {
	const struct conf_view *v = ctx;
	struct slice text;
	if (add_time(v, name, out)) return EXPAND_KNOWN;
	if (!conf_text_named(v, name, &text)) return EXPAND_UNKNOWN;
	buf_add(out, text);
	return EXPAND_KNOWN;
}

int bounce_expand(const struct conf_view *v, struct slice text, struct buf *out) {
	unsigned depth = 0;
	struct expand_ops ops = { add_value, (void *)(uintptr_t)v, &depth };
	return expand(text, &ops, out);
}

void bounces_load(struct conf *c) {
	struct slice path = conf_text(&c->main, SET_bounce_template_file), text = S("");
	struct place where = c->main_raws[SET_bounce_template_file].where;
	if (path.len > 0) {
		int r = source_read(&c->files, path, &text);
		if (r == SOURCE_ABSENT)
			problem_add(&c->problems, PROBLEM_WARNING, where,
				    "bounce_template_file: %.*s: no such file: the built-in words are used",
				    SLICE_ARG(path));
		else if (r < 0)
			problem_add(&c->problems, PROBLEM_WARNING, where,
				    "bounce_template_file: %s: the built-in words are used", fail_text());
	}
	bounces_read(c->bounces, text, path, &c->problems);
	for (size_t i = 0; i < BOUNCE_KINDS; i++) {
		AUTO_BUF struct buf out = BUF(EXPAND_LIMIT);
		if (bounce_expand(&c->main, c->bounces[i].text, &out) == 0) continue;
		problem_add(&c->problems, PROBLEM_WARNING, (struct place){ path, 0 },
			    "bad $name syntax in %s template: %s: the built-in words are used", kind_words[i],
			    fail_text());
		c->bounces[i] = built_in[i];
	}
}
