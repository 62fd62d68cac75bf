package main

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// most is how many connections one forward carries at a time; the next one waits. The gate, which all
// sandboxes share, carries more than any of them can open.
var most = 128

// listen opens "unix:PATH" or "tcp:ADDRESS". Sockets in the file system can be used by every user: who may
// reach them is a matter of the folder they lie in.
func listen(where string) net.Listener {
	kind, address, _ := strings.Cut(where, ":")
	if kind == "unix" {
		os.Remove(address)
	}
	listener, err := net.Listen(kind, address)
	if err != nil {
		log.Fatalf("guard: %v", err)
	}
	if kind == "unix" {
		if err := os.Chmod(address, 0o666); err != nil {
			log.Fatalf("guard: %v", err)
		}
	}
	return listener
}

// forwardAll opens a socket for each "LISTEN=DIAL" and starts to forward from it.
func forwardAll(pairs []string) {
	for _, pair := range pairs {
		from, to, ok := strings.Cut(pair, "=")
		if !ok {
			log.Fatalf("guard: %q is not LISTEN=DIAL", pair)
		}
		go accept(listen(from), to)
	}
}

func accept(listener net.Listener, to string) {
	places := make(chan struct{}, most)
	for {
		places <- struct{}{}
		client, err := listener.Accept()
		if err != nil {
			<-places
			time.Sleep(50 * time.Millisecond) // out of file descriptors: not for ever
			continue
		}
		go func() {
			defer func() { <-places }()
			join(client, to)
		}()
	}
}

// join connects a client with "unix:PATH", "tcp:ADDRESS", or "port": the TCP port on loopback that the client
// names in its first line.
func join(client net.Conn, to string) {
	defer client.Close()
	var reader io.Reader = client
	if to == "port" {
		client.SetReadDeadline(time.Now().Add(5 * time.Second))
		buffered := bufio.NewReaderSize(client, 4096)
		line, err := buffered.ReadSlice('\n')
		port, wrong := strconv.ParseUint(strings.TrimSpace(string(line)), 10, 16)
		if err != nil || wrong != nil {
			return
		}
		client.SetReadDeadline(time.Time{})
		reader, to = buffered, fmt.Sprintf("tcp:127.0.0.1:%d", port)
	}
	kind, address, _ := strings.Cut(to, ":")
	server, err := net.DialTimeout(kind, address, 5*time.Second)
	if err != nil {
		return
	}
	defer server.Close()
	var both sync.WaitGroup
	both.Add(2)
	go carry(&both, server, reader)
	go carry(&both, client, server)
	both.Wait()
}

// carry copies one direction and passes its end on: Docker and BuildKit close one side and read on.
func carry(both *sync.WaitGroup, to net.Conn, from io.Reader) {
	defer both.Done()
	io.Copy(to, from)
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
	}
}
