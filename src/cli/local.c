/* SPDX-License-Identifier: Apache-2.0 */
/* An operator's verb while the server is down. The work is divided as it is then: one process opens the mail database
 * and becomes core's user, another the passwords and becomes vault's, so that what they make belongs to the right user
 * whoever calls, and root never opens a file in a folder that somebody else may write to. */
#include "admin/admin.h"
#include "base/fail.h"
#include "cli/inside.h"
#include "flow/ask.h"
#include "net/seal.h"
#include "role/core_dkim.h"
#include "role/data.h"
#include "role/dkim_files.h"
#include "role/forward_tell.h"
#include "role/routing_settings.h"
#include "role/vault_app.h"
#include "role/vault_dkim.h"
#include "user/secret.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <sysexits.h>

/* The vault's side: answers until the other end is closed. */

struct vault_place {
	const char *data;
	struct conf *conf;     /* NULL: cannot be read */
	struct buf given;      /* keys of other programs' files, packed */
};

static int change_secret(struct secrets *s, const struct secret_ask *ask, bool verifies) {
	if (verifies) return secret_verify(s, ask->account, ask->password);
	if (ask->password.len == 0) return secret_delete(s, ask->account);
	return ask->is_hash ? secret_set_hash(s, ask->account, ask->password)
			    : secret_set(s, ask->account, ask->password);
}

/* Text after the packed answer: why it failed. */
static void answer_secret(struct link_received *got, struct secrets **secrets, const char *data, struct buf *packed) {
	AUTO_ARENA struct arena mem = {0};
	AUTO_BUF struct buf dir = BUF(PATH_MAX);
	struct unwire in = UNWIRE(got->frame.body, &mem);
	struct secret_ask ask;
	secret_ask_unpack(&in, &ask);
	buf_addf(&dir, "%s/vault", data);
	int r = in.bad ? fail("broken question") : *secrets == NULL ? secrets_open(buf_text(&dir), secrets) : 0;
	if (r == 0) r = change_secret(*secrets, &ask, got->frame.kind == ASK_PASSWORD);
	secret_answered_pack(packed, &(struct secret_answered){ .answer = r });
	wire_put_text(packed, slice_of(r < 0 ? fail_text() : ""));
}

static void answer_app(struct link_received *got, struct secrets **secrets, const char *data, struct buf *packed) {
	AUTO_ARENA struct arena mem = {0};
	AUTO_BUF struct buf dir = BUF(PATH_MAX);
	struct unwire in = UNWIRE(got->frame.body, &mem);
	struct app_ask ask;
	struct app_answer answer;
	app_ask_unpack(&in, &ask);
	buf_addf(&dir, "%s/vault", data);
	int r = in.bad ? fail("broken question") : *secrets == NULL ? secrets_open(buf_text(&dir), secrets) : 0;
	if (r == 0) r = vault_app(*secrets, &ask, &mem, &answer);
	if (r < 0) answer = (struct app_answer){ .answer = -1, .why = slice_of(fail_text()) };
	app_answer_pack(packed, &answer);
}

/* The DKIM keys are opened as the settings want them. */
static int open_keys(const struct vault_place *place, struct vault_dkim **dkim) {
	if (*dkim != NULL) return 0;
	if (vault_dkim_open(place->data, dkim) < 0) return -1;
	if (place->conf != NULL) vault_dkim_set(*dkim, conf_main(place->conf), buf_slice(&place->given));
	return 0;
}

static void answer_dkim(struct link_received *got, const struct vault_place *place, struct vault_dkim **dkim,
			struct buf *packed) {
	AUTO_ARENA struct arena mem = {0};
	struct unwire in = UNWIRE(got->frame.body, &mem);
	struct dkim_list_ask list;
	struct dkim_list_answer listed = { 0 };
	struct dkim_change_ask change;
	struct dkim_change_answer changed = { 0 };
	bool lists = got->frame.kind == ASK_DKIM_LIST;
	if (lists) dkim_list_ask_unpack(&in, &list);
	else dkim_change_ask_unpack(&in, &change);
	int r = in.bad ? fail("broken question") : open_keys(place, dkim);
	if (r < 0) changed = (struct dkim_change_answer){ -1, slice_of(fail_text()) };
	else if (lists) vault_dkim_list(*dkim, &list, &mem, &listed);
	else vault_dkim_change(*dkim, &change, &mem, &changed);
	dkim_change_answer_pack(packed, &changed);
	dkim_list_answer_pack(packed, &listed);
}

