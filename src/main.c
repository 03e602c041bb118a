/* SPDX-License-Identifier: Apache-2.0 */
/* hato is one program, and most of it is a library that is loaded when it is needed. sendmail does not need it: loading
 * it, with the dozens of libraries it stands on, takes five times as long as handing a message in. */
#include "base/slice.h"
#include "cli/sendmail.h"
#include "cli/whole.h"

#include <dlfcn.h>
#include <signal.h>
#include <sysexits.h>

#ifdef HATO_ONE_FILE
/* A sanitizer must know all libraries when the program starts: there, nothing is left for later. */
static int whole(int argc, char **argv) {
	return hato_main(argc, argv);
}
#else
static const char library[] = "libhato.so";

/* The library: beside the program after a build, in its own folder after an installation. */
static void *load(void) {
	static const char *const places[] = { "", "../lib/hato/", HATO_LIBRARY_DIR "/" };
	char self[PATH_MAX], path[2 * PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
	struct slice folder = n > 0 ? slice_from(self, (size_t)n) : S("");
	folder = slice_head(folder, slice_find_last(folder, '/'));
	const char *why = "";
	for (size_t i = 0; i < LEN(places); i++) {
		if (places[i][0] == '/') snprintf(path, sizeof path, "%s%s", places[i], library);
		else snprintf(path, sizeof path, "%.*s/%s%s", SLICE_ARG(folder), places[i], library);
		if (access(path, F_OK) != 0) continue;
		void *found = dlopen(path, RTLD_NOW | RTLD_LOCAL);
		if (found != NULL) return found;
		why = dlerror();
	}
	fprintf(stderr, "hato: %s, the larger part of the program, cannot be loaded%s%s (install it again)\n", library,
		why[0] != '\0' ? ": " : "", why);
	return NULL;
}

static int whole(int argc, char **argv) {
	void *found = load();
	if (found == NULL) return EX_OSFILE;
	const char *version = dlsym(found, "hato_library_version");
	int (*run)(int, char **) = (int (*)(int, char **))(uintptr_t)dlsym(found, "hato_main");
	if (version != NULL && run != NULL && strcmp(version, HATO_VERSION) == 0) return run(argc, argv);
	fprintf(stderr, "hato: %s is of another version than the program (restart the server after an upgrade)\n",
		library);
	return EX_OSFILE;
}
#endif

int main(int argc, char **argv) {
	struct slice name = slice_of(argc > 0 ? argv[0] : "");
	size_t slash = slice_find_last(name, '/');
	if (slash < name.len) name = slice_skip(name, slash + 1);
	signal(SIGPIPE, SIG_IGN); /* write errors are answers */
	int code = slice_eq(name, S("sendmail")) ? sendmail_run(argc, argv, NULL) : SENDMAIL_WHOLE;
	if (code == SENDMAIL_WHOLE) return whole(argc, argv);
	return fflush(stdout) == 0 || code != EX_OK ? code : EX_IOERR;
}
