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

// endLearner stops all before it kills any: what is stopped cannot fork. It returns how many are left.
func endLearner() int {
	left := 0
	for round := 0; round < 200; round++ {
		left = 0
		for _, sign := range []syscall.Signal{syscall.SIGSTOP, syscall.SIGKILL} {
			for _, pid := range learners() {
				syscall.Kill(pid, sign)
				left++
			}
		}
		if left == 0 {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	return left
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
