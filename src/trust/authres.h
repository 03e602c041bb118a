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
enum {
	AUTHRES_LENGTH_MAX = 65536,     /* a longer value is malformed, and so is one with more of these: */
	AUTHRES_METHODS_MAX = 100, AUTHRES_PROPERTIES_MAX = 50,
};
/* The value of a field, without its name. Names of methods, words and properties come in lower case; a method's version
 * ("dkim/1") is left out, comments other than the first of a method too. False: malformed, or of a version that is
 * not 1. */
bool authres_parse(struct slice value, struct arena *mem, struct authres *out);
/* "id;\r\n\tspf=pass smtp.mailfrom=a@b;\r\n\tdkim=…": folded at 78 where it can be, to stand behind
 * "Authentication-Results: ", without the last line end. Values are quoted where they must; what can be in no field
 * (line ends, controls) becomes '?'. */
void authres_add(struct buf *out, const struct authres *a);
/* Copies a header without the Authentication-Results fields that claim to be from `id` (RFC 8601 §5), also malformed
 * ones that begin with it. id: also ".example.org", a name below it, and "*", any. How many were left out. */
bool authres_is_id(struct slice text, struct slice id); /* text: as written, a queue id may stand behind it */
size_t authres_strip(struct slice header, struct slice id, struct buf *out);
