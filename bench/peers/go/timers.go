// SPDX-License-Identifier: MIT

package main

import (
	"math/rand"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// timers measures create and cancel with a million timers pending, then the CPU of firing them.
func timers() {
	pending := scaled(1_000_000)
	random := rand.New(rand.NewSource(1))
	noop := func() {}
	held := make([]*time.Timer, pending)
	for i := range held {
		held[i] = time.AfterFunc(time.Duration(3600+random.Intn(3600))*time.Second, noop)
	}

	const batch, repeats = 100_000, 5
	extra := make([]*time.Timer, batch)
	delays := make([]time.Duration, batch)
	order := random.Perm(batch)
	for i := range delays {
		delays[i] = time.Duration(60_000+random.Intn(3_600_000)) * time.Millisecond
	}
	var create, cancel time.Duration
	for range repeats {
		begin := time.Now()
		for i := range extra {
			extra[i] = time.AfterFunc(delays[i], noop)
		}
		create += time.Since(begin)
		begin = time.Now()
		for _, i := range order {
			extra[i].Stop()
		}
		cancel += time.Since(begin)
	}
	report("timer_create", float64(create.Nanoseconds())/(batch*repeats), "ns")
	report("timer_cancel", float64(cancel.Nanoseconds())/(batch*repeats), "ns")
	for _, timer := range held {
		timer.Stop()
	}

	fireTimers(pending, random)
	fireSleepers(pending, random)
}

// fireTimers has timers due within one second run a callback each; only the time after their
// creation counts.
func fireTimers(n int, random *rand.Rand) {
	var fired atomic.Int64
	count := func() { fired.Add(1) }
	lead := 3 * time.Second
	begin := time.Now()
	for range n {
		due := lead + time.Duration(random.Intn(1_000_000))*time.Microsecond
		time.AfterFunc(due-time.Since(begin), count)
	}
	check(time.Since(begin) < lead, "creating the timers took longer than their lead")
	cpu := cpuTime()
	for fired.Load() < int64(n) {
		time.Sleep(100 * time.Millisecond)
	}
	report("timer_fire", float64((cpuTime()-cpu).Nanoseconds())/float64(n), "ns")
}

// fireSleepers wakes as many sleeping goroutines; the figure includes running each to its end.
func fireSleepers(n int, random *rand.Rand) {
	lead := 6 * time.Second
	begin := time.Now()
	var group sync.WaitGroup
	group.Add(n)
	for range n {
		due := lead + time.Duration(random.Intn(1_000_000))*time.Microsecond
		go func() {
			time.Sleep(due - time.Since(begin))
			group.Done()
		}()
	}
	time.Sleep(lead - 200*time.Millisecond - time.Since(begin))
	cpu := cpuTime()
	group.Wait()
	report("sleep_wake", float64((cpuTime()-cpu).Nanoseconds())/float64(n), "ns")
}

// ticker measures how late a 1 ms ticker is beside a goroutine that computes without end.
func ticker() {
	var stop atomic.Bool
	go func() {
		for !stop.Load() {
		}
	}()
	period := time.Millisecond
	origin := time.Now()
	ticks := time.NewTicker(period)
	duration := time.Duration(scaled(3000)) * time.Millisecond
	var late []float64
	last := time.Duration(0)
	for last < duration {
		<-ticks.C
		at := time.Since(origin)
		due := last.Truncate(period) + period
		late = append(late, max(0, float64((at-due).Microseconds())/1000))
		last = at
	}
	stop.Store(true)
	slices.Sort(late)
	report("ticker_p50", late[len(late)/2], "ms")
	report("ticker_p99", late[len(late)*99/100], "ms")
}
