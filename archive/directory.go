package archive

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/pkg/xattr"
)

// Directory is a vault in a folder of a local file system that has hard
// links. An object lies at its key below the folder, read-only. Whoever may
// write to the folder can change it: unlike S3 with Object Lock, a directory
// cannot promise otherwise.
type Directory struct {
	root *os.Root
}

// Names below the folder and on its files that are the vault's own.
const (
	incoming      = ".incoming"      // objects not yet complete
	attributeName = "user.callvault" // JSON of objectAttributes
)

// leftOver is how long a file in incoming must have been silent before it is
// taken for one of a killed process. Another process may be writing.
const leftOver = time.Hour

// objectAttributes is what a file's bytes do not say.
type objectAttributes struct {
	SHA256    string            `json:"sha256"`
	MediaType string            `json:"media_type"`
	Metadata  map[string]string `json:"metadata,omitempty"`
}

// OpenDirectory opens the vault in a folder, which is made if missing, and
// clears away what a killed process left half written.
func OpenDirectory(folder string) (*Directory, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("open vault: %w", err)
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, fmt.Errorf("open vault: %w", err)
	}
	d := &Directory{root: root}
	if err := d.clear(); err != nil {
		return nil, errors.Join(fmt.Errorf("open vault %s: %w", folder, err), root.Close())
	}
	return d, nil
}

