/* SPDX-License-Identifier: Apache-2.0 */
/* Own calendar: the C library's knows only the zone of the process and needs a lock for it. The parser takes the words
 * of a date by what they look like, not by where they stand, because real mail orders and separates them in odd ways.
 */
#include "mime/date.h"
#include "mime/inside.h"

static const char month_names[12][4] = {
	"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
};
static const char day_names[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };

/* RFC 5322 §4.3, then what else is common. Other names, the military letters too, say nothing: +0000. */
static const struct zone_name {
	char name[6];
	int minutes;
} zone_names[] = {
	{ "EDT", -240 }, { "EST", -300 }, { "CDT", -300 }, { "CST", -360 }, { "MDT", -360 }, { "MST", -420 },
	{ "PDT", -420 }, { "PST", -480 }, { "BST", 60 }, { "CET", 60 }, { "MET", 60 }, { "CEST", 120 }, { "MEST", 120 },
	{ "EET", 120 }, { "EEST", 180 }, { "MSK", 180 }, { "JST", 540 }, { "KST", 540 },
};

int64_t days_of(int year, int month, int day) {
	/* Years start in March, so that the leap day is their last. */
	int64_t y = year - (month <= 2), era = (y >= 0 ? y : y - 399) / 400;
	int64_t in_era = y - era * 400;
	int64_t in_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
	return era * 146097 + in_era * 365 + in_era / 4 - in_era / 100 + in_year - 719468;
}

void days_split(int64_t days, int *year, int *month, int *day) {
	int64_t shifted = days + 719468, era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
	int64_t of_era = shifted - era * 146097;
	int64_t in_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	int64_t in_year = of_era - (365 * in_era + in_era / 4 - in_era / 100);
	int64_t m = (5 * in_year + 2) / 153;
	*day = (int)(in_year - (153 * m + 2) / 5 + 1);
	*month = (int)(m < 10 ? m + 3 : m - 9);
	*year = (int)(in_era + era * 400 + (*month <= 2));
}

static int days_in_month(int year, int month) {
	int next_year = month == 12 ? year + 1 : year, next = month == 12 ? 1 : month + 1;
	return (int)(days_of(next_year, next, 1) - days_of(year, month, 1));
}

/* 1 to 12, 0 for no month. Long names count by their first three letters. */
static int month_of(struct slice word) {
	for (int i = 0; i < 12; i++)
		if (word.len >= 3 && slice_same(slice_head(word, 3), slice_of(month_names[i]))) return i + 1;
	return 0;
}

/* What has been read so far; -1: not yet. */
struct reading {
	struct slice rest;
	int year, month, day, hour, minute, second, zone;
	bool zoned;
};

static struct slice take_while(struct slice *rest, bool (*like)(char)) {
	size_t n = 0;
	while (n < rest->len && like(rest->at[n])) n++;
	struct slice word = slice_head(*rest, n);
	*rest = slice_skip(*rest, n);
	return word;
}

static int take_number(struct slice *rest, size_t *digits) {
	struct slice word = take_while(rest, ascii_digit);
	uint64_t v = 0;
	*digits = word.len;
	return slice_number(word, 99999, &v) ? (int)v : -1;
}

/* ":MM" and ":SS" behind the hour */
static int take_after_colon(struct slice *rest) {
	struct slice ahead = *rest;
	size_t digits;
	skip_blanks(&ahead);
	if (ahead.len == 0 || ahead.at[0] != ':') return -1;
	ahead = slice_skip(ahead, 1);
	skip_blanks(&ahead);
	int v = take_number(&ahead, &digits);
	if (v >= 0) *rest = ahead;
	return v;
}

static void read_number(struct reading *r) {
	size_t digits;
	int v = take_number(&r->rest, &digits);
	int minute = r->hour < 0 ? take_after_colon(&r->rest) : -1;
	if (minute >= 0) {
		r->hour = v;
		r->minute = minute;
		r->second = take_after_colon(&r->rest);
		if (r->second < 0) r->second = 0;
	} else if (r->day < 0 && digits <= 2) {
		r->day = v;
	} else if (r->year < 0) {
		r->year = v < 0 ? -1 : digits >= 4 ? v : digits == 3 || v >= 50 ? v + 1900 : v + 2000;
	}
}

