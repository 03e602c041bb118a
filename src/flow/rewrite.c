/* SPDX-License-Identifier: Apache-2.0 */
/* Rewriting is text work on addresses that were read before: an '@' inside quotes is the only trap, so every search for
 * an operator goes through `operator_at`. */
#include "flow/rewrite.h"
#include "mime/address.h"

enum { RESULT_MAX = 100000 }; /* of one table value */

void trace_step(const struct route_trace *t, const char *what, struct slice key, struct slice value,
		const char *table) {
	if (t != NULL) t->step(t->ctx, what, key, value, table);
}

/* The first or last such byte outside of quotes; address.len when there is none. */
static size_t operator_at(struct slice address, char c, bool last) {
	if (address.len == 0 || memchr(address.at, '"', address.len) == NULL)
		return last ? slice_find_last(address, c) : slice_find(address, c);
	size_t found = address.len;
	bool quoted = false;
	for (size_t i = 0; i < address.len; i++) {
		if (address.at[i] == '\\') {
			i++;
		} else if (address.at[i] == '"') {
			quoted = !quoted;
		} else if (!quoted && address.at[i] == c) {
			found = i;
			if (!last) break;
		}
	}
	return found;
}

bool rewrite_parts(struct slice address, struct slice *local, struct slice *domain) {
	size_t at = operator_at(address, '@', true);
	if (at == address.len) return false;
	*local = slice_head(address, at);
	*domain = slice_skip(address, at + 1);
	return true;
}

/* The standard form. */

static struct slice joined(struct arena *mem, struct slice local, struct slice domain) {
	return arena_fmt(mem, "%.*s@%.*s", SLICE_ARG(local), SLICE_ARG(domain));
}

static struct slice without_at(const struct rewrite_params *p, struct slice origin, struct slice address,
			       struct arena *mem) {
	size_t bang = p->swap_bangpath ? operator_at(address, '!', false) : address.len;
	if (bang < address.len) return joined(mem, slice_skip(address, bang + 1), slice_head(address, bang));
	size_t percent = p->percent_hack ? operator_at(address, '%', true) : address.len;
	if (percent < address.len) return joined(mem, slice_head(address, percent), slice_skip(address, percent + 1));
	return origin.len != 0 ? joined(mem, address, origin) : address;
}

struct slice rewrite_standard(const struct rewrite_params *p, struct slice origin, struct slice domain,
			      struct slice address, struct arena *mem) {
	if (address.len == 0) return address;
	if (slice_eq(address, S("@"))) return slice_head(address, 0);
	if (address.at[0] == '@') {
		size_t colon = operator_at(address, ':', false);
		if (colon + 1 < address.len) address = slice_skip(address, colon + 1);
	}
	size_t at = operator_at(address, '@', true);
	if (at == address.len) {
		address = without_at(p, origin, address, mem);
		at = operator_at(address, '@', true);
	}
	struct slice host = slice_skip(address, at + 1);
	if (domain.len != 0 && host.len != 0 && host.at[0] != '[' && slice_find(host, '.') == host.len)
		address = arena_fmt(mem, "%.*s.%.*s", SLICE_ARG(address), SLICE_ARG(domain));
	if (address.len > 1 && address.at[address.len - 1] == '.' && address.at[address.len - 2] != '.' &&
	    address.at[address.len - 2] != '@')
		address.len--;
	return address;
}

/* A quoted local part as it is meant. */
static struct slice unquoted(struct slice local, struct arena *mem) {
	if (local.len < 2 || local.at[0] != '"' || local.at[local.len - 1] != '"') return local;
	char *at = arena_get(mem, local.len);
	size_t n = 0;
	for (size_t i = 1; i + 1 < local.len; i++) {
		if (local.at[i] == '\\' && i + 2 < local.len) i++;
		at[n++] = local.at[i];
	}
	return slice_from(at, n);
}

