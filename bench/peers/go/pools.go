// SPDX-License-Identifier: MIT

package main

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A pool of goroutines in the shape of those that are in use: idle workers lie on a stack, each
// takes functions from a channel of its own, whoever finds none idle waits on a condition, workers
// that ended are kept for later ones, and those that rested for too long are ended.
type taskPool struct {
	lock    sync.Mutex
	room    *sync.Cond
	idle    []*poolWorker
	running int
	size    int
	cache   sync.Pool
	stop    chan struct{}
	now     time.Time
}

type poolWorker struct {
	pool  *taskPool
	tasks chan func()
	since time.Time
}

const poolExpiry = time.Second

func newTaskPool(size int) *taskPool {
	p := &taskPool{size: size, stop: make(chan struct{}), now: time.Now()}
	p.room = sync.NewCond(&p.lock)
	// On one core a channel without a buffer hands over to the worker at once.
	p.cache.New = func() any { return &poolWorker{pool: p, tasks: make(chan func())} }
	go p.purge()
	return p
}

// purge ends the workers that have rested for long, and keeps the clock for the others.
func (p *taskPool) purge() {
	tick := time.NewTicker(poolExpiry / 2)
	defer tick.Stop()
	for {
		select {
		case <-p.stop:
			return
		case now := <-tick.C:
			p.lock.Lock()
			p.now = now
			n := 0
			for n < len(p.idle) && now.Sub(p.idle[n].since) > poolExpiry {
				n++
			}
			expired := append([]*poolWorker(nil), p.idle[:n]...)
			p.idle = append(p.idle[:0], p.idle[n:]...)
			p.lock.Unlock()
			for _, w := range expired {
				w.tasks <- nil
			}
		}
	}
}

// take returns an idle worker, a new one, or waits until there is one.
func (p *taskPool) take() *poolWorker {
	p.lock.Lock()
	for {
		if n := len(p.idle) - 1; n >= 0 {
			w := p.idle[n]
			p.idle[n] = nil
			p.idle = p.idle[:n]
			p.lock.Unlock()
			return w
		}
		if p.running < p.size {
			p.running++
			p.lock.Unlock()
			w := p.cache.Get().(*poolWorker)
			go w.work()
			return w
		}
		p.room.Wait()
	}
}

func (p *taskPool) submit(task func()) {
	p.take().tasks <- task
}

func (w *poolWorker) work() {
	defer w.leave()
	for task := range w.tasks {
		if task == nil {
			return
		}
		task()
		p := w.pool
		p.lock.Lock()
		w.since = p.now
		p.idle = append(p.idle, w)
		p.room.Signal()
		p.lock.Unlock()
	}
}

// leave runs when a task panics, too: its worker ends alone.
func (w *poolWorker) leave() {
	if failure := recover(); failure != nil {
		println("a task of the pool failed")
	}
	p := w.pool
	p.lock.Lock()
	p.running--
	p.room.Signal()
	p.lock.Unlock()
	p.cache.Put(w)
}

// peakKiB is the most memory that was ever resident.
func peakKiB() float64 {
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		panic(err)
	}
	_, rest, _ := strings.Cut(string(data), "VmHWM:")
	kib, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	if err != nil {
		panic(err)
	}
	return kib
}

func submitAll(p *taskPool, n int) {
	var left sync.WaitGroup
	left.Add(n)
	task := func() { left.Done() }
	for range n {
		p.submit(task)
	}
	left.Wait()
}

// throughPool has a million tasks that do nothing go through a pool.
func throughPool(name string, size int) {
	n := scaled(1_000_000)
	p := newTaskPool(size)
	submitAll(p, n/10)
	watch := start()
	submitAll(p, n)
	watch.perOp(name, n)
	report(name+".rss", peakKiB(), "KiB")
	close(p.stop)
}
