/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "conf/table/inside.h"
/* Client libraries of databases are loaded by the first table that asks for them: together they drag in thirty others, and
 * would double the time in which every program of ours starts. For this folder only. */
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
