/* SPDX-License-Identifier: Apache-2.0 */
/* OpenSSL 3 asks a provider for two things when it signs: a key manager, which answers questions about a key, and a
 * signature method. Our key is a public key of the default provider plus the way to whoever holds the private half, so
 * that every question is passed to the public key, and only "sign" goes out. Exporting is refused as soon as the
 * private half is wanted: that is what makes OpenSSL come to us for the signature instead of moving the key to its own
 * code. */
#include "base/fail.h"
#include "net/remote_key.h"
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <pthread.h>

#define REQUEST_FIELDS(F) F(text, digest) F(u32, padding) F(u32, salt_length) F(text, tbs)
WIRE_STRUCT(remote_sign_request, REQUEST_FIELDS)

#define PROVIDER "hato-remote"
#define PARAM_REMOTE "hato-remote-key" /* carries struct seed when we make a key ourselves */

static OSSL_LIB_CTX *library;
static pthread_once_t library_once = PTHREAD_ONCE_INIT; /* library is written once, by it */

struct key {
	const char *type;
	EVP_PKEY *public;
	struct remote_key remote;
};
struct seed {
	EVP_PKEY *public;
	struct remote_key remote;
};

/* ---- key manager ---- */

static void *key_new(const char *type) {
	struct key *k = mem_get(sizeof *k);
	k->type = type;
	return k;
}

static void *key_new_rsa(void *provider UNUSED) { return key_new("RSA"); }
static void *key_new_ec(void *provider UNUSED) { return key_new("EC"); }
static void *key_new_ed25519(void *provider UNUSED) { return key_new("ED25519"); }

static void key_free(void *key) {
	struct key *k = key;
	if (k == NULL) return;
	EVP_PKEY_free(k->public);
	free(k);
}

static int key_has(const void *key, int selection) {
	const struct key *k = key;
	if ((selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0 && k->remote.sign == NULL) return 0;
	return k->public != NULL;
}

static int key_match(const void *a, const void *b, int selection UNUSED) {
	const struct key *x = a, *y = b;
	return x->public != NULL && y->public != NULL && EVP_PKEY_eq(x->public, y->public) == 1;
}

/* Either a key of ours, or a public key that OpenSSL wants to compare with ours. */
static int key_import(void *key, int selection UNUSED, const OSSL_PARAM params[]) {
	struct key *k = key;
	const OSSL_PARAM *ours = OSSL_PARAM_locate_const(params, PARAM_REMOTE);
	if (ours != NULL) {
		struct seed seed;
		if (ours->data_size != sizeof seed) return 0;
		memcpy(&seed, ours->data, sizeof seed);
		k->public = seed.public;
		k->remote = seed.remote;
		return EVP_PKEY_up_ref(k->public);
	}
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(library, k->type, "provider=default");
	bool ok = ctx != NULL && EVP_PKEY_fromdata_init(ctx) == 1 &&
	          EVP_PKEY_fromdata(ctx, &k->public, EVP_PKEY_PUBLIC_KEY, (OSSL_PARAM *)params) == 1;
	EVP_PKEY_CTX_free(ctx);
	return ok;
}

static int key_export(void *key, int selection, OSSL_CALLBACK *take, void *arg) {
	struct key *k = key;
	OSSL_PARAM *params = NULL;
	if ((selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0 && k->remote.sign != NULL) return 0;
	if (k->public == NULL || EVP_PKEY_todata(k->public, EVP_PKEY_PUBLIC_KEY, &params) != 1) return 0;
	int r = take(params, arg);
	OSSL_PARAM_free(params);
	return r;
}

static const OSSL_PARAM *key_import_types(int selection UNUSED) {
	static const OSSL_PARAM types[] = { OSSL_PARAM_octet_string(PARAM_REMOTE, NULL, 0), OSSL_PARAM_END };
	return types;
}

static const OSSL_PARAM *key_export_types(int selection UNUSED) {
	static const OSSL_PARAM types[] = { OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
					    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
					    OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, NULL, 0),
					    OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, NULL, 0), OSSL_PARAM_END };
	return types;
}

