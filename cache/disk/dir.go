package disk

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/alio-lake/alio/cache/segfile"
	"github.com/alio-lake/alio/internal/vfs"
)

// The names in a tier's directory.
const (
	identityFile = "alio-disk.json"
	identityTemp = "alio-disk.json.tmp"
	lockFile     = "LOCK"
	segmentsDir  = "segments"
	lostFound    = "lost+found" // mkfs makes it
	metadataDir  = "metadata"   // sidecar/metadata's, which has a limit of its own
	affinityDir  = "affinity"   // affinity/membership's: a file of at most a few megabytes, and the data of an embedded etcd
)

// identity is what makes a directory ours. Clients that read segments themselves compare the id to know that they see the same directory.
type identity struct {
	Format  int       `json:"format"`  // of the directory; segments carry their own
	ID      string    `json:"id"`      // 16 random bytes in hex
	Created time.Time `json:"created"` // for people
}

// prepareDir makes the directory if need be, makes sure that it is ours and local, and locks it.
func (t *Tier) prepareDir() error {
	fsys, dir := t.o.FS, t.o.Dir
	if err := fsys.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("disk: cache directory: %w", err)
	}
	usage, err := fsys.Usage(dir)
	if err != nil {
		return fmt.Errorf("disk: cache directory: %w", err)
	}
	if usage.Remote {
		return fmt.Errorf("disk: %s is on a %s file system: a cache needs a local one, since a network or FUSE mount can hang or change under it;"+
			" give a directory on a local disk", dir, usage.Type)
	}
	ours, err := t.checkOwner()
	if err != nil {
		return err
	}
	lock, err := fsys.Lock(filepath.Join(dir, lockFile))
	if err != nil {
		var locked *vfs.LockedError
		if errors.As(err, &locked) {
			return fmt.Errorf("disk: %w: stop it, or give this one a directory of its own", err)
		}
		return fmt.Errorf("disk: lock cache directory: %w", err)
	}
	t.mu.Lock()
	t.lock = lock
	t.mu.Unlock()
	if err := t.writeIdentity(ours); err != nil {
		return err
	}
	if err := fsys.MkdirAll(filepath.Join(dir, segmentsDir), 0o750); err != nil {
		return fmt.Errorf("disk: cache directory: %w", err)
	}
	info, err := fsys.Stat(filepath.Join(dir, segmentsDir))
	if err != nil {
		return fmt.Errorf("disk: cache directory: %w", err)
	}
	t.device = info.Device
	t.probePunch()
	if err := t.clearGone(); err != nil {
		return err
	}
	return fsys.SyncDir(dir)
}

// errMoved is what happens under a tier whose file system was unmounted.
var errMoved = errors.New("another file system lies under the cache directory than when it was opened")

// sameDevice makes sure that a path is on the file system that the directory was opened on: what is unmounted must not fill what lies below.
func (t *Tier) sameDevice(path string) error {
	info, err := t.o.FS.Stat(path)
	if err == nil && info.Device != t.device {
		err = fmt.Errorf("%s: %w", path, errMoved)
	}
	return err
}

// checkOwner tells whether the directory holds our identity; one that does not, but holds something else, is refused.
func (t *Tier) checkOwner() (ours bool, err error) {
	entries, err := t.o.FS.ReadDir(t.o.Dir)
	if err != nil {
		return false, fmt.Errorf("disk: cache directory: %w", err)
	}
	foreign := ""
	for _, e := range entries {
		switch e.Name {
		case identityFile:
			return true, nil
		case identityTemp, lockFile, lostFound, metadataDir, affinityDir, punchProbe, probeFile: // what a start that was interrupted, or mkfs, leaves
		default:
			foreign = e.Name
		}
	}
	if foreign != "" {
		return false, fmt.Errorf("disk: %s is not a cache directory of Alio: it holds %q but no %s; give an empty directory or one that does not exist yet",
			t.o.Dir, foreign, identityFile)
	}
	return false, nil
}

// writeIdentity makes the identity file, whole or not at all. One that is there but cannot be read is replaced: its name alone shows that
// the directory is ours, and segments prove themselves.
func (t *Tier) writeIdentity(ours bool) error {
	fsys := t.o.FS
	path, temp := filepath.Join(t.o.Dir, identityFile), filepath.Join(t.o.Dir, identityTemp)
	if ours {
		err := t.readIdentity(path)
		if err == nil {
			return nil
		}
		t.o.Log.Warn().Err(err).Str("path", path).Msg("the cache directory's identity file cannot be read and is written anew")
	}
	var id [16]byte
	if _, err := rand.Read(id[:]); err != nil {
		return err
	}
	t.setID(hex.EncodeToString(id[:]))
	text, err := json.Marshal(identity{Format: segfile.FormatVersion, ID: hex.EncodeToString(id[:]), Created: time.Now().UTC()})
	if err != nil {
		return err
	}
	if err := fsys.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("disk: identity: %w", err)
	}
	f, err := fsys.Create(temp, 0o640)
	if err != nil {
		return fmt.Errorf("disk: identity: %w", err)
	}
	_, err = f.WriteAt(append(text, '\n'), 0)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = fsys.Rename(temp, path)
	}
	if err == nil {
		err = fsys.SyncDir(t.o.Dir)
	}
	if err != nil {
		return fmt.Errorf("disk: identity: %w", err)
	}
	return nil
}

func (t *Tier) readIdentity(path string) error {
	f, err := t.o.FS.Open(path, false)
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return err
	}
	if size > 4096 {
		return fmt.Errorf("it has %d bytes", size)
	}
	text := make([]byte, size)
	if _, err := f.ReadAt(text, 0); err != nil {
		return err
	}
	var id identity
	if err := json.Unmarshal(text, &id); err != nil {
		return err
	}
	if raw, err := hex.DecodeString(id.ID); err != nil || len(raw) != 16 {
		return fmt.Errorf("its id is %q", id.ID)
	}
	t.setID(id.ID)
	return nil
}

func (t *Tier) setID(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.id = id
}

// otherBytes is what the directory takes besides segments and metadata: directories, identity, lock, and whatever somebody put there.
func (t *Tier) otherBytes(dir string, depth int) int64 {
	var sum int64
	if info, err := t.o.FS.Stat(dir); err == nil {
		sum = max(info.Allocated, info.Size)
	}
	entries, err := t.o.FS.ReadDir(dir)
	if err != nil {
		return sum // lost+found belongs to root
	}
	for _, e := range entries {
		if e.Dir {
			if depth < 16 && !(depth == 0 && (e.Name == metadataDir || e.Name == affinityDir)) {
				sum += t.otherBytes(filepath.Join(dir, e.Name), depth+1)
			}
			continue
		}
		if _, _, ok := segfile.ParseName(e.Name); ok && dir == filepath.Join(t.o.Dir, segmentsDir) {
			continue
		}
		sum += fileCharge(e)
	}
	return sum
}

// fileCharge is what a file counts as: what it takes, or would take once its delayed blocks are placed.
func fileCharge(i vfs.Info) int64 { return max(i.Allocated, wholeBlocks(i.Size)) }
