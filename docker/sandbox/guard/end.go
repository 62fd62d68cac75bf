package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const learner = 10001

// serveEnd waits for the grader to say that the notebook has run, and ends every process of the learner's. It
// is there from the start and needs no new process: a fork bomb may have used them all up.
func serveEnd(listener net.Listener) {
	threads()
	for {
		client, err := listener.Accept()
		if err != nil {
			time.Sleep(50 * time.Millisecond)
			continue
		}
		fmt.Fprintf(client, "%d\n", endLearner())
		client.Close()
	}
}

// endLearner kills all at one stroke and returns how many are left. One after the other would be a race that a
// fork bomb wins; kill(-1) as the learner's user reaches every process of that user, and the Linux kernel lets
// no fork pass it.
func endLearner() int {
	runtime.LockOSThread() // and the effective user is this thread's alone
	defer runtime.UnlockOSThread()
	const keep = ^uintptr(0)
	for round := 0; round < 50; round++ {
		if _, _, err := syscall.RawSyscall(syscall.SYS_SETRESUID, keep, learner, keep); err != 0 {
			return -1
		}
		syscall.Kill(-1, syscall.SIGKILL)
		if _, _, err := syscall.RawSyscall(syscall.SYS_SETRESUID, keep, 0, keep); err != 0 {
			return -1
		}
		if len(learners()) == 0 {
			return 0
		}
		time.Sleep(10 * time.Millisecond)
	}
	return len(learners())
}

func learners() (pids []int) {
	entries, _ := filepath.Glob("/proc/[0-9]*")
	for _, entry := range entries {
		if statusUID(entry) == learner {
			pid, _ := strconv.Atoi(filepath.Base(entry))
			pids = append(pids, pid)
		}
	}
	return pids
}

func statusUID(entry string) int {
	text, err := os.ReadFile(entry + "/status")
	if err != nil {
		return -1
	}
	uid, state := -1, byte(0)
	for _, line := range strings.Split(string(text), "\n") {
		fmt.Sscanf(line, "Uid:\t%d", &uid)
		fmt.Sscanf(line, "State:\t%c", &state)
	}
	if state == 'Z' {
		return -1
	}
	return uid
}

// threads makes the runtime start threads now: later there may be none to be had.
func threads() {
	var all sync.WaitGroup
	for count := 0; count < 8; count++ {
		all.Add(1)
		go func() {
			defer all.Done()
			runtime.LockOSThread()
			time.Sleep(20 * time.Millisecond)
			runtime.UnlockOSThread()
		}()
	}
	all.Wait()
}
