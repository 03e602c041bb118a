/* SPDX-License-Identifier: Apache-2.0 */
/* One command of a session after log-in, from its line to its answer, against a store in a folder of its own: the first
 * byte says which, the rest are its words. What is asked of it is that the session ends when its client has left. */
#include "access/imap/session.h"
#include "base/log.h"
#include "db/db.h"
#include "store/change.h"
#include "store/store.h"
#include "user/user.h"

#include <fcntl.h>
#include <sys/socket.h>

static struct house {
	char dir[64];
	struct db *db;
	struct imap_context context;
	struct pool *pool;
	int64_t account;
} house;

static const char *const heads[] = {
	"NOTIFY SET ", "NOTIFY ", "SELECT ", "EXAMINE INBOX (", "GETMETADATA ", "SETMETADATA INBOX (", "SETMETADATA ",
	"SETACL INBOX ", "LISTRIGHTS ", "DELETEACL ", "LIST (", "LIST \"\" * RETURN (", "LIST ", "STATUS INBOX (",
	"ENABLE QRESYNC\r\nb SELECT INBOX (QRESYNC (", "SETQUOTA ", "LANGUAGE ", "ESEARCH IN (", "ESEARCH ",
	"SELECT INBOX\r\nb SEARCH ", "SELECT INBOX\r\nb UID FETCH 1:* (", "SELECT INBOX\r\nb UID STORE 1:* ",
	"SELECT INBOX\r\nb SORT ", "UIDBATCHES ", "SELECT INBOX\r\nb SEARCH RETURN (", "",
};

static int make_account(struct db_conn *tx, void *arg) {
	struct house *h = arg;
	int r = user_account_add(tx, S("user@example.test"), &h->account);
	return r != 0 ? r : store_account_create(tx, h->account);
}

static void open_house(void) {
	struct house *h = &house;
	log_open(&(struct log_target){ .fd = STDERR_FILENO, .least = L_ERROR, .name = "fuzz", .host = "test" });
	snprintf(h->dir, sizeof h->dir, "/tmp/hato-fuzz-XXXXXX");
	must(mkdtemp(h->dir) != NULL && db_open(h->dir, NULL, &h->db) == 0);
	must(db_write(h->db, make_account, h) == 0);
	h->pool = pool_new(&(struct pool_params){ .min_workers = 2, .max_workers = 4 });
	h->context = (struct imap_context){ .db = h->db,
					    .hub = change_hub_open(h->db),
					    .params = { .spool_dir = h->dir,
							.host = "host.example.test",
							.shared_prefix = S("Shared/") } };
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	AUTO_BUF struct buf text = BUF(size + KIB(1));
	int fds[2];
	char answer[4096];
	if (size == 0) return 0;
	if (house.db == NULL) open_house();
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
	const struct imap_grant grant = {
		.account = house.account, .login = S("user@example.test"), .tag = S("x"), .remote = S("192.0.2.1")
	};
	fcntl(fds[1], F_SETFL, O_NONBLOCK);
	imap_session_start(house.pool, &house.context, fds[1], &grant);
	buf_addf(&text, "a %s", heads[data[0] % LEN(heads)]);
	buf_add(&text, slice_from(data + 1, size - 1));
	buf_add(&text, S("\r\nz NOOP\r\n"));
	(void)!send(fds[0], text.at, text.len, MSG_NOSIGNAL);
	shutdown(fds[0], SHUT_WR);
	while (read(fds[0], answer, sizeof answer) > 0) continue;
	close(fds[0]);
	return 0;
}