func (d *Directory) clear() error {
	if err := d.root.MkdirAll(incoming, 0o700); err != nil {
		return err
	}
	entries, err := fs.ReadDir(d.root.FS(), incoming)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err == nil && time.Since(info.ModTime()) > leftOver {
			err = d.root.Remove(path.Join(incoming, entry.Name()))
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Close releases the folder.
func (d *Directory) Close() error { return d.root.Close() }

// Put implements Vault.
func (d *Directory) Put(ctx context.Context, key string, body io.ReaderAt, opts PutOptions) (err error) {
	if err := checkPut(key, opts); err != nil {
		return err
	}
	if _, err := d.root.Lstat(key); err == nil {
		return fmt.Errorf("put %s: %w", key, ErrExists)
	}
	temp := path.Join(incoming, rand.Text())
	defer func() {
		if e := d.root.Remove(temp); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}()
	if err := d.write(ctx, temp, body, opts); err != nil {
		return fmt.Errorf("put %s: %w", key, err)
	}
	// A link, unlike a rename, never replaces what lies there.
	err = d.root.Link(temp, key)
	if errors.Is(err, fs.ErrNotExist) {
		if err = d.makeFolder(path.Dir(key)); err == nil {
			err = d.root.Link(temp, key)
		}
	}
	if errors.Is(err, fs.ErrExist) {
		err = ErrExists
	}
	if err == nil {
		err = d.sync(path.Dir(key))
	}
	if err != nil {
		return fmt.Errorf("put %s: %w", key, err)
	}
	return nil
}

// write makes a complete file and brings it to stable storage.
func (d *Directory) write(ctx context.Context, name string, body io.ReaderAt, opts PutOptions) (err error) {
	f, err := d.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	hash := sha256.New()
	from := within(ctx, io.NewSectionReader(body, 0, opts.Size))
	n, err := io.Copy(io.MultiWriter(f, hash), from)
	if err != nil {
		return err
	}
	if n != opts.Size || [sha256.Size]byte(hash.Sum(nil)) != opts.SHA256 {
		return ErrChecksum
	}
	attributes, err := json.Marshal(objectAttributes{
		SHA256: hex.EncodeToString(opts.SHA256[:]), MediaType: opts.MediaType, Metadata: opts.Metadata,
	})
	if err != nil {
		return err
	}
	if err := xattr.FSet(f, attributeName, attributes); err != nil && !withoutAttributes(err) {
		return err
	}
	if err := f.Chmod(0o400); err != nil {
		return err
	}
	return f.Sync()
}

// withoutAttributes tells a file system that has no room for attributes from
// a failure: an object is worth more than what is noted on it. A disk that
// is full shows at the sync that follows.
func withoutAttributes(err error) bool {
	return errors.Is(err, errors.ErrUnsupported) ||
		errors.Is(err, fs.ErrPermission) ||
		errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.E2BIG)
}

// makeFolder makes a folder and those above it, and makes sure that they are
// still there after a power cut.
func (d *Directory) makeFolder(folder string) error {
	parent := path.Dir(folder)
	err := d.root.Mkdir(folder, 0o700)
	if errors.Is(err, fs.ErrNotExist) {
		if err = d.makeFolder(parent); err == nil {
			err = d.root.Mkdir(folder, 0o700)
		}
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return d.sync(parent)
}

// sync brings a folder's list of names to stable storage.
func (d *Directory) sync(folder string) error {
	f, err := d.root.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Open implements Vault.
func (d *Directory) Open(ctx context.Context, key string, offset, length int64) (io.ReadCloser, ObjectInfo, error) {
	if err := checkKey(key); err != nil {
		return nil, ObjectInfo{}, err
	}
	f, info, err := d.open(key)
	if err != nil {
		return nil, ObjectInfo{}, fmt.Errorf("open %s: %w", key, err)
	}
	length, err = cutRange(info.Size, offset, length)
	if err != nil {
		return nil, ObjectInfo{}, errors.Join(fmt.Errorf("open %s: %w", key, err), f.Close())
	}
	r := within(ctx, io.NewSectionReader(f, offset, length))
	return struct {
		io.Reader
		io.Closer
	}{r, f}, info, nil
}

// cutRange says how many bytes of an object of size bytes a range has.
func cutRange(size, offset, length int64) (int64, error) {
	whole := offset == 0 && length < 0
	if offset < 0 || length == 0 || offset >= size && !whole {
		return 0, ErrRange
	}
	if length < 0 || length > size-offset {
		length = size - offset
	}
	return length, nil
}

// Stat implements Vault.
func (d *Directory) Stat(_ context.Context, key string) (ObjectInfo, error) {
	if err := checkKey(key); err != nil {
		return ObjectInfo{}, err
	}
	f, info, err := d.open(key)
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		return ObjectInfo{}, fmt.Errorf("stat %s: %w", key, err)
	}
	return info, nil
}

func (d *Directory) open(key string) (*os.File, ObjectInfo, error) {
	// Looked at before it is opened: opening a pipe would wait for ever.
	info, err := d.root.Stat(key)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
		return nil, ObjectInfo{}, ErrNotFound
	}
	if err != nil {
		return nil, ObjectInfo{}, err
	}
	f, err := d.root.Open(key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ObjectInfo{}, ErrNotFound
	}
	if err != nil {
		return nil, ObjectInfo{}, err
	}
	object := ObjectInfo{Key: key, Size: info.Size(), Modified: info.ModTime()}
	// Attributes that are missing or that somebody garbled are no reason not
	// to give out the object.
	if text, err := xattr.FGet(f, attributeName); err == nil {
		var attributes objectAttributes
		if err := json.Unmarshal(text, &attributes); err == nil {
			object.MediaType, object.Metadata = attributes.MediaType, attributes.Metadata
			object.SHA256 = decodeSHA256(attributes.SHA256)
		}
	}
	return f, object, nil
}

// Delete implements Vault.
func (d *Directory) Delete(_ context.Context, key string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	err := d.root.Remove(key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = d.sync(path.Dir(key))
	}
	if err != nil {
		return fmt.Errorf("delete %s: %w", key, err)
	}
	return nil
}

// Locks implements Vault: a directory promises nothing.
func (d *Directory) Locks() LockMode { return Unlocked }

// Protect implements Vault: it only makes sure that there is an object.
func (d *Directory) Protect(ctx context.Context, key string, _ Protection) error {
	_, err := d.Stat(ctx, key)
	return err
}

// Lengthen implements Vault: it is forgotten at once.
func (d *Directory) Lengthen(ctx context.Context, key string, _ time.Time) error {
	_, err := d.Stat(ctx, key)
	return err
}

// Protection implements Vault: there is none.
func (d *Directory) Protection(ctx context.Context, key string) (Protection, error) {
	_, err := d.Stat(ctx, key)
	return Protection{}, err
}

// Versions implements Vault: a directory has one of each object.
func (d *Directory) Versions(ctx context.Context, prefix string) iter.Seq2[Version, error] {
	return func(yield func(Version, error) bool) {
		for info, err := range d.List(ctx, prefix) {
			if !yield(Version{ObjectInfo: info, Latest: err == nil}, err) {
				return
			}
		}
	}
}

// List implements Vault.
func (d *Directory) List(ctx context.Context, prefix string) iter.Seq2[ObjectInfo, error] {
	return func(yield func(ObjectInfo, error) bool) {
		if err := checkPrefix(prefix); err != nil {
			yield(ObjectInfo{}, err)
			return
		}
		d.walk(ctx, ".", prefix, yield)
	}
}

// walk yields the objects below a folder and says whether to go on.
func (d *Directory) walk(ctx context.Context, folder, prefix string, yield func(ObjectInfo, error) bool) bool {
	entries, err := fs.ReadDir(d.root.FS(), folder)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		yield(ObjectInfo{}, fmt.Errorf("list %s: %w", folder, err))
		return false
	}
	// "a/b" comes after "a.b": a folder sorts as its keys do, with a slash.
	slashed := func(e fs.DirEntry) string {
		if e.IsDir() {
			return e.Name() + "/"
		}
		return e.Name()
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int {
		return strings.Compare(slashed(a), slashed(b))
	})
	for _, entry := range entries {
		key := path.Join(folder, slashed(entry))
		switch {
		case hidden(key):
		case entry.IsDir():
			inside := key + "/"
			if !strings.HasPrefix(inside, prefix) && !strings.HasPrefix(prefix, inside) {
				continue
			}
			if !d.walk(ctx, key, prefix, yield) {
				return false
			}
		case entry.Type().IsRegular() && strings.HasPrefix(key, prefix):
			info, err := entry.Info()
			if errors.Is(err, fs.ErrNotExist) {
				continue // deleted meanwhile
			}
			if err != nil {
				yield(ObjectInfo{}, fmt.Errorf("list %s: %w", key, err))
				return false
			}
			if !yield(ObjectInfo{Key: key, Size: info.Size(), Modified: info.ModTime()}, nil) {
				return false
			}
		}
	}
	return true
}

// Check implements Vault: it does with a small file what Put does.
func (d *Directory) Check(context.Context) (err error) {
	temp := path.Join(incoming, rand.Text())
	linked := temp + "-linked"
	defer func() {
		for _, name := range []string{temp, linked} {
			if e := d.root.Remove(name); e != nil && !errors.Is(e, fs.ErrNotExist) {
				err = errors.Join(err, e)
			}
		}
		if err != nil {
			err = fmt.Errorf("check vault: %w", err)
		}
	}()
	if err := d.root.WriteFile(temp, []byte("writable\n"), 0o600); err != nil {
		return err
	}
	return d.root.Link(temp, linked)
}

// within returns a reader that stops when ctx ends.
func within(ctx context.Context, r io.Reader) io.Reader {
	return readerFunc(func(p []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		return r.Read(p)
	})
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
