package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"

	apiv1 "github.com/alio-lake/alio/api/v1"
)

// lsFlags are what alio ls may be told.
type lsFlags struct {
	doorFlags
	long, recursive, json bool
}

func newLsCommand() *cobra.Command {
	var f lsFlags
	cmd := &cobra.Command{
		Use:     "ls [alio://mount/path]",
		Short:   "List mounts, or what is below a path",
		Long:    lsHelp,
		Example: lsExamples,
		Args:    atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			out := bufio.NewWriter(cmd.OutOrStdout())
			l := &lister{f: &f, out: out}
			err := l.run(cmd.Context(), args)
			return errors.Join(err, out.Flush())
		},
	}
	f.register(cmd.Flags())
	cmd.Flags().BoolVarP(&f.long, "long", "l", false, "bytes and times beside the names")
	cmd.Flags().BoolVarP(&f.recursive, "recursive", "r", false, "all objects below the path, not only the first level")
	cmd.Flags().BoolVar(&f.json, "json", false, "one JSON object a line, names as whole paths")
	cmd.Flags().SortFlags = false
	return cmd
}

func atMostOne(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return usageError{fmt.Errorf("%d arguments: %s takes one place at a time", len(args), cmd.CommandPath()), cmd.CommandPath()}
	}
	return nil
}

func exactlyOne(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usageError{fmt.Errorf("%d arguments: %s wants one alio://mount/path", len(args), cmd.CommandPath()), cmd.CommandPath()}
	}
	return nil
}

// lister prints a listing as it comes, a page in memory at a time.
type lister struct {
	f   *lsFlags
	out *bufio.Writer
	api apiv1.SidecarClient
}

func (l *lister) run(ctx context.Context, args []string) error {
	var at place
	if len(args) == 1 {
		var err error
		if at, err = parsePlace(args[0]); err != nil {
			return usageError{err, "alio ls"}
		}
	}
	api, ctx, done, err := l.f.open(ctx)
	if err != nil {
		return err
	}
	defer done()
	l.api = api
	if at.mount == "" {
		return l.mounts(ctx)
	}
	dir := at
	if dir.path != "" && !strings.HasSuffix(dir.path, "/") {
		dir.path += "/"
	}
	found, err := l.below(ctx, dir)
	if err != nil || found || at.path == "" {
		return err
	}
	return l.single(ctx, at)
}

func (l *lister) mounts(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	st, err := l.api.Status(ctx, &apiv1.StatusRequest{})
	if err != nil {
		return saidBySidecar("list the mounts", err)
	}
	for _, m := range st.Mounts {
		if err := l.print("", nil, m+"/"); err != nil {
			return err
		}
	}
	return nil
}

// below prints what lies below a folder, and tells whether there was anything.
func (l *lister) below(ctx context.Context, dir place) (found bool, err error) {
	req := &apiv1.ListRequest{Mount: dir.mount, Prefix: dir.path, Delimiter: "/"}
	if l.f.recursive {
		req.Delimiter = ""
	}
	for {
		page, err := l.api.List(ctx, req)
		if err != nil {
			return found, saidBySidecar("list "+dir.String(), err)
		}
		found = found || len(page.Objects)+len(page.CommonPrefixes) > 0
		if err := l.page(dir, page); err != nil {
			return found, err
		}
		if page.NextToken == "" {
			return found, nil
		}
		req.Token = page.NextToken
	}
}

// page prints objects and folders in the order of their names.
func (l *lister) page(dir place, page *apiv1.ListReply) error {
	objects, folders := page.Objects, page.CommonPrefixes
	for len(objects)+len(folders) > 0 {
		if len(folders) == 0 || len(objects) > 0 && objects[0].Path < folders[0] {
			if err := l.print(dir.path, objects[0], dir.mount); err != nil {
				return err
			}
			objects = objects[1:]
			continue
		}
		if err := l.print(dir.path, nil, l.named(dir, folders[0])); err != nil {
			return err
		}
		folders = folders[1:]
	}
	return l.out.Flush() // what has come is seen, however long the rest takes
}

// named is a folder's name: whole for JSON, else as seen from where the listing is.
func (l *lister) named(dir place, folder string) string {
	if l.f.json {
		return dir.mount + "/" + folder
	}
	return strings.TrimPrefix(folder, dir.path)
}

// single prints the one object that a path names.
func (l *lister) single(ctx context.Context, at place) error {
	st, err := l.api.Stat(ctx, &apiv1.StatRequest{Mount: at.mount, Path: at.path})
	if grpcstatus.Code(err) == codes.NotFound {
		return fmt.Errorf("%s: there is no object of that name, and nothing below it", at)
	}
	if err != nil {
		return saidBySidecar("look at "+at.String(), err)
	}
	return l.print(at.path[:strings.LastIndexByte(at.path, '/')+1], st.Object, at.mount)
}

// listed is an object or a folder in JSON.
type listed struct {
	Path     string `json:"path"` // mount/path
	Folder   bool   `json:"folder,omitempty"`
	Size     *int64 `json:"size,omitempty"` // bytes
	Modified string `json:"modified,omitempty"`
	ETag     string `json:"etag,omitempty"`
	Version  string `json:"version,omitempty"`
}