static int answer_secrets(int channel, const struct vault_place *place, const char *user) {
	struct secrets *secrets = NULL;
	struct vault_dkim *dkim = NULL;
	struct link_received got = { 0 };
	if (user != NULL && user_drop(user) < 0) return -1;
	while (link_receive(channel, &got, NEVER) == LINK_OK) {
		AUTO_BUF struct buf packed = BUF(LINK_FRAME_MAX);
		if (got.frame.kind == ASK_SECRET || got.frame.kind == ASK_PASSWORD)
			answer_secret(&got, &secrets, place->data, &packed);
		else if (got.frame.kind == ASK_APP) answer_app(&got, &secrets, place->data, &packed);
		else answer_dkim(&got, place, &dkim, &packed);
		link_send(channel, &(struct link_frame){ .kind = got.frame.kind, .body = buf_slice(&packed) });
		mem_wipe(got.mem.at, got.mem.len);
		link_received_done(&got);
	}
	secrets_close(&secrets);
	return 0;
}

/* Core's side. */

static int ask_vault(int channel, enum ask_kind kind, const struct secret_ask *ask) {
	AUTO_ARENA struct arena mem = {0};
	AUTO_BUF struct buf packed = BUF(KIB(64));
	struct link_received got = { 0 };
	struct secret_answered answer;
	secret_ask_pack(&packed, ask);
	int r = link_send(channel, &(struct link_frame){ .kind = kind, .body = buf_slice(&packed) });
	mem_wipe(packed.at, packed.len);
	if (r == LINK_OK) r = link_receive(channel, &got, NEVER);
	if (r != LINK_OK) return r < 0 ? r : fail("the process for passwords ended");
	struct unwire in = UNWIRE(got.frame.body, &mem);
	secret_answered_unpack(&in, &answer);
	struct slice why = wire_get_text(&in);
	r = in.bad ? fail("broken answer") : answer.answer < 0 ? fail("%.*s", SLICE_ARG(why)) : answer.answer;
	link_received_done(&got);
	return r;
}

/* What work() has at hand. */
struct workplace {
	int channel; /* to the process for passwords */
	const char *conf_dir;
	struct db *db;
};

static int secret_set_op(void *ctx, struct slice account, struct slice password, bool is_hash) {
	return ask_vault(((const struct workplace *)ctx)->channel, ASK_SECRET,
			 &(struct secret_ask){ .account = account, .password = password, .is_hash = is_hash });
}

static int app_password_op(void *ctx, const struct admin_app *what, struct arena *mem, struct slice *password,
			   void (*row)(void *row_ctx, struct slice name, int64_t created_us, int64_t used_us),
			   void *row_ctx) {
	static const uint32_t wants[] = {
		[ADMIN_APP_ADD] = APP_ADD, [ADMIN_APP_DELETE] = APP_DELETE, [ADMIN_APP_LIST] = APP_LIST
	};
	int channel = ((const struct workplace *)ctx)->channel;
	AUTO_BUF struct buf packed = BUF(KIB(64));
	struct link_received got = { 0 };
	struct app_answer answer;
	app_ask_pack(&packed, &(struct app_ask){ wants[what->what], what->account, what->name });
	int r = link_send(channel, &(struct link_frame){ .kind = ASK_APP, .body = buf_slice(&packed) });
	if (r == LINK_OK) r = link_receive(channel, &got, NEVER);
	if (r != LINK_OK) return r < 0 ? r : fail("the process for passwords ended");
	struct unwire in = UNWIRE(arena_slice(mem, got.frame.body), mem);
	link_received_done(&got);
	app_answer_unpack(&in, &answer);
	if (in.bad || answer.answer < 0) return in.bad ? fail("broken answer") : fail("%.*s", SLICE_ARG(answer.why));
	*password = answer.password;
	for (size_t i = 0; i < answer.rows_count; i++)
		row(row_ctx, answer.rows[i].name, answer.rows[i].created_us, answer.rows[i].used_us);
	return answer.answer;
}

