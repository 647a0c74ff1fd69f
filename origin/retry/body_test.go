package retry_test

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/origin/mem"
	"github.com/alio-lake/alio/origin/origintest"
	"github.com/alio-lake/alio/origin/retry"
)

func content(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7 >> 3)
	}
	return b
}

func open(t *testing.T, o origin.Origin, req origin.ReadRequest) origin.Content {
	t.Helper()
	c, err := o.Read(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestBodyGoesOnAtTheSameVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := mem.New("m")
		data := content(100_000)
		put := m.Put("x", data)
		f := origintest.NewFaulty(m, 1,
			origintest.Rule{Op: origintest.OpRead, Nth: 1, Effect: origintest.BreakBody(1000)},
			origintest.Rule{Op: origintest.OpRead, Nth: 1, Effect: origintest.Fail(origin.ErrUnavailable)},
			origintest.Rule{Op: origintest.OpRead, Nth: 1, Effect: origintest.ShortBody(500)})
		c := open(t, wrap(t, f, retry.Options{}), origin.ReadRequest{Path: "x", Offset: 10, Length: 50_000})
		got, err := io.ReadAll(c.Body)
		if err != nil || !bytes.Equal(got, data[10:50_010]) {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
		if err := c.Body.Close(); err != nil {
			t.Error(err)
		}
		var want []origin.ReadRequest
		for _, done := range []int64{1000, 1000, 1500} {
			want = append(want, origin.ReadRequest{Path: "x", Version: put.Version, ETag: put.ETag, Offset: 10 + done, Length: 50_000 - done})
		}
		calls := f.Calls(origintest.OpRead)
		if len(calls) != 4 {
			t.Fatalf("%d reads, want 4: %+v", len(calls), calls)
		}
		for i, w := range want {
			if calls[i+1].Read != w {
				t.Errorf("resumed with %+v, want %+v", calls[i+1].Read, w)
			}
		}
	})
}

func TestBodyNeverMixesVersions(t *testing.T) {
	for name, next := range map[string]func(m *mem.Origin, f *origintest.Faulty){
		"the origin honours the version": func(m *mem.Origin, _ *origintest.Faulty) { m.Put("x", content(50_000)) },
		"the origin ignores the version": func(_ *mem.Origin, f *origintest.Faulty) { f.Add(origintest.Rule{Effect: origintest.WrongVersion()}) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := mem.New("m")
				data := content(100_000)
				m.Put("x", data)
				f := origintest.NewFaulty(m, 1, origintest.Rule{Op: origintest.OpRead, Nth: 1, Effect: origintest.BreakBody(1000)})
				c := open(t, wrap(t, f, retry.Options{}), origin.ReadRequest{Path: "x", Length: origin.WholeRange})
				defer c.Body.Close()
				next(m, f)
				got, err := io.ReadAll(c.Body)
				if !errors.Is(err, origin.ErrVersionChanged) || !bytes.Equal(got, data[:1000]) {
					t.Errorf("%d bytes, %v; want the 1000 of the old version and ErrVersionChanged", len(got), err)
				}
				if _, err2 := c.Body.Read(make([]byte, 1)); !errors.Is(err2, origin.ErrVersionChanged) {
					t.Errorf("the next read: %v, want the same error", err2)
				}
			})
		})
	}
}

func TestAnswerOfAnotherVersionIsRefused(t *testing.T) {
	m := mem.New("m")
	put := m.Put("x", content(10))
	f := origintest.NewFaulty(m, 1, origintest.Rule{Effect: origintest.WrongVersion()})
	_, err := wrap(t, f, retry.Options{}).Read(t.Context(), origin.ReadRequest{Path: "x", Version: put.Version, Length: 5})
	if !errors.Is(err, origin.ErrVersionChanged) {
		t.Errorf("%v, want ErrVersionChanged", err)
	}
}

func TestBodyWithoutVersionIsNotResumed(t *testing.T) {
	m := mem.New("m")
	m.HideVersions(true)
	m.Put("x", content(100))
	f := origintest.NewFaulty(m, 1, origintest.Rule{Effect: origintest.BreakBody(10)})
	c := open(t, wrap(t, f, retry.Options{}), origin.ReadRequest{Path: "x", Length: origin.WholeRange})
	defer c.Body.Close()
	if b, err := io.ReadAll(c.Body); !errors.Is(err, origin.ErrUnavailable) || len(b) != 10 || len(f.Calls("")) != 1 {
		t.Errorf("%d bytes, %v, %d calls; want 10, ErrUnavailable and no second read", len(b), err, len(f.Calls("")))
	}
}

func TestBodyResumptionsAreBounded(t *testing.T) {
	for _, c := range []struct {
		name         string
		size         int
		each         int64
		reads, bytes int
		fails        bool
	}{
		{"no progress", 100, 0, 4, 0, true},
		{"a byte at a time", 100, 1, 4, 4, true},                       // 1 read and 3 resumptions
		{"long bodies earn more", 9 << 20, 1 << 20, 9, 9 << 20, false}, // 8 resumptions, of which 3 are free and 8 earned
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := mem.New("m")
				m.Put("x", content(c.size))
				f := origintest.NewFaulty(m, 1, origintest.Rule{Op: origintest.OpRead, Effect: origintest.BreakBody(c.each)})
				got := open(t, wrap(t, f, retry.Options{MaxAttempts: 4}), origin.ReadRequest{Path: "x", Length: origin.WholeRange})
				defer got.Body.Close()
				b, err := io.ReadAll(got.Body)
				if len(b) != c.bytes || errors.Is(err, origin.ErrUnavailable) != c.fails || len(f.Calls("")) != c.reads {
					t.Errorf("%d bytes, %v, %d reads; want %d bytes by %d reads", len(b), err, len(f.Calls("")), c.bytes, c.reads)
				}
			})
		})
	}
}

func TestCloseEndsAWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := mem.New("m")
		m.Put("x", content(100))
		f := origintest.NewFaulty(m, 1, origintest.Rule{Nth: 1, Effect: origintest.BreakBody(10)}, origintest.Rule{Effect: origintest.FailAfter(origin.ErrThrottled, 20*time.Second)})
		c := open(t, wrap(t, f, retry.Options{}), origin.ReadRequest{Path: "x", Length: origin.WholeRange})
		time.AfterFunc(5*time.Second, func() { _ = c.Body.Close() })
		begin := time.Now()
		b, err := io.ReadAll(c.Body)
		if err == nil || len(b) != 10 || time.Since(begin) != 5*time.Second {
			t.Errorf("%d bytes, %v after %v; want 10 and an error after 5 s", len(b), err, time.Since(begin))
		}
		if err := c.Body.Close(); err != nil {
			t.Errorf("a second close: %v", err)
		}
	})
}
