package main

import (
	"log"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"unsafe"
)

// What a kernel and its shell commands never need, and what breaking out of a container begins with: other
// namespaces (in one of its own a learner would be root), mounts, and corners of the Linux kernel with a long
// list of holes. Numbers: include/uapi/asm-generic/unistd.h (arm64), arch/x86/entry/syscalls/syscall_64.tbl.
var forbidden = map[string][]uint32{
	"amd64": {
		165, 166, 155, 308, // mount, umount2, pivot_root, setns
		428, 429, 430, 431, 432, 433, 442, // open_tree, move_mount, fsopen, fsconfig, fsmount, fspick, mount_setattr
		321, 298, 323, // bpf, perf_event_open, userfaultfd
		248, 249, 250, // add_key, request_key, keyctl
		425, 426, 427, // io_uring
		304, 101, 310, 311, // open_by_handle_at, ptrace, process_vm_readv, process_vm_writev
	},
	"arm64": {
		40, 39, 41, 268,
		428, 429, 430, 431, 432, 433, 442,
		280, 241, 282,
		217, 218, 219,
		425, 426, 427,
		265, 117, 270, 271,
	},
}

var machines = map[string]struct{ audit, unshare, clone, clone3 uint32 }{
	"amd64": {0xc000003e, 272, 56, 435},
	"arm64": {0xc00000b7, 97, 220, 435},
}

const (
	namespaces = 0x7e020080 // CLONE_NEW*: user, pid, net, ipc, uts, cgroup, mount, time

	load, equal, above, anyOf, give = 0x20, 0x15, 0x35, 0x45, 0x06 // BPF: ld abs, jeq, jge, jset, ret

	allow       = 0x7fff0000
	refusePerm  = 0x00050000 | uint32(syscall.EPERM)
	refuseThere = 0x00050000 | uint32(syscall.ENOSYS) // glibc tries clone3 first, and then clone
)

type step struct {
	code   uint16
	yes    uint8
	no     uint8
	number uint32
}

// filter returns the program that the Linux kernel runs at each system call.
func filter(machine string) []step {
	its := machines[machine]
	program := []step{
		{load, 0, 0, 4}, {equal, 1, 0, its.audit}, {give, 0, 0, refuseThere}, // no other machine's calls (i386)
		{load, 0, 0, 0}, {above, 0, 1, 0x40000000}, {give, 0, 0, refuseThere}, // nor x32's
		{equal, 0, 1, its.clone3}, {give, 0, 0, refuseThere}, // its flags lie in memory, where no filter can look
	}
	for _, number := range forbidden[machine] {
		program = append(program, step{equal, 0, 1, number}, step{give, 0, 0, refusePerm})
	}
	for _, number := range []uint32{its.unshare, its.clone} {
		program = append(program,
			step{equal, 0, 4, number}, step{load, 0, 0, 16},
			step{anyOf, 0, 1, namespaces}, step{give, 0, 0, refusePerm}, step{give, 0, 0, allow})
	}
	return append(program, step{give, 0, 0, allow})
}

// become the learner's program: no new rights, and the filter, which its children inherit.
func runAsLearner(command []string) {
	runtime.LockOSThread()
	path, err := exec.LookPath(command[0])
	if err != nil {
		log.Fatalf("guard: %v", err)
	}
	program := filter(runtime.GOARCH)
	text := struct {
		length uint16
		first  *step
	}{uint16(len(program)), &program[0]}
	if _, _, err := syscall.RawSyscall6(syscall.SYS_PRCTL, 38, 1, 0, 0, 0, 0); err != 0 { // PR_SET_NO_NEW_PRIVS
		log.Fatalf("guard: %v", err)
	}
	if _, _, err := syscall.RawSyscall(syscall.SYS_PRCTL, 22, 2, uintptr(unsafe.Pointer(&text))); err != 0 { // PR_SET_SECCOMP
		log.Fatalf("guard: %v", err)
	}
	log.Fatalf("guard: %v", syscall.Exec(path, command, os.Environ()))
}
