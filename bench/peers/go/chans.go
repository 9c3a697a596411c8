// SPDX-License-Identifier: MIT

package main

import "sync"

func pingPongRounds(rounds int) {
	ping, pong := make(chan int), make(chan int)
	go func() {
		for v := range ping {
			pong <- v
		}
		close(pong)
	}()
	for i := range rounds {
		ping <- i
		check(<-pong == i, "pingpong")
	}
	close(ping)
	<-pong
}

// pingPong measures a round trip over two unbuffered channels.
func pingPong() {
	rounds := scaled(1_000_000)
	pingPongRounds(rounds / 10)
	watch := start()
	pingPongRounds(rounds)
	watch.perOp("pingpong", rounds)
}

// selectMessages has one consumer select over four channels, each with its own producer.
func selectMessages(capacity, messages int) {
	var channels [4]chan int
	for i := range channels {
		channels[i] = make(chan int, capacity)
		go func(c chan int) {
			for v := range messages / 4 {
				c <- v
			}
		}(channels[i])
	}
	a, b, c, d := channels[0], channels[1], channels[2], channels[3]
	sum := 0
	for range messages / 4 * 4 {
		select {
		case v := <-a:
			sum += v
		case v := <-b:
			sum += v
		case v := <-c:
			sum += v
		case v := <-d:
			sum += v
		}
	}
	each := messages / 4
	check(sum == 4*(each*(each-1)/2), "select")
}

// selectFour measures a message received by a select over four channels.
func selectFour() {
	messages := scaled(2_000_000)
	selectMessages(0, messages/10)
	watch := start()
	selectMessages(0, messages)
	watch.perOp("select_0", messages)
	selectMessages(128, messages/10)
	watch = start()
	selectMessages(128, messages)
	watch.perOp("select_128", messages)
}

// streamMessages moves messages through one channel of 128 with the given senders and receivers.
func streamMessages(pairs, messages int) {
	channel := make(chan int, 128)
	var senders, receivers sync.WaitGroup
	sums := make([]int, pairs)
	for p := range pairs {
		senders.Add(1)
		receivers.Add(1)
		go func() {
			for v := range messages / pairs {
				channel <- v
			}
			senders.Done()
		}()
		go func() {
			sum := 0
			for v := range channel {
				sum += v
			}
			sums[p] = sum
			receivers.Done()
		}()
	}
	senders.Wait()
	close(channel)
	receivers.Wait()
	sum, each := 0, messages/pairs
	for _, s := range sums {
		sum += s
	}
	check(sum == pairs*(each*(each-1)/2), "stream")
}

// stream measures a message through a buffered channel, one to one and eight to eight.
func stream() {
	messages := scaled(4_000_000)
	streamMessages(1, messages/10)
	watch := start()
	streamMessages(1, messages)
	watch.perOp("stream_1x1", messages)
	streamMessages(8, messages/10)
	watch = start()
	streamMessages(8, messages)
	watch.perOp("stream_8x8", messages)
}
