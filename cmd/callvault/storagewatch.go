package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"callvault/archive"
	"callvault/internal/call"
	"callvault/internal/config"
	"callvault/internal/store"
	"callvault/internal/watch"

	"github.com/dustin/go-humanize"
	"github.com/prometheus/client_golang/prometheus"
)

const (
	// storageLookEvery is how often a node looks how full its disks are and
	// what retention may delete: summing up reads all rows of recordings.
	storageLookEvery = 10 * time.Minute
	storageLookTime  = 5 * time.Minute
	// diskTrust is for how long what a node has said of its disk holds: a node
	// that has gone must not keep an alert open.
	diskTrust = 3 * storageLookEvery
)

// outlooker says what is in the vault and what may go.
type outlooker interface {
	Outlook(ctx context.Context) (call.Outlook, error)
	Standing(ctx context.Context) (call.RetentionStanding, error)
}

// disk is one of this node's.
type disk struct {
	// part is what lies on it: data, or vault.
	part, folder string
	// vault says that the vault grows on it.
	vault bool
}

// storageWatch looks how full the disks are, and whether retention deletes what
// is due.
type storageWatch struct {
	store    *store.Store
	retainer outlooker
	disks    []disk
	node     string
	measure  func(folder string) (free, size int64, err error)
	logger   *slog.Logger
	// began is when this program did: what was due before is done soon.
	began time.Time

	stored, due, kept, free, size *prometheus.GaugeVec

	mu      sync.Mutex
	outlook call.Outlook
	looked  time.Time
}

func newStorageWatch(c *config.Config, s *store.Store, r outlooker, now time.Time, registry prometheus.Registerer, logger *slog.Logger) *storageWatch {
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
		registry.MustRegister(g)
		return g
	}
	w := &storageWatch{store: s, retainer: r, disks: disksOf(c), measure: measureDisk, logger: logger, began: now,
		stored: gauge("callvault_vault_bytes", "Bytes of audio in the vault, by account; the same on all nodes, as are those of retention.", "account"),
		due:    gauge("callvault_retention_due_recordings", "Recordings that retention may delete now, and has not yet, by account.", "account"),
		kept: gauge("callvault_retention_kept_recordings", "Recordings that today's rules would let go and that are kept: held (a legal hold), "+
			"locked (due, and the vault refused), promised (a later date was promised).", "why"),
		free: gauge("callvault_disk_free_bytes", "Bytes free on this node's disks: data, that of the data folder, and vault, that of a directory vault if it is another.", "disk"),
		size: gauge("callvault_disk_size_bytes", "The size of this node's disks.", "disk"),
	}
	var err error
	if w.node, err = os.Hostname(); err != nil {
		w.node = "this node"
	}
	return w
}

// disksOf are the disks that the configuration puts things on; a vault on the
// data folder's disk is none of its own.
func disksOf(c *config.Config) []disk {
	data := disk{part: "data", folder: c.Data}
	if c.Vault.S3 != nil {
		return []disk{data}
	}
	vault := disk{part: "vault", folder: c.Vault.Folder(c.Data), vault: true}
	if data.vault = sameDisk(data.folder, vault.folder); data.vault {
		return []disk{data}
	}
	return []disk{data, vault}
}

func sameDisk(a, b string) bool {
	var one, other syscall.Stat_t
	return syscall.Stat(a, &one) == nil && syscall.Stat(b, &other) == nil && one.Dev == other.Dev
}

// measureDisk says how much of the disk that a folder is on Callvault may still
// use.
func measureDisk(folder string) (free, size int64, err error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(folder, &s); err != nil {
		return 0, 0, fmt.Errorf("measure the disk of %s: %w", folder, err)
	}
	block := uint64(s.Bsize)
	return int64(s.Bavail * block), int64(s.Blocks * block), nil
}

