/* SPDX-License-Identifier: Apache-2.0 */
/* Every command there is, and when it may be given. What stands here is all that an extension has to add. */
#include "access/imap/limit.h"
#include "access/imap/status.h"

static const char imap_capabilities[] =
	"IMAP4rev1 IMAP4rev2 LITERAL+ SASL-IR ID ENABLE NAMESPACE UIDPLUS UNSELECT MOVE IDLE CHILDREN ESEARCH "
	"SPECIAL-USE "
	"CREATE-SPECIAL-USE LIST-EXTENDED LIST-STATUS LIST-MYRIGHTS LIST-METADATA ACL RIGHTS=kxte METADATA "
	"METADATA-SERVER "
	"QUOTA QUOTA=RES-STORAGE QUOTA=RES-MESSAGE QUOTASET "
	"CONDSTORE QRESYNC OBJECTID SAVEDATE STATUS=SIZE STATUS=DELETED UIDONLY "
	"UIDBATCHES INPROGRESS NOTIFY UNAUTHENTICATE "
	"BINARY MULTIAPPEND CATENATE REPLACE PREVIEW UTF8=ACCEPT COMPRESS=DEFLATE "
	"SEARCHRES WITHIN PARTIAL SEARCH=FUZZY MULTISEARCH CONTEXT=SEARCH CONTEXT=SORT ESORT SORT SORT=DISPLAY "
	"THREAD=ORDEREDSUBJECT THREAD=REFERENCES THREAD=REFS I18NLEVEL=1 LANGUAGE";

bool imap_discards(const struct imap_session *s, struct slice capability) {
	struct slice rest = s->context->params.discard, word;
	if (s->no_uidonly && slice_same(capability, S("UIDONLY"))) return true;
	while ((word = slice_word(&rest, " \t\n,")).len != 0)
		if (slice_same(word, capability)) return true;
	return false;
}

void imap_put_capabilities(struct imap_session *s) {
	uint64_t messages = imap_messages_limit(s), saves = imap_saves_limit(s);
	struct slice rest = slice_of(imap_capabilities), word;
	buf_add(imap_out(s), S("CAPABILITY"));
	while ((word = slice_word(&rest, " ")).len != 0)
		if (!imap_discards(s, word)) buf_addf(imap_out(s), " %.*s", SLICE_ARG(word));
	buf_addf(imap_out(s), " APPENDLIMIT=%llu", (unsigned long long)imap_append_limit(s));
	if (messages != 0) buf_addf(imap_out(s), " MESSAGELIMIT=%llu", (unsigned long long)messages);
	else if (saves != 0) buf_addf(imap_out(s), " SAVELIMIT=%llu", (unsigned long long)saves);
}

enum {
	BOX = IMAP_SELECTED,
	UID = IMAP_UID,
	SETS = IMAP_UID | IMAP_NUMBERS,
	HOLD = IMAP_NO_EXPUNGE,
	QUIET = IMAP_NO_NEWS,
	WRITES = IMAP_SELECTED | IMAP_WRITES
};

static const struct imap_command commands[] = {
	/* any time */
	{ "CAPABILITY", imap_do_capability, 0 },
	{ "NOOP", imap_do_noop, 0 },
	{ "LOGOUT", imap_do_logout, QUIET },
	{ "ID", imap_do_id, 0 },
	{ "NAMESPACE", imap_do_namespace, 0 },
	{ "LANGUAGE", imap_do_language, 0 },
	{ "ENABLE", imap_do_enable, 0 },
	{ "IDLE", imap_do_idle, QUIET },
	{ "NOTIFY", imap_do_notify, 0 },
	{ "UNAUTHENTICATE", imap_do_unauthenticate, QUIET },
	{ "COMPRESS", imap_do_compress, QUIET },
	/* mailboxes */
	{ "LIST", imap_do_list, 0 },
	{ "LSUB", imap_do_lsub, 0 },
	{ "STATUS", imap_do_status, 0 },
	{ "SUBSCRIBE", imap_do_subscribe, 0 },
	{ "UNSUBSCRIBE", imap_do_unsubscribe, 0 },
	{ "CREATE", imap_do_create, 0 },
	{ "DELETE", imap_do_delete, 0 },
	{ "RENAME", imap_do_rename, 0 },
	{ "APPEND", imap_do_append, IMAP_READS },
	{ "SETACL", imap_do_setacl, 0 },
	{ "DELETEACL", imap_do_deleteacl, 0 },
	{ "GETACL", imap_do_getacl, 0 },
	{ "LISTRIGHTS", imap_do_listrights, 0 },
	{ "MYRIGHTS", imap_do_myrights, 0 },
	{ "GETMETADATA", imap_do_getmetadata, 0 },
	{ "SETMETADATA", imap_do_setmetadata, 0 },
	{ "GETQUOTA", imap_do_getquota, 0 },
	{ "GETQUOTAROOT", imap_do_getquotaroot, 0 },
	{ "SETQUOTA", imap_do_setquota, 0 },
	/* one mailbox */
	{ "SELECT", imap_do_select, QUIET },
	{ "EXAMINE", imap_do_examine, QUIET },
	{ "CHECK", imap_do_check, BOX },
	{ "CLOSE", imap_do_close, BOX | QUIET },
	{ "UNSELECT", imap_do_unselect, BOX | QUIET },
	/* its messages */
	{ "UIDBATCHES", imap_do_uidbatches, BOX },
	{ "EXPUNGE", imap_do_expunge, WRITES | UID },
	{ "REPLACE", imap_do_replace, WRITES | SETS | IMAP_READS },
	{ "FETCH", imap_do_fetch, BOX | SETS | HOLD },
	{ "STORE", imap_do_store, WRITES | SETS | HOLD },
	{ "SEARCH", imap_do_search, BOX | SETS | HOLD },
	{ "SORT", imap_do_sort, BOX | SETS | HOLD },
	{ "THREAD", imap_do_thread, BOX | SETS | HOLD },
	{ "ESEARCH", imap_do_esearch, 0 },
	{ "CANCELUPDATE", imap_do_cancelupdate, BOX },
	{ "COPY", imap_do_copy, BOX | SETS },
	{ "MOVE", imap_do_move, WRITES | SETS },
};

const struct imap_command *imap_command_find(struct slice name) {
	for (size_t i = 0; i < LEN(commands); i++)
		if (slice_same(name, slice_of(commands[i].name))) return &commands[i];
	return NULL;
}