static void read_word(struct reading *r) {
	struct slice word = take_while(&r->rest, ascii_alpha);
	int month = month_of(word);
	if (r->hour >= 0 && !r->zoned && (month == 0 || r->month > 0)) {
		r->zoned = true;
		for (size_t i = 0; i < LEN(zone_names); i++)
			if (slice_same(word, slice_of(zone_names[i].name))) r->zone = zone_names[i].minutes;
		bool offset_follows = r->rest.len != 0 && (r->rest.at[0] == '+' || r->rest.at[0] == '-'); /* GMT+0900 */
		if (offset_follows && (slice_same(word, S("GMT")) || slice_same(word, S("UTC")))) r->zoned = false;
	} else if (month != 0 && r->month < 0) {
		r->month = month;
	}
}

static void read_offset(struct reading *r) {
	bool west = r->rest.at[0] == '-';
	size_t digits;
	r->rest = slice_skip(r->rest, 1);
	int v = take_number(&r->rest, &digits);
	if (digits == 2 && r->rest.len >= 3 && r->rest.at[0] == ':') { /* +09:00 */
		size_t more;
		r->rest = slice_skip(r->rest, 1);
		v = v * 100 + MAX_OF(take_number(&r->rest, &more), 0);
	} else if (digits <= 2) {
		v *= 100;
	}
	r->zoned = true;
	if (v >= 0 && v <= 9959 && v % 100 < 60) r->zone = (west ? -1 : 1) * (v / 100 * 60 + v % 100);
}

static enum date_answer reading_done(const struct reading *r, struct date *out) {
	if (r->month < 0 || r->year < 1 || r->year > 9999 || r->day < 1) return DATE_BAD;
	if (r->day > days_in_month(r->year, r->month)) return DATE_BAD;
	if (r->hour > 23 || r->minute > 59 || r->second > 60) return DATE_BAD;
	int64_t seconds = MAX_OF(r->hour, 0) * 3600 + MAX_OF(r->minute, 0) * 60 + MIN_OF(MAX_OF(r->second, 0), 59);
	*out = (struct date){ days_of(r->year, r->month, r->day) * 86400 + seconds - r->zone * 60, r->zone };
	return DATE_OK;
}

enum date_answer date_parse(struct slice value, struct date *out) {
	struct reading r = { value, -1, -1, -1, -1, -1, -1, 0, false };
	while (r.rest.len != 0) {
		char c = r.rest.at[0];
		bool sign = c == '+' || c == '-';
		if (c == '(') skip_comment(&r.rest);
		else if (ascii_digit(c)) read_number(&r);
		else if (ascii_alpha(c)) read_word(&r);
		else if (sign && r.hour >= 0 && !r.zoned && r.rest.len > 1 && ascii_digit(r.rest.at[1]))
			read_offset(&r);
		else r.rest = slice_skip(r.rest, 1);
	}
	if (r.hour > 23 || r.minute > 59 || r.second > 60) r.hour = r.minute = r.second = 0; /* RFC 5256 §2.2 */
	return reading_done(&r, out);
}

/* "dd-Mon-yyyy" of 1 or 2 day digits, or a blank and one digit; strict, because a client's program wrote it. */
static bool take_day(struct slice *rest, struct reading *r) {
	size_t digits;
	if (rest->len != 0 && rest->at[0] == ' ') *rest = slice_skip(*rest, 1);
	r->day = take_number(rest, &digits);
	if (digits == 0 || digits > 2 || rest->len < 9 || rest->at[0] != '-' || rest->at[4] != '-') return false;
	r->month = month_of(slice_head(slice_skip(*rest, 1), 3));
	*rest = slice_skip(*rest, 5);
	r->year = take_number(rest, &digits);
	return r->month > 0 && digits == 4;
}

