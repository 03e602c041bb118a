/* SPDX-License-Identifier: Apache-2.0 */
/* ldap:, ldap_table(5), with OpenLDAP's library. Entries may lead to others (special_result_attribute), which are
 * searched within the same limits. */
#include "conf/table/database.h"
#include "base/library.h"
#include <ldap.h>

#define CALLS(F) \
	F(ber_free) \
	F(ldap_err2string) F(ldap_first_attribute) F(ldap_first_entry) F(ldap_free_urldesc) F(ldap_get_option) \
		F(ldap_get_values_len) F(ldap_initialize) F(ldap_is_ldap_url) F(ldap_memfree) F(ldap_msgfree) \
			F(ldap_next_attribute) F(ldap_next_entry) F(ldap_parse_result) F(ldap_result) \
				F(ldap_sasl_bind) F(ldap_sasl_interactive_bind) F(ldap_search_ext_s) \
					F(ldap_set_option) F(ldap_start_tls_s) F(ldap_unbind_ext_s) F(ldap_url_parse) \
						F(ldap_value_free_len)

static struct {
	CALLS(LIBRARY_MEMBER)
} ld;
#define CALL(function) { #function, (void **)(void *)&ld.function },
static const struct library_call calls[] = { CALLS(CALL) };
static const char *const library_names[] = { "libldap-2.5.so.0", "libldap.so.2", NULL };
static struct library library = { library_names, calls, LEN(calls), PTHREAD_MUTEX_INITIALIZER, false };

#define ATTRIBUTES_MOST 64
#define SASL_ROUNDS 20
#define SEARCHES_MOST 10000 /* of one look-up, recursion included */

enum role { ROLE_RESULT, ROLE_TERMINAL, ROLE_LEAF, ROLE_SPECIAL };
struct settings {
	char *attributes[ATTRIBUTES_MOST + 1]; /* for the library */
	enum role roles[ATTRIBUTES_MOST];
	size_t count;
	char *urls;
	uint64_t port, timeout, recursion, size, dereference, referrals, version;
	int scope;
	uint64_t min_ssf;
	enum bind { BIND_NONE, BIND_SIMPLE, BIND_SASL } bind;
	bool start_tls, tls_required;
};

static int take_attributes(struct database *db, struct settings *s, const char *name, enum role role) {
	struct slice rest = database_text(db, name), word;
	while ((word = slice_word(&rest, " \t,")).len > 0) {
		if (s->count == ATTRIBUTES_MOST) return fail("more than %d attributes", ATTRIBUTES_MOST);
		s->roles[s->count] = role;
		s->attributes[s->count++] = arena_text(database_mem(db), word);
	}
	return 0;
}

static int take_urls(struct database *db, struct settings *s) {
	AUTO_BUF struct buf urls = BUF(KIB(16));
	struct slice rest = database_text(db, "server_host"), word;
	while ((word = slice_word(&rest, " \t,")).len > 0) {
		if (urls.len > 0) buf_byte(&urls, ' ');
		if (slice_search(word, S("://")) < word.len) buf_add(&urls, word);
		else if (slice_find(word, ':') < word.len) buf_addf(&urls, "ldap://%.*s", SLICE_ARG(word));
		else buf_addf(&urls, "ldap://%.*s:%llu", SLICE_ARG(word), (unsigned long long)s->port);
	}
	if (urls.len == 0 || urls.full) return fail("server_host is empty or too long");
	s->urls = arena_text(database_mem(db), buf_slice(&urls));
	return 0;
}

/* SASL by libldap's own means, which are libsasl2's. Its plug-ins are loaded when they are first asked for: while the
 * table is opened, since a sealed process may not find them later. */
static int ldap_sasl_mechanisms_check(const struct database *db) {
	char **all = NULL;
	if (ld.ldap_get_option(NULL, LDAP_OPT_X_SASL_MECHLIST, &all) != LDAP_SUCCESS || all == NULL)
		return fail("bind = sasl: the LDAP library was built without SASL");
	struct slice wanted = database_text(db, "sasl_mechs"), rest = wanted, word;
	bool found = slice_trim(wanted).len == 0;
	while ((word = slice_word(&rest, " \t,")).len > 0)
		for (char **m = all; *m != NULL; m++) found = found || slice_same(word, slice_of(*m));
	return found ? 0
		     : fail("sasl_mechs = %.*s: libsasl2 has none of these (install libsasl2-modules)",
			    SLICE_ARG(wanted));
}

