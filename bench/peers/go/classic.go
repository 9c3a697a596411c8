// SPDX-License-Identifier: MIT

package main

import "sync"

// threadRing passes a token 5,000,000 times around 503 goroutines.
func threadRing() {
	const size = 503
	hops := scaled(5_000_000)
	links := make([]chan int, size)
	for i := range links {
		links[i] = make(chan int)
	}
	finished := make(chan int)
	var group sync.WaitGroup
	for i := range size {
		group.Add(1)
		go func(id int, in <-chan int, out chan<- int) {
			for token := range in {
				if token == 0 {
					finished <- id
				} else {
					out <- token - 1
				}
			}
			group.Done()
		}(i+1, links[i], links[(i+1)%size])
	}
	watch := start()
	links[0] <- hops
	winner := <-finished
	watch.total("ring")
	check(winner == hops%size+1, "ring")
	for _, link := range links {
		close(link)
	}
	group.Wait()
}

func generate(out chan<- int) {
	for i := 2; ; i++ {
		out <- i
	}
}

func filter(in <-chan int, out chan<- int, prime int) {
	for {
		if i := <-in; i%prime != 0 {
			out <- i
		}
	}
}

// primeSieve finds 2000 primes with one goroutine for each.
func primeSieve() {
	n := scaled(2000)
	watch := start()
	in := make(chan int)
	go generate(in)
	prime := 0
	for range n {
		prime = <-in
		out := make(chan int)
		go filter(in, out, prime)
		in = out
	}
	watch.total("sieve")
	check(n != 2000 || prime == 17389, "sieve")
}

func skynet(out chan<- int, number, size int) {
	if size == 1 {
		out <- number
		return
	}
	results := make(chan int)
	child := size / 10
	for i := range 10 {
		go skynet(results, number+i*child, child)
	}
	sum := 0
	for range 10 {
		sum += <-results
	}
	out <- sum
}

// skynetMillion sums a tree of goroutines, ten children each, with a million leaves.
func skynetMillion() {
	leaves := 1_000_000
	if scaled(10) < 10 {
		leaves = 100_000
	}
	watch := start()
	result := make(chan int)
	go skynet(result, 0, leaves)
	sum := <-result
	watch.total("skynet")
	check(sum == leaves*(leaves-1)/2, "skynet")
}
