/* SPDX-License-Identifier: Apache-2.0 */
/* What a session asks besides commands: who is listened to, who may do what, how refusals are worded, whether there is
 * room. */
#include "base/fail.h"
#include "flow/admit_private.h"

#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/statvfs.h>

enum { FREE_SPACE_MS = 500 };

bool admit_may_verp(void *owner) {
	const struct admit *a = owner;
	if (a->local) return true; /* sendmail -V */
	return a->params->verp != NULL && networks_match_sockaddr(a->params->verp, &a->peer.any);
}

bool admit_offers_login(const struct admit *a) {
	return a->params->no_login == NULL || !networks_match_sockaddr(a->params->no_login, &a->peer.any);
}

/* postconf(5), smtpd_reject_filter_maps: asked for "550 5.7.1 text", answers the same form; lines are separated by LF.
 */
struct smtp_reply admit_refusal(void *owner, const struct smtp_reply *reply, struct arena *mem) {
	const struct admit *a = owner;
	struct lookup_hit hit;
	if (a->local || a->params->refusal_maps.count == 0) return *reply;
	const char *gap = reply->status[0] != '\0' ? " " : "";
	struct slice key = arena_fmt(mem, "%d %s%s%.*s", reply->code, reply->status, gap, SLICE_ARG(reply->text));
	if (lookup_key(&a->params->refusal_maps, key, mem, &hit) != TABLE_FOUND) return *reply;
	struct slice rest = slice_trim(hit.value), word = slice_word(&rest, " \t");
	struct smtp_reply r = { 0 };
	uint64_t code;
	bool refuses = word.len == 3 && slice_number(word, 599, &code) && code >= 400;
	if (refuses) {
		struct slice after = rest, status = slice_word(&after, " \t");
		bool has = status.len >= 5 && status.len < sizeof r.status && status.at[0] == word.at[0] &&
			   status.at[1] == '.';
		r.code = (int)code;
		if (has) {
			memcpy(r.status, status.at, status.len);
			rest = after;
		}
		r.text = slice_trim(rest);
		return r;
	}
	say(L_WARN, a->params->service,
	    "smtpd_reject_filter_maps: \"%.*s\" is no refusal (wanted: a code of 4xx or 5xx, then text)",
	    SLICE_ARG(hit.value));
	return *reply;
}

struct smtp_reply admit_tls_session(void *owner, bool made, struct arena *mem) {
	const struct admit *a = owner;
	const struct admit_params *p = a->params;
	struct smtp_reply fine = { 0 };
	if (a->local || a->unlimited || p->rate_params->most[RATE_TLS] == 0) return fine;
	if (!made) {
		if (!rates_over(p->rates, p->rate_params, &a->peer, RATE_TLS)) return fine;
		say(L_WARN, p->service, "Refusing STARTTLS request from %.*s", SLICE_ARG(a->client));
		return smtp_reply_fmt(mem, 454, "4.7.0", "Error: too many new TLS sessions from %.*s",
				      SLICE_ARG(a->client));
	}
	if (rates_count(p->rates, p->rate_params, &a->peer, RATE_TLS)) return fine;
	say(L_WARN, p->service, "New TLS session rate limit exceeded: %u from %.*s", p->rate_params->most[RATE_TLS],
	    SLICE_ARG(a->client));
	return smtp_reply_fmt(mem, 421, "4.7.0", "%s Error: too many new TLS sessions from %.*s", p->host,
			      SLICE_ARG(a->client));
}

