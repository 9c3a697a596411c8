// SPDX-License-Identifier: MIT

package main

import (
	"runtime"
	"sync"
)

func spawnBatch(n int) {
	var group sync.WaitGroup
	group.Add(n)
	for range n {
		go group.Done()
	}
	group.Wait()
}

// spawnJoin starts and joins goroutines in batches of 1000.
func spawnJoin() {
	const batch = 1000
	batches := scaled(1000)
	for range max(1, batches/10) {
		spawnBatch(batch)
	}
	watch := start()
	for range batches {
		spawnBatch(batch)
	}
	watch.perOp("spawn_join", batches*batch)
}

// spawnMillion starts a million goroutines before it joins the first.
func spawnMillion() {
	n := scaled(1_000_000)
	watch := start()
	spawnBatch(n)
	watch.perOp("spawn_1m", n)
}

// parked measures the resident memory of a million goroutines waiting on one channel.
func parked() {
	n := scaled(1_000_000)
	gate := make(chan struct{})
	var ready, done sync.WaitGroup
	ready.Add(n)
	done.Add(n)
	before := residentBytes()
	for range n {
		go func() {
			ready.Done()
			<-gate
			done.Done()
		}()
	}
	ready.Wait()
	report("parked", float64(residentBytes()-before)/float64(n), "B")
	close(gate)
	done.Wait()
}

func yieldAmong(goroutines, total int) {
	var group sync.WaitGroup
	for range goroutines {
		group.Add(1)
		go func() {
			for range total / goroutines {
				runtime.Gosched()
			}
			group.Done()
		}()
	}
	group.Wait()
}

// yield measures one Gosched with 2 and with 1000 runnable goroutines.
func yield() {
	total := scaled(4_000_000)
	yieldAmong(1000, total/10)
	watch := start()
	yieldAmong(2, total)
	watch.perOp("yield_2", total)
	watch = start()
	yieldAmong(1000, total)
	watch.perOp("yield_1000", total)
}
