/* SPDX-License-Identifier: Apache-2.0 */
/* What database tables have in common. The parameters, the connections and the memory of which host failed are one
 * generation: a changed file makes a new one, and look-ups under way end with the old. */
#include "conf/table/database.h"
#include "base/encode.h"
#include "base/map.h"
#include "conf/table/template.h"

#define PARAMETERS_MOST MIB(1)
#define IDLE_MOST 8
#define IDLE_TIME SECONDS(60)   /* as Postfix */
#define HOST_REST SECONDS(60)   /* a host that failed is asked again after that, or when all have failed */
#define HOSTS_MOST 32

struct host {
	struct slice name;
	_Atomic int64_t not_before;
};
struct idle {
	void *connection;
	int64_t since;
	struct host *host;
};
struct database {
	struct generation generation;
	const struct table *table;
	const struct database_kind *kind;
	struct arena mem;
	struct map parameters; /* to struct slice */
	struct slice *domains;
	size_t domain_count;
	bool by_domain;
	uint64_t expansion_limit;
	struct slice result_format;
	void *own;
	struct host *hosts;
	size_t host_count;
	pthread_mutex_t lock;  /* idle */
	struct idle idle[IDLE_MOST];
	size_t idle_count;
};
struct database_state { /* of the table */
	struct watched_kind watched_kind; /* first: read_database finds the rest by it */
	const struct database_kind *kind;
	struct watched *watched;
};

static const struct parameter common[] = {
	{ "result_format", "%s" }, { "domain", NULL }, { "expansion_limit", "0" }, { NULL, NULL },
};

static void database_destroy(struct generation *g) {
	struct database *db = OWNER_OF(g, struct database, generation);
	for (size_t i = 0; i < db->idle_count; i++) db->kind->disconnect(db->idle[i].connection);
	map_done(&db->parameters, NULL);
	arena_done(&db->mem);
	pthread_mutex_destroy(&db->lock);
	free(db);
}

/* Parameters. */

struct slice database_text(const struct database *db, const char *name) {
	const struct slice *v = map_get(&db->parameters, slice_of(name));
	return v != NULL ? *v : S("");
}
const char *database_string(const struct database *db, const char *name) {
	return database_text(db, name).at;
} /* ends with NUL */
struct arena *database_mem(struct database *db) { return &db->mem; }
const struct table *database_table(const struct database *db) { return db->table; }
void **database_own(struct database *db) { return &db->own; }

bool database_number(const struct database *db, const char *name, uint64_t least, uint64_t most, uint64_t *out) {
	struct slice text = database_text(db, name);
	if (slice_number(text, most, out) && *out >= least) return true;
	return fail("%s = %.*s: expected a number from %llu to %llu", name, SLICE_ARG(text), (unsigned long long)least,
		    (unsigned long long)most),
	       false;
}

bool database_yes(const struct database *db, const char *name, bool *out) {
	struct slice text = database_text(db, name);
	*out = slice_same(text, S("yes"));
	return *out || slice_same(text, S("no")) ||
	       (fail("%s = %.*s: expected yes or no", name, SLICE_ARG(text)), false);
}

void database_set(struct database *db, const char *name, struct slice value) {
	struct slice *v = arena_get(&db->mem, sizeof *v);
	*v = arena_slice(&db->mem, value);
	map_put(&db->parameters, slice_of(name), v);
}

static bool set_fallback(struct database *db, const struct parameter *list, struct slice name) {
	for (; list->name != NULL; list++) {
		if (name.at != NULL && !slice_eq(name, slice_of(list->name))) continue;
		if (name.at != NULL) return true;
		database_set(db, list->name, slice_of(list->fallback != NULL ? list->fallback : ""));
	}
	return false;
}