static int secret_delete_op(void *ctx, struct slice account) {
	return ask_vault(((const struct workplace *)ctx)->channel, ASK_SECRET,
			 &(struct secret_ask){ .account = account });
}

static int secret_verify_op(void *ctx, struct slice account, struct slice password) {
	return ask_vault(((const struct workplace *)ctx)->channel, ASK_PASSWORD,
			 &(struct secret_ask){ .account = account, .password = password });
}

static int ask_keys(int channel, uint32_t kind, struct slice question, struct arena *mem,
		    struct dkim_change_answer *changed, struct dkim_list_answer *listed) {
	struct link_received got = { 0 };
	int r = link_send(channel, &(struct link_frame){ .kind = kind, .body = question });
	if (r == LINK_OK) r = link_receive(channel, &got, NEVER);
	if (r != LINK_OK) return r < 0 ? r : fail("the process for keys ended");
	struct unwire in = UNWIRE(arena_slice(mem, got.frame.body), mem);
	link_received_done(&got);
	dkim_change_answer_unpack(&in, changed);
	dkim_list_answer_unpack(&in, listed);
	if (in.bad) return fail("broken answer");
	return changed->answer < 0 ? fail("%.*s", SLICE_ARG(changed->reason)) : changed->answer;
}

static int dkim_list_op(void *ctx, struct slice domain, struct arena *mem, struct keyring_key **out, size_t *count) {
	AUTO_BUF struct buf packed = BUF(KIB(64));
	struct dkim_change_answer changed;
	struct dkim_list_answer listed;
	dkim_list_ask_pack(&packed, &(struct dkim_list_ask){ .domain = domain });
	int r = ask_keys(((const struct workplace *)ctx)->channel, ASK_DKIM_LIST, buf_slice(&packed), mem, &changed,
			 &listed);
	if (r < 0) return r;
	*out = listed.keys;
	*count = listed.keys_count;
	return 0;
}

static int dkim_change_op(void *ctx, const struct admin_dkim *what) {
	AUTO_ARENA struct arena mem = {0};
	AUTO_BUF struct buf packed = BUF(KIB(256));
	struct ask_text domain;
	struct dkim_change_answer changed;
	struct dkim_list_answer listed;
	struct dkim_change_ask ask = dkim_ask_of(what, &domain);
	dkim_change_ask_pack(&packed, &ask);
	int r = ask_keys(((const struct workplace *)ctx)->channel, ASK_DKIM_CHANGE, buf_slice(&packed), &mem, &changed,
			 &listed);
	mem_wipe(packed.at, packed.len);
	return r;
}

/* The tables are opened for one question. */
struct one_question {
	struct arena mem;
	struct conf *conf;
	struct routing_settings routing;
};

static int open_routing(struct one_question *q, const struct workplace *p) {
	if (conf_load(&(struct conf_options){ .dir = p->conf_dir }, &q->conf) < 0) return -1;
	routing_settings_make(&q->routing, q->conf, &q->mem);
	return 0;
}

static void close_routing(struct one_question *q) {
	if (q->conf != NULL) routing_settings_done(&q->routing);
	conf_drop(&q->conf);
	arena_done(&q->mem);
}

static int route_op(void *ctx, struct slice address, struct slice sender, const struct admin_way *way) {
	const struct workplace *p = ctx;
	struct one_question q = { 0 };
	int r = open_routing(&q, p);
	if (r == 0) r = routing_tell(&q.routing, p->db, address, sender, way);
	close_routing(&q);
	return r;
}

static int forward_op(void *ctx, struct slice address, struct slice input, const struct admin_way *way) {
	const struct workplace *p = ctx;
	struct one_question q = { 0 };
	int r = open_routing(&q, p);
	if (r == 0)
		r = forward_tell(&q.routing, conf_enum(conf_main(q.conf), SET_srs) == SRS_YES, p->db, address, input,
				 way);
	close_routing(&q);
	return r;
}

static const struct admin_ops ops = { .route = route_op,
				      .forward = forward_op,
				      .dkim_list = dkim_list_op,
				      .dkim_change = dkim_change_op,
				      .secret_set = secret_set_op,
				      .secret_delete = secret_delete_op,
				      .secret_verify = secret_verify_op,
				      .app_password = app_password_op };

