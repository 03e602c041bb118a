/* SPDX-License-Identifier: Apache-2.0 */
/* What another process says must not hurt us: any bytes are read as a struct with lists in lists, packed again and read
 * again, which must give the same bytes. */
#include "base/wire.h"

struct leaf {
	struct slice name;
	int small;
	bool truth;
};
#define LEAF_FIELDS(F) F(text, name) F(int_, small) F(bool_, truth)
WIRE_DECLARE(leaf)
WIRE_STRUCT(leaf, LEAF_FIELDS)

struct branch {
	uint32_t id;
	int64_t when;
	struct leaf *leaves;
	size_t leaves_count;
};
#define BRANCH_FIELDS(F) F(u32, id) F(i64, when) F(list, leaves, leaf)
WIRE_DECLARE(branch)
WIRE_STRUCT(branch, BRANCH_FIELDS)

struct tree {
	uint64_t age;
	struct leaf top;
	struct branch *branches;
	size_t branches_count;
};
#define TREE_FIELDS(F) F(u64, age) F(part, top, leaf) F(list, branches, branch)
WIRE_DECLARE(tree)
WIRE_STRUCT(tree, TREE_FIELDS)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	AUTO_ARENA struct arena mem = { 0 };
	AUTO_BUF struct buf once = BUF(MIB(16)), twice = BUF(MIB(16));
	struct unwire w = UNWIRE(slice_from(data, size), &mem);
	struct tree t = { 0 }, again = { 0 };
	tree_unpack(&w, &t);
	if (w.bad) return 0;
	tree_pack(&once, &t);
	must(once.len <= size); /* our form is the shortest */
	w = UNWIRE(buf_slice(&once), &mem);
	tree_unpack(&w, &again);
	must(!w.bad && w.rest.len == 0);
	tree_pack(&twice, &again);
	must(slice_eq(buf_slice(&once), buf_slice(&twice)));
	return 0;
}
