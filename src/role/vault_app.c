/* SPDX-License-Identifier: Apache-2.0 */
#include "role/vault_app.h"

struct app_list {
	struct arena *mem;
	struct app_row *rows;
	size_t count;
};

static int add_app(void *ctx, const struct secret_app *app) {
	struct app_list *l = ctx;
	if (l->count < APP_PASSWORDS_MAX)
		l->rows[l->count++] = (struct app_row){ arena_slice(l->mem, app->name), app->created_us, app->used_us };
	return 0;
}

int vault_app(struct secrets *secrets, const struct app_ask *ask, struct arena *mem, struct app_answer *answer) {
	struct app_list list = { .mem = mem, .rows = arena_array(mem, APP_PASSWORDS_MAX, sizeof(struct app_row)) };
	AUTO_BUF struct buf password = BUF(64);
	int r = ask->want == APP_ADD      ? secret_app_add(secrets, ask->account, ask->name, &password)
		: ask->want == APP_DELETE ? secret_app_delete(secrets, ask->account, ask->name)
					  : secret_app_each(secrets, ask->account, add_app, &list);
	if (r < 0) return r;
	*answer = (struct app_answer){ r, S(""), arena_slice(mem, buf_slice(&password)), list.rows, list.count };
	if (password.at != NULL) mem_wipe(password.at, password.len);
	return 0;
}
