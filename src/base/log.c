/* SPDX-License-Identifier: Apache-2.0 */
/* Lines are built in one buffer and leave in one write, so that lines of several processes never mix in a file. A long
 * value is cut, so that the line always fits and is always whole (its newline, the closing brace of JSON). */
#include "base/log.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/encode.h"

#include <pthread.h>
#include <syslog.h>

enum { LONGEST_VALUE = 4096, LONGEST_LINE = 1 << 20, USUAL_LINE = 256, GATHER_MOST = LONGEST_LINE / 2 };

static struct log_target target = { .fd = STDERR_FILENO, .least = L_INFO, .name = "hato", .host = "localhost" };
static pthread_rwlock_t target_lock = PTHREAD_RWLOCK_INITIALIZER;

static const char *const level_names[] = { "debug", "info", "warning", "error", "fatal", "panic" };
static const int level_priorities[] = { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERR, LOG_CRIT, LOG_CRIT };

/* What could steer a terminal or turn a line around: C0, DEL, C1, separators and directions of Unicode. */
static bool steers(uint32_t c) {
	return c < 32 || (c >= 0x7f && c < 0xa0) || c == 0x200e || c == 0x200f || (c >= 0x2028 && c <= 0x202e) ||
	       (c >= 0x2066 && c <= 0x2069);
}

/* How many plain bytes stand at the front: nearly always all of them. */
static size_t plain_length(struct slice s) {
	size_t n = 0;
	while (n < s.len && s.at[n] >= ' ' && s.at[n] < 0x7f) n++;
	return n;
}

static void add_clean(struct buf *out, struct slice s) {
	s = slice_head(s, LONGEST_VALUE);
	while (s.len != 0) {
		size_t plain = plain_length(s);
		buf_add(out, slice_head(s, plain));
		s = slice_skip(s, plain);
		if (s.len == 0) return;
		uint32_t c = utf8_next(&s);
		if (steers(c)) buf_byte(out, '?');
		else utf8_add(out, c);
	}
}

static void add_number(struct buf *out, int64_t number) {
	char digits[24], *at = digits + sizeof digits;
	uint64_t left = number < 0 ? ~(uint64_t)number + 1 : (uint64_t)number;
	do *--at = (char)('0' + left % 10);
	while ((left /= 10) != 0);
	if (number < 0) *--at = '-';
	buf_add(out, slice_from(at, (size_t)(digits + sizeof digits - at)));
}

static void add_text_fields(struct buf *out, const struct log_field *f, size_t count, bool comma) {
	for (size_t i = 0; i < count; i++, f++) {
		if (f->kind == FIELD_REMARK) {
			buf_add(out, S(" ("));
			add_clean(out, f->text);
			buf_byte(out, ')');
			continue;
		}
		if (comma) buf_add(out, S(", "));
		comma = true;
		buf_add(out, slice_of(f->key));
		buf_byte(out, '=');
		if (f->kind == FIELD_NUMBER) {
			add_number(out, f->number);
			continue;
		}
		if (f->kind == FIELD_ADDRESS) buf_byte(out, '<');
		add_clean(out, f->text);
		if (f->kind == FIELD_ADDRESS) buf_byte(out, '>');
	}
}

/* "Nov 22 04:31:39 ": made once a second in each thread, because localtime_r takes a lock. */
static void add_time(struct buf *out, int64_t now_us) {
	static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
					    "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	static _Thread_local int64_t made_at = -1;
	static _Thread_local char made[32];
	int64_t second = now_us / 1000000;
	if (second != made_at) {
		time_t seconds = (time_t)second;
		struct tm tm;
		localtime_r(&seconds, &tm);
		snprintf(made, sizeof made, "%s %2d %02d:%02d:%02d ", months[tm.tm_mon], tm.tm_mday, tm.tm_hour,
			 tm.tm_min, tm.tm_sec);
		made_at = second;
	}
	buf_add(out, slice_of(made));
}

