/* SPDX-License-Identifier: Apache-2.0 */
/* One way to walk from the whole of an address, domain or IP to its parts, so that access, transport, virtual and all
 * the others differ in the forms they name only. Forms are built one at a time: the first usually decides. */
#include "conf/lookup.h"
#include "base/fail.h"

int lookup_open(struct tables *tables, const struct slice *names, size_t count, unsigned flags, struct arena *mem,
		struct lookup *out) {
	struct lookup l = { .tables = arena_array(mem, MAX_OF(count, (size_t)1), sizeof *l.tables), .count = count };
	for (size_t i = 0; i < count; i++)
		if (table_open(tables, names[i], flags, &l.tables[i]) != TABLE_FOUND) return TABLE_BAD;
	*out = l;
	return TABLE_FOUND;
}

/* One form in all tables; in those of patterns only when it is the whole. */
static int ask(const struct lookup *l, struct slice form, bool whole, struct slice extension, struct arena *mem,
	       struct lookup_hit *hit) {
	if (form.len == 0) return TABLE_MISSING;
	for (size_t i = 0; i < l->count; i++) {
		struct slice value;
		if (!whole && table_is_pattern(l->tables[i])) continue;
		int r = table_find(l->tables[i], form, mem, &value);
		if (r == TABLE_MISSING) continue;
		if (r != TABLE_FOUND) return TABLE_LATER;
		*hit = (struct lookup_hit){ .value = value, .key = arena_slice(mem, form), .table = l->tables[i],
			                    .extension = arena_slice(mem, extension) };
		return TABLE_FOUND;
	}
	return TABLE_MISSING;
}

int lookup_key(const struct lookup *l, struct slice key, struct arena *mem, struct lookup_hit *hit) {
	return ask(l, key, true, S(""), mem, hit);
}

/* The name and its parents, "." or nothing before each of these. */
static int ask_domains(const struct lookup *l, struct slice domain, bool dots, bool whole, struct arena *mem,
		       struct lookup_hit *hit) {
	for (struct slice name = domain;;) {
		int r = ask(l, name, whole, S(""), mem, hit);
		if (r != TABLE_MISSING) return r;
		whole = false;
		size_t dot = name.len > 1 ? 1 + slice_find(slice_skip(name, 1), '.') : name.len;
		if (dot >= name.len) return TABLE_MISSING;
		name = slice_skip(name, dots ? dot : dot + 1);
	}
}

int lookup_domain(const struct lookup *l, struct slice domain, bool dots, struct arena *mem, struct lookup_hit *hit) {
	return ask_domains(l, domain, dots, true, mem, hit);
}

int lookup_ip(const struct lookup *l, struct slice address, struct arena *mem, struct lookup_hit *hit) {
	char cut = slice_find(address, ':') < address.len ? ':' : '.';
	bool whole = true;
	for (;;) {
		int r = ask(l, address, whole, S(""), mem, hit);
		size_t last = slice_find_last(address, cut);
		if (r != TABLE_MISSING || last == address.len) return r;
		address = slice_head(address, last);
		whole = false;
	}
}

/* Where the extension begins, or the length: never at the first byte, nor in names that are one word (local(8)). */
static size_t extension_at(struct slice local, struct slice delimiters) {
	static const char *const whole[] = { "mailer-daemon", "double-bounce", "postmaster" };
	for (size_t i = 0; i < LEN(whole); i++)
		if (slice_same(local, slice_of(whole[i]))) return local.len;
	bool dash = slice_find(delimiters, '-') < delimiters.len;
	if (dash && (slice_starts_same(local, S("owner-")) || slice_ends_same(local, S("-request")))) return local.len;
	for (size_t i = 0; i < local.len; i++)
		if (slice_find(delimiters, local.at[i]) < delimiters.len) return i > 0 ? i : local.len;
	return local.len;
}

/* The parts of an address: "base" "ext" "@domain". */
struct parts {
	struct slice local, base, ext, at_domain;
	bool qualified;
};

static struct parts split(struct slice address, struct slice delimiters) {
	size_t at = slice_find_last(address, '@');
	struct parts p = { .local = slice_head(address, at),
			   .at_domain = slice_skip(address, at),
			   .qualified = at < address.len };
	size_t ext = extension_at(p.local, delimiters);
	p.base = slice_head(p.local, ext);
	p.ext = slice_skip(p.local, ext);
	return p;
}

/* "local+ext" and "local", with something behind. */
static int ask_both(const struct lookup *l, const struct parts *p, struct slice behind, bool whole, struct arena *mem,
		    struct lookup_hit *hit) {
	int r = ask(l, arena_fmt(mem, "%.*s%.*s", SLICE_ARG(p->local), SLICE_ARG(behind)), whole, S(""), mem, hit);
	if (r != TABLE_MISSING || p->ext.len == 0) return r;
	return ask(l, arena_fmt(mem, "%.*s%.*s", SLICE_ARG(p->base), SLICE_ARG(behind)), false, p->ext, mem, hit);
}

int lookup_address(const struct lookup *l, struct slice address, unsigned forms, struct slice delimiters,
		   bool domain_is_local, struct arena *mem, struct lookup_hit *hit) {
	const struct parts p = split(address, delimiters);
	int r = TABLE_MISSING;
	if (l->count == 0 || address.len == 0) return r;
	if ((forms & LOOKUP_WHOLE) != 0 || (!p.qualified && (forms & LOOKUP_NAME) != 0))
		r = ask_both(l, &p, p.at_domain, true, mem, hit);
	if (r != TABLE_MISSING || !p.qualified) return r;
	bool user = ((forms & LOOKUP_LOCAL) != 0 && domain_is_local) || (forms & LOOKUP_NAME) != 0;
	if (user) r = ask_both(l, &p, S(""), false, mem, hit);
	if (r == TABLE_MISSING && (forms & LOOKUP_AT_DOMAIN) != 0)
		r = ask(l, p.at_domain, false, S(""), mem, hit);
	if (r == TABLE_MISSING && (forms & LOOKUP_DOMAIN) != 0)
		r = ask_domains(l, slice_skip(p.at_domain, 1), (forms & LOOKUP_DOT_PARENTS) != 0, false, mem, hit);
	if (r == TABLE_MISSING && (forms & LOOKUP_USER_AT) != 0) r = ask_both(l, &p, S("@"), false, mem, hit);
	return r;
}