static int take_scope(const struct database *db, int *out) {
	struct slice scope = database_text(db, "scope");
	if (slice_same(scope, S("sub"))) *out = LDAP_SCOPE_SUBTREE;
	else if (slice_same(scope, S("base"))) *out = LDAP_SCOPE_BASE;
	else if (slice_same(scope, S("one"))) *out = LDAP_SCOPE_ONELEVEL;
	else return fail("scope = %.*s: expected sub, base or one", SLICE_ARG(scope));
	return 0;
}

static int take_bind(struct settings *s, const struct database *db) {
	static const struct { const char *word; enum bind bind;
	} words[] = {
		{ "yes", BIND_SIMPLE }, { "simple", BIND_SIMPLE }, { "no", BIND_NONE },
		{ "none", BIND_NONE },  { "sasl", BIND_SASL },
	};
	struct slice bind = database_text(db, "bind");
	for (size_t i = 0; i < LEN(words); i++) {
		if (!slice_same(bind, slice_of(words[i].word))) continue;
		s->bind = words[i].bind;
		if (s->bind == BIND_SASL && s->version != 3) return fail("bind = sasl needs version = 3");
		return s->bind == BIND_SASL ? ldap_sasl_mechanisms_check(db) : 0;
	}
	return fail("bind = %.*s: expected yes, no, simple, none or sasl", SLICE_ARG(bind));
}

static int prepare(struct database *db) {
	struct settings *s = arena_get(database_mem(db), sizeof *s);
	uint64_t expansion;
	*database_own(db) = s;
	if (database_text(db, "search_base").len == 0) return fail("search_base is missing");
	if (slice_eq(database_text(db, "result_format"), S("%s")) && database_text(db, "result_filter").len > 0)
		database_set(db, "result_format", database_text(db, "result_filter"));
	if (!database_number(db, "server_port", 1, 65535, &s->port) ||
	    !database_number(db, "timeout", 1, 60, &s->timeout) ||
	    !database_number(db, "recursion_limit", 1, 1000, &s->recursion) ||
	    !database_number(db, "expansion_limit", 0, INT_MAX, &expansion) ||
	    !database_number(db, "dereference", 0, 3, &s->dereference) ||
	    !database_number(db, "chase_referrals", 0, 1, &s->referrals) ||
	    !database_number(db, "version", 2, 3, &s->version) || !database_yes(db, "start_tls", &s->start_tls) ||
	    !database_yes(db, "tls_require_cert", &s->tls_required))
		return -1;
	s->size = expansion;
	if (database_text(db, "size_limit").len > 0 && !database_number(db, "size_limit", 0, INT_MAX, &s->size))
		return -1;
	if (!database_number(db, "sasl_minssf", 0, INT_MAX, &s->min_ssf)) return -1;
	if (take_bind(s, db) < 0 || take_scope(db, &s->scope) < 0 || take_urls(db, s) < 0) return -1;
	if (take_attributes(db, s, "result_attribute", ROLE_RESULT) < 0 ||
	    take_attributes(db, s, "terminal_result_attribute", ROLE_TERMINAL) < 0 ||
	    take_attributes(db, s, "leaf_result_attribute", ROLE_LEAF) < 0 ||
	    take_attributes(db, s, "special_result_attribute", ROLE_SPECIAL) < 0)
		return -1;
	return s->count > 0 ? 0 : fail("result_attribute is empty, and so are the others");
}

/* Connecting. */

static void disconnect(void *connection) { ld.ldap_unbind_ext_s(connection, NULL, NULL); }

static int failed(const char *what, int code) { return fail("%s: %s", what, ld.ldap_err2string(code)); }

