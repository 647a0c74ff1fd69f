package rpc

import (
	"context"
	"math"
	"strings"

	apiv1 "github.com/alio-lake/alio/api/v1"
	"github.com/alio-lake/alio/origin"
)

// apiMinor counts what was added to version 1 of the API.
const apiMinor = 0

// text is a string as protobuf carries it: what is not UTF-8 (an origin's metadata may be in any encoding) is replaced.
func text(s string) string { return strings.ToValidUTF8(s, "�") }

// Status implements apiv1.SidecarServer.
func (v *service) Status(ctx context.Context, _ *apiv1.StatusRequest) (*apiv1.StatusReply, error) {
	s, id := v.s, callOf(ctx).id
	reply := &apiv1.StatusReply{ApiMinor: apiMinor, Build: text(s.opts.Build), Process: s.process,
		MaxFiles: uint32(s.opts.OpenFiles), MaxPutBytes: uint32(s.opts.PutBytes)}
	for _, m := range s.opts.Sidecar.Mounts() {
		if id.grants.Mount(m) {
			reply.Mounts = append(reply.Mounts, m)
		}
	}
	if s.opts.Places != nil {
		for _, d := range s.opts.Places.Directories() {
			reply.Directories = append(reply.Directories, &apiv1.Directory{Number: uint32(d.Number), Id: d.ID, Path: text(d.Path)})
		}
	}
	return reply, nil
}

// Stat implements apiv1.SidecarServer.
func (v *service) Stat(ctx context.Context, req *apiv1.StatRequest) (*apiv1.StatReply, error) {
	if err := callOf(ctx).id.mayRead(req.Mount, req.Path); err != nil {
		return nil, err
	}
	if req.Path == "" {
		return nil, invalid("path: is empty")
	}
	obj, err := v.s.opts.Sidecar.Stat(ctx, req.Mount, req.Path)
	if err != nil {
		return nil, err
	}
	reply := &apiv1.StatReply{Object: object(&obj), Attributes: make(map[string]string, len(obj.Attributes))}
	for name, value := range obj.Attributes {
		reply.Attributes[text(name)] = text(value)
	}
	return reply, nil
}

// List implements apiv1.SidecarServer.
func (v *service) List(ctx context.Context, req *apiv1.ListRequest) (*apiv1.ListReply, error) {
	id := callOf(ctx).id
	if !id.grants.Prefix(req.Mount, req.Prefix) {
		return nil, id.denied(req.Mount)
	}
	l, err := v.s.opts.Sidecar.List(ctx, req.Mount, origin.ListRequest{Prefix: req.Prefix, Delimiter: req.Delimiter,
		StartAfter: req.StartAfter, Token: req.Token, MaxKeys: int(min(req.MaxKeys, math.MaxInt32))})
	if err != nil {
		return nil, err
	}
	reply := &apiv1.ListReply{Objects: make([]*apiv1.Object, len(l.Entries)), NextToken: text(l.NextToken)}
	for i := range l.Entries {
		reply.Objects[i] = object(&l.Entries[i].Object)
	}
	for _, p := range l.CommonPrefixes {
		reply.CommonPrefixes = append(reply.CommonPrefixes, text(p))
	}
	return reply, nil
}

// Invalidate implements apiv1.SidecarServer.
func (v *service) Invalidate(ctx context.Context, req *apiv1.InvalidateRequest) (*apiv1.InvalidateReply, error) {
	id := callOf(ctx).id
	open := id.grants.Path
	if req.Prefix {
		open = id.grants.Prefix
	}
	if !open(req.Mount, req.Path) {
		return nil, id.denied(req.Mount)
	}
	return &apiv1.InvalidateReply{}, v.s.opts.Sidecar.Invalidate(req.Mount, req.Path, req.Prefix)
}