/* As RFC 5322 has it: what is not a dot-atom. */
static bool needs_quotes(struct slice local) {
	for (size_t i = 0; i < local.len; i++)
		if ((uint8_t)local.at[i] <= ' ' || strchr("()<>[]:;@\\,\"", local.at[i]) != NULL) return true;
	return false;
}

int rewrite_resolve(const struct rewrite_params *p, struct slice address, struct arena *mem, struct slice *out) {
	enum { ROUNDS = 50 };
	struct slice local, domain;
	for (int i = 0; i < ROUNDS && rewrite_parts(address, &local, &domain); i++) {
		struct slice inner = unquoted(local, mem);
		if (p->keep_quoted && inner.len != local.len && needs_quotes(inner)) break;
		bool routes = slice_find(inner, '@') < inner.len ||
			      (p->swap_bangpath && slice_find(inner, '!') < inner.len) ||
			      (p->percent_hack && slice_find(inner, '%') < inner.len);
		if (!routes) break;
		int r = rewrite_destination(p, domain, mem);
		if (r == TABLE_LATER) return r;
		if (r != TABLE_FOUND) break;
		address = rewrite_standard(p, p->origin, p->domain, inner, mem);
	}
	*out = address;
	return TABLE_FOUND;
}

/* Extensions. */

bool rewrite_for_nobody(const struct rewrite_params *p, struct slice local) {
	return slice_same(local, p->bounce_user.len != 0 ? p->bounce_user : S("double-bounce"));
}

struct slice rewrite_delimiters(const struct rewrite_params *p, struct slice local) {
	if (p->delimiters.len == 0) return SLICE_NONE;
	if (local.len == 0 || slice_find(p->delimiters, local.at[0]) < p->delimiters.len) return SLICE_NONE;
	if (slice_same(local, S("postmaster")) || slice_same(local, S("mailer-daemon")) ||
	    rewrite_for_nobody(p, local))
		return SLICE_NONE;
	if (p->owner_request_whole && slice_find(p->delimiters, '-') < p->delimiters.len) {
		if (slice_starts_same(local, S("owner-"))) return SLICE_NONE;
		if (local.len > 8 && slice_ends_same(local, S("-request"))) return SLICE_NONE;
	}
	return p->delimiters;
}

size_t rewrite_split(const struct rewrite_params *p, struct slice local) {
	struct slice delimiters = rewrite_delimiters(p, local);
	for (size_t i = 0; i < local.len && delimiters.len != 0; i++)
		if (slice_find(delimiters, local.at[i]) < delimiters.len) return i;
	return local.len;
}

/* Table look-ups. */

static bool own_literal(const struct rewrite_params *p, struct slice domain) {
	struct addr a = { 0 };
	if (domain.len < 3 || domain.at[0] != '[' || domain.at[domain.len - 1] != ']') return false;
	struct slice inside = slice_head(slice_skip(domain, 1), domain.len - 2);
	if (slice_starts_same(inside, S("ipv6:"))) inside = slice_skip(inside, 5);
	if (!addr_parse(inside, &a)) return false;
	for (size_t i = 0; i < p->own_addresses_count; i++)
		if (addr_same_host(&a, &p->own_addresses[i])) return true;
	return false;
}

int rewrite_destination(const struct rewrite_params *p, struct slice domain, struct arena *mem) {
	int r = domain_set_match(&p->destinations, domain, mem);
	return r == TABLE_MISSING && own_literal(p, domain) ? TABLE_FOUND : r;
}

int rewrite_local_domain(const struct rewrite_params *p, struct slice domain, struct arena *mem) {
	if (p->origin.len != 0 && slice_same(domain, p->origin)) return TABLE_FOUND;
	return rewrite_destination(p, domain, mem);
}

int rewrite_find(const struct rewrite_params *p, const struct lookup *maps, struct slice address, struct arena *mem,
		 struct lookup_hit *hit) {
	struct slice local = address, domain = SLICE_NONE;
	if (maps->count == 0 || address.len == 0) return TABLE_MISSING;
	int here = rewrite_parts(address, &local, &domain) ? rewrite_local_domain(p, domain, mem) : TABLE_FOUND;
	if (here == TABLE_LATER) return here;
	return lookup_address(maps, address, LOOKUP_WHOLE | LOOKUP_LOCAL | LOOKUP_AT_DOMAIN,
			      rewrite_delimiters(p, local), here == TABLE_FOUND, mem, hit);
}