static int set_tls(struct database *db, LDAP *c) {
	static const struct { const char *name; int option;
	} files[] = {
		{ "tls_ca_cert_dir", LDAP_OPT_X_TLS_CACERTDIR },
		{ "tls_ca_cert_file", LDAP_OPT_X_TLS_CACERTFILE },
		{ "tls_cert", LDAP_OPT_X_TLS_CERTFILE },
		{ "tls_key", LDAP_OPT_X_TLS_KEYFILE },
		{ "tls_cipher_suite", LDAP_OPT_X_TLS_CIPHER_SUITE },
	};
	const struct settings *s = *database_own(db);
	int demand = s->tls_required ? LDAP_OPT_X_TLS_DEMAND : LDAP_OPT_X_TLS_NEVER, server = 0;
	int r = ld.ldap_set_option(c, LDAP_OPT_X_TLS_REQUIRE_CERT, &demand);
	for (size_t i = 0; i < LEN(files) && r == LDAP_SUCCESS; i++) {
		struct slice v = database_text(db, files[i].name);
		if (v.len > 0) r = ld.ldap_set_option(c, files[i].option, v.at);
		if (r != LDAP_SUCCESS) return failed(files[i].name, r);
	}
	r = r == LDAP_SUCCESS ? ld.ldap_set_option(c, LDAP_OPT_X_TLS_NEWCTX, &server) : r;
	return r == LDAP_SUCCESS ? 0 : failed("TLS", r);
}

static int set_options(struct database *db, LDAP *c) {
	const struct settings *s = *database_own(db);
	struct timeval wait = { .tv_sec = (time_t)s->timeout };
	int version = (int)s->version, deref = (int)s->dereference, size = (int)s->size;
	/* referrals: LDAP_OPT_ON is a variable of the library; what it looks at is whether there is an address */
	bool fine = ld.ldap_set_option(c, LDAP_OPT_PROTOCOL_VERSION, &version) == LDAP_SUCCESS &&
		    ld.ldap_set_option(c, LDAP_OPT_NETWORK_TIMEOUT, &wait) == LDAP_SUCCESS &&
		    ld.ldap_set_option(c, LDAP_OPT_TIMEOUT, &wait) == LDAP_SUCCESS &&
		    ld.ldap_set_option(c, LDAP_OPT_DEREF, &deref) == LDAP_SUCCESS &&
		    ld.ldap_set_option(c, LDAP_OPT_SIZELIMIT, &size) == LDAP_SUCCESS &&
		    ld.ldap_set_option(c, LDAP_OPT_REFERRALS, s->referrals != 0 ? &wait : LDAP_OPT_OFF) == LDAP_SUCCESS;
	if (!fine) return fail("the LDAP library refuses an option");
	return s->start_tls || strstr(s->urls, "ldaps://") != NULL ? set_tls(db, c) : 0;
}

static int bind_simple(struct database *db, LDAP *c) {
	const struct settings *s = *database_own(db);
	struct slice secret = database_text(db, "bind_pw");
	struct berval pw = { .bv_len = secret.len, .bv_val = (char *)(uintptr_t)secret.at };
	struct timeval wait = { .tv_sec = (time_t)s->timeout };
	LDAPMessage *answer = NULL;
	int id, code = LDAP_OTHER,
		r = ld.ldap_sasl_bind(c, database_string(db, "bind_dn"), LDAP_SASL_SIMPLE, &pw, NULL, NULL, &id);
	if (r != LDAP_SUCCESS) return failed("bind", r);
	int got = ld.ldap_result(c, id, LDAP_MSG_ALL, &wait, &answer);
	if (got == 0) return fail("bind: no answer in time");
	if (got < 0) return fail("bind: the connection failed");
	r = ld.ldap_parse_result(c, answer, &code, NULL, NULL, NULL, NULL, 1);
	if (r != LDAP_SUCCESS || code != LDAP_SUCCESS) return failed("bind", r != LDAP_SUCCESS ? r : code);
	return 0;
}

/* What libsasl2 wants to know: sasl_interact_t of <sasl/sasl.h>, whose shape is part of its interface. */
struct sasl_question {
	unsigned long id;
	const char *challenge, *prompt, *usual;
	const void *result;
	unsigned len;
};
enum {
	SASL_QUESTIONS_END,
	SASL_AUTHORIZATION = 0x4001,
	SASL_USER = 0x4002,
	SASL_PASSWORD = 0x4004,
	SASL_REALM = 0x4008
};

