// SPDX-License-Identifier: MIT

package main

import "sync"

type call struct {
	text   string
	result chan string
}

func calls(tasks, workers, n int) {
	queue := make(chan call, 1024)
	for range workers {
		go func() {
			for c := range queue {
				c.result <- c.text
			}
		}()
	}
	var group sync.WaitGroup
	for range tasks {
		group.Add(1)
		go func() {
			defer group.Done()
			result := make(chan string, 1)
			for range n / tasks {
				queue <- call{"a string of 24 bytes....", result}
				check(len(<-result) == 24, "offload")
			}
		}()
	}
	group.Wait()
	close(queue)
}

// offload has 64 goroutines call a pool of two workers. Go needs no pool for calls that block; this
// is the same shape, on one core and without a second thread.
func offload() {
	n := scaled(200_000)
	calls(64, 2, n/10)
	watch := start()
	calls(64, 2, n)
	watch.perOp("offload", n)
}
