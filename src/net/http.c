/* SPDX-License-Identifier: Apache-2.0 */
/* A handle of libcurl keeps its connection open: the few that are idle stand on a shelf, so that the next question
 * needs no TLS handshake. */
#include "net/http.h"
#include "base/buf.h"
#include "base/fail.h"
#include "base/library.h"

#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>

#define CALLS(F) \
	F(curl_global_init) F(curl_easy_init) F(curl_easy_setopt) F(curl_easy_perform) F(curl_easy_getinfo) \
	F(curl_easy_reset) F(curl_easy_cleanup) F(curl_easy_strerror) F(curl_slist_append) F(curl_slist_free_all)
static struct {
	CALLS(LIBRARY_MEMBER)
} http;
#define CALL(function) { #function, (void **)(void *)&http.function },
static const struct library_call calls[] = { CALLS(CALL) };
static const char *const library_names[] = { "libcurl.so.4", "libcurl-gnutls.so.4", NULL };
static struct library library = { library_names, calls, LEN(calls), PTHREAD_MUTEX_INITIALIZER, false };

enum { SHELF = 8 };
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of what follows */
static CURL *shelf[SHELF];
static size_t shelf_count;
static bool begun;

int http_ready(void) {
	if (library_load(&library) < 0) return fail_add("HTTP");
	pthread_mutex_lock(&lock);
	if (!begun) begun = http.curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
	bool ok = begun;
	pthread_mutex_unlock(&lock);
	return ok ? 0 : fail("HTTP: libcurl cannot be used");
}

static CURL *take(void) {
	pthread_mutex_lock(&lock);
	CURL *c = shelf_count != 0 ? shelf[--shelf_count] : NULL;
	pthread_mutex_unlock(&lock);
	return c != NULL ? c : http.curl_easy_init();
}

static void put_back(CURL *c) {
	http.curl_easy_reset(c); /* forgets what was sent, keeps the connection */
	pthread_mutex_lock(&lock);
	bool room = shelf_count < SHELF;
	if (room) shelf[shelf_count++] = c;
	pthread_mutex_unlock(&lock);
	if (!room) http.curl_easy_cleanup(c);
}

static size_t take_body(char *at, size_t size, size_t count, void *into) {
	return buf_add(into, slice_from(at, size * count)) ? size * count : 0;
}

static void set_up(CURL *c, const struct http_ask *ask, struct curl_slist *headers, struct buf *body, char *why) {
	http.curl_easy_setopt(c, CURLOPT_URL, ask->url);
	http.curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
	http.curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
	http.curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	http.curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)ask->timeout_ms);
	http.curl_easy_setopt(c, CURLOPT_USERAGENT, "hato/" HATO_VERSION);
	http.curl_easy_setopt(c, CURLOPT_ERRORBUFFER, why);
	http.curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take_body);
	http.curl_easy_setopt(c, CURLOPT_WRITEDATA, body);
	http.curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
	if (ask->ca_file != NULL) http.curl_easy_setopt(c, CURLOPT_CAINFO, ask->ca_file);
	if (ask->user != NULL) {
		http.curl_easy_setopt(c, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
		http.curl_easy_setopt(c, CURLOPT_USERNAME, ask->user);
		http.curl_easy_setopt(c, CURLOPT_PASSWORD, ask->password != NULL ? ask->password : "");
	}
	if (ask->form.at == NULL) return;
	http.curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE, (long)ask->form.len);
	http.curl_easy_setopt(c, CURLOPT_POSTFIELDS, ask->form.at);
}

int http_call(const struct http_ask *ask, struct arena *mem, struct http_answer *out) {
	if (http_ready() < 0) return -1;
	CURL *c = take();
	if (c == NULL) return fail("HTTP: libcurl cannot be used");
	AUTO_BUF struct buf body = BUF(ask->most);
	AUTO_BUF struct buf bearer = BUF(ask->bearer.len + 64);
	char why[CURL_ERROR_SIZE] = "";
	struct curl_slist *headers = http.curl_slist_append(NULL, "Accept: application/json");
	if (ask->bearer.len != 0) {
		buf_addf(&bearer, "Authorization: Bearer %.*s", SLICE_ARG(ask->bearer));
		headers = http.curl_slist_append(headers, buf_text(&bearer));
	}
	set_up(c, ask, headers, &body, why);
	CURLcode r = http.curl_easy_perform(c);
	long status = 0;
	if (r == CURLE_OK) http.curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
	put_back(c);
	if (headers != NULL && headers->next != NULL) mem_wipe(headers->next->data, strlen(headers->next->data));
	http.curl_slist_free_all(headers);
	mem_wipe(bearer.at, bearer.len);
	if (body.full) return fail("HTTP: the answer has more than %zu bytes", ask->most);
	if (r != CURLE_OK) return fail("HTTP: %s", why[0] != '\0' ? why : http.curl_easy_strerror(r));
	*out = (struct http_answer){ (int)status, arena_slice(mem, buf_slice(&body)) };
	return 0;
}

void http_form_add(struct buf *out, const char *name, struct slice value) {
	buf_addf(out, "%s%s=", out->len != 0 ? "&" : "", name);
	for (size_t i = 0; i < value.len; i++) {
		char c = value.at[i];
		bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
			     c == '.' || c == '_' || c == '~';
		if (plain) buf_byte(out, c);
		else buf_addf(out, "%%%02X", (unsigned char)c);
	}
}
