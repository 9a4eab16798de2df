package reports

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	// spoolPrefix begins the names of the spool's folders.
	spoolPrefix = "report-"
	// spoolKept is for how long a folder of the spool in which nothing changes
	// may still be somebody's: a report by hand can be at work beside Run, and
	// mailing to many only reads.
	spoolKept = 6 * time.Hour
	// cleanEvery is how often a Reporter looks for folders of dead processes.
	cleanEvery = time.Hour
)

// inSpool calls fn with a folder of its own, and removes it afterwards.
func (r *Reporter) inSpool(fn func(dir string) error) (err error) {
	if err := os.MkdirAll(r.spoolDir, 0o700); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(r.spoolDir, spoolPrefix)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	return fn(dir)
}

// cleanSpool removes the folders of processes that were killed: those in which
// nothing has changed for spoolKept.
func (r *Reporter) cleanSpool() error {
	entries, err := os.ReadDir(r.spoolDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var faults []error
	for _, e := range entries {
		if !e.IsDir() || !strings.HasPrefix(e.Name(), spoolPrefix) {
			continue
		}
		dir := filepath.Join(r.spoolDir, e.Name())
		changed, err := lastChange(dir)
		if err == nil && r.now().Sub(changed) > spoolKept {
			err = os.RemoveAll(dir)
		}
		// One whose owner has just removed it is gone, as it should be.
		if !errors.Is(err, fs.ErrNotExist) {
			faults = append(faults, err)
		}
	}
	return errors.Join(append(faults, err)...)
}

// lastChange is the latest modification of a folder and of what is in it.
func lastChange(dir string) (last time.Time, err error) {
	err = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err == nil && info.ModTime().After(last) {
			last = info.ModTime()
		}
		return err
	})
	return last, err
}
