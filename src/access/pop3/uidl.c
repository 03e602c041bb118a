/* SPDX-License-Identifier: Apache-2.0 */
/* The form of unique ids: clients that knew a mailbox on another server must find the same ids here, or they fetch all
 * their mail again. */
#include "access/pop3/session.h"
#include "base/buf.h"

struct field {
	bool hex, zero;
	unsigned width;
	char what;
};

/* Behind the %: moves *at past the field. */
static bool field_read(const char **at, struct field *f) {
	const char *p = *at;
	*f = (struct field){ 0 };
	if (*p == '0') f->zero = true;
	while (ascii_digit(*p) && f->width < 100) f->width = f->width * 10 + (unsigned)(*p++ - '0');
	if (*p == 'X') {
		f->hex = true;
		p++;
	}
	f->what = *p;
	*at = p + (*p != '\0');
	return f->width <= 32 && (f->what == 'u' || f->what == 'v' || (f->what == '%' && f->width == 0 && !f->hex));
}

bool pop3_uidl_good(const char *format) {
	bool uid = false;
	size_t len = 0;
	for (const char *at = format; *at != '\0';) {
		struct field f;
		if (*at < 0x21 || *at > 0x7e) return false;
		if (*at++ != '%') {
			len++;
			continue;
		}
		if (!field_read(&at, &f)) return false;
		uid = uid || f.what == 'u';
		len += MAX_OF(f.width, 10u);
	}
	return uid && len <= 70; /* RFC 1939 §7 */
}

void pop3_uidl_add(struct buf *out, const char *format, uint32_t uid, uint32_t uidvalidity) {
	for (const char *at = format; *at != '\0';) {
		struct field f;
		char digits[16];
		if (*at != '%') {
			buf_byte(out, *at++);
			continue;
		}
		at++;
		if (!field_read(&at, &f)) return;
		if (f.what == '%') {
			buf_byte(out, '%');
			continue;
		}
		unsigned n = (unsigned)snprintf(digits, sizeof digits, f.hex ? "%x" : "%u",
						f.what == 'u' ? uid : uidvalidity);
		for (unsigned i = n; i < f.width; i++) buf_byte(out, f.zero ? '0' : ' ');
		buf_add(out, slice_from(digits, n));
	}
}
