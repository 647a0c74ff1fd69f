package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// PrestoUser is who queries run as.
const PrestoUser = "alio"

// prestoAnswer is one page of an answer. Values stay as JSON.
type prestoAnswer struct {
	ID      string              `json:"id"`
	NextURI string              `json:"nextUri"`
	Data    [][]json.RawMessage `json:"data"`
	Error   *struct {
		Message     string        `json:"message"`
		ErrorName   string        `json:"errorName"`
		FailureInfo prestoFailure `json:"failureInfo"`
	} `json:"error"`
}

// prestoFailure is an exception.
type prestoFailure struct {
	Type    string         `json:"type"`
	Message string         `json:"message"`
	Stack   []string       `json:"stack"`
	Cause   *prestoFailure `json:"cause"`
}

// String is where it was thrown, and the same of its causes.
func (f prestoFailure) String() string {
	s := strings.Join(f.Stack[:min(12, len(f.Stack))], "\n  ")
	if f.Cause != nil {
		s += fmt.Sprintf("\n  caused by %s: %s\n  %v", f.Cause.Type, f.Cause.Message, *f.Cause)
	}
	return s
}

// Query runs a statement, whose tables have their full names, to its end. Each row is one string of its values as Presto wrote them
// in JSON, so that two answers can be compared and a NULL is no 'NULL'; a statement that writes gives one row, its count. The protocol is
// spoken here and not by trino-go-client, whose 1.1.0 cannot read the types of Presto's columns (LONG_LITERAL), headers renamed or not.
func (p *Presto) Query(ctx context.Context, statement string) ([]string, error) {
	return p.QueryWith(ctx, statement, nil)
}

// QueryWith is Query with session properties: name, or catalog.name, to value.
func (p *Presto) QueryWith(ctx context.Context, statement string, session map[string]string) ([]string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.URL+"/v1/statement", strings.NewReader(statement))
	if err != nil {
		return nil, err
	}
	for name, value := range session {
		req.Header.Add("X-Presto-Session", name+"="+value)
	}
	var rows []string
	for {
		page, err := p.page(req)
		if err != nil {
			return nil, fmt.Errorf("presto: %w", err)
		}
		if e := page.Error; e != nil {
			return nil, fmt.Errorf("presto query %s: %s: %s\n  %v", page.ID, e.ErrorName, e.Message, e.FailureInfo)
		}
		for _, values := range page.Data {
			row := make([]string, len(values))
			for i, v := range values {
				row[i] = string(v)
			}
			rows = append(rows, strings.Join(row, " | "))
		}
		if page.NextURI == "" {
			return rows, nil
		}
		if req, err = http.NewRequestWithContext(ctx, http.MethodGet, page.NextURI, nil); err != nil {
			return nil, err
		}
	}
}

// page sends one request of the protocol, again while the server asks for that. A query whose context ends is cancelled.
func (p *Presto) page(req *http.Request) (*prestoAnswer, error) {
	req.Header.Set("X-Presto-User", PrestoUser)
	req.Header.Set("X-Presto-Source", "alio")
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		res, err := p.client.Do(req)
		if err != nil {
			if req.Method == http.MethodGet && req.Context().Err() != nil {
				p.cancel(req.URL.String())
			}
			return nil, err
		}
		body, err := io.ReadAll(res.Body)
		if err = errors.Join(err, res.Body.Close()); err != nil {
			return nil, err
		}
		switch res.StatusCode {
		case http.StatusOK:
			page := new(prestoAnswer)
			return page, json.NewDecoder(bytes.NewReader(body)).Decode(page)
		case http.StatusServiceUnavailable:
		default:
			return nil, fmt.Errorf("%s %s: %s: %.300s", req.Method, req.URL.Path, res.Status, body)
		}
		select {
		case <-req.Context().Done():
			return nil, req.Context().Err()
		case <-tick.C:
		}
	}
}

// cancel ends a query by its next page's address: its caller has left.
func (p *Presto) cancel(uri string) {
	ctx, done := context.WithTimeout(context.Background(), 2*time.Second)
	defer done()
	req, err := http.NewRequestWithContext(ctx, http.MethodDelete, uri, nil)
	if err != nil {
		return
	}
	req.Header.Set("X-Presto-User", PrestoUser)
	if res, err := p.client.Do(req); err == nil {
		_ = res.Body.Close()
	}
}

// MBean reads the attributes of an object of one node's JMX server that are numbers, by name. Node 0 is the coordinator.
func (p *Presto) MBean(ctx context.Context, node int, object string) (map[string]float64, error) {
	text, err := get(ctx, "http://"+p.ports[node].Addr()+"/v1/jmx/mbean/"+url.PathEscape(object))
	if err != nil {
		return nil, err
	}
	var bean struct {
		Attributes []struct {
			Name  string `json:"name"`
			Value any    `json:"value"`
		} `json:"attributes"`
	}
	if err := json.Unmarshal([]byte(text), &bean); err != nil {
		return nil, fmt.Errorf("MBean %s: %w", object, err)
	}
	all := map[string]float64{}
	for _, a := range bean.Attributes {
		if v, ok := a.Value.(float64); ok {
			all[a.Name] = v
		}
	}
	return all, nil
}
