/* SPDX-License-Identifier: Apache-2.0 */
/* The texts are those that people get to see: outcomes of commands, refusals, farewells. What only tells a programmer
 * that his client speaks wrongly is in English, as the RFCs are. */
#include "access/language.h"

static const char *const tags[LANGUAGE_COUNT] = { "i-default", "en", "ja" };
static const char *const names[LANGUAGE_COUNT] = { "English", "English", "日本語" }; /* each in itself */

static const struct { const char *english, *japanese; } texts[] = {
	/* log-in and farewell */
	{ "Logged in", "ログインしました" },
	{ "Authentication failed.", "認証に失敗しました。" },
	{ "Too many log-ins from your address, try again later.",
	  "お使いのアドレスからのログインが多すぎます。後でもう一度お試しください。" },
	{ "Authentication cancelled.", "認証が取り消されました。" },
	{ "Temporary authentication failure, try again later.",
	  "一時的に認証できません。後でもう一度お試しください。" },
	{ "Unsupported authentication mechanism.", "対応していない認証方式です。" },
	{ "Passwords are not accepted without TLS (STARTTLS first).",
	  "TLS なしではパスワードを受け付けません (先に STARTTLS が必要です)。" },
	{ "A password was sent without TLS. It must be taken as exposed.",
	  "パスワードが TLS なしで送信されました。漏えいしたものとして扱ってください。" },
	{ "Begin TLS negotiation now.", "TLS のネゴシエーションを開始してください。" },
	{ "TLS is already active.", "TLS はすでに有効です。" },
	{ "TLS is not available.", "TLS は利用できません。" },
	{ "Unauthenticated, log in again.", "ログアウトしました。もう一度ログインしてください。" },
	{ "Logging out", "ログアウトします" },
	{ "Logout completed.", "ログアウトしました。" },
	{ "Server shutting down.", "サーバーを停止します。" },
	{ "Disconnected for inactivity.", "操作がなかったため切断しました。" },
	{ "Too many invalid commands.", "不正なコマンドが多すぎます。" },
	{ "Too many failed log-ins.", "ログインの失敗が多すぎます。" },
	{ "The selected mailbox was deleted.", "選択中のメールボックスが削除されました。" },
	{ "The mailbox's state was lost, please log in again.",
	  "メールボックスの状態が失われました。もう一度ログインしてください。" },
	{ "Still here", "接続中です" },
	{ "Still at it.", "処理を続けています。" },
	/* POP3 */
	{ "Logged in.", "ログインしました。" },
	{ "Logging out.", "ログアウトします。" },
	{ "Passwords are not accepted without TLS (STLS first).",
	  "TLS なしではパスワードを受け付けません (先に STLS が必要です)。" },
	{ "Capability list follows", "機能一覧を送信します" },
	{ "Unique ids follow", "固有 ID の一覧を送信します" },
	{ "UTF8 enabled", "UTF8 を有効にしました" },
	{ "Another session has this mailbox open.", "別の接続がこのメールボックスを使用中です。" },
	{ "You have logged in a moment ago, try again later.",
	  "直前にログインしたばかりです。後でもう一度お試しください。" },
	{ "There is no such message.", "メッセージがありません。" },
	{ "Message is deleted.", "メッセージは削除されています。" },
	{ "Message is gone.", "メッセージはもうありません。" },
	{ "Marked to be deleted.", "削除の印を付けました。" },
	{ "Nothing was deleted: internal error.", "内部エラーのため、何も削除されませんでした。" },
	{ "Internal error, try again later.", "内部エラーです。後でもう一度お試しください。" },
	/* outcomes */
	{ "Pre-login capabilities listed.", "ログイン前の機能一覧を送信しました。" },
	{ "Capability completed.", "機能一覧を送信しました。" },
	{ "NOOP completed.", "NOOP が完了しました。" },
	{ "ID completed.", "ID が完了しました。" },
	{ "Namespace completed.", "名前空間の一覧を送信しました。" },
	{ "Language is now Japanese.", "言語を日本語に変更しました。" },
	{ "Languages listed.", "対応言語の一覧を送信しました。" },
	{ "None of these languages is spoken here.", "指定された言語には対応していません。" },
	{ "Enabled.", "有効にしました。" },
	{ "Idle completed.", "IDLE を終了しました。" },
	{ "Notify completed.", "通知の設定を変更しました。" },
	{ "DEFLATE active.", "DEFLATE 圧縮を開始しました。" },
	{ "List completed.", "メールボックスの一覧を送信しました。" },
	{ "Lsub completed.", "購読中のメールボックスの一覧を送信しました。" },
	{ "Status completed.", "状態を送信しました。" },
	{ "Subscribe completed.", "購読しました。" },
	{ "Unsubscribe completed.", "購読を解除しました。" },
	{ "Create completed.", "メールボックスを作成しました。" },
	{ "Delete completed.", "メールボックスを削除しました。" },
	{ "Rename completed.", "メールボックスの名前を変更しました。" },
	{ "Append completed.", "メッセージを追加しました。" },
	{ "Replace completed.", "メッセージを置き換えました。" },
	{ "Select completed.", "メールボックスを選択しました。" },
	{ "Previous mailbox closed.", "前のメールボックスを閉じました。" },
	{ "First unseen.", "最初の未読メッセージです。" },
	{ "UIDs valid", "UID は有効です" },
	{ "Predicted next UID", "次の UID の予測値です" },
	{ "Highest", "最大値です" },
	{ "Examine completed.", "メールボックスを読み取り専用で選択しました。" },
	{ "Moved UIDs.", "移動したメッセージの UID です。" },
	{ "Flags permitted.", "変更できるフラグです。" },
	{ "Read-only mailbox.", "読み取り専用のメールボックスです。" },
	{ "Check completed.", "チェックが完了しました。" },
	{ "Close completed.", "メールボックスを閉じました。" },
	{ "Unselect completed.", "メールボックスの選択を解除しました。" },
	{ "Expunge completed.", "メッセージを完全に削除しました。" },
	{ "Fetch completed.", "メッセージを送信しました。" },
	{ "Store completed.", "フラグを変更しました。" },
	{ "Search completed.", "検索が完了しました。" },
	{ "Sort completed.", "並べ替えが完了しました。" },
	{ "Thread completed.", "スレッドの一覧を送信しました。" },
	{ "Copy completed.", "メッセージをコピーしました。" },
	{ "Move completed.", "メッセージを移動しました。" },
	{ "No messages found.", "メッセージは見つかりませんでした。" },
	{ "No messages copied.", "コピーされたメッセージはありません。" },
	{ "Getacl completed.", "アクセス権の一覧を送信しました。" },
	{ "Setacl completed.", "アクセス権を設定しました。" },
	{ "Deleteacl completed.", "アクセス権を削除しました。" },
	{ "Listrights completed.", "付与できるアクセス権の一覧を送信しました。" },
	{ "Myrights completed.", "自分のアクセス権を送信しました。" },
	{ "Getmetadata completed.", "メタデータを送信しました。" },
	{ "Setmetadata completed.", "メタデータを設定しました。" },
	{ "Getquota completed.", "容量制限を送信しました。" },
	{ "Getquotaroot completed.", "容量制限を送信しました。" },
	{ "Setquota completed.", "容量制限を設定しました。" },
	/* refusals */
	{ "Mailbox doesn't exist.", "メールボックスがありません。" },
	{ "Mailbox already exists.", "メールボックスはすでに存在します。" },
	{ "Invalid mailbox name.", "メールボックスの名前が正しくありません。" },
	{ "INBOX can't be deleted.", "INBOX は削除できません。" },
	{ "Quota exceeded (mailbox for user is full).", "容量制限を超えています (メールボックスがいっぱいです)。" },
	{ "The account doesn't exist any more.", "アカウントはもう存在しません。" },
	{ "Too many mailboxes, keywords or messages.", "メールボックス、キーワードまたはメッセージが多すぎます。" },
	{ "Permission denied.", "アクセスが許可されていません。" },
	{ "The message doesn't exist any more.", "メッセージはもう存在しません。" },
	{ "No such message.", "メッセージがありません。" },
	{ "Some of the messages no longer exist.", "一部のメッセージはもう存在しません。" },
	{ "The messages no longer exist.", "メッセージはもう存在しません。" },
	{ "The server's disk is full, try again later.",
	  "サーバーのディスクがいっぱいです。後でもう一度お試しください。" },
	{ "Internal error occurred, see the server's log.",
	  "内部エラーが発生しました。サーバーのログを確認してください。" },
	{ "Mailbox is read-only.", "メールボックスは読み取り専用です。" },
	{ "Message too large.", "メッセージが大きすぎます。" },
	{ "A message can't be empty.", "空のメッセージは追加できません。" },
	{ "Literal too large.", "リテラルが大きすぎます。" },
	{ "Too many messages in one command.", "一度に処理できるメッセージの数を超えています。" },
	{ "None of these flags may be changed here.", "これらのフラグはここでは変更できません。" },
	{ "Only administrators set limits.", "容量制限を設定できるのは管理者だけです。" },
	{ "No such quota root.", "そのような容量制限はありません。" },
	{ "No mailbox selected.", "メールボックスが選択されていません。" },
	{ "Unknown command.", "不明なコマンドです。" },
	{ "Unknown command, or not before log-in.", "不明なコマンドか、ログイン前には使えないコマンドです。" },
	/* prefixes of namespaces */
	{ "Shared", "共有" },
	{ "Other Users", "他のユーザー" },
	{ "Public", "公開フォルダー" },
	{ "Public Folders", "公開フォルダー" },
};

