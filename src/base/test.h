/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What a unit test includes last: cmocka, without its macro that hides our fail(); its fail_msg() without that one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#undef fail
#undef fail_msg
#define fail_msg(format, ...) \
	do { \
		print_error("ERROR: " format "\n", ##__VA_ARGS__); \
		_fail(__FILE__, __LINE__); \
	} while (0)
