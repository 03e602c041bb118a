/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What a unit test includes last: cmocka, without its macro that hides our fail(). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#undef fail
