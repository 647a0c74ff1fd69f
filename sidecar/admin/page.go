package admin

import (
	"bytes"
	"encoding/json"
	"html/template"
	"net/http"
)

var pageTemplate = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{{.Title}}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #222; background: #fff }
pre { background: #f4f4f4; padding: 1rem; overflow-x: auto; font-size: 13px }
.bad { color: #a00 } .good { color: #070 }
</style>
<h1>{{.Title}}</h1>
{{if .NotReady}}<p class="bad">not ready: {{.NotReady}}</p>{{else}}<p class="good">ready</p>{{end}}
<ul>
<li><a href="status">status</a>: this page's figures as JSON</li>
{{if .Mounts}}<li><a href="mounts">mounts</a>: the origins; <a href="mounts?check=true">ask each of them</a></li>{{end}}
<li><a href="metrics">metrics</a>: for Prometheus</li>
<li><a href="healthz">healthz</a>: whether the process is alive</li>
<li><a href="readyz">readyz</a>: whether clients should be sent here</li>
{{if .Pprof}}<li><a href="debug/pprof/">pprof</a>: profiles</li>{{end}}
</ul>
<pre>{{.Status}}</pre>
</html>
`))

// page is what a person sees who opens the admin address in a browser.
func (s *Server) page(w http.ResponseWriter, _ *http.Request) {
	data := struct {
		Title, NotReady, Status string
		Pprof, Mounts           bool
	}{Title: s.opts.Title, Pprof: s.opts.Pprof, Mounts: s.opts.Mounts != nil}
	if err := s.opts.Ready(); err != nil {
		data.NotReady = err.Error()
	}
	if body, err := json.MarshalIndent(s.opts.Status(), "", "  "); err != nil {
		data.Status = "status cannot be printed: " + err.Error()
	} else {
		data.Status = string(body)
	}
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, data); err != nil {
		s.opts.Logger.Error().Err(err).Msg("status page cannot be drawn")
		text(w, http.StatusInternalServerError, "the page cannot be drawn: "+err.Error())
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	w.Write(b.Bytes()) // a client that went away is no fault of ours
}
