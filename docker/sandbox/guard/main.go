// Command guard is the sandbox's own program. It is several small ones:
//
//	guard authorize SOCKET                 Docker's authorization plugin: what the private engine may be asked
//	guard forward UID:GID LISTEN=DIAL ...  join sockets, as that user: the only ways into and out of a sandbox
//	guard route LISTEN FOLDER              let the cluster read each sandbox's registry, by its token
//	guard pids RUNC'S ARGUMENTS            list a container's processes
//	guard learner COMMAND ...              run a program without the rights to leave the sandbox
//	guard end SOCKET                       end all that the learner runs, when the grader asks
//
// Standard library only, so that it can be read in one sitting and builds without a network.
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) < 3 {
		log.Fatal("usage: guard authorize SOCKET | forward UID:GID LISTEN=DIAL ... | route LISTEN FOLDER [LISTEN=DIAL ...]")
	}
	switch arguments := os.Args[2:]; os.Args[1] {
	case "authorize":
		listener := listen("unix:" + arguments[0])
		log.Fatal(http.Serve(listener, plugin{}))
	case "forward":
		forwardAll(arguments[1:])
		become(arguments[0])
		sleep()
	case "learner":
		runAsLearner(arguments)
	case "end":
		serveEnd(listen("unix:" + arguments[0]))
	case "pids":
		pids(arguments)
	case "route":
		if len(arguments) < 2 {
			log.Fatal("guard route needs LISTEN and FOLDER")
		}
		most = 8192
		forwardAll(arguments[2:])
		log.Fatal(http.Serve(listen(arguments[0]), router{arguments[1]}))
	default:
		log.Fatalf("guard: no command is called %q", os.Args[1])
	}
}

// become gives up root's rights, once the sockets are open that only root may open; "-" keeps the user.
func become(user string) {
	if user == "-" {
		return
	}
	var uid, gid int
	if _, err := fmt.Sscanf(user, "%d:%d", &uid, &gid); err != nil {
		log.Fatalf("guard: %q is not UID:GID", user)
	}
	for _, err := range []error{syscall.Setgroups(nil), syscall.Setgid(gid), syscall.Setuid(uid)} {
		if err != nil {
			log.Fatalf("guard: %v", err)
		}
	}
}

// sleep waits for a signal: as process 1 of a container, a program that ignores SIGTERM takes 10 s to stop.
func sleep() {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	<-stop
}
