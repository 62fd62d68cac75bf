package main

import (
	"encoding/json"
	"log"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
)

var parent = regexp.MustCompile(`(?m)^PPid:\s+(\d+)$`)

// pids answers `runc --root FOLDER ... ps --format json ID`: the first process of a container and all that
// descend from it. None can leave: an orphan's parent is the first process of its namespace.
func pids(arguments []string) {
	root := ""
	for at, word := range arguments[:len(arguments)-1] {
		if word == "--root" {
			root = arguments[at+1]
		}
	}
	text, err := os.ReadFile(filepath.Join(root, arguments[len(arguments)-1], "state.json"))
	var state struct {
		First int `json:"init_process_pid"`
	}
	if err != nil || json.Unmarshal(text, &state) != nil || state.First == 0 {
		log.Fatal("container does not exist")
	}
	children := map[int][]int{}
	statuses, _ := filepath.Glob("/proc/[0-9]*/status")
	for _, path := range statuses {
		text, err := os.ReadFile(path)
		found := parent.FindSubmatch(text)
		if err != nil || found == nil {
			continue
		}
		child, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		above, _ := strconv.Atoi(string(found[1]))
		children[above] = append(children[above], child)
	}
	all := []int{state.First}
	for at := 0; at < len(all); at++ {
		all = append(all, children[all[at]]...)
	}
	json.NewEncoder(os.Stdout).Encode(all)
}
