package config_test

import (
	"strings"
	"testing"
)

func TestGRPCDoor(t *testing.T) {
	const token = "{name: a, token: x}"
	for _, c := range []struct{ door, want string }{
		{"{socket: /run/alio.sock}", ""},
		{"{socket: relative.sock, users: [7]}", ""},
		{"{users: [-1]}", "doors.grpc.users[0]: -1 is no user's number"},
		{"{socket: ~/alio.sock}", "doors.grpc.socket: \"~/alio.sock\" starts with ~"},
		{"{socket: /run/}", "names a folder"},
		{"{socket: /" + strings.Repeat("x", 107) + "}", "has 108 bytes"},
		{"{listen: 'localhost:1', tokens: [" + token + "]}", ""},
		{"{listen: 'localhost:1'}", "doors.grpc.listen: TCP does not tell who the client is"},
		{"{listen: 'localhost', tokens: [" + token + "]}", "is no address"},
		{"{listen: ':1', tokens: [" + token + "]}", "tokens would travel in the clear"},
		{"{listen: ':1', tokens: [" + token + "], tls: {cert_file: a, key_file: b}}", ""},
		{"{listen: '127.0.0.1:9480', tokens: [" + token + "]}", "the same address as another server's"},
		{"{tls: {cert_file: a}}", "doors.grpc.tls: needs both"},
		{"{claim_deadline: 0}", "doors.grpc.claim_deadline: 0s is outside"},
		{"{claim_deadline: forever}", "doors.grpc.claim_deadline: forever is outside"},
		{"{tokens: [{token: x}]}", "doors.grpc.tokens[0].name: is missing"},
		{"{tokens: [{name: x}]}", "doors.grpc.tokens[0].token: is missing"},
		{"{tokens: [" + token + ", {name: a, token: y}]}", "doors.grpc.tokens[1].name: \"a\" is given twice"},
		{"{tokens: [" + token + ", {name: b, token: x}]}", "doors.grpc.tokens[1].token: is the same as another's"},
		{"{tokens: [{name: a, token: x, mounts: [lake, lake/a]}]}", ""},
		{"{tokens: [{name: a, token: x, mounts: [lake//a]}]}", "doors.grpc.tokens[0].mounts[0]: \"lake//a\" has an empty part"},
	} {
		if got := faultsOf(t, oneMount+"doors: {grpc: "+c.door+"}\n"); c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", c.door, got, c.want)
		}
	}
}
