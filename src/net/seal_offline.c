/* SPDX-License-Identifier: Apache-2.0 */
/* A filter of system calls (seccomp(2)) rather than a network namespace: it needs no rights, costs microseconds instead
 * of milliseconds for each run, and is refused by no container. It looks at numbers only: which call, and its first
 * arguments. Pointers it cannot follow, therefore connect is refused whole, and datagrams, which may carry an address,
 * are not had at all. */
#include "net/seal.h"
#include "base/fail.h"

#if defined(__linux__) && (defined(__x86_64__) || defined(__aarch64__))
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#ifdef __x86_64__
enum { FOREIGN = 0x40000000 }; /* numbers of x32 begin here: the same calls once more */
#define OURS AUDIT_ARCH_X86_64
#else
enum { FOREIGN = 0x7fffffff };
#define OURS AUDIT_ARCH_AARCH64
#endif

#define LOAD(field)        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define REFUSE             BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EACCES)
#define REFUSE_IF(test, k) BPF_JUMP(BPF_JMP | (test) | BPF_K, (k), 0, 1), REFUSE
#define REFUSE_UNLESS(k)   BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (k), 1, 0), REFUSE
#define ALLOW              BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

int seal_offline(void) {
	static struct sock_filter rules[] = {
		LOAD(arch),
		REFUSE_UNLESS(OURS),
		LOAD(nr),
		REFUSE_IF(BPF_JGE, FOREIGN),
		REFUSE_IF(BPF_JEQ, SYS_connect),
		REFUSE_IF(BPF_JEQ, SYS_io_uring_setup), /* makes sockets without our seeing it */
		REFUSE_IF(BPF_JEQ, SYS_ptrace), /* a process of the same user may have a socket */
		REFUSE_IF(BPF_JEQ, SYS_process_vm_writev),
		REFUSE_IF(BPF_JEQ, SYS_pidfd_getfd),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 1, 0),
		ALLOW,
		LOAD(args[0]), /* its low half, as both machines are little-endian: a family is an int */
		REFUSE_UNLESS(AF_UNIX),
		LOAD(args[1]),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xf), /* without SOCK_CLOEXEC and the like */
		REFUSE_UNLESS(SOCK_STREAM),
		ALLOW,
	};
	struct sock_fprog filter = { .len = LEN(rules), .filter = rules };
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return fail_errno("no_new_privs");
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0) != 0) return fail_errno("filter of system calls");
	return 0;
}
#else
int seal_offline(void) {
	return fail("filter of system calls: not known for this system");
}
#endif