const char *language_tag(enum language l) {
	return tags[l];
}

const char *language_name(enum language l) {
	return names[l];
}

/* language-range of RFC 4647 §2.1: parts of up to 8 letters and digits, the first of letters; or "*". */
static bool is_range(struct slice s) {
	size_t part = 0;
	if (slice_eq(s, S("*"))) return true;
	for (size_t i = 0; i < s.len; i++) {
		bool first = slice_find(slice_head(s, i), '-') == i;
		if (s.at[i] == '-' && part == 0) return false;
		part = s.at[i] == '-' ? 0 : part + 1;
		if (part > 8 || (part != 0 && !ascii_alpha(s.at[i]) && (first || !ascii_digit(s.at[i])))) return false;
	}
	return part != 0;
}

bool language_of(struct slice range, enum language *out) {
	if (!is_range(range)) return false;
	if (slice_same(range, S("default")) || slice_eq(range, S("*"))) {
		*out = range.len == 1 ? LANGUAGE_EN : LANGUAGE_DEFAULT;
		return true;
	}
	for (struct slice at = range; at.len != 0;) {
		for (size_t i = 0; i < LANGUAGE_COUNT; i++) {
			if (!slice_same(at, slice_of(tags[i]))) continue;
			*out = (enum language)i;
			return true;
		}
		size_t cut = slice_find_last(at, '-');
		at = cut == at.len ? SLICE_NONE : slice_head(at, cut);
		/* a part of one letter leads in the next, and goes with it */
		if (at.len > 1 && at.at[at.len - 2] == '-') at = slice_head(at, at.len - 2);
	}
	return false;
}