static int key_get_params(void *key, OSSL_PARAM params[]) {
	struct key *k = key;
	return k->public != NULL && EVP_PKEY_get_params(k->public, params);
}

static const OSSL_PARAM *key_gettable_params(void *provider UNUSED) {
	static const OSSL_PARAM types[] = { OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL),
		OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL), OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_DEFAULT_DIGEST, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_MANDATORY_DIGEST, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0), OSSL_PARAM_END };
	return types;
}

static const char *ec_operation_name(int operation) {
	return operation == OSSL_OP_SIGNATURE ? "ECDSA" : "EC";
}

#define FUNCTION(id, f) { id, (void (*)(void))(f) }
#define KEY_FUNCTIONS(new) \
	FUNCTION(OSSL_FUNC_KEYMGMT_NEW, new), FUNCTION(OSSL_FUNC_KEYMGMT_FREE, key_free), \
		FUNCTION(OSSL_FUNC_KEYMGMT_HAS, key_has), FUNCTION(OSSL_FUNC_KEYMGMT_MATCH, key_match), \
		FUNCTION(OSSL_FUNC_KEYMGMT_IMPORT, key_import), \
		FUNCTION(OSSL_FUNC_KEYMGMT_IMPORT_TYPES, key_import_types), \
		FUNCTION(OSSL_FUNC_KEYMGMT_EXPORT, key_export), \
		FUNCTION(OSSL_FUNC_KEYMGMT_EXPORT_TYPES, key_export_types), \
		FUNCTION(OSSL_FUNC_KEYMGMT_GET_PARAMS, key_get_params), \
		FUNCTION(OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, key_gettable_params)
static const OSSL_DISPATCH rsa_key[] = { KEY_FUNCTIONS(key_new_rsa), { 0, NULL } };
static const OSSL_DISPATCH ed25519_key[] = { KEY_FUNCTIONS(key_new_ed25519), { 0, NULL } };
static const OSSL_DISPATCH ec_key[] = { KEY_FUNCTIONS(key_new_ec),
	FUNCTION(OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, ec_operation_name), { 0, NULL } };

/* ---- signature ---- */

struct signing {
	struct key *key; /* borrowed: OpenSSL keeps the EVP_PKEY as long as this */
	char digest[32];
	uint32_t padding;
	int salt; /* bytes, or one of RSA_PSS_SALTLEN_… */
};

static void *signing_new(void *provider UNUSED, const char *properties UNUSED) {
	return mem_get(sizeof(struct signing));
}

static void signing_free(void *signing) {
	free(signing);
}

static void *signing_dup(void *signing) {
	struct signing *copy = mem_get(sizeof *copy);
	memcpy(copy, signing, sizeof *copy);
	return copy;
}

static bool read_padding(const OSSL_PARAM *p, uint32_t *padding) {
	int mode = 0;
	const char *name = p->data_type == OSSL_PARAM_UTF8_STRING ? p->data : NULL;
	if (name == NULL && !OSSL_PARAM_get_int(p, &mode)) return false;
	bool pss = name != NULL ? strcmp(name, OSSL_PKEY_RSA_PAD_MODE_PSS) == 0 : mode == RSA_PKCS1_PSS_PADDING;
	bool pkcs1 = name != NULL ? strcmp(name, OSSL_PKEY_RSA_PAD_MODE_PKCSV15) == 0 : mode == RSA_PKCS1_PADDING;
	if (!pss && !pkcs1) return false;
	*padding = pss ? REMOTE_PADDING_PSS : REMOTE_PADDING_PKCS1;
	return true;
}

