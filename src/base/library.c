/* SPDX-License-Identifier: Apache-2.0 */
#include "base/library.h"
#include "base/fail.h"
#include <dlfcn.h>

static int load(struct library *l) {
	void *handle = NULL;
	for (const char *const *name = l->names; *name != NULL && handle == NULL; name++)
		handle = dlopen(*name, RTLD_NOW | RTLD_LOCAL);
	if (handle == NULL) return fail("%s: not there (install the package with this library)", l->names[0]);
	for (size_t i = 0; i < l->count; i++) {
		*l->calls[i].at = dlsym(handle, l->calls[i].name);
		if (*l->calls[i].at == NULL)
			return fail("%s: has no %s (another version is needed)", l->names[0], l->calls[i].name);
	}
	l->loaded = true; /* and stays: threads may be inside */
	return 0;
}

int library_load(struct library *l) {
	pthread_mutex_lock(&l->lock);
	int r = l->loaded ? 0 : load(l);
	pthread_mutex_unlock(&l->lock);
	return r;
}