/* "imap-login" of "=dovecot/imap-login", whose tag is dovecot's; NULL: the service has a tag of its own. */
static const char *part_of(const char *service) {
	const char *slash = service[0] == '=' ? strchr(service, '/') : NULL;
	return slash != NULL ? slash + 1 : NULL;
}

static void format_text(struct buf *out, const struct log_target *t, int64_t now_us, enum log_level level,
                        const char *service, uint64_t session, const char *id, const char *text,
                        const struct log_field *f, size_t count) {
	if (t->fd >= 0) {
		add_time(out, now_us);
		buf_add(out, slice_of(t->host));
		buf_byte(out, ' ');
	}
	const char *part = part_of(service);
	if (part == NULL && service[0] != '/') {
		buf_add(out, slice_of(t->name));
		buf_byte(out, '/');
	}
	if (part == NULL) buf_add(out, slice_of(service + (service[0] == '/')));
	else buf_add(out, slice_from(service + 1, (size_t)(part - service - 2)));
	buf_byte(out, '[');
	add_number(out, session != 0 ? (int64_t)session : getpid());
	buf_add(out, S("]: "));
	if (part != NULL) buf_addf(out, "%s: ", part);
	if (level >= L_WARN) buf_addf(out, "%s: ", level_names[level]);
	if (id != NULL && id[0] != '\0') {
		buf_add(out, slice_of(id));
		buf_add(out, S(": "));
	}
	if (text != NULL) add_clean(out, slice_of(text));
	add_text_fields(out, f, count, false);
}

static void add_json(struct buf *out, struct slice s) {
	s = slice_head(s, LONGEST_VALUE);
	buf_byte(out, '"');
	while (s.len != 0) {
		uint32_t c = utf8_next(&s);
		if (c == '"' || c == '\\') buf_addf(out, "\\%c", (int)c);
		else if (steers(c)) buf_addf(out, "\\u%04x", c);
		else utf8_add(out, c);
	}
	buf_byte(out, '"');
}

static void format_json(struct buf *out, const struct log_target *t, int64_t now_us, enum log_level level,
                        const char *service, uint64_t session, const char *id, const char *text,
                        const struct log_field *f, size_t count) {
	time_t seconds = (time_t)(now_us / 1000000);
	struct tm tm;
	gmtime_r(&seconds, &tm);
	buf_addf(out, "{\"time\":\"%04d-%02d-%02dT%02d:%02d:%02d.%06dZ\",\"host\":", tm.tm_year + 1900, tm.tm_mon + 1,
		 tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(now_us % 1000000));
	add_json(out, slice_of(t->host));
	const char *part = part_of(service);
	buf_addf(out, ",\"service\":\"%s\",\"session\":%llu", part != NULL ? part : service + (service[0] == '/'),
		 (unsigned long long)(session != 0 ? session : (uint64_t)getpid()));
	if (id != NULL && id[0] != '\0') buf_addf(out, ",\"id\":\"%s\"", id);
	buf_addf(out, ",\"level\":\"%s\"", level_names[level]);
	if (text != NULL) {
		buf_add(out, S(",\"text\":"));
		add_json(out, slice_of(text));
	}
	for (size_t i = 0; i < count; i++, f++) {
		buf_addf(out, ",\"%s\":", f->key);
		if (f->kind == FIELD_NUMBER) buf_addf(out, "%lld", (long long)f->number);
		else add_json(out, f->text);
	}
	buf_byte(out, '}');
}

/* In what was added from `start` on: key=<"local part"@domain> loses its quotes and backslashes. Never grows. */
static void bare_addresses(struct buf *out, size_t start) {
	size_t to = start;
	for (size_t i = start; i < out->len;) {
		struct slice rest = slice_from(out->at + i, out->len - i);
		if (!slice_starts(rest, S("=<\""))) {
			out->at[to++] = out->at[i++];
			continue;
		}
		size_t end = 3;
		while (end < rest.len && rest.at[end] != '"') end += rest.at[end] == '\\' ? 2 : 1;
		bool address = end + 1 < rest.len && (rest.at[end + 1] == '@' || rest.at[end + 1] == '>');
		memcpy(out->at + to, "=<", 2);
		to += 2;
		if (!address) out->at[to++] = '"';
		for (size_t k = 3; address && k < end; k++) {
			if (rest.at[k] == '\\') k++;
			out->at[to++] = rest.at[k];
		}
		i += address ? end + 1 : 3;
	}
	out->len = to;
}

