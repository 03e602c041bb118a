/* SPDX-License-Identifier: Apache-2.0 */
/* How a check ends: refusals with their codes and texts, deferrals that wait for how the list ends, and permits that
 * are to be logged. Everything that has to be alike for all refusals is done here, in the order in which smtpd does it.
 */
#include "filter/restrict_private.h"
#include "base/log.h"

enum { REPLY_ROOM = 512, REPLY_MOST = 510 };

void warn(const struct walk *w, const char *format, ...) {
	char text[600];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	if (w->run->ops->warn != NULL) w->run->ops->warn(w->run->ctx, text);
}

void log_what(const struct walk *w, const char *what, struct slice text) {
	if (w->run->ops->log != NULL) w->run->ops->log(w->run->ctx, what, text);
}

static bool status_valid(const char *s) {
	unsigned class, subject, detail;
	int end = 0;
	return sscanf(s, "%1u.%3u.%3u%n", &class, &subject, &detail, &end) == 3 && s[end] == '\0' &&
	       (class == 2 || class == 4 || class == 5);
}

/* trouble: ours, never a mere warning. */
static enum result refuse(struct walk *w, bool trouble, int code, const char *status, const char *text) {
	char room[REPLY_ROOM];
	bool warning = w->warn != 0 && !trouble;
	if (code < 400 || code > 599 || !status_valid(status)) {
		warn(w, "SMTP reply code configuration error: %d %s %s", code, status, text);
		code = 450, status = "4.7.1", text = "Service unavailable";
	}
	int len = snprintf(room, sizeof room, "%d %s ", code, status);
	snprintf(room + len, (size_t)(REPLY_MOST + 1 - len), "%s", text);
	for (char *c = room; *c != '\0'; c++)
		if (ascii_control(*c)) *c = ' ';
	if (!warning && w->state->if_reject.active && code >= 500) {
		struct restrict_deferral d = w->state->if_reject;
		w->warn = 0;
		w->state->if_reject.active = false;
		return refuse(w, trouble, d.code, d.status, d.text);
	}
	if (w->p->soft_bounce && room[0] == '5') room[0] = '4';
	room[4] = room[0];
	struct slice whole = slice_of(room);
	if (warning) {
		log_what(w, "reject_warning", whole);
		return DUNNO;
	}
	struct restrict_reply *out = w->out;
	out->code = (room[0] - '0') * 100 + code % 100;
	snprintf(out->status, sizeof out->status, "%c%s", room[0], status + 1);
	out->text = arena_slice(w->run->mem, slice_skip(whole, (size_t)len));
	return REJECT;
}

#define FORMATTED(text, format) \
	char text[REPLY_ROOM * 2]; \
	do { \
		va_list args; \
		va_start(args, format); \
		vsnprintf(text, sizeof text, format, args); \
		va_end(args); \
	} while (0)

enum result reject(struct walk *w, int code, const char *status, const char *format, ...) {
	FORMATTED(text, format);
	return refuse(w, false, code, status, text);
}

enum result reject_trouble(struct walk *w, int code, const char *status, const char *format, ...) {
	FORMATTED(text, format);
	return refuse(w, true, code, status, text);
}

enum result wait_and_return(struct walk *w) {
	*w->out = (struct restrict_reply){ .code = RESTRICT_WAIT };
	return REJECT;
}

enum result server_error(struct walk *w) {
	return refuse(w, true, 451, "4.3.5", "Server configuration error");
}

enum result lookup_trouble(struct walk *w, struct slice about) {
	return reject_trouble(w, 451, "4.3.0", "<%.*s>: Temporary lookup failure", SLICE_ARG(about));
}

static void keep(struct restrict_deferral *d, int code, const char *status, const char *text) {
	if (d->active) return; /* the first reason, to minimize confusion */
	d->active = true;
	d->code = code;
	snprintf(d->status, sizeof d->status, "%s", status);
	snprintf(d->text, sizeof d->text, "%.*s", (int)sizeof d->text - 1, text);
}

enum result defer_if_permit(struct walk *w, int action, int code, const char *status, const char *format, ...) {
	FORMATTED(text, format);
	if (w->warn != 0 || action != TEMPFAIL_DEFER_IF_PERMIT) return refuse(w, false, code, status, text);
	keep(&w->state->if_permit, code, status, text);
	return DUNNO;
}

enum result defer_if_reject(struct walk *w, int code, const char *status, const char *format, ...) {
	FORMATTED(text, format);
	keep(&w->state->if_reject, code, status, text);
	return DUNNO;
}

enum result reject_deferral(struct walk *w, const struct restrict_deferral *d) {
	return refuse(w, false, d->code, d->status, d->text);
}

enum result permit(struct walk *w, struct slice action, const char *title, struct slice name, const char *table) {
	for (size_t i = 0; i < w->p->log_permits_count; i++) {
		struct slice pattern = w->p->log_permits[i];
		bool except = slice_starts(pattern, S("!"));
		if (!slice_same(slice_skip(pattern, except), action) &&
		    !slice_eq(slice_skip(pattern, except), S("static:all")))
			continue;
		if (except) break;
		AUTO_BUF struct buf text = BUF(KIB(2));
		buf_addf(&text, "action=%.*s for %s=%.*s", SLICE_ARG(action), title, SLICE_ARG(name));
		buf_addf(&text, " %s%s", table != NULL ? "from " : "", table != NULL ? table : "");
		log_what(w, "permit", buf_slice(&text));
		break;
	}
	return PERMIT;
}

const char *split_status(struct walk *w, struct slice *text, const char *standard) {
	struct slice word = slice_head(*text, slice_find(*text, ' '));
	char *status = arena_text(w->run->mem, word);
	if (word.len == 0 || word.len > 11 || !status_valid(status)) return standard;
	*text = slice_trim(slice_skip(*text, word.len));
	return status;
}

/* What x.1.N, which is about an address, is where it is said of a sender and of a recipient; of all else: x.0.0. */
static const struct { const char *detail, *sender, *recipient; } sides[] = {
	{ "1", "1.7", "1.1" }, { "2", "1.8", "1.2" }, { "3", "1.7", "1.3" },
	{ "4", "1.7", "1.4" }, { "5", "1.0", "1.5" }, { "6", "1.7", "1.6" },
	{ "7", "1.7", "1.3" }, { "8", "1.8", "1.2" }, { NULL, "1.0", "1.0" },
};

const char *fix_status(struct walk *w, const char *status, enum item item) {
	if (strncmp(status + 1, ".1.", 3) != 0) return status;
	size_t i = 0;
	while (sides[i].detail != NULL && strcmp(sides[i].detail, status + 4) != 0) i++;
	const char *detail = item == ITEM_SENDER      ? sides[i].sender
	                     : item == ITEM_RECIPIENT ? sides[i].recipient
	                                              : "0.0";
	return arena_fmt(w->run->mem, "%c.%s", status[0], detail).at;
}
