package rpc

import (
	"context"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	apiv1 "github.com/alio-lake/alio/api/v1"
)

// fleet is an affinity service that answers nothing and lets watchers wait.
type fleet struct {
	apiv1.UnimplementedAffinityServer
	watching chan struct{}
}

func (f *fleet) Assign(context.Context, *apiv1.AssignRequest) (*apiv1.AssignReply, error) {
	return &apiv1.AssignReply{Epoch: 7}, nil
}

func (f *fleet) Watch(_ *apiv1.WatchRequest, stream grpc.ServerStreamingServer[apiv1.WatchReply]) error {
	f.watching <- struct{}{}
	<-stream.Context().Done()
	return status.Error(codes.Unavailable, "the server is stopping")
}

// TestAffinity: the door serves the affinity service beside the sidecar's, counts its calls, and ends those who watch when it shuts down, long before the grace is over.
func TestAffinity(t *testing.T) {
	f := &fleet{watching: make(chan struct{}, 1)}
	r := newRig(t, func(p *parts) { p.rpc.Affinity = f })
	client := apiv1.NewAffinityClient(r.dial("unix:"+r.socket, grpc.WithTransportCredentials(insecure.NewCredentials())))
	reply, err := client.Assign(t.Context(), &apiv1.AssignRequest{})
	check(t, err)
	if reply.Epoch != 7 {
		t.Errorf("epoch %d", reply.Epoch)
	}
	stream, err := client.Watch(t.Context(), &apiv1.WatchRequest{})
	check(t, err)
	<-f.watching
	grace, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	began := time.Now()
	check(t, r.server.Shutdown(grace))
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("the door waited %v for one who watches", took)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "the server is stopping") {
		t.Errorf("who watches is told %v", err)
	}
}

// TestNoAffinity: a sidecar that belongs to no fleet says so, and one without a sidecar says that.
func TestNoAffinity(t *testing.T) {
	r := newRig(t)
	client := apiv1.NewAffinityClient(r.dial("unix:"+r.socket, grpc.WithTransportCredentials(insecure.NewCredentials())))
	if _, err := client.Assign(t.Context(), &apiv1.AssignRequest{}); status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), "belongs to no fleet") {
		t.Errorf("a sidecar without a fleet: %v", err)
	}
	alone, err := New(Options{Affinity: &fleet{}})
	check(t, err)
	q := &rig{t: t, server: alone}
	conn := q.dial("unix:"+q.listen(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if _, err := apiv1.NewSidecarClient(conn).Status(t.Context(), &apiv1.StatusRequest{}); status.Code(err) != codes.Unimplemented {
		t.Errorf("a service without a sidecar: %v", err)
	}
	if reply, err := apiv1.NewAffinityClient(conn).Assign(t.Context(), &apiv1.AssignRequest{}); err != nil || reply.Epoch != 7 {
		t.Errorf("%v %v", reply, err)
	}
}
