// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"net"
	"os"
	"time"
)

// echoServer answers on an ephemeral loopback port, which it prints, until it is killed or its
// ten minutes are over.
func echoServer() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("port %d\n", listener.Addr().(*net.TCPAddr).Port)
	time.AfterFunc(10*time.Minute, func() { os.Exit(0) })
	for {
		conn, err := listener.Accept()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		go echo(conn)
	}
}

func echo(conn net.Conn) {
	defer conn.Close()
	var buffer [2048]byte
	for {
		n, err := conn.Read(buffer[:])
		if err != nil {
			return
		}
		if _, err = conn.Write(buffer[:n]); err != nil {
			return
		}
	}
}