void log_format(struct buf *out, const struct log_target *t, int64_t now_us, enum log_level level, const char *service,
                uint64_t session, const char *id, const char *text, const struct log_field *fields, size_t count) {
	size_t start = out->len;
	(t->form == LOG_FORM_JSON ? format_json : format_text)(out, t, now_us, level, service, session, id, text,
							       fields, count);
	if (t->bare_addresses && t->form == LOG_FORM_TEXT) bare_addresses(out, start);
}

void log_open(const struct log_target *new_target) {
	pthread_rwlock_wrlock(&target_lock);
	target = *new_target;
	if (target.fd < 0) openlog(target.name, LOG_NDELAY, target.facility); /* while we may still connect */
	pthread_rwlock_unlock(&target_lock);
}

/* syslog(3) writes its own tag and ": " in front. Ours is another one for each line, so it is handed over as that:
 * under a lock, since the tag is the whole process's. */
static void to_syslog(enum log_level level, struct buf *out) {
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	buf_text(out);
	char *line = out->at, *colon = target.form == LOG_FORM_TEXT ? strstr(line, ": ") : NULL;
	if (colon != NULL) *colon = '\0';
	pthread_mutex_lock(&lock);
	openlog(colon != NULL ? line : target.name, LOG_NDELAY, target.facility);
	syslog(level_priorities[level], "%s", colon != NULL ? colon + 2 : line);
	openlog(target.name, LOG_NDELAY, target.facility); /* the line goes away */
	pthread_mutex_unlock(&lock);
}

/* Lines that a thread gathers between log_gather and log_release. */
static _Thread_local struct buf gathered;
static _Thread_local bool gathering;

static void write_out(const struct buf *lines) {
	ssize_t n = write(target.fd, lines->at, lines->len);
	(void)n; /* a log that cannot be written must not stop the mail */
}

void log_gather(void) {
	gathered = BUF(LONGEST_LINE);
	buf_room(&gathered, USUAL_LINE * 4);
	gathering = true;
}

static void write_gathered(void) {
	if (gathered.len != 0 && target.fd >= 0) write_out(&gathered);
	buf_clear(&gathered);
}

void log_release(void) {
	pthread_rwlock_rdlock(&target_lock);
	write_gathered();
	pthread_rwlock_unlock(&target_lock);
	gathering = false;
	buf_done(&gathered);
}

void log_line(enum log_level level, const char *service, uint64_t session, const char *id, const char *text,
              const struct log_field *fields, size_t count) {
	int kept = errno;
	AUTO_BUF struct buf own = BUF(LONGEST_LINE);
	pthread_rwlock_rdlock(&target_lock);
	if (level >= target.least) {
		bool gather = gathering && target.fd >= 0;
		struct buf *line = gather ? &gathered : &own;
		if (gather && line->len > GATHER_MOST) write_gathered();
		buf_room(line, USUAL_LINE); /* one allocation, not one for each doubling */
		log_format(line, &target, wall_us(), level, service, session, id, text, fields, count);
		if (target.fd >= 0) buf_byte(line, '\n');
		if (target.fd < 0) to_syslog(level, line);
		else if (!gather) write_out(line);
	}
	pthread_rwlock_unlock(&target_lock);
	errno = kept;
}

void say(enum log_level level, const char *service, const char *format, ...) {
	char text[LONGEST_VALUE];
	va_list args;
	va_start(args, format);
	int n = vsnprintf(text, sizeof text, format, args);
	va_end(args);
	log_line(level, service, 0, NULL, n < 0 ? format : text, NULL, 0);
}