// print prints an object of a mount, its name as seen from a folder; or, without an object, the folder or mount that name says.
func (l *lister) print(from string, o *apiv1.Object, name string) error {
	if l.f.json {
		entry := listed{Path: name, Folder: true}
		if o != nil {
			entry = listed{Path: name + "/" + o.Path, Size: &o.Size, Modified: when(o), ETag: o.Etag, Version: o.Version}
		}
		return json.NewEncoder(l.out).Encode(entry)
	}
	size, modified := "-", ""
	if o != nil {
		name, size, modified = strings.TrimPrefix(o.Path, from), strconv.FormatInt(o.Size, 10), when(o)
	}
	var err error
	if l.f.long {
		_, err = fmt.Fprintf(l.out, "%15s  %-20s  %s\n", size, cmp.Or(modified, "-"), printable(name))
	} else {
		_, err = fmt.Fprintln(l.out, printable(name))
	}
	return err
}

func when(o *apiv1.Object) string {
	if o.ModifiedMs == 0 {
		return ""
	}
	return time.UnixMilli(o.ModifiedMs).UTC().Format(time.RFC3339)
}

// printable quotes a name that a terminal, or whoever reads lines, would take for more than a name.
func printable(name string) string {
	if strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) || strings.HasPrefix(name, `"`) {
		return strconv.Quote(name)
	}
	return name
}

func newStatCommand() *cobra.Command {
	var f doorFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "stat alio://mount/path",
		Short: "Show an object's present version",
		Args:  exactlyOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			at, err := parsePlace(args[0])
			if err != nil {
				return usageError{err, cmd.CommandPath()}
			}
			api, ctx, done, err := f.open(cmd.Context())
			if err != nil {
				return err
			}
			defer done()
			st, err := api.Stat(ctx, &apiv1.StatRequest{Mount: at.mount, Path: at.path})
			if err != nil {
				return saidBySidecar("look at "+at.String(), err)
			}
			return printStat(cmd.OutOrStdout(), at, st, asJSON)
		},
	}
	f.register(cmd.Flags())
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().SortFlags = false
	return cmd
}

func printStat(w io.Writer, at place, st *apiv1.StatReply, asJSON bool) error {
	o := st.Object
	e := json.NewEncoder(w)
	if asJSON {
		return e.Encode(struct {
			listed
			Attributes map[string]string `json:"attributes,omitempty"`
		}{listed{Path: at.mount + "/" + o.Path, Size: &o.Size, Modified: when(o), ETag: o.Etag, Version: o.Version}, st.Attributes})
	}
	_, err := fmt.Fprintf(w, "path      %s\nsize      %d bytes\nmodified  %s\netag      %s\nversion   %s\n", printable(at.String()), o.Size, cmp.Or(when(o), "not told"),
		cmp.Or(o.Etag, "none"), cmp.Or(o.Version, "none: it is read through, never cached"))
	return err
}

func newCatCommand() *cobra.Command {
	var f doorFlags
	cmd := &cobra.Command{
		Use:   "cat alio://mount/path",
		Short: "Write an object's bytes to standard output, through the cache",
		Args:  exactlyOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			at, err := parsePlace(args[0])
			if err != nil {
				return usageError{err, cmd.CommandPath()}
			}
			api, ctx, done, err := f.open(cmd.Context())
			if err != nil {
				return err
			}
			defer done()
			return cat(ctx, api, at, cmd.OutOrStdout())
		},
	}
	f.register(cmd.Flags())
	cmd.Flags().SortFlags = false
	return cmd
}

// cat copies one version of an object, and fails if it ends early.
func cat(ctx context.Context, api apiv1.SidecarClient, at place, w io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := api.Read(ctx, &apiv1.ReadRequest{Mount: at.mount, Path: at.path})
	if err != nil {
		return saidBySidecar("read "+at.String(), err)
	}
	left, first := int64(0), true
	for {
		part, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF) && left == 0 && !first:
			return nil
		case errors.Is(err, io.EOF):
			return fmt.Errorf("read %s: the answer ended %d bytes early", at, left)
		case err != nil:
			return saidBySidecar("read "+at.String(), err)
		}
		if first {
			left, first = part.Length, false
		}
		left -= int64(len(part.Data))
		if _, err := w.Write(part.Data); err != nil {
			return fmt.Errorf("write what was read: %w", err)
		}
	}
}

const lsHelp = `List the mounts of a running sidecar, or what lies below a path of one, whatever
kind of origin is behind it.

Folders end in a slash. Names that hold control characters are quoted. The listing
is printed as it comes, a page at a time, so its length needs no memory; it is as
fresh as the sidecar's freshness rules say (docs/freshness.md).

The sidecar needs a gRPC door: start it with --grpc-socket. Its address is asked of
the admin server, unless --door says it. A door on TCP wants a token, in the
environment variable ALIO_TOKEN.

Exit codes: 0 listed, 1 nothing there or no answer, 2 a command line that is wrong.`

const lsExamples = `  # The mounts:
  alio ls

  # One level, with bytes and times:
  alio ls -l alio://lake/warehouse/sales/

  # Everything below, for scripts:
  alio ls --recursive --json lake/warehouse | jq -r .path`
