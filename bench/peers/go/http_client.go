// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// helloServer answers every request with "hello", on an ephemeral loopback port, which it prints,
// until it is killed or its ten minutes are over.
func helloServer() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("port %d\n", listener.Addr().(*net.TCPAddr).Port)
	time.AfterFunc(10*time.Minute, func() { os.Exit(0) })
	body := []byte("hello, world")
	fmt.Fprintln(os.Stderr, http.Serve(listener, http.HandlerFunc(
		func(w http.ResponseWriter, _ *http.Request) { w.Write(body) })))
	os.Exit(1)
}

const clientTasks = 64

// get fetches the URL and checks what comes.
func get(client *http.Client, url string) {
	response, err := client.Get(url)
	check(err == nil, fmt.Sprint("a response: ", err))
	body, err := io.ReadAll(response.Body)
	response.Body.Close()
	check(err == nil && response.StatusCode == 200 && string(body) == "hello, world", "the body")
}

// httpClient: clientTasks goroutines share a client whose pool keeps a connection for each.
func httpClient() {
	url := "http://127.0.0.1:" + os.Getenv("BENCH_PORT") + "/"
	client := &http.Client{
		Timeout: 30 * time.Second,
		Transport: &http.Transport{
			MaxIdleConnsPerHost: clientTasks, DisableCompression: true, IdleConnTimeout: 90 * time.Second,
		},
	}
	round := func(n int) {
		var done sync.WaitGroup
		for range clientTasks {
			done.Go(func() {
				for range n / clientTasks {
					get(client, url)
				}
			})
		}
		done.Wait()
	}
	n := scaled(200000) / clientTasks * clientTasks
	round(n / 10)
	watch := start()
	round(n)
	watch.perOp("httpclient", n)
}
