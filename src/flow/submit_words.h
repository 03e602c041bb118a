/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the greeting for sendmail adds to "(origin …, size N" where the settings want something else than usual: said by
 * flow/admit, heard by cli/submit. */
#define SUBMIT_SAYS_OBSOLETE ", from obsolete"     /* header_from_format */
#define SUBMIT_SAYS_CHARSET ", names in "          /* full_name_encoding_charset, other than utf-8 */
#define SUBMIT_SAYS_STRICT ", line ends strict"    /* sendmail_fix_line_endings */
#define SUBMIT_SAYS_NEVER ", line ends never"