void language_list(struct buf *out) {
	buf_add(out, S("* LANGUAGE ("));
	for (size_t i = 1; i < LANGUAGE_COUNT; i++) buf_addf(out, "%s ", tags[i]);
	buf_addf(out, "%s)\r\n", tags[LANGUAGE_DEFAULT]);
}

bool language_choose(const struct slice *ranges, size_t count, enum language *out) {
	for (size_t i = 0; i < count; i++)
		if (language_of(ranges[i], out)) return true;
	return false;
}

struct slice language_text(enum language l, struct slice english) {
	for (size_t i = 0; i < LEN(texts) && l == LANGUAGE_JA; i++)
		if (slice_eq(english, slice_of(texts[i].english))) return slice_of(texts[i].japanese);
	return SLICE_NONE;
}

static size_t text_begin(struct slice s) {
	static const char *const before[] = { "* ", "OK ", "NO ", "BAD ", "BYE " };
	size_t at = 0;
	for (size_t i = 0; i < LEN(before); i++)
		if (slice_starts(slice_skip(s, at), slice_of(before[i]))) at += strlen(before[i]);
	if (at < s.len && s.at[at] == '[') at += MIN_OF(slice_search(slice_skip(s, at), S("] ")) + 2, s.len - at);
	return at;
}

void language_add(struct buf *out, enum language l, struct slice response) {
	size_t at = l == LANGUAGE_JA ? text_begin(response) : response.len;
	struct slice said = language_text(l, slice_skip(response, at));
	buf_add(out, said.len != 0 ? slice_head(response, at) : response);
	buf_add(out, said);
}