enum date_answer date_parse_internal(struct slice text, struct date *out) {
	static const char form[] = " dd:dd:dd sdddd";
	struct reading r = { SLICE_NONE, -1, -1, -1, 0, 0, 0, 0, true };
	if (!take_day(&text, &r) || text.len != sizeof form - 1) return DATE_BAD;
	for (size_t i = 0; i < text.len; i++) {
		char c = text.at[i];
		bool fits = form[i] == 'd' ? ascii_digit(c) : form[i] == 's' ? c == '+' || c == '-' : c == form[i];
		if (!fits) return DATE_BAD;
	}
	const char *t = text.at;
	r.hour = (t[1] - '0') * 10 + t[2] - '0';
	r.minute = (t[4] - '0') * 10 + t[5] - '0';
	r.second = (t[7] - '0') * 10 + t[8] - '0';
	int minutes = (t[13] - '0') * 10 + t[14] - '0';
	if (minutes > 59) return DATE_BAD;
	r.zone = (t[10] == '-' ? -1 : 1) * (((t[11] - '0') * 10 + t[12] - '0') * 60 + minutes);
	return reading_done(&r, out);
}

enum date_answer date_parse_day(struct slice text, int64_t *out) {
	struct reading r = { SLICE_NONE, -1, -1, -1, 0, 0, 0, 0, true };
	struct date d;
	if (!take_day(&text, &r) || text.len != 0 || reading_done(&r, &d) != DATE_OK) return DATE_BAD;
	*out = d.utc;
	return DATE_OK;
}

struct broken_down {
	int year, month, day, weekday, hour, minute, second;
};

/* Beyond the years that have four digits the nearest moment is taken: a date field must stay parsable. */
static struct broken_down break_down(int64_t utc, int zone) {
	int64_t least = days_of(1, 1, 1) * 86400, most = days_of(10000, 1, 1) * 86400 - 1;
	int64_t local = MIN_OF(MAX_OF(utc, least - 86400), most + 86400) + zone * 60;
	local = MIN_OF(MAX_OF(local, least), most);
	int64_t days = local / 86400 - (local % 86400 < 0), second = local - days * 86400;
	struct broken_down t = { .weekday = (int)(((days + 4) % 7 + 7) % 7), .hour = (int)(second / 3600),
	                         .minute = (int)(second / 60 % 60), .second = (int)(second % 60) };
	days_split(days, &t.year, &t.month, &t.day);
	return t;
}

static void add_zone(struct buf *out, int zone) {
	int z = zone < 0 ? -zone : zone;
	buf_addf(out, " %c%02d%02d", zone < 0 ? '-' : '+', z / 60, z % 60);
}

void date_add(struct buf *out, struct date d) {
	struct broken_down t = break_down(d.utc, d.zone);
	buf_addf(out, "%s, %d %s %04d %02d:%02d:%02d", day_names[t.weekday], t.day, month_names[t.month - 1], t.year,
		t.hour, t.minute, t.second);
	add_zone(out, d.zone);
}

void date_add_utc(struct buf *out, int64_t utc) {
	date_add(out, (struct date){ utc, 0 });
	buf_add(out, S(" (UTC)"));
}

static void put_two(char at[static 2], int n) {
	at[0] = (char)('0' + n / 10 % 10);
	at[1] = (char)('0' + n % 10);
}

/* By hand: it is written for each message of a mailbox. */
void date_add_internal(struct buf *out, struct date d) {
	struct broken_down t = break_down(d.utc, d.zone);
	char text[] = "dd-Mon-yyyy hh:mm:ss +hhmm";
	int zone = d.zone < 0 ? -d.zone : d.zone;
	put_two(text, t.day);
	if (t.day < 10) text[0] = ' ';
	memcpy(text + 3, month_names[t.month - 1], 3);
	put_two(text + 7, t.year / 100);
	put_two(text + 9, t.year % 100);
	put_two(text + 12, t.hour);
	put_two(text + 15, t.minute);
	put_two(text + 18, t.second);
	text[21] = d.zone < 0 ? '-' : '+';
	put_two(text + 22, zone / 60);
	put_two(text + 24, zone % 60);
	buf_add(out, slice_from(text, sizeof text - 1));
}

void date_add_day(struct buf *out, int64_t utc) {
	struct broken_down t = break_down(utc, 0);
	buf_addf(out, "%d-%s-%04d", t.day, month_names[t.month - 1], t.year);
}

struct date date_local(int64_t utc) {
	time_t now = (time_t)utc;
	struct tm local;
	if (localtime_r(&now, &local) == NULL) return (struct date){ utc, 0 };
	return (struct date){ utc, (int)(local.tm_gmtoff / 60) };
}
