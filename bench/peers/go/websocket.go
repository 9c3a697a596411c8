// SPDX-License-Identifier: MIT

package main

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

// Go has no WebSocket in its standard library. This is what RFC 6455 asks of an echo server, on
// buffered readers and writers: a goroutine for each connection, one buffer reused for its
// messages, and a flush when nothing more is buffered.

const (
	maxMessage = 1 << 24
	guid       = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
)

func websocketServer() {
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
		go serveWebsocket(conn)
	}
}

func serveWebsocket(conn net.Conn) {
	defer conn.Close()
	reader, writer := bufio.NewReader(conn), bufio.NewWriter(conn)
	request, err := http.ReadRequest(reader)
	if err != nil {
		return
	}
	proof := sha1.Sum([]byte(request.Header.Get("Sec-WebSocket-Key") + guid))
	fmt.Fprintf(writer, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"+
		"Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		base64.StdEncoding.EncodeToString(proof[:]))
	var message []byte
	for {
		if reader.Buffered() == 0 && writer.Flush() != nil {
			return
		}
		opcode, payload, err := readFrame(reader, message)
		if err != nil || opcode == 8 {
			return
		}
		message = payload[:0]
		if opcode == 9 {
			opcode = 10
		}
		if writeFrame(writer, opcode, payload) != nil {
			return
		}
	}
}

// readFrame reads a whole, masked frame into the buffer, which it grows if need be.
func readFrame(reader *bufio.Reader, buffer []byte) (byte, []byte, error) {
	var head [8]byte
	if _, err := io.ReadFull(reader, head[:2]); err != nil {
		return 0, nil, err
	}
	opcode, size := head[0]&15, uint64(head[1]&127)
	if head[0]&0xf0 != 0x80 || head[1]&0x80 == 0 {
		return 0, nil, fmt.Errorf("not a whole and masked frame")
	}
	switch size {
	case 126:
		if _, err := io.ReadFull(reader, head[:2]); err != nil {
			return 0, nil, err
		}
		size = uint64(binary.BigEndian.Uint16(head[:2]))
	case 127:
		if _, err := io.ReadFull(reader, head[:8]); err != nil {
			return 0, nil, err
		}
		size = binary.BigEndian.Uint64(head[:8])
	}
	if size > maxMessage {
		return 0, nil, fmt.Errorf("%d bytes are too many", size)
	}
	var key [4]byte
	if _, err := io.ReadFull(reader, key[:]); err != nil {
		return 0, nil, err
	}
	if uint64(cap(buffer)) < size {
		buffer = make([]byte, size)
	}
	payload := buffer[:size]
	if _, err := io.ReadFull(reader, payload); err != nil {
		return 0, nil, err
	}
	unmask(payload, key)
	return opcode, payload, nil
}

// unmask takes eight bytes at a time.
func unmask(payload []byte, key [4]byte) {
	word := uint64(binary.LittleEndian.Uint32(key[:]))
	word |= word << 32
	for len(payload) >= 8 {
		binary.LittleEndian.PutUint64(payload, binary.LittleEndian.Uint64(payload)^word)
		payload = payload[8:]
	}
	for i := range payload {
		payload[i] ^= key[i%4]
	}
}

func writeFrame(writer *bufio.Writer, opcode byte, payload []byte) error {
	head := [10]byte{0x80 | opcode}
	n := 2
	switch size := len(payload); {
	case size < 126:
		head[1] = byte(size)
	case size < 65536:
		head[1] = 126
		binary.BigEndian.PutUint16(head[2:], uint16(size))
		n = 4
	default:
		head[1] = 127
		binary.BigEndian.PutUint64(head[2:], uint64(size))
		n = 10
	}
	if _, err := writer.Write(head[:n]); err != nil {
		return err
	}
	_, err := writer.Write(payload)
	return err
}