static int answer_sasl(LDAP *c, unsigned flags, void *ctx, void *questions) {
	static const struct { unsigned long id; const char *parameter;
	} parameters[] = {
		{ SASL_AUTHORIZATION, "sasl_authz_id" },
		{ SASL_USER, "bind_dn" },
		{ SASL_PASSWORD, "bind_pw" },
		{ SASL_REALM, "sasl_realm" },
	};
	(void)c, (void)flags;
	for (struct sasl_question *q = questions; q->id != SASL_QUESTIONS_END; q++) {
		struct slice text = S("");
		for (size_t i = 0; i < LEN(parameters); i++)
			if (parameters[i].id == q->id) text = database_text(ctx, parameters[i].parameter);
		if (text.len == 0 && q->usual != NULL) text = slice_of(q->usual);
		q->result = text.len != 0 ? text.at : "";
		q->len = (unsigned)text.len;
	}
	return LDAP_SUCCESS;
}

static bool names_plain(struct slice mechanisms) {
	bool found = false;
	for (struct slice word; (word = slice_word(&mechanisms, " \t,")).len > 0;)
		found |= slice_same(word, S("PLAIN")) || slice_same(word, S("LOGIN"));
	return found;
}

static int bind_sasl(struct database *db, LDAP *c) {
	const struct settings *s = *database_own(db);
	struct slice wanted = slice_trim(database_text(db, "sasl_mechs"));
	struct timeval wait = { .tv_sec = (time_t)s->timeout };
	const char *mechanism = NULL;
	LDAPMessage *answer = NULL;
	unsigned long min_ssf = (unsigned long)s->min_ssf;
	/* the library does not send passwords as they are, unless it is told to: whoever names such a mechanism does */
	int id = 0, r = names_plain(wanted) ? ld.ldap_set_option(c, LDAP_OPT_X_SASL_SECPROPS, "none") : LDAP_SUCCESS;
	if (r == LDAP_SUCCESS) r = ld.ldap_set_option(c, LDAP_OPT_X_SASL_SSF_MIN, &min_ssf);
	if (r != LDAP_SUCCESS) return failed("sasl_minssf", r);
	for (int round = 0; round < SASL_ROUNDS; round++) {
		r = ld.ldap_sasl_interactive_bind(c, NULL, wanted.len != 0 ? database_string(db, "sasl_mechs") : NULL,
						  NULL, NULL, LDAP_SASL_QUIET, answer_sasl, db, answer, &mechanism,
						  &id);
		ld.ldap_msgfree(answer);
		answer = NULL;
		if (r == LDAP_SUCCESS) return 0;
		if (r != LDAP_SASL_BIND_IN_PROGRESS) return failed("SASL bind", r);
		int got = ld.ldap_result(c, id, LDAP_MSG_ALL, &wait, &answer);
		if (got == 0) return fail("SASL bind: no answer in time");
		if (got < 0) return fail("SASL bind: the connection failed");
	}
	ld.ldap_msgfree(answer);
	return fail("SASL bind: it does not end");
}

static void *connect_ldap(struct database *db, struct slice host, int64_t deadline) {
	const struct settings *s = *database_own(db);
	LDAP *c = NULL;
	(void)host, (void)deadline;
	int r = ld.ldap_initialize(&c, s->urls);
	if (r != LDAP_SUCCESS) return failed(s->urls, r), NULL;
	int ready = set_options(db, c);
	if (ready == 0 && s->start_tls && (r = ld.ldap_start_tls_s(c, NULL, NULL)) != LDAP_SUCCESS)
		ready = failed("start_tls", r);
	if (ready == 0 && s->bind == BIND_SIMPLE) ready = bind_simple(db, c);
	if (ready == 0 && s->bind == BIND_SASL) ready = bind_sasl(db, c);
	if (ready == 0) return c;
	fail_add("%s", s->urls);
	disconnect(c);
	return NULL;
}

/* Searching. */

