/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "trust/result.h"
/* The field Authentication-Results (RFC 8601). */
struct authres_property {
	struct slice type, name, value; /* "header", "d", "example.org" */
};
struct authres_method {
	struct slice method;            /* "spf", "dkim", "dmarc", "arc", "iprev", "auth" */
	struct slice result;            /* a word; what strangers write need not be of trust_result */
	struct slice reason;
	struct slice comment;           /* without parentheses: "p=reject dis=none" */
	struct authres_property *properties;
	size_t properties_count;
};
struct authres {
	struct slice id;                /* authserv-id */
	struct authres_method *methods; /* none: "id; none" */
	size_t methods_count;
};
/* The value of a field, without its name. Bounded; false: malformed. */
bool authres_parse(struct slice value, struct arena *mem, struct authres *out);
/* "id; spf=pass smtp.mailfrom=a@b;\r\n\tdkim=…", folded, without name and last line end; values are quoted where they must. */
void authres_add(struct buf *out, const struct authres *a);
/* Copies a header without the Authentication-Results fields that claim to be from `id` (RFC 8601 §5), also malformed ones that
 * begin with it. How many were left out. */
size_t authres_strip(struct slice header, struct slice id, struct buf *out);