static int run_and_print(struct admin *a, const struct admin_request *req) {
	AUTO_BUF struct buf out = BUF(MIB(256));
	AUTO_BUF struct buf err = BUF(MIB(1));
	progress_begin("working");
	int code = admin_run(a, req, &out, &err);
	progress_end();
	print_answer(buf_slice(&out), buf_slice(&err));
	return code;
}

static int work(const struct cli *cli, int channel, const char *data, const char *user,
		const struct admin_request *req) {
	struct workplace at = { .channel = channel, .conf_dir = cli->conf_dir };
	struct admin a = { .ops = &ops, .ctx = &at };
	if (user != NULL && user_drop(user) < 0) return complain(cli, EX_OSERR, "%s", fail_text());
	if (db_open(data, NULL, &a.db) < 0)
		return complain(cli, db_cause() == DB_CAUSE_FULL ? EX_TEMPFAIL : EX_CANTCREAT, "%s", fail_text());
	at.db = a.db;
	int code = run_and_print(&a, req);
	db_close(&a.db);
	return code;
}

static int wait_for(pid_t pid) {
	int status;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR) return EX_OSERR;
	return WIFEXITED(status) ? WEXITSTATUS(status) : EX_SOFTWARE;
}

/* What the other process prints, for who wants it here. */
static void hand_back(const struct cli *cli, int from) {
	AUTO_BUF struct buf out = BUF(MIB(256));
	char part[16 << 10];
	for (ssize_t n; (n = read(from, part, sizeof part)) != 0;) {
		if (n < 0 && errno != EINTR) break;
		if (n > 0) buf_add(&out, slice_from(part, (size_t)n));
	}
	cli->print(buf_slice(&out), SLICE_NONE);
}

static int run_core(const struct cli *cli, int channel, const char *data, const char *user,
		    const struct admin_request *req) {
	int out[2] = { -1, -1 };
	if (cli->print != NULL && pipe2(out, O_CLOEXEC) != 0) {
		close(channel);
		return complain(cli, EX_OSERR, "pipe: %s", strerror(errno));
	}
	pid_t core = fork();
	if (core == 0) {
		if (cli->print != NULL) dup2(out[1], STDOUT_FILENO);
		int code = work(cli, channel, data, user, req);
		fflush(NULL);
		_exit(code);
	}
	close(channel);
	if (cli->print != NULL) {
		close(out[1]);
		if (core > 0) hand_back(cli, out[0]);
		close(out[0]);
	}
	return core > 0 ? wait_for(core) : complain(cli, EX_OSERR, "fork: %s", strerror(errno));
}

int run_locally(const struct cli *cli, const char *data, const struct admin_request *req) {
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
		return complain(cli, EX_OSERR, "socket pair: %s", strerror(errno));
	bool apart = data_users_apart(data);
	struct vault_place place = { .data = data, .given = BUF(LINK_FRAME_MAX) };
	if (conf_load(&(struct conf_options){ .dir = cli->conf_dir }, &place.conf) < 0) place.conf = NULL;
	if (place.conf != NULL) {
		const struct conf_view *v = conf_main(place.conf);
		dkim_files_pack(place.conf, &place.given);
		user_quota_default(conf_size(v, SET_quota_default_size),
				   (uint64_t)conf_number(v, SET_quota_default_messages));
	}
	fflush(NULL);
	pid_t vault = fork();
	if (vault == 0) {
		close(pair[0]);
		_exit(answer_secrets(pair[1], &place, apart ? data_users[CHILD_VAULT] : NULL) < 0 ? EX_OSERR : EX_OK);
	}
	close(pair[1]);
	int code = vault > 0 ? run_core(cli, pair[0], data, apart ? data_users[CHILD_CORE] : NULL, req)
			     : complain(cli, EX_OSERR, "fork: %s", strerror(errno));
	if (vault > 0) wait_for(vault);
	else close(pair[0]);
	conf_drop(&place.conf);
	mem_wipe(place.given.at, place.given.len);
	buf_done(&place.given);
	return code;
}
