package main

import (
	"errors"
	"sync/atomic"
	"time"
)

// state is what the process says of itself: why it is not ready, if it is not, and where it listens.
type state struct {
	started   time.Time
	reason    atomic.Pointer[string] // why not ready; nil: ready
	addresses atomic.Pointer[addresses]
}

// addresses are URLs that clients and operators can use as they are.
type addresses struct {
	S3     string `json:"s3"`
	Admin  string `json:"admin"`
	Socket string `json:"grpc_socket,omitempty"` // a path
	GRPC   string `json:"grpc,omitempty"`        // host:port
	Peers  string `json:"peers,omitempty"`       // host:port of the door for other sidecars
}

// The reasons for not being ready.
const (
	starting     = "starting"
	recovering   = "recovering the cache directory"
	shuttingDown = "shutting down"
)

func newState() *state {
	s := &state{started: time.Now()}
	s.set(starting)
	s.addresses.Store(&addresses{})
	return s
}

func (s *state) set(reason string) { s.reason.Store(&reason) }

func (s *state) ready() { s.reason.Store(nil) }

// notReady is nil while clients should be sent here.
func (s *state) notReady() error {
	if r := s.reason.Load(); r != nil {
		return errors.New(*r)
	}
	return nil
}
