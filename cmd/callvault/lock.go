package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"github.com/google/uuid"
)

// lockFile is held by the running server as long as it lives; the system lets
// it go also when the process is killed. It holds the folder's id.
const lockFile = "callvault.lock"

// lockFolder takes the data folder for one server: two would empty one spool
// together.
func lockFolder(data string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(data, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the data folder: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = fmt.Errorf("another Callvault runs on the data folder %s: end it, or give --data another folder", data)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// folderID is the same each time a locked data folder is used, so that a server
// that was killed can go on with what it had taken for itself.
func folderID(lock *os.File) (string, error) {
	const length = len("01890a5d-ac96-774b-bcce-b302099a8057")
	text := make([]byte, length)
	n, err := lock.ReadAt(text, 0)
	if id, invalid := uuid.ParseBytes(text[:n]); invalid == nil {
		return id.String(), nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		id := uuid.NewString()
		if _, err = lock.WriteAt([]byte(id), 0); err == nil {
			return id, nil
		}
	}
	return "", fmt.Errorf("give the data folder an id: %w", err)
}