static bool read_salt(const OSSL_PARAM *p, int *salt) {
	if (p->data_type != OSSL_PARAM_UTF8_STRING) return OSSL_PARAM_get_int(p, salt);
	static const struct { const char *name; int salt; } names[] = {
		{ OSSL_PKEY_RSA_PSS_SALT_LEN_DIGEST, RSA_PSS_SALTLEN_DIGEST },
		{ OSSL_PKEY_RSA_PSS_SALT_LEN_MAX, RSA_PSS_SALTLEN_MAX },
		{ OSSL_PKEY_RSA_PSS_SALT_LEN_AUTO, RSA_PSS_SALTLEN_AUTO } };
	for (size_t i = 0; i < LEN(names); i++) {
		if (strcmp(p->data, names[i].name) == 0) {
			*salt = names[i].salt;
			return true;
		}
	}
	uint64_t number;
	if (!slice_number(slice_of(p->data), KIB(1), &number)) return false;
	*salt = (int)number;
	return true;
}

static int signing_set(void *signing, const OSSL_PARAM params[]) {
	struct signing *s = signing;
	const OSSL_PARAM *padding = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PAD_MODE);
	const OSSL_PARAM *salt = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PSS_SALTLEN);
	if (padding != NULL && !read_padding(padding, &s->padding)) return 0;
	return salt == NULL || read_salt(salt, &s->salt);
}

static const OSSL_PARAM *signing_settable(void *signing UNUSED, void *provider UNUSED) {
	static const OSSL_PARAM types[] = { OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_MGF1_DIGEST, NULL, 0), OSSL_PARAM_END };
	return types;
}

static int signing_init(void *signing, const char *digest, void *key, const OSSL_PARAM params[]) {
	struct signing *s = signing;
	s->key = key;
	bool is_rsa = strcmp(s->key->type, "RSA") == 0;
	s->padding = is_rsa ? REMOTE_PADDING_PKCS1 : REMOTE_PADDING_NONE;
	s->salt = RSA_PSS_SALTLEN_DIGEST;
	if (digest != NULL && strlen(digest) >= sizeof s->digest) return 0;
	snprintf(s->digest, sizeof s->digest, "%s", digest != NULL ? digest : "");
	return params == NULL || signing_set(s, params);
}

static bool salt_length(const struct signing *s, uint32_t *out) {
	*out = 0;
	if (s->padding != REMOTE_PADDING_PSS) return true;
	EVP_MD *md = EVP_MD_fetch(library, s->digest, NULL);
	if (md == NULL) return false;
	int digest = EVP_MD_get_size(md), most = EVP_PKEY_get_size(s->key->public) - digest - 2;
	EVP_MD_free(md);
	int salt = s->salt == RSA_PSS_SALTLEN_DIGEST ? digest : s->salt < 0 ? most : s->salt;
	if (salt < 0 || salt > most) return false;
	*out = (uint32_t)salt;
	return true;
}

static int signing_sign(
	void *signing, unsigned char *to, size_t *len, size_t room, const unsigned char *tbs, size_t tbs_len) {
	struct signing *s = signing;
	size_t most = (size_t)EVP_PKEY_get_size(s->key->public);
	if (to == NULL) {
		*len = most;
		return 1;
	}
	struct remote_sign_request request = {
		.digest = slice_of(s->digest), .padding = s->padding, .tbs = slice_from(tbs, tbs_len)
	};
	AUTO_BUF struct buf signature = BUF(REMOTE_SIGNATURE_MAX);
	if (s->key->remote.sign == NULL || tbs_len > REMOTE_TBS_MAX || !salt_length(s, &request.salt_length)) return 0;
	if (s->key->remote.sign(s->key->remote.ctx, s->key->remote.id, &request, &signature) != 0) {
		ERR_raise_data(ERR_LIB_USER, ERR_R_OPERATION_FAIL, "%s", fail_text()); /* tls.c tells it as it is */
		return 0;
	}
	if (signature.full || signature.len == 0 || signature.len > MIN_OF(room, most)) return 0;
	memcpy(to, signature.at, signature.len);
	*len = signature.len;
	return 1;
}