static int read_parameters(struct database *db, struct slice text, struct report *r) {
	AUTO_ARENA struct arena mem = { 0 };
	struct logical_lines lines = { .rest = text };
	struct slice line;
	unsigned number;
	set_fallback(db, common, SLICE_NONE);
	set_fallback(db, db->kind->parameters, SLICE_NONE);
	for (; table_line_next(&lines, &mem, &line, &number, r); arena_reset(&mem)) {
		size_t equals = slice_find(line, '=');
		struct slice name = slice_trim(slice_head(line, equals)),
			     value = slice_trim(slice_skip(line, equals + 1));
		if (equals == line.len || name.len == 0)
			return fail("%s, line %u: missing '=' after attribute name: \"%.*s\"", r->path, number,
				    SLICE_ARG(line));
		if (!set_fallback(db, common, name) && !set_fallback(db, db->kind->parameters, name)) {
			report_warning(r, number, "%.*s: no parameter of %s tables; it has no effect", SLICE_ARG(name),
				       db->table->type->name);
			continue;
		}
		database_set(db, arena_text(&db->mem, name), value);
	}
	return 0;
}

static int take_hosts(struct database *db) {
	struct slice rest = db->kind->hosts != NULL ? database_text(db, db->kind->hosts) : S("here"), word;
	db->hosts = arena_array(&db->mem, HOSTS_MOST, sizeof *db->hosts);
	while ((word = slice_word(&rest, " \t\r\n,")).len > 0) {
		if (db->host_count == HOSTS_MOST) return fail("%s: more than %d servers", db->kind->hosts, HOSTS_MOST);
		db->hosts[db->host_count++].name = word;
	}
	if (db->host_count == 0) db->host_count = 1; /* the library's own choice */
	return 0;
}

static int check_template(struct database *db, const char *name) {
	AUTO_BUF struct buf out = BUF(MIB(1));
	struct slice t = database_text(db, name);
	if (template_expand(t, S("u@a.b.c.d.e.f.g.h.i"), NULL, NULL, NULL, &out) != TEMPLATE_BAD) return 0;
	return fail("%s = %.*s: an unknown %%letter (%%%% is a percent sign)", name, SLICE_ARG(t));
}

static int finish(struct database *db) {
	struct slice domains = database_text(db, "domain");
	db->result_format = database_text(db, "result_format");
	db->by_domain = domains.len > 0;
	if (table_members(domains, &db->mem, &db->domains, &db->domain_count) < 0) return -1;
	for (size_t i = 0; i < db->domain_count; i++)
		if (slice_find(db->domains[i], '/') < slice_find(db->domains[i], ':'))
			return fail("domain = %.*s: a file of domains is not read here; name it as a table",
				    SLICE_ARG(domains));
	if (!database_number(db, "expansion_limit", 0, INT_MAX, &db->expansion_limit)) return -1;
	if (take_hosts(db) < 0 || check_template(db, "result_format") < 0) return -1;
	if (db->kind->prepare != NULL && db->kind->prepare(db) < 0) return -1;
	for (const char *const *t = db->kind->templates; *t != NULL; t++)
		if (check_template(db, *t) < 0) return -1;
	return 0;
}

static struct generation *read_database(const struct table *t, struct buf *text, struct report *r) {
	const struct database_state *state = t->state;
	struct database *db = mem_get(sizeof *db);
	*db = (struct database){ .generation.destroy = database_destroy,
				 .table = t,
				 .kind = state->kind,
				 .lock = PTHREAD_MUTEX_INITIALIZER };
	if (read_parameters(db, buf_slice(text), r) == 0 && finish(db) == 0) return &db->generation;
	database_destroy(&db->generation);
	fail_add("%s", r->path);
	return NULL;
}

int database_open(struct table *t, const struct database_kind *kind) {
	struct database_state *state = t->state = mem_get(sizeof *state);
	*state = (struct database_state){ .watched_kind = { .limit = PARAMETERS_MOST, .read = read_database },
					  .kind = kind };
	if (t->rest.at[0] != '/' && t->rest.at[0] != '.')
		return fail("%s: expected %s:/path of a file of parameters (a name whose parameters stand in main.cf "
			    "is not supported)",
			    t->name, t->type->name),
		       TABLE_BAD;
	state->watched = watched_new(t, &state->watched_kind, NULL);
	return TABLE_FOUND;
}