// run looks until ctx ends.
func (w *storageWatch) run(ctx context.Context) {
	tick := time.NewTicker(storageLookEvery)
	defer tick.Stop()
	for {
		if err := w.look(ctx, time.Now()); err != nil && ctx.Err() == nil {
			w.logger.WarnContext(ctx, "how full the storage is could not be measured", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (w *storageWatch) look(ctx context.Context, now time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, storageLookTime)
	defer cancel()
	outlook, err := w.retainer.Outlook(ctx)
	if err == nil {
		w.show(outlook)
		w.mu.Lock()
		w.outlook, w.looked = outlook, now
		w.mu.Unlock()
	}
	faults := []error{err}
	for _, d := range w.disks {
		free, size, err := w.measure(d.folder)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		w.free.WithLabelValues(d.part).Set(float64(free))
		w.size.WithLabelValues(d.part).Set(float64(size))
		full := call.Disk{Name: w.node + ", " + d.folder, Free: free, Size: size}
		if d.vault {
			full.FillsIn = outlook.FillsIn(free)
		}
		faults = append(faults, w.store.NoteDisk(ctx, full))
	}
	return errors.Join(faults...)
}

// show lets the metrics show the outlook.
func (w *storageWatch) show(o call.Outlook) {
	w.stored.Reset()
	w.due.Reset()
	for _, t := range o.Totals {
		w.stored.WithLabelValues(t.Account).Set(float64(t.Bytes))
		w.due.WithLabelValues(t.Account).Set(0)
	}
	for _, d := range o.Now.Due {
		w.due.WithLabelValues(d.Account).Add(float64(d.Recordings))
	}
	for _, why := range []call.KeptWhy{call.KeptHeld, call.KeptLocked, call.KeptPromised} {
		w.kept.WithLabelValues(string(why)).Set(0)
	}
	for _, k := range o.Now.Kept {
		w.kept.WithLabelValues(string(k.Why)).Add(float64(k.Recordings))
	}
}

// conditions says what is to be told of storage and retention.
func (w *storageWatch) conditions(ctx context.Context, now time.Time) []watch.Condition {
	return []watch.Condition{w.retention(ctx, now), w.blocked(now), w.space(ctx)}
}

// retention opens an alert when the daily job fails, or does not come.
func (w *storageWatch) retention(ctx context.Context, now time.Time) watch.Condition {
	condition := watch.Condition{Kind: call.AlertRetention}
	standing, err := w.retainer.Standing(ctx)
	if err != nil {
		return condition // of the database others tell
	}
	job := standing.Job
	const day = 24 * time.Hour
	due := later(job.NextAt, w.began)
	failed := retentionError(job)
	switch {
	case job.NextAt.IsZero():
		condition.Well, condition.Sentence = true, "What is due is deleted by hand only."
	case !job.RunningSince.IsZero(): // it may come to a good end
	case now.Sub(due) >= call.RetentionPatience-day: // it comes daily: that long since it last came
		condition.Bad, condition.Since = true, job.NextAt
		condition.Sentence = fmt.Sprintf("Retention should have come at %s and did not: what is due is not deleted. No node that runs does it; "+
			"the log says why. callvault retention apply does it by hand.", job.NextAt.UTC().Format(time.RFC3339))
	case failed != "" && job.NextAt.After(now):
		condition.Bad, condition.Since = true, job.EndedAt
		condition.Sentence = fmt.Sprintf("Retention came to no good end at %s: %s. What is due is not all deleted. It is tried again at %s, and "+
			"callvault retention apply does it at once.", job.EndedAt.UTC().Format(time.RFC3339), failed, job.NextAt.UTC().Format(time.RFC3339))
	case failed == "" && !job.EndedAt.IsZero():
		condition.Well, condition.Sentence = true, "Retention has come to a good end again."
	}
	return condition
}

// retentionError is why a job came to no good end; empty if it did.
func retentionError(job call.JobRun) string {
	var result archive.Applied
	if err := json.Unmarshal(job.Result, &result); err != nil || result.Error == nil {
		return "" // there is none yet
	}
	return *result.Error
}

// blocked opens an alert when the vault keeps for days what is due; what a hold
// of Callvault keeps is as it should be.
func (w *storageWatch) blocked(now time.Time) watch.Condition {
	w.mu.Lock()
	defer w.mu.Unlock()
	condition := watch.Condition{Kind: call.AlertBlocked}
	if w.looked.IsZero() {
		return condition
	}
	var recordings, bytes int64
	var by []string
	for _, k := range w.outlook.Late.Kept {
		if k.Why != call.KeptLocked {
			continue
		}
		recordings += k.Recordings
		bytes += k.Bytes
		by = append(by, fmt.Sprintf("%s (account %s, the last until %s)", k.By, k.Account, k.Until.Format(time.DateOnly)))
	}
	if recordings == 0 {
		condition.Well, condition.Sentence = true, "The vault keeps nothing any more that has been due for long."
		return condition
	}
	condition.Bad, condition.Since = true, now
	condition.Sentence = fmt.Sprintf("%s recordings (%s) have been due for two days or more, and the vault refuses to delete them: %s. Somebody has locked "+
		"them for longer than Callvault has promised, or set a legal hold that is none of Callvault's. callvault retention plan --list names them; each "+
		"is tried again when its lock is over.", humanize.Comma(recordings), humanSize(bytes), strings.Join(by, "; "))
	return condition
}

// space opens an alert while a disk of any node is nearly full.
func (w *storageWatch) space(ctx context.Context) watch.Condition {
	condition := watch.Condition{Kind: call.AlertDisk}
	disks, err := w.store.Disks(ctx, diskTrust)
	if err != nil || len(disks) == 0 {
		return condition
	}
	var full []string
	for _, d := range disks {
		if !d.IsFull() {
			continue
		}
		text := fmt.Sprintf("%s has %s free of %s", d.Name, humanSize(d.Free), humanSize(d.Size))
		if d.FillsIn > 0 {
			text += fmt.Sprintf(" and will be full in about %.0f days", max(1, d.FillsIn.Hours()/24))
		}
		full = append(full, text)
		if condition.Since.IsZero() || d.SeenAt.Before(condition.Since) {
			condition.Since = d.SeenAt
		}
	}
	if len(full) == 0 {
		condition.Well, condition.Sentence = true, "There is room on all disks again."
		return condition
	}
	condition.Bad = true
	condition.Sentence = "A disk is nearly full: " + strings.Join(full, "; ") + ". On a full disk nothing is archived, and deliveries cannot be kept. " +
		"Make the disk larger, or move the vault; callvault retention forecast says how it grows."
	return condition
}