/* RFC 4515 §3 */
static void quote_filter(void *ctx, struct buf *out, struct slice text) {
	(void)ctx;
	for (size_t i = 0; i < text.len; i++) {
		char c = text.at[i];
		if (c == '*' || c == '(' || c == ')' || c == '\\') buf_addf(out, "\\%02x", (unsigned char)c);
		else buf_byte(out, c);
	}
}

/* RFC 4514 §2.4 */
static void quote_dn(void *ctx, struct buf *out, struct slice text) {
	(void)ctx;
	for (size_t i = 0; i < text.len; i++) {
		char c = text.at[i];
		bool edge = i == 0 || i + 1 == text.len;
		if (slice_find(S(",+\"\\<>;=#"), c) < 9 || (c == ' ' && edge)) buf_byte(out, '\\');
		buf_byte(out, c);
	}
}

struct search {
	struct question *q;
	LDAP *c;
	const struct settings *s;
	uint64_t depth;
	unsigned *searches;
};

static int run(struct search s, const char *base, int scope, const char *filter, char **attributes);

static bool is_among(char **list, const char *name) {
	while (*list != NULL && strcasecmp(*list, name) != 0) list++;
	return *list != NULL;
}

/* A DN or an LDAP URL (RFC 4516). */
static int follow(struct search s, const char *where) {
	if (++s.depth > s.s->recursion)
		return fail("more than recursion_limit = %llu searches within each other",
			    (unsigned long long)s.s->recursion),
		       TABLE_LATER;
	char **all = (char **)(uintptr_t)s.s->attributes;
	if (!ld.ldap_is_ldap_url(where)) return run(s, where, LDAP_SCOPE_BASE, NULL, all);
	LDAPURLDesc *url = NULL;
	if (ld.ldap_url_parse(where, &url) != LDAP_URL_SUCCESS) return fail("malformed URL %s", where), TABLE_LATER;
	char *some[ATTRIBUTES_MOST + 1] = { NULL };
	size_t n = 0;
	for (size_t i = 0; url->lud_attrs != NULL && i < s.s->count; i++)
		if (is_among(url->lud_attrs, all[i])) some[n++] = all[i];
	int r = url->lud_attrs != NULL && n == 0
			? TABLE_FOUND
			: run(s, url->lud_dn, url->lud_scope, url->lud_filter, url->lud_attrs != NULL ? some : all);
	ld.ldap_free_urldesc(url);
	return r;
}

static int attribute(const struct settings *s, const char *name) {
	for (size_t i = 0; i < s->count; i++)
		if (strcasecmp(s->attributes[i], name) == 0) return (int)i;
	return -1;
}

static int take_values(struct search s, LDAPMessage *entry, const char *name, enum role role) {
	struct berval **values = ld.ldap_get_values_len(s.c, entry, name);
	int r = TABLE_FOUND;
	for (struct berval **v = values; v != NULL && *v != NULL && r == TABLE_FOUND; v++) {
		struct slice value = slice_from((*v)->bv_val, (*v)->bv_len);
		r = role == ROLE_SPECIAL ? follow(s, arena_text(s.q->mem, value)) : database_value(s.q, value);
	}
	ld.ldap_value_free_len(values);
	return r;
}

static int take_entry(struct search s, LDAPMessage *entry) {
	BerElement *walk = NULL;
	bool terminal = false, special = false;
	for (char *name = ld.ldap_first_attribute(s.c, entry, &walk); name != NULL;
	     name = ld.ldap_next_attribute(s.c, entry, walk)) {
		int i = attribute(s.s, name);
		if (i >= 0)
			terminal = terminal || s.s->roles[i] == ROLE_TERMINAL,
			special = special || s.s->roles[i] == ROLE_SPECIAL;
		ld.ldap_memfree(name);
	}
	ld.ber_free(walk, 0);
	int r = TABLE_FOUND;
	walk = NULL;
	for (char *name = ld.ldap_first_attribute(s.c, entry, &walk); name != NULL;
	     name = ld.ldap_next_attribute(s.c, entry, walk)) {
		int i = attribute(s.s, name);
		bool wanted =
			i >= 0 && (terminal ? s.s->roles[i] == ROLE_TERMINAL : s.s->roles[i] != ROLE_LEAF || !special);
		if (wanted && r == TABLE_FOUND) r = take_values(s, entry, name, s.s->roles[i]);
		ld.ldap_memfree(name);
	}
	ld.ber_free(walk, 0);
	return r;
}