void database_close(struct table *t) {
	struct database_state *state = t->state;
	if (state == NULL) return;
	watched_free(&state->watched);
	free(state);
}

/* Connections. */

static struct idle take_idle(struct database *db) {
	struct idle found = { 0 }, old[IDLE_MOST];
	size_t olds = 0;
	int64_t now = clock_ms();
	pthread_mutex_lock(&db->lock);
	while (db->idle_count > 0 && found.connection == NULL) {
		struct idle i = db->idle[--db->idle_count];
		if (now - i.since < IDLE_TIME) found = i;
		else old[olds++] = i;
	}
	pthread_mutex_unlock(&db->lock);
	for (size_t i = 0; i < olds; i++) db->kind->disconnect(old[i].connection);
	return found;
}

static void give_back(struct database *db, struct idle c) {
	pthread_mutex_lock(&db->lock);
	c.since = clock_ms();
	if (db->idle_count < IDLE_MOST) {
		db->idle[db->idle_count++] = c;
		c.connection = NULL;
	}
	pthread_mutex_unlock(&db->lock);
	if (c.connection != NULL) db->kind->disconnect(c.connection);
}

/* The hosts in the order to try them: sockets, then the others, both shuffled; those at rest last. */
static size_t order_hosts(struct database *db, struct host **out) {
	size_t n = 0;
	int64_t now = clock_ms();
	for (int pass = 0; pass < 4; pass++) {
		size_t first = n;
		for (size_t i = 0; i < db->host_count; i++) {
			struct host *h = &db->hosts[i];
			bool rests = atomic_load(&h->not_before) > now,
			     local = slice_starts(h->name, S("unix:")) || slice_starts(h->name, S("/"));
			if (pass == (rests ? 2 : 0) + (local ? 0 : 1)) out[n++] = h;
		}
		for (size_t i = n; i > first + 1; i--) {
			size_t k = first + (size_t)random_below(i - first);
			struct host *h = out[i - 1];
			out[i - 1] = out[k];
			out[k] = h;
		}
	}
	return n;
}

static int ask_new(struct question *q) {
	struct database *db = q->db;
	struct host *order[HOSTS_MOST];
	size_t count = order_hosts(db, order);
	for (size_t i = 0; i < count; i++) {
		struct idle c = { .host = order[i] };
		/* a share of the time for each, so that the last is asked as well */
		int64_t share = MAX_OF((q->deadline - clock_ms()) / (int64_t)(count - i), 500);
		c.connection = db->kind->connect(db, c.host->name, deadline_in(share));
		int r = c.connection != NULL ? db->kind->ask(q, c.connection) : -1;
		if (r >= 0) {
			atomic_store(&c.host->not_before, 0);
			give_back(db, c);
			return r;
		}
		if (c.connection != NULL) db->kind->disconnect(c.connection);
		atomic_store(&c.host->not_before, clock_ms() + HOST_REST);
		buf_clear(q->values);
		q->count = 0;
		if (clock_ms() >= q->deadline) break;
	}
	return TABLE_LATER;
}

static int ask(struct question *q) {
	struct idle c = take_idle(q->db);
	if (c.connection == NULL) return ask_new(q);
	int r = q->db->kind->ask(q, c.connection);
	if (r >= 0) return give_back(q->db, c), r;
	q->db->kind->disconnect(c.connection); /* the server may have closed it long ago */
	buf_clear(q->values);
	q->count = 0;
	return ask_new(q);
}

/* Look-ups. */