/* One word of a table's value as an address: the part in <>, when there is one. */
static struct slice bare(struct slice piece) {
	size_t open = operator_at(piece, '<', true);
	if (open == piece.len) return piece;
	piece = slice_skip(piece, open + 1);
	return slice_trim(slice_head(piece, slice_find(piece, '>')));
}

/* The next word that ends at one of these bytes outside of quotes. */
static struct slice next_word(struct slice *rest, const char *ends) {
	bool quoted = false;
	size_t i = 0;
	for (; i < rest->len; i++) {
		char c = rest->at[i];
		if (c == '\\') i++;
		else if (c == '"') quoted = !quoted;
		else if (!quoted && strchr(ends, c) != NULL) break;
	}
	struct slice word = slice_trim(slice_head(*rest, i));
	*rest = slice_skip(*rest, i + 1);
	return word;
}

static struct slice result(const struct rewrite_params *p, struct slice word, struct slice address,
			   struct slice extension, struct arena *mem) {
	struct slice local = address, domain;
	if (word.len > 1 && word.at[0] == '@' && operator_at(word, ':', false) == word.len) {
		rewrite_parts(address, &local, &domain);
		return rewrite_standard(p, p->origin, p->domain, joined(mem, local, slice_skip(word, 1)), mem);
	}
	word = rewrite_standard(p, p->origin, p->domain, word, mem);
	if (extension.len == 0) return arena_slice(mem, word);
	if (!rewrite_parts(word, &local, &domain))
		return arena_fmt(mem, "%.*s%.*s", SLICE_ARG(word), SLICE_ARG(extension));
	if (local.len > 1 && local.at[local.len - 1] == '"')
		return arena_fmt(mem, "%.*s%.*s\"@%.*s", (int)local.len - 1, local.at, SLICE_ARG(extension),
				 SLICE_ARG(domain));
	return arena_fmt(mem, "%.*s%.*s@%.*s", SLICE_ARG(local), SLICE_ARG(extension), SLICE_ARG(domain));
}

size_t rewrite_results(const struct rewrite_params *p, const struct lookup_hit *hit, struct slice address, bool extend,
		       size_t limit, struct arena *mem, struct slice **out) {
	struct slice rest = slice_head(hit->value, RESULT_MAX);
	struct slice extension = extend && (hit->key.len == 0 || hit->key.at[0] != '@') ? hit->extension : SLICE_NONE;
	size_t n = 0, room = 0;
	*out = NULL;
	while (rest.len != 0 && n < limit) {
		struct slice part = bare(next_word(&rest, ","));
		while (part.len != 0 && n < limit) {
			struct slice word = next_word(&part, " \t\r\n");
			if (word.len == 0) continue;
			if (n == room) {
				room = MAX_OF(room * 2, (size_t)2);
				struct slice *more = arena_array(mem, room, sizeof *more);
				if (n != 0) memcpy(more, *out, n * sizeof *more);
				*out = more;
			}
			(*out)[n++] = result(p, word, address, extension, mem);
		}
	}
	return n;
}

/* Canonical mapping and masquerading. */

static int map_one(const struct rewrite_params *p, const struct rewrite_map *map, enum rewrite_class class,
		   const char *what, const struct route_trace *trace, struct slice *address, struct arena *mem) {
	struct lookup_hit hit;
	if ((map->classes & class) == 0 || map->maps.count == 0 || address->len == 0) return REWRITE_DONE;
	int r = rewrite_find(p, &map->maps, *address, mem, &hit);
	if (r == TABLE_LATER) return REWRITE_LATER;
	if (r != TABLE_FOUND) return REWRITE_DONE;
	struct slice *results;
	if (rewrite_results(p, &hit, *address, (p->extend & REWRITE_EXTEND_CANONICAL) != 0, 1, mem, &results) != 0)
		*address = results[0];
	trace_step(trace, what, hit.key, *address, table_name(hit.table));
	return REWRITE_DONE;
}