static bool connection_lost(int code) {
	return code == LDAP_SERVER_DOWN || code == LDAP_TIMEOUT || code == LDAP_CONNECT_ERROR || code == LDAP_BUSY ||
	       code == LDAP_UNAVAILABLE || code == LDAP_ENCODING_ERROR || code == LDAP_DECODING_ERROR;
}

static int run(struct search s, const char *base, int scope, const char *filter, char **attributes) {
	int64_t left = MIN_OF(s.q->deadline - clock_ms(), SECONDS(s.s->timeout));
	if (left <= 0 || ++*s.searches > SEARCHES_MOST) return fail("the search takes too long"), TABLE_LATER;
	struct timeval wait = { .tv_sec = left / 1000, .tv_usec = left % 1000 * 1000 };
	LDAPMessage *answer = NULL;
	int code = ld.ldap_search_ext_s(s.c, base, scope == LDAP_SCOPE_DEFAULT ? LDAP_SCOPE_BASE : scope, filter,
					attributes, 0, NULL, NULL, &wait, (int)s.s->size, &answer),
	    r = TABLE_FOUND;
	if (code == LDAP_SUCCESS) {
		for (LDAPMessage *e = ld.ldap_first_entry(s.c, answer); e != NULL && r == TABLE_FOUND;
		     e = ld.ldap_next_entry(s.c, e))
			r = take_entry(s, e);
	} else if (code != LDAP_NO_SUCH_OBJECT) {
		r = failed("search", code);
		if (!connection_lost(code)) r = TABLE_LATER;
	}
	ld.ldap_msgfree(answer);
	return r;
}

static int ask(struct question *q, void *connection) {
	unsigned searches = 0;
	struct search s = { .q = q, .c = connection, .s = *database_own(q->db), .depth = 1, .searches = &searches };
	AUTO_BUF struct buf base = BUF(KIB(64)), filter = BUF(KIB(64));
	if (database_expand(q, database_text(q->db, "search_base"), quote_dn, NULL, &base) < 0 ||
	    database_expand(q, database_text(q->db, "query_filter"), quote_filter, NULL, &filter) < 0)
		return TABLE_LATER;
	return run(s, buf_text(&base), s.s->scope, buf_text(&filter), (char **)(uintptr_t)s.s->attributes);
}

static const struct parameter parameters[] = {
	{ "server_host", "localhost" },
	{ "server_port", "389" },
	{ "timeout", "10" },
	{ "search_base", NULL },
	{ "query_filter", "mailacceptinggeneralid=%s" },
	{ "result_filter", NULL },
	{ "result_attribute", "maildrop" },
	{ "special_result_attribute", NULL },
	{ "terminal_result_attribute", NULL },
	{ "leaf_result_attribute", NULL },
	{ "scope", "sub" },
	{ "bind", "yes" },
	{ "bind_dn", NULL },
	{ "bind_pw", NULL },
	{ "sasl_mechs", NULL },
	{ "sasl_realm", NULL },
	{ "sasl_authz_id", NULL },
	{ "sasl_minssf", "0" },
	{ "recursion_limit", "1000" },
	{ "size_limit", NULL },
	{ "dereference", "0" },
	{ "chase_referrals", "0" },
	{ "version", "3" },
	{ "start_tls", "no" },
	{ "tls_ca_cert_dir", NULL },
	{ "tls_ca_cert_file", NULL },
	{ "tls_cert", NULL },
	{ "tls_key", NULL },
	{ "tls_require_cert", "no" },
	{ "tls_cipher_suite", NULL },
	{ NULL, NULL },
};
static const struct database_kind kind = {
	.parameters = parameters, .prepare = prepare, .connect = connect_ldap, .disconnect = disconnect, .ask = ask,
	.templates = { "search_base", "query_filter" },
};

static int open_ldap(struct table *t) {
	if (library_load(&library) < 0) return fail_add("%s", t->name), TABLE_BAD;
	return database_open(t, &kind);
}

const struct table_type table_ldap = { "ldap", 0, open_ldap, database_find, NULL, database_close };