/* "domain": 1: the key may be asked, 0: not, <0 fail(). */
static int domain_fits(const struct table *t, const struct database *db, struct slice key) {
	if (!db->by_domain) return 1;
	size_t at = slice_find_last(key, '@');
	struct slice domain = slice_skip(key, at + 1);
	if (at == 0 || at >= key.len || domain.len == 0) return 0;
	AUTO_ARENA struct arena mem = { 0 };
	for (size_t i = 0; i < db->domain_count; i++) {
		struct slice pattern = db->domains[i], value;
		bool not = pattern.at[0] == '!';
		if (not) pattern = slice_skip(pattern, 1);
		struct table *part;
		int found = slice_same(pattern, domain) ? TABLE_FOUND : TABLE_MISSING;
		if (slice_find(pattern, ':') < pattern.len) {
			if (table_open_part(t, pattern, &part) != TABLE_FOUND) return -1;
			found = table_find(part, domain, &mem, &value);
		}
		if (found == TABLE_LATER) return -1;
		if (found == TABLE_FOUND) return not ? 0 : 1;
	}
	return 0;
}

/* Whether the key has all that the templates ask for. */
static bool possible(const struct database *db, struct slice key) {
	AUTO_BUF struct buf out = BUF(MIB(1));
	for (const char *const *t = db->kind->templates; *t != NULL; t++, buf_clear(&out))
		if (template_expand(database_text(db, *t), key, NULL, NULL, NULL, &out) != TEMPLATE_DONE) return false;
	struct slice any = S("u@a");
	return template_expand(db->result_format, key, &any, NULL, NULL, &out) == TEMPLATE_DONE;
}

int database_expand(const struct question *q, struct slice template, quote_text *quote, void *ctx, struct buf *out) {
	int r = template_expand(template, q->key, NULL, quote, ctx, out);
	return r == TEMPLATE_DONE
		       ? 0
		       : fail("the question for \"%.*s\" cannot be built", SLICE_ARG(slice_head(q->key, 200)));
}

int database_value(struct question *q, struct slice value) {
	size_t before = q->values->len;
	if (value.len == 0) return TABLE_FOUND;
	if (q->count > 0) buf_byte(q->values, ',');
	int r = template_expand(q->db->result_format, q->key, &value, NULL, NULL, q->values);
	if (r == TEMPLATE_SKIP) return q->values->len = before, TABLE_FOUND;
	if (r != TEMPLATE_DONE)
		return fail("the results for \"%.*s\" are longer than %zu bytes", SLICE_ARG(q->key), q->values->limit),
		       TABLE_LATER;
	if (++q->count > q->db->expansion_limit && q->db->expansion_limit > 0)
		return fail("key \"%.*s\" has more results than expansion_limit = %llu", SLICE_ARG(q->key),
		            (unsigned long long)q->db->expansion_limit), TABLE_LATER;
	return TABLE_FOUND;
}

int database_find(struct table *t, struct slice key, struct arena *mem, struct slice *value) {
	struct database_state *state = t->state;
	if (key.len == 0 || !utf8_valid(key) || memchr(key.at, '\0', key.len) != NULL)
		return TABLE_MISSING; /* databases hold UTF-8 */
	struct generation *g = watched_hold(state->watched);
	if (g == NULL) return TABLE_LATER;
	struct database *db = OWNER_OF(g, struct database, generation);
	AUTO_BUF struct buf values = BUF(TABLE_VALUE_MOST);
	struct question q = {
		.db = db, .key = key, .mem = mem, .values = &values, .deadline = deadline_in(DATABASE_WAIT)
	};
	int r = domain_fits(t, db, key);
	if (r < 0) r = TABLE_LATER;
	else if (r == 0 || !possible(db, key)) r = TABLE_MISSING;
	else r = ask(&q);
	if (r == TABLE_FOUND && values.len == 0) r = TABLE_MISSING;
	if (r == TABLE_FOUND) *value = arena_slice(mem, buf_slice(&values));
	if (r == TABLE_LATER) fail_add("%s", t->name);
	generation_drop(g);
	return r;
}
