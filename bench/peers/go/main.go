// SPDX-License-Identifier: MIT

// Command ringletpeers holds the Go side of every ringlet bench: `ringletpeers <bench>` prints
// lines of `name value unit`. Each bench has the same shape, counts and warm-up as its Lua twin
// in bench/lua. Run it with GOMAXPROCS=1 for the one-core figures; BENCH_SCALE shrinks the counts.
package main

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"
)

var benches = map[string]func(){
	"spawn_join":   spawnJoin,
	"spawn_1m":     spawnMillion,
	"parked":       parked,
	"yield":        yield,
	"pingpong":     pingPong,
	"select":       selectFour,
	"stream":       stream,
	"ring":         threadRing,
	"sieve":        primeSieve,
	"skynet":       skynetMillion,
	"timer":        timers,
	"ticker":       ticker,
	"pareto":       pareto,
	"xchan":        func() { crossChannel(false) },
	"xchan_locked": func() { crossChannel(true) },
	"offload":      offload,
	"pool_100":     func() { throughPool("pool_100", 100) },
	"pool_2":       func() { throughPool("pool_2", 2) },
	"echo":         echoServer,
	"websocket":    websocketServer,
	"files":        fileServer,
	"hello":        helloServer,
	"httpclient":   httpClient,
	"version":      version,
}

func main() {
	if len(os.Args) < 2 || benches[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: ringletpeers <bench>; benches:")
		for name := range benches {
			fmt.Fprintln(os.Stderr, "  "+name)
		}
		os.Exit(2)
	}
	benches[os.Args[1]]()
}

func version() {
	fmt.Printf("%s GOMAXPROCS=%d\n", runtime.Version(), runtime.GOMAXPROCS(0))
}

// scaled returns n times BENCH_SCALE, at least 1.
func scaled(n int) int {
	scale, err := strconv.ParseFloat(os.Getenv("BENCH_SCALE"), 64)
	if err != nil {
		return n
	}
	return max(1, int(float64(n)*scale))
}

func report(name string, value float64, unit string) {
	fmt.Printf("%s %.4g %s\n", name, value, unit)
}

// cpuTime is the user and system time of all threads of this process.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// stopwatch measures wall and CPU time together.
type stopwatch struct {
	wall time.Time
	cpu  time.Duration
}

func start() stopwatch { return stopwatch{time.Now(), cpuTime()} }

// perOp reports nanoseconds per operation as name and name.cpu.
func (s stopwatch) perOp(name string, operations int) {
	wall, cpu := time.Since(s.wall), cpuTime()-s.cpu
	report(name, float64(wall.Nanoseconds())/float64(operations), "ns")
	report(name+".cpu", float64(cpu.Nanoseconds())/float64(operations), "ns")
}

// total reports the elapsed seconds as name and name.cpu.
func (s stopwatch) total(name string) {
	wall, cpu := time.Since(s.wall), cpuTime()-s.cpu
	report(name, wall.Seconds(), "s")
	report(name+".cpu", cpu.Seconds(), "s")
}

// residentBytes is the resident set of this process after a full collection.
func residentBytes() int64 {
	runtime.GC()
	debug.FreeOSMemory()
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		panic(err)
	}
	pages, err := strconv.ParseInt(string(bytes.Fields(data)[1]), 10, 64)
	if err != nil {
		panic(err)
	}
	return pages * int64(os.Getpagesize())
}

func check(ok bool, what string) {
	if !ok {
		fmt.Fprintln(os.Stderr, "wrong result: "+what)
		os.Exit(1)
	}
}
