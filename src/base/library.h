/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/base.h"
#include <pthread.h>
/* Libraries that few need are loaded by the first who asks for them: those of databases and of XML drag in some forty
 * others, would double the time in which every program of ours starts, and cost each process 200 KiB for their
 * relocations. The caller includes the library's own header and lists what it calls: #define CALLS(F)
 * F(ldap_initialize) F(ldap_unbind_ext_s) static struct { CALLS(LIBRARY_MEMBER) } ld; #define CALL(function) {
 * #function, (void **)(void *)&ld.function }, static const struct library_call calls[] = { CALLS(CALL) }; static struct
 * library library = { names, calls, LEN(calls), PTHREAD_MUTEX_INITIALIZER, false }; if (library_load(&library) < 0)
 * return -1; ld.ldap_initialize(…); */
struct library {
	const char *const *names;  /* "libpq.so.5", …: the first that is there; NULL behind the last */
	const struct library_call {
		const char *name;
		void **at;
	} *calls;
	size_t count;
	pthread_mutex_t lock;
	bool loaded;
};
/* A struct with a pointer for each function of LIST(F), and what library_load needs to fill it. */
#define LIBRARY_MEMBER(function) __typeof__(function) *function;
int library_load(struct library *l) MUST_USE; /* <0: fail() */