static int excepted(const struct rewrite_params *p, struct slice local, struct arena *mem) {
	struct lookup_hit hit;
	for (size_t i = 0; i < p->exception_names_count; i++)
		if (slice_same(p->exception_names[i], local)) return TABLE_FOUND;
	return p->exceptions.count != 0 ? lookup_key(&p->exceptions, local, mem, &hit) : TABLE_MISSING;
}

static int masquerade(const struct rewrite_params *p, struct slice *address, struct arena *mem) {
	struct slice local, domain;
	if (!rewrite_parts(*address, &local, &domain)) return REWRITE_DONE;
	int r = excepted(p, local, mem);
	if (r != TABLE_MISSING) return r == TABLE_LATER ? REWRITE_LATER : REWRITE_DONE;
	for (size_t i = 0; i < p->masquerade_count; i++) {
		struct slice name = p->masquerade[i];
		bool cut = true;
		for (; name.len != 0 && name.at[0] == '!'; name = slice_skip(name, 1)) cut = !cut;
		if (name.len == 0) continue;
		if (slice_same(name, domain)) return REWRITE_DONE;
		if (name.len >= domain.len || domain.at[domain.len - name.len - 1] != '.' ||
		    !slice_ends_same(domain, name))
			continue;
		if (cut) *address = joined(mem, local, name);
		return REWRITE_DONE;
	}
	return REWRITE_DONE;
}

static bool map_counts(const struct rewrite_map *map, enum rewrite_class class) {
	return map->maps.count != 0 && (map->classes & class) != 0;
}

static const struct rewrite_map *own_map(const struct rewrite_params *p, enum rewrite_class class) {
	bool sender = class == REWRITE_ENVELOPE_SENDER || class == REWRITE_HEADER_SENDER;
	return sender ? &p->sender_canonical : &p->recipient_canonical;
}

bool rewrite_has_tables(const struct rewrite_params *p, enum rewrite_class class) {
	return map_counts(own_map(p, class), class) || map_counts(&p->canonical, class) ||
	       (p->masquerade_count != 0 && (p->masquerade_classes & class) != 0);
}

int rewrite_traced(const struct rewrite_params *p, enum rewrite_class class, struct slice address,
		   const struct route_trace *trace, struct arena *mem, struct slice *out) {
	struct slice now = p->as_is ? address : rewrite_standard(p, p->origin, p->domain, address, mem), local, domain;
	if (!slice_eq(now, address)) trace_step(trace, "standard form", address, now, NULL);
	if (class == REWRITE_ENVELOPE_SENDER && slice_starts_same(now, S("MAILER-DAEMON@")) &&
	    rewrite_parts(now, &local, &domain) && slice_same(domain, p->origin))
		now = S(""); /* what our own notices say in From: nobody is answered there */
	const struct rewrite_map *own = own_map(p, class);
	const char *name = own == &p->sender_canonical ? "sender_canonical_maps" : "recipient_canonical_maps";
	int r = map_one(p, own, class, name, trace, &now, mem);
	name = p->canonical_name != NULL ? p->canonical_name : "canonical_maps";
	if (r == REWRITE_DONE) r = map_one(p, &p->canonical, class, name, trace, &now, mem);
	struct slice before = now;
	if (r == REWRITE_DONE && p->masquerade_count != 0 && (p->masquerade_classes & class) != 0)
		r = masquerade(p, &now, mem);
	if (!slice_eq(now, before)) trace_step(trace, "masquerade_domains", before, now, NULL);
	if (r == REWRITE_DONE) *out = now;
	return r;
}

int rewrite_address(const struct rewrite_params *p, enum rewrite_class class, struct slice address, struct arena *mem,
		    struct slice *out) {
	return rewrite_traced(p, class, address, NULL, mem, out);
}
