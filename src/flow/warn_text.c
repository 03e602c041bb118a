/* SPDX-License-Identifier: Apache-2.0 */
#include "flow/warn_text.h"
#include "base/clock.h"
#include "mime/compose.h"

enum { TEXT_ROOM = 64 * 1024 };

static const char usual_text[] =
	"The mailbox of $account is $percent % full: $used of $limit, $messages messages.\n"
	"When it is full, new mail is refused. Please delete what you do not need any more, and empty the trash.\n"
	"\n"
	"$account のメールボックスの使用量が $percent % になりました（$used / $limit、$messages 通）。\n"
	"上限に達すると新しいメールを受信できなくなります。不要なメールを削除し、ごみ箱を空にしてください。\n";

static void put_size(struct buf *out, uint64_t bytes) {
	if (bytes >= UINT64_C(1) << 30) buf_addf(out, "%.1f GB", (double)bytes / (double)(UINT64_C(1) << 30));
	else if (bytes >= 1 << 20) buf_addf(out, "%.1f MB", (double)bytes / (double)(1 << 20));
	else buf_addf(out, "%llu KB", (unsigned long long)(bytes + 1023) / 1024);
}

static void put_limit(struct buf *out, uint64_t limit, bool size) {
	if (limit == 0) buf_add(out, S("-"));
	else if (size) put_size(out, limit);
	else buf_addf(out, "%llu", (unsigned long long)limit);
}

static bool put_name(struct buf *out, const struct warn_facts *w, struct slice name) {
	if (slice_eq(name, S("percent"))) buf_addf(out, "%u", w->level);
	else if (slice_eq(name, S("used"))) put_size(out, w->bytes);
	else if (slice_eq(name, S("limit"))) put_limit(out, w->byte_limit, true);
	else if (slice_eq(name, S("messages"))) buf_addf(out, "%llu", (unsigned long long)w->messages);
	else if (slice_eq(name, S("message_limit"))) put_limit(out, w->message_limit, false);
	else if (slice_eq(name, S("account"))) buf_add(out, w->account);
	else return false;
	return true;
}

static void fill_in(struct buf *out, const struct warn_facts *w, struct slice form) {
	for (size_t i = 0; i < form.len; i++) {
		size_t end = i + 1;
		if (form.at[i] == '\\' && end < form.len && form.at[end] == 'n') {
			buf_byte(out, '\n');
			i++;
			continue;
		}
		while (form.at[i] == '$' && end < form.len && (ascii_alpha(form.at[end]) || form.at[end] == '_')) end++;
		if (end > i + 1 && put_name(out, w, slice_from(form.at + i + 1, end - i - 1))) i = end - 1;
		else buf_byte(out, form.at[i]);
	}
}

static struct mailbox mailbox_of(struct slice address) {
	size_t at = slice_find_last(address, '@');
	return (struct mailbox){ .local = slice_head(address, at), .domain = slice_skip(address, at + 1) };
}

void warn_compose(struct buf *out, const struct warn_params *params, const struct warn_facts *w, struct arena *mem,
		  struct slice *id) {
	*id = compose_message_id(mem, w->host);
	AUTO_BUF struct buf text = BUF(TEXT_ROOM);
	AUTO_BUF struct buf line = BUF(KIB(2));
	compose_date_field(out, date_local(wall_s()));
	compose_mailbox_field(out, "From", S("Mail System"), mailbox_of(params->sender));
	fill_in(&line, w, params->subject);
	compose_text_field(out, "Subject", buf_slice(&line));
	compose_mailbox_field(out, "To", SLICE_NONE, mailbox_of(w->account));
	compose_field(out, "Message-ID", *id);
	compose_field(out, "Auto-Submitted", S("auto-generated"));
	compose_field(out, "MIME-Version", S("1.0"));
	fill_in(&text, w, params->text.len != 0 ? params->text : slice_of(usual_text));
	compose_text(out, "plain", buf_slice(&text), false);
}
