package main

import (
	"fmt"
	"io"
	stdlog "log"
	"os"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/alio-lake/alio/sidecar/config"
)

// newLogger makes the process's logger, whose settings have been validated.
func newLogger(w io.Writer, cfg config.Log) (zerolog.Logger, error) {
	level, err := zerolog.ParseLevel(cfg.Level)
	if err != nil {
		return zerolog.Nop(), fmt.Errorf("log.level: %w", err)
	}
	console := cfg.Format == "console" || cfg.Format == "" && isTerminal(w)
	if console {
		w = zerolog.ConsoleWriter{Out: w, TimeFormat: time.TimeOnly, NoColor: !isTerminal(w) || os.Getenv("NO_COLOR") != ""}
	}
	return zerolog.New(w).Level(level).With().Timestamp().Logger(), nil
}

// isTerminal takes any character device for one: /dev/null is wrongly one too, where it does not matter.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// serverLog takes what net/http prints: broken handshakes and the like, which are the clients' doing.
func serverLog(log zerolog.Logger) *stdlog.Logger {
	return stdlog.New(httpWriter{log}, "", 0)
}

type httpWriter struct{ log zerolog.Logger }

func (w httpWriter) Write(p []byte) (int, error) {
	w.log.Debug().Str("detail", strings.TrimSpace(string(p))).Msg("connection ended in an error")
	return len(p), nil
}
