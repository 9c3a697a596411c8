// SPDX-License-Identifier: MIT

package main

import (
	"math"
	"runtime"
	"sync"
	"time"
)

var burned int64

func burn(n int) int {
	x := 0
	for i := 1; i <= n; i++ {
		x = (x + i*7) % 1000003
	}
	return x
}

func paretoCosts(n int, least float64) []int {
	costs, seed := make([]int, n), 42
	for i := range costs {
		seed = seed * 16807 % 2147483647
		cost := least / math.Pow(float64(seed)/2147483647, 1/1.5)
		costs[i] = int(math.Min(cost, least*300))
	}
	return costs
}

func runCosts(procs int, costs []int) time.Duration {
	runtime.GOMAXPROCS(procs)
	began := time.Now()
	var group sync.WaitGroup
	results := make([]int, len(costs))
	for i, cost := range costs {
		group.Add(1)
		go func() {
			results[i] = burn(cost)
			group.Done()
		}()
	}
	group.Wait()
	took := time.Since(began)
	for _, r := range results {
		burned += int64(r)
	}
	return took
}

// pareto runs 2,000 goroutines whose costs differ a lot: time on two cores, of that on one.
func pareto() {
	costs := paretoCosts(scaled(2000), 60000)
	runCosts(2, costs[:len(costs)/10])
	one, two := runCosts(1, costs), runCosts(2, costs)
	report("pareto", two.Seconds()/one.Seconds(), "x")
	report("pareto.one", one.Seconds()*1e3, "ms")
}

// stream2 sends n values from one goroutine to another, each on a thread of its own if locked.
func stream2[T any](n int, locked bool, make1 func(i int) T) time.Duration {
	messages := make(chan T, 1024)
	began := time.Now()
	go func() {
		if locked {
			runtime.LockOSThread()
		}
		for i := range n {
			messages <- make1(i)
		}
		close(messages)
	}()
	if locked {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
	}
	got := 0
	for range messages {
		got++
	}
	check(got == n, "xchan")
	return time.Since(began)
}

// crossChannel streams small numbers and strings of 64 bytes between two cores.
func crossChannel(locked bool) {
	n := scaled(2_000_000)
	text := string(make([]byte, 64))
	for _, count := range []int{n / 10, n} {
		numbers := stream2(count, locked, func(i int) int { return i })
		strings := stream2(count, locked, func(int) string { return text })
		if count == n {
			report("xchan", float64(numbers.Nanoseconds())/float64(n), "ns")
			report("xchan_text", float64(strings.Nanoseconds())/float64(n), "ns")
		}
	}
}
