/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/json.h"
#include "admin/text.h"
#include "base/encode.h"

static void put_escaped(struct buf *out, struct slice s) {
	buf_byte(out, '"');
	while (s.len != 0) {
		uint32_t c = utf8_next(&s);
		if (c == '"' || c == '\\') buf_addf(out, "\\%c", (char)c);
		else if (c < 0x20 || (c >= 0x7F && c < 0xA0) || (c >= 0x200B && c <= 0x206F))
			buf_addf(out, "\\u%04x", c);
		else utf8_add(out, c);
	}
	buf_byte(out, '"');
}

static void begin(struct json *j, const char *key) {
	if (j->more) buf_byte(j->out, ',');
	if (j->depth == 1 && key == NULL) buf_byte(j->out, '\n');
	if (key != NULL) {
		put_escaped(j->out, slice_of(key));
		buf_byte(j->out, ':');
	}
	j->more = true;
}

void json_open(struct json *j, const char *key, char bracket) {
	begin(j, key);
	buf_byte(j->out, bracket);
	j->depth++;
	j->more = false;
}

void json_close(struct json *j, char bracket) {
	j->depth--;
	if (j->depth == 0 && bracket == ']' && j->more) buf_byte(j->out, '\n');
	buf_byte(j->out, bracket);
	if (j->depth == 0) buf_byte(j->out, '\n');
	j->more = true;
}

void json_text(struct json *j, const char *key, struct slice s) {
	begin(j, key);
	if (s.at == NULL) buf_add(j->out, S("null"));
	else put_escaped(j->out, s);
}

void json_number(struct json *j, const char *key, int64_t v) {
	begin(j, key);
	buf_addf(j->out, "%lld", (long long)v);
}

void json_bool(struct json *j, const char *key, bool v) {
	begin(j, key);
	buf_add(j->out, v ? S("true") : S("false"));
}

void json_time(struct json *j, const char *key, int64_t us) {
	AUTO_BUF struct buf stamp = BUF(40);
	text_stamp(&stamp, us);
	json_text(j, key, us != 0 ? buf_slice(&stamp) : SLICE_NONE);
}
