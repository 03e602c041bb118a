/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What every file of hato stands on: the system's headers, memory that is there or ends the process, clean-up by scope,
 * assertions, and the functions nobody may call.
 *
 * Errors come in two kinds. Below zero: we cannot go on; the text is kept for the thread (fail.h), pass the number up.
 * Above zero: a named answer of the function's own enum, which the caller must handle. Zero: done. */
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/types.h>

#define LEN(array) (sizeof(array) / sizeof((array)[0]))
#define MIN_OF(a, b) ((a) < (b) ? (a) : (b))
#define MAX_OF(a, b) ((a) > (b) ? (a) : (b))
#define KIB(n) ((size_t)(n) << 10)
#define MIB(n) ((size_t)(n) << 20)

#define PRINTF_LIKE(at, first) __attribute__((format(printf, at, first), nonnull(at)))
#define NONNULL_RESULT __attribute__((returns_nonnull))
#define MUST_USE __attribute__((warn_unused_result))
#define UNUSED __attribute__((unused))
#define NO_RETURN __attribute__((noreturn))

/* The struct that holds a member, from a pointer to the member. */
#define OWNER_OF(pointer, type, member) ((type *)(void *)((char *)(pointer) - offsetof(type, member)))

/* Memory. A call returns zeroed memory or ends the process: its parent starts it again and nothing acknowledged lives
 * in memory only. Sizes that come from outside are bounded before they get here. */
void *mem_get(size_t size) NONNULL_RESULT;
void *mem_array(size_t count, size_t size) NONNULL_RESULT; /* ends the process when count * size overflows */
void *mem_resize(void *at, size_t size) NONNULL_RESULT;    /* new bytes are not zeroed */
char *mem_text(const char *text) NONNULL_RESULT;           /* a copy, freed with free() */
void mem_wipe(void *at, size_t size);                      /* for secrets: not optimised away */

/* Always on: what cannot be. Says where and ends the process. */
#define must(truth) ((truth) ? (void)0 : must_failed(#truth, __FILE__, __LINE__))
NO_RETURN void must_failed(const char *truth, const char *file, int line);
NO_RETURN void die_now(const char *format, ...) PRINTF_LIKE(1, 2);

/* Clean-up at the end of the scope: AUTO_FD int fd = open(…); return TAKE_FD(fd) to keep it. */
#define AUTO(destroy) __attribute__((cleanup(destroy)))
#define AUTO_FD AUTO(auto_fd)
#define AUTO_FREE AUTO(auto_free)
#define AUTO_FILE AUTO(auto_file)
void auto_fd(int *fd);
void auto_free(void *pointer_to_pointer);
void auto_file(FILE **file);
#define TAKE(pointer) ({ __typeof__(pointer) taken_ = (pointer); (pointer) = NULL; taken_; })
#define TAKE_FD(fd) ({ int taken_ = (fd); (fd) = -1; taken_; })

/* Functions that nobody may call: unbounded, not thread-safe, or with a safer form of ours. */
#ifndef __clang__ /* whose fortified headers make macros of some */
#pragma GCC poison strcpy strcat sprintf vsprintf strtok gets gmtime localtime ctime asctime strncpy atoi atol
#endif
