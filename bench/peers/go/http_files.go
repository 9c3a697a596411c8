// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"time"
)

// fileServer serves the directory that BENCH_FILES names, on an ephemeral loopback port, which it
// prints, until it is killed or its ten minutes are over.
func fileServer() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("port %d\n", listener.Addr().(*net.TCPAddr).Port)
	time.AfterFunc(10*time.Minute, func() { os.Exit(0) })
	files := http.FileServer(http.Dir(os.Getenv("BENCH_FILES")))
	fmt.Fprintln(os.Stderr, http.Serve(listener, files))
	os.Exit(1)
}
