package rpc

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	apiv1 "github.com/alio-lake/alio/api/v1"
	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/origin/origintest"
	"github.com/alio-lake/alio/sidecar/freshness"
)

// That a file is not there is said to be the origin's own word if it was asked within the call, for the file or its folder's listing, and of nothing else: not of what was heard
// before, however young, be it by a listing, or of an origin that refuses or fails.
func TestAbsentIsTheOriginsWord(t *testing.T) {
	r := newRig(t, func(p *parts) {
		p.sidecar.Rules = []freshness.Rule{{Path: "lake/now/**", MaxAge: 0}, {Path: "lake/short/**", MaxAge: time.Millisecond}, {Path: "**", MaxAge: time.Hour}}
	})
	r.store.Put("listed/a", []byte("a"))
	r.store.Put("short/_delta_log/00000000000000000000.json", []byte("{}"))
	for _, c := range []struct {
		what, path string
		code       codes.Code
		asked      bool
		fault      error
	}{
		{"at 0", "now/none", codes.NotFound, true, nil},
		{"at 0, again", "now/none", codes.NotFound, true, nil},
		{"at an hour", "old/none", codes.NotFound, true, nil},
		{"at an hour, remembered", "old/none", codes.NotFound, false, nil},
		{"told by a listing", "listed/none", codes.NotFound, false, nil},
		{"at a millisecond", "short/_delta_log/00000000000000000001.json", codes.NotFound, true, nil},
		{"at a millisecond, its folder is listed", "short/_delta_log/00000000000000000001.json", codes.NotFound, true, nil},
		{"refused", "now/none", codes.PermissionDenied, false, origin.ErrDenied},
		{"failing", "now/none", codes.Unavailable, false, origin.ErrUnavailable},
		{"at 0, after that", "now/none", codes.NotFound, true, nil},
	} {
		if c.path == "listed/none" {
			_, err := r.List(ctxOf(t), &apiv1.ListRequest{Mount: "lake", Prefix: "listed/", Delimiter: "/"})
			check(t, err)
		}
		if c.fault != nil {
			r.origin.Add(origintest.Rule{Effect: origintest.Fail(c.fault)})
		}
		<-time.After(5 * time.Millisecond) // of the short ones nothing young enough is known
		r.origin.Forget()
		_, f := r.open(r, &apiv1.OpenFile{Mount: "lake", Path: c.path})
		if codes.Code(f.Error.GetCode()) != c.code || f.Error.GetAsked() != c.asked {
			t.Errorf("%s: %v, asked %t; want %v, %t", c.what, codes.Code(f.Error.GetCode()), f.Error.GetAsked(), c.code, c.asked)
		}
		if calls := len(r.origin.Calls("")); (calls > 0) != (c.asked || c.fault != nil) {
			t.Errorf("%s: the origin was asked %d times", c.what, calls)
		}
		r.origin.Clear()
	}
}

// Who joins a question that was sent before he came, as his rule allows, has an answer from before his call.
func TestAbsentToWhoCameLate(t *testing.T) {
	r := newRig(t, func(p *parts) { p.sidecar.Rules = []freshness.Rule{{Path: "**", MaxAge: time.Hour}} })
	r.origin.Add(origintest.Rule{Effect: origintest.Delay(300 * time.Millisecond)})
	first := make(chan bool)
	go func() {
		reply, err := r.Open(ctxOf(t), &apiv1.OpenRequest{Files: []*apiv1.OpenFile{{Mount: "lake", Path: "none"}}})
		first <- err == nil && reply.Files[0].Error.GetAsked()
	}()
	until(t, "the origin is asked", func() bool { return len(r.origin.Calls("")) > 0 })
	_, f := r.open(r, &apiv1.OpenFile{Mount: "lake", Path: "none"})
	if f.Error.GetCode() != int32(codes.NotFound) || f.Error.GetAsked() {
		t.Errorf("who came late: %v", f.Error)
	}
	if !<-first || len(r.origin.Calls("")) != 1 {
		t.Errorf("who asked was not told so, or the origin was asked %d times", len(r.origin.Calls("")))
	}
}