void admit_came(struct admit *a, const struct sasl_found *who) {
	AUTO_ARENA struct arena mem = { 0 };
	struct session_ask ask = { .protocol = SESSION_SMTP,
				   .account = who->account,
				   .session = a->session,
				   .login = who->name,
				   .remote = slice_of(a->ip),
				   .tls = admit_session(a)->tls != NULL,
				   .master = who->master };
	struct session_answer answer = { 0 };
	int pair[2];
	admit_left(a);
	if (a->params->core == NULL || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
		return;
	int r = ask_session(a->params->core, &ask, pair[1], &mem, &answer);
	close(pair[1]);
	if (r == ASK_OK && answer.open) a->present = pair[0];
	else close(pair[0]);
}

static int account_of(struct admit *a, struct slice address, struct arena *mem, struct account_answer *out) {
	return ask_account(a->params->core, &(struct account_ask){ .login = address }, mem, out);
}

struct smtp_reply admit_final(struct admit *a, struct slice address, struct arena *mem) {
	struct account_answer account, own = { 0 };
	int r = account_of(a, address, mem, &account);
	if (r == ASK_OK && account.name.len == 0)
		return smtp_reply_fmt(mem, 550, "5.1.1", "<%.*s>: User unknown", SLICE_ARG(address));
	if (r == ASK_OK && submitters_allow(a->params->deliverers, a->uid)) return (struct smtp_reply){ .code = 0 };
	a->beyond_limits = false;
	struct slice name = submitters_name(a->params->deliverers, a->uid, mem);
	if (r == ASK_OK)
		r = account_of(a, arena_fmt(mem, "%.*s@%s", SLICE_ARG(name), a->params->origin), mem, &own);
	if (r != ASK_OK) return smtp_reply(451, "4.3.0", S("Temporary lookup failure"));
	if (own.name.len != 0 && slice_eq(own.name, account.name)) return (struct smtp_reply){ .code = 0 };
	return smtp_reply_fmt(mem, 550, "5.7.1", "user %.*s may not deliver to <%.*s> (authorized_deliver_users)",
			      SLICE_ARG(name), SLICE_ARG(address));
}

bool admit_kicked(const struct admit *a) {
	char byte;
	return a->present > 0 && recv(a->present, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

void admit_left(struct admit *a) {
	if (a->present > 0) close(a->present);
	a->present = 0;
}

/* debug_peer_list: addresses with or without a prefix length, names (and those below them), type:table. */
static bool is_peer(const struct admit *a, struct slice word, const struct lookup *tables, size_t *table) {
	struct addr net;
	struct addr_key want, have;
	struct lookup_hit hit;
	AUTO_ARENA struct arena mem = { 0 };
	if (slice_starts(word, S("["))) word = slice_head(slice_skip(word, 1), slice_find(word, ']') - 1);
	size_t slash = slice_find(word, '/');
	if (addr_parse(slice_head(word, slash), &net)) {
		uint64_t bits = addr_family(&net) == AF_INET6 ? 128 : 32;
		if (slash < word.len && !slice_number(slice_skip(word, slash + 1), bits, &bits)) return false;
		want = addr_key(&net, (unsigned)bits);
		have = addr_key(&a->peer, (unsigned)bits);
		return addr_family(&net) == addr_family(&a->peer) && memcmp(&want, &have, sizeof want) == 0;
	}
	if (slice_find(word, ':') < word.len) {
		if (*table >= tables->count) return false;
		struct lookup one = { .tables = tables->tables + (*table)++, .count = 1 };
		return lookup_key(&one, a->name, &mem, &hit) == TABLE_FOUND ||
		       lookup_key(&one, slice_of(a->ip), &mem, &hit) == TABLE_FOUND;
	}
	if (slice_same(word, a->name)) return true;
	size_t below = a->name.len > word.len ? a->name.len - word.len : 0;
	bool parent = slice_starts(word, S(".")) || (below > 0 && a->name.at[below - 1] == '.');
	return below != 0 && parent && slice_same(slice_skip(a->name, below), word);
}

void admit_trace_init(struct admit *a) {
	size_t table = 0;
	const struct admit_params *p = a->params;
	for (size_t i = 0; i < p->peers_count; i++) {
		bool not = slice_starts(p->peers[i], S("!"));
		if (!is_peer(a, not ? slice_skip(p->peers[i], 1) : p->peers[i], &p->peer_tables, &table)) continue;
		a->traced = !not;
		return;
	}
}

/* What follows AUTH is somebody's password. */
void admit_trace(void *owner, bool leaves, struct slice line) {
	struct admit *a = owner;
	AUTO_BUF struct buf text = BUF(KIB(4));
	admit_talk(a, leaves, line);
	if (!a->traced) return;
	if (slice_starts_same(line, S("AUTH "))) line = S("AUTH ...");
	buf_addf(&text, "%c %.*s: ", leaves ? '>' : '<', SLICE_ARG(a->client));
	for (size_t i = 0; i < MIN_OF(line.len, (size_t)1000); i++)
		buf_byte(&text, ascii_control(line.at[i]) ? '?' : line.at[i]);
	log_line(L_INFO, a->params->service, a->session, NULL, buf_text(&text), NULL, 0);
}

/* What is free on the one disk that everybody spools to; looked at once in a while, not for each message. */
static bool free_space(const char *dir, uint64_t *out) {
	static _Atomic int64_t look_at;
	static _Atomic uint64_t known = UINT64_MAX;
	struct statvfs fs;
	int64_t due = look_at, now = clock_ms();
	if (now >= due && atomic_compare_exchange_strong(&look_at, &due, now + FREE_SPACE_MS))
		known = statvfs(dir, &fs) == 0 ? (uint64_t)fs.f_bavail * fs.f_frsize : UINT64_MAX;
	*out = known;
	return *out != UINT64_MAX;
}

bool admit_has_room(const struct admit *a) {
	uint64_t free_bytes, limit = a->params->size_limit;
	if (!free_space(a->params->spool_dir, &free_bytes)) return true;
	bool room = free_bytes > a->params->min_free && free_bytes / 3 * 2 > limit;
	if (!room)
		say(L_WARN, a->params->service,
		    "not enough free space in mail queue: %llu bytes (wanted: queue_minfree, %llu, and 1.5 times "
		    "message_size_limit, %llu)",
		    (unsigned long long)free_bytes, (unsigned long long)a->params->min_free, (unsigned long long)limit);
	return room;
}
