/* SPDX-License-Identifier: Apache-2.0 */
/* What a milter writes into a header is text of a stranger: it cannot end the field or the header. */
#include "flow/header.h"
#include "mime/header.h"

static void need_room(struct header_list *l) {
	if (l->count < l->room) return;
	size_t room = MAX_OF(l->room * 2, (size_t)32);
	struct header_item *more = arena_array(l->mem, room, sizeof *more);
	if (l->count != 0) memcpy(more, l->at, l->count * sizeof *more);
	l->at = more;
	l->room = room;
}

void header_list_read(struct header_list *l, struct slice text, struct arena *mem) {
	*l = (struct header_list){ .mem = mem };
	struct fields walk = { .block = text };
	struct field f;
	while (fields_next(&walk, &f)) {
		need_room(l);
		l->at[l->count++] =
			(struct header_item){ f.name, f.value, slice_from(text.at + f.start, f.end - f.start) };
	}
}

static struct header_item made(struct arena *mem, struct slice name, struct slice value) {
	AUTO_BUF struct buf text = BUF(name.len + value.len * 3 + 10);
	for (size_t i = 0; i < name.len; i++)
		if (!ascii_control(name.at[i]) && name.at[i] != ':' && name.at[i] != ' ') buf_byte(&text, name.at[i]);
	size_t n = text.len;
	buf_byte(&text, ':');
	while (value.len != 0 && (value.at[value.len - 1] == '\n' || value.at[value.len - 1] == '\r')) value.len--;
	for (size_t i = 0; i < value.len; i++) {
		char c = value.at[i];
		if (c == '\0') continue;
		if (c != '\r' && c != '\n') {
			buf_byte(&text, c);
			continue;
		}
		while (i + 1 < value.len && (value.at[i + 1] == '\r' || value.at[i + 1] == '\n')) i++;
		buf_add(&text, S("\r\n"));
		if (i + 1 < value.len && !ascii_blank(value.at[i + 1])) buf_byte(&text, '\t');
	}
	buf_add(&text, S("\r\n"));
	struct slice kept = arena_slice(mem, buf_slice(&text));
	return (struct header_item){ slice_head(kept, n), slice_from(kept.at + n + 1, kept.len - n - 3), kept };
}

void header_list_insert(struct header_list *l, size_t at, struct slice name, struct slice value) {
	struct header_item item = made(l->mem, name, value);
	if (item.name.len == 0) return;
	at = MIN_OF(at, l->count);
	need_room(l);
	if (at != l->count) memmove(&l->at[at + 1], &l->at[at], (l->count - at) * sizeof *l->at);
	l->at[at] = item;
	l->count++;
}

size_t header_list_find(const struct header_list *l, struct slice name, size_t index) {
	for (size_t i = 0; i < l->count; i++)
		if (!l->at[i].ours && slice_same(l->at[i].name, name) && --index == 0) return i;
	return l->count;
}

void header_list_delete(struct header_list *l, size_t at) {
	if (at >= l->count) return;
	l->count--;
	memmove(&l->at[at], &l->at[at + 1], (l->count - at) * sizeof *l->at);
}

void header_list_change(struct header_list *l, size_t at, struct slice name, struct slice value) {
	struct header_item item = made(l->mem, name, value);
	if (item.name.len != 0 && at < l->count) l->at[at] = item;
}

bool header_list_write(const struct header_list *l, struct buf *out) {
	for (size_t i = 0; i < l->count; i++) buf_add(out, l->at[i].text);
	return !out->full;
}