static const OSSL_DISPATCH signature_functions[] = {
	FUNCTION(OSSL_FUNC_SIGNATURE_NEWCTX, signing_new),
	FUNCTION(OSSL_FUNC_SIGNATURE_FREECTX, signing_free),
	FUNCTION(OSSL_FUNC_SIGNATURE_DUPCTX, signing_dup),
	FUNCTION(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, signing_init),
	FUNCTION(OSSL_FUNC_SIGNATURE_DIGEST_SIGN, signing_sign),
	FUNCTION(OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS, signing_set),
	FUNCTION(OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS, signing_settable),
	{ 0, NULL },
};

/* ---- provider ---- */

static const OSSL_ALGORITHM *provider_query(void *provider UNUSED, int operation, int *no_cache) {
	static const OSSL_ALGORITHM keys[] = {
		{ "RSA:rsaEncryption", "provider=" PROVIDER, rsa_key, NULL },
		{ "EC:id-ecPublicKey", "provider=" PROVIDER, ec_key, NULL },
		{ "ED25519", "provider=" PROVIDER, ed25519_key, NULL },
		{ NULL, NULL, NULL, NULL },
	};
	static const OSSL_ALGORITHM signatures[] = {
		{ "RSA:rsaEncryption", "provider=" PROVIDER, signature_functions, NULL },
		{ "ECDSA", "provider=" PROVIDER, signature_functions, NULL },
		{ "ED25519", "provider=" PROVIDER, signature_functions, NULL },
		{ NULL, NULL, NULL, NULL },
	};
	*no_cache = 0;
	return operation == OSSL_OP_KEYMGMT ? keys : operation == OSSL_OP_SIGNATURE ? signatures : NULL;
}

static int provider_start(
	const OSSL_CORE_HANDLE *core, const OSSL_DISPATCH *in UNUSED, const OSSL_DISPATCH **out, void **context) {
	static const OSSL_DISPATCH functions[] = { FUNCTION(OSSL_FUNC_PROVIDER_QUERY_OPERATION, provider_query),
		{ 0, NULL } };
	*out = functions;
	*context = (void *)core;
	return 1;
}

static void library_open(void) {
	OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT,
			 NULL); /* no atexit: threads may still run */
	OSSL_LIB_CTX *l = OSSL_LIB_CTX_new();
	/* the default provider first: of two that fit, OpenSSL takes the older */
	if (l != NULL && OSSL_PROVIDER_load(l, "default") != NULL &&
		OSSL_PROVIDER_add_builtin(l, PROVIDER, provider_start) == 1 && OSSL_PROVIDER_load(l, PROVIDER) != NULL)
		library = l;
}

OSSL_LIB_CTX *remote_key_library(void) {
	pthread_once(&library_once, library_open);
	if (library == NULL) fail("OpenSSL: library cannot be started");
	return library;
}

EVP_PKEY *remote_key_new(const struct remote_key *key, EVP_PKEY *public_key) {
	if (remote_key_library() == NULL) return NULL;
	static const char *const types[] = { "RSA", "EC", "ED25519" };
	const char *type = NULL;
	for (size_t i = 0; i < LEN(types); i++)
		if (EVP_PKEY_is_a(public_key, types[i])) type = types[i];
	if (type == NULL) {
		fail("remote key: keys of this kind are not supported (use RSA, ECDSA or Ed25519)");
		return NULL;
	}
	struct seed seed = { public_key, *key };
	OSSL_PARAM params[] = { OSSL_PARAM_construct_octet_string(PARAM_REMOTE, &seed, sizeof seed),
		OSSL_PARAM_construct_end() };
	EVP_PKEY *made = NULL;
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(library, type, "provider=" PROVIDER);
	if (ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
	    EVP_PKEY_fromdata(ctx, &made, EVP_PKEY_KEYPAIR, params) != 1)
		fail("remote key: %s", ERR_reason_error_string(ERR_peek_last_error()));
	ERR_clear_error();
	EVP_PKEY_CTX_free(ctx);
	return made;
}
